"""The losses and the agreement of a training as one picture (SVG)."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..evaluation.results import Curves

WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 640, 180, 56, 34, 46
POINTS = 300  # a line of more is drawn through the means of so many stretches
Point = tuple[float, float]
# Scoped by class: within a page a picture's style holds for the whole page.
_STYLE = (
    ".curves text{font:12px system-ui,sans-serif;fill:#333}.curves .axis{stroke:#999}"
    ".curves .grid{stroke:#ddd}.curves .train{fill:none;stroke:#8aa;stroke-width:1.5}"
    ".curves .check{fill:none;stroke:#b3401f;stroke-width:2}.curves .dot{fill:#b3401f}"
    "@media(prefers-color-scheme:dark){.curves text{fill:#ddd}.curves .grid{stroke:#444}}"
)


def drawn(curves: Curves) -> str:
    """An SVG of training and validation loss over the steps, and agreement below where measured."""
    losses, validated = curves.losses, curves.validation_losses
    agreed = [(step, 100 * share) for step, share in curves.agreements]
    last = max([point[0] for point in [*losses, *validated, *agreed]], default=1.0)
    top = max([point[1] for point in [*losses, *validated]], default=1.0)
    panels = [_panel("loss: training (grey), validation (red)", 0, top, last, losses, validated)]
    if agreed:
        title = "agreement with the teacher on validation rows, %"
        panels.append(_panel(title, 1, 100.0, last, [], agreed))
    height = TOP + len(panels) * (HEIGHT + BETWEEN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curves" role="img" '
        f'viewBox="0 0 {WIDTH + 80} {height}" width="{WIDTH + 80}" height="{height}">'
        f"<title>{html.escape(said(curves))}</title>"
        f"<style>{_STYLE}</style>{''.join(panels)}</svg>\n"
    )


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


def _panel(
    title: str,
    number: int,
    top: float,
    last: float,
    line: Sequence[Point],
    dots: Sequence[Point],
) -> str:
    y0 = TOP + number * (HEIGHT + BETWEEN)

    def at(point: Point) -> tuple[float, float]:
        x = LEFT + WIDTH * point[0] / last
        return round(x, 1), round(y0 + HEIGHT * (1 - min(1.0, point[1] / (top or 1.0))), 1)

    parts = [f'<text x="{LEFT}" y="{y0 - 10}">{html.escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = at((0, top * share))[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{top * share:.3g}</text>')
    base = y0 + HEIGHT
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{base}" y2="{base}"/>')
    parts.append(
        f'<text x="{LEFT + WIDTH}" y="{base + 16}" text-anchor="end">step {last:,.0f}</text>'
    )
    for name, points in (("train", line), ("check", dots)):
        if len(points) > 1:
            drawn = " ".join(f"{x},{y}" for x, y in map(at, points))
            parts.append(f'<polyline class="{name}" points="{drawn}"/>')
    for x, y in map(at, dots):
        parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>')
    return "".join(parts)
