"""Fisher's randomisation test of paired differences, exact: what chance alone would have done."""

from __future__ import annotations

from typing import Any


def sign_flip_p(differences: Any) -> float:
    """Two-sided p of Fisher's randomisation test on whole differences, int64 [n].

    Under no difference each is as likely as its negative. The sum's distribution is exact: that of
    all differences of one size is a binomial, and these are convolved. For differences of -1, 0 and
    1 it is McNemar's exact test.
    """
    import numpy as np

    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    distribution = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = _fair(count)
        distribution = _convolved(distribution, spread)
    middle = len(distribution) // 2
    seen = abs(int(differences.sum()))
    tail = float(distribution[middle + seen :].sum())
    return min(1.0, 2 * tail if seen else 1.0)


def _fair(count: int) -> Any:
    """The chances of 0 to `count` heads of that many fair coins."""
    import numpy as np

    heads = np.arange(count + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    return np.exp(logs[count] - logs[heads] - logs[count - heads] - count * np.log(2))


def _convolved(first: Any, second: Any) -> Any:
    """The distribution of the sum; tiny negative chances that the transform leaves are 0."""
    import numpy as np

    if len(first) == 1:
        return first[0] * second
    length = len(first) + len(second) - 1
    transformed = np.fft.rfft(first, length) * np.fft.rfft(second, length)
    return np.maximum(np.fft.irfft(transformed, length), 0.0)
