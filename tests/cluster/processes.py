"""Processes that a test starts, each with a log of its own."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional, Union

from report import Wrong


# Limits are written for a machine that does nothing else, and are this many times as long: what is
# waited for comes in the end, or never.
PATIENCE = 4


def clean_environment() -> dict[str, str]:
    """The environment without what would change a server or client: settings and proxies."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("LONGSPAN_") and not name.lower().endswith("_proxy")}


def await_true(what: str, holds: Callable[[], object], limit: float, pause: float = 0.1) -> float:
    """Waits until `holds` is true; how long that took, in seconds."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE * limit:
            raise Wrong(f"{what}: not within {PATIENCE * limit:g} s")
        time.sleep(pause)
    return time.monotonic() - began


class Process:
    """A process from the constructor to stop() or kill(). What it prints goes to FOLDER/NAME.log.
    """

    def __init__(self, folder: Path, name: str, command: Sequence[Union[str, Path]],
                 environment: Optional[dict[str, str]] = None) -> None:
        self.name, self.log_path = name, folder / f"{name}.log"
        self._log = self.log_path.open("ab")
        words = [str(word) for word in command]
        self.popen = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
                                      env={**clean_environment(), **(environment or {})}, start_new_session=True)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def send(self, number: signal.Signals) -> None:
        if self.alive():
            self.popen.send_signal(number)

    def stop(self, limit: float = 30) -> int:
        """SIGTERM, and SIGKILL after the limit; the exit code, or a signal's negative number."""
        self.send(signal.SIGTERM)
        try:
            return self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._log.close()

    def kill(self) -> int:
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        self._log.close()
        return self.popen.wait()


def run(*command: Union[str, Path], limit: float = 120, data: Optional[str] = None, check: bool = True,
        environment: Optional[dict[str, str]] = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end. Wrong with what it printed where it fails, unless check is False.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=data, capture_output=True, text=True, check=False, timeout=PATIENCE * limit,
                              env={**clean_environment(), **(environment or {})})
    except subprocess.TimeoutExpired:
        raise Wrong(f"{' '.join(words[:6])} did not end within {PATIENCE * limit:g} s") from None
    if check and done.returncode != 0:
        raise Wrong(f"{' '.join(words[:6])} ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:].strip()}")
    return done
