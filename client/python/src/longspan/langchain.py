"""LongspanEmbeddings for LangChain; needs langchain-core."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

try:
    from langchain_core.embeddings import Embeddings
except ImportError as error:
    raise ImportError("longspan.langchain needs langchain-core: pip install 'longspan[langchain]'") from error

from ._chunks import AsyncClients, ranges_of
from ._client import Client


class LongspanEmbeddings(Embeddings):
    """Embeddings of a longspan server.

    target, arguments  those of Client, as in key="..."
    query_prompt, document_prompt
                       names of the model's prompts for queries and for documents; None: its own
    options            EncodeOptions of all calls, as {"truncation": "head"}
    """

    def __init__(self, target: str = "127.0.0.1:50051", *, query_prompt: Optional[str] = None,
                 document_prompt: Optional[str] = None, options: Optional[Mapping[str, Any]] = None, **arguments: Any) -> None:
        self._client = Client(target, **arguments)
        self._async = AsyncClients(target=target, **arguments)
        self._query = {**(options or {}), "prompt": query_prompt}
        self._document = {**(options or {}), "prompt": document_prompt}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text."""
        return _lists(self._client.encode(texts, **self._document)) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        return _lists(self._client.encode(text, **self._query))[0]

    def embed_document_chunks(self, text: str, chunks: Sequence[str]) -> list[list[float]]:
        """Late chunking: a vector for each chunk, from one pass over the text that all of them see.

        Chunks are parts of the text in its order, as a splitter cuts them; they may overlap.
        ValueError for one that is not.
        """
        return _lists(self._client.encode_spans(text, ranges_of(text, chunks), **self._document)) if chunks else []

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return _lists(await self._async.get().encode(texts, **self._document)) if texts else []

    async def aembed_query(self, text: str) -> list[float]:
        return _lists(await self._async.get().encode(text, **self._query))[0]

    async def aembed_document_chunks(self, text: str, chunks: Sequence[str]) -> list[list[float]]:
        return _lists(await self._async.get().encode_spans(text, ranges_of(text, chunks), **self._document)) if chunks else []


def _lists(answer: Any) -> list[list[float]]:
    lists: list[list[float]] = answer.to_float32().tolist()
    return lists
