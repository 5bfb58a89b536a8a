"""How two values of an answer compare: each comparator is (expected, given) -> 0.0 to 1.0."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any, get_origin


def exact(expected: Any, given: Any) -> float:
    """Equal JSON values."""
    return float(expected == given)


def text(expected: Any, given: Any) -> float:
    """Equal after folding case, accents' encoding, white space and outer punctuation."""
    return float(_normalised(expected) == _normalised(given))


def token_f1(expected: Any, given: Any) -> float:
    """F1 of the words two texts share, as SQuAD scores answers (arXiv 1606.05250)."""
    left, right = Counter(_normalised(expected).split()), Counter(_normalised(given).split())
    shared = sum((left & right).values())
    if not shared:
        return float(not left and not right)
    return 2 * shared / (sum(left.values()) + sum(right.values()))


def number(expected: Any, given: Any) -> float:
    """Equal within 1e-6 of the larger magnitude."""
    if not _is_number(expected) or not _is_number(given):
        return float(expected is None and given is None)
    return float(abs(expected - given) <= 1e-6 * max(1.0, abs(expected), abs(given)))


def date(expected: Any, given: Any) -> float:
    """The same day, whatever the time of day."""
    return float(_day(expected) == _day(given))


def unordered(expected: Any, given: Any) -> float:
    """F1 of two lists taken as bags of normalised values."""
    left, right = (Counter(map(_normalised, values or [])) for values in (expected, given))
    shared = sum((left & right).values())
    if not shared:
        return float(not left and not right)
    return 2 * shared / (sum(left.values()) + sum(right.values()))


COMPARATORS: dict[str, Callable[[Any, Any], float]] = {
    "exact": exact,
    "text": text,
    "token_f1": token_f1,
    "number": number,
    "date": date,
    "unordered": unordered,
}


def default_comparator(annotation: Any) -> str:
    """The comparator's name for a type: labels exactly, texts normalised, lists unordered."""
    if get_origin(annotation) in (list, tuple, set, frozenset):
        return "unordered"
    if annotation in (int, float):
        return "number"
    if annotation in (datetime.date, datetime.datetime):
        return "date"
    return "text" if annotation is str else "exact"


def _normalised(value: Any) -> str:
    folded = unicodedata.normalize("NFC", str("" if value is None else value)).casefold()
    return re.sub(r"\s+", " ", folded).strip(" .,;:!?\"'")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _day(value: Any) -> str:
    return str(value)[:10]
