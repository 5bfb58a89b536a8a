"""The one loop: a chain over examples into records. Labelling and evaluating are the same act.

Rows are asked side by side, at most `concurrency` at a time, out of the store a page at a time, and
each record is committed as it arrives; what a run has answered is not asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.runnables import Runnable, RunnableConfig

from ..chains.task import Task, Thought
from ..store.pending import count_pending, iter_pending
from ..store.rows import Example, Record, Run
from ..store.store import Store
from .event_loop import exits_are_errors, run_coroutine
from .labelling.calls import Caller
from .labelling.ledger import CallLedger
from .labelling.limits import EndOfRun, LabellingError
from .redaction import one_line, without_keys
from .runs import now

Progress: TypeAlias = Callable[[int, int, Record], None]
Chain: TypeAlias = Runnable[dict[str, Any], Thought]
NOTHING_IN_A_ROW = 10  # rows for which the model gave no text at all: nothing was paid
FAILURES_IN_A_ROW = 25  # rows without a valid answer, paid for or not


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Which of the task's examples are asked: splits (all for None) and how many of each.

    `limit` takes the first ones of each split, `sample` so many of all by chance, always the same.
    With `failed`, rows that failed before are asked again, paid for or not.
    """

    splits: tuple[str, ...] | None = None
    limit: int | None = None
    sample: int | None = None
    failed: bool = False

    def pending(self, store: Store, run: Run) -> Iterator[Example]:
        """The examples that `run` has yet to answer."""
        return iter_pending(store, run, **self._bounds())

    def count(self, store: Store, run: Run) -> int:
        """How many these are."""
        return count_pending(store, run, **self._bounds())

    def _bounds(self) -> dict[str, Any]:
        splits = None if self.splits is None else list(self.splits)
        return {**vars(self), "splits": splits}


def run_chain(
    chain: Chain,
    task: Task,
    store: Store,
    run: Run,
    rows: Rows = Rows(),
    *,
    concurrency: int = 8,
    gives_up: bool = True,
    progress: Progress | None = None,
) -> None:
    """Answer the rows that `run` has not answered yet; each record is stored as it arrives.

    A failed row is a record and the run goes on; after NOTHING_IN_A_ROW rows in a row for which the
    model gave nothing at all, or FAILURES_IN_A_ROW without a valid answer, LabellingError says why
    (not where `gives_up` is False: a system whose failures are what is to be measured).

    On Ctrl-C no new row is asked and the rows in flight, which are paid for, are still stored; a
    second Ctrl-C drops them.
    """
    run_coroutine(
        answer_rows(
            chain,
            task,
            store,
            run,
            rows,
            concurrency=concurrency,
            gives_up=gives_up,
            progress=progress,
        )
    )


async def answer_rows(
    chain: Chain,
    task: Task,
    store: Store,
    run: Run,
    rows: Rows,
    *,
    caller: Caller | None = None,
    config: RunnableConfig | None = None,
    concurrency: int = 8,
    gives_up: bool = True,
    progress: Progress | None = None,
) -> None:
    """`run_chain` inside an event loop; `caller` governs the chain's models where it is given."""
    loop = _Loop(chain, task, store, run, total=rows.count(store, run), progress=progress)
    loop.caller, loop.config, loop.gives_up = caller, config or {}, gives_up
    if caller:
        caller.ended = lambda: loop.stopped is not None
    await loop.answer_all(rows.pending(store, run), concurrency=concurrency)
    store.finish_run(run.id, now())


class _Loop:
    """A bounded pool of workers over the pending examples."""

    caller: Caller | None = None
    config: RunnableConfig
    gives_up = True

    def __init__(
        self,
        chain: Chain,
        task: Task,
        store: Store,
        run: Run,
        *,
        total: int,
        progress: Progress | None,
    ) -> None:
        self.chain, self.task, self.store, self.run = chain, task, store, run
        self.total, self.progress = total, progress
        self.done = 0
        self.failures_in_a_row = self.nothing_in_a_row = 0
        self.stopped: BaseException | None = None

    async def answer_all(self, pending: Iterator[Example], *, concurrency: int) -> None:
        workers = [
            asyncio.create_task(self._work(pending)) for _ in range(min(concurrency, self.total))
        ]
        if not workers:
            return
        try:
            await asyncio.wait(workers)  # a cancelled wait leaves the workers alone
        except asyncio.CancelledError:
            self.stopped = LabellingError("stopped")
            await asyncio.wait(workers)
            raise
        errors = [error for worker in workers if (error := worker.exception())]
        if errors or self.stopped:
            raise errors[0] if errors else self.stopped  # type: ignore[misc]

    async def _work(self, pending: Iterator[Example]) -> None:
        for example in pending:
            if self.stopped:
                return
            record = await self._ask(example)
            if record is None:
                return
            try:
                self.store.add_record(record)
            except Exception as error:
                self.stopped = error
                raise
            self._count(record)

    async def _ask(self, example: Example) -> Record | None:
        """The row's record; None where the run has ended and nothing was sent for the row."""
        caller, start = self.caller, time.perf_counter()
        ledger = caller.ledger() if caller else CallLedger()
        fields: dict[str, Any] = {}
        ended = False
        try:
            with exits_are_errors():
                thought = await self.chain.ainvoke(
                    dict(example.inputs), {**self.config, "callbacks": [ledger]}
                )
            fields = thought_fields(self.task, thought)
        except EndOfRun as end:
            self.stopped = self.stopped or end.error
            ended = True
            fields = {"error": f"the run ended first: {one_line(end.error)}"[:300]}
        except Exception as error:  # noqa: BLE001 - whatever a provider raises is this row's record
            fields = {"error": ledger.told(error)}
        finally:
            if caller:
                await caller.close(ledger)
        if ended and not ledger.requests:
            return None
        if ended:
            ledger.replies.clear()  # the row has no answer of its own: it is asked again
        details = {**(fields.pop("details", None) or {}), **ledger.unreported_facts()}
        return Record(
            run=self.run.id,
            example=example.id,
            **ledger.facts(),
            **fields,
            details=details or None,
            seconds=time.perf_counter() - start,
            created=now(),
        )

    def _count(self, record: Record) -> None:
        self.done += 1
        failed, nothing = record.answer is None, record.answer is None and record.raw is None
        self.failures_in_a_row = self.failures_in_a_row + 1 if failed else 0
        self.nothing_in_a_row = self.nothing_in_a_row + 1 if nothing else 0
        if self.progress:
            self.progress(self.done, self.total, record)
        if not self.gives_up:
            return
        if self.nothing_in_a_row >= NOTHING_IN_A_ROW:
            self._stop(f"gave nothing for {NOTHING_IN_A_ROW} rows in a row", record, "run again")
        elif self.failures_in_a_row >= FAILURES_IN_A_ROW:
            again = "run again with --retry-failed"
            self._stop(f"gave no valid answer for {FAILURES_IN_A_ROW} rows in a row", record, again)

    def _stop(self, why: str, record: Record, again: str) -> None:
        self.stopped = self.stopped or LabellingError(
            f"{self.run.model} {why}, the last: {record.error}; mend that and {again}, "
            "what is answered is not asked again"
        )


def thought_fields(task: Task, thought: Thought) -> dict[str, Any]:
    """The Record fields that a Thought decides."""
    return {
        "reasoning": thought.reasoning,
        "answer": task.answer_json(thought.answer),
        "confidence": dict(thought.confidence) if thought.confidence else None,
        "votes": {path: dict(counts) for path, counts in (thought.votes or {}).items()} or None,
        "details": without_keys(thought.details) if thought.details else None,
    }
