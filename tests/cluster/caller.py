#!/usr/bin/env python3
"""A caller with the shipped Python client: encodes short texts, and tells what it got.

    caller.py TARGET [--calls N] [--callers N] [--timeout S] [--pace CALLS_A_SECOND] [--plain]

Prints a line of JSON a second, and one at the end. Without --calls it goes on until its standard
input ends. Each answer must be the vector that the first server gave for that text. --plain leaves
out the health checks.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any, Optional

import numpy as np
from longspan import AsyncClient, LongspanError

TEXTS = [f"a short text of {word}" for word in ("law", "tax", "rain", "bread", "iron", "paper", "music", "stone")]
MOST_ERRORS = 20


class Caller:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.begun = self.done = 0
        self.codes: dict[str, int] = {}
        self.errors: list[dict[str, Any]] = []
        self.wrong = 0
        self.longest: list[tuple[float, float]] = []  # seconds, when begun
        self.by_second: dict[int, list[float]] = {}
        self.expected: list[np.ndarray[Any, Any]] = []
        self.stopped = False

    async def one(self, client: AsyncClient, number: int) -> None:
        began = time.monotonic()
        try:
            answer = await client.encode(TEXTS[number % len(TEXTS)], timeout=self.arguments.timeout)
            if not np.allclose(answer.vectors[0], self.expected[number % len(TEXTS)], atol=1e-4):
                self.wrong += 1
        except LongspanError as error:
            self.codes[error.code.name] = self.codes.get(error.code.name, 0) + 1
            if len(self.errors) < MOST_ERRORS:
                self.errors.append({"at": time.time(), "seconds": round(time.monotonic() - began, 3), "error": str(error)[:400]})
        self.done += 1
        self.by_second.setdefault(int(time.time()), []).append(time.monotonic() - began)

    async def worker(self, client: AsyncClient) -> None:
        while not self.stopped and (self.arguments.calls == 0 or self.begun < self.arguments.calls):
            number, self.begun = self.begun, self.begun + 1
            if self.arguments.pace:
                await asyncio.sleep(self.arguments.callers / self.arguments.pace)
            await self.one(client, number)

    def state(self, at_end: bool = False) -> dict[str, Any]:
        """What was seen so far; of each second the calls that ended in it and the longest."""
        made: dict[str, Any] = {"done": self.done, "failed": sum(self.codes.values()), "wrong": self.wrong}
        if at_end:
            every = sorted(each for some in self.by_second.values() for each in some)
            made.update(codes=self.codes, errors=self.errors, end=True,
                        p50_ms=round(1e3 * every[len(every) // 2], 1), p99_ms=round(1e3 * every[int(len(every) * 0.99)], 1),
                        longest_seconds=round(every[-1], 2),
                        seconds={second: [len(some), round(max(some), 3)] for second, some in sorted(self.by_second.items())})
        return made

    async def tell(self) -> None:
        while True:
            await asyncio.sleep(1)
            print(json.dumps(self.state()), flush=True)

    async def await_end_of_input(self) -> None:
        await asyncio.to_thread(sys.stdin.buffer.read)
        self.stopped = True

    async def run(self) -> None:
        checks = {} if self.arguments.plain else {"health_checks": True}
        async with AsyncClient(self.arguments.target, timeout=self.arguments.timeout, **checks) as client:
            self.expected = [(await client.encode(text)).vectors[0] for text in TEXTS]
            print(json.dumps({"connected": True}), flush=True)
            telling: Optional[asyncio.Task[None]] = asyncio.ensure_future(self.tell())
            if self.arguments.calls == 0:
                asyncio.ensure_future(self.await_end_of_input())
            await asyncio.gather(*(self.worker(client) for _ in range(self.arguments.callers)))
            if telling is not None:
                telling.cancel()
        print(json.dumps(self.state(at_end=True)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--pace", type=float, default=0)
    parser.add_argument("--plain", action="store_true")
    asyncio.run(Caller(parser.parse_args()).run())


if __name__ == "__main__":
    main()
