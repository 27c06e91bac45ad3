"""Every query of the dashboards and every recording of the rules returns data: a real Prometheus
scrapes a live server under load.

    live_test.py SOURCE_DIR BUILD_DIR MODEL TOOLS_BIN

It takes half a minute and both cores of a small machine. Nothing depends on how fast that is: it
waits until each query has data, and fails where one has none within two minutes.
"""
from __future__ import annotations

import sys
import tempfile
import time
import unittest
from pathlib import Path

from dashboards import Target, read_board, targets, variables
from rules import read_rules
from stage import BadCallers, Prometheus, bench, program_in, stage, stop, values

SOURCE, BUILD, MODEL = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
PROMETHEUS = program_in(sys.argv[4], "prometheus")
GRAFANA = SOURCE / "deploy/grafana"
RULES = SOURCE / "deploy/prometheus/rules.yml"
PATIENCE = 120
# What this machine cannot feed. dashboards_test.py checks that these parse and that their metrics
# stand in the server's source.
FED_ELSEWHERE = {
    "overview / Memory of the process / B": "a container's memory limit",
    "overview / Memory of the card / A": "a card",
    "overview / Certificate / A": "TLS",
}


def expr_of(target: Target) -> str:
    return target.expr("10s", variables(read_board(GRAFANA, target.board)))


class LiveTest(unittest.TestCase):
    def test_every_query_and_every_recording_returns_data(self) -> None:
        wanted = {target.name: expr_of(target) for target in targets(GRAFANA) if target.name not in FED_ELSEWHERE}
        wanted.update({f"recording {rule.selector}": rule.selector + ("}" if "{" in rule.selector else "") for rule in read_rules(RULES) if not rule.is_alert})
        self.assertGreater(len(wanted), 80)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with stage(BUILD, MODEL, PROMETHEUS, RULES, folder, 1, "--max-queue-tokens", "24000", "--threads", "1") as (servers, prometheus):
                # A closed loop of more callers than the queue takes: some are refused.
                load = bench(BUILD, servers[0], PATIENCE + 60, "--concurrency", "24")
                callers = BadCallers(BUILD, servers, folder, 0.2)
                try:
                    missing = self.wait_for(prometheus, wanted)
                finally:
                    callers.close()
                    stop(load)
                    assert load.stdout is not None
                    load.stdout.close()
                self.assertEqual(missing, {})
                self.assertEqual([(rule["name"], rule.get("lastError")) for rule in prometheus.rules() if rule["health"] != "ok"], [])
                for target in targets(GRAFANA):
                    if target.name in FED_ELSEWHERE:
                        self.assertEqual(prometheus.query(expr_of(target)), [], f"{target.name} has data here: take it out of FED_ELSEWHERE")

    def wait_for(self, prometheus: Prometheus, wanted: dict[str, str]) -> dict[str, str]:
        """The queries that have had no finite value at any time."""
        missing, end = dict(wanted), time.monotonic() + PATIENCE
        while missing and time.monotonic() < end:
            time.sleep(1)
            missing = {name: expr for name, expr in missing.items() if not values(prometheus.query(expr))}
        return missing


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
