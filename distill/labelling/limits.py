"""What a labelling run may spend and how fast it may ask; and how it says that it cannot go on."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from ...chains.task import NoMoreCalls


class LabellingError(Exception):
    """A labelling run that cannot go on: what, which one, what to do. What was stored stays."""


class Stopped(LabellingError):
    """A run that ended cleanly before its last row, at a limit of the user's or of the provider's.

    The same call goes on where it stopped; nothing is paid twice. `resume` is when that makes
    sense, in UTC, where the provider has said it; None where it is the user who decides.
    """

    def __init__(self, reason: str, *, resume: datetime.datetime | None = None) -> None:
        super().__init__(reason)
        self.reason, self.resume = reason, resume


class EndOfRun(NoMoreCalls):
    """Raised inside a call that shows that no row should be asked any more; `error` says why."""

    def __init__(self, error: LabellingError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Ceilings of a run. `None` is no ceiling.

    `max_usd` and `max_tokens` (input and output together) hold for the run as a whole, what earlier
    calls of `label` spent on it included; the worst case of every call in flight is counted before
    it is sent. Requests and tokens per minute are the provider's own limits. `timeout` is seconds
    of one call; `retries` is how often a call is sent again that failed on its way (429, 5xx,
    timeouts, dropped connections), and `patience` the longest wait, in seconds, that a provider
    may ask for before the run ends and says when to come back.
    """

    max_usd: float | None = None
    max_tokens: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout: float = 120.0
    retries: int = 6
    patience: float = 120.0

    def __post_init__(self) -> None:
        for name in ("max_usd", "max_tokens", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise LabellingError(f"{name}={value} is no limit; give a number above 0")
        if not self.timeout > 0 or self.retries < 0 or self.patience < 0:
            raise LabellingError("timeout must be above 0, retries and patience not below 0")
