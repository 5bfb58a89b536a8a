"""answer_chain: whose words are said, what a reply must be, and how a bad one fails."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from pydantic import Field

from understudy.chains import Task, Thought, answer_chain
from understudy.chains.student.card import StudentCard, StudentError
from understudy.chains.task import prompt_words

ONCE: RunnableConfig = {"configurable": {"schema_retries": 0}}
FITTING = {"reasoning": "quiet", "mood": "Neutro", "urgent": False}


class Scripted(GenericFakeChatModel):
    """Replies from a script, keeps what it was asked, and may carry a student's card."""

    asked: list[Any] = Field(default_factory=list)
    card: StudentCard | None = None

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        asked = [(message.type, message.content) for message in messages]
        self.asked.append((asked, kwargs["tools"][0]))
        return super()._generate(messages, *args, **kwargs)


def scripted(*replies: AIMessage, card: StudentCard | None = None) -> Scripted:
    return Scripted(messages=iter(replies), card=card)


def call(args: dict[str, Any], **metadata: Any) -> AIMessage:
    tool_call = {"name": "Mood", "args": args, "id": "call_1", "type": "tool_call"}
    return AIMessage("some text", tool_calls=[tool_call], response_metadata=metadata)


def card_for(task: Task, **changes: Any) -> StudentCard:
    assert task.student_prompt is not None
    facts: dict[str, Any] = {
        "name": "small",
        "task": task.name,
        "target": "label",
        "base": "embedded",
        "base_sha256": "0" * 64,
        "words": task.student_words,
        "answers": task.answers,
        "prompt": prompt_words(task.student_prompt),
        "answer_schema": task.json_schema("label"),
    }
    return StudentCard(**facts | changes)


def test_a_fitting_call_becomes_a_thought(tiny_task: Task) -> None:
    thought = answer_chain(tiny_task, scripted(call(FITTING))).invoke({"sentence": "x"})
    assert thought == Thought("quiet", tiny_task.schema(**FITTING), None)


def test_the_confidence_of_a_student_reaches_the_thought(tiny_task: Task) -> None:
    model = scripted(call(FITTING, confidence={"mood": 0.9}))
    assert answer_chain(tiny_task, model).invoke({"sentence": "x"}).confidence == {"mood": 0.9}


def test_a_plain_model_is_asked_in_the_teacher_s_words_reasoning_first(tiny_task: Task) -> None:
    model = scripted(call(FITTING))
    answer_chain(tiny_task, model).invoke({"sentence": "chove {hoje}"})
    asked, schema = model.asked[0]
    assert asked == [
        ("system", "Say how the sentence feels, reasoning first."),
        ("human", "chove {hoje}"),
    ]
    assert schema == tiny_task.json_schema("reason_label")


def test_a_student_is_asked_in_its_own_words_for_its_own_target(tiny_task: Task) -> None:
    model = scripted(call({"mood": "Medo", "urgent": True}), card=card_for(tiny_task))
    thought = answer_chain(tiny_task, model).invoke({"sentence": "chove"})
    asked, schema = model.asked[0]
    assert asked == [("human", "Frase: chove")]
    assert schema == tiny_task.json_schema("label")
    assert (thought.reasoning, tiny_task.answer_json(thought.answer)) == (
        None,
        {"mood": "Medo", "urgent": True},
    )


def test_words_and_target_can_be_named_for_a_student_served_elsewhere(tiny_task: Task) -> None:
    model = scripted(call({"mood": "Medo", "urgent": True}))
    prompt = ChatPromptTemplate.from_messages([("human", "Oi: {sentence}")])
    answer_chain(tiny_task, model, target="label", prompt=prompt).invoke({"sentence": "x"})
    assert model.asked == [([("human", "Oi: x")], tiny_task.json_schema("label"))]


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"words": "0" * 16}, "student prompt"), ({"answers": "0" * 16}, "answer schema")],
)
def test_a_student_of_other_words_or_another_schema_refuses(
    tiny_task: Task, changes: dict[str, str], what: str
) -> None:
    model = scripted(card=card_for(tiny_task, **changes))
    with pytest.raises(StudentError, match=f"student small learnt the {what} 0000000000000000"):
        answer_chain(tiny_task, model)


BAD_REPLIES = [
    pytest.param(AIMessage("I would rather not."), "no answer", id="no tool call"),
    pytest.param(call({**FITTING, "mood": "Azul"}), r"^mood: ", id="an unknown class"),
    pytest.param(call({**FITTING, "reasoning": "x" * 41}), r"^reasoning: ", id="too long"),
    pytest.param(call({"mood": "Medo"}), r"^urgent: ", id="a missing field"),
    pytest.param(
        AIMessage(
            "some text",
            tool_calls=[{"name": "Other", "args": FITTING, "id": "1", "type": "tool_call"}],
        ),
        "no answer",
        id="another tool",
    ),
]


@pytest.mark.parametrize(("reply", "reason"), BAD_REPLIES)
def test_a_reply_that_does_not_fit_fails_in_one_line_with_its_text(
    tiny_task: Task, reply: AIMessage, reason: str
) -> None:
    with pytest.raises(OutputParserException, match=reason) as caught:
        answer_chain(tiny_task, scripted(reply)).invoke({"sentence": "x"}, ONCE)
    assert caught.value.llm_output == reply.content
    assert len(str(caught.value).splitlines()) == 1


def test_a_batch_can_keep_its_failures_beside_its_thoughts(tiny_task: Task) -> None:
    chain = answer_chain(tiny_task, scripted(call(FITTING), AIMessage("no")))
    rows = [{"sentence": "a"}, {"sentence": "b"}]
    good, bad = chain.batch(rows, {**ONCE, "max_concurrency": 1}, return_exceptions=True)
    assert isinstance(good, Thought)
    assert isinstance(bad, OutputParserException)


def test_the_profile_of_a_model_chooses_how_it_is_made_to_answer(tiny_task: Task) -> None:
    chosen: list[Any] = []

    class Choosing(Scripted):
        def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
            chosen.append(kwargs)
            return super().with_structured_output(schema, **kwargs)

    models: list[BaseChatModel] = [
        Choosing(messages=iter([]), profile={"structured_output": True}),
        Choosing(messages=iter([]), profile={"structured_output": False}),
        Choosing(messages=iter([])),
    ]
    for model in models:
        answer_chain(tiny_task, model)
    assert [kwargs["method"] for kwargs in chosen] == [
        "json_schema",
        "function_calling",
        "function_calling",
    ]
