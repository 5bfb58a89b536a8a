"""What a stand-in's calls looked like when it was calibrated: what drift is measured from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .applying import confidence_score
from .rows import Judged

CLASSES = 20  # most values of one label that are told apart; the rarer ones are counted as others
QUANTILES = 200  # that stand for the reference
OTHER = "other"


def reference_of(
    rows: Sequence[Judged], calibrator: Mapping[str, Any], threshold: float | None
) -> dict[str, Any]:
    """`summary` of a calibration's rows."""
    return summary(
        labels=[row.labels for row in rows],
        lengths=[row.length for row in rows],
        scores=[confidence_score(row.confidence, calibrator) for row in rows],
        agreed=[row.agreed for row in rows],
        threshold=threshold,
    )


def summary(
    *,
    labels: Sequence[Mapping[str, object]],
    lengths: Sequence[int],
    scores: Sequence[float] = (),
    agreed: Sequence[bool] = (),
    threshold: float | None = None,
) -> dict[str, Any]:
    """The label mix, lengths, scores and agreement of rows, as JSON data.

    `labels`: {path: {value as JSON: rows}}; `lengths` and `scores`: their quantiles; `answered` and
    `escalated`: [agreed, rows] on either side of the threshold. Scores and agreement may be
    unknown.
    """
    paths = dict.fromkeys(path for row in labels for path in row)
    stands = [threshold is not None and 0.0 < score >= threshold for score in scores]
    judged = list(zip(agreed, stands, strict=True))
    sides = {
        name: [right for right, stood in judged if stood is side]
        for name, side in (("answered", True), ("escalated", False))
    }
    return {
        "rows": len(lengths),
        "labels": {
            path: _mix(value_key(row[path]) for row in labels if path in row) for path in paths
        },
        "lengths": quantiles(lengths),
        "scores": quantiles(scores),
        **{name: [sum(rights), len(rights)] for name, rights in sides.items()},
    }


def undivided(reference: Mapping[str, Any]) -> dict[str, Any]:
    """The reference of a stand-in that answers all calls or none: there is no threshold, and what
    its calls tell of confidence is not calibrated."""
    both = [sum(side) for side in zip(reference["answered"], reference["escalated"], strict=True)]
    return {**reference, "scores": [], "answered": both, "escalated": [0, 0]}


def value_key(value: object) -> str:
    """A label's value as JSON text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def quantiles(values: Sequence[float]) -> list[float]:
    """QUANTILES of the values, at the middles of equal shares; all of fewer values."""
    ordered = sorted(values)
    number = min(QUANTILES, len(ordered))
    return [ordered[(2 * place + 1) * len(ordered) // (2 * number)] for place in range(number)]


def _mix(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    kept = dict(counts.most_common(CLASSES))
    rest = counts.total() - sum(kept.values())
    return kept | ({OTHER: rest} if rest else {})
