"""How sure a student was of each label: the probability of the value it wrote."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

Span = tuple[int, int]


def confidences(
    text: str,
    pieces: Sequence[bytes],
    probabilities: Sequence[float],
) -> dict[str, float]:
    """The probability of every value in the JSON answer `text`, by dotted path.

    It is the product over the tokens that touch the value, quotes included, each token's
    probability being its share among the tokens that were allowed, given all before it. So it is
    conditional on the reasoning and on the labels written earlier. Objects have none of their own.
    """
    ends = list(_running_total(len(piece) for piece in pieces))
    starts = [0, *ends[:-1]]
    result = {}
    for path, (first, last) in value_spans(text):
        if text[first] != "{":
            begin, end = (len(text[:place].encode()) for place in (first, last))
            touching = (
                probability
                for left, right, probability in zip(starts, ends, probabilities, strict=True)
                if left < end and right > begin
            )
            result[path] = float(f"{math.prod(touching):.6g}")
    return result


def value_spans(text: str) -> Iterator[tuple[str, Span]]:
    """Dotted path and (start, end) in characters of every value of a compact JSON object.

    An object yields its members, not itself; a list yields itself, not its items.
    """
    yield from _spans(text, 0, "")


def _spans(text: str, start: int, path: str) -> Iterator[tuple[str, Span]]:
    """Yields the spans below `start`, the object's own span last, under its path."""
    if text[start] != "{":
        _, end = JSONDecoder().raw_decode(text, start)
        yield path, (start, end)
        return
    place = start + 1
    while text[place] != "}":
        place += text[place] == ","
        name, place = _string(text, place)
        for inner, span in _spans(text, place + 1, f"{path}.{name}" if path else name):
            yield inner, span
            place = span[1]
    yield path, (start, place + 1)


def _string(text: str, start: int) -> tuple[str, int]:
    value, end = scanstring(text, start + 1)
    return str(value), int(end)


def _running_total(sizes: Any) -> Iterator[int]:
    total = 0
    for size in sizes:
        total += size
        yield total
