"""A label's probabilities are what going through every class by hand would give."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from pydantic import BaseModel, Field

from tests.test_architectures import LINEAR, prompts, tiny
from understudy.chains.student import ChatStudent
from understudy.chains.student.confidence import confidences
from understudy.chains.student.cursor import Cursor
from understudy.chains.student.engine import Engine
from understudy.chains.student.labels import label_classes
from understudy.chains.student.weights import load_tokenizer, untuned_model

WORDS = ("neutral", "negative", "news", "new", "new york", "alegria", "alegre", 'a "quote"', "ação")


class Inner(BaseModel):
    tone: Literal["Negativo", "Neutro", "Neutral", "Positivo"]


class Labelled(BaseModel):
    reasoning: str = Field(max_length=10)
    word: Literal[WORDS]  # type: ignore[valid-type]
    sure: bool
    inner: Inner
    level: Literal[1, 2, 10, 12]
    maybe: Literal["yes", "yesterday"] | None
    end: bool


SCHEMA = Labelled.model_json_schema()


@pytest.fixture(scope="module", params=["Llama", "Qwen3_5Text"])
def engine(request: pytest.FixtureRequest, tiny_base: Path) -> Iterator[Engine]:
    if request.param == "Llama":
        model, tokenizer = untuned_model(str(tiny_base))
    else:
        model, tokenizer = tiny(request.param, **LINEAR), load_tokenizer(tiny_base, "tiny")
    engine = Engine(model, tokenizer, max_batch=8)
    yield engine
    engine.close()


def by_hand(engine: Engine, read: list[int], routes: dict[str, list[int]]) -> dict[str, float]:
    """Each class's probability: every token of its route among those of any route there."""
    import torch

    found = {}
    for name, route in routes.items():
        product = 1.0
        for end, token in enumerate(route):
            nexts = sorted({one[end] for one in routes.values() if one[:end] == route[:end]})
            with torch.inference_mode():
                logits = engine._model(torch.tensor([read + route[:end]])).logits[0, -1]
            shares = logits[nexts].double().softmax(-1)
            product *= float(shares[nexts.index(token)])
        found[name] = product
    return found


def test_every_class_has_the_probability_that_going_through_all_of_them_gives(
    engine: Engine,
) -> None:
    tokens = {engine._compiler.text([token]): token for token in range(479, 2, -1)}
    for prompt in prompts(6):
        answer = engine.submit(prompt, schema=SCHEMA).result(60)
        ids = [tokens[piece] for piece in answer.pieces]
        places = [len(b"".join(answer.pieces[:end])) for end in range(len(ids))]
        for path, shares in answer.classes.items():
            written = answer.text.encode()
            name = path.rsplit(".", 1)[-1]
            start = written.index(f'"{name}":'.encode()) + len(name) + 3
            value = json.loads(answer.text)
            for key in path.split("."):
                value = value[key]
            chosen = json.dumps(value, ensure_ascii=False).encode()
            begin = next(
                end
                for end in range(len(ids))
                if places[end] <= start < places[end] + len(answer.pieces[end])
            )
            if (
                answer.pieces[begin].endswith(b'"')
                and places[begin] + len(answer.pieces[begin]) == start + 1
            ):
                begin += 1
            ahead = written[start : places[begin]] if places[begin] > start else b""
            head = written[places[begin] : start]
            behind = written[start + len(chosen) :]
            behind = behind[: behind.index(b":") + 1] if b":" in behind else behind
            routes = {}
            for other in shares:
                text = _json(other, value).encode()
                route = engine._compiler.spelled(head + text[len(ahead) :] + behind)
                end = max(
                    size
                    for size in range(len(route) + 1)
                    if len(engine._compiler.text(route[: max(size - 1, 0)]))
                    < len(head + text[len(ahead) :]) + 1
                )
                routes[other] = route[:end]
            wanted = by_hand(engine, prompt + ids[:begin], routes)
            assert shares == pytest.approx(wanted, abs=1e-4), path
            assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert set(answer.classes) == {"word", "sure", "inner.tone", "level", "maybe", "end"}


def _json(name: str, value: Any) -> str:
    """A class as JSON: those of a label whose value is no text are JSON already."""
    plain = name in ("null", "true", "false") or name.isdigit()
    return name if plain else json.dumps(name, ensure_ascii=False)


def test_the_chosen_class_has_the_confidence_of_its_tokens(engine: Engine) -> None:
    for prompt in prompts(8):
        answer = engine.submit(prompt, schema=SCHEMA).result(60)
        sure = confidences(answer.text, answer.pieces, answer.probabilities)
        data = json.loads(answer.text)
        assert answer.classes["word"][data["word"]] == pytest.approx(sure["word"], abs=1e-4)
        assert answer.classes["level"][str(data["level"])] == pytest.approx(sure["level"], abs=1e-4)
        tone = data["inner"]["tone"]
        assert answer.classes["inner.tone"][tone] == pytest.approx(sure["inner.tone"], abs=1e-4)


def test_switched_off_nothing_is_looked_up_and_the_text_is_the_same(engine: Engine) -> None:
    asked = prompts(8)
    with_them = [engine.submit(prompt, schema=SCHEMA) for prompt in asked]
    texts = [future.result(60).text for future in with_them]
    without = [engine.submit(prompt, schema=SCHEMA, confidence=False) for prompt in asked]

    assert [future.result(60).text for future in without] == texts
    assert all(future.result().classes == {} for future in without)
    assert all(future.result().classes for future in with_them)


def test_a_text_has_the_product_of_its_tokens(engine: Engine) -> None:
    answer = engine.submit(prompts(1)[0], schema=SCHEMA).result(60)
    text = json.dumps(json.loads(answer.text)["reasoning"], ensure_ascii=False)
    first = answer.text.index(text)
    sizes = [len(b"".join(answer.pieces[:end]).decode(errors="replace")) for end in range(99)]
    product = math.prod(
        share
        for size, piece, share in zip(sizes, answer.pieces, answer.probabilities, strict=False)
        if size < first + len(text) and size + len(piece) > first
    )
    sure = confidences(answer.text, answer.pieces, answer.probabilities)
    assert sure["reasoning"] == pytest.approx(product, rel=1e-3)


def test_a_message_carries_both(tiny_base: Path) -> None:
    student = ChatStudent(model=str(tiny_base)).bind(
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    )
    message = student.invoke("Frase: hoje")
    assert isinstance(message, AIMessage)
    about = message.response_metadata
    labels = {"word", "sure", "inner.tone", "level", "maybe", "end"}
    assert set(about["confidence"]) == set(about["probabilities"]) == labels
    assert set(about["text_probability"]) == {"reasoning"}
    assert about["probabilities"]["word"].keys() == set(WORDS)


def test_classes_are_sure_only_where_no_alternative_has_others() -> None:
    a = {"type": "object", "properties": {"x": {"enum": ["p", "q"]}}}
    b = {"type": "object", "properties": {"x": {"enum": ["r", "s"]}, "y": {"type": "boolean"}}}

    assert label_classes(Labelled.model_json_schema())["maybe"] == (
        (b'"yes"', b'"yesterday"', b"null"),
        True,
    )
    found = label_classes({"type": "object", "properties": {"k": {"anyOf": [a, b]}}})
    assert found["k.x"] == ((b'"p"', b'"q"', b'"r"', b'"s"'), False)
    assert found["k.y"] == ((b"true", b"false"), False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=4), VALUES, min_size=1, max_size=4), st.data())
def test_a_cursor_knows_the_path_of_every_value(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    cursor = Cursor()
    place = 0
    while place < len(text):
        size = data.draw(st.integers(1, 5))
        cursor.feed(text[place : place + size])
        place += size
        if cursor.path is not None and cursor.begun:
            assert text[:place].endswith(cursor.begun)
    assert cursor.path is None
    assert not cursor.inside
    for key, inner in value.items():
        head = '{"":0,' + json.dumps(key, ensure_ascii=False) + ":"
        cursor = Cursor()
        cursor.feed(head.encode())
        assert (cursor.path, cursor.begun) == (key, b"")
        if isinstance(inner, str):
            cursor.feed(json.dumps(inner, ensure_ascii=False).encode()[:-1])
            assert cursor.path == key
            assert cursor.begun == json.dumps(inner, ensure_ascii=False).encode()[:-1]
