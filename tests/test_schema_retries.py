"""A reply that does not fit the schema: what goes back to the model, how often, what does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import Field

from understudy.chains import Task, Thought, answer_chain
from understudy.chains.answer import held_by
from understudy.chains.asking import two_step, zero_shot
from understudy.chains.negotiation import negotiate
from understudy.chains.replies import completed_reply, stopped_by
from understudy.chains.strategies import strategy_parameters
from understudy.chains.student.card import StudentCard
from understudy.chains.task import prompt_words
from understudy.chains.voting import self_consistency, vote

ROW = {"sentence": "chove"}
GOOD = {"reasoning": "quiet", "mood": "Neutro", "urgent": False}
OUTSIDE = {**GOOD, "mood": "Azul"}
Ask = Callable[[Runnable[dict[str, Any], Thought], RunnableConfig], Thought]


class Scripted(BaseChatModel):
    """Gives its replies in turn and keeps the messages it was asked; the last one for ever."""

    replies: list[Any]
    asked: list[list[BaseMessage]] = Field(default_factory=list)
    card: StudentCard | None = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append(messages)
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=reply)])


class TextOnly(Scripted):
    """A model without tools and JSON mode."""

    bind_tools = BaseChatModel.bind_tools


class InJson(Scripted):
    """A model that takes a JSON schema and answers as text."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        from langchain_core.output_parsers import JsonOutputParser

        return self.bind(response_format=schema) | JsonOutputParser()


class Calls(BaseCallbackHandler):
    """Counts the calls that were answered."""

    run_inline = True

    def __init__(self) -> None:
        self.count = 0

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.count += 1


def call(args: dict[str, Any], number: str = "call_1", **metadata: Any) -> AIMessage:
    made = {"name": "Mood", "args": args, "id": number, "type": "tool_call"}
    return AIMessage("", tool_calls=[made], response_metadata=metadata)


def text(said: Any, **metadata: Any) -> AIMessage:
    written = said if isinstance(said, str) else json.dumps(said)
    return AIMessage(written, response_metadata=metadata)


def in_json(*replies: AIMessage) -> InJson:
    return InJson(replies=list(replies), profile={"structured_output": True})


def times(retries: int | None) -> RunnableConfig:
    return {"configurable": {"schema_retries": retries}}


WAYS: dict[str, Ask] = {
    "invoke": lambda chain, config: chain.invoke(ROW, config),
    "ainvoke": lambda chain, config: asyncio.run(chain.ainvoke(ROW, config)),
    "batch": lambda chain, config: chain.batch([ROW], config)[0],
    "abatch": lambda chain, config: asyncio.run(chain.abatch([ROW], config))[0],
}


@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)
def test_a_call_that_does_not_fit_goes_back_with_the_first_thing_that_does_not(
    tiny_task: Task, ask: Ask
) -> None:
    model = Scripted(replies=[call({**OUTSIDE, "urgent": "perhaps"}), call(GOOD)])
    calls = Calls()
    thought = ask(answer_chain(tiny_task, model), {"callbacks": [calls]})

    assert thought == Thought("quiet", tiny_task.schema(**GOOD), None)
    assert calls.count == 2
    first, second = model.asked
    assert second[:2] == first
    reply, error = second[2:]
    assert reply == model.replies[0]
    assert isinstance(error, ToolMessage)
    assert (error.tool_call_id, error.name, error.status) == ("call_1", "Mood", "error")
    assert "mood: Input should be 'Alegria'" in error.text
    assert "(got 'Azul')" in error.text
    assert "urgent" not in error.text


def test_a_text_that_does_not_fit_is_answered_as_a_human_would(tiny_task: Task) -> None:
    replies = [text(f"<think>blue?</think>{json.dumps(OUTSIDE)}"), text(GOOD)]
    model = TextOnly(replies=replies)
    thought = answer_chain(tiny_task, model).invoke(ROW)

    assert thought.reasoning == "quiet"
    said, error = model.asked[1][2:]
    assert said.content == json.dumps(OUTSIDE)  # what it thought is no part of the talk
    assert isinstance(error, HumanMessage)
    assert "(got 'Azul')" in error.text


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (AIMessage(""), "(nothing)"),
        (AIMessage([{"type": "reasoning", "reasoning": "hm"}]), None),
        (AIMessage("I am not sure."), "I am not sure."),
        (
            AIMessage("", tool_calls=[{"name": "Mood", "args": OUTSIDE, "id": None}]),
            f"[{json.dumps(OUTSIDE)}]",
        ),
    ],
)
def test_a_reply_without_a_call_to_answer_stays_in_the_talk(
    tiny_task: Task, reply: AIMessage, said: str | None
) -> None:
    model = Scripted(replies=[reply, call(GOOD)])
    answer_chain(tiny_task, model).invoke(ROW)
    before, error = model.asked[1][2:]
    assert (before.content, before.type) == (reply.content if said is None else said, "ai")
    assert error.type == "human"


def test_every_call_of_a_reply_is_answered_those_that_cannot_be_read_too(tiny_task: Task) -> None:
    broken = {"name": "Mood", "args": '{"mood": ', "id": "b", "error": None}
    reply = AIMessage(
        "",
        tool_calls=[{"name": "Other", "args": {}, "id": "a"}],
        invalid_tool_calls=[{**broken, "type": "invalid_tool_call"}],
    )
    model = Scripted(replies=[reply, call(GOOD)])
    answer_chain(tiny_task, model).invoke(ROW)
    assert [getattr(m, "tool_call_id", None) for m in model.asked[1][2:]] == [None, "a", "b"]


@pytest.mark.parametrize(("retries", "calls"), [(None, 3), (0, 1), (1, 2), (2, 3), (5, 6), (-1, 1)])
def test_a_reply_that_never_fits_fails_after_as_many_retries_as_were_asked_for(
    tiny_task: Task, retries: int | None, calls: int
) -> None:
    model = Scripted(replies=[call(GOOD | {"mood": f"Azul {n}"}) for n in range(9)])
    with pytest.raises(OutputParserException, match=rf"^mood: .*\(got 'Azul {calls - 1}'\)"):
        answer_chain(tiny_task, model).invoke(ROW, times(retries))
    assert len(model.asked) == calls
    assert [len(asked) for asked in model.asked] == [2 + 2 * n for n in range(calls)]


@given(fits=st.lists(st.booleans(), min_size=7, max_size=7), retries=st.integers(0, 4))
def test_the_first_reply_that_fits_is_the_answer_and_the_last_that_is_bought(
    tiny_task: Task, fits: list[bool], retries: int
) -> None:
    model = Scripted(
        replies=[
            call((GOOD if fit else OUTSIDE) | {"reasoning": str(n)}) for n, fit in enumerate(fits)
        ]
    )
    first = next((n for n, fit in enumerate(fits[: retries + 1]) if fit), None)
    chain = answer_chain(tiny_task, model)
    if first is None:
        with pytest.raises(OutputParserException):
            chain.invoke(ROW, times(retries))
    else:
        assert chain.invoke(ROW, times(retries)).reasoning == str(first)
    assert len(model.asked) == (retries if first is None else first) + 1


def test_a_student_is_asked_once(tiny_task: Task) -> None:
    assert tiny_task.student_prompt is not None
    card = StudentCard(
        name="small",
        task=tiny_task.name,
        target="label",
        base="embedded",
        base_sha256="0" * 64,
        words=tiny_task.student_words,
        answers=tiny_task.answers,
        prompt=prompt_words(tiny_task.student_prompt),
        answer_schema=tiny_task.json_schema("label"),
    )
    model = Scripted(replies=[call({"mood": "Azul", "urgent": False})], card=card)
    with pytest.raises(OutputParserException, match=r"^mood: "):
        answer_chain(tiny_task, model).invoke(ROW)
    assert len(model.asked) == 1


def test_an_error_of_the_service_is_raised_as_it_is_and_not_asked_again(tiny_task: Task) -> None:
    model = Scripted(replies=[call(OUTSIDE), ConnectionResetError("gone"), call(GOOD)])
    for ask in WAYS.values():
        model.asked.clear()
        with pytest.raises(ConnectionResetError, match=r"^gone$"):
            ask(answer_chain(tiny_task, model), {})
        assert len(model.asked) == 2


def test_a_row_without_an_input_says_which(tiny_task: Task) -> None:
    with pytest.raises(KeyError, match="sentence"):
        answer_chain(tiny_task, Scripted(replies=[call(GOOD)])).invoke({"text": "chove"})


REFUSALS = [
    AIMessage("", additional_kwargs={"refusal": "I can't help\nwith that."}),
    AIMessage([{"type": "refusal", "refusal": "I can't help with that."}]),
    text("No.", finish_reason="content_filter"),
    text("No.", stop_reason="refusal"),  # Anthropic
    text("", finish_reason="PROHIBITED_CONTENT"),  # Gemini
    text("", stopReason="guardrail_intervened"),  # Bedrock
    text("", incomplete_details={"reason": "content_filter"}),  # OpenAI's Responses API
]
CUT_OFF = [
    text("{", finish_reason="length"),
    text("{", stop_reason="max_tokens"),
    text("{", finish_reason="FinishReason.MAX_TOKENS"),
    text("{", done_reason="length"),  # Ollama
    text("{", incomplete_details={"reason": "max_output_tokens"}),
]


@pytest.mark.parametrize("reply", REFUSALS)
def test_a_refusal_is_named_and_not_asked_again(tiny_task: Task, reply: AIMessage) -> None:
    model = Scripted(replies=[reply])
    with pytest.raises(OutputParserException, match=r"^the model refused: .") as caught:
        answer_chain(tiny_task, model).invoke(ROW)
    assert len(model.asked) == 1
    assert caught.value.llm_output == str(reply.content)
    with pytest.raises(OutputParserException, match=r"^the model refused: "):
        two_step(tiny_task, model).invoke(ROW)
    assert len(model.asked) == 2


@pytest.mark.parametrize("reply", CUT_OFF)
def test_a_reply_that_was_cut_off_is_named_and_not_asked_again(
    tiny_task: Task, reply: AIMessage
) -> None:
    model = Scripted(replies=[reply])
    with pytest.raises(OutputParserException, match=r"^the reply was cut off at the model's own"):
        answer_chain(tiny_task, model).invoke(ROW)
    assert len(model.asked) == 1
    assert "its output cap (max_tokens=64)" in (stopped_by(reply, 64) or "")


def test_an_answer_that_just_fits_under_the_cap_is_an_answer(tiny_task: Task) -> None:
    model = Scripted(replies=[call(GOOD, finish_reason="length")])
    assert answer_chain(tiny_task, model).invoke(ROW).reasoning == "quiet"
    assert stopped_by(call(GOOD, finish_reason="tool_calls")) is None


def test_a_json_text_that_was_cut_off_is_not_closed_and_taken(tiny_task: Task) -> None:
    whole = json.dumps({"mood": "Neutro", "urgent": False, "reasoning": "quiet because"})
    cut = whole[: whole.index("because")]
    with pytest.raises(OutputParserException, match=r"^the reply was cut off"):
        answer_chain(tiny_task, in_json(text(cut, finish_reason="length"))).invoke(ROW)
    model = in_json(text(cut), text(f"```json\n{whole}\n```"))
    assert answer_chain(tiny_task, model).invoke(ROW).reasoning == "quiet because"
    assert "no whole JSON object" in model.asked[1][-1].text


def replying(*replies: AIMessage) -> Scripted:
    return Scripted(replies=list(replies))


STRATEGIES: dict[str, tuple[Callable[[Task, Scripted], Any], Sequence[AIMessage], int]] = {
    "zero_shot": (zero_shot, [call(OUTSIDE), call(GOOD)], 2),
    "two_step": (two_step, [text("It is calm."), call(OUTSIDE), call(GOOD)], 3),
    "self_consistency": (
        lambda task, model: self_consistency(task, model, samples=3),
        [call(OUTSIDE), call(GOOD)],
        4,
    ),
    "vote": (
        lambda task, model: vote(task, model, model, model),
        [call(OUTSIDE), call(OUTSIDE), call(GOOD)],
        5,
    ),
    "negotiate": (
        lambda task, model: negotiate(task, model),
        [call(OUTSIDE), call(GOOD), call(OUTSIDE), call(GOOD)],
        4,
    ),
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("ask", [WAYS["invoke"], WAYS["ainvoke"]], ids=["invoke", "ainvoke"])
def test_a_ledger_sees_the_replies_that_did_not_fit_inside_any_strategy(
    tiny_task: Task, name: str, ask: Ask
) -> None:
    strategy, replies, expected = STRATEGIES[name]
    model, calls = Scripted(replies=list(replies)), Calls()
    thought = ask(strategy(tiny_task, model), {"callbacks": [calls], "max_concurrency": 1})
    assert tiny_task.answer_json(thought.answer) == {"mood": "Neutro", "urgent": False}
    assert calls.count == len(model.asked) == expected


@pytest.mark.parametrize("name", ["self_consistency", "vote"])
def test_no_retries_reach_the_voters_too(tiny_task: Task, name: str) -> None:
    strategy, _, _ = STRATEGIES[name]
    model = replying(call(OUTSIDE))
    with pytest.raises(OutputParserException, match="none of 3"):
        strategy(tiny_task, model).invoke(ROW, {**times(0), "max_concurrency": 1})
    assert len(model.asked) == 3


def test_the_words_of_a_correction_are_in_no_runs_key() -> None:
    assert strategy_parameters("zero_shot")["default_words"] == "a013b558a0cbe8e0"


def test_what_holds_a_model_to_the_schema_is_said(tiny_task: Task) -> None:
    neither: Any = {"structured_output": False, "tool_calling": False}
    assert held_by(in_json()) == "json_schema"
    assert held_by(replying()) == "function_calling"
    assert held_by(TextOnly(replies=[])) == "text"
    assert held_by(Scripted(replies=[], profile=neither)) == "text"


def test_an_error_without_a_reply_in_it_holds_none() -> None:
    class Empty(Exception):
        completion = None

    assert completed_reply(ValueError("x")) is None
    assert completed_reply(Empty()) is None
