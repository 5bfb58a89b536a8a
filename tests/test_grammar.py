"""Every answer is valid, however badly the model writes and however few tokens it may use."""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import random
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, create_model

from understudy.chains.student.card import StudentError
from understudy.chains.student.grammar import Compiler
from understudy.chains.student.row import Request, Row, token_limit
from understudy.chains.student.schema import closed, label_paths, longest_way_out
from understudy.chains.student.structured import check_enforceable
from understudy.chains.student.weights import load_tokenizer


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Emotion(enum.Enum):
    JOY = "Alegria"
    FEELING = "Emoção"
    QUOTE = 'uma "citação"'


class Sentence(Closed):
    polarity: Literal["Positivo", "Negativo", "Neutro"]
    emotion: Emotion


class Labels(Closed):
    f1: Sentence
    f2: Sentence
    sure: bool


class Reasoned(Closed):
    reasoning: str = Field(max_length=30)
    f1: Sentence


class FreeText(Closed):
    text: str
    label: Literal["a", "b"]


class Order(Closed):
    customer: str | None
    note: str | None = None
    lines: list[Sentence] = Field(max_length=2)
    tags: list[str] = Field(default=[], max_length=3)


class Numbers(Closed):
    count: int = Field(ge=0, le=500)
    any_count: int
    price: float
    share: float | None
    level: Literal[1, 2, 3]


class LongText(Closed):
    text: str = Field(min_length=25, max_length=60)


class Patterned(Closed):
    code: str = Field(pattern=r"^[A-Z]{2}-[0-9]{4}$")


class Node(Closed):
    name: str = Field(max_length=8)
    children: list[Node] = []


SHAPES: list[Any] = [
    Labels,
    Reasoned,
    FreeText,
    Order,
    Numbers,
    LongText,
    Patterned,
    Node,
    Literal["Emoção", "Alegria"],
]


@pytest.fixture(scope="module")
def compiler(tiny_base: Path) -> Compiler:
    tokenizer = load_tokenizer(tiny_base, "tiny")
    return Compiler(tokenizer, vocabulary=len(tokenizer), end_tokens=[tokenizer.eos_token_id])


def write(compiler: Compiler, schema: dict[str, Any], max_tokens: int, choose: Any) -> str:
    """The answer of a writer that takes whatever `choose` picks from the allowed tokens."""
    request = Request((5,), compiler.compile(schema), max_tokens, 0.0, 0)
    row = Row(request, 0, compiler)
    while row.finish is None:
        allowed = row.options or compiler.masks([row.matcher])[0].nonzero()[0]
        token = int(choose(list(allowed)))
        end = token == 2
        row.write(token if end else row.guard(token), 1.0, end=end)
    row.resolve()
    answer = request.future.result(timeout=0)
    assert answer.output_tokens <= max_tokens
    return answer.text


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spare", [0, 1, 5, 40, 300])
def test_random_tokens_make_a_valid_answer_within_any_limit(
    compiler: Compiler, shape: Any, spare: int
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(shape)
    schema = adapter.json_schema()
    limit = len(compiler.compile(schema).plan) + spare
    for seed in range(15):
        adapter.validate_json(write(compiler, schema, limit, random.Random(seed).choice))


def test_labels_are_written_as_the_training_text_writes_them(compiler: Compiler) -> None:
    schema = Labels.model_json_schema()
    for seed in range(20):
        text = write(compiler, schema, 200, random.Random(seed).choice)
        data = Labels.model_validate_json(text).model_dump(mode="json")
        assert text == json.dumps(data, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("shape", [FreeText, Order, Numbers, Node], ids=str)
def test_a_writer_that_never_closes_anything_is_closed(compiler: Compiler, shape: Any) -> None:
    def never_closing(allowed: Any) -> int:
        return int(max(allowed, key=lambda token: (not compiler.closes(token), token)))

    text = write(compiler, shape.model_json_schema(), 200, never_closing)

    shape.model_validate_json(text)


def test_labels_after_a_text_cut_short_are_still_chosen(compiler: Compiler) -> None:
    wanted = compiler.text

    def talks_then_says_b(allowed: Any) -> int:
        for token in allowed:
            if wanted([token]) == b"b":
                return int(token)
        return int(allowed[-1])

    schema = FreeText.model_json_schema()
    text = write(compiler, schema, len(compiler.compile(schema).plan) + 30, talks_then_says_b)

    assert json.loads(text)["label"] == "b"


def test_a_limit_no_answer_fits_is_refused_with_the_smallest(compiler: Compiler) -> None:
    grammar = compiler.compile(Labels.model_json_schema())
    smallest = len(grammar.plan)

    assert token_limit(grammar, asked=smallest, read=10, context=1024) == smallest
    with pytest.raises(StudentError, match=f"max_tokens {smallest - 1} .* has {smallest}$"):
        token_limit(grammar, asked=smallest - 1, read=10, context=1024)


CLASSES = ["a", "medo", "the quick", "não", "Neutro", "x" * 6]


@st.composite
def finite(draw: st.DrawFn) -> dict[str, Any]:
    """Schemas that few answers fit: labels, flags, optional fields."""

    def value() -> dict[str, Any]:
        classes = draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True))
        kinds: list[dict[str, Any]] = [
            {"enum": classes},
            {"type": "boolean"},
            {"anyOf": [{"type": "null"}, {"enum": classes}]},
            {"const": draw(st.sampled_from([1, 1000000, "z"]))},
        ]
        return draw(st.sampled_from(kinds))

    names = draw(st.lists(st.sampled_from(["f", "mood", "k"]), min_size=1, max_size=2, unique=True))
    fields = {name: value() for name in names}
    needed = [name for name in fields if draw(st.booleans())]
    return {"type": "object", "properties": fields, "required": needed}


SPELT_IN_MANY_WAYS = {
    "type": "object",
    "properties": {
        "f": {"anyOf": [{"type": "null"}, {"enum": ["Neutro"]}]},
        "mood": {"enum": ["a", "medo"]},
    },
    "required": ["f", "mood"],
}


def fewest(compiler: Compiler, schema: dict[str, Any]) -> int:
    """Tokens of the shortest answer, by trying all: the texts that begin one, nearest first."""
    front, seen, count = {b"": compiler.compile(schema).start}, {b""}, 0
    while not any(state.is_accepting() for state in front.values()):
        after: dict[bytes, Any] = {}
        for text, state in front.items():
            for token in compiler.masks([state])[0].nonzero()[0].tolist():
                longer = text + compiler.piece(token)
                if longer not in seen:
                    seen.add(longer)
                    after[longer] = state.deep_copy()
                    after[longer].consume_token(token)
        front, count = after, count + 1
    return count


@settings(max_examples=25)
@given(schema=finite())
@example(schema=SPELT_IN_MANY_WAYS)
def test_the_smallest_limit_is_the_shortest_answer_or_a_token_or_two_more(
    compiler: Compiler, schema: dict[str, Any]
) -> None:
    grammar = compiler.compile(schema)
    smallest, least = len(grammar.plan), fewest(compiler, schema)

    assert least <= smallest <= least + 2
    assert write(compiler, schema, smallest, lambda allowed: allowed[-1])
    with pytest.raises(StudentError, match="too small"):
        token_limit(grammar, asked=smallest - 1, read=10, context=1024)


@settings(max_examples=15)
@given(one=finite(), other=finite())
def test_of_two_shapes_the_smallest_limit_is_at_most_twice_the_shortest_answer(
    compiler: Compiler, one: dict[str, Any], other: dict[str, Any]
) -> None:
    schema = {"anyOf": [one, other]}

    assert len(compiler.compile(schema).plan) <= 2 * fewest(compiler, schema)


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers(compiler: Compiler) -> None:
    grammar = compiler.compile(Labels.model_json_schema())

    with pytest.raises(StudentError, match=r"prompt has 1020 tokens .* takes 1024"):
        token_limit(grammar, asked=None, read=1020, context=1024)


def test_max_length_counts_characters_not_bytes(compiler: Compiler) -> None:
    grammar = compiler.compile(Reasoned.model_json_schema())
    head = '{"reasoning":"'
    for letters, fits in (("ç" * 30, True), ("ç" * 31, False), ("😀" * 30, True)):
        state = grammar.start.deep_copy()
        tokens = compiler._tokens.tokenize_str(head + letters)
        assert (state.try_consume_tokens(tokens) == len(tokens)) is fits


def test_a_schema_that_cannot_be_enforced_is_one_line(compiler: Compiler) -> None:
    with pytest.raises(StudentError, match="cannot be enforced") as caught:
        compiler.compile({"type": "object", "properties": {"a": {"$ref": "http://x/y"}}})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [
        {"enum": ["\ud83d", "b"]},
        {"type": "string", "pattern": "\ud83d"},
        {"type": "object", "properties": {"\ud83d": {"type": "null"}}},
        {"enum": [{1, 2}]},
        {"enum": 5},
        {"type": 5},
        {"type": "object", "properties": [1]},
        {"type": "array", "items": 5},
        {"anyOf": [5]},
        {"$ref": 5},
        {"type": "string", "minLength": "x"},
    ],
    ids=repr,
)
def test_a_malformed_schema_is_one_line(compiler: Compiler, shape: dict[str, Any]) -> None:
    schema = {"title": "Odd", "type": "object", "properties": {"a": shape}, "required": ["a"]}
    for ask in (compiler.compile, lambda schema: check_enforceable(schema, "Odd")):
        with pytest.raises(StudentError) as caught:
            ask(schema)
        assert "\n" not in str(caught.value)


def test_equal_schemas_share_one_grammar_and_order_matters(compiler: Compiler) -> None:
    schema = Labels.model_json_schema()
    turned = {**schema, "properties": dict(reversed(schema["properties"].items()))}

    assert compiler.compile(schema) is compiler.compile(dict(schema))
    assert compiler.compile(schema) is not compiler.compile(turned)


def test_label_paths_are_the_enum_and_boolean_leaves() -> None:
    assert label_paths(Labels.model_json_schema()) == {
        "f1.polarity",
        "f1.emotion",
        "f2.polarity",
        "f2.emotion",
        "sure",
    }
    assert label_paths(Order.model_json_schema()) == set()
    assert label_paths(Numbers.model_json_schema()) == {"level"}


def test_closing_a_schema_leaves_names_and_explicit_choices_alone() -> None:
    schema = {
        "type": "object",
        "properties": {
            "properties": {"type": "object", "properties": {"a": {"type": "string"}}},
            "open": {"type": "object", "properties": {}, "additionalProperties": True},
        },
    }

    assert closed(schema) == {
        "type": "object",
        "properties": {
            "properties": {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": False,
            },
            "open": {"type": "object", "properties": {}, "additionalProperties": True},
        },
        "additionalProperties": False,
    }


def test_only_schemas_with_bounded_depth_have_a_longest_way_out() -> None:
    assert longest_way_out(closed(Labels.model_json_schema())) == len(
        '{"f1":{"polarity":"Positivo","emotion":"uma \\"citação\\""},'
        '"f2":{"polarity":"Positivo","emotion":"uma \\"citação\\""},"sure":false}'.encode()
    ) + len(",,,")
    assert longest_way_out(closed(Node.model_json_schema())) is None
    assert longest_way_out(closed(Patterned.model_json_schema())) is None


WORDS = st.text(alphabet='aeç"\\\n😀 Z{', min_size=1, max_size=6)
LEAVES: Any = st.one_of(
    st.sampled_from(
        [bool, int, float, str, type(None), datetime.date, datetime.timedelta, Emotion]
    ),
    st.sets(WORDS | st.integers(-30, 300), min_size=1, max_size=5).map(
        lambda words: Literal[tuple(words)]
    ),
    st.tuples(st.integers(0, 5), st.integers(0, 9)).map(
        lambda ends: Annotated[str, Field(min_length=ends[0], max_length=sum(ends))]
    ),
    st.tuples(st.integers(-50, 50), st.integers(0, 2000)).map(
        lambda ends: Annotated[int, Field(ge=ends[0], le=sum(ends))]
    ),
    st.sampled_from([r"^[A-Z]{2}-[0-9]{1,3}$", r"^x+@y$", r"^(ab|cd)*$"]).map(
        lambda pattern: Annotated[str, Field(pattern=pattern)]
    ),
)


def made(fields: dict[str, tuple[Any, bool]]) -> type[BaseModel]:
    """A pydantic class of these fields; those that are not required may be null or left out."""
    named: dict[str, Any] = {}
    for index, (name, (shape, needed)) in enumerate(fields.items()):
        kind, default = (shape, ...) if needed else (shape | None, None)
        named[f"f{index}"] = (kind, Field(default=default, alias=name))
    return create_model("Made", **named)


def listed(inner: Any, least: int, more: int) -> Any:
    return Annotated[list[inner], Field(min_length=least, max_length=least + more)]


SHAPES_DRAWN: Any = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(lambda one: listed(*one))
        | st.dictionaries(WORDS, st.tuples(inner, st.booleans()), min_size=1, max_size=4).map(made)
        | st.tuples(inner, inner).map(lambda two: two[0] | two[1])
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(shape=SHAPES_DRAWN, seed=st.integers(0, 10**6), spare=st.sampled_from([0, 4, 60]))
def test_whatever_is_written_for_any_schema_is_an_answer_of_it(
    compiler: Compiler, shape: Any, seed: int, spare: int
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(shape)
    schema = adapter.json_schema()
    limit = len(compiler.compile(schema).plan) + spare
    adapter.validate_json(write(compiler, schema, limit, random.Random(seed).choice))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"type": "string", "pattern": "a(?=b)"}, "the pattern a\\(\\?=b\\) looks around"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "propertyNames": {"enum": ["a"]}}, "propertyNames"),
        ({"type": "string", "contentMediaType": "application/json"}, "contentMediaType"),
        ({"type": "string", "format": "iban"}, "iban"),
        ({"type": "string", "pattern": "(a)\\1"}, "cannot be enforced"),
        ({"type": "array", "minItems": 9000}, "no short answer|cannot be enforced"),
    ],
)
def test_what_no_grammar_holds_is_refused_by_name(
    compiler: Compiler, shape: dict[str, Any], told: str
) -> None:
    with pytest.raises(StudentError, match=told) as caught:
        compiler.compile({"type": "object", "properties": {"x": shape}, "required": ["x"]})
    assert "\n" not in str(caught.value)


def deep(levels: int) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        shape = {"type": "array", "items": shape}
    return shape


def bomb(levels: int) -> dict[str, Any]:
    both = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**both, f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        deep(5000),
        bomb(12),
        {"enum": [str(number) for number in range(90_000)]},
        {"type": "string", "pattern": "^(a{1,500}){1,500}$"},
        {"type": "string", "pattern": "(x+x+)+y" * 40},
        {"type": "string", "minLength": 10**9},
        {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}, "required": ["a"]},
    ],
    ids=["deep", "bomb", "wide", "repeats", "backtracks", "long", "circle"],
)
def test_a_hostile_schema_fails_or_works_within_seconds(
    compiler: Compiler, schema: dict[str, Any]
) -> None:
    begun = time.monotonic()
    with contextlib.suppress(StudentError):
        assert len(compiler.compile(schema).plan) < 4096
    assert time.monotonic() - begun < 10


def test_a_pattern_whose_end_is_hard_to_guess_leaves_the_model_its_words(
    compiler: Compiler,
) -> None:
    class Mail(BaseModel):
        mail: str = Field(pattern=r"^\w+@\w+\.com$")
        secret: SecretStr

    def letters(allowed: Any) -> int:
        wanted = [token for token in allowed if compiler.text([int(token)]) in (b"a", b"@", b"b")]
        return int((wanted or list(allowed))[0])

    text = write(compiler, Mail.model_json_schema(), 60, letters)
    assert len(Mail.model_validate_json(text).mail) > 12
