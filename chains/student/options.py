"""What a call may set beside its messages; what no row can have is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from .card import StudentError


def check_numbers(
    *,
    max_tokens: Any = None,
    temperature: Any = 0.0,
    seed: Any = None,
    timeout: Any = None,
) -> None:
    """Raise StudentError for what would fail, as its tokens are drawn, a row and its batch."""
    if not _is(temperature, Real) or not 0 <= temperature < math.inf:
        raise StudentError(f"temperature {temperature!r} is no number from 0 on; 0 is greedy")
    if seed is not None and not (isinstance(seed, int) and -(2**63) <= seed < 2**64):
        raise StudentError(f"seed {seed!r} is no whole number of 64 bits; give another")
    if max_tokens is not None and not (_is(max_tokens, Integral) and max_tokens > 0):
        raise StudentError(f"max_tokens {max_tokens!r} is no whole number from 1 on")
    if timeout is not None and not (_is(timeout, Real) and timeout > 0):
        raise StudentError(f"timeout {timeout!r} is no number of seconds above 0")


def stop_strings(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """The strings that end an answer: a single one, as OpenAI's API takes it, or several.

    Raises StudentError for what is no text.
    """
    ends = [stop] if isinstance(stop, str) else stop or ()
    if not isinstance(ends, Sequence) or not all(isinstance(end, str) for end in ends):
        raise StudentError(f"stop {stop!r} is no text, nor a list of them")
    return tuple(end for end in ends if end)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
