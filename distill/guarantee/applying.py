"""Whether a student's answer stands or goes to the teacher: what a cascade asks of every call.

Pure Python over JSON data: it needs neither numpy nor the student's libraries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...store.rows import Calibration

_LEAST = 1e-6  # probabilities are kept so far from 0 and 1: their log-odds stay finite
LOWEST = 1e-12  # of all scores; 0.0 is what a student scores that does not say how sure it is


def confidence_score(
    confidence: Mapping[str, float] | None, calibrator: Mapping[str, Any]
) -> float:
    """The chance that the whole answer is the teacher's, by the student's own label probabilities.

    `confidence` maps dotted answer paths to probabilities, `calibrator` is what `fit_calibrator`
    made. 0.0, which no threshold accepts, where a judged value has no probability.
    """
    features = features_of(confidence, calibrator["paths"])
    if features is None:
        return 0.0
    weights = calibrator["weights"]
    total = weights[0] + sum(w * x for w, x in zip(weights[1:], features, strict=True))
    return max(LOWEST, sigmoid(total))


def accepts(calibration: Calibration, confidence: Mapping[str, float] | None) -> bool:
    """Whether the student's answer stands; never where the calibration was refused."""
    if calibration.threshold is None:
        return False
    score = confidence_score(confidence, calibration.calibrator)
    return score > 0.0 and score >= calibration.threshold


def features_of(
    confidence: Mapping[str, float] | None, paths: list[str]
) -> tuple[float, float] | None:
    """Log-odds of the product and of the least of the judged values' probabilities.

    The value of a path that the answer leaves out is the object above it (a null, say). None where
    a path has neither, or a probability is none.
    """
    if not confidence or not paths:
        return None
    found: dict[str, float] = {}
    for path in paths:
        place = path
        while place not in confidence and "." in place:
            place = place.rpartition(".")[0]
        value = confidence.get(place)
        if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            return None
        found[place] = float(value)
    return log_odds(math.prod(found.values())), log_odds(min(found.values()))


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), of a probability kept off the ends."""
    kept = min(1.0 - _LEAST, max(_LEAST, probability))
    return math.log(kept / (1.0 - kept))


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-x)), at any size."""
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)
