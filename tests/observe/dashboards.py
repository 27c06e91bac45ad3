"""The dashboards of deploy/grafana as Grafana reads them: panels, queries, variables."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("overview", "capacity")


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    board: str
    panel: dict[str, Any]
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.board} / {self.panel['title']} / {self.body['refId']}"

    def expr(self, rate_interval: str, variables: dict[str, str]) -> str:
        """The query as Grafana sends it, where every variable of servers says All."""
        expr = str(self.body["expr"]).replace("$__rate_interval", rate_interval)
        for name, value in variables.items():
            expr = re.sub(rf"\${name}\b", value, expr)
        return expr


def read_board(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that show something, without the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(folder: Path) -> Iterator[Target]:
    for name in NAMES:
        for panel in panels(read_board(folder, name)):
            for body in panel["targets"]:
                yield Target(name, panel, body)


def variables(board: dict[str, Any]) -> dict[str, str]:
    """What each variable stands for before anybody has chosen."""
    return {each["name"]: str(each.get("allValue") or each["query"]) for each in board["templating"]["list"] if each["type"] != "datasource"}
