"""How a stand-in is doing: its mode, who answers, how often both agree, what it costs and saves."""

from __future__ import annotations

from typing import Any

from ...store.connection import StoreError
from ...store.rows import Row, StandIn
from ...store.stand_ins import call_totals, stand_in, stand_ins
from ...store.store import Store
from ..guarantee.sequence import confidence_sequence


class Period(Row):
    """Calls since a time (None: all): counts, and what follows from them.

    `coverage` is the share of calls that the student answered. `agreement` is the share on which
    student and teacher said the same, among `compared`: in modes cascade and student those that the
    student answered and the teacher checked, else all on which both were asked; `low` and `high`
    hold it at 95 %, however often they are looked at. `spent` is US dollars of the teacher's
    answers; `saved` what the calls of which no teacher was asked would have cost at their mean.
    None is not known.
    """

    since: str | None
    first: str | None
    last: str | None
    calls: int
    by_student: int
    escalated: int
    sampled: int
    errors: int
    coverage: float | None
    compared: int
    agreement: float | None
    low: float | None
    high: float | None
    spent: float | None
    saved: float | None
    input_tokens: int | None
    output_tokens: int | None


class Status(Row):
    """A stand-in, and its calls `now` (since its mode was set) and `ever`."""

    stand_in: StandIn
    now: Period
    ever: Period

    def data(self) -> dict[str, Any]:
        """As JSON data, the stand-in's own fields on top."""
        periods = {"now": self.now.model_dump(), "ever": self.ever.model_dump()}
        return {**self.stand_in.model_dump(), **periods}


def status_of(store: Store, name: str) -> Status:
    """How this stand-in is doing. Raises StoreError where there is none of the name."""
    found = known(store, name)
    return Status(
        stand_in=found,
        now=_period(store, found, since=found.changed),
        ever=_period(store, found, since=None),
    )


def known(store: Store, name: str) -> StandIn:
    """The stand-in of this name. Raises StoreError, which names those that there are."""
    found = stand_in(store, name)
    if found is None:
        names = ", ".join(one.name for one in stand_ins(store)[:20])
        there = f"it has {names}" if names else "it has none yet: wrap a chain in swap(...)"
        raise StoreError(f"{store.path} has no stand-in {name[:80]}; {there}")
    return found


def _period(store: Store, found: StandIn, since: str | None) -> Period:
    totals = call_totals(store, found.name, since)
    which = "_answered" if found.mode in ("cascade", "student") else ""
    compared, agreed = totals[f"compared{which}"], totals[f"agreed{which}"]
    low, high = confidence_sequence(agreed, compared) if compared else (None, None)
    calls = totals["calls"]
    taken = ("first", "last", "calls", "by_student", "escalated", "sampled", "errors")
    return Period(
        since=since,
        **{name: totals[name] for name in taken},
        coverage=totals["by_student"] / calls if calls else None,
        compared=compared,
        agreement=agreed / compared if compared else None,
        low=low,
        high=high,
        spent=totals["cost"],
        saved=_saved(store, found, totals),
        input_tokens=totals["input_tokens"],
        output_tokens=totals["output_tokens"],
    )


def _saved(store: Store, found: StandIn, totals: dict[str, Any]) -> float | None:
    """The mean is of all paid calls ever: in mode student there may be none of late."""
    ever = call_totals(store, found.name)
    return totals["free"] * ever["cost"] / ever["paid"] if ever["paid"] else None
