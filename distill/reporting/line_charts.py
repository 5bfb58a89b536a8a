"""The charts of lines: calibration, risk against coverage, and accuracy against labels bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..evaluation.results import Confidence, LearningPoint
from . import drawing
from .drawing import LINES, MUTED, Margins, printed
from .figures import known, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = len(LINES)


def _canvas(lines: int) -> tuple[Figure, Axes]:
    """Room above the plot for a legend of so many lines."""
    above = 16 + 22 * -(-lines // 2)
    margins = Margins(left=52, right=14, top=above, bottom=48)
    return drawing.canvas(400, 300 + above, margins)


@drawing.styled
def calibration_chart(found: Mapping[str, Confidence], name: str) -> str | None:
    """How often the answer is right where the system was so sure; the dotted line is honesty."""
    if not found:
        return None
    figure, axes = _canvas(len(found))
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.25, linestyle=(0, (1, 2)))
    for (system, one), (colour, dash, marker) in zip(found.items(), LINES, strict=False):
        bins = [b for b in one.curve if b.n and known(b.right.value)]
        axes.plot(
            [100 * b.confidence for b in bins],
            [100 * (b.right.value or 0) for b in bins],
            color=colour,
            linestyle=dash,
            marker=marker,
            markersize=5,
            label=printed(system),
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("confidence, %")
    axes.set_ylabel("right, %")
    drawing.legend(axes)
    words = "; ".join(
        f"{system}: ECE {one.ece:.3f}, Brier {one.brier:.3f}" for system, one in found.items()
    )
    return drawing.svg(figure, name, title="Calibration", words=words)


@drawing.styled
def risk_chart(found: Mapping[str, Confidence], name: str) -> str | None:
    """Share wrong among the rows that are kept, most confident first."""
    if not found:
        return None
    figure, axes = _canvas(len(found))
    top = 0.0
    for (system, one), (colour, dash, marker) in zip(found.items(), LINES, strict=False):
        kept = [100 * x for x, _ in one.risk_coverage]
        wrong = [100 * y for _, y in one.risk_coverage]
        top = max([top, *wrong])
        every = max(1, len(kept) // 6)
        axes.plot(
            kept,
            wrong,
            color=colour,
            linestyle=dash,
            marker=marker,
            markevery=every,
            label=printed(system),
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.12 * top or 1)
    axes.set_xlabel("coverage: rows kept, %")
    axes.set_ylabel("wrong among them, %")
    drawing.legend(axes)
    words = "; ".join(_risk_words(system, one) for system, one in found.items())
    return drawing.svg(figure, name, title="Risk against coverage", words=words)


def _risk_words(system: str, one: Confidence) -> str:
    if not one.risk_coverage:
        return f"{system}: no curve"
    half = min(one.risk_coverage, key=lambda point: abs(point[0] - 0.5))
    last = one.risk_coverage[-1]
    return (
        f"{system}: {percent(half[1])} % wrong at {percent(half[0])} % coverage, "
        f"{percent(last[1])} % at {percent(last[0])} %"
    )


@drawing.styled
def learning_chart(points: Sequence[LearningPoint], name: str, *, split: str) -> str | None:
    """Whole answers right against number of labels, on one split, with intervals."""
    lines: dict[str, list[LearningPoint]] = {}
    for point in sorted(points, key=lambda p: p.labels):
        if point.split == split and known(point.right.value):
            lines.setdefault(point.system, []).append(point)
    if not lines:
        return None
    figure, axes = _canvas(len(lines))
    for (system, found), (colour, dash, marker) in zip(lines.items(), LINES, strict=False):
        at = [point.labels for point in found]
        axes.plot(
            at,
            [100 * (p.right.value or 0) for p in found],
            color=colour,
            linestyle=dash,
            marker=marker,
            label=printed(system),
        )
        for p in found:
            if known(p.right.low) and known(p.right.high):
                ends = [100 * p.right.low, 100 * p.right.high]
                axes.plot([p.labels] * 2, ends, color=colour, linewidth=1)
    axes.set_xlabel("labels bought")
    axes.set_ylabel(f"right on {printed(split, 20)}, %")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    drawing.legend(axes)
    words = "; ".join(
        f"{system}: {percent(p.right.value or 0)} % with {p.labels:,} labels"
        for system, found in lines.items()
        for p in found
    )
    return drawing.svg(figure, name, title=f"Accuracy against labels on {split}", words=words)
