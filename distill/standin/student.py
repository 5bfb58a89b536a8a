"""Who stands in: a run folder, a server, provider:model, a chat model or a Runnable."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from ...chains.answer import answer_chain
from ...chains.from_chain import AppChain
from ...chains.replies import json_in
from ...chains.task import Task, TaskError, Thought
from ...chains.teachers import load_teacher, model_name
from ...store.rows import Run
from ..labelling.limits import LabellingError
from ..labelling.prices import Usage
from ..runs import describe_run
from .hearing import Hearing, listening
from .identity import runnable_identity

Asked: TypeAlias = tuple[Any, Mapping[str, str]]  # the app's own input, and the task's inputs
FAILURES_IN_A_ROW = 5  # after which a student is left alone for a while
REST = 30.0  # seconds
PARTS = "parts"  # the parameter of a run that tells one Runnable from another of its name
SHOWN = 8  # of its digits, in a stand-in's row


class SwapError(LabellingError):
    """A stand-in that cannot be what is asked: what, which one, what to do."""


@dataclass(frozen=True)
class Answered:
    """What a student said, or how it failed; `said` is its last message where it is a model.

    `score` says how sure it is: the least of its confidences, calibrated where it can be.
    """

    thought: Thought | None = None
    error: Exception | None = None
    score: float | None = None
    seconds: float = 0.0
    raw: str | None = None
    usage: Usage | None = None
    said: AIMessage | None = None


class Student:
    """A student that answers an app's calls; whatever goes wrong with it is an Answered.

    `given` is a run folder, "http://host:port/v1#name" (what `understudy serve` answers),
    "provider:model" (or file.py:name), a chat model, or a Runnable that takes the app's input and
    answers in its output type (or with a Thought). A Runnable is told from others by its name and
    by what `runnable_identity` tells of its parts. `reasoning` is put where the app's schema
    requires a reasoning that the student does not write. After FAILURES_IN_A_ROW it is left alone
    for REST seconds, so that a dead server costs the app no time. Raises SwapError, StudentError,
    TaskError when built.
    """

    def __init__(self, app: AppChain, given: Any, *, reasoning: str | None = None) -> None:
        model = load_student(given) if isinstance(given, str | Path) else given
        self.app, self.given = app, str(given)
        self.own = not isinstance(model, BaseChatModel)  # it takes the app's input as it is
        self.local = hasattr(model, "card") and getattr(model, "base_url", None) is None
        self.chain: Runnable[Any, Any] = model if self.own else student_chain(app.task, model)
        if not isinstance(self.chain, Runnable):
            raise SwapError(f"a {type(given).__name__} is no student; give a chain or a run folder")
        self.run = student_run(app.task, model)
        if not isinstance(given, str | Path):
            parts = str(self.run.parameters.get(PARTS, ""))[:SHOWN]
            self.given = f"{self.run.name}#{parts}" if parts else self.run.name
        self.reasoning = _reasoning(app, model, reasoning)
        self._failures, self._resting = 0, 0.0

    def ask(self, asked: Asked, config: RunnableConfig) -> Answered:
        """What it answers to one call."""
        if self.rests:
            return _RESTING
        start, hearing = time.perf_counter(), Hearing()
        try:
            output = self.chain.invoke(self._input(asked), listening(config, hearing))
        except Exception as error:  # noqa: BLE001 - whatever a student raises, the app goes on
            output = error
        return self._answered(output, hearing, time.perf_counter() - start)

    async def aask(self, asked: Asked, config: RunnableConfig) -> Answered:
        """The same in an event loop."""
        if self.rests:
            return _RESTING
        start, hearing = time.perf_counter(), Hearing()
        try:
            output = await self.chain.ainvoke(self._input(asked), listening(config, hearing))
        except Exception as error:  # noqa: BLE001 - as above
            output = error
        return self._answered(output, hearing, time.perf_counter() - start)

    def ask_all(self, rows: Sequence[Asked], configs: Sequence[RunnableConfig]) -> list[Answered]:
        """The same for many, which reach the student as one batch."""
        if self.rests or not rows:
            return [_RESTING] * len(rows)
        start, hearings = time.perf_counter(), [Hearing() for _ in rows]
        told = [listening(*pair) for pair in zip(configs, hearings, strict=True)]
        try:
            outputs = self.chain.batch(
                [self._input(row) for row in rows], told, return_exceptions=True
            )
        except Exception as error:  # noqa: BLE001 - as above
            outputs = [error] * len(rows)
        return self._all_answered(outputs, hearings, time.perf_counter() - start)

    async def aask_all(
        self, rows: Sequence[Asked], configs: Sequence[RunnableConfig]
    ) -> list[Answered]:
        """The same in an event loop."""
        if self.rests or not rows:
            return [_RESTING] * len(rows)
        start, hearings = time.perf_counter(), [Hearing() for _ in rows]
        told = [listening(*pair) for pair in zip(configs, hearings, strict=True)]
        try:
            outputs = await self.chain.abatch(
                [self._input(row) for row in rows], told, return_exceptions=True
            )
        except Exception as error:  # noqa: BLE001 - as above
            outputs = [error] * len(rows)
        return self._all_answered(outputs, hearings, time.perf_counter() - start)

    def output(self, answered: Answered) -> Any:
        """The answer as the app's own type. Raises TaskError where that does not take it."""
        assert answered.thought is not None
        return self.app.output(answered.thought, reasoning=self.reasoning, said=answered.said)

    @property
    def rests(self) -> bool:
        """Whether it is left alone for now."""
        return self._resting > time.monotonic()

    def _input(self, asked: Asked) -> Any:
        return asked[0] if self.own else dict(asked[1])

    def _all_answered(
        self, outputs: Sequence[Any], hearings: Sequence[Hearing], seconds: float
    ) -> list[Answered]:
        return [
            self._answered(output, hearing, seconds)
            for output, hearing in zip(outputs, hearings, strict=True)
        ]

    def _answered(self, output: Any, hearing: Hearing, seconds: float) -> Answered:
        facts: dict[str, Any] = {
            "seconds": seconds,
            "raw": hearing.raw,
            "usage": hearing.usage,
            "said": hearing.said,
        }
        try:
            if isinstance(output, Exception):
                raise output
            thought = self.app.thought(output)
        except Exception as error:  # noqa: BLE001 - as above
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW:
                self._failures, self._resting = 0, time.monotonic() + REST
            return Answered(error=error, **facts)
        self._failures = 0
        if thought.confidence is None and hearing.confidence is not None:
            thought = replace(thought, confidence=dict(hearing.confidence))
        score = min(thought.confidence.values()) if thought.confidence else None
        return Answered(thought=thought, score=score, **facts)


_RESTING = Answered(error=SwapError(f"the student failed too often and rests for {REST:.0f} s"))


def load_student(given: str | Path) -> BaseChatModel:
    """The chat model that a word names. Raises StudentError, TaskError."""
    from ...chains.student import ChatStudent, read_card
    from ...chains.student.card import CARD_FILE

    text = str(given)
    if re.match(r"https?://", text):
        url, _, name = text.partition("#")
        return ChatStudent(base_url=url, model=name or "student")
    named = re.match(r"\w{2,}:[^/\\]", text) or re.search(r"\.py(:\w+)?$", text)
    if named and not (Path(text).expanduser() / CARD_FILE).exists():
        return load_teacher(text, task="")
    read_card(Path(text).expanduser())
    return ChatStudent(model=text)


def student_chain(task: Task, model: BaseChatModel) -> Runnable[Any, Thought]:
    """The task's inputs in, a Thought out; who is served somewhere else knows its own schema."""
    elsewhere = getattr(model, "base_url", None) is not None and hasattr(model, "card")
    if not elsewhere or getattr(model, "card", None) is not None:
        return answer_chain(task, model)

    def read(message: AIMessage) -> Thought:
        found = json_in(str(message.text))
        if found is None:
            raise TaskError(f"the student wrote no JSON object: {str(message.text)[:80]!r}")
        return task.thought(found, confidence=message.response_metadata.get("confidence"))

    return task.student_prompt | model | RunnableLambda(read, name="thought")


def student_run(task: Task, model: Any) -> Run:
    """Whose records its answers become: for a run folder the very run that `evaluate` makes."""
    card = getattr(model, "card", None)
    if card is not None:
        seed = card.training.get("seed")
        facts = {"base": card.base, "rows": card.training.get("examples_sha256")}
        return describe_run(
            task,
            role="student",
            name=card.name,
            model=model.model_copy(update={"reasoning": None}),  # which it did not say
            target=card.target,
            parameters=facts if seed is None else {**facts, "seed": seed},
        )
    if isinstance(model, BaseChatModel):
        return describe_run(
            task, role="student", name=model_name(model), model=model, target="reason_label"
        )
    name = model.get_name()
    return describe_run(
        task,
        role="student",
        name=name,
        model=name,
        target="reason_label",
        parameters={PARTS: runnable_identity(model)},
    )


def is_student(run: Run, given: str) -> bool:
    """Whether a run is that of a student as a stand-in's row names it (`Student.given`)."""
    where, _, after = given.rstrip("/").rpartition("#")
    if where and "/" not in where and run.parameters.get(PARTS):  # a Runnable
        return where == run.name and str(run.parameters[PARTS]).startswith(after)
    return after.rpartition("/")[2] in (run.name, run.model.rpartition("/")[2])


def _reasoning(app: AppChain, model: Any, reasoning: str | None) -> str | None:
    """What is put where the app's schema requires a reasoning. Raises SwapError where it lacks."""
    told = reasoning if reasoning is not None else getattr(model, "reasoning", None)
    card = getattr(model, "card", None)
    if card is None or card.target == "reason_label" or not app.requires_reasoning:
        return told
    if told is None:
        raise SwapError(
            f"student {card.name} learnt labels only, and {app.task.schema.__name__} requires "
            f"{app.task.reasoning}; say with reasoning= what to put there, or train reason_label"
        )
    return str(told)
