"""The losses and the agreement of a training as one picture (SVG), drawn from its logs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .run_folder import LOG_FILE, VALIDATION_FILE, read_lines

CURVES_FILE = "training_curves.svg"
WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 640, 180, 56, 34, 46
POINTS = 300  # a line of more is drawn through the means of so many stretches
Point = tuple[float, float]
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.axis{stroke:#999;stroke-width:1}"
    ".grid{stroke:#ddd;stroke-width:1}.train{fill:none;stroke:#8aa;stroke-width:1.5}"
    ".check{fill:none;stroke:#b3401f;stroke-width:2}.dot{fill:#b3401f}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}}"
)


def write_curves(folder: Path) -> Path:
    """Draw training_curves.svg from the logs in a run folder; whole or not at all."""
    part = folder / f"{CURVES_FILE}.part"
    svg = curves(read_lines(folder / LOG_FILE), read_lines(folder / VALIDATION_FILE))
    part.write_text(svg, encoding="utf-8")
    return part.replace(folder / CURVES_FILE)


def curves(steps: Sequence[dict[str, Any]], checks: Sequence[dict[str, Any]]) -> str:
    """An SVG of training and validation loss over the steps, and agreement below where measured.

    `steps` are lines of the training's log, `checks` those of its validations.
    """
    losses = _thinned([(line["step"], line["loss"]) for line in steps])
    validated = [(line["step"], line["loss"]) for line in checks if line["loss"] is not None]
    agreed = [(c["step"], 100 * c["agreement"]) for c in checks if c["agreement"] is not None]
    last = max([point[0] for point in losses + validated + agreed], default=1.0)
    top = max([point[1] for point in losses + validated], default=1.0)
    said = _said(losses, validated, agreed)
    panels = [_panel("loss: training (grey), validation (red)", 0, top, last, losses, validated)]
    if agreed:
        title = "agreement with the teacher on validation rows, %"
        panels.append(_panel(title, 1, 100.0, last, [], agreed))
    height = TOP + len(panels) * (HEIGHT + BETWEEN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH + 80} {height}" '
        f'width="{WIDTH + 80}" height="{height}"><title>{html.escape(said)}</title>'
        f"<style>{_STYLE}</style>{''.join(panels)}</svg>\n"
    )


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


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most POINTS points: means of stretches of equal length."""
    size = -(-len(points) // POINTS)
    if size <= 1:
        return list(points)
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part))
        for part in stretches
    ]


def _said(losses: Sequence[Point], validated: Sequence[Point], agreed: Sequence[Point]) -> str:
    """The picture in words."""
    said = []
    for name, points, unit in (
        ("training loss", losses, ""),
        ("validation loss", validated, ""),
        ("agreement", agreed, " %"),
    ):
        if points:
            said.append(f"{name} from {points[0][1]:.3g}{unit} to {points[-1][1]:.3g}{unit}")
    return "; ".join(said) or "no step was logged"
