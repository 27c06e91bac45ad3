"""What the adapters share: chunks as spans, and an AsyncClient for each event loop."""
from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

from ._aio import AsyncClient


def ranges_of(text: str, chunks: Sequence[str]) -> list[tuple[int, int]]:
    """Where each chunk stands in the text, in characters.

    Chunks come in the order of the text and may overlap. ValueError for one that is not there.
    """
    ranges: list[tuple[int, int]] = []
    begin = 0
    for i, chunk in enumerate(chunks):
        # Behind the chunk before, where it is there; else it overlaps with that one.
        found = text.find(chunk, ranges[-1][1] if ranges else 0) if chunk else -1
        overlapping = text.find(chunk, begin) if chunk else -1
        if overlapping >= 0 and ranges and overlapping < ranges[-1][1] and overlapping + len(chunk) > ranges[-1][1]:
            found = overlapping
        if found < 0:
            raise ValueError(f"chunk {i} is no part of the text behind the beginning of the chunk before it")
        ranges.append((found, found + len(chunk)))
        begin = found + 1
    return ranges


class AsyncClients:
    """One AsyncClient for each event loop, because frameworks call from whatever loop there is."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = weakref.WeakKeyDictionary()

    def get(self) -> AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = AsyncClient(**self._arguments)
        return self._clients[loop]
