"""Provider files: what other programs saved of talks becomes recordings of the task's teacher."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from understudy.chains.task import Task
from understudy.distill.chats import unrendered
from understudy.distill.importing import import_recordings, preview_recordings
from understudy.store import Record, Store, StoreError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class Pair(BaseModel):
    """The answer of a task with two inputs and one field."""

    label: Literal["yes", "no"]


PAIRS = Task(
    name="pairs",
    schema=Pair,
    prompt=ChatPromptTemplate.from_messages(
        [
            ("system", "Answer {{yes}} or no."),
            ("human", "Premise: {premise}\nHypothesis: {claim}\nAnswer:"),
        ]
    ),
)
MOOD = {"reasoning": "é medo", "mood": "Medo", "urgent": True}


@pytest.fixture
def imported(tmp_path, tiny_task):
    """Imports objects as a provider's file: the inputs with their records, and the lines said."""

    def run(rows: Any, form: str, task: Task = tiny_task, **options: Any):
        path = tmp_path / ("list.json" if isinstance(rows, dict) else "rows.jsonl")
        indent = 1 if isinstance(rows, dict) else None
        texts = [rows] if isinstance(rows, dict) else rows
        path.write_text("\n".join(json.dumps(row, indent=indent) for row in texts))
        with Store(":memory:") as store:
            found, lines = import_recordings(store, task, path, format=form, **options)
            pairs = [(e.inputs, r) for e, r in store.pairs(found.id)]
            assert found.role == "teacher"
            assert found.finished is not None
        return found.model, pairs, [line.removeprefix(f"{path} ") for line in lines]

    return run


def told(record: Record) -> dict[str, Any]:
    """What a record says, without its run, example and time."""
    return record.model_dump(
        exclude_defaults=True, exclude={"run", "example", "created", "attempts"}
    )


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def test_a_fine_tune_file_teaches_its_last_reply_with_a_weight(imported):
    first = {"role": "system", "content": "Be brief."}
    rows = [
        {"messages": [first, user("a"), assistant(json.dumps(MOOD))]},
        {
            "messages": [
                user("b"),
                assistant(json.dumps(MOOD | {"mood": "medo"})),
                user("again"),
                assistant("bad", weight=0),
            ]
        },
        {"messages": [user("c"), assistant("no idea")]},
        {"messages": [user("d"), assistant("x", weight=0)]},
        {"messages": [user([{"type": "image_url", "image_url": {}}]), assistant("x")]},
        {"messages": "x", "prompt": 1},
        {"text": "x"},
    ]
    model, pairs, lines = imported(rows, "openai", model="gpt")
    answer = {"mood": "Medo", "urgent": True}
    raw, second = json.dumps(MOOD), json.dumps(MOOD | {"mood": "medo"})
    common = {"reasoning": "é medo", "answer": answer, "model": "gpt"}
    assert model == "gpt"
    assert [(inputs["sentence"], told(record)) for inputs, record in pairs] == [
        ("a", {**common, "raw": raw}),
        ("b", {**common, "raw": second}),
        ("c", {"raw": "no idea", "error": "the reply is no JSON object", "model": "gpt"}),
    ]
    assert lines == [
        "row 4 left out: has no assistant message that teaches",
        "row 5 left out: a message holds more than text (image_url)",
        "row 6 left out: has no assistant message that teaches",
        "row 7 left out: has no messages",
    ]


def test_the_answer_may_be_a_tool_call_whose_data_is_kept_as_json_text(imported):
    function = {"name": "Mood", "arguments": json.dumps(MOOD)}
    call = {"id": "1", "type": "function", "function": function}
    tools = [{"type": "function", "function": {"name": "Mood", "parameters": {"b": 1}}}]
    row = {"messages": [user("a"), assistant(None, tool_calls=[call])], "tools": tools}
    _, [(_, record)], _ = imported([row], "openai")
    assert record.answer == {"mood": "Medo", "urgent": True}
    assert record.raw == json.dumps(MOOD)
    assert record.details == {
        "tools": json.dumps(tools),
        "tool_calls": json.dumps([["Mood", json.dumps(MOOD)]]),
    }


def test_stored_completions_in_every_documented_wrapping(imported):
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    done = {
        "object": "chat.completion",
        "model": "gpt-x",
        "usage": usage,
        "choices": [{"index": 0, "message": assistant(f"```json\n{json.dumps(MOOD)}\n```")}],
    }
    said = [{"type": "output_text", "text": json.dumps(MOOD)}]
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": said},
    ]
    response = {
        "object": "response",
        "model": "gpt-x",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "d"}]}],
        "instructions": "Be brief.",
        "output": items,
        "usage": {
            "input_tokens": 20,
            "output_tokens": 9,
            "input_tokens_details": {"cached_tokens": 5},
            "output_tokens_details": {"reasoning_tokens": 3},
        },
    }
    page = {
        "object": "list",
        "data": [
            {**done, "messages": [user("a")]},
            {"input": {"model": "gpt-x", "messages": [user("b")]}, "output": done},
            {**done, "request": {"messages": [user("c")]}},
            response,
            {"input": "e", "output": json.dumps(MOOD), "model": "gpt-x", "usage": usage},
            {"object": "chat.completion", "choices": done["choices"]},
        ],
    }
    model, pairs, lines = imported(page, "completions")
    assert model == "gpt-x"
    assert [inputs["sentence"] for inputs, _ in pairs] == ["a", "b", "c", "d", "e"]
    for _, record in pairs:
        assert record.answer == {"mood": "Medo", "urgent": True}
        assert (record.reasoning, record.model) == ("é medo", "gpt-x")
        counts = (record.input_tokens, record.output_tokens)
        assert (*counts, record.cached_tokens, record.reasoning_tokens) == (20, 9, 5, 3)
    assert pairs[3][1].details == {"native_reasoning": "hm"}
    assert lines == ["row 1 left out: has no messages"]


def test_what_the_model_thought_is_the_reasoning_where_the_answer_has_none_and_it_fits(imported):
    answer = json.dumps({"mood": "Medo", "urgent": True})
    thoughts = ("because", "x" * 41)
    rows = [
        {"messages": [user(text[:1]), assistant(answer, reasoning_content=text)]}
        for text in thoughts
    ]
    _, pairs, _ = imported(rows, "openai")
    assert [record.reasoning for _, record in pairs] == ["because", None]
    assert [record.answer for _, record in pairs] == [json.loads(answer)] * 2
    assert [record.details for _, record in pairs] == [{"native_reasoning": t} for t in thoughts]


def test_langsmith_chain_and_llm_runs_are_read_and_others_left_out(imported):
    times = {"start_time": "2026-01-01T00:00:00", "end_time": "2026-01-01T00:00:02.5"}
    asked = dumpd(HumanMessage("b"))
    reply = dumpd(
        AIMessage(
            json.dumps(MOOD),
            usage_metadata={"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        )
    )
    rows = [
        {"run_type": "chain", "inputs": {"sentence": "a"}, "outputs": {"output": MOOD}, **times},
        {
            "run_type": "llm",
            "inputs": {"messages": [[asked]]},
            "outputs": {
                "generations": [[{"text": json.dumps(MOOD), "message": reply}]],
                "llm_output": {"token_usage": {"prompt_tokens": 7, "completion_tokens": 3}},
            },
            "extra": {"metadata": {"ls_model_name": "gpt-x"}},
            "total_cost": "0.25",
        },
        {
            "run_type": "llm",
            "inputs": {"messages": [user("c")]},
            "outputs": {"choices": [{"message": assistant(json.dumps(MOOD))}]},
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "extra": {"invocation_params": {"model": "gpt-y"}},
        },
        {
            "run_type": "chain",
            "inputs": {"input": {"sentence": "d"}, "messages": ["no message"]},
            "outputs": MOOD,
        },
        {"run_type": "chain", "inputs": {"sentence": "e"}, "outputs": None, "error": "Boom\nx"},
        {"run_type": "tool", "inputs": {"sentence": "f"}, "outputs": MOOD},
        {"run_type": "chain", "inputs": {"sentence": "g"}, "outputs": {}},
    ]
    model, pairs, lines = imported(rows, "langsmith")
    assert model == "langsmith"
    assert [inputs["sentence"] for inputs, _ in pairs] == ["a", "b", "c", "d", "e"]
    by_text = {inputs["sentence"]: record for inputs, record in pairs}
    assert [record.answer is not None for record in by_text.values()] == [True] * 4 + [False]
    assert by_text["a"].seconds == 2.5
    assert by_text["b"].cost == 0.25
    assert [by_text[name].model for name in "bc"] == ["gpt-x", "gpt-y"]
    assert [(by_text[n].input_tokens, by_text[n].output_tokens) for n in "bc"] == [(7, 3)] * 2
    assert by_text["e"].error == "Boom x"
    assert lines == [
        "row 6 left out: is a run of type tool; llm and chain runs are read",
        "row 7 left out: has no outputs",
    ]


def test_the_prompt_is_undone_into_the_inputs_and_a_text_is_the_answer_of_one_field(imported):
    def chat(premise: str, claim: str) -> dict[str, Any]:
        prompt = PAIRS.prompt.invoke({"premise": premise, "claim": claim}).to_messages()
        return {"messages": [{"role": m.type, "content": m.text} for m in prompt]}

    rows = [chat("a\nb", "c {x}"), chat("a", "b\nHypothesis: c"), {"messages": [user("free")]}]
    for row in rows:
        row["messages"].append(assistant("yes"))
    _, pairs, lines = imported(rows, "openai", PAIRS)
    assert [(inputs, record.answer) for inputs, record in pairs] == [
        ({"premise": "a\nb", "claim": "c {x}"}, {"label": "yes"})
    ]
    reason = "its messages were not made by the task's prompt; claim, premise cannot be told"
    assert lines == [f"row 2 left out: {reason}", f"row 3 left out: {reason}"]


@given(st.lists(TEXT, min_size=2, max_size=4), TEXT, TEXT)
def test_a_template_is_undone_where_there_is_one_way_to(literals, first, second):
    fields = ["first", "second", "first"][: len(literals) - 1]
    pieces = [text.replace("{", "{{").replace("}", "}}") for text in literals]
    template = pieces[0] + "".join(
        f"{{{name}}}{piece}" for name, piece in zip(fields, pieces[1:], strict=True)
    )
    values = {"first": first, "second": second}
    found = unrendered(template, template.format(**values))
    assert found is None or found == {name: values[name] for name in set(fields)}
    if len(literals) == 2:
        assert found == {"first": first}


def test_undoing_a_hostile_text_takes_no_longer_than_reading_it():
    template = "".join(f"{name}: {{{name}}}\n" for name in "abcdefgh")
    assert unrendered(template, "a: x\nb: " * 100_000) is None


def test_a_file_imported_twice_adds_nothing_and_a_broken_one_leaves_nothing(tmp_path, tiny_task):
    path = tmp_path / "rows.jsonl"
    row = json.dumps({"messages": [user("a"), assistant(json.dumps(MOOD))]})
    path.write_text(row + "\n" + json.dumps({"messages": [user("b"), assistant("?")]}))
    with Store(tmp_path / "s.db") as store:
        run, _ = import_recordings(store, tiny_task, path, format="openai")
        before = store.pairs(run.id)
        import_recordings(store, tiny_task, path, format="openai")
        assert store.pairs(run.id) == before
    path.write_text(row + "\n{")
    with Store(tmp_path / "t.db") as store:
        with pytest.raises(StoreError, match="line 2: is broken JSON"):
            import_recordings(store, tiny_task, path, format="openai")
        assert store.runs() == []
        assert store.splits("tiny") == {}
        path.write_text('{"messages": []}')
        with pytest.raises(StoreError, match="no usable row; the first: row 1: has no messages"):
            import_recordings(store, tiny_task, path, format="openai")
        assert store.runs() == []


def test_a_preview_of_recordings_writes_nothing_and_shows_inputs_with_answers(tmp_path, tiny_task):
    path = tmp_path / "rows.jsonl"
    row = {"messages": [user("a"), assistant(json.dumps(MOOD))]}
    path.write_text(json.dumps(row) + "\n{}\n")
    found = preview_recordings(tiny_task, path, format="openai", split="wild")
    assert [example.inputs for example in found.examples] == [{"sentence": "a"}]
    assert [json.loads(answer) for answer in found.answers] == [MOOD]
    assert (found.rows, found.splits, found.refused) == (2, {"wild": 1}, ((2, "has no messages"),))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


KEYS = (
    "messages role content type text kwargs data id tool_calls function choices message output "
    "outputs input inputs generations run_type usage reasoning weight summary instructions"
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("form", ["openai", "completions", "langsmith"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(rows=st.lists(st.dictionaries(TEXT | st.just("messages"), JUNK), max_size=3), junk=JUNK)
def test_any_objects_are_recordings_or_one_line(tmp_path_factory, tiny_task, form, rows, junk):
    path = Path(tmp_path_factory.mktemp("junk"), "rows.jsonl")
    rows = [*rows, {"messages": junk, "choices": junk, "inputs": junk, "outputs": junk}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with Store(":memory:") as store:
        with contextlib.suppress(StoreError):
            run, _ = import_recordings(store, tiny_task, path, format=form)
            assert store.records(run.id)
            return
        assert store.runs() == []
