"""How two values of an answer compare: each comparator is (expected, given) -> 0.0 to 1.0."""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, get_origin

_PUNCTUATION = " .,;:!?\"'"


def exact(expected: Any, given: Any) -> float:
    """Equal JSON values."""
    return float(expected == given)


def text(expected: Any, given: Any) -> float:
    """Equal after folding case, accents' encoding, white space and outer punctuation."""
    return float(_normalised(expected) == _normalised(given))


def token_f1(expected: Any, given: Any) -> float:
    """F1 of the words two texts share, as SQuAD scores answers (arXiv 1606.05250)."""
    return _f1(words_of(expected), words_of(given))


def number(expected: Any, given: Any) -> float:
    """Equal within 1e-6 of the larger magnitude, or of 1 where both are smaller."""
    if not _is_number(expected) or not _is_number(given):
        return float(expected is None and given is None)
    return float(abs(expected - given) <= 1e-6 * max(1.0, abs(expected), abs(given)))


def date(expected: Any, given: Any) -> float:
    """The same day, whatever the time of day."""
    return float(_day(expected) == _day(given))


def unordered(expected: Any, given: Any) -> float:
    """F1 of two lists taken as bags of normalised values."""
    return _f1(map(_normalised, expected or []), map(_normalised, given or []))


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
    if (get_origin(annotation) or annotation) in (list, tuple, set, frozenset):
        return "unordered"
    if annotation in (int, float):
        return "number"
    if annotation in (datetime.date, datetime.datetime):
        return "date"
    return "text" if annotation is str else "exact"


def _f1(expected: Iterable[str], given: Iterable[str]) -> float:
    """F1 of two bags; two empty ones are equal."""
    left, right = Counter(expected), Counter(given)
    shared = sum((left & right).values())
    if not shared:
        return float(not left and not right)
    return 2 * shared / (sum(left.values()) + sum(right.values()))


def words_of(value: Any) -> list[str]:
    """The words of a text as `token_f1` counts them."""
    stripped = (word.strip(_PUNCTUATION) for word in _normalised(value).split())
    return [word for word in stripped if word]


def _normalised(value: Any) -> str:
    if isinstance(value, dict):  # an item of a list; the order of its keys says nothing
        value = json.dumps(value, ensure_ascii=False, sort_keys=True)
    folded = unicodedata.normalize("NFC", str("" if value is None else value)).casefold()
    return re.sub(r"\s+", " ", folded).strip(_PUNCTUATION)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _day(value: Any) -> str:
    return str(value)[:10]
