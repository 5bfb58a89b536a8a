"""with_structured_output by every method, for every kind of schema; what comes out fits it."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, field_validator
from pydantic.v1 import BaseModel as OldModel
from pydantic.v1 import Field as OldField
from typing_extensions import TypedDict

from understudy.chains.student import ChatStudent, StudentError
from understudy.chains.student.structured import parser

METHODS = ("json_schema", "function_calling", "json_mode")


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(max_length=15)
    rating: int | None = Field(default=None, ge=0, le=10)


class OldJoke(OldModel):
    """A joke of pydantic 1."""

    setup: str = OldField(max_length=15)
    rating: int = OldField(ge=0, le=10)


class TypedJoke(TypedDict):
    """A joke as a dict."""

    setup: Annotated[str, ..., "how it begins"]


class Sign(enum.Enum):
    QUOTED = 'say "no"'
    ACCENTED = "ação 😀"


class Everything(BaseModel):
    """What pydantic can say and the grammar library holds."""

    sign: Sign
    day: datetime.date
    moment: datetime.datetime | None
    share: float = Field(ge=0, le=1)
    codes: list[Annotated[str, Field(pattern=r"^[a-c]{2}\d$")]] = Field(max_length=2)
    nested: list[list[bool]] = Field(max_length=2)
    kind: Literal["a", 1, None]
    note: str = Field(default="", max_length=8)


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Iterator[ChatStudent]:
    model = ChatStudent(model=str(tiny_base), max_tokens=300)
    yield model
    model.close()


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_schema_is_answered_in_kind(base: ChatStudent, method: str) -> None:
    for schema, kind in (
        (Joke, Joke),
        (OldJoke, OldJoke),
        (TypedJoke, dict),
        (Joke.model_json_schema(), dict),
        (convert_to_json_schema(TypedJoke), dict),
    ):
        model = base.with_structured_output(schema, method=method)
        whole = base.with_structured_output(schema, method=method, include_raw=True)
        answer, raw = model.invoke("oi"), whole.invoke("oi")
        assert isinstance(answer, kind)
        assert raw["parsed"] == answer
        assert raw["parsing_error"] is None
        assert isinstance(raw["raw"], AIMessage)
        assert list(model.stream("oi"))[-1] == answer
        assert model.batch(["oi", "oi"]) == [answer, answer]
        bound = model.first  # type: ignore[attr-defined]
        assert isinstance(bound, RunnableBinding)
        assert bound.kwargs["ls_structured_output_format"]["schema"] == schema


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), method=st.sampled_from(METHODS), temperature=st.floats(0, 3))
def test_whatever_is_drawn_fits_the_schema(
    base: ChatStudent, seed: int, method: str, temperature: float
) -> None:
    hot = ChatStudent(model=base.model, max_tokens=400, temperature=temperature, seed=seed)

    assert isinstance(
        hot.with_structured_output(Everything, method=method).invoke("oi"), Everything
    )


def test_what_is_not_supported_is_refused_by_name(base: ChatStudent) -> None:
    code = {"type": "string", "pattern": "^(?!x)a+$"}
    looking = {"title": "Looking", "type": "object", "properties": {"code": code}}
    with pytest.raises(StudentError, match=r"Looking: the field code .* looks around") as refusal:
        base.with_structured_output(looking)
    assert "\n" not in str(refusal.value)
    with pytest.raises(StudentError, match="does not take tools"):
        base.with_structured_output(Joke, tools=[])


def test_an_answer_that_the_class_refuses_is_a_parsing_error(base: ChatStudent) -> None:
    class Picky(BaseModel):
        """Nothing is good enough."""

        word: str = Field(max_length=5)

        @field_validator("word")
        @classmethod
        def never(cls, word: str) -> str:
            raise ValueError("not this word")

    for method in METHODS:
        with pytest.raises(OutputParserException, match="not this word"):
            base.with_structured_output(Picky, method=method).invoke("oi")
        both = base.with_structured_output(Picky, method=method, include_raw=True).invoke("oi")
        assert both["parsed"] is None
        assert isinstance(both["parsing_error"], OutputParserException)


def test_a_message_without_an_answer_is_an_error_and_not_none() -> None:
    for message in (AIMessage(""), AIMessage("oi")):
        with pytest.raises(OutputParserException):
            parser(Joke)(message)


def test_json_mode_without_a_schema_is_any_object(base: ChatStudent) -> None:
    message = base.invoke("oi", response_format={"type": "json_object"}, max_tokens=60)

    assert isinstance(json.loads(str(message.content)), dict)


def test_a_strict_class_reads_json_as_it_is_written(base: ChatStudent) -> None:
    class Strict(BaseModel, strict=True):
        """A date is a text in JSON."""

        day: datetime.date
        sign: Sign

    for method in METHODS:
        answer: Any = base.with_structured_output(Strict, method=method, strict=True).invoke("oi")
        assert isinstance(answer.day, datetime.date)


class Priced(BaseModel):
    price: Decimal


class Linked(BaseModel):
    link: HttpUrl


class Zoned(BaseModel):
    at: AwareDatetime


class Basket(BaseModel):
    count: int
    items: list[Priced]


class Plain(BaseModel):
    """Refers to itself, and every rule of it is in its JSON schema."""

    day: datetime.date
    share: float
    more: Plain | None = None


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (Priced, "the field price cannot be enforced: decimal has rules"),
        (Linked, "the field link cannot be enforced: url has rules"),
        (Zoned, "the field at cannot be enforced: datetime of some times only"),
        (Basket, "the field items.price cannot be enforced: decimal"),
    ],
)
def test_a_type_whose_rules_pydantic_keeps_to_itself_is_refused_when_bound(
    schema: type[BaseModel], told: str
) -> None:
    student = ChatStudent(model="embedded")
    with pytest.raises(StudentError, match=told):
        student.with_structured_output(schema)
    assert student.with_structured_output(Plain)
