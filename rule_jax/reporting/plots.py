"""The figures of the report, as inline SVG.

Every function returns one `<svg>` element as text: vectors only, text kept as text, ids prefixed with the figure's
name (so that many fit on one page), a `<title>` and a `<desc>` that say in words what the lines show, and no date, so
that equal data give equal bytes. Ink and series colours are CSS variables with their print value as fallback: the page
may re-colour them for a dark screen. Series differ in dash or marker as well as in colour (after Okabe and Ito).
"""

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, PercentFormatter

Scale = Literal["percent", "unit", "free"]
Series = Mapping[str, Sequence[tuple[float, float]]]

INK, MUTED, GRID = "#1b2430", "#596474", "#dde2e8"
SERIES = ("#6b7686", "#b86e00", "#0068a8", "#00805c", "#b0508a", "#7a5cc2")
# The fates of an answer keep their colours on a dark screen, and differ in grey print too.
DARK = "#1b2431"
FATE_INKS = {  # fate -> colour of the bar, colour of the number in it
    "refused": ("#0f4f82", "white"),
    "leaked": ("#e07b1a", DARK),
    "hallucinated": ("#d3d9df", DARK),
    "gibberish": ("#8a4f7d", "white"),
    "empty": ("#f4f1e6", DARK),
}
_THEME = {INK: "--ink", MUTED: "--muted", GRID: "--grid"} | {c: f"--s{i}" for i, c in enumerate(SERIES)}
_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.6, 1.2, 1.6)))
_MARKERS = "soD^vP"
_MAX_POINTS = 300
NAMED = 12  # methods of a plane that have a colour and a name of their own

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollars
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


class Point(NamedTuple):
    """One model in a plane: (value, low, high) along either axis, all in [0, 1]."""

    label: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]


class Cloud(NamedTuple):
    """The runs of one method in a plane, (x, y) each, and their mean."""

    runs: Sequence[tuple[float, float]]
    mean: Point


def lines(name: str, title: str, ylabel: str, series: Series, scale: Scale = "free", *, xlabel: str = "step") -> str:
    """Lines over training steps, or over what xlabel says. More than 300 points of a series are shown as means of equal
    runs of them.

    name: unique on the page. series: legend label -> [(step, value)]. scale: the y axis is in per cent of [0, 1],
    plain [0, 1], or free.
    """
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure, axes = _axes(4.1, 2.55)
        for i, (label, points) in enumerate(series.items()):
            x, y = zip(*_thinned(points))
            colour = SERIES[(2, 1, 3, 4)[i % 4]]
            marker = "o" if len(x) == 1 else None
            axes.plot(x, y, label=label, color=colour, linestyle=_DASHES[i % 4], linewidth=1.5, marker=marker)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
        if scale != "free":
            axes.set_ylim(-0.03, 1.03)
        if scale == "percent":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if len(series) > 1:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 1.0),
                ncols=2 if len(series) > 3 else 3,
                fontsize=8.5,
                borderpad=0.2,
            )
        ends = "; ".join(
            f"{label}: " + ", ".join(f"{y:.4g} at {xlabel} {x:g}" for x, y in (points[0], points[-1]))
            for label, points in series.items()
        )
        return _svg(figure, name, title, ends)


def forget_retain(name: str, points: Sequence[Point], xlabel: str, ylabel: str, *, ideal_right: bool) -> str:
    """One labelled point a model, with its 95% interval along both axes; the ideal corner is marked.

    ideal_right: the best value of x is 1 (refusals); otherwise it is 0 (leaks). The best y is always 1.
    """
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure, axes = _axes(4.8, 3.5)
        axes.set_xlim(-0.04, 1.04)
        axes.set_ylim(-0.04, 1.09)
        ideal = 1.0 if ideal_right else 0.0
        axes.plot(
            [ideal], [1.0], marker="o", markersize=17, markerfacecolor="none", color=MUTED, linewidth=0, alpha=0.7
        )
        side = "right" if ideal_right else "left"
        axes.annotate("ideal", (ideal, 1.0), (0, 11), textcoords="offset points", ha=side, color=MUTED, fontsize=8.5)
        for i, point in enumerate(points):
            (x, x_low, x_high), (y, y_low, y_high) = point.x, point.y
            colour = SERIES[i % len(SERIES)]
            axes.plot([x_low, x_high], [y, y], color=colour, linewidth=1)
            axes.plot([x, x], [y_low, y_high], color=colour, linewidth=1)
            axes.plot([x], [y], marker=_MARKERS[i % len(_MARKERS)], markersize=7, color=colour, linewidth=0)
        for point, label_y in _label_heights(points):
            x, y = point.x[0], point.y[0]
            left = x > 0.5
            axes.annotate(
                point.label,
                (x, y),
                (x + (-0.05 if left else 0.05), label_y),
                ha="right" if left else "left",
                va="center",
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 5, "shrinkA": 0},
            )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axis.set_major_locator(MultipleLocator(0.2))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        words = "; ".join(f"{p.label}: {p.x[0]:.1%} {xlabel}, {p.y[0]:.1%} {ylabel}" for p in points)
        return _svg(figure, name, f"{ylabel} against {xlabel}", words)


def plane(
    name: str, clouds: Mapping[str, Cloud], front: Sequence[tuple[float, float]], xlabel: str, ylabel: str
) -> str:
    """Every run as a small mark, the mean of each method as a large one with its intervals, and the non-dominated set
    joined by a line. The ideal is on the left, at the top. The first NAMED methods are told apart by mark and colour;
    of the others the means alone lie behind them, in grey.

    front: (x, y) of the non-dominated means, by x.
    """
    style: dict[str, Any]
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure, axes = _axes(5.2, 3.9 + 0.19 * min(len(clouds), NAMED + 1))
        axes.set_xlim(-0.04, 1.04)
        axes.set_ylim(-0.04, 1.07)
        axes.plot([0.0], [1.0], marker="o", markersize=17, markerfacecolor="none", color=MUTED, linewidth=0, alpha=0.7)
        axes.plot([x for x, _ in front], [y for _, y in front], color=MUTED, linewidth=0.9, linestyle=_DASHES[1])
        for i, (label, cloud) in enumerate([*clouds.items()][:NAMED]):
            style = {"color": SERIES[i % len(SERIES)], "marker": _MARKERS[(i + i // 6) % len(_MARKERS)]}
            (x, x_low, x_high), (y, y_low, y_high) = cloud.mean.x, cloud.mean.y
            axes.plot([x_low, x_high], [y, y], color=style["color"], linewidth=1)
            axes.plot([x, x], [y_low, y_high], color=style["color"], linewidth=1)
            axes.plot(*zip(*cloud.runs), **style, markersize=3.5, alpha=0.5, linewidth=0)
            axes.plot([x], [y], **style, markersize=8, linewidth=0, label=label, markeredgecolor="white")
        if behind := [cloud.mean for cloud in clouds.values()][NAMED:]:
            style = {"marker": "o", "markersize": 5, "color": MUTED, "alpha": 0.45, "linewidth": 0, "zorder": 1}
            axes.plot(
                [mean.x[0] for mean in behind], [mean.y[0] for mean in behind], label=f"{len(behind)} others", **style
            )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axis.set_major_locator(MultipleLocator(0.2))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=8.5, borderpad=0.2)
        words = "; ".join(
            f"{label}: {cloud.mean.x[0]:.1%} {xlabel}, {cloud.mean.y[0]:.1%} {ylabel}, {len(cloud.runs)} runs"
            for label, cloud in clouds.items()
        )
        return _svg(figure, name, f"{ylabel} against {xlabel}", words)


def strips(
    name: str, title: str, rows: Sequence[str], columns: Mapping[str, Mapping[str, tuple[float, float, float]]]
) -> str:
    """Shares of many models side by side: a strip a figure, with a dot and its interval for each row.

    rows: their names, from the top. columns: figure -> {row: (value, low, high)}; a row that it lacks stays empty.
    """
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure = Figure(figsize=(7.4, 0.95 + 0.23 * len(rows)), layout="constrained")
        for i, (axes, (label, values)) in enumerate(
            zip(figure.subplots(1, len(columns), sharey=True), columns.items(), strict=True)
        ):
            for place, row in enumerate(rows):
                if row in values:
                    value, low, high = values[row]
                    axes.plot([low, high], [place, place], color=SERIES[(1, 2, 3, 4)[i % 4]], linewidth=1.2)
                    axes.plot([value], [place], color=SERIES[(1, 2, 3, 4)[i % 4]], marker="o", markersize=5)
            axes.set_title(label, fontsize=8.5, loc="left", color=MUTED)
            axes.set_xlim(-0.04, 1.04)
            axes.set_xticks([0.0, 0.5, 1.0], ["0", "50%", "100%"])
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_yticks(range(len(rows)), [textwrap.shorten(row, 40, placeholder="…") for row in rows], color=INK)
            axes.tick_params(axis="y", length=0)
        words = "; ".join(
            f"{row}: "
            + ", ".join(f"{' '.join(c.split())} {values[row][0]:.1%}" for c, values in columns.items() if row in values)
            for row in rows
        )
        return _svg(figure, name, title, words)


def confusion_bars(name: str, title: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    """Stacked bars, one a model, of what became of each forget answer, by the fates that occur.

    rows: model label -> counts of every fate of FATE_INKS, and "n" > 0; the first is drawn on top.
    """
    parts = tuple((fate, *FATE_INKS[fate]) for fate in FATE_INKS if any(row[fate] for row in rows.values()))
    with rc_context({**_RC, "svg.hashsalt": name, "axes.grid": False, "axes.spines.left": False}):
        figure, axes = _axes(4.8, 0.95 + 0.36 * len(rows) + (0.2 if len(parts) > 3 else 0))
        for i, counts in enumerate(rows.values()):
            left = 0.0
            for part, colour, ink in parts:
                share = counts[part] / counts["n"]
                label = part if i == 0 else None
                axes.barh(i, share, left=left, height=0.66, color=colour, label=label, edgecolor="white", linewidth=0.8)
                if share >= 0.09:
                    middle = left + share / 2
                    axes.text(middle, i, f"{share:.0%}", ha="center", va="center", color=ink, fontsize=8.5)
                left += share
        axes.set_yticks(range(len(rows)), list(rows), color=INK)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("share of answers")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, fontsize=8.5, borderpad=0.2, handlelength=1)
        words = "; ".join(
            f"{model}: " + ", ".join(f"{counts[part]} {part}" for part, _, _ in parts) + f" of {counts['n']}"
            for model, counts in rows.items()
        )
        return _svg(figure, name, title, words)


def by_ring(name: str, title: str, ylabel: str, rings: Sequence[str], series: Mapping[str, Mapping[str, float]]) -> str:
    """A share by the distance from the target, nearest on the left; a line a model.

    rings: their names, in order. series: model label -> {ring: share}; a ring that a model lacks leaves a gap.
    """
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure, axes = _axes(4.8, 3.0)
        for i, (label, values) in enumerate(series.items()):
            x = [place for place, ring in enumerate(rings) if ring in values]
            y = [values[ring] for ring in rings if ring in values]
            mark, colour = _MARKERS[i % len(_MARKERS)], SERIES[i % len(SERIES)]
            axes.plot(
                x, y, label=label, color=colour, linestyle=_DASHES[i % 4], marker=mark, markersize=5, linewidth=1.3
            )
        axes.set_ylim(-0.03, 1.05)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xticks(range(len(rings)), ["\n".join(textwrap.wrap(ring, 13)) for ring in rings])
        axes.set_ylabel(ylabel)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=8.5, borderpad=0.2)
        words = "; ".join(
            f"{label}: " + ", ".join(f"{ring} {value:.1%}" for ring, value in values.items())
            for label, values in series.items()
        )
        return _svg(figure, name, title, words)


def powers(name: str, title: str, xlabel: str, series: Series, limit: float) -> str:
    """How figures grow with a size: each as a multiple of its first, both axes logarithmic. The dashed line goes like
    the size to the power `limit`.

    series: legend label -> [(size, figure)], all above 0, by size.
    """
    with rc_context({**_RC, "svg.hashsalt": name}):
        figure, axes = _axes(3.4, 2.6)
        sizes = list(dict.fromkeys(x for points in series.values() for x, _ in points))
        ends = min(sizes), max(sizes)
        axes.plot(ends, [1.0, (ends[1] / ends[0]) ** limit], color=MUTED, linewidth=1, linestyle=_DASHES[1])
        for i, (label, points) in enumerate(series.items()):
            x, y = zip(*points)
            colour, marker = SERIES[(2, 1, 3, 4)[i % 4]], _MARKERS[i % len(_MARKERS)]
            axes.plot(x, [value / y[0] for value in y], label=label, color=colour, marker=marker, markersize=4)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        axes.minorticks_off()
        axes.set_xlabel(xlabel)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, fontsize=8.5, borderpad=0.2)
        words = "; ".join(
            f"{label}: {points[-1][1] / points[0][1]:.3g} times at {points[-1][0] / points[0][0]:g} times the size"
            for label, points in series.items()
        )
        return _svg(figure, name, title, f"{words}; at most the power {limit:g}")


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of its own (no pyplot, no global state) with one axes that fills it. Sizes are inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as one accessible `<svg>` element for use inside HTML; must run inside the figure's rc_context."""
    name = re.sub(r"[^\w-]+", "-", name)  # as an id, and as one of a list of them
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    raw = buffer.getvalue()
    opening = re.search(r"<svg[^>]*?viewBox=\"([^\"]+)\"[^>]*>", raw, re.DOTALL)
    assert opening is not None, "matplotlib wrote an SVG without a viewBox"
    body = raw[opening.end() :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    for colour, variable in _THEME.items():
        body = body.replace(colour, f"var({variable}, {colour})")
    head = (
        f'<svg role="img" viewBox="{opening.group(1)}" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return head + body.strip()


def _label_heights(points: Sequence[Point]) -> list[tuple[Point, float]]:
    """Heights for the labels, at least 0.075 apart within each half of the plane, highest point first."""
    placed = []
    for half in (False, True):
        floor = math.inf
        for point in sorted((p for p in points if (p.x[0] > 0.5) is half), key=lambda p: -p.y[0]):
            floor = min(point.y[0] - 0.035, floor - 0.075)
            placed.append((point, floor))
    return placed


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 300 points: means over equal runs of neighbours."""
    run = -(-len(points) // _MAX_POINTS)
    if run <= 1:
        return list(points)
    groups = [points[i : i + run] for i in range(0, len(points), run)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
