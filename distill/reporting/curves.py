"""The losses and the agreement of a training as one picture (SVG, by matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..evaluation.results import Curves
from . import drawing
from .drawing import BASELINE, WARN, Margins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 300  # a line of more is drawn through the means of so many stretches
Point = tuple[float, float]


@drawing.styled
def drawn(curves: Curves, *, name: str = "training", alone: bool = True) -> str:
    """An SVG of training and validation loss over the steps, and agreement below where measured."""
    losses, validated = thinned(curves.losses), thinned(curves.validation_losses)
    agreed = [(step, 100 * share) for step, share in thinned(curves.agreements)]
    height, below = (390, 208) if agreed else (236, 46)
    figure, axes = drawing.canvas(480, height, Margins(left=62, right=16, top=36, bottom=below))
    last = max([point[0] for point in [*losses, *validated, *agreed]], default=1.0) or 1.0
    top = max([point[1] for point in [*losses, *validated]], default=1.0) or 1.0
    for points, colour, marker, said_as in (
        (losses, BASELINE, "", "training"),
        (validated, WARN, "o", "validation"),
    ):
        if points:
            xs, ys = zip(*points, strict=True)
            dash = (0, (5, 2)) if marker else "-"
            axes.plot(xs, ys, color=colour, marker=marker, linestyle=dash, label=said_as)
    axes.set_ylabel("loss")
    _loss_axis(axes, [y for _, y in [*losses, *validated]], top)
    if losses or validated:
        drawing.legend(axes)
    if agreed:
        lower = drawing.panel(figure, Margins(left=62, right=16, top=214, bottom=46))
        xs, ys = zip(*agreed, strict=True)
        lower.plot(xs, ys, color=drawing.STUDENT, marker="o", linewidth=1.75)
        lower.set_ylim(0, 105)
        lower.set_ylabel("agreement, %")
        lower.set_xlim(0, last)
        lower.set_xlabel("step")
    else:
        axes.set_xlabel("step")
    axes.set_xlim(0, last)
    title = "Loss and agreement over the steps of the training"
    return drawing.svg(figure, name, title=title, words=said(curves), alone=alone) + "\n"


def _loss_axis(axes: Axes, values: Sequence[float], top: float) -> None:
    """From 0; on a logarithmic scale where the losses differ more than thirtyfold."""
    positive = [value for value in values if value > 0]
    if len(positive) == len(values) > 0 and top > 30 * min(positive):
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.set_ylim(0, 1.08 * top)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def said(curves: Curves) -> str:
    """The picture in words."""
    agreed = [(step, 100 * share) for step, share in curves.agreements]
    words = []
    for name, points, unit in (
        ("training loss", curves.losses, ""),
        ("validation loss", curves.validation_losses, ""),
        ("agreement with the teacher", agreed, " %"),
    ):
        if points:
            words.append(f"{name} from {points[0][1]:.3g}{unit} to {points[-1][1]:.3g}{unit}")
    return "; ".join(words) or "no step was logged"


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most POINTS points: means of stretches of equal length."""
    size = -(-len(points) // POINTS)
    if size <= 1:
        return list(points)
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part))
        for part in stretches
    ]
