"""The rules of deploy/prometheus and their tests, as Python sees them."""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class PromtoolLoader(yaml.SafeLoader):
    """Reads 0x20 as promtool does, as text (21 zeros); YAML 1.1 would make 32 of it."""


PromtoolLoader.yaml_implicit_resolvers = {first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:int"]
                                          for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
PromtoolLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(0|[1-9][0-9]*)$"), list("-0123456789"))


def read_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), PromtoolLoader)


@dataclass(frozen=True)
class Rule:
    """One rule. `name` is that of the alert, or of what is recorded."""

    name: str
    is_alert: bool
    body: dict[str, Any] = field(hash=False)

    @property
    def expr(self) -> str:
        return str(self.body["expr"])

    @property
    def selector(self) -> str:
        """What tests call a recording: its name, and its label slo (the first) where it has one."""
        slo = self.body.get("labels", {}).get("slo")
        return f'{self.name}{{slo="{slo}"' if slo and not self.is_alert else self.name


@dataclass(frozen=True)
class Check:
    """What one test of promtool asks of one rule: an alert or an expression at a time."""

    test: dict[str, Any] = field(hash=False)
    kind: str              # alert_rule_test or promql_expr_test
    body: dict[str, Any] = field(hash=False)

    def is_about(self, rule: Rule) -> bool:
        if self.kind == "alert_rule_test":
            return rule.is_alert and self.body["alertname"] == rule.name
        expr = str(self.body["expr"])
        return not rule.is_alert and (rule.selector in expr or expr == rule.name)

    def fires(self) -> bool:
        """Something is expected: an alert, or a sample that is not 0."""
        samples = self.body.get("exp_samples", [])
        return bool(self.body.get("exp_alerts")) or any(sample["value"] != 0 for sample in samples)

    def is_silent(self) -> bool:
        return not self.fires()


def read_rules(path: Path) -> list[Rule]:
    groups = read_yaml(path)["groups"]
    return [Rule(str(body.get("alert") or body["record"]), "alert" in body, body) for group in groups for body in group["rules"]]


def read_checks(folder: Path) -> dict[Path, list[Check]]:
    """The checks of every *_test.yml."""
    return {path: list(_checks(read_yaml(path))) for path in sorted(folder.glob("*_test.yml"))}


def _checks(content: dict[str, Any]) -> Iterator[Check]:
    for test in content["tests"]:
        for kind in ("alert_rule_test", "promql_expr_test"):
            for body in test.get(kind, []):
                yield Check(test, kind, body)


def metrics_of(expr: str) -> set[str]:
    """The names of metrics that an expression reads, of recordings too."""
    bare = re.sub(r'"[^"]*"', "", expr)
    found = set(re.findall(r"\b(longspan:[a-z_]+:[a-z0-9_]+|longspan_[a-z_]+|process_[a-z_]+|up\b)", bare))
    for names in re.findall(r'__name__=~"([^"]*)"', expr):
        found.update(names.split("|"))
    return found


def with_what_it_needs(rule: Rule, rules: list[Rule]) -> list[Rule]:
    """The rule behind all recordings that it reads, directly or not, in the order of the file."""
    needed, open_names = {id(rule)}, metrics_of(rule.expr)
    while open_names:
        found = [other for other in rules if not other.is_alert and other.name in open_names and id(other) not in needed]
        needed.update(id(other) for other in found)
        open_names = {name for other in found for name in metrics_of(other.expr)}
    return [other for other in rules if id(other) in needed]


def series_of(check: Check) -> set[str]:
    """The metrics that a check's test feeds in."""
    return {re.split(r"[{ ]", str(series["series"]))[0] for series in check.test["input_series"]}
