"""Better ways out than what is seen at once: shorter ones, and some where none is seen."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from typing import Any, Protocol

_SECONDS = 2.0
_LONGEST = 400
_FORK = 40  # tokens, or their first bytes, up to which a place is one where answers part
_EDGE: tuple[Any, Any] = (max, min)
_STEPS = 2000  # tokens that are tried, so that wide schemas take no longer


class Masks(Protocol):
    """What a search asks of a compiler."""

    def plan_after(self, matcher: Any, token: int, *, limit: int) -> list[int] | None:
        """The way out that is seen after `token`."""
        ...

    def masks(self, matchers: Sequence[Any]) -> Any:
        """The tokens each matcher allows."""
        ...


def shortened(
    start: Any, plan: Sequence[int], compiler: Masks, texts: Sequence[bytes]
) -> list[int]:
    """A plan as short or shorter: at each fork every other way is followed to its end, by one token
    and then by two.

    So each field gets its shortest value and each object its fewest fields. It need not be the
    shortest of all: where tokens spell a text in many ways a token or two, and where one of several
    objects is to be chosen, or there are very many fields, a shorter one may be missed.
    """
    best = list(plan)
    for deep in (False, True):
        state, left = start.deep_copy(), _STEPS
        for place in itertools.count():
            if place >= len(best) or left <= 0:
                break
            for way in _other_ways(state, best[place], compiler, texts, deep=deep):
                time.sleep(0)
                rest = len(best) - place - len(way)
                left -= max(rest, 1)
                other = _after(state, way, compiler, limit=rest - 1)
                if other is not None:
                    best[place:] = [*way, *other]
            state.consume_token(best[place])
    return best


def _other_ways(
    state: Any, taken: int, compiler: Masks, texts: Sequence[bytes], *, deep: bool
) -> list[list[int]]:
    """What may come but the token taken: all, or of each first byte the longest and the shortest.

    With `deep` each of two tokens: what begins a text looks as near to the end as what ends it.
    """
    if state.compute_ff_tokens():
        return []
    allowed = _few(state, compiler, texts)
    if not deep:
        return [[token] for token in allowed if token != taken]
    found: list[list[int]] = []
    for token in allowed:
        after = state.deep_copy()
        if after.consume_token(token) and not after.is_stopped():
            found += [[token, then] for then in _few(after, compiler, texts)]
    return found


def _few(state: Any, compiler: Masks, texts: Sequence[bytes]) -> list[int]:
    """The tokens that may come, or where they are many those at the ends of their kind."""
    tokens = compiler.masks([state])[0].nonzero()[0].tolist()
    allowed = [token for token in tokens if texts[token]]
    return allowed if len(allowed) <= _FORK else _ends(allowed, texts)


def _ends(tokens: Sequence[int], texts: Sequence[bytes]) -> list[int]:
    """Of each first byte the longest and the shortest token; none where a free text goes on."""
    ways: dict[bytes, list[int]] = {}
    for token in tokens:
        ways.setdefault(texts[token][:1], []).append(token)
    if len(ways) > _FORK:
        return []
    picks = {
        pick(some, key=lambda one: len(texts[one])) for some in ways.values() for pick in _EDGE
    }
    return sorted(picks)


def _after(state: Any, way: Sequence[int], compiler: Masks, *, limit: int) -> list[int] | None:
    """The way out that is seen after these tokens, None where it takes more than `limit`."""
    ahead = state.deep_copy()
    if limit < 0 or ahead.try_consume_tokens(list(way[:-1])) != len(way) - 1:
        return None
    return compiler.plan_after(ahead, way[-1], limit=limit)


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
        time.sleep(0)  # who answers meanwhile goes first, or each of its steps waits for a turn
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
