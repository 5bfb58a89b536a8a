"""An app for the tests of swap: a scripted chat model, its chain, and students beside it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr

from understudy.chains import Thought
from understudy.distill.standin.runnable import StandIn
from understudy.store import Store
from understudy.store.rows import Calibration
from understudy.store.stand_ins import save_calibration


class Verdict(BaseModel):
    """What is said of a text."""

    rationale: str
    mood: Literal["good", "bad"]


PROMPT = ChatPromptTemplate.from_messages([("system", "Judge."), ("human", "{text}")])
USAGE: Any = {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}


class Overloaded(RuntimeError):
    """What the scripted model raises."""


def mood_of(text: str) -> str:
    """What the teacher says: a text with an even number of letters is good."""
    return "good" if len(text) % 2 == 0 else "bad"


class Scripted(BaseChatModel):
    """A chat model that judges the last message; "fail" in it raises, "odd" is no answer."""

    model: str = "scripted-1"
    _asked: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def asked(self) -> int:
        """How many calls there were."""
        return self._asked

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        return self.bind(tools=list(tools), **kwargs)

    def _text(self, messages: list[BaseMessage]) -> str:
        with self._lock:
            self._asked += 1
        text = str(messages[-1].text)
        if "fail" in text:
            raise Overloaded(f"too busy for {text}")
        mood = "odd" if "odd" in text else mood_of(text)
        return json.dumps({"rationale": f"it says {text}", "mood": mood})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = self._text(messages)
        about = {"model_name": self.model}
        message = AIMessage(text, usage_metadata=USAGE, response_metadata=about)
        if kwargs.get("tools"):
            name = convert_to_openai_tool(kwargs["tools"][0])["function"]["name"]
            call: Any = {"name": name, "args": json.loads(text), "id": "1"}
            message = AIMessage(
                "", tool_calls=[call], usage_metadata=USAGE, response_metadata=about
            )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return self._generate(messages, **kwargs)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[Any]:
        text = self._text(messages)
        if tools := kwargs.get("tools"):
            name = convert_to_openai_tool(tools[0])["function"]["name"]
            for start in range(0, len(text), 7):
                call: Any = {"name": None if start else name, "args": text[start : start + 7]}
                part: Any = {**call, "id": None if start else "1", "index": 0}
                yield ChatGenerationChunk(
                    message=AIMessageChunk(content="", tool_call_chunks=[part])
                )
            return
        for start in range(0, len(text), 7):
            last = start + 7 >= len(text)
            chunk = AIMessageChunk(
                content=text[start : start + 7],
                usage_metadata=USAGE if last else None,
                chunk_position="last" if last else None,
            )
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for chunk in self._stream(messages, *args, **kwargs):
            await asyncio.sleep(0)
            yield chunk


class Keeping(PydanticOutputParser[Any]):
    """A parser that remembers the objects it made."""

    _made: list[Any] = PrivateAttr(default_factory=list)

    @property
    def made(self) -> list[Any]:
        return self._made

    def parse_result(self, result: Any, *, partial: bool = False) -> Any:
        made = super().parse_result(result, partial=partial)
        self._made.append(made)
        return made


def app(model: Scripted | None = None) -> Runnable[Any, Any]:
    """The chain of the tests: prompt, model, parser."""
    return PROMPT | (model or Scripted()) | Keeping(pydantic_object=Verdict)


class Pupil(Runnable[Any, Any]):
    """A student as a Runnable: `says` maps a text to (mood, confidence) or raises."""

    def __init__(self, says: Callable[[str], tuple[str, float]]) -> None:
        self.says = says
        self.batches: list[int] = []

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        text = input["text"] if isinstance(input, dict) else str(input)
        mood, sure = self.says(text)
        answer = Verdict.model_validate({"rationale": "a pupil's", "mood": mood})
        return Thought("a pupil's", answer, confidence={"mood": sure})

    def batch(
        self,
        inputs: list[Any],
        config: Any = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        self.batches.append(len(inputs))
        return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[Any],
        config: Any = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        self.batches.append(len(inputs))
        return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        return "pupil"


def sure(text: str) -> tuple[str, float]:
    """A pupil that is always right, and sure of texts that do not end in a question mark."""
    return mood_of(text), 0.6 if text.endswith("?") else 0.99


def broken(text: str) -> tuple[str, float]:
    """A pupil that is dead."""
    raise ConnectionError("nobody is there")


def calibrate(store: Path, chain: StandIn, *, agreement: float, threshold: float | None) -> None:
    """A calibration of the chain's student by hand: its score is the least of its confidences."""
    student, recorder = chain.desk.student, chain.desk.recorder
    assert student is not None
    with Store(store) as opened:
        teacher = opened.start_run(recorder.teacher_run)
        opened.start_run(student.run)
        paths = list(chain.task.labels)
        row = Calibration(
            task=chain.task.name,
            student=student.run.id,
            teacher=teacher.id,
            agreement=agreement,
            threshold=threshold,
            calibrator={"paths": paths, "weights": [0.0, 0.0, 1.0]},
            rows=1000,
            created="2026-11-25T00:00:00+00:00",
        )
        save_calibration(opened, row)
