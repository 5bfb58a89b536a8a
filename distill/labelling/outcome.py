"""How a labelling run ended: what it holds, what it has cost, what is left, what failed and why."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...store.rows import Record, Score
from ...store.store import Store
from ...store.totals import RunTotals, record_splits, run_totals, spent_by, unpriced
from ..amounts import dollars, rows_in, tokens
from .failures import Failure, failures


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run as it stands. `asked` is how many rows this invocation asked, `left` how many have no
    answer yet, `reused` how many have labels that another run bought; sums count earlier
    invocations, too. `stopped` says at which limit it ended before its end, `resume` when to go on
    where that is known; `unpriced` rows have a cost that nobody knows, and `at_most_usd` counts the
    worst case of calls that did not say what they used; `splits` is how many rows of the run each
    split holds; `agreement` is the teacher's with itself, where it was asked twice.
    """

    totals: RunTotals
    asked: int
    unpriced: int = 0
    at_most_usd: float = 0.0
    reused: int = 0
    left: int = 0
    stopped: str | None = None
    resume: datetime.datetime | None = None
    failures: tuple[Failure, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    agreement: Score | None = None

    def told(self, store: str) -> str:
        """One line for a person."""
        run = self.totals
        said = [f"{self.asked:,} asked now"]
        said += [f"{self.reused:,} with older labels"] if self.reused else []
        said += [f"{run.attempts:,} calls", tokens(run)]
        said.append(self._cost())
        rows = f"{run.rows:,} rows in {store}, {run.failed:,} failed"
        return f"teacher {run.model}: {rows}; {', '.join(filter(None, said))}"

    def told_splits(self) -> str:
        """One line on where the rows are; empty where there is none."""
        return f"by split: {rows_in(self.splits)}" if self.splits else ""

    def _cost(self) -> str:
        cost = self.totals.cost
        if cost is None:
            return "cost unknown"
        if self.unpriced:
            return f"{dollars(cost)} and the unknown cost of {self.unpriced:,} rows"
        doubt = f" (at most {dollars(self.at_most_usd)}: some calls did not say)"
        return dollars(cost) + (doubt if dollars(self.at_most_usd) != dollars(cost) else "")

    def data(self) -> dict[str, Any]:
        """The same as JSON data."""
        return {
            **self.totals.model_dump(),
            "unpriced": self.unpriced,
            "at_most_usd": self.at_most_usd,
            "asked": self.asked,
            "reused": self.reused,
            "left": self.left,
            "stopped": self.stopped,
            "resume": self.resume.isoformat() if self.resume else None,
            "splits": dict(self.splits),
            "failures": [asdict(failure) for failure in self.failures],
            "agreement": self.agreement.model_dump() if self.agreement else None,
        }


def outcome(
    store: Store,
    run: str,
    *,
    asked: int,
    reused: int = 0,
    left: int = 0,
    stopped: str | None = None,
    resume: datetime.datetime | None = None,
) -> Outcome:
    """What the store says of a run."""
    totals = next(found for found in run_totals(store) if found.run == run)
    kinds = failures(store.iter_records(run)) if totals.failed else []
    return Outcome(
        totals=totals,
        asked=asked,
        unpriced=unpriced(store, run),
        at_most_usd=spent_by(store, run).usd,
        reused=reused,
        left=left,
        stopped=stopped,
        resume=resume,
        failures=tuple(kinds),
        splits=record_splits(store, run),
    )


def extrapolated(records: Sequence[Record], left: int) -> str:
    """What `left` more rows would cost if they are like these, with a 95 % interval, as one line.

    The interval is that of a mean of independent rows (1.96 standard errors).
    """
    if not left:
        return "no row is left"
    if records and all(record.answer is None for record in records):
        return f"no row has an answer: what the {left:,} rows left would cost cannot be told"
    costs = [record.cost for record in records if record.cost is not None]
    if len(costs) < len(records) or not costs:
        return f"what the {left:,} rows left would cost is unknown: give --prices FILE"
    mean = math.fsum(costs) / len(costs)
    said = f"the {left:,} rows left at this mean of {dollars(mean)}: {dollars(left * mean)}"
    if len(costs) < 2:
        return said
    variance = math.fsum((cost - mean) ** 2 for cost in costs) / (len(costs) - 1)
    error = 1.96 * math.sqrt(variance / len(costs))
    low, high = max(0.0, mean - error), mean + error
    return f"{said} (95 % interval {dollars(left * low)} to {dollars(left * high)})"
