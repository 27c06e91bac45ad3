"""Draws the dashboards from their own queries, out of a real Prometheus.

    draw_pictures.py SOURCE_DIR BUILD_DIR MODEL TOOLS_BIN OUT [MINUTES]

Two servers with one thread each get calls of all lengths, more and more of them, and bad callers
too; one of them is killed and started again.
"""
from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dashboards import NAMES, Target, read_board, variables
from picture import draw
from stage import BadCallers, Prometheus, Server, bench, program_in, stage, stop

SOURCE, BUILD, MODEL = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
PROMETHEUS, OUT = program_in(sys.argv[4], "prometheus"), Path(sys.argv[5])
MINUTES = float(sys.argv[6]) if len(sys.argv) > 6 else 8
# Callers of both servers in each of the phases, which are equally long.
PHASES = ((1, 1), (2, 1), (4, 2), (24, 12), (8, 24), (3, 2), (2, 1))
KILLED_IN = 4


def load(servers: list[Server], folder: Path) -> None:
    """All phases, one after the other."""
    seconds = 60 * MINUTES / len(PHASES)
    callers = BadCallers(BUILD, servers, folder, 2)
    try:
        for number, phase in enumerate(PHASES):
            print(f"phase {number + 1} of {len(PHASES)}: {phase} callers, {seconds:.0f} s", flush=True)
            end = time.monotonic() + seconds
            clients = [bench(BUILD, server, seconds, "--concurrency", str(count)) for server, count in zip(servers, phase, strict=True)]
            if number == KILLED_IN:
                time.sleep(seconds / 3)
                servers[1].process.kill()
                servers[1].process.wait()
                servers[1].start()
                stop(clients[1])
                clients[1] = bench(BUILD, servers[1], max(1.0, end - time.monotonic()), "--concurrency", str(phase[1]))
            for client in clients:
                client.communicate()
    finally:
        callers.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = ("--threads", "1", "--replicas", "1", "--max-queue-tokens", "40000")
        with stage(BUILD, MODEL, PROMETHEUS, SOURCE / "deploy/prometheus/rules.yml", folder, 2, *flags) as (servers, prometheus):
            start = time.time() + 5
            load(servers, folder)
            for each in NAMES:
                picture(prometheus, each, start, time.time())


def picture(prometheus: Prometheus, name: str, start: float, end: float) -> None:
    board = read_board(SOURCE / "deploy/grafana", name)

    def series(target: dict[str, Any]) -> list[dict[str, Any]]:
        return prometheus.series(Target(name, {}, target).expr("20s", variables(board)), start, end, max(1.0, (end - start) / 160))

    draw(board, series, OUT / f"{name}.png")


if __name__ == "__main__":
    main()
