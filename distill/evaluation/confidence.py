"""What the probabilities of the labels are worth: calibration, and what a threshold would leave."""

from __future__ import annotations

from typing import Any

from ..statistics import brier, calibration_bins, expected_calibration_error, risk_coverage
from .answered import SILENT, Marks, Sheet
from .results import Against, Bin, Confidence

BINS = 15


def confidence_of(sheet: Sheet, marks: Marks, teacher: Marks | None = None) -> Confidence | None:
    """Calibration of one run on one split; None where it says no probability of any label.

    Judged against gold where gold has any of these labels, else against what `teacher` said. ECE
    and Brier are over labels, each with the probability of the value that was chosen (Guo et al.
    2017, arXiv 1706.04599; Brier 1950). The risk-coverage curve is over rows: a row's confidence is
    the product of its labels', which is the probability of the whole answer, because each is
    conditional on those before it; its risk is that any of its labels is wrong (El-Yaniv & Wiener
    2010).
    """
    import numpy as np

    known = ~np.isnan(marks.confidence) & marks.answered[:, None]
    against: Against = "gold"
    expected = sheet.gold
    if not (known & (expected != SILENT)).any():
        if teacher is None:
            return None
        against, expected = "teacher", teacher.given
    judged = known & (expected >= 0)
    if not judged.any():
        return None
    right = marks.given == expected
    sure, correct = marks.confidence[judged].astype(float), right[judged]
    rows = judged.any(axis=1)
    whole = np.where(judged, marks.confidence, 1.0).astype(float).prod(axis=1)[rows]
    every = (right | ~judged).all(axis=1)[rows]
    return Confidence(
        against=against,
        labels=int(judged.sum()),
        ece=expected_calibration_error(sure, correct, bins=BINS) or 0.0,
        brier=brier(sure, correct) or 0.0,
        curve=_curve(sure, correct, np.repeat(sheet.groups, judged.sum(axis=1))),
        risk_coverage=[(float(a), float(b)) for a, b in risk_coverage(whole, every)],
    )


def _curve(sure: Any, correct: Any, groups: Any) -> list[Bin]:
    return [
        Bin(confidence=confidence, right=right, n=right.n)
        for confidence, right in calibration_bins(sure, correct, bins=BINS, groups=groups)
    ]
