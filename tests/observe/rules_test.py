"""Proves that the tests of deploy/prometheus test every rule, and that every alert has a runbook.

    rules_test.py SOURCE_DIR TOOLS_BIN

Each rule has a test in which it fires and one in which it is silent although its metrics are there.
Broken versions of each rule (mutants.py) must fail its tests. What rules and runbook name must
exist: metrics, flags, events of the log.
"""
from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from mutants import broken_versions
from rules import Check, Rule, metrics_of, read_checks, read_rules, read_yaml, series_of, with_what_it_needs

SOURCE = Path(sys.argv[1]).resolve()
PROMTOOL = Path(sys.argv[2]) / "promtool" if (Path(sys.argv[2]) / "promtool").exists() else Path("promtool")
FOLDER = SOURCE / "deploy/prometheus"
RULES = read_rules(FOLDER / "rules.yml")
CHECKS = read_checks(FOLDER)
OPERATIONS = (SOURCE / "docs/operations.md").read_text(encoding="utf-8")
JOBS = 2
# Words of the runbook that Prometheus, Grafana or our own rules know, not the server.
OF_OTHERS = {"scrape_duration_seconds", "scrape_timeout", "round_robin", "latency_short", "latency_long", "latency_bulk"}


def sources(*patterns: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for pattern in patterns for path in sorted(SOURCE.glob(pattern)))


def own_checks(rule: Rule) -> list[Check]:
    return [check for checks in CHECKS.values() for check in checks if check.is_about(rule)]


def passes(version: Rule, original: Rule) -> str | None:
    """What promtool says where `version`, in place of `original`, fails its tests; else None."""
    with tempfile.TemporaryDirectory() as folder:
        rules = [version if rule is original else rule for rule in with_what_it_needs(original, RULES)]
        (Path(folder) / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "tested", "rules": [rule.body for rule in rules]}]}), encoding="utf-8")
        for number, (path, checks) in enumerate(CHECKS.items()):
            tests = [{**check.test, "alert_rule_test": [], "promql_expr_test": [], check.kind: [check.body]} for check in checks if check.is_about(original)]
            if not tests:
                continue
            content = {**read_yaml(path), "tests": tests}
            (Path(folder) / f"{number}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
            done = subprocess.run([PROMTOOL, "test", "rules", f"{number}.yml"], cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return done.stdout + done.stderr
    return None


class RulesTest(unittest.TestCase):
    def test_there_are_rules(self) -> None:
        self.assertGreater(len(RULES), 50)
        self.assertGreater(len(CHECKS), 3)

    def test_every_rule_fires_in_a_test_and_is_silent_in_one(self) -> None:
        for rule in RULES:
            with self.subTest(rule.selector):
                checks = own_checks(rule)
                self.assertTrue(any(check.fires() for check in checks), f"{rule.selector}: no test in which it fires")
                read = {name for needed in with_what_it_needs(rule, RULES) for name in metrics_of(needed.expr)} | {re.sub(r"_bucket$", "_count", n) for n in metrics_of(rule.expr)}
                if read:
                    self.assertTrue(any(check.is_silent() and series_of(check) & read for check in checks), f"{rule.selector}: no test in which its metrics are there and it is silent")

    def test_no_test_is_about_a_rule_that_is_not_there(self) -> None:
        for checks in CHECKS.values():
            for check in checks:
                self.assertTrue(any(check.is_about(rule) for rule in RULES), f"{check.test['name']}: {check.body}")

    def test_a_broken_rule_fails_its_tests(self) -> None:
        versions = [(what, version, rule) for rule in RULES if metrics_of(rule.expr) for what, version in (("as it is", rule), *broken_versions(rule))]
        with ThreadPoolExecutor(JOBS) as pool:
            outcomes = pool.map(lambda each: passes(each[1], each[2]), versions)
        for (what, _, rule), refused in zip(versions, outcomes, strict=True):
            with self.subTest(f"{rule.selector} {what}"):
                if what == "as it is":
                    self.assertIsNone(refused)
                else:
                    self.assertIsNotNone(refused, f"{rule.selector} that {what} passes its tests")

    def test_every_metric_and_recording_exists(self) -> None:
        server, recorded = sources("server/telemetry/*.cc"), {rule.name for rule in RULES if not rule.is_alert}
        for rule in RULES:
            for name in metrics_of(rule.expr):
                if name.startswith("longspan:"):
                    self.assertIn(name, recorded, rule.selector)
                elif name != "up":
                    bare = re.sub(r"_(bucket|count|sum)$", "", name).removeprefix("longspan_")
                    self.assertRegex(server, f'"(longspan_)?{bare}"', f"{rule.selector} reads {name}, which the server does not have")


class RunbookTest(unittest.TestCase):
    """docs/operations.md has a section for each alert, and for nothing else."""

    RUNBOOK = OPERATIONS.split("\n## Runbook\n", 1)[1].split("\n## ", 1)[0]
    SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", RUNBOOK, re.M | re.S))
    ALERTS = [rule for rule in RULES if rule.is_alert]

    def test_every_alert_has_a_section_and_links_to_it(self) -> None:
        self.assertEqual([rule.name for rule in self.ALERTS if rule.name not in self.SECTIONS], [])
        self.assertEqual([name for name in self.SECTIONS if name.startswith("Longspan") and name not in {rule.name for rule in self.ALERTS}], [])
        for rule in self.ALERTS:
            annotations = rule.body["annotations"]
            self.assertEqual(annotations["runbook_url"], f"docs/operations.md#{rule.name.lower()}")
            self.assertTrue(annotations["summary"])
            self.assertIn(rule.body["labels"]["severity"], ("page", "ticket"))

    def test_every_section_says_what_is_seen_why_and_what_to_do(self) -> None:
        for name, text in self.SECTIONS.items():
            self.assertEqual(re.findall(r"^\*\*(See|Why|Do)\*\*", text, re.M), ["See", "Why", "Do"], name)

    def test_the_table_names_every_alert_with_its_severity(self) -> None:
        table = dict(re.findall(r"^\| \[(Longspan\w+)\]\(#\w+\) \| (page|ticket) \|", OPERATIONS, re.M))
        self.assertEqual(table, {rule.name: rule.body["labels"]["severity"] for rule in self.ALERTS})

    def test_flags_events_and_metrics_exist(self) -> None:
        options = sources("server/server_options.cc", "client/*.cc")
        self.assertEqual([flag for flag in sorted(set(re.findall(r"`--([a-z-]+)", self.RUNBOOK))) if not re.search(rf'"(--)?{flag}["=]', options)], [])
        server = sources("server/**/*.cc", "server/**/*.h", "core/error_details.h")
        words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)[`{]", self.RUNBOOK)) - OF_OTHERS
        self.assertEqual([word for word in sorted(words) if not re.search(rf'"(longspan_)?{word.removeprefix("longspan_")}"', server)], [])
        self.assertEqual(set(re.findall(r"`(longspan:[a-z0-9_:]+)", self.RUNBOOK)) - {rule.name for rule in RULES}, set())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
