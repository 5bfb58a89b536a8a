"""What a labelling run would ask and cost, before anything is asked: no call, nothing written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...chains.strategies import calls_per_row
from ...chains.task import Task
from ...chains.teachers import model_name
from ...store.provenance import terms_of
from ...store.store import Store
from ...store.totals import run_totals, spent_by
from ..loop import Rows
from ..runs import ZERO_SHOT, teacher_run
from ..terms import told_terms
from .estimate import Amount, Work
from .limits import Limits
from .planning import render, sampled, slots
from .prices import Price, find_price

_SEVERAL = {"negotiate": 2, "agent": 2}  # calls of a row that goes well, where it is not the most


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would still ask and cost. `lines()` is for people, `data()` is JSON.

    `hours` is the time that the rows left take at the speed of the rows answered so far, or at
    least take within the limits a minute; None where nothing says. `notes` say what is assumed.
    """

    run: str
    models: tuple[str, ...]
    strategy: str
    rows: int
    answered: int
    sampled: int
    calls_per_row: float
    calls_per_row_at_most: int
    expected: Amount
    at_most: Amount
    spent_usd: float
    hours: float | None
    hours_by: str
    prices: tuple[str, ...]
    terms: tuple[str, ...]
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """The plan as JSON data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The plan as it is printed."""
        spent = f", ${self.spent_usd:.4f} spent on them at most" if self.spent_usd else ""
        told = [
            f"plan for {' + '.join(self.models)}, strategy {self.strategy}: no call is made",
            f"rows left: {self.rows:,} ({self.answered:,} answered before{spent})",
            f"calls per row: {self.calls_per_row:g} expected, {self.calls_per_row_at_most} at most",
            _pair("calls", self.expected.calls, self.at_most.calls),
            _pair("input tokens", self.expected.input_tokens, self.at_most.input_tokens),
            _pair("output tokens", self.expected.output_tokens, self.at_most.output_tokens),
            _pair("cost in US dollars", self.expected.usd, self.at_most.usd),
            f"hours: {self._hours()}",
        ]
        prices = [f"price of {line}" for line in self.prices]
        return [*told, *prices, *self.terms, *(f"note: {note}" for note in self.notes)]

    def _hours(self) -> str:
        if self.hours is None:
            return "unknown until some rows are answered"
        least = "at least " if self.hours_by == "limits" else "about "
        return f"{least}{self.hours:.2g} ({self.hours_by})"


def plan(
    task: Task,
    model: BaseChatModel | Sequence[BaseChatModel],
    store: Store,
    *,
    strategy: str = ZERO_SHOT,
    options: Mapping[str, Any] | None = None,
    split: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    retry_failed: bool = False,
    repeat: bool = False,
    limits: Limits | None = None,
    prices: Sequence[Price | None] | None = None,
    schema_retries: int = 2,
    concurrency: int = 8,
) -> Plan:
    """What `label` would ask and cost with the same arguments: no call is made, nothing written.

    The prompts of a seeded sample of the rows left are rendered by the strategy's own chain.
    Expected tokens are what the store has seen of this run, else bytes / 4 of input and an assumed
    output. At most counts every byte of the prompts as a token, every answer as long as the model's
    cap, and every schema retry; it is unknown where a model has no cap. Calls that are sent again
    after a failure on their way are in neither. Raises TaskError, LabellingError, StoreError.
    """
    models = [model] if isinstance(model, BaseChatModel) else list(model)
    asked, limits = dict(options or {}), limits or Limits()
    known = [find_price(one) for one in models] if prices is None else list(prices)
    run = teacher_run(task, models, strategy=strategy, options=asked, repeat=repeat)
    rows = Rows(
        splits=None if split is None else (split,), limit=limit, sample=sample, failed=retry_failed
    )
    left = sampled(rows.pending(store, run))
    rendered = render(task, models, left.examples, strategy=strategy, options=asked)
    most = calls_per_row(strategy, models=len(models), **asked)
    work = Work(
        models=models,
        prices=known,
        left=left,
        slots=slots(left.examples, rendered),
        calls=_SEVERAL.get(strategy, most - bool(asked.get("mend"))),
        most=most,
        tries=1 + schema_retries,
        totals=run_totals(store, task.name),
        run=run,
    )
    hours, hours_by = work.hours(limits, concurrency)
    spent = spent_by(store, run.id).usd
    return Plan(
        run=run.id,
        models=tuple(map(model_name, models)),
        strategy=strategy,
        rows=left.rows,
        answered=work.seen.rows if work.seen else 0,
        sampled=len(left.examples),
        calls_per_row=work.calls_expected,
        calls_per_row_at_most=most * work.tries,
        expected=work.expected(),
        at_most=work.at_most(),
        spent_usd=spent,
        hours=hours,
        hours_by=hours_by,
        prices=_once(f"{model_name(m)}: {_told(p)}" for m, p in zip(models, known, strict=True)),
        terms=_once(told_terms(one, terms_of(store, model_name(one))) for one in models),
        notes=tuple(work.notes(strategy, limits, spent)),
    )


def _once(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))


def _told(price: Price | None) -> str:
    return "unknown" if price is None else price.told()


def _pair(what: str, expected: float | None, most: float | None) -> str:
    said = [
        "unknown"
        if value is None
        else f"{value:,.4f}"
        if isinstance(value, float)
        else f"{value:,}"
        for value in (expected, most)
    ]
    return f"{what}: {said[0]} expected, {said[1]} at most"
