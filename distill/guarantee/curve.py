"""Cost and quality of a cascade at every threshold: the data of the report's curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...store.rows import Calibration, Row
from .threshold import Scored, grid, held_against


class CascadePoint(Row):
    """A cascade with one threshold, as the calibration rows show it.

    `coverage`: share of all rows that the student answers. `agreement`: share of those on which it
    agrees with the teacher, `low` the exact lower bound of that at 95 % for this threshold alone.
    `quality`: share of all rows answered as the teacher would, the escalated ones by itself.
    `usd_per_1000`: the teacher's price of the escalated rows of a thousand; None where none is
    known. `chosen` marks the threshold of the calibration.
    """

    threshold: float
    coverage: float
    agreement: float | None
    low: float
    quality: float
    usd_per_1000: float | None
    chosen: bool = False


def curve(calibration: Calibration) -> list[CascadePoint]:
    """The points of a stored calibration, from strict to loose."""
    return [CascadePoint(**point) for point in calibration.details.get("curve", [])]


def points(
    validation: Sequence[Scored],
    rows: Sequence[Scored],
    *,
    chosen: float | None,
    usd_per_row: float | None,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """The curve as data: thresholds of the validation rows, judged on calibration `rows`."""
    found = []
    for one in held_against(grid(validation), rows, confidence=confidence):
        escalated = len(rows) - one.answered
        usd = None if usd_per_row is None else 1000 * usd_per_row * escalated / len(rows)
        point = CascadePoint(
            threshold=one.threshold,
            coverage=one.answered / len(rows),
            agreement=one.agreed / one.answered if one.answered else None,
            low=one.low,
            quality=(one.agreed + escalated) / len(rows),
            usd_per_1000=usd,
            chosen=one.threshold == chosen,
        )
        found.append(point.model_dump())
    return found
