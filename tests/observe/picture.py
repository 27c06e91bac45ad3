"""Draws a dashboard as Grafana lays it out: each panel in its place of the grid, with its lines,
thresholds and legend, or its number."""
from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from dashboards import panels
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

matplotlib.use("Agg")

WIDTH, CELL = 15.0, 0.34          # inches: of the picture, and of a row of the grid
BACKGROUND, PAPER, INK, FAINT = "#f4f5f5", "#ffffff", "#24292e", "#8a9099"
LINES = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#c4162a", "#14a5a5", "#8f6b1d", "#6e7681", "#e02f81", "#96b400")
COLORS = {"green": "#299c46", "orange": "#ed8128", "red": "#d0312d"}
Series = list[dict[str, Any]]     # as Prometheus answers a query over time


def in_unit(unit: str, value: float) -> str:
    """A number as the panel's unit shows it."""
    if math.isnan(value):
        return ""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    suffix = unit.removeprefix("suffix:") if unit.startswith("suffix:") else {"reqps": " /s", "ops": " /s"}.get(unit, "")
    return _scaled(value, 1000, ("", "K", "M", "G")).strip() + suffix


def _seconds(value: float) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return "0 s" if abs(value) < 1e-9 else f"{value * 1e6:.3g} µs"


def _scaled(value: float, base: int, names: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= base and power + 1 < len(names):
        value, power = value / base, power + 1
    return f"{value:.3g} {names[power]}"


def legend_of(template: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), template)


def color_of(value: float, steps: list[dict[str, Any]]) -> str:
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLORS[passed[-1]]


def draw(board: dict[str, Any], series: Callable[[dict[str, Any]], Series], path: Path) -> None:
    """Writes a PNG. `series` answers the query of a panel's target."""
    rows = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in board["panels"])
    figure = Figure(figsize=(WIDTH, rows * CELL + 0.4), facecolor=BACKGROUND)
    figure.text(0.008, 1 - 0.2 / figure.get_figheight(), board["title"], fontsize=13, fontweight="bold", color=INK, va="center")
    for each in board["panels"]:
        if each["type"] == "row":
            left, bottom, _, high = _place(figure, each["gridPos"], 0)
            figure.text(left + 0.004, bottom + high * 0.45, each["title"], fontsize=10, fontweight="bold", color=INK, va="center")
    for panel in panels(board):
        found = [(legend_of(target["legendFormat"], one["metric"]), one["values"]) for target in panel["targets"] for one in series(target)]
        _frame(figure, panel)
        (_number if panel["type"] == "stat" else _lines)(figure, panel, found)
    raw = io.BytesIO()
    figure.savefig(raw, dpi=100, facecolor=BACKGROUND)
    # A palette makes it a third as large.
    Image.open(raw).convert("RGB").quantize(255).save(path, optimize=True)


def _place(figure: Figure, at: dict[str, int], pad: float) -> tuple[float, float, float, float]:
    """A place of the grid as shares of the figure: left, bottom, width, height; `pad` in inches."""
    wide, high = figure.get_figwidth(), figure.get_figheight()
    cell = (wide - 0.1) / 24
    left, top = 0.05 + at["x"] * cell + pad, high - 0.4 - at["y"] * CELL - pad
    return left / wide, (top - at["h"] * CELL + 2 * pad) / high, (at["w"] * cell - 2 * pad) / wide, (at["h"] * CELL - 2 * pad) / high


def _frame(figure: Figure, panel: dict[str, Any]) -> None:
    left, bottom, wide, high = _place(figure, panel["gridPos"], 0.035)
    figure.patches.append(Rectangle((left, bottom), wide, high, transform=figure.transFigure, facecolor=PAPER, edgecolor="#dcdfe2", linewidth=0.8, zorder=-2))
    figure.text(left + 0.004, bottom + high - 0.13 / figure.get_figheight(), panel["title"], fontsize=8.5, fontweight="bold", color=INK, va="center")


def _axes(figure: Figure, panel: dict[str, Any], left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes inside a panel, with margins in inches."""
    at = _place(figure, panel["gridPos"], 0.035)
    wide, high = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes((at[0] + left / wide, at[1] + bottom / high, at[2] - (left + right) / wide, at[3] - (bottom + top) / high))


def _number(figure: Figure, panel: dict[str, Any], found: list[tuple[str, list[list[Any]]]]) -> None:
    axes = _axes(figure, panel, 0.05, 0.05, 0.04, 0.26)
    axes.set_axis_off()
    defaults = panel["fieldConfig"]["defaults"]
    if not found:
        text, color = defaults.get("noValue", "no data"), FAINT
    elif panel["options"]["textMode"] == "name":
        text, color = "\n".join(textwrap.fill(legend, 22) for legend, _ in found[:2]), COLORS["green"]
    else:
        points = [float(value) for _, value in found[0][1]]
        text, color = in_unit(defaults["unit"], points[-1]), color_of(points[-1], defaults["thresholds"]["steps"])
        if panel["options"]["graphMode"] == "area":
            axes.fill_between(range(len(points)), points, color=color, alpha=0.13, linewidth=0)
            axes.set_ylim(0, max([*points, 1e-9]) * 1.6)
            axes.set_xlim(0, max(len(points) - 1, 1))
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=color, fontsize=17 if len(text) < 9 else 9, fontweight="bold", linespacing=1.2)


def _lines(figure: Figure, panel: dict[str, Any], found: list[tuple[str, list[list[Any]]]]) -> None:
    columns = max(1, min(4, len(found), 76 // (max([len(legend) for legend, _ in found] or [0]) + 5)))
    rows = min(3, math.ceil(len(found) / columns)) if found else 0
    axes = _axes(figure, panel, 0.62, 0.12, 0.24 + 0.15 * rows, 0.3)
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    if not found:
        axes.text(0.5, 0.5, defaults.get("noValue", "no data"), transform=axes.transAxes, ha="center", va="center", fontsize=9, color=FAINT)
    lines = {legend: ([at for at, _ in points], [float(value) for _, value in points]) for legend, points in sorted(found, key=_natural)}
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    if stacked and lines:
        _stack(axes, lines)
    else:
        for number, (legend, (times, points)) in enumerate(lines.items()):
            limit = legend.startswith("limit")
            axes.plot(times, points, label=legend, linewidth=1.1, color=COLORS["red"] if limit else LINES[number % len(LINES)], linestyle=(0, (5, 3)) if limit else "-")
    _finish(axes, defaults, bool(found))
    if found:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[:rows * columns], labels[:rows * columns], loc="upper left", bbox_to_anchor=(-0.14, -0.1), ncols=columns, fontsize=6.5, frameon=False,
                    labelcolor=INK, handlelength=1.0, columnspacing=1.0, borderaxespad=0, handletextpad=0.4, labelspacing=0.3)


def _natural(series: tuple[str, Any]) -> list[tuple[int, str]]:
    """Sorts "to 512" before "to 2048", and limits last."""
    words = re.split(r"(\d+)", series[0])
    return [(1 if series[0].startswith("limit") else 0, ""), *((int(word), "") if word.isdigit() else (0, word) for word in words)]


def _stack(axes: Axes, lines: dict[str, tuple[list[float], list[float]]]) -> None:
    times = sorted({time for found, _ in lines.values() for time in found})
    layers = []
    for found, points in lines.values():
        at = dict(zip(found, points, strict=True))
        layers.append([at.get(time, 0.0) for time in times])
    axes.stackplot(times, layers, labels=list(lines), colors=[LINES[n % len(LINES)] for n in range(len(layers))], alpha=0.65, linewidth=0)


def _step(unit: str, top: float) -> float | None:
    """The distance of two ticks, where the unit has round numbers of its own."""
    if unit == "bytes":
        return float(2 ** math.ceil(math.log2(max(top, 4) / 4)))
    if unit == "s" and top > 100:
        return next((step for step in (30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0) if top / step <= 5), 86400.0)
    return None


def _finish(axes: Axes, defaults: dict[str, Any], has_data: bool) -> None:
    drawn = [float(value) for line in axes.get_lines() for value in np.asarray(line.get_ydata())]
    top = axes.get_ylim()[1] if has_data and (axes.collections or max(drawn, default=0) > 0) else 1.0
    for step in defaults["thresholds"]["steps"][1:]:
        # Like Grafana, which does not stretch the axis for a line that is far above all data.
        if step["value"] <= 2.5 * top and defaults["custom"].get("thresholdsStyle"):
            top = max(top, step["value"] * 1.1)
            axes.axhline(step["value"], color=COLORS[step["color"]], linewidth=0.9, linestyle=(0, (5, 3)))
    axes.set_ylim(0, min(top * 1.02, defaults.get("max", math.inf) * 1.02))
    step = _step(defaults["unit"], top)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4) if step is None else ticker.MultipleLocator(step))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: in_unit(defaults["unit"], value)))
    axes.xaxis.set_major_locator(ticker.MultipleLocator(60) if has_data else ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda at, _: datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M")))
    axes.tick_params(labelsize=7, colors=FAINT, length=0)
    axes.grid(color="#e7e9eb", linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
