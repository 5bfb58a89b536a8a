"""Teachers that need no model: rules behind a real chat model, in the very chain of any other."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .offline_reading import LEXICON, read_sentence, reasoning_of


class RuleTeacher(BaseChatModel):
    """A chat model that reads the task's inputs from its messages and answers them by rule.

    A subclass names its input `fields`, the version of its `rules` (other rules are another
    teacher, so change it with them) and gives `answer`. With tools bound, the reply is a call of
    the wanted tool with the part of the answer that its schema asks for; without, the answer as
    JSON text. Nothing is counted, so `usage_metadata` is None.
    """

    fields: ClassVar[tuple[str, ...]]
    rules: ClassVar[str]
    model: str

    @abstractmethod
    def answer(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        """The answer to one example as JSON data, reasoning field included."""

    @property
    def _llm_type(self) -> str:
        return "understudy-rules"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "rules": self.rules}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Tools as the caller has them, JSON schemas included; one of them is always called."""
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self.answer(find_inputs(messages, self.fields))
        metadata = {"model_name": self.model, "finish_reason": "stop"}
        if kwargs.get("tools"):
            function = _wanted(kwargs["tools"], kwargs.get("tool_choice"))
            call = ToolCall(
                name=function["name"], args=_asked_for(answer, function), id=f"call_{uuid4().hex}"
            )
            message = AIMessage(content="", tool_calls=[call], response_metadata=metadata)
        else:
            text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
            message = AIMessage(content=text, response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """In the loop itself: a rule takes less time than a thread would."""
        return self._generate(messages, stop, **kwargs)


def find_inputs(messages: Sequence[BaseMessage], fields: Sequence[str]) -> dict[str, str]:
    """The inputs in the last human message that has a line `field: value` for every field.

    The fields stand in this order, each at the start of a line; a value may go on over several
    lines. Of several such blocks in a message the last counts: worked examples stand before it.
    A field that is nowhere is the empty text.
    """
    for message in reversed(messages):
        if message.type == "human":
            found = _last_block(str(message.text), fields)
            if found is not None:
                return found
    return dict.fromkeys(fields, "")


def _last_block(text: str, fields: Sequence[str]) -> dict[str, str] | None:
    first = [match.start() for match in re.finditer(rf"^{re.escape(fields[0])}:", text, re.M)]
    for start in reversed(first):
        starts = [start]
        for field in fields[1:]:
            if starts[-1] >= 0:
                starts.append(text.find(f"\n{field}:", starts[-1]))
        if starts[-1] < 0:
            continue
        ends = [*starts[1:], len(text)]
        blocks = (text[i:j] for i, j in zip(starts, ends, strict=True))
        values = (block.partition(":")[2].strip() for block in blocks)
        return dict(zip(fields, values, strict=True))
    return None


def _wanted(tools: Sequence[dict[str, Any]], choice: Any) -> dict[str, Any]:
    """The function that `tool_choice` names, else the first."""
    functions: list[dict[str, Any]] = [tool["function"] for tool in tools]
    return next((f for f in functions if f["name"] == choice), functions[0])


def _asked_for(answer: dict[str, Any], function: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level fields that the tool's schema has: a schema without reasoning gets none."""
    asked = function.get("parameters", {}).get("properties", answer)
    return {name: value for name, value in answer.items() if name in asked}


class NewsTeacher(RuleTeacher):
    """The embedded teacher of the sample task: rules over a general Portuguese lexicon.

    Per sentence, the first evidence word of the main clause that is not denied gives the emotion;
    where that is Surpresa or Neutro, the reported fact gives the polarity. It knows common words
    only, and errs on the rest.
    """

    fields = ("f1", "f2", "f3")
    rules = f"news-1-{LEXICON}"
    model: str = "offline-news"

    def answer(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        """Polarity and emotion per sentence, and the reasoning in at most 300 characters."""
        readings = {field: read_sentence(inputs[field]) for field in self.fields}
        labels = {
            field: {"polaridade": reading.polarity, "emocao": reading.emotion}
            for field, reading in readings.items()
        }
        return {"raciocinio": reasoning_of(readings), **labels}
