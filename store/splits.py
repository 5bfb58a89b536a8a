"""Which split a row belongs to: by hash of its group or id, or by its age. Fixed at import."""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Iterable

_ENDS = (("train", 70), ("validation", 80), ("calibration", 90), ("test", 100))  # in percent


def split_of(key: str) -> str:
    """The split of a group or an example id: the same for ever, on every machine, in every task.

    The first 8 hex digits of SHA-256 of the key, modulo 100: below 70 train, below 80 validation,
    below 90 calibration, else test.
    """
    return _split_at(int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 100)


def splits_by_time(rows: Iterable[tuple[str, datetime.datetime]]) -> dict[str, str]:
    """The split of each group among (group, time): the oldest 70 % train, the newest 10 % test.

    A group is as old as its newest row and is not parted, nor are rows of one moment; shares are
    counted in rows. Only groups and times are held.
    """
    newest: dict[str, datetime.datetime] = {}
    sizes: Counter[str] = Counter()
    for group, time in rows:
        newest[group] = max(time, newest.get(group, time))
        sizes[group] += 1
    splits: dict[str, str] = {}
    total, older, moment, place = sizes.total(), 0, None, 0
    for group in sorted(newest, key=newest.__getitem__):
        if newest[group] != moment:
            moment, place = newest[group], older
        splits[group] = _split_at(100 * place // total)
        older += sizes[group]
    return splits


def _split_at(percent: int) -> str:
    return next(name for name, end in _ENDS if percent < end)
