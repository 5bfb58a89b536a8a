"""One call on its way through the app's own chain: listened to, and kept when it is over."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from langchain_core.runnables import RunnableConfig

from .desk import Desk, heard
from .hearing import Hearing, listening
from .recorder import Seen
from .student import Answered


class Call:
    """A context in which the app's chain answers; what it raises goes through unchanged.

    `shadow`: the student is asked too. `answered` is what a student said before, where the call was
    escalated. An answer that somebody stops waiting for is not kept.
    """

    def __init__(
        self, desk: Desk, asked: Any, *, shadow: bool = False, answered: Answered | None = None
    ) -> None:
        self.desk, self.asked, self.shadow, self.answered = desk, asked, shadow, answered
        self.hearing = Hearing()
        self.output: Any = None
        self.at, self.start = time.time(), time.perf_counter()

    def config(self, config: RunnableConfig | None) -> RunnableConfig:
        """The caller's config, in which this call is listened to as well."""
        return listening(config, self.hearing)

    def add(self, chunk: Any) -> None:
        """A part of a streamed answer; parts that do not add up replace each other, as LangChain's
        own tracers see it."""
        if self.output is None:
            self.output = chunk
            return
        try:
            self.output = self.output + chunk
        except Exception:  # noqa: BLE001 - whatever an app's own type raises
            self.output = chunk

    def keep(self, output: Any) -> None:
        """The call is over with this answer, or with this exception. Never raises."""
        seconds = time.perf_counter() - self.start
        try:
            inputs = self.desk.inputs(self.asked, self.hearing)
            if inputs is None:
                return
            thought, error = self.desk.read(output)
            seen = Seen(
                inputs=inputs,
                thought=thought,
                error=error,
                seconds=seconds,
                at=self.at,
                escalated=self.answered is not None,
                **heard(self.hearing),
            )
            if self.answered is not None:
                seen = self.desk.with_student(seen, self.answered)
            self.desk.taught(self.asked, seen, shadow=self.shadow)
        except Exception as failure:  # noqa: BLE001 - the app goes on
            self.desk.fail("a call is not recorded", failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.keep(self.output if error is None else error)


class Calls:
    """Several calls that go through the chain as one batch."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.outputs: list[Any] = []

    def configs(self, configs: list[RunnableConfig]) -> list[RunnableConfig]:
        """The callers' configs, each listened to."""
        return [call.config(one) for call, one in zip(self.calls, configs, strict=True)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            for call, output in zip(self.calls, self.outputs, strict=True):
                call.keep(output)
            return
        if not isinstance(error, Exception):
            return
        for call in self.calls:
            failed = error if len(self.calls) == 1 else call.hearing.broken
            if isinstance(failed, Exception):
                call.keep(failed)
            else:  # what the chain made of it nobody knows
                call.desk.count("broken_off")
