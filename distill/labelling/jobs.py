"""A labelling job as the command line asks for it: what is said before, the run, how it ended."""

from __future__ import annotations

import heapq
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...chains.answer import held_by
from ...chains.task import Task
from ...chains.teachers import model_name, retries_of_its_own
from ...store.provenance import terms_of
from ...store.rows import Example, Record, Run
from ...store.store import Store
from ...store.totals import count_answered, run_totals, spent_by
from ..loop import Progress, Rows
from ..runs import is_repeat, teacher_run
from ..terms import note_terms, told_terms
from .label import label
from .limits import LabellingError, Limits, Stopped
from .outcome import Outcome, outcome
from .plan import Plan, plan
from .prices import Price, default_table, find_price
from .teaching import Asking, in_flags

_HELD = {
    "json_schema": "held to the schema by the provider (json_schema)",
    "function_calling": "held to the schema by a tool's arguments (function calling)",
    "text": "has neither JSON schema nor tools: it is told the schema, and its text is read",
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """Which rows are asked (`sample`: so many of all by chance), how, and within what."""

    task: Task
    asking: Asking
    prices: tuple[Price | None, ...]
    limits: Limits
    split: str | None = None
    limit: int | None = None
    sample: int | None = None
    repeat: bool = False
    retry_failed: bool = False
    reuse_labels: str | None = None
    schema_retries: int = 2
    concurrency: int = 8

    @property
    def run(self) -> Run:
        """The run that this job fills."""
        asking = self.asking
        return teacher_run(
            self.task,
            asking.models,
            strategy=asking.strategy,
            options=asking.options,
            repeat=self.repeat,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """What `label` and `plan` take alike."""
        return {
            "strategy": self.asking.strategy,
            "options": self.asking.options,
            "split": self.split,
            "limit": self.limit,
            "sample": self.sample,
            "retry_failed": self.retry_failed,
            "repeat": self.repeat,
            "limits": self.limits,
            "prices": self.prices,
            "schema_retries": self.schema_retries,
            "concurrency": self.concurrency,
        }

    @property
    def rows(self) -> Rows:
        """The rows that it is about, for the store to count."""
        splits = None if self.split is None else (self.split,)
        return Rows(splits=splits, limit=self.limit, sample=self.sample, failed=self.retry_failed)


def prices_of(asking: Asking, table: Path | None) -> tuple[Price | None, ...]:
    """What each teacher costs, by `table` or prices.toml first; None where nobody says."""
    found = table or default_table()
    pairs = zip(asking.models, asking.references, strict=True)
    return tuple(find_price(model, reference=name, table=found) for model, name in pairs)


def limits_of(**given: Any) -> Limits:
    """The limits of a command line. Raises LabellingError in its words."""
    try:
        return Limits(**given)
    except LabellingError as error:
        raise LabellingError(in_flags(str(error))) from error


def announcements(job: Job, store: Store) -> Iterator[str]:
    """What a person should know before the first call, a line each."""
    told: set[str] = set()
    for model, price in zip(job.asking.models, job.prices, strict=True):
        name = model_name(model)
        if name in told:
            continue
        told.add(name)
        yield f"teacher {name}: {_HELD.get(form := held_by(model), form)}"
        unknown = "price unknown: give --prices FILE with USD per million tokens"
        yield f"price of {name}: {price.told() if price else unknown}"
        yield told_terms(model, terms_of(store, name))
        # The engine gives langchain-openai a client of its own, unless the user has given one.
        ours = hasattr(model, "root_async_client") and not getattr(model, "http_async_client", None)
        if (retries := retries_of_its_own(model)) and not ours:
            yield (
                f"{name} sends failed calls again on its own (up to {retries} times): those are "
                "not in the ledger, and a budget does not see them; build it with max_retries=0"
            )
    if _traced():
        yield "LangSmith tracing is on: prompts and answers leave this machine for it, too"
    if job.reuse_labels:
        yield f"labels bought with the words {job.reuse_labels} count for this run, too"
    yield from _already(job, store)


def _already(job: Job, store: Store) -> Iterator[str]:
    """What is not asked again, and which labels could be taken over that are about to be bought."""
    run = job.run
    runs = {one.id: one for one in store.runs(job.task.name, "teacher")}
    there = count_answered(store, run.id) if run.id in runs else 0
    if there:
        yield f"{there:,} rows are answered already and are not asked again"
    if there or job.reuse_labels or job.repeat:
        return
    for totals in run_totals(store, job.task.name):
        other = runs.get(totals.run)
        if other is None or totals.rows == totals.failed or is_repeat(other):
            continue
        if (other.model, other.strategy) == (run.model, run.strategy) and other.id != run.id:
            words = "the same words" if other.words == run.words else "other words"
            yield (
                f"run {other.id} has {totals.rows - totals.failed:,} answers of this model, told "
                f"{words} with {_differing(other, run)}: --reuse-labels {other.id} takes them over"
            )


def _differing(other: Run, run: Run) -> str:
    ours, theirs = run.parameters, other.parameters
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return f"other parameters ({', '.join(sorted(names))})" if names else "the same parameters"


def planned(job: Job, store: Store) -> Plan:
    """What the job would ask and cost. Raises what `plan` raises."""
    try:
        return plan(job.task, job.asking.models, store, **job.arguments)
    except LabellingError as error:
        raise LabellingError(in_flags(str(error))) from error


def carry_out(job: Job, store: Store, progress: Progress | None = None) -> Outcome:
    """Run the job; a limit that ends it is in the outcome. Raises what `label` raises."""
    asked = 0

    def count(done: int, total: int, record: Record) -> None:
        nonlocal asked
        asked += 1
        if progress:
            progress(done, total, record)

    stopped: Stopped | None = None
    run = job.run
    try:
        label(
            job.task,
            job.asking.models,
            store,
            **job.arguments,
            reuse_labels=job.reuse_labels,
            progress=count,
        )
    except Stopped as end:
        stopped = end
    except LabellingError as error:
        raise LabellingError(in_flags(str(error))) from error
    note_terms(store, job.asking.models)
    reused = (record.attempts == 0 for record in store.iter_records(run.id))
    return outcome(
        store,
        run.id,
        asked=asked,
        reused=sum(reused) if job.reuse_labels else 0,
        left=job.rows.count(store, run),
        stopped=in_flags(stopped.reason) if stopped else None,
        resume=stopped.resume if stopped else None,
    )


def once_more(job: Job, store: Store) -> Job:
    """The same rows asked a second time, within what the first time has left of the ceilings."""
    past = spent_by(store, job.run.id)
    limits = replace(
        job.limits,
        max_usd=job.limits.max_usd and max(1e-9, job.limits.max_usd - past.usd),
        max_tokens=job.limits.max_tokens and max(1, job.limits.max_tokens - past.tokens),
    )
    return replace(job, repeat=True, reuse_labels=None, limits=limits)


def rows_of(job: Job, store: Store) -> Iterator[tuple[Example, Record]]:
    """The rows of a job that is a sample of one split, and what was answered to them."""
    rows = store.iter_examples(job.task.name, split=job.split, limit=job.limit)
    if job.sample:
        rows = iter(heapq.nsmallest(job.sample, rows, key=lambda example: example.id))
    for example in rows:
        record = store.record(job.run.id, example.id)
        if record is not None:
            yield example, record


def _traced() -> bool:
    if importlib.util.find_spec("langsmith") is None:
        return False
    from langsmith.utils import tracing_is_enabled

    return bool(tracing_is_enabled())
