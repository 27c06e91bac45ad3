"""LongspanEmbedding for LlamaIndex; needs llama-index-core."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
except ImportError as error:
    raise ImportError("longspan.llama_index needs llama-index-core: pip install 'longspan[llama-index]'") from error

from ._chunks import AsyncClients, ranges_of
from ._client import Client


class LongspanEmbedding(BaseEmbedding):
    """Embeddings of a longspan server.

    target, arguments  those of Client, as in key="..."
    query_prompt, text_prompt
                       names of the model's prompts for queries and for texts; None = its default
    options            EncodeOptions of all calls, as {"truncation": "head"}
    embed_batch_size   texts of one call; BaseEmbedding's other arguments work too
    """

    _client: Client = PrivateAttr()
    _async: AsyncClients = PrivateAttr()
    _query: dict[str, Any] = PrivateAttr()
    _text: dict[str, Any] = PrivateAttr()

    def __init__(self, target: str = "127.0.0.1:50051", *, query_prompt: Optional[str] = None, text_prompt: Optional[str] = None,
                 options: Optional[Mapping[str, Any]] = None, model_name: str = "longspan", embed_batch_size: int = 128,
                 callback_manager: Any = None, num_workers: Optional[int] = None, **arguments: Any) -> None:
        super().__init__(model_name=model_name, embed_batch_size=embed_batch_size, callback_manager=callback_manager, num_workers=num_workers)
        self._client = Client(target, **arguments)
        self._async = AsyncClients(target=target, **arguments)
        self._query = {**(options or {}), "prompt": query_prompt}
        self._text = {**(options or {}), "prompt": text_prompt}

    @classmethod
    def class_name(cls) -> str:
        return "LongspanEmbedding"

    def get_document_chunk_embeddings(self, text: str, chunks: Sequence[str]) -> list[list[float]]:
        """Late chunking: a vector for each chunk, from one pass over the text that all of them see.

        Chunks are parts of the text in its order, as a node parser cuts them; they may overlap.
        ValueError for one that is not.
        """
        return _lists(self._client.encode_spans(text, ranges_of(text, chunks), **self._text)) if chunks else []

    async def aget_document_chunk_embeddings(self, text: str, chunks: Sequence[str]) -> list[list[float]]:
        return _lists(await self._async.get().encode_spans(text, ranges_of(text, chunks), **self._text)) if chunks else []

    def _get_query_embedding(self, query: str) -> list[float]:
        return _lists(self._client.encode(query, **self._query))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return _lists(self._client.encode(text, **self._text))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _lists(self._client.encode(texts, **self._text)) if texts else []

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return _lists(await self._async.get().encode(query, **self._query))[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return _lists(await self._async.get().encode(text, **self._text))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _lists(await self._async.get().encode(texts, **self._text)) if texts else []


def _lists(answer: Any) -> list[list[float]]:
    lists: list[list[float]] = answer.to_float32().tolist()
    return lists
