"""Tests, their registration, and what is printed of them."""
from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Wrong(Exception):
    """Something was otherwise than it must be; the message says what, what was got and wanted."""


def require(holds: object, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


def equal(what: str, got: object, wanted: object) -> None:
    require(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


@dataclass
class Case:
    """A test: a function of the world it runs in, which returns what it found, in words."""

    group: str
    function: Callable[..., str]

    @property
    def name(self) -> str:
        return f"{self.group}/{self.function.__name__.replace('_', '-')}"

    @property
    def proves(self) -> str:
        return " ".join((self.function.__doc__ or "").split())

    def matches(self, words: list[str]) -> bool:
        """A word is a group, or a part of the name."""
        return not words or any(word == self.group or word in self.name for word in words)


CASES: list[Case] = []


def case(group: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Registers a function as a test of this group. Groups run in the order of their first test."""

    def register(function: Callable[..., str]) -> Callable[..., str]:
        CASES.append(Case(group, function))
        return function

    return register


def say(text: str) -> None:
    """A line of progress."""
    print(f"    [{time.monotonic() - _BEGAN:4.0f} s] {text}", flush=True)


_BEGAN = time.monotonic()


@dataclass
class Report:
    lines: list[str] = field(default_factory=list)
    failed: int = 0

    def run(self, one: Case, world: Any) -> None:
        print(f"==> {one.name}: {one.proves}", flush=True)
        began = time.monotonic()
        try:
            outcome, found = "ok", one.function(world)
        except Wrong as wrong:
            outcome, found = "FAILED", str(wrong)
        except Exception as error:  # a test that breaks has not shown anything
            traceback.print_exc()
            outcome, found = "FAILED", f"{type(error).__name__}: {error}"
        self.failed += outcome != "ok"
        line = f"{outcome:6} {one.name} ({time.monotonic() - began:.0f} s): {found}"
        print(f"    {line}", flush=True)
        self.lines.append(line)

    def end(self) -> int:
        print(f"\n{len(self.lines)} tests in {time.monotonic() - _BEGAN:.0f} s, {self.failed} failed")
        for line in self.lines:
            print(line)
        sys.stdout.flush()
        return 1 if self.failed else 0
