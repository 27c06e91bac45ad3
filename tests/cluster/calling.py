"""The process of caller.py, seen from a test."""
from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Union

from processes import await_true, clean_environment
from report import Wrong, equal, require, say
from servers import World

HERE = Path(__file__).parent


class Calling:
    """Callers at work, from the constructor to end()."""

    def __init__(self, world: World, target: str, *options: Union[str, int, float]) -> None:
        self.log = (world.folder / "caller.log").open("a", encoding="utf-8")
        command = [sys.executable, HERE / "caller.py", target, *options]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**clean_environment(), "PYTHONPATH": str(world.site), "PYTHONDONTWRITEBYTECODE": "1"})
        self.last: dict[str, Any] = {}
        self.connected = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        try:
            await_true("the callers connect", lambda: self.connected or self.process.poll() is not None, 60)
            require(self.connected, f"the callers ended at once: {Path(self.log.name).read_text()[-800:]}")
        except Wrong:
            self.process.kill()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.connected = self.connected or "connected" in said
            self.last = said if "done" in said else self.last

    @property
    def done(self) -> int:
        return int(self.last.get("done", 0))

    def running(self) -> bool:
        return self.process.poll() is None

    def await_calls(self, further: int, limit: float = 120) -> None:
        """Waits until so many further calls have ended."""
        wanted = self.done + further
        await_true(f"{further} further calls (so far {self.last})", lambda: self.done >= wanted or not self.running(), limit)

    def end(self, limit: float = 120) -> dict[str, Any]:
        """Lets them end what they have begun; what they got."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.thread.join(limit)
        if self.running() and not self.last.get("end"):
            self.process.kill()
            raise Wrong(f"the callers did not end within {limit:g} s; so far {self.last}")
        self.process.wait()
        self.log.close()
        require(self.last.get("end"), f"the callers ended with {self.process.returncode}; so far {self.last}")
        return self.last

    def await_all(self, limit: float) -> dict[str, Any]:
        """Waits for all of --calls, with a line of progress every ten seconds."""
        until, shown = time.monotonic() + limit, 0.0
        while self.running() and time.monotonic() < until:
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                say(f"{self.done:,} calls, {self.last.get('failed', 0)} failed")
            time.sleep(0.2)
        return self.end(5)


def none_lost(result: dict[str, Any]) -> str:
    """Requires that no call failed or got a wrong vector; the result in words."""
    first = result["errors"][:2]
    equal(f"calls that failed, of {result['done']:,}: {result['codes']} {first}", result["failed"], 0)
    equal(f"calls with another vector, of {result['done']:,}", result["wrong"], 0)
    return (f"{result['done']:,} calls, 0 failed, 0 wrong; p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, "
            f"longest {result['longest_seconds']} s")
