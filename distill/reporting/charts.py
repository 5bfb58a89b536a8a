"""The charts of differences and of quality against price: dots with intervals, and a frontier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...store.rows import Score
from ..evaluation.results import SwapVerdict
from . import drawing
from .drawing import GRID, INK, MUTED, PAPER, STUDENT, WARN, Margins, printed
from .figures import dollars, interval, known, percent, points, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LETTERS = 36
MOST_ROWS = 30  # of one chart of intervals; the table has them all


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One row of a chart of intervals: `band` shades so many units on both sides of zero."""

    name: str
    score: Score
    note: str = ""  # stands behind the figures
    role: str = "student"
    band: float | None = None


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One system between price and quality: `right` is a share, `price` what the x axis counts."""

    name: str
    role: str
    right: Score
    price: float


@drawing.styled
def swap_chart(verdict: SwapVerdict, name: str) -> str | None:
    """The difference and its interval against the margin: what the verdict is read from."""
    low, at, high = (getattr(verdict.difference, end) for end in ("low", "value", "high"))
    if not (known(low) and known(at) and known(high)):
        return None
    figure, axes = drawing.canvas(360, 104, Margins(left=14, right=14, top=26, bottom=26))
    left, right = min(low, -verdict.margin, 0.0), max(high, 0.0)
    space = 0.12 * (right - left)
    axes.set_xlim(left - space, right + space)
    axes.set_ylim(-1, 1)
    axes.axvspan(left - 2 * space, -verdict.margin, color=WARN, alpha=0.1, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=1.25)
    axes.axvline(-verdict.margin, color=WARN, linewidth=1.5, linestyle=(0, (5, 3)))
    axes.plot([low, high], [0, 0], color=STUDENT, linewidth=7, solid_capstyle="round", alpha=0.45)
    axes.plot([at], [0], "o", color=STUDENT, markersize=11, markeredgecolor=PAPER)
    share = (space - verdict.margin - left) / (right - left + 2 * space)
    side = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    axes.text(-verdict.margin, 1.15, f"margin {points(-verdict.margin)}", ha=side, color=WARN)
    axes.locator_params(axis="x", nbins=6)
    _plain_axis(axes, points)
    words = (
        f"{verdict.student} minus {verdict.teacher} on {verdict.split}: {points(at)} points "
        f"{interval(verdict.difference, points)}; the margin is {points(-verdict.margin)}"
    )
    return drawing.svg(figure, name, title="Difference against the margin", words=words)


@drawing.styled
def difference_chart(dots: Sequence[Dot], name: str, *, title: str) -> str | None:
    """Differences in points around zero; hollow where the interval includes 0.

    A grey band: what is too small for this many rows to show.
    """
    shown = [dot for dot in dots if known(dot.score.value)][:MOST_ROWS]
    if not shown:
        return None
    reach = _reach([dot.score for dot in shown])
    figure, axes = _rows_canvas(shown)
    axes.set_xlim(-reach, reach)
    axes.axvline(0, color=MUTED, linewidth=1.25)
    for row, dot in enumerate(shown):
        if known(dot.band):
            width = min(dot.band, reach)
            axes.barh(row, 2 * width, left=-width, height=0.62, color=GRID, linewidth=0)
        _interval(axes, row, dot, 1.0)
    _labels(axes, shown, points)
    _plain_axis(axes, points)
    words = "; ".join(f"{d.name}: {points(d.score.value or 0)} {d.note}".strip() for d in shown)
    return drawing.svg(figure, name, title=title, words=words)


@drawing.styled
def share_chart(dots: Sequence[Dot], name: str, *, title: str) -> str | None:
    """Shares from 0 to 100 % with their intervals."""
    shown = [dot for dot in dots if known(dot.score.value)][:MOST_ROWS]
    if not shown:
        return None
    figure, axes = _rows_canvas(shown)
    axes.set_xlim(0, 100)
    for row, dot in enumerate(shown):
        _interval(axes, row, dot, 100.0)
    _labels(axes, shown, percent)
    axes.set_xticks([0, 25, 50, 75, 100])
    _plain_axis(axes, lambda value: f"{value:.0f} %")
    words = "; ".join(
        f"{d.name}: {percent(d.score.value or 0)} % {interval(d.score, percent)}" for d in shown
    )
    return drawing.svg(figure, name, title=title, words=words)


@drawing.styled
def frontier_chart(spots: Sequence[Spot], name: str, *, title: str, unit: str) -> str | None:
    """Quality against price (Pareto): what stands on the stepped line is beaten by nobody cheaper.

    Prices are on a logarithmic scale where they differ more than twentyfold.
    """
    found = [s for s in spots if known(s.right.value) and known(s.price) and s.price >= 0]
    if len(found) < 2:
        return None
    figure, axes = drawing.canvas(400, 330, Margins(left=46, right=16, top=14, bottom=50))
    _price_axis(axes, [spot.price for spot in found], dollars if unit == "US$" else seconds)
    for spot in found:
        _spot(axes, spot)
    front = frontier(found)
    axes.step(
        [s.price for s in front],
        [100 * (s.right.value or 0) for s in front],
        where="post",
        color=MUTED,
        linewidth=1.25,
        linestyle=(0, (2, 2)),
        zorder=1,
    )
    axes.set_ylim(*_ends(found))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %" if value <= 100 else "")
    axes.set_xlabel("US$ per 1,000 rows" if unit == "US$" else "seconds per row, median")
    _name_spots(axes, found, {spot.name for spot in front})
    words = "; ".join(
        f"{s.name}: {percent(s.right.value or 0)} % at "
        f"{dollars(s.price) if unit == 'US$' else seconds(s.price)} {unit}"
        for s in found
    )
    return drawing.svg(figure, name, title=title, words=words)


def frontier(spots: Sequence[Spot]) -> list[Spot]:
    """Those that no other one beats in both, cheapest first."""
    best, front = -1.0, []
    for spot in sorted(spots, key=lambda s: (s.price, -(s.right.value or 0))):
        if (spot.right.value or 0) > best:
            best = spot.right.value or 0
            front.append(spot)
    return front


def _rows_canvas(dots: Sequence[Dot]) -> tuple[Any, Axes]:
    longest = max(len(printed(dot.name, MOST_LETTERS)) for dot in dots)
    right = 240 if any(dot.note for dot in dots) else 150
    margins = Margins(left=24 + 7.2 * longest, right=right, top=8, bottom=30)
    figure, axes = drawing.canvas(820, round(26 * len(dots) + 38), margins)
    axes.set_ylim(len(dots) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure, axes


def _interval(axes: Axes, row: int, dot: Dot, scale: float) -> None:
    colour = drawing.ROLE_COLOURS.get(dot.role, INK)
    at, low, high = (getattr(dot.score, end) for end in ("value", "low", "high"))
    hollow = scale == 1.0
    if known(low) and known(high):
        hollow = hollow and low <= 0 <= high
        axes.plot([scale * low, scale * high], [row, row], color=colour, linewidth=2.5)
    axes.plot(
        [scale * at],
        [row],
        drawing.ROLE_MARKERS.get(dot.role, "o"),
        color=colour,
        markerfacecolor=PAPER if hollow else colour,
        markeredgewidth=1.75,
        clip_on=False,
    )


def _labels(axes: Axes, dots: Sequence[Dot], write: Callable[[float], str]) -> None:
    """Names to the left of the plot, figures to its right."""
    place = axes.get_yaxis_transform()
    start = -axes.bbox.x0 / axes.bbox.width  # of the picture, where the plot runs from 0 to 1
    for row, dot in enumerate(dots):
        bounds = interval(dot.score, write)
        text = f"{write(dot.score.value or 0)} {bounds}  {dot.note}".rstrip()
        name = printed(dot.name, MOST_LETTERS)
        axes.text(start, row, name, ha="left", va="center", transform=place)
        axes.text(1.02, row, text, ha="left", va="center", transform=place)


def _plain_axis(axes: Axes, write: Callable[[float], str]) -> None:
    axes.xaxis.set_major_formatter(lambda value, _: write(value).removesuffix(".0"))
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _reach(scores: Sequence[Score]) -> float:
    """The end of a symmetric axis: the next round number of points beyond every interval."""
    ends = [abs(v) for s in scores for v in (s.low, s.value, s.high) if known(v)]
    furthest = max(ends, default=0.0)
    return next((float(step) for step in (2, 4, 10, 20, 40, 60) if furthest <= step), 100.0)


def _price_axis(axes: Axes, prices: Sequence[float], write: Callable[[float], str]) -> None:
    from matplotlib.ticker import NullFormatter

    positive = [price for price in prices if price > 0]
    if positive and max(positive) / min(positive) > 20:
        if len(positive) == len(prices):
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.xaxis.set_minor_formatter(NullFormatter())
        low, high = math.log10(min(positive)), math.log10(max(positive))
        first = 10 ** (low - 0.12 * (high - low)) if len(positive) == len(prices) else 0.0
        axes.set_xlim(first, 10 ** (high + 0.3 * (high - low)))
        decades = range(math.floor(low), math.ceil(high) + 1)
        step = -(-len(decades) // 5)
        shown = [10.0**d for d in decades if first <= 10.0**d][::step]
        axes.set_xticks(shown if len(positive) == len(prices) else [0.0, *shown])
    else:
        axes.set_xlim(0, (max(prices, default=0) or 1) * 1.3)
    axes.xaxis.set_major_formatter(lambda value, _: write(value) if value else "0")
    axes.minorticks_off()


def _spot(axes: Axes, spot: Spot) -> None:
    colour = drawing.ROLE_COLOURS.get(spot.role, INK)
    low, high = spot.right.low, spot.right.high
    if known(low) and known(high):
        axes.plot([spot.price] * 2, [100 * low, 100 * high], color=colour, linewidth=1.25, zorder=2)
    marker = drawing.ROLE_MARKERS.get(spot.role, "P")
    height = 100 * (spot.right.value or 0)
    edge: dict[str, Any] = {"markersize": 8, "markeredgecolor": PAPER, "clip_on": False}
    axes.plot([spot.price], [height], marker, color=colour, **edge)


def _ends(spots: Sequence[Spot]) -> tuple[float, float]:
    """The ends of the axis of quality: a stretch of it where all are good, or all are poor."""
    values = [v for s in spots for v in (s.right.low, s.right.value, s.right.high) if known(v)]
    low, high = 100 * min(values), 100 * max(values)
    floor = -3.0 if low < 35 else 10.0 * math.floor(low / 10)
    top = 10.0 * math.ceil((high + 5) / 10)
    return floor, min(103.0, max(20.0, top))


def _name_spots(axes: Axes, spots: Sequence[Spot], first: set[str]) -> None:
    """Names beside the spots, moved down where they would run into one another.

    Where there are many, those on the frontier and the teachers are named.
    """
    named = spots if len(spots) <= 9 else [s for s in spots if s.name in first or s.role != "base"]
    taken: list[tuple[float, float, float]] = []
    for spot in sorted(named, key=lambda s: (s.name not in first, -(s.right.value or 0)))[:12]:
        text = printed(spot.name, 20)
        height = 100 * (spot.right.value or 0)
        x, y = axes.transData.transform((spot.price, height))
        width = 6.4 * len(text) + 10
        right = x + width < axes.bbox.x1 + 10
        start = x + 8 if right else x - 8 - width
        free = [d for d in _AROUND if not _hits(taken, start, y + d, width)]
        if not free:
            continue
        taken.append((start, y + free[0], width))
        axes.annotate(
            text,
            (spot.price, height),
            xytext=(9 if right else -9, free[0]),
            textcoords="offset pixels",
            ha="left" if right else "right",
            va="center",
            fontsize=11.5,
            color=drawing.ROLE_COLOURS.get(spot.role, INK),
        )


_AROUND = (0, 13, -13, 26, -26)


def _hits(taken: Sequence[tuple[float, float, float]], x: float, y: float, width: float) -> bool:
    return any(abs(y - b) < 13 and x < a + w and a < x + width for a, b, w in taken)
