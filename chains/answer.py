"""The one place with `prompt | model | parse`: a task and a model become a chain of Thoughts."""

from __future__ import annotations

from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda

from .task import Target, Task, TaskError, Thought


def answer_chain(
    task: Task,
    model: BaseChatModel,
    *,
    target: Target | None = None,
    prompt: ChatPromptTemplate | None = None,
) -> Runnable[dict[str, Any], Thought]:
    """The task's inputs in, a Thought out, whichever chat model answers.

    A model that has been trained for this task (`ChatStudent`) is asked in the student's words and
    for its own target; any other model in the teacher's words, reasoning first. `target` and
    `prompt` say otherwise, e.g. for a student that somebody serves behind an OpenAI-compatible URL.

    Raises OutputParserException where the answer does not fit the schema; StudentError where a
    student was trained on other words or another schema.
    """
    card = getattr(model, "card", None)
    if card is not None:
        card.check(task)
    target = target or (card.target if card is not None else "reason_label")
    if prompt is None:
        prompt = task.student_prompt if card is not None else task.prompt
    structured = model.with_structured_output(
        task.json_schema(target), method=_method(model), include_raw=True
    )
    chain = prompt | structured | RunnableLambda(_thought_of(task), name="thought")
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def _method(model: BaseChatModel) -> str:
    profile = model.profile or {}
    return "json_schema" if profile.get("structured_output") else "function_calling"


def _thought_of(task: Task) -> Any:
    def thought_of(result: dict[str, Any]) -> Thought:
        raw, parsed, error = result["raw"], result["parsed"], result["parsing_error"]
        if error is not None or parsed is None:  # no tool call: both can be None
            reason = str(error).splitlines()[0] if error else "the reply holds no answer"
            raise OutputParserException(reason, llm_output=str(raw.content))
        try:
            confidence = raw.response_metadata.get("confidence")
            return task.thought(parsed, confidence=confidence)
        except TaskError as mismatch:
            raise OutputParserException(str(mismatch), llm_output=str(raw.content)) from mismatch

    return thought_of
