"""How a strategy's words join a task's prompt, and the words themselves where none are given.

Every strategy takes `words` of your own, in the language of your task. What is the same for every
row goes into the system message, so that a provider can cache it; what a row brings along is put
in by variable or as whole messages, never read as a template.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import (
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    MessagesPlaceholder,
    SystemMessagePromptTemplate,
)

from .replies import native_reasoning
from .task import TaskError, fingerprint

# "Large language models are zero-shot reasoners", arXiv 2205.11916
STEP_BY_STEP = "Let's think step by step: reason first, and decide only after that."
FREELY = (
    "Think step by step and write your analysis freely, as plain text; end with your decision. "
    "Do not write JSON: somebody else will put your analysis into that form."
)
ANALYSIS = "An expert has analysed the example below. Answer what the analysis concludes:"
# "Sentiment analysis through LLM negotiations", arXiv 2311.01876
CRITICISM = (
    "You are the second reader. You are shown how the first reader answered the example. Judge it "
    "by yourself: where it is right, give the same answer; where it is wrong, give the right "
    "answer and say in the reasoning what the first reader overlooked."
)
PROPOSAL = "The first reader answered:"
OBJECTION = (
    "A second reader disagrees and answered as follows. Where the reader has convinced you, change "
    "your answer; where not, keep it and say why:"
)
# "STaR: bootstrapping reasoning with reasoning", arXiv 2203.14465: the answer as a hint
HINT = "The right answer to the example below is known. Explain what leads to it:"
ONLY_JSON = "Answer with one JSON object and nothing else. It fits this JSON schema:"

DEFAULT_WORDS = fingerprint(
    [STEP_BY_STEP, FREELY, ANALYSIS, CRITICISM, PROPOSAL, OBJECTION, HINT, ONLY_JSON]
)
# No part of the fingerprint: it is said only where a run would else have no answer at all.
CORRECTION = (
    "That answer does not fit: {misfit}. Give the whole answer again with this corrected, in the "
    "form that was asked for, and nothing else."
)
PREFACE = "strategy_preface"
TURNS = "strategy_turns"


def instructed(
    prompt: ChatPromptTemplate, words: str, *, first: bool = False
) -> ChatPromptTemplate:
    """The prompt with `words` at the end (or at the beginning) of its system message."""
    if not words:
        return prompt
    messages: list[Any] = list(prompt.messages)
    system = messages[0] if messages else None
    if isinstance(system, SystemMessagePromptTemplate):
        told, said = str(getattr(system.prompt, "template", "")), literal(words)
        text = _joined(told, said, first=first)
        return _prompt([SystemMessagePromptTemplate.from_template(text), *messages[1:]])
    if isinstance(system, SystemMessage):
        text = _joined(str(system.text), words, first=first)
        return _prompt([SystemMessage(text), *messages[1:]])
    return _prompt([SystemMessage(words), *messages])


def prefaced(prompt: ChatPromptTemplate) -> ChatPromptTemplate:
    """The prompt with the variable PREFACE in front of its last human message."""
    messages: list[Any] = list(prompt.messages)
    place = _question(prompt)
    preface = f"{{{PREFACE}}}\n\n"
    question = HumanMessagePromptTemplate.from_template(preface + _template(messages[place]))
    return _prompt([*messages[:place], question, *messages[place + 1 :]])


def with_examples(prompt: ChatPromptTemplate) -> ChatPromptTemplate:
    """The prompt with room for messages, the variable TURNS, before its last human message."""
    place = _question(prompt)
    room = MessagesPlaceholder(TURNS)
    return _prompt([*prompt.messages[:place], room, *prompt.messages[place:]])


def with_turns(prompt: ChatPromptTemplate) -> ChatPromptTemplate:
    """The prompt with room for messages, the variable TURNS, at its end."""
    return _prompt([*prompt.messages, MessagesPlaceholder(TURNS)])


def corrected(reply: AIMessage, misfit: str) -> list[BaseMessage]:
    """A reply and what does not fit of it, as the talk goes on: a tool's error where it called one.

    The reply goes back without what it thought in `<think>`. Every call of a tool is answered,
    those whose arguments could not be read too: providers refuse a call without its result.
    """
    said = CORRECTION.format(misfit=misfit)
    calls = [*reply.tool_calls, *reply.invalid_tool_calls]
    if calls and all(call["id"] for call in calls):
        results = [
            ToolMessage(said, tool_call_id=str(call["id"]), name=call["name"], status="error")
            for call in calls
        ]
        return [reply, *results]
    spoken = native_reasoning(reply)[0]
    if calls or not spoken.content:  # no provider takes a call without an id, or an empty message
        written = json.dumps([call["args"] for call in calls], ensure_ascii=False)
        spoken = AIMessage(str(spoken.text) or (written if calls else "(nothing)"))
    return [spoken, HumanMessage(said)]


def question_of(prompt: ChatPromptTemplate) -> ChatPromptTemplate:
    """The last human message of the prompt alone: how an example is put."""
    return _prompt([prompt.messages[_question(prompt)]])


def literal(text: str) -> str:
    """The text as an f-string template says it."""
    return text.replace("{", "{{").replace("}", "}}")


def _question(prompt: ChatPromptTemplate) -> int:
    for place in reversed(range(len(prompt.messages))):
        if isinstance(prompt.messages[place], HumanMessagePromptTemplate | HumanMessage):
            return place
    raise TaskError("the prompt has no human message; put the example into one")


def _template(message: Any) -> str:
    if isinstance(message, HumanMessage):
        return literal(str(message.text))
    return str(message.prompt.template)


def _joined(told: str, words: str, *, first: bool) -> str:
    return f"{words}\n\n{told}" if first else f"{told}\n\n{words}"


def _prompt(messages: Sequence[Any]) -> ChatPromptTemplate:
    return ChatPromptTemplate.from_messages(list(messages))
