"""The Task: paths, classes, schemas, fingerprints, and answers to text and back."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from pydantic import BaseModel, ConfigDict, Field, field_validator

from understudy.chains import Task, TaskError
from understudy.chains.comparison import COMPARATORS
from understudy.chains.shape import nested
from understudy.chains.task import Target, prompt_words, value_at


class Urgency(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Place(BaseModel):
    city: str = Field(max_length=20)
    kind: Literal["home", "shop"]


class Ticket(BaseModel):
    """A ticket with a field of every kind."""

    model_config = ConfigDict(extra="forbid")

    why: str = Field(max_length=60)
    urgency: Urgency
    mood: Annotated[Literal["good", "bad"], "of the writer"] | None
    open: bool
    place: Place | None
    tags: list[Annotated[str, Field(max_length=10)]] = Field(max_length=3)
    due: datetime.date
    hours: float | None = None
    title: Annotated[str, Field(max_length=30)] | None = None


PATHS = (
    "urgency",
    "mood",
    "open",
    "place.city",
    "place.kind",
    "tags",
    "due",
    "hours",
    "title",
)
ANSWER: dict[str, Any] = {
    "urgency": "high",
    "mood": None,
    "open": True,
    "place": {"city": "São Paulo", "kind": "shop"},
    "tags": ["a", "b"],
    "due": "2024-05-31",
    "hours": 1.5,
    "title": None,
}


def prompt(*messages: Any) -> ChatPromptTemplate:
    return ChatPromptTemplate.from_messages(messages)


def a_task(**changes: Any) -> Task:
    parts: dict[str, Any] = {
        "name": "tickets",
        "schema": Ticket,
        "reasoning": "why",
        "prompt": prompt(("system", "Read the ticket."), ("human", "{subject}\n{body}")),
        "student_prompt": prompt(("human", "{body}")),
    }
    return Task(**parts | changes)


TASK = a_task()

KEY = st.text("abcdef_", min_size=1, max_size=3)
LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers())
ANSWERS = st.fixed_dictionaries(
    {
        "urgency": st.sampled_from(["low", "high"]),
        "mood": st.sampled_from(["good", "bad", None]),
        "open": st.booleans(),
        "place": st.none()
        | st.fixed_dictionaries(
            {"city": st.text(max_size=20), "kind": st.sampled_from(["home", "shop"])}
        ),
        "tags": st.lists(st.text(max_size=10), max_size=3),
        "due": st.dates().map(datetime.date.isoformat),
        "hours": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "title": st.none() | st.text(max_size=30),
    }
)


def leaves(answer: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in answer.items():
        inner = isinstance(value, dict) and value
        flat.update(leaves(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value})
    return flat


@given(st.recursive(LEAF, lambda inner: st.dictionaries(KEY, inner, min_size=1), max_leaves=8))
def test_a_nested_answer_is_its_paths_and_back(answer: Any) -> None:
    if isinstance(answer, dict):
        flat = leaves(answer)
        assert nested(flat) == answer
        assert {path: value_at(answer, path) for path in flat} == flat


def test_a_value_that_is_not_there_is_none() -> None:
    assert value_at(None, "place.city") is None
    assert value_at({"place": None}, "place.city") is None
    assert value_at({"place": "home"}, "place.city") is None
    assert value_at({"place": {"city": "Ur"}}, "place.kind") is None
    assert value_at({"place": {"city": "Ur"}}, "place.city") == "Ur"


def test_paths_classes_and_parts_follow_the_schema() -> None:
    assert TASK.inputs == ("body", "subject")
    assert TASK.paths == PATHS
    assert TASK.labels == {
        "urgency": ("low", "high"),
        "mood": ("good", "bad"),
        "open": (True, False),
        "place.kind": ("home", "shop"),
    }
    assert TASK.parts == {
        "": ("urgency", "mood", "open", "tags", "due", "hours", "title"),
        "place": ("place.city", "place.kind"),
    }


def test_a_literal_of_enum_members_has_their_values_as_classes() -> None:
    class Level(enum.StrEnum):
        LOW = "low"

    class Flag(BaseModel):
        urgency: Literal[Level.LOW]

    task = a_task(schema=Flag, reasoning=None)
    assert task.labels == {"urgency": ("low",)}
    assert task.answer_json(task.thought({"urgency": "low"}).answer) == {"urgency": "low"}


def test_each_path_compares_by_its_type_or_as_the_task_says() -> None:
    names = {comparator: name for name, comparator in COMPARATORS.items()}
    found = {path: names[TASK.comparator(path)] for path in PATHS}
    assert found == {
        "urgency": "exact",
        "mood": "exact",
        "open": "exact",
        "place.city": "text",
        "place.kind": "exact",
        "tags": "unordered",
        "due": "date",
        "hours": "number",
        "title": "text",
    }
    chosen = a_task(comparators={"title": "token_f1"})
    assert chosen.comparator("title") is COMPARATORS["token_f1"]


@given(ANSWERS, st.text(min_size=1, max_size=60))
def test_a_completion_reads_back_as_the_answer(answer: dict[str, Any], why: str) -> None:
    reasoned = json.loads(TASK.completion(answer, reasoning=why, target="reason_label"))
    silent = json.loads(TASK.completion(answer, reasoning=why, target="label"))
    assert (reasoned, list(reasoned)) == ({"why": why, **answer}, list(Ticket.model_fields))
    assert (silent, list(silent)) == (answer, list(Ticket.model_fields)[1:])
    thought = TASK.thought(reasoned)
    assert thought.reasoning == why
    assert TASK.answer_json(thought.answer) == answer


def test_a_completion_is_compact_json_in_schema_order() -> None:
    mixed = dict(reversed(ANSWER.items()))
    assert TASK.completion(mixed, reasoning="late", target="reason_label") == (
        '{"why":"late","urgency":"high","mood":null,"open":true,'
        '"place":{"city":"São Paulo","kind":"shop"},"tags":["a","b"],"due":"2024-05-31",'
        '"hours":1.5,"title":null}'
    )


def test_reason_label_cannot_be_taught_without_reasoning() -> None:
    with pytest.raises(TaskError, match="no reasoning"):
        TASK.completion(ANSWER, target="reason_label")


def test_a_label_only_thought_is_an_instance_of_the_users_schema() -> None:
    thought = TASK.thought(ANSWER, confidence={"urgency": 0.5})
    assert isinstance(thought.answer, Ticket)
    assert thought.answer.why is None
    assert (thought.reasoning, thought.confidence) == (None, {"urgency": 0.5})
    assert thought.answer.place == Place(city="São Paulo", kind="shop")
    assert TASK.answer_json(thought.answer) == ANSWER


def test_a_strict_schema_takes_what_json_can_write() -> None:
    class Strict(Ticket):
        model_config = ConfigDict(extra="forbid", strict=True)

    task = a_task(schema=Strict)
    assert task.answer_json(task.thought(ANSWER).answer) == ANSWER
    with pytest.raises(TaskError, match="open: "):
        task.thought(ANSWER | {"open": "yes"})


def test_only_the_reasoning_may_be_absent() -> None:
    short = {key: value for key, value in ANSWER.items() if key != "urgency"}
    with pytest.raises(TaskError, match=r"^urgency: Field required"):
        TASK.thought(short)


def test_a_task_without_reasoning_writes_the_same_for_both_targets() -> None:
    task = a_task(schema=Place, reasoning=None)
    for target in ("label", "reason_label"):
        text = task.completion({"city": "Ur", "kind": "home"}, target=target)
        assert text == '{"city":"Ur","kind":"home"}'
    assert task.json_schema("label") == task.json_schema("reason_label")


class Fussy(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def refuse(cls, name: str) -> str:
        raise ValueError(f"bad\nname {name}")


@pytest.mark.parametrize(
    ("schema", "data", "start"),
    [
        (Ticket, ANSWER | {"why": 3}, "why: "),
        (Ticket, ANSWER | {"urgency": "middling"}, "urgency: "),
        (Ticket, ANSWER | {"place": {"city": "Ur", "kind": "sea"}}, "place.kind: "),
        (Ticket, ANSWER | {"tags": ["a", "far too long a tag"]}, "tags.1: "),
        (Ticket, ANSWER | {"more": 1}, "more: "),
        (Ticket, ANSWER | {"title": "\ud800"}, "answer: Invalid JSON"),
        (Ticket, ANSWER | {"due": None}, "due: "),
        (Ticket, ["a list"], "answer: "),
        (Ticket, "why", "answer: "),
        (Ticket, 3, "answer: "),
        (Fussy, {"name": "x\ny"}, "name: "),
    ],
)
def test_data_that_does_not_fit_is_refused_in_one_line(
    schema: type[BaseModel], data: Any, start: str
) -> None:
    task = a_task(schema=schema, reasoning="why" if schema is Ticket else None)
    with pytest.raises(TaskError) as refusal:
        task.thought(data)
    assert str(refusal.value).startswith(start)
    assert "\n" not in str(refusal.value)


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object schema with properties in a JSON schema."""
    if isinstance(schema, list):
        return [found for item in schema for found in objects(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if "properties" in schema else []
    return own + [found for value in schema.values() for found in objects(value)]


def test_the_label_schema_has_no_reasoning_and_every_object_is_closed() -> None:
    silent, reasoned = TASK.json_schema("label"), TASK.json_schema("reason_label")
    fields = ["urgency", "mood", "open", "place", "tags", "due", "hours", "title"]
    assert list(silent["properties"]) == fields
    assert list(reasoned["properties"]) == ["why", *fields]
    assert silent["required"] == ["urgency", "mood", "open", "place", "tags", "due"]
    assert reasoned["required"] == ["why", *silent["required"]]
    for schema in (silent, reasoned):
        assert len(objects(schema)) == 2
        assert all(found["additionalProperties"] is False for found in objects(schema))
    del reasoned["properties"]["why"], reasoned["required"][0]
    assert silent == reasoned


def fingerprints(task: Task) -> tuple[str, str, str]:
    return task.teacher_words, task.student_words, task.answers


class MoreClasses(Ticket):
    mood: (
        Annotated[  # type: ignore[assignment]
            Literal["good", "bad", "mixed"], "of the writer"
        ]
        | None
    )


class First(BaseModel):
    model_config = ConfigDict(title="Same")

    why: str = ""
    kind: Literal["a"] = "a"


class Last(BaseModel):
    model_config = ConfigDict(title="Same")

    kind: Literal["a"] = "a"
    why: str = ""


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({}, (False, False, False)),
        ({"name": "other"}, (False, False, False)),
        ({"comparators": {"title": "token_f1"}}, (False, False, False)),
        ({"aliases": {"hi": "high"}, "columns": {"text": "body"}}, (False, False, False)),
        (
            {"prompt": prompt(("system", "Read it."), ("human", "{subject}\n{body}"))},
            (True, False, False),
        ),
        (
            {"prompt": prompt(("human", "Read the ticket."), ("human", "{subject}\n{body}"))},
            (True, False, False),
        ),
        ({"student_prompt": prompt(("human", "Ticket: {body}"))}, (False, True, False)),
        ({"schema": MoreClasses}, (False, False, True)),
    ],
)
def test_a_fingerprint_changes_with_what_it_is_of_and_with_nothing_else(
    changes: dict[str, Any], changed: tuple[bool, ...]
) -> None:
    pairs = zip(fingerprints(TASK), fingerprints(a_task(**changes)), strict=True)
    assert tuple(mine != other for mine, other in pairs) == changed


def test_the_order_of_the_fields_is_part_of_the_answers_fingerprint() -> None:
    first, last = a_task(schema=First), a_task(schema=Last)
    assert first.json_schema("reason_label") == last.json_schema("reason_label")
    assert first.answers != last.answers


def test_a_fixed_message_has_the_words_of_the_template_that_says_the_same() -> None:
    fixed = prompt(SystemMessage('Write {"a": 1}.'), ("human", "{subject} {body}"))
    template = prompt(("system", 'Write {{"a": 1}}.'), ("human", "{subject} {body}"))
    inputs = {"subject": "s", "body": "b"}
    assert fixed.invoke(inputs) == template.invoke(inputs)
    assert a_task(prompt=fixed).teacher_words == a_task(prompt=template).teacher_words
    assert prompt_words(fixed)[1] == {"role": "human", "text": "{subject} {body}"}


def test_a_student_is_told_the_task_and_its_inputs_where_nothing_else_is_said() -> None:
    task = a_task(student_prompt=None)
    assert prompt_words(task.student_prompt) == [
        {"role": "human", "text": "Task tickets.\nbody: {body}\nsubject: {subject}"}
    ]


class Aliased(BaseModel):
    why: str
    kind: Literal["a", "b"] = Field(alias="Kind")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"reasoning": "because"}, "has no field 'because'"),
        ({"comparators": {"titel": "text"}}, "comparator 'text' for 'titel' is unknown"),
        ({"comparators": {"title": "fuzzy"}}, "comparator 'fuzzy' for 'title' is unknown"),
        ({"comparators": {"why": "text"}}, "comparator 'text' for 'why' is unknown"),
        ({"student_prompt": prompt(("human", "{title}"))}, "asks for title"),
        (
            {"prompt": ChatPromptTemplate([("human", "{{body}}")], template_format="mustache")},
            "only f-string",
        ),
        ({"prompt": prompt(MessagesPlaceholder("body"))}, "MessagesPlaceholder"),
        ({"prompt": prompt(("human", "{body} {tone}")).partial(tone="dry")}, "fills in tone"),
        ({"schema": Aliased}, "field kind has an alias"),
    ],
)
def test_a_task_that_cannot_work_is_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    changes = {"student_prompt": prompt(("human", "Go.")), **changes}
    with pytest.raises(TaskError, match=says) as refusal:
        a_task(**changes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("target", ["label", "reason_label"])
def test_asking_for_a_schema_changes_nothing(target: Target) -> None:
    TASK.json_schema(target)["properties"].clear()
    assert list(TASK.json_schema(target)["properties"])[-1] == "title"
