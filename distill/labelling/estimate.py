"""Calls, tokens, money and time of the rows that a run has left: expected, and at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ...chains.teachers import model_name, output_cap
from ...store.rows import Run
from ...store.totals import RunTotals
from .limits import Limits
from .planning import ASSUMED_OUTPUT, Sampled, Slot
from .prices import Price, Usage

_MISFIT = 512  # bytes that tell a model what did not fit, beside its answer that goes back to it


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Calls, tokens and US dollars of all rows that are left; None is unknown, not zero."""

    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """The rows that are left, what each asks, and what the store has seen of it."""

    models: Sequence[BaseChatModel]
    prices: Sequence[Price | None]
    left: Sampled
    slots: Sequence[Slot]
    calls: int
    most: int
    tries: int
    totals: Sequence[RunTotals]
    run: Run

    @property
    def seen(self) -> RunTotals | None:
        """What this very run has asked so far."""
        found = (t for t in self.totals if t.run == self.run.id and t.rows)
        return next(found, None)

    @property
    def measured(self) -> RunTotals | None:
        """The same, where its records say what they used."""
        seen = self.seen
        return seen if seen and seen.input_tokens and seen.output_tokens else None

    @property
    def calls_expected(self) -> float:
        seen = self.seen
        return round(seen.attempts / seen.rows, 3) if seen else float(self.calls)

    def output_per_call(self, model: BaseChatModel) -> float | None:
        """Output tokens that this model wrote per call in any run of the task; None if unseen."""
        of_it = [
            total
            for total in self.totals
            if total.role == "teacher" and total.model == model_name(model) and total.output_tokens
        ]
        calls = sum(total.attempts for total in of_it)
        return sum(total.output_tokens or 0 for total in of_it) / calls if calls else None

    def expected(self) -> Amount:
        rows, measured = self.left.rows, self.measured
        calls = round(rows * self.calls_expected)
        if measured is None:
            return self._estimated(calls)
        share = rows / measured.rows
        read, written = measured.input_tokens or 0, measured.output_tokens or 0
        usd = None if measured.cost is None else measured.cost * share
        if len(self.models) == 1 and (price := self.prices[0]) is not None:
            one = Usage(
                input_tokens=round(read / measured.attempts),
                output_tokens=round(written / measured.attempts),
                cached_tokens=round((measured.cached_tokens or 0) / measured.attempts),
            )
            usd = price.cost(one) * calls
        return Amount(
            calls=calls,
            input_tokens=round(read * share),
            output_tokens=round(written * share),
            usd=usd,
        )

    def _estimated(self, calls: int) -> Amount:
        """Of each call the bytes / 4; a call that was not seen is like the last one, and longer."""
        rows, tokens_in, tokens_out, usd = self.left.rows, 0.0, 0.0, 0.0
        priced = True
        for number, slot in enumerate(self._slots(max(1, self.calls))):
            written = self.output_per_call(self.models[slot.model]) or ASSUMED_OUTPUT
            later = max(0, number + 1 - len(self.slots)) * written
            read = (self.left.bytes + rows * slot.mean) / 4 + rows * later
            price = self.prices[slot.model]
            tokens_in, tokens_out = tokens_in + read, tokens_out + rows * written
            one = Usage(input_tokens=round(read / max(1, rows)), output_tokens=round(written))
            priced = priced and price is not None
            usd += price.cost(one) * rows if price else 0.0
        return Amount(
            calls=calls,
            input_tokens=round(tokens_in),
            output_tokens=round(tokens_out),
            usd=usd if priced else None,
        )

    def at_most(self) -> Amount:
        rows, read, written, usd = self.left.rows, 0, 0, 0.0
        capped, priced = True, True
        caps = [output_cap(model) for model in self.models]
        longest_cap = max((cap or 0 for cap in caps), default=0)
        for number, slot in enumerate(self._slots(self.most)):
            unseen = max(0, number + 1 - len(self.slots))
            later = (slot.after + unseen) * (longest_cap + _MISFIT)
            cap, price = caps[slot.model], self.prices[slot.model]
            free = price is not None and price.worst(0, 10**6) == 0 == price.worst(10**6, 0)
            capped = capped and cap is not None
            priced = priced and (free or (price is not None and cap is not None))
            for attempt in range(self.tries):
                more = later + attempt * ((cap or 0) + _MISFIT)
                total = self.left.bytes + rows * (slot.most + more)
                read, written = read + total, written + rows * (cap or 0)
                if price is not None:
                    usd += _at_length(price, slot.longest + more, total, rows * (cap or 0))
        return Amount(
            calls=rows * self.most * self.tries,
            input_tokens=read if capped else None,
            output_tokens=written if capped else None,
            usd=usd if priced else None,
        )

    def _slots(self, count: int) -> list[Slot]:
        """As many calls as a row makes: those seen, then the dearest of them again."""
        seen = list(self.slots[:count])
        dearest = max(seen, key=lambda slot: slot.most, default=None)
        return seen + ([dearest] * (count - len(seen)) if dearest else [])

    def _pairs(self) -> Iterator[tuple[BaseChatModel, Price | None]]:
        return zip(self.models, self.prices, strict=True)

    def hours(self, limits: Limits, concurrency: int) -> tuple[float | None, str]:
        """How long the rows left take, and who says so: "measured", "limits", or "" for nobody."""
        expected, found = self.expected(), []
        if limits.requests_per_minute and expected.calls is not None:
            found.append(expected.calls / limits.requests_per_minute / 60)
        if limits.tokens_per_minute and expected.input_tokens is not None:
            tokens = expected.input_tokens + (expected.output_tokens or 0)
            found.append(tokens / limits.tokens_per_minute / 60)
        by = "limits" if found else ""
        if (seen := self.seen) and seen.seconds:
            took = self.left.rows * seen.seconds / seen.rows / concurrency / 3600
            by = "measured" if took >= max(found, default=0.0) else "limits"
            found.append(took)
        return max(found, default=None), by

    def notes(self, strategy: str, limits: Limits, spent: float) -> list[str]:
        """What the figures rest on, and where a sum of money ends the run."""
        told, expected = [], self.expected().usd
        if limits.max_usd is not None and expected and expected > limits.max_usd - spent:
            share = max(0.0, limits.max_usd - spent) / expected
            told.append(
                f"max_usd of ${limits.max_usd:g} ends the run after about "
                f"{int(share * self.left.rows):,} rows at the expected cost"
            )
        if self.measured is None:
            seen = all(self.output_per_call(model) for model in self.models)
            output = "as in other runs" if seen else f"{ASSUMED_OUTPUT} output tokens per call"
            told.append(
                f"tokens are assumed (bytes / 4 of input, {output}); --smoke 16 measures them"
            )
        for model, price in {model_name(m): (m, p) for m, p in self._pairs()}.values():
            if price is None:
                told.append(
                    f"the price of {model_name(model)} is unknown, which is not free: give it in "
                    'prices.toml or with --prices, or pip install "understudy[prices]"'
                )
            if output_cap(model) is None and (price is None or price.worst(0, 10**6) > 0):
                told.append(
                    f"{model_name(model)} has no cap on what it writes in one call, so the most "
                    "is unknown: give max_output_tokens"
                )
        if strategy == "agent":
            told.append("what the agent's tools return is in no figure")
        return told


def _at_length(price: Price, longest: int, read: int, written: int) -> float:
    """US dollars of many calls, each priced as the longest of them."""
    long = max(1, longest)
    per_output = (price.worst(long, 10**6) - price.worst(long, 0)) / 10**6
    return price.worst(long, 0) / long * read + per_output * written
