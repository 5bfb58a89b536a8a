"""A way out where none is seen at once: a pattern's end may need a byte that nobody would guess."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Protocol

_SECONDS = 2.0
_LONGEST = 400


class Masks(Protocol):
    """What a search asks of a compiler."""

    def masks(self, matchers: Sequence[Any]) -> Any:
        """The tokens each matcher allows."""
        ...


def searched(start: Any, compiler: Masks, texts: Sequence[bytes]) -> list[int] | None:
    """Tokens that finish an answer, found by trying; None where two seconds find none.

    Each step is a closing token where one is allowed, most of the time, else a short token that
    begins with a random byte of those that may come. The shortest of some finds is taken.
    """
    chance = random.Random(0)
    until = time.monotonic() + _SECONDS
    found: list[list[int]] = []
    while time.monotonic() < until and len(found) < 8:
        longest = min((len(plan) - 1 for plan in found), default=_LONGEST)
        plan = _tried(start.deep_copy(), compiler, texts, chance, longest, until)
        if plan is not None:
            found.append(plan)
    return min(found, key=len, default=None)


def _tried(
    state: Any,
    compiler: Masks,
    texts: Sequence[bytes],
    chance: random.Random,
    longest: int,
    until: float,
) -> list[int] | None:
    plan: list[int] = []
    while not state.is_accepting():
        allowed = state.compute_ff_tokens()
        if not allowed:
            tokens = compiler.masks([state])[0].nonzero()[0].tolist()
            tokens = [token for token in tokens if texts[token]]
            if not tokens:
                return None
            allowed = [_step(tokens, texts, chance)]
        plan.extend(allowed)
        late = len(plan) > longest or time.monotonic() > until
        if late or not state.consume_tokens(allowed):
            return None
    return plan


def _step(tokens: Sequence[int], texts: Sequence[bytes], chance: random.Random) -> int:
    closing = [token for token in tokens if not texts[token].strip(b'"}]')]
    if closing and chance.random() < 0.8:
        return max(closing, key=lambda token: len(texts[token]))
    first = chance.choice(sorted({texts[token][:1] for token in tokens}))
    return min(
        (token for token in tokens if texts[token][:1] == first),
        key=lambda token: len(texts[token]),
    )
