"""Statistics of paired answers: intervals, tests, power, calibration. Numbers in, figures out.

By the question asked: `intervals` (how good, how sure), `classes` (which labels are confused),
`pairs` (is one better than the other, may one stand in for the other), `power` (what would this
many rows show), `calibration` (is the confidence worth anything). `patterns` resamples rows.
"""

from .calibration import (
    brier,
    calibration_bins,
    expected_calibration_error,
    risk_coverage,
)
from .classes import ClassScore, class_scores, confusion_counts
from .intervals import clustered_share, macro_f1, mean_amount, mean_score, share
from .pairs import NonInferiority, Verdict, holm, mcnemar, non_inferiority, paired_points
from .power import detectable_points

__all__ = [
    "ClassScore",
    "NonInferiority",
    "Verdict",
    "brier",
    "calibration_bins",
    "class_scores",
    "clustered_share",
    "confusion_counts",
    "detectable_points",
    "expected_calibration_error",
    "holm",
    "macro_f1",
    "mcnemar",
    "mean_amount",
    "mean_score",
    "non_inferiority",
    "paired_points",
    "risk_coverage",
    "share",
]
