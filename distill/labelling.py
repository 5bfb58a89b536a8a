"""The one loop: a chain over examples into records. Labelling and evaluating are the same act.

Rows are asked side by side, at most `concurrency` at a time, and each record is committed as it
arrives; what a run has answered is not asked again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable

from ..chains.answer import answer_chain
from ..chains.task import Task, Thought
from ..store.rows import Example, Record, Run
from ..store.store import Store
from .runs import describe_run, now, start

Progress = Callable[[int, int, Record], None]
NOTHING_IN_A_ROW = 10  # rows for which the model gave no text at all: nothing was paid
FAILURES_IN_A_ROW = 25  # rows without a valid answer, paid for or not
_KEY = re.compile(
    r"\b(?:sk|pk|hf|gsk|xai|key)[-_][A-Za-z0-9_\-*]{8,}"
    r"|\bAIza[A-Za-z0-9_\-]{8,}|\bA[KS]IA[A-Z0-9]{8,}"
    r"|(?i:(?<=\bbearer ))(?=\S*\d)[A-Za-z0-9._~+/=*\-]{8,}"  # not "Bearer authentication"
)


class LabellingError(Exception):
    """A labelling run that cannot go on: what, which one, what to do. What was stored stays."""


def label(
    task: Task,
    model: BaseChatModel,
    store: Store,
    *,
    split: str | None = None,
    limit: int | None = None,
    concurrency: int = 8,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Run:
    """The teacher `model` answers the task's examples (of one split, or of all) into `store`.

    The same task, words, schema, model and parameters are the same run: asked again, it only
    answers what is missing. A failure that was paid for counts as answered unless `retry_failed`.
    Works inside a running event loop too. Raises LabellingError,
    TaskError, StoreError.
    """
    examples = store.examples(task.name, split=split, limit=limit)
    if not examples:
        where = f"split {split!r}" if split else "the store"
        raise LabellingError(f"task {task.name} has no examples in {where}; import data first")
    chain = answer_chain(task, model)
    run = start(
        task,
        store,
        describe_run(task, role="teacher", name="teacher", model=model, target="reason_label"),
    )
    run_chain(
        chain,
        task,
        store,
        run,
        examples,
        concurrency=concurrency,
        retry_failed=retry_failed,
        progress=progress,
    )
    return store.run(run.id)


def run_chain(
    chain: Runnable[dict[str, Any], Thought],
    task: Task,
    store: Store,
    run: Run,
    examples: Sequence[Example],
    *,
    concurrency: int = 8,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> None:
    """Answer the examples that `run` has not answered yet; each record is stored as it arrives.

    A failed row is a record and the run goes on; after NOTHING_IN_A_ROW rows in a row for which the
    model gave nothing at all, or FAILURES_IN_A_ROW without a valid answer, LabellingError says why.
    With `retry_failed` the rows that failed before are asked again, paid for or not.

    On Ctrl-C no new row is asked and the rows in flight, which are paid for, are still stored; a
    second Ctrl-C drops them.
    """
    answered = store.answered(run.id)
    if retry_failed:
        answered -= {record.example for record in store.records(run.id) if record.answer is None}
    pending = [example for example in examples if example.id not in answered]
    loop = _Loop(chain, task, store, run, total=len(pending), progress=progress)
    run_coroutine(loop.answer_all(pending, concurrency=concurrency))
    store.finish_run(run.id, now())


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, also where an event loop is already running (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return _run_in_a_thread(coroutine)


def _run_in_a_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """In a loop of its own; an interrupt here (a notebook's stop button) cancels it there."""
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def cancellable() -> Any:
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    with ThreadPoolExecutor(max_workers=1) as pool:
        result = pool.submit(asyncio.run, cancellable())
        try:
            return result.result()
        except KeyboardInterrupt:
            loop, task = running.result()
            loop.call_soon_threadsafe(task.cancel)
            raise


class CallLedger(BaseCallbackHandler):
    """Every model call of one row, whatever the chain: texts, tokens and the model's own name."""

    run_inline = True

    def __init__(self) -> None:
        self.replies: list[AIMessage] = []

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        for generations in response.generations:
            for generation in generations[:1]:
                if isinstance(generation, ChatGeneration) and isinstance(
                    generation.message, AIMessage
                ):
                    self.replies.append(generation.message)

    def facts(self) -> dict[str, Any]:
        """The Record fields that the calls decide."""
        last = self.replies[-1] if self.replies else None
        return {
            "raw": storable("\n".join(map(_reply_text, self.replies))) or None,
            "attempts": max(1, len(self.replies)),
            "input_tokens": self._tokens("input_tokens"),
            "output_tokens": self._tokens("output_tokens"),
            "model": str(last.response_metadata.get("model_name") or "") or None if last else None,
        }

    def _tokens(self, kind: str) -> int | None:
        counts = [reply.usage_metadata for reply in self.replies if reply.usage_metadata]
        return sum(count[kind] for count in counts) if counts else None  # type: ignore[literal-required]


class _Loop:
    """A bounded pool of workers over the pending examples."""

    def __init__(
        self,
        chain: Runnable[dict[str, Any], Thought],
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
        self.stopped: Exception | None = None

    async def answer_all(self, pending: Sequence[Example], *, concurrency: int) -> None:
        waiting = iter(pending)
        workers = [
            asyncio.create_task(self._work(waiting)) for _ in range(min(concurrency, len(pending)))
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

    async def _work(self, waiting: Iterator[Example]) -> None:
        for example in waiting:
            if self.stopped:
                return
            record = await self._ask(example)
            try:
                self.store.add_record(record)
            except Exception as error:
                self.stopped = error
                raise
            self._count(record)

    async def _ask(self, example: Example) -> Record:
        ledger, start = CallLedger(), time.perf_counter()
        fields: dict[str, Any] = {}
        try:
            thought = await self.chain.ainvoke(dict(example.inputs), {"callbacks": [ledger]})
            fields = thought_fields(self.task, thought)
        except Exception as error:  # noqa: BLE001 - whatever a provider raises is this row's record
            fields = {"error": one_line(error)}
        return Record(
            run=self.run.id,
            example=example.id,
            **ledger.facts(),
            **fields,
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


def storable(text: str) -> str:
    """The text with half a surrogate pair, which a cut-off reply can hold, as a question mark."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def one_line(error: BaseException) -> str:
    """An exception as one line of at most 300 characters, without what looks like a key."""
    text = " ".join(storable(str(error)).split())
    return f"{type(error).__name__}: {_hidden(text)}"[:300]


def _hidden(text: str) -> str:
    for name, value in os.environ.items():
        if re.search(r"KEY|TOKEN|SECRET", name, re.IGNORECASE) and len(value) >= 8:
            text = text.replace(value, "***")
    return _KEY.sub("***", text)


def without_keys(value: Any) -> Any:
    """JSON data as it may be stored: providers' errors and tools' results can hold keys."""
    if isinstance(value, str):
        return _hidden(storable(value))
    if isinstance(value, Mapping):
        return {storable(str(key)): without_keys(part) for key, part in value.items()}
    return [without_keys(part) for part in value] if isinstance(value, list | tuple) else value


def _reply_text(message: AIMessage) -> str:
    """The reply as text; where the answer is a tool call, its arguments."""
    calls = [call["args"] for call in message.tool_calls]
    broken = [str(call.get("args")) for call in message.invalid_tool_calls]
    parts = [str(message.text), *(json.dumps(c, ensure_ascii=False) for c in calls), *broken]
    return "\n".join(part for part in parts if part)
