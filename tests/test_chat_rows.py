"""A row can be followed, stopped, timed and cancelled while it is written, alone among others."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains.student.card import StudentTimeout
from understudy.chains.student.engine import Engine
from understudy.chains.student.weights import untuned_model
from understudy.chains.student.written import Written

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CALLS = {"type": "object", "properties": {"calls": {"type": "array", "items": SCHEMA}}}


@pytest.fixture(scope="module")
def engine(tiny_base: Path) -> Iterator[Engine]:
    engine = Engine(*untuned_model(str(tiny_base)), max_batch=4)
    yield engine
    engine.close()


@given(
    text=st.text(alphabet="abé😀ç", max_size=30),
    stop=st.lists(st.text(alphabet="abé😀", min_size=1, max_size=3), max_size=3),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=40),
)
def test_a_text_in_any_pieces_is_handed_on_whole_up_to_the_first_stop(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    data = text.encode()
    heard: list[str] = []
    written = Written(stop, heard.append)
    for size in cuts:
        written.add(data[:size])
        data = data[size:]
    written.add(data, last=True)

    assert "".join(heard) == written.text
    assert text.startswith(written.text)
    assert not any(end in written.text for end in stop)
    if written.text != text:
        assert any(text[len(written.text) :].startswith(end) for end in stop)


def test_a_followed_row_tells_its_text_as_it_is_written(engine: Engine) -> None:
    for options in ({"schema": SCHEMA}, {"max_tokens": 40}, {"schema": CALLS, "max_tokens": 60}):
        parts: list[str] = []
        row = engine.submit([5, 6], temperature=1.5, seed=3, on_text=parts.append, **options)
        answer = row.result(60)

        assert "".join(parts) == answer.text
        assert len(parts) > 3


def test_a_stop_string_ends_the_row_and_is_not_told(engine: Engine) -> None:
    whole = engine.submit([5, 6], max_tokens=60).result(60)
    stop = whole.text[7:9]
    parts: list[str] = []

    cut = engine.submit([5, 6], max_tokens=60, stop=[stop], on_text=parts.append).result(60)

    assert cut.text == "".join(parts) == whole.text[: whole.text.index(stop)]
    assert cut.output_tokens < whole.output_tokens
    assert cut.finish == "stop"


def test_a_row_whose_time_is_over_fails_alone(engine: Engine) -> None:
    late = engine.submit([5], max_tokens=900, temperature=2.0, timeout=0.05)
    waiting = [engine.submit([5], max_tokens=900, timeout=0.01) for _ in range(8)]
    good = engine.submit([5], schema=SCHEMA)

    for future in (late, *waiting):
        with pytest.raises(StudentTimeout, match="did not answer in time"):
            future.result(60)
    json.loads(good.result(60).text)


def test_a_cancelled_row_is_written_no_further(engine: Engine) -> None:
    parts: list[str] = []
    begun = threading.Event()

    def listen(part: str) -> None:
        parts.append(part)
        begun.set()

    row = engine.submit([5], max_tokens=900, temperature=2.0, seed=1, on_text=listen)
    assert begun.wait(60)
    assert row.cancel()
    engine.submit([5], max_tokens=3).result(60)
    heard = len(parts)
    time.sleep(0.05)

    assert len(parts) == heard
    assert row.cancelled()


def test_a_listener_that_fails_ends_its_own_row_only(engine: Engine) -> None:
    def fail(part: str) -> None:
        raise RuntimeError(f"no room for {len(part)}")

    broken = engine.submit([5, 6], schema=SCHEMA, on_text=fail)
    good = engine.submit([5, 6], schema=SCHEMA)

    with pytest.raises(RuntimeError, match="no room"):
        broken.result(60)
    json.loads(good.result(60).text)
