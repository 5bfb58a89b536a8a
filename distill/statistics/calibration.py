"""Is a confidence worth anything: calibration, Brier score, what is left when doubt is set aside.

`confidence` and `right` are [m], one per answer; answers without a confidence (NaN) are left out.
"""

from __future__ import annotations

from typing import Any

from ...store.rows import Score
from .intervals import clustered_share


def expected_calibration_error(confidence: Any, right: Any, bins: int = 15) -> float | None:
    """Mean gap between confidence and share right over bins of equal size (Guo et al. 2017).

    Equal size means as many answers in each; equal confidences are never parted.
    """
    confidence, right, _ = _known(confidence, right, None)
    if not len(confidence):
        return None
    import numpy as np

    _, place = np.unique(_bin_of(confidence, bins), return_inverse=True)
    gaps = np.bincount(place, weights=confidence - right)
    return float(np.abs(gaps).sum() / len(confidence))


def brier(confidence: Any, right: Any) -> float | None:
    """Mean squared gap between the confidence in the answer given and whether it is right."""
    confidence, right, _ = _known(confidence, right, None)
    return float(((confidence - right) ** 2).mean()) if len(confidence) else None


def calibration_bins(
    confidence: Any, right: Any, bins: int = 15, *, groups: Any | None = None
) -> list[tuple[float, Score]]:
    """(mean confidence, share right with its interval) of each bin, least confident first.

    `groups` [m]: answers of one row share a number, and are one unit of the interval.
    """
    import numpy as np

    confidence, right, groups = _known(confidence, right, groups)
    place = _bin_of(confidence, bins)
    found = []
    for one in np.unique(place):
        inside = place == one
        together = None if groups is None else groups[inside]
        score = clustered_share(right[inside], np.ones(int(inside.sum())), groups=together)
        found.append((float(confidence[inside].mean()), score))
    return found


def risk_coverage(confidence: Any, right: Any, points: int = 50) -> list[tuple[float, float]]:
    """(share kept, share wrong among the kept), most confident kept first (El-Yaniv & Wiener 2010).

    Answers of equal confidence are kept or left together. At most `points` points, evenly spread
    over the share kept where there are more; the last keeps all.
    """
    import numpy as np

    confidence, right, _ = _known(confidence, right, None)
    if not len(confidence):
        return []
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], 1 - right[order]
    kept = np.flatnonzero(np.r_[confidence[1:] != confidence[:-1], True]) + 1
    if len(kept) > points:
        wanted = np.linspace(0, len(confidence), points + 1)[1:]
        kept = kept[np.unique(np.minimum(np.searchsorted(kept, wanted), len(kept) - 1))]
    wrongs = np.cumsum(wrong)
    return [(float(n / len(wrong)), float(wrongs[n - 1] / n)) for n in kept]


def _known(confidence: Any, right: Any, groups: Any | None) -> tuple[Any, Any, Any]:
    import numpy as np

    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    known = ~np.isnan(confidence)
    left = None if groups is None else np.asarray(groups)[known]
    return confidence[known], right[known], left


def _bin_of(confidence: Any, bins: int) -> Any:
    """Bin of each answer by the middle of its rank, which equal confidences share."""
    import numpy as np

    _, place, times = np.unique(confidence, return_inverse=True, return_counts=True)
    through = np.cumsum(times)[place]
    below = through - times[place]
    return np.minimum((below + through) * bins // (2 * len(confidence)), bins - 1)
