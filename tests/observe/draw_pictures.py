"""Draws the dashboards from their own queries, out of a real Prometheus.

    draw_pictures.py SOURCE_DIR BUILD_DIR MODEL TOOLS_BIN OUT [MINUTES]

Two servers with one thread each get calls of all lengths, at shares of what they can do: calm, a
peak that is too much for them, calm again; and bad callers too. In the end one of them is killed
and started again. Of all that the last MINUTES are drawn; five minutes before them fill the windows
of the queries.
"""
from __future__ import annotations

import json
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
MINUTES = float(sys.argv[6]) if len(sys.argv) > 6 else 6
LEAD_IN = 300.0
LENGTHS = "93%:60~0.8/8-250,6%:1500,0.7%:4000,0.3%:9000"
# The load of both servers in each phase, as a share of their capacity; phases are equally long.
PHASES = ((0.3, 0.3), (0.5, 0.4), (0.8, 0.6), (1.8, 1.3), (0.6, 0.6), (0.4, 0.3))
KILLED_IN = 4


def capacity(servers: list[Server]) -> float:
    """Calls a second of one server while all of them are full."""
    clients = [bench(BUILD, server, 20, "--concurrency", "16", lengths=LENGTHS) for server in servers]
    return min(float(json.loads(client.communicate()[0])["goodput_per_second"]) for client in clients)


def load(servers: list[Server], calls: float, phases: tuple[tuple[float, float], ...], seconds: float) -> None:
    """The phases, one after the other; `calls` a second are a share of 1."""
    for number, phase in enumerate(phases):
        print(f"phase {number + 1} of {len(phases)}: {phase} of {calls:.1f} calls/s, {seconds:.0f} s", flush=True)
        end = time.monotonic() + seconds
        clients = [client_of(server, share * calls, seconds) for server, share in zip(servers, phase, strict=True)]
        if number == KILLED_IN:
            time.sleep(seconds / 3)
            servers[1].process.kill()
            servers[1].process.wait()
            servers[1].start()
            finish(clients.pop())
            clients.append(client_of(servers[1], phase[1] * calls, max(1.0, end - time.monotonic())))
        time.sleep(max(0.0, end - time.monotonic()))
        for client in clients:
            finish(client)


def client_of(server: Server, rate: float, seconds: float) -> Any:
    return bench(BUILD, server, seconds, "--rate", f"{rate:.3f}", lengths=LENGTHS)


def finish(client: Any) -> None:
    """Ends a client at once; calls of it that are open are cancelled."""
    stop(client)
    client.stdout.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = ("--threads", "1", "--replicas", "1", "--max-queue-tokens", "16000")
        with stage(BUILD, MODEL, PROMETHEUS, SOURCE / "deploy/prometheus/rules.yml", folder, 2, *flags) as (servers, prometheus):
            calls = capacity(servers)
            callers = BadCallers(BUILD, servers, folder, 3)
            try:
                load(servers, calls, (PHASES[0],), LEAD_IN)
                start = time.time()
                load(servers, calls, PHASES, 60 * MINUTES / len(PHASES))
            finally:
                callers.close()
            for each in NAMES:
                picture(prometheus, each, start, time.time())


def picture(prometheus: Prometheus, name: str, start: float, end: float) -> None:
    board = read_board(SOURCE / "deploy/grafana", name)

    def series(target: dict[str, Any]) -> list[dict[str, Any]]:
        return prometheus.series(Target(name, {}, target).expr("20s", variables(board)), start, end, max(1.0, (end - start) / 160))

    draw(board, series, OUT / f"{name}.png")


if __name__ == "__main__":
    main()
