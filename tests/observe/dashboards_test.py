"""Checks the dashboards of deploy/grafana without a Grafana.

    dashboards_test.py SOURCE_DIR TOOLS_BIN

They are what make_dashboards.py writes; Grafana's own types read them without losing a key; every
panel says what it shows, in which unit; every query is one for promtool, and asks for what exists;
the lines of panels are the thresholds of the alerts that they name.
"""
from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import yaml
from dashboards import NAMES, panels, read_board, targets, variables
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from rules import metrics_of, read_rules

SOURCE = Path(sys.argv[1]).resolve()
PROMTOOL = Path(sys.argv[2]) / "promtool" if (Path(sys.argv[2]) / "promtool").exists() else Path("promtool")
FOLDER = SOURCE / "deploy/grafana"
RULES = {rule.name: rule for rule in read_rules(SOURCE / "deploy/prometheus/rules.yml")}
# What Prometheus itself has.
OF_PROMETHEUS = {"up"}


def lost_keys(before: Any, after: Any, path: str = "") -> list[str]:
    """The paths of what is in `before` and not, or otherwise, in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [lost for key, value in before.items() for lost in ([f"{path}.{key}"] if key not in after else lost_keys(value, after[key], f"{path}.{key}"))]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [lost for number, (one, other) in enumerate(zip(before, after, strict=True)) for lost in lost_keys(one, other, f"{path}[{number}]")]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


def through_grafanas_types(board: dict[str, Any]) -> Any:
    plugins.register_default_plugins()
    return yaml.safe_load(JSONEncoder().encode(Dashboard.from_json(board)))


class DashboardsTest(unittest.TestCase):
    def test_they_are_what_the_script_writes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, FOLDER / "make_dashboards.py", folder], check=True)
            for name in NAMES:
                self.assertEqual((Path(folder) / f"{name}.json").read_text(encoding="utf-8"), (FOLDER / f"{name}.json").read_text(encoding="utf-8"), f"{name}.json is old: run ./dev dashboards")

    def test_grafanas_types_lose_no_key(self) -> None:
        for name in NAMES:
            board = read_board(FOLDER, name)
            self.assertEqual(lost_keys(board, through_grafanas_types(board)), [])

    def test_a_misspelt_key_would_be_found(self) -> None:
        board = read_board(FOLDER, "overview")
        panel = panels(board)[0]
        panel["girdPos"] = panel.pop("gridPos")
        self.assertTrue(any("girdPos" in lost for lost in lost_keys(board, through_grafanas_types(board))))

    def test_every_panel_says_what_it_shows(self) -> None:
        for name in NAMES:
            for panel in panels(read_board(FOLDER, name)):
                with self.subTest(f"{name} / {panel['title']}"):
                    self.assertGreater(len(panel["description"]), 10)
                    self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                    self.assertEqual(panel["datasource"]["uid"], "${datasource}")
                    for target in panel["targets"]:
                        self.assertTrue(target["legendFormat"])

    def test_titles_are_unique_and_panels_do_not_overlap(self) -> None:
        for name in NAMES:
            board = read_board(FOLDER, name)
            titles = [(panel["type"], panel["title"]) for panel in board["panels"]]
            self.assertEqual(len(titles), len(set(titles)), name)
            taken: set[tuple[int, int]] = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
                self.assertFalse(cells & taken, panel["title"])
                taken |= cells

    def test_variables_choose_source_job_and_server(self) -> None:
        for name in NAMES:
            board = read_board(FOLDER, name)
            self.assertLessEqual({"datasource", "namespace", "job", "instance"}, {each["name"] for each in board["templating"]["list"]})
            known = {*variables(board), "__rate_interval", "datasource"}
            for target in targets(FOLDER):
                if target.board == name:
                    self.assertLessEqual(set(re.findall(r"\$(\w+)", target.body["expr"])), known, target.name)
        self.assertIn("price", variables(read_board(FOLDER, "capacity")))

    def test_every_query_parses(self) -> None:
        rules = [{"record": f"query:{number}", "expr": target.expr("5m", variables(read_board(FOLDER, target.board)))} for number, target in enumerate(targets(FOLDER))]
        self.assertGreater(len(rules), 60)
        self.assertEqual(self.promtool(rules), 0)
        self.assertNotEqual(self.promtool([{"record": "query:broken", "expr": rules[0]["expr"] + ")"}]), 0)

    def promtool(self, rules: list[dict[str, str]]) -> int:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "queries.yml"
            path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
            return subprocess.run([PROMTOOL, "check", "rules", path], capture_output=True, check=False).returncode

    def test_every_query_asks_for_what_exists(self) -> None:
        server = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "server/telemetry").glob("*.cc"))
        for target in targets(FOLDER):
            names = metrics_of(target.body["expr"]) - OF_PROMETHEUS
            self.assertTrue(names or "ALERTS" in target.body["expr"] or "up{" in target.body["expr"], target.name)
            for name in names:
                if name.startswith("longspan:"):
                    self.assertIn(name, RULES, target.name)
                else:
                    bare = re.sub(r"_(bucket|count|sum)$", "", name).removeprefix("longspan_")
                    self.assertRegex(server, f'"(longspan_)?{bare}"', target.name)

    def test_lines_are_the_thresholds_of_the_alerts_that_are_named(self) -> None:
        found = 0
        for name in NAMES:
            for panel in panels(read_board(FOLDER, name)):
                alerts = re.findall(r"\bLongspan\w+", panel["description"])
                self.assertLessEqual(set(alerts), set(RULES), panel["title"])
                lines = {step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]}
                named = re.search(r"(?:The line|Red): (Longspan\w+)", panel["description"])
                if named:
                    self.assertTrue(lines & {float(number) for number in re.findall(r"[<>]=? ([0-9.]+)", RULES[named[1]].expr)}, panel["title"])
                    found += 1
        self.assertGreater(found, 8)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
