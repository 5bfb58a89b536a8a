"""How a system is asked: within a purse where it costs money, from a rationale alone, as it is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel

from ...chains.replies import json_in
from ...chains.task import Task, TaskError, Thought
from ...store.answers import has_answers
from ...store.rows import Run, example_id
from ...store.store import Store
from ..event_loop import run_coroutine
from ..labelling.alone import alone
from ..labelling.budget import Spend
from ..labelling.label import SCHEMA_RETRIES, answer_within, check_budget, spent_so_far
from ..labelling.limits import LabellingError, Limits, Stopped
from ..labelling.prices import Price
from ..loop import Chain, Progress, Rows, run_chain
from ..runs import start
from ..terms import note_terms
from .costs import PEAK
from .failing import Failed, trying

ProgressOf: TypeAlias = Callable[[str], Progress | None]


@dataclass(frozen=True, kw_only=True)
class Asker:
    """The rows that every system is asked, and how. `limits` hold for what one Asker spends.

    Money and tokens count from when it was made: what the runs had cost before is not in it.
    `failed` are the systems that could not be built or asked.
    """

    task: Task
    store: Store
    rows: Rows
    limits: Limits = field(default_factory=Limits)
    concurrency: int = 8
    schema_retries: int = SCHEMA_RETRIES
    progress: ProgressOf | None = None
    spent: list[Spend] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    def trying(self, name: str) -> contextlib.AbstractContextManager[None]:
        """A block whose failure is this system's own, and ends nothing but the block."""
        return trying(name, self.failed)

    def ask(self, run: Run, chain: Chain, *, at_once: int, gives_up: bool = True) -> Run:
        """A system that costs nothing answers what it has left."""
        run_chain(
            chain,
            self.task,
            self.store,
            run := start(self.task, self.store, run),
            self.rows,
            concurrency=at_once,
            gives_up=gives_up,
            progress=self.progress(run.name) if self.progress else None,
        )
        return run

    def check_answered(self, run: Run) -> None:
        """Raise LabellingError where the run has rows, and a valid answer to none of them."""
        if has_answers(self.store, run.id):
            return
        rows, last = 0, None
        for record in self.store.iter_records(run.id):
            rows, last = rows + 1, record.error or last
        if rows:
            raise LabellingError(
                f"none of its {rows:,} rows has a valid answer, the last: {last}; mend that and "
                "run again"
            )

    def left(self, run: Run) -> int:
        """How many rows the run has yet to answer."""
        return self.rows.count(self.store, run)

    def buy(
        self,
        run: Run,
        models: Sequence[BaseChatModel],
        prices: Sequence[Price | None],
        build: Callable[[Sequence[BaseChatModel]], Chain],
        *,
        calls: int = 1,
    ) -> Run:
        """A system of paid models answers what it has left, within what the limits leave.

        Raises Stopped where a limit ended it; what was answered is stored.
        """
        run = start(self.task, self.store, run)
        if not self.left(run):
            return run
        check_budget(models, prices, self.limits)
        note_terms(self.store, models)
        before = spent_so_far(self.store, run, prices)
        try:
            with alone(self.store, run):
                run_coroutine(
                    answer_within(
                        build,
                        self.task,
                        self.store,
                        run,
                        self.rows,
                        models=models,
                        prices=prices,
                        calls=calls,
                        limits=self._limits(before),
                        schema_retries=self.schema_retries,
                        concurrency=self.concurrency,
                        progress=self.progress(run.name) if self.progress else None,
                    )
                )
        finally:
            self.spent.append(spent_so_far(self.store, run, prices) - before)
        return run

    def _limits(self, before: Spend) -> Limits:
        """The limits of a run that had spent so much before this evaluation."""
        gone = sum(self.spent, Spend())
        usd, tokens = self.limits.max_usd, self.limits.max_tokens
        if (usd is not None and gone.usd >= usd) or (tokens is not None and gone.tokens >= tokens):
            raise Stopped(
                f"the systems asked so far have spent ${gone.usd:.4f} and {gone.tokens:,} tokens: "
                "the limit is reached; raise max_usd or max_tokens to go on"
            )
        return replace(
            self.limits,
            max_usd=None if usd is None else usd - gone.usd + before.usd,
            max_tokens=None if tokens is None else tokens - gone.tokens + before.tokens,
        )


def as_thoughts(task: Task, chain: Runnable[Any, Any]) -> Chain:
    """Anybody's Runnable, the task's inputs to an answer, as a chain of Thoughts.

    The answer may be a Thought, an object of pydantic, JSON data, or a text or message with JSON in
    it. Raises TaskError for one that does not fit the schema.
    """

    def read(answer: Any) -> Thought:
        if isinstance(answer, Thought):
            return answer
        return task.thought(_data(answer))

    reader: Runnable[Any, Thought] = RunnableLambda(read, name="thought")
    return (chain | reader).with_types(input_type=dict[str, Any], output_type=Thought)


def _data(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, BaseMessage):
        answer = answer.text
    if isinstance(answer, str):
        answer = json_in(str(answer))
    if isinstance(answer, BaseModel):
        answer = answer.model_dump(mode="json")
    if not isinstance(answer, Mapping):
        raise TaskError(f"the answer is no JSON object but a {type(answer).__name__}")
    return answer


def from_rationale(task: Task, store: Store, run: Run, student: Any) -> Chain:
    """The student's labels from what it wrote as reasoning in `run`, its inputs hidden.

    It is asked in its own words with every input empty, and its grammar holds the reasoning to the
    one it wrote: it reads its rationale where it always stands, and goes on to the labels. (With
    the rationale in place of the inputs it would read a text unlike any that it has learnt, and
    reason anew.) The forced text costs one forward pass. A row without a reasoning fails.
    """
    from ...chains.student.rendering import prefix_of, prompt_ids

    card = student.card
    empty = task.student_prompt.invoke(dict.fromkeys(task.inputs, "")).to_messages()

    def schema_with(reasoning: str) -> dict[str, Any]:
        schema = dict(card.answer_schema)
        named = {**schema["properties"], str(task.reasoning): {"const": reasoning}}
        return {**schema, "properties": named}

    async def answer(inputs: dict[str, Any]) -> Thought:
        import asyncio

        record = store.record(run.id, example_id(inputs))
        if record is None or not record.reasoning:
            raise LabellingError("there is no rationale of this row")
        prompt = prompt_ids(student.engine.tokenizer, empty, prefix=prefix_of(card.target))
        asked = student.engine.submit(prompt, schema=schema_with(record.reasoning))
        written = await asyncio.wrap_future(asked)
        return task.thought(json.loads(written.text))

    def not_async(inputs: dict[str, Any]) -> Thought:
        thought: Thought = run_coroutine(answer(inputs))
        return thought

    return RunnableLambda(not_async, afunc=answer, name="from_rationale").with_types(
        input_type=dict[str, Any], output_type=Thought
    )


def with_peak_memory(chain: Chain) -> Chain:
    """The chain, whose answers also say how much memory this process has had at most since now."""
    if not _forget_peak():
        return chain

    def told(thought: Thought) -> Thought:
        return replace(thought, details={**(thought.details or {}), PEAK: _peak_mb()})

    teller: Runnable[Thought, Thought] = RunnableLambda(told, name="peak")
    return (chain | teller).with_types(input_type=dict[str, Any], output_type=Thought)


def _forget_peak() -> bool:
    """Have Linux count the peak from now on; False where it cannot be had."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return True
    return False


def _peak_mb() -> float:
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
