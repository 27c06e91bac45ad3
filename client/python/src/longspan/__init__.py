"""Client of longspan, a gRPC service that turns long texts into vectors.

    from longspan import Client

    with Client("127.0.0.1:50051") as client:
        vectors = client.encode(["one text", "another"]).vectors  # numpy [2, dimensions]

Client and AsyncClient hold the calls; longspan.langchain and longspan.llama_index fit the two
frameworks, which are imported only there.
"""
from importlib.metadata import version as _version

from ._aio import AsyncClient
from ._answers import (Encodings, LayerAttention, LexicalVector, Limits, ModelInfo, Spans, StreamAnswer, Timings, TokenizedText,
                       TokenVectors)
from ._client import Client
from ._collections import AsyncCollection, Collection, CollectionInfo, PutResult, PutResults
from ._errors import (Cancelled, DeadlineExceeded, DeadlineUnreachable, FailedPrecondition, InvalidArgument, LongspanError,
                      NotFound, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable)
from ._requests import Input, Lexical
from ._search import BestToken, SearchResult, SearchResults, SearchSpan

__version__ = _version("longspan")
__all__ = ["AsyncClient", "AsyncCollection", "BestToken", "Cancelled", "Client", "Collection", "CollectionInfo", "DeadlineExceeded", "DeadlineUnreachable", "Encodings", "FailedPrecondition",
           "Input", "InvalidArgument", "LayerAttention", "Lexical", "LexicalVector", "Limits", "LongspanError", "ModelInfo", "NotFound", "PermissionDenied", "PutResult", "PutResults",
           "ResourceExhausted",
           "SearchResult", "SearchResults", "SearchSpan", "Spans", "StreamAnswer", "Timings", "TokenVectors", "TokenizedText", "Unauthenticated", "Unavailable"]
