"""What the panels of our dashboards have in common: variables, queries, forms, thresholds.

Panels are small values (Graph, Stat), which build() turns into Grafana's.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Selects the servers that the variables name: in the server's own series, and in recordings that
# have no instance.
SERVER = 'namespace=~"$namespace", job=~"$job", instance=~"$instance"'
JOB = 'namespace=~"$namespace", job=~"$job"'
RATE = "[$__rate_interval]"
GREEN, ORANGE, RED = "green", "orange", "red"


def alert_threshold(name: str, number: int = 0) -> float:
    """The numbers that an alert of rules.yml compares with, in order."""
    rules = yaml.safe_load((Path(__file__).parent.parent / "prometheus/rules.yml").read_text(encoding="utf-8"))
    expr = next(rule["expr"] for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == name)
    return float(re.findall(r"[<>]=? ([0-9.]+)", expr)[number])


@dataclass(frozen=True)
class Query:
    """A query, and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 7
    # Values from which it is orange and red: those of alerts.
    warn: float | None = None
    bad: float | None = None
    below: bool = False             # bad is what lies below
    maximum: float | None = None
    none: str | None = None         # what stands there where no series exist

    def steps(self) -> list[models.Threshold]:
        first, last = (RED, GREEN) if self.below else (GREEN, RED)
        steps = [models.Threshold(value=None, color=first)]
        if self.warn is not None:
            steps.append(models.Threshold(value=self.warn, color=ORANGE))
        if self.bad is not None:
            steps.append(models.Threshold(value=self.bad, color=last))
        return steps

    def fill(self, builder: Any) -> Any:
        builder = (builder.title(self.title).description(self.description).unit(self.unit).datasource(SOURCE).span(self.width).height(self.height)
                   .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(self.steps())))
        if self.maximum is not None:
            builder = builder.max(self.maximum)
        if self.none is not None:
            builder = builder.no_value(self.none)
        for number, query in enumerate(self.queries):
            target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + number)).datasource(SOURCE)
            builder = builder.with_target(target.instant() if isinstance(self, Stat) and not self.graph else target.range())
        return builder


@dataclass(frozen=True)
class Graph(Panel):
    """Lines over time. Dashed lines at the thresholds; a query named "limit" is dashed too."""

    stacked: bool = False

    def build(self) -> Any:
        builder = (self.fill(timeseries.Panel()).min(0).line_width(1).fill_opacity(30 if self.stacked else 8).show_points(shapes.VisibilityMode.NEVER)
                   .legend(common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST).placement(shapes.LegendPlacement.BOTTOM).show_legend(True))
                   .tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)))
        if self.stacked:
            builder = builder.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
        if self.warn is not None or self.bad is not None:
            builder = builder.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphTresholdsStyleMode.DASHED))
        if any(query.legend.startswith("limit") for query in self.queries):
            dashed = [models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}), models.DynamicConfigValue("custom.fillOpacity", 0),
                      models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": RED})]
            builder = builder.override_by_regexp("^limit.*", dashed)
        return builder


@dataclass(frozen=True)
class Stat(Panel):
    """One number, or where `names` is set what a series is called."""

    width: int = 3
    height: int = 4
    names: bool = False
    graph: bool = True
    decimals: int | None = None

    def build(self) -> Any:
        builder = (self.fill(stat.Panel()).color_mode(shapes.BigValueColorMode.VALUE)
                   .graph_mode(shapes.BigValueGraphMode.AREA if self.graph else shapes.BigValueGraphMode.NONE)
                   .text_mode(shapes.BigValueTextMode.NAME if self.names else shapes.BigValueTextMode.VALUE)
                   .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])))
        return builder if self.decimals is None else builder.decimals(self.decimals)


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Graph | Stat]


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query).multi(True).include_all(True).all_value(".*")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
            .current(models.VariableOption(selected=True, text="All", value="$__all")))


def board(uid: str, title: str, description: str, rows: Sequence[Row], numbers: Sequence[dashboard.TextBoxVariable] = ()) -> models.Dashboard:
    """A dashboard of rows, with the variables that all of ours have, and `numbers`."""
    builder = (dashboard.Dashboard(title).uid(uid).description(description).tags(["longspan"]).editable().refresh("30s").time("now-1h", "now")
               .timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
               .link(dashboard.DashboardLink("longspan").type(models.DashboardLinkType.DASHBOARDS).tags(["longspan"]).include_vars(True).keep_time(True))
               .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
               .with_variable(_variable("namespace", "Namespace", "label_values(longspan_build_info, namespace)"))
               .with_variable(_variable("job", "Job", 'label_values(longspan_build_info{namespace=~"$namespace"}, job)'))
               .with_variable(_variable("instance", "Server", f"label_values(longspan_build_info{{{JOB}}}, instance)")))
    for number in numbers:
        builder = builder.with_variable(number)
    for row in rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            builder = builder.with_panel(panel.build())
    built = builder.build()
    for identity, placed in enumerate(built.panels or [], 1):
        placed.id_val = identity
    return built
