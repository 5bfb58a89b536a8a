"""Tools and agents: every form of tool, every choice, arguments that always fit."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from understudy.chains import answer_chain
from understudy.chains.student import ChatStudent, StudentError, read_card, write_card
from understudy.chains.student.asked import Asked
from understudy.chains.student.rendering import prompt_ids, template_message
from understudy.chains.student.reply import Reply
from understudy.chains.student.tools import openai_tools
from understudy.chains.student.turns import Turn, conversation, turn_task
from understudy.chains.task import Task, prompt_words


@tool
def add(a: Annotated[int, Field(ge=0, le=9)], b: Annotated[int, Field(ge=0, le=9)]) -> int:
    """Add two digits."""
    return a + b


class Book(BaseModel):
    """Book a table."""

    name: str = Field(max_length=12)
    seats: Literal[2, 4]


class Node(BaseModel):
    """A tree: a schema that points at itself."""

    label: Literal["a", "b"]
    children: list[Node] = Field(max_length=2)


class Place(TypedDict):
    """Look at a place."""

    city: Annotated[str, "its name"]


def shout(text: str) -> str:
    """Say it loudly.

    Args:
        text: what to say
    """
    return text.upper()


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Iterator[ChatStudent]:
    model = ChatStudent(model=str(tiny_base), max_tokens=100)
    yield model
    model.close()


@pytest.fixture(scope="module")
def student(tiny_student: Path) -> ChatStudent:
    return ChatStudent(model=str(tiny_student))


def test_every_form_of_tool_can_be_called(base: ChatStudent) -> None:
    schema = {"title": "Go", "description": "go", "type": "object", "properties": {}}
    forms = [add, Book, Node, Place, shout, schema, *openai_tools([add])]
    for form in forms:
        model = base.bind_tools([form], tool_choice="any")
        name = openai_tools([form])[0]["function"]["name"]
        for seed in range(3):
            message = model.invoke("oi", temperature=1.5, seed=seed)
            assert [call["name"] for call in message.tool_calls] == [name]
            assert message.invalid_tool_calls == []
            if isinstance(form, type) and issubclass(form, BaseModel):
                form.model_validate(message.tool_calls[0]["args"])


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [
        ("any", {"add", "Book"}),
        ("required", {"add", "Book"}),
        (True, {"add", "Book"}),
        ("Book", {"Book"}),
        ({"type": "function", "function": {"name": "add"}}, {"add"}),
        ({"name": "add"}, {"add"}),
        ("none", set()),
        (None, {"add", "Book", ""}),
        ("auto", {"add", "Book", ""}),
    ],
)
def test_a_choice_of_tools_is_kept(base: ChatStudent, choice: Any, allowed: set[str]) -> None:
    model = base.bind_tools([add, Book], tool_choice=choice)
    called = set()
    for seed in range(12):
        message = model.invoke("oi", temperature=2.5, seed=seed)
        called |= {call["name"] for call in message.tool_calls} or {""}
        assert bool(message.content) or message.tool_calls
    assert called <= (allowed or {""})
    assert len(called) >= min(len(allowed), 2)


def test_several_calls_are_made_where_that_is_allowed(base: ChatStudent) -> None:
    one = base.bind_tools([add], tool_choice="any", parallel_tool_calls=False)
    many = base.bind_tools([add], tool_choice="any", parallel_tool_calls=True)
    counts = {
        len(many.invoke("oi", temperature=2.0, seed=seed, max_tokens=300).tool_calls)
        for seed in range(16)
    }

    assert max(counts) > 1
    assert {len(one.invoke("oi", temperature=2.0, seed=seed).tool_calls) for seed in range(6)} == {
        1
    }


def test_calls_are_closed_at_every_limit(base: ChatStudent) -> None:
    model = base.bind_tools([Book, add], tool_choice="any", parallel_tool_calls=True)
    with pytest.raises(StudentError, match="max_tokens 3 is too small"):
        model.invoke("oi", max_tokens=3)
    endings = set()
    for limit in [*range(50, 110, 4), 1000]:
        message = model.invoke("oi", temperature=2.0, seed=limit, max_tokens=limit)
        assert message.tool_calls
        assert not message.invalid_tool_calls
        endings.add(message.response_metadata["finish_reason"])
    assert endings == {"length", "tool_calls"}


def test_what_no_grammar_holds_is_refused_when_bound_by_its_name(base: ChatStudent) -> None:
    class Signs(BaseModel):
        """Signs."""

        once: set[str]

    class Deep(BaseModel):
        """Deep."""

        signs: Signs

    for bind in (
        lambda: base.bind_tools([Signs]),
        lambda: base.with_structured_output(Signs),
        lambda: base.with_structured_output(Signs, method="function_calling"),
        lambda: base.with_structured_output(Deep),
    ):
        with pytest.raises(
            StudentError, match=r"the field (signs\.)?once cannot be enforced: .*uniq"
        ):
            bind()
    with pytest.raises(StudentError, match="'fly' is not among the tools; they are: add"):
        base.bind_tools([add], tool_choice="fly")
    with pytest.raises(StudentError, match="there are no tools"):
        base.bind_tools([], tool_choice="any")


def one_call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def one_turn(text: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"text": text, "calls": calls}


values = st.text(max_size=5) | st.lists(st.integers(), max_size=2)
arguments = st.dictionaries(st.text(max_size=3), values, max_size=2)
calls = st.builds(one_call, st.text(min_size=1, max_size=4), arguments)
turns = st.builds(one_turn, st.text(max_size=12), st.lists(calls, max_size=3))


@settings(max_examples=100)
@given(turn=turns, ascii_only=st.booleans(), cuts=st.lists(st.integers(1, 6), max_size=60))
def test_a_turn_in_any_pieces_is_read_as_it_was_said(
    turn: dict[str, Any], ascii_only: bool, cuts: list[int]
) -> None:
    text = json.dumps(turn, ensure_ascii=ascii_only, separators=(",", ":"))
    reply, chunks = Reply(Asked(form="turn")), []
    for size in cuts:
        chunks += reply.read(text[:size])
        text = text[size:]
    chunks += [*reply.read(text), *reply.end()]
    good, bad = reply.tool_calls()

    assert reply.content == turn["text"] == "".join(str(chunk.content) for chunk in chunks)
    assert [{"name": one["name"], "arguments": one["args"]} for one in good] == turn["calls"]
    assert bad == []


def test_arguments_that_are_no_json_are_an_invalid_call() -> None:
    for text, arguments in (
        ('{"text":"","calls":[{"name":"add","arguments":{"a":1', '{"a":1'),
        ('{"text":"","calls":[{"name":"add","arguments":[1]}]}', "[1]"),
    ):
        reply = Reply(Asked(form="turn"))
        reply.read(text)
        reply.end()
        good, bad = reply.tool_calls()

        assert good == []
        assert [(call["name"], call["args"]) for call in bad] == [("add", arguments)]
        assert bad[0]["error"]
    plain = Reply(Asked(form="turn"))
    plain.read("no turn at all")
    assert (plain.content, plain.calls) == ("no turn at all", [])


def test_a_history_of_calls_and_results_is_read(base: ChatStudent) -> None:
    history = [
        HumanMessage("1+2?"),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "x"}]),
        ToolMessage("3", name="add", tool_call_id="x"),
        ToolMessage([{"type": "text", "text": "zu groß"}], tool_call_id="y", status="error"),
    ]

    assert [template_message(message) for message in history] == [
        {"role": "user", "content": "1+2?"},
        {
            "role": "assistant",
            "content": '{"text":"","calls":[{"name":"add","arguments":{"a":1,"b":2}}]}',
        },
        {"role": "user", "content": "Result of add: 3"},
        {"role": "user", "content": "Error of the tool: zu groß"},
    ]
    assert base.bind_tools([add]).invoke(history).usage_metadata
    lines = conversation(history[:1], openai_tools([add])).splitlines()
    assert [json.loads(line).get("role", "tool") for line in lines] == ["tool", "user"]


def test_a_student_of_one_task_answers_by_a_tool_of_its_schema(
    student: ChatStudent, tiny_task: Task
) -> None:
    plain = json.loads(str(student.invoke("Frase: tudo bem").content))
    for choice in ("any", "Mood", None):
        message = student.bind_tools([tiny_task.schema], tool_choice=choice).invoke(
            "Frase: tudo bem"
        )
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("Mood", plain)]
        assert message.content == ""
        assert set(message.response_metadata["confidence"]) == {"mood", "urgent"}
    with pytest.raises(StudentError, match=r"tool add: student tiny-student learnt to answer task"):
        student.bind_tools([add])
    with pytest.raises(StudentError, match="tool add: student"):
        student.bind_tools([tiny_task.schema, add])
    student.bind_tools([tiny_task.schema, add], tool_choice="Mood")
    with pytest.raises(StudentError, match="and no tools; leave out Mood"):
        student.bind_tools([tiny_task.schema], response_format=tiny_task.schema)


def test_agents_get_structured_answers_by_either_strategy(
    student: ChatStudent, base: ChatStudent, tiny_task: Task
) -> None:
    asked: Any = {"messages": [{"role": "user", "content": "Frase: tudo bem"}]}
    for strategy in (ProviderStrategy(tiny_task.schema), ToolStrategy(tiny_task.schema)):
        for model in (student, base):
            answer = create_agent(model, response_format=strategy).invoke(asked)
            assert isinstance(answer["structured_response"], tiny_task.schema)
    bare: Any = create_agent(student, response_format=tiny_task.schema)
    assert isinstance(bare.invoke(asked)["structured_response"], tiny_task.schema)


def test_an_agent_with_tools_and_a_schema_calls_and_answers(base: ChatStudent) -> None:
    asked: Any = {"messages": [{"role": "user", "content": "oi"}]}
    hot = ChatStudent(model=base.model, max_tokens=100, temperature=2.0)
    seen: set[str] = set()
    for seed in range(12):
        model = hot.model_copy(update={"seed": seed})
        agent = create_agent(model, tools=[add], response_format=ProviderStrategy(Book))
        steps = agent.stream(asked, stream_mode="updates")
        for step in itertools.islice(steps, 3):
            seen |= set(step)
            if answer := (step.get("model") or {}).get("structured_response"):
                assert isinstance(answer, Book)
                seen.add("answer")
    assert seen == {"model", "tools", "answer"}


def test_an_agent_streams_its_messages(base: ChatStudent) -> None:
    agent: Any = create_agent(base, tools=[])
    asked = {"messages": [{"role": "user", "content": "oi"}]}
    parts = [part for part, _ in agent.stream(asked, stream_mode="messages")]

    assert len(parts) > 4
    assert parts[-1].chunk_position == "last"


@pytest.fixture
def turns_student(tiny_student: Path, tmp_path: Path) -> ChatStudent:
    """A run folder that says it learnt turns; its adapter is random."""
    folder = Path(shutil.copytree(tiny_student, tmp_path / "turns"))
    task = turn_task()
    changes = {
        "target": "label",
        "prompt": prompt_words(task.student_prompt),
        "answer_schema": task.json_schema("label"),
        "words": task.student_words,
        "answers": task.answers,
        "task": task.name,
        "reasoning": None,
    }
    write_card(folder, read_card(folder).model_copy(update=changes))
    return ChatStudent(model=str(folder), max_tokens=120)


def test_a_student_of_turns_takes_any_tools_and_any_schema(turns_student: ChatStudent) -> None:
    model = turns_student
    said = model.invoke("oi")
    called = model.bind_tools([add, Book], tool_choice="any").invoke("oi")

    assert said.content
    assert said.tool_calls == []
    assert len(called.tool_calls) >= 1
    assert called.content == ""
    assert isinstance(model.with_structured_output(Book).invoke("oi"), Book)
    chunks = list(model.stream("oi"))
    assert "".join(str(chunk.content) for chunk in chunks) == said.content
    answer = answer_chain(turn_task(), model).invoke({"conversation": conversation([said])}).answer
    assert isinstance(answer, Turn)
    model.close()


def test_a_student_of_turns_is_asked_in_the_words_that_it_learnt(
    turns_student: ChatStudent,
) -> None:
    model, task, asked = turns_student, turn_task(), [HumanMessage("1+2?")]
    text = conversation(asked, openai_tools([add]))
    prompt = task.student_prompt.format_messages(conversation=text)
    expected = prompt_ids(model.engine.tokenizer, prompt)

    job = model._job(asked, None, model.bind_tools([add]).kwargs)  # type: ignore[attr-defined]
    own = model.with_structured_output(task.json_schema("label"))
    chained = model._job(prompt, None, {"response_format": own.first.kwargs["response_format"]})  # type: ignore[attr-defined]
    assert job.prompt == chained.prompt == expected
    assert model.get_num_tokens_from_messages(asked, [add]) == len(expected)
    assert model.get_num_tokens("oi") > 0
    model.close()


def test_a_turn_is_an_ordinary_task() -> None:
    task = turn_task()
    turn = {"text": "", "calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}

    assert task.completion(turn, target="label") == json.dumps(turn, separators=(",", ":"))
    assert isinstance(task.thought(turn).answer, Turn)
    assert task.inputs == ("conversation",)
