"""What a stand-in's calls looked like when it was calibrated: what drift is measured from."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .applying import confidence_score
from .rows import Judged

CLASSES = 20  # most values of one label that are told apart; the rarer ones are counted as others
PIECES = 4  # of the lengths, with equally many rows in each
OTHER = "other"


def reference_of(
    rows: Sequence[Judged], calibrator: Mapping[str, Any], threshold: float | None
) -> dict[str, Any]:
    """The rows' label mix, lengths, scores and agreement, as JSON data.

    `labels`: {path: {value as JSON: rows}}; `lengths`: {"cuts": characters, "rows": rows in each
    piece}; `scores`: {"mean", "square" (mean of squares), "rows"}; `answered` and `escalated`:
    [agreed, rows] on either side of the threshold.
    """
    scores = [confidence_score(row.confidence, calibrator) for row in rows]
    stands = [threshold is not None and 0.0 < score >= threshold for score in scores]
    labels = {
        path: _mix(value_key(row.labels[path]) for row in rows)
        for path in (rows[0].labels if rows else {})
    }
    cuts = _cuts(sorted(row.length for row in rows))
    return {
        "rows": len(rows),
        "labels": labels,
        "lengths": {"cuts": cuts, "rows": pieces((row.length for row in rows), cuts)},
        "scores": {
            "mean": sum(scores) / max(1, len(scores)),
            "square": sum(score * score for score in scores) / max(1, len(scores)),
            "rows": len(scores),
        },
        "answered": _agreed(rows, stands, True),
        "escalated": _agreed(rows, stands, False),
    }


def value_key(value: object) -> str:
    """A label's value as JSON text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def pieces(lengths: Iterable[int], cuts: Sequence[int]) -> list[int]:
    """How many lengths lie in each piece between the cuts."""
    counts = Counter(bisect_right(cuts, length) for length in lengths)
    return [counts[piece] for piece in range(len(cuts) + 1)]


def _mix(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    kept = dict(counts.most_common(CLASSES))
    rest = counts.total() - sum(kept.values())
    return kept | ({OTHER: rest} if rest else {})


def _cuts(lengths: Sequence[int]) -> list[int]:
    """The lengths at which the pieces end; fewer where many rows have one length."""
    places = (len(lengths) * piece // PIECES for piece in range(1, PIECES))
    return sorted({lengths[place] for place in places}) if lengths else []


def _agreed(rows: Sequence[Judged], stands: Sequence[bool], side: bool) -> list[int]:
    chosen = [row.agreed for row, stood in zip(rows, stands, strict=True) if stood is side]
    return [sum(chosen), len(chosen)]
