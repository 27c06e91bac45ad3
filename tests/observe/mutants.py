"""Broken versions of a rule. A rule is tested where none of them passes its tests."""
from __future__ import annotations

import re
from collections.abc import Iterator

from rules import Rule


def broken_versions(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Each with what is broken about it."""
    if not rule.is_alert:
        yield "doubled", _with_expr(rule, f"({rule.expr}) * 2")
        return
    yield "never fires", _with_expr(rule, f"({rule.expr}) and vector(0) > 1")
    thresholds = re.sub(r"(==|!=|>=|<=|>|<)(\s+)(\d[\d.]*)", _always, rule.expr)
    if thresholds != rule.expr:
        yield "knows no threshold", _with_expr(rule, thresholds)
    clause = _last_clause(rule.expr)
    if clause is not None:
        yield "lacks its last clause", _with_expr(rule, rule.expr[:clause])
    if "for" in rule.body:
        yield "does not wait", Rule(rule.name, True, {key: value for key, value in rule.body.items() if key != "for"})


def _with_expr(rule: Rule, expr: str) -> Rule:
    return Rule(rule.name, rule.is_alert, {**rule.body, "expr": expr})


def _always(comparison: re.Match[str]) -> str:
    """A bound that every value passes."""
    operator = comparison[1]
    return f"{'<' if operator.startswith('<') else '>='}{comparison[2]}{'1e15' if operator.startswith('<') else '-1e15'}"


def _last_clause(expr: str) -> int | None:
    """Where the last "and" or "unless" outside of parentheses begins."""
    depth, found = 0, None
    for match in re.finditer(r'"[^"]*"|[(\[{]|[)\]}]|\b(and|unless)\b', expr):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
        elif match[1] and depth == 0:
            found = match.start()
    return found
