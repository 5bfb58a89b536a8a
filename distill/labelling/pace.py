"""When the next call may be sent: requests and tokens per minute, and pauses that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_LOOK_UP = 0.5  # seconds after which one that waits sees that it is given up


class Pace:
    """Spaces calls evenly under both limits (a leaky bucket without bursts); None is no limit.

    A call's tokens are guessed when it is sent and put right when it has come back.
    """

    def __init__(
        self, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = self._paused = self._delay = 0.0  # the delay of all pauses so far
        self._tokens_free = 0.0  # when all tokens promised so far will have been allowed
        self._seen_calls = self._seen_tokens = 0

    async def turn(self, input_guess: int, given_up: Callable[[], bool] = lambda: False) -> int:
        """Wait until a call may be sent, or is given up; the tokens that it was counted with."""
        guess = self._seen_tokens // self._seen_calls if self._seen_calls else input_guess
        now = asyncio.get_running_loop().time()
        start, delay = max(now, self._next, self._tokens_free), self._delay
        self._next = start + self._per_request
        self._tokens_free = max(self._tokens_free, start) + guess * self._per_token
        while (wait := start + self._delay - delay - now) > 0 and not given_up():
            await asyncio.sleep(min(wait, _LOOK_UP))
            now = asyncio.get_running_loop().time()
        return guess

    def counted(self, guess: int, actual: int) -> None:
        """What the call really used."""
        self._seen_calls += 1
        self._seen_tokens += actual
        self._tokens_free += (actual - guess) * self._per_token

    def pause(self, seconds: float) -> None:
        """No call for so long: the provider has asked for it. Those that wait keep their spaces."""
        now = asyncio.get_running_loop().time()
        more = now + seconds - max(now, self._paused)
        if more > 0:
            self._paused = now + seconds
            self._delay += more
            self._next = max(self._next, now) + more
            self._tokens_free = max(self._tokens_free, now) + more
