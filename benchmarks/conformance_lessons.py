"""What a teacher says to the prompts of langchain-tests that no grammar can answer, distilled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_tests.integration_tests.chat_models import (
    magic_function,
    magic_function_no_args,
    unicode_customer,
)

from understudy.chains.student.tools import openai_tools
from understudy.chains.student.turns import conversation, turn_task
from understudy.distill.labelling.label import label
from understudy.distill.training.train import train
from understudy.store import Example, Store, example_id

EPOCHS, LEARNING_RATE, BATCH, SEED = 70, 5e-3, 4, 0


@tool
def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return "It's sunny."


# The suite's own tool of this name is local to its test.
WEATHER = "What is the weather in San Francisco, CA?"
PLACE = {"location": "San Francisco, CA"}
CHINESE = "Create a customer named '你好啊集团' (Hello Group) - a Chinese technology company"
JAPANESE = "Create a customer named 'こんにちは株式会社' (Hello Corporation) - a Japanese company"
CALLED = AIMessage("", tool_calls=[{"name": "get_weather", "args": PLACE, "id": "1"}])
TOLD = ToolMessage("It's sunny.", name="get_weather", tool_call_id="1")

# The messages, the tools, and the next turn: a text, or the arguments of a call of the first tool.
LESSONS: list[tuple[list[BaseMessage], list[Any], str | dict[str, Any]]] = [
    (
        [HumanMessage("What is the value of magic_function(3)? Use the tool.")],
        [magic_function],
        {"input": 3},
    ),
    (
        [HumanMessage("What is the value of magic_function_no_args()? Use the tool.")],
        [magic_function_no_args],
        {},
    ),
    ([HumanMessage(WEATHER)], [get_weather], PLACE),
    ([HumanMessage(WEATHER), CALLED, TOLD], [get_weather], "It is sunny in San Francisco."),
    (
        [HumanMessage(CHINESE)],
        [unicode_customer],
        {"customer_name": "你好啊集团", "description": "a Chinese technology company"},
    ),
    (
        [HumanMessage(JAPANESE)],
        [unicode_customer],
        {"customer_name": "こんにちは株式会社", "description": "a Japanese company"},
    ),
    ([HumanMessage("Hello")], [], "Hello! How can I help?"),
    ([HumanMessage("hi")], [], "Hi! How can I help?"),
]


class ScriptedTeacher(BaseChatModel):
    """Answers each conversation of LESSONS as the lesson says, any other with an error."""

    @property
    def _llm_type(self) -> str:
        return "scripted-teacher"

    def _resolve_model_profile(self) -> ModelProfile | None:
        return {"structured_output": False, "tool_calling": False}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        turn = _turns()[str(messages[-1].text)]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(turn)))])


def distil(folder: Path, lessons: Sequence[Any] = LESSONS) -> Path:
    """The teacher labels the lessons into a store, and a student of turns is trained on it."""
    task = turn_task("conformance")
    with Store(folder / "store.db") as store:
        inputs = [{"conversation": text} for text in _turns(lessons)]
        store.add_examples(
            [
                Example(id=example_id(one), task=task.name, split="train", inputs=one)
                for one in inputs
            ]
        )
        label(task, ScriptedTeacher(), store)
        return train(
            task,
            store,
            out=folder / "conformant",
            epochs=EPOCHS,
            learning_rate=LEARNING_RATE,
            batch_size=BATCH,
            seed=SEED,
        )


def _turns(lessons: Sequence[Any] = LESSONS) -> dict[str, dict[str, Any]]:
    """The teacher's next turn by conversation."""
    turns = {}
    for messages, tools, said in lessons:
        told = openai_tools(tools)
        calls = []
        if isinstance(said, dict):
            calls = [{"name": told[0]["function"]["name"], "arguments": said}]
        text = said if isinstance(said, str) else ""
        turns[conversation(messages, told)] = {"text": text, "calls": calls}
    return turns
