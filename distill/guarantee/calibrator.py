"""From a student's label probabilities to the chance that it agrees with its teacher.

Logistic calibration (Platt 1999, with his smoothed targets against overconfidence) over two
features, the log-odds of the product and of the least of the label probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .applying import features_of, sigmoid

_RIDGE = 1e-3  # holds the weights where one threshold parts all rows that agree from the others
_STEPS = 50
Confidence = dict[str, float] | None


def fit_calibrator(
    rows: Sequence[tuple[Confidence, bool]], *, paths: Sequence[str]
) -> dict[str, Any]:
    """The calibrator, as JSON data, fitted on (label probabilities, whether the answer agreed).

    `paths` are the answer's judged paths. Rows without probabilities say nothing and are passed
    over. No weight is negative, so a surer student never scores less. Without any row every score
    is a half.
    """
    known = [
        (features, agreed)
        for confidence, agreed in rows
        if (features := features_of(confidence, list(paths))) is not None
    ]
    weights = _fitted([features for features, _ in known], [agreed for _, agreed in known])
    return {
        "kind": "logistic",
        "features": ["log-odds of the product", "log-odds of the least"],
        "paths": list(paths),
        "weights": weights,
        "rows": len(known),
    }


def _fitted(features: Sequence[Sequence[float]], agreed: Sequence[bool]) -> list[float]:
    """Intercept and weights; the feature whose weight would be negative is left out, the worst
    first."""
    if not features:
        return [0.0, 0.0, 0.0]
    right = sum(agreed)
    high, low = (right + 1) / (right + 2), 1 / (len(agreed) - right + 2)
    targets = [high if one else low for one in agreed]
    used = list(range(len(features[0])))
    while True:
        columns = [[1.0, *(row[place] for place in used)] for row in features]
        found = _newton(columns, targets)
        worst = min(range(len(used)), key=lambda place: found[place + 1], default=None)
        if worst is None or found[worst + 1] >= 0.0:
            break
        del used[worst]
    weights = [found[0]] + [0.0] * len(features[0])
    for place, weight in zip(used, found[1:], strict=True):
        weights[place + 1] = weight
    return weights


def _newton(rows: Sequence[Sequence[float]], targets: Sequence[float]) -> list[float]:
    """The weights that maximise the penalised likelihood; a step that worsens it is halved."""
    size = len(rows[0])
    weights = [0.0] * size
    best = _loss(rows, targets, weights)
    for _ in range(_STEPS):
        gradient = [_RIDGE * weight for weight in weights]
        hessian = [[_RIDGE * (i == j) for j in range(size)] for i in range(size)]
        for row, target in zip(rows, targets, strict=True):
            chance = sigmoid(sum(w * x for w, x in zip(weights, row, strict=True)))
            spread = chance * (1.0 - chance)
            for i in range(size):
                gradient[i] += (chance - target) * row[i]
                for j in range(size):
                    hessian[i][j] += spread * row[i] * row[j]
        step = _solved(hessian, gradient)
        scale, loss = 1.0, math.inf
        while scale > 1e-4 and loss > best:
            tried = [w - scale * s for w, s in zip(weights, step, strict=True)]
            loss, scale = _loss(rows, targets, tried), scale / 2
        if not loss < best - 1e-10 * abs(best):
            break
        weights, best = tried, loss
    return weights


def _loss(
    rows: Sequence[Sequence[float]], targets: Sequence[float], weights: Sequence[float]
) -> float:
    total = sum(_RIDGE * weight * weight / 2 for weight in weights)
    for row, target in zip(rows, targets, strict=True):
        value = sum(w * x for w, x in zip(weights, row, strict=True))
        total += max(value, 0.0) + math.log1p(math.exp(-abs(value))) - target * value
    return total


def _solved(matrix: list[list[float]], values: list[float]) -> list[float]:
    """Gaussian elimination with pivots; the matrix is positive definite."""
    size = len(values)
    rows = [[*line, value] for line, value in zip(matrix, values, strict=True)]
    for place in range(size):
        pivot = max(range(place, size), key=lambda line: abs(rows[line][place]))
        rows[place], rows[pivot] = rows[pivot], rows[place]
        for line in range(place + 1, size):
            factor = rows[line][place] / rows[place][place]
            for column in range(place, size + 1):
                rows[line][column] -= factor * rows[place][column]
    result = [0.0] * size
    for place in reversed(range(size)):
        rest = sum(rows[place][other] * result[other] for other in range(place + 1, size))
        result[place] = (rows[place][size] - rest) / rows[place][place]
    return result
