"""The student before the chain: whose answer stands, and who answers where it does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from ..guarantee.applying import accepts, confidence_score
from .call import Call, Calls
from .desk import Desk
from .recorder import Seen
from .standing import Standing
from .student import Answered, Asked, Student

_NO_ANSWER = object()  # an app's own answer may be None


class StudentFirst:
    """Asks the desk's student, and the chain where the student fails or is not sure enough."""

    def __init__(self, bound: Runnable[Any, Any], desk: Desk) -> None:
        self.bound, self.desk = bound, desk

    def answer(self, standing: Standing, input: Any, config: RunnableConfig, **kwargs: Any) -> Any:
        """The student's answer where it stands, else the chain's."""
        start, inputs = time.perf_counter(), self.desk.inputs(input)
        answered = None
        if inputs is not None:
            answered = scored(standing, self._student.ask((input, inputs), config))
            output = self._accepted(standing, (input, inputs), answered, start)
            if output is not _NO_ANSWER:
                return output
        with Call(self.desk, input, answered=answered) as call:
            call.start = start
            call.output = self.bound.invoke(input, call.config(config), **kwargs)
        return call.output

    async def aanswer(
        self, standing: Standing, input: Any, config: RunnableConfig, **kwargs: Any
    ) -> Any:
        """The same in an event loop."""
        start, inputs = time.perf_counter(), self.desk.inputs(input)
        answered = None
        if inputs is not None:
            answered = scored(standing, await self._student.aask((input, inputs), config))
            output = self._accepted(standing, (input, inputs), answered, start)
            if output is not _NO_ANSWER:
                return output
        with Call(self.desk, input, answered=answered) as call:
            call.start = start
            call.output = await self.bound.ainvoke(input, call.config(config), **kwargs)
        return call.output

    def answer_all(
        self, standing: Standing, inputs: list[Any], config: list[RunnableConfig], **kwargs: Any
    ) -> list[Any]:
        """The same for many, one batch for each of both; exceptions stand in their places."""
        start, rows = time.perf_counter(), self._rows(inputs)
        asked = [row for row in rows if row is not None]
        told = [one for one, row in zip(config, rows, strict=True) if row is not None]
        answers = self._student.ask_all(asked, told)
        outputs, left, calls = self._sorted(standing, inputs, rows, answers, start)
        if left:
            with calls:
                calls.outputs = self.bound.batch(
                    [inputs[place] for place in left],
                    calls.configs([config[place] for place in left]),
                    return_exceptions=True,
                    **kwargs,
                )
            for place, output in zip(left, calls.outputs, strict=True):
                outputs[place] = output
        return outputs

    async def aanswer_all(
        self, standing: Standing, inputs: list[Any], config: list[RunnableConfig], **kwargs: Any
    ) -> list[Any]:
        """The same in an event loop."""
        start, rows = time.perf_counter(), self._rows(inputs)
        asked = [row for row in rows if row is not None]
        told = [one for one, row in zip(config, rows, strict=True) if row is not None]
        answers = await self._student.aask_all(asked, told)
        outputs, left, calls = self._sorted(standing, inputs, rows, answers, start)
        if left:
            with calls:
                calls.outputs = await self.bound.abatch(
                    [inputs[place] for place in left],
                    calls.configs([config[place] for place in left]),
                    return_exceptions=True,
                    **kwargs,
                )
            for place, output in zip(left, calls.outputs, strict=True):
                outputs[place] = output
        return outputs

    def _rows(self, inputs: Sequence[Any]) -> list[Asked | None]:
        """What the student can be asked; None where a call has no text."""
        found = [self.desk.inputs(one) for one in inputs]
        return [
            None if told is None else (one, told) for one, told in zip(inputs, found, strict=True)
        ]

    def _sorted(
        self,
        standing: Standing,
        inputs: list[Any],
        rows: Sequence[Asked | None],
        answers: list[Answered],
        start: float,
    ) -> tuple[list[Any], list[int], Calls]:
        """The answers that stand, the places of the others, and the calls that these become."""
        outputs: list[Any] = []
        left, calls, following = [], [], iter(answers)
        for place, row in enumerate(rows):
            answered = None if row is None else scored(standing, next(following))
            accepted = row and answered and self._accepted(standing, row, answered, start)
            outputs.append(accepted)
            if accepted is None or accepted is _NO_ANSWER:
                left.append(place)
                calls.append(Call(self.desk, inputs[place], answered=answered))
                calls[-1].start = start
        return outputs, left, Calls(calls)

    def _accepted(self, standing: Standing, asked: Asked, answered: Answered, start: float) -> Any:
        """The student's answer as the app's own type, where it stands; else _NO_ANSWER."""
        thought = answered.thought
        if thought is None:
            return _NO_ANSWER
        try:
            if standing.mode == "cascade":
                assert standing.calibration is not None
                if not accepts(standing.calibration, thought.confidence):
                    self.desk.count("escalated")
                    return _NO_ANSWER
            output = self._student.output(answered)
        except Exception as error:  # noqa: BLE001 - the teacher answers
            self.desk.fail("the student's answer is none", error, "student_failed")
            return _NO_ANSWER
        seen = Seen(
            inputs=asked[1],
            answered_by="student",
            seconds=time.perf_counter() - start,
        )
        self.desk.stood_in(asked[0], self.desk.with_student(seen, answered))
        return output

    @property
    def _student(self) -> Student:
        assert self.desk.student is not None
        return self.desk.student


def scored(standing: Standing, answered: Answered) -> Answered:
    """The answer with its calibrated score, where there is a calibration."""
    if standing.calibration is None or answered.thought is None:
        return answered
    calibrator = standing.calibration.calibrator
    try:
        score = confidence_score(answered.thought.confidence, calibrator)
    except (KeyError, TypeError, ValueError):  # a calibrator of another version
        return answered
    return replace(answered, score=score)
