"""Recording by a callback handler in the config: an app's chain stays as it is, to the letter."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable

from ...chains.from_chain import AppChain, app_chain
from ...chains.task import Task, TaskError, Thought
from ..labelling.ledger import CallLedger
from ..labelling.prices import Usage, usage_of
from .recorder import Recorder, Seen

MOST_OPEN = 10_000  # runs that began and did not end: a stream that nobody reads to its end


def recording(
    what: Task | Runnable[Any, Any],
    *,
    store: str | Path,
    name: str | None = None,
    teacher: BaseChatModel | str | None = None,
    **options: Any,
) -> RecordingHandler:
    """A callback handler that records every answer of a chain: `config={"callbacks": [...]}`.

    `what` is the chain, or the task that it answers; the handler may be given to the chain itself
    or to any app around it. `name` is the stand-in's, or else the task's. `teacher` is the chain's
    model, or its name; it must be given with a task. `options` are Recorder's. Raises TaskError for
    a chain that no task can be read out of.
    """
    reader: AppChain | _TaskReader
    if isinstance(what, Task):
        reader, model = _TaskReader(what), teacher
    else:
        reader = app_chain(what)
        model = teacher or _model_of(reader)
    if model is None:
        raise TaskError("recording(task, ...) does not see the model; give teacher=, e.g. its name")
    task = reader.task
    recorder = Recorder(task, store, name=name or task.name, teacher=model, **options)
    return RecordingHandler(reader, recorder)


@dataclass
class _Open:
    """A run that has begun: under which it stands, what it was asked, what its models said.

    `prompted` is what a prompt right inside it was asked: LangChain makes one sequence of a chain
    and what stands around it, so that the question may stand in the middle.
    """

    parent: _Open | None
    asked: Any
    kind: str | None
    prompted: dict[str, str] | None = None
    began: float = field(default_factory=time.perf_counter)
    calls: CallLedger = field(default_factory=CallLedger)
    told: bool = False  # it, or a run inside it, is recorded


class RecordingHandler(BaseCallbackHandler):
    """Records the innermost chain that was asked the task's inputs and gave its answer, or failed.

    It never raises and waits for nothing, so it runs in place: a thread for each event of an
    asynchronous app would take longer than what is done here.
    """

    run_inline = True
    raise_error = False
    ignore_retriever = ignore_retry = ignore_custom_event = ignore_agent = True

    def __init__(self, reader: AppChain | _TaskReader, recorder: Recorder) -> None:
        self.reader, self.recorder = reader, recorder
        self._open: dict[UUID, _Open] = {}

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        run_type: str | None = None,
        **_: Any,
    ) -> None:
        """Remember what was asked; a prompt of the task's inputs begins a question anew."""
        run = self._begin(run_id, parent_run_id, inputs, run_type)
        if run_type == "prompt" and run.parent and (asked := self._question(inputs)) is not None:
            run.parent.prompted, run.parent.told = asked, False
            run.parent.began, run.parent.calls = run.began, CallLedger()

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        """A chain may be called by a tool."""
        self._begin(run_id, parent_run_id, None, "tool")

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """The tool is over."""
        self._open.pop(run_id, None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """The tool is over."""
        self._open.pop(run_id, None)

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Nothing: without this method LangChain renders the messages as one text."""

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """What the model said belongs to every run around it."""
        around = self._open.get(parent_run_id) if parent_run_id else None
        while around is not None:
            around.calls.on_llm_end(response)
            around = around.parent

    def on_chain_end(self, outputs: Any, *, run_id: UUID, inputs: Any = None, **_: Any) -> None:
        """An answer, where the output is one."""
        run = self._open.pop(run_id, None)
        if run is None or run.told or run.kind == "prompt":
            return
        try:
            thought = self.reader.thought(outputs)
        except TaskError:
            return
        self._record(run, inputs, thought=thought)

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, inputs: Any = None, **_: Any
    ) -> None:
        """No answer, and why."""
        run = self._open.pop(run_id, None)
        chain = run is not None and run.kind not in ("prompt", "parser")
        if run is not None and chain and not run.told and _is_failure(error):
            self._record(run, inputs, error=error)

    def _begin(self, run_id: UUID, parent: UUID | None, asked: Any, kind: str | None) -> _Open:
        while len(self._open) >= MOST_OPEN:
            self._open.pop(next(iter(self._open)), None)
        run = _Open(self._open.get(parent) if parent else None, asked, kind)
        self._open[run_id] = run
        return run

    def _question(self, asked: Any) -> dict[str, str] | None:
        """The task's inputs in what a run was asked; None where they are not there."""
        if not self.reader.rendered and not isinstance(asked, Mapping | str):
            return None  # a chain of one input is also given its text alone, but no message
        try:
            return self.reader.inputs(asked)
        except TaskError:
            return None

    def _record(self, run: _Open, streamed: Any, **said: Any) -> None:
        """`streamed` is what a streaming chain was asked: known at its end only."""
        inputs = run.prompted
        if inputs is None and run.kind != "parser":
            inputs = self._question(run.asked if streamed is None else streamed)
        outer = run.parent
        if inputs is None and outer is not None and not outer.told:
            run, inputs = outer, outer.prompted
        if inputs is None:
            return
        around: _Open | None = run
        while around is not None:
            around.told, around = True, around.parent
        facts = run.calls.facts()
        self.recorder.record(
            Seen(
                inputs=inputs,
                raw=facts["raw"],
                model=facts["model"],
                usage=_usage(run.calls),
                seconds=time.perf_counter() - run.began,
                **said,
            )
        )


@dataclass(frozen=True)
class _TaskReader:
    """What AppChain reads, where there is a task and no chain to look into."""

    task: Task
    rendered: bool = False

    def inputs(self, asked: Any) -> dict[str, str]:
        names = self.task.inputs
        if not isinstance(asked, Mapping):
            asked = {names[0]: asked} if len(names) == 1 else {}
        if missing := [name for name in names if name not in asked]:
            raise TaskError(f"the chain was given no {missing[0]}")
        return {name: str(asked[name]) for name in names}

    def thought(self, output: Any) -> Thought:
        if isinstance(output, Thought):
            return output
        if isinstance(output, Mapping) and {"raw", "parsed"} <= output.keys():
            output = output["parsed"]
        if hasattr(output, "model_dump"):
            output = output.model_dump(mode="json")
        if not isinstance(output, Mapping):
            raise TaskError(f"a {type(output).__name__} is no answer")
        return self.task.thought(output)


def _is_failure(error: BaseException) -> bool:
    """Not where somebody stopped waiting, nor where a graph pauses to ask a person (LangGraph)."""
    pauses = any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
    return isinstance(error, Exception) and not pauses


def _usage(calls: CallLedger) -> Usage | None:
    found = [usage for reply in calls.replies if (usage := usage_of(reply.usage_metadata))]
    return sum(found[1:], start=found[0]) if found else None


def _model_of(reader: AppChain) -> BaseChatModel | str:
    model = reader.parts.model
    return model if isinstance(model, BaseChatModel) else type(model).__name__
