"""The engine writes, in any company, exactly what a plain loop over the model would write."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from understudy.chains.student.card import StudentError
from understudy.chains.student.chunks import Chunk
from understudy.chains.student.engine import Engine
from understudy.chains.student.row import Answer, Request
from understudy.chains.student.slots import Slots
from understudy.chains.student.weights import untuned_model


class Feeling(BaseModel):
    reasoning: str = Field(max_length=25)
    mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
    urgent: bool


SCHEMA = Feeling.model_json_schema()


@pytest.fixture(scope="module")
def loaded(tiny_base: Path) -> tuple[Any, Any]:
    return untuned_model(str(tiny_base))


@pytest.fixture(scope="module")
def engine(loaded: tuple[Any, Any]) -> Iterator[Engine]:
    engine = Engine(*loaded, max_batch=8)
    yield engine
    engine.close()


def prompts(count: int) -> list[list[int]]:
    """Prompts of 3 to 60 random tokens."""
    chance = random.Random(5)
    return [[chance.randrange(3, 470) for _ in range(chance.randint(3, 60))] for _ in range(count)]


def test_ragged_chunks_have_the_logits_of_a_plain_forward(loaded: tuple[Any, Any]) -> None:
    import torch

    model, _ = loaded
    slots, chance, rows, read = Slots(model), random.Random(1), prompts(6), [0] * 6
    while any(read[slot] < len(row) for slot, row in enumerate(rows)):
        chunks = [
            Chunk(slot, read[slot], row[read[slot] : read[slot] + chance.choice([1, 1, 2, 9])])
            for slot, row in enumerate(rows)
            if read[slot] < len(row)
        ]
        logits = slots.feed(chunks)
        for chunk, found in zip(chunks, logits, strict=True):
            read[chunk.slot] += len(chunk.tokens)
            with torch.inference_mode():
                whole = model(torch.tensor([rows[chunk.slot][: read[chunk.slot]]])).logits[0, -1]
            torch.testing.assert_close(found, whole, atol=1e-4, rtol=1e-4)


def test_a_moved_slot_goes_on_where_it_was(loaded: tuple[Any, Any]) -> None:
    import torch

    model, _ = loaded
    slots, (row, other) = Slots(model), prompts(2)
    slots.feed([Chunk(0, 0, other), Chunk(1, 0, row[:-1])])
    slots.copy(1, 0, len(row) - 1)

    found = slots.feed([Chunk(0, len(row) - 1, row[-1:])])

    with torch.inference_mode():
        torch.testing.assert_close(
            found[0], model(torch.tensor([row])).logits[0, -1], atol=1e-4, rtol=1e-4
        )


def test_the_engine_writes_what_a_plain_loop_writes(
    engine: Engine, loaded: tuple[Any, Any], plain_loop: Any
) -> None:
    asked = prompts(20)
    futures = [engine.submit(prompt, schema=SCHEMA) for prompt in asked]

    for prompt, future in zip(asked, futures, strict=True):
        pieces, shares = plain_loop(*loaded, prompt, SCHEMA)
        answer = future.result(timeout=60)
        assert answer.pieces == pieces
        assert answer.text == b"".join(pieces).decode()
        assert answer.probabilities == pytest.approx(shares, abs=1e-4)
        assert (answer.input_tokens, answer.output_tokens) == (len(prompt), len(shares))
    assert len({future.result().text for future in futures}) > 5  # the model does choose


def test_a_row_answers_the_same_alone_and_in_company(engine: Engine) -> None:
    asked = prompts(24)
    alone = [engine.submit(prompt, schema=SCHEMA).result(60).text for prompt in asked]

    together = [engine.submit(prompt, schema=SCHEMA) for prompt in asked]

    assert [future.result(60).text for future in together] == alone


def test_prompts_that_begin_alike_are_read_once_and_answered_as_ever(
    engine: Engine, loaded: tuple[Any, Any], plain_loop: Any
) -> None:
    start = [number % 400 + 5 for number in range(300)]
    asked = [start + prompt for prompt in prompts(12)] + [start[:40] + prompts(1)[0]]
    read: list[int] = []
    hook = loaded[0].model.embed_tokens.register_forward_hook(
        lambda _, ids, __: read.append(ids[0].numel())
    )
    answers = [future.result(60) for future in [engine.submit(p, schema=SCHEMA) for p in asked]]
    hook.remove()

    assert sum(read) < 13 * 300
    for prompt, answer in zip(asked, answers, strict=True):
        assert answer.pieces == plain_loop(*loaded, prompt, SCHEMA)[0]


def test_rows_share_batches_and_join_running_ones(engine: Engine) -> None:
    calls, rows = engine.calls, engine.rows
    for future in [engine.submit(prompt, schema=SCHEMA) for prompt in prompts(32)]:
        future.result(60)

    assert (engine.rows - rows) / (engine.calls - calls) > 4


def test_a_seed_draws_the_same_text_in_any_batch(engine: Engine) -> None:
    def ask(prompt: list[int], seed: int) -> Future[Answer]:
        return engine.submit(prompt, schema=SCHEMA, temperature=1.5, seed=seed)

    asked = prompts(10)
    alone = [ask(prompt, seed).result(60).text for seed, prompt in enumerate(asked)]
    together = [ask(prompt, seed) for seed, prompt in enumerate(asked)]
    others = [ask(prompt, seed + 100).result(60).text for seed, prompt in enumerate(asked)]

    assert [future.result(60).text for future in together] == alone
    assert others != alone


def test_every_limit_gives_a_valid_answer_and_says_when_it_cut(engine: Engine) -> None:
    smallest = len(engine._compiler.compile(SCHEMA).plan)
    finishes = set()
    for limit in (smallest, smallest + 1, smallest + 4, smallest + 9, 400):
        futures = [
            engine.submit(prompt, schema=SCHEMA, max_tokens=limit, temperature=2.0, seed=limit)
            for prompt in prompts(12)
        ]
        for future in futures:
            answer = future.result(60)
            Feeling.model_validate_json(answer.text)
            assert answer.output_tokens <= limit
            finishes.add((limit == 400, answer.finish))
    assert finishes == {(False, "length"), (True, "stop")} | finishes & {(False, "stop")}


def test_a_row_that_cannot_be_answered_fails_alone(engine: Engine) -> None:
    good = engine.submit(prompts(1)[0], schema=SCHEMA)

    with pytest.raises(StudentError, match="prompt has 1024 tokens"):
        engine.submit([7] * 1024, schema=SCHEMA)
    with pytest.raises(StudentError, match="max_tokens 2 is too small"):
        engine.submit([7], schema=SCHEMA, max_tokens=2)

    Feeling.model_validate_json(good.result(60).text)


def test_options_that_no_row_can_have_are_refused_and_nobody_else_fails(engine: Engine) -> None:
    good = engine.submit(prompts(1)[0], schema=SCHEMA)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("seed", {"temperature": 1.0, "seed": 2**70}),
        ("seed", {"temperature": 1.0, "seed": "x"}),
        ("temperature", {"temperature": "hot"}),
        ("temperature", {"temperature": float("nan")}),
        ("temperature", {"temperature": float("inf")}),
        ("temperature", {"temperature": -1.0}),
        ("temperature", {"temperature": True}),
        ("max_tokens '9'", {"max_tokens": "9"}),
        ("max_tokens 9.5", {"max_tokens": 9.5}),
        ("max_tokens 0", {"max_tokens": 0}),
        ("timeout 'soon'", {"timeout": "soon"}),
        ("timeout 0", {"timeout": 0}),
    ]
    for name, options in bad:
        with pytest.raises(StudentError, match=name):
            engine.submit([7], schema=SCHEMA, **options)
    with pytest.raises(StudentError, match="token 1000000"):
        engine.submit([7, 10**6], schema=SCHEMA)

    Feeling.model_validate_json(good.result(60).text)


@pytest.mark.parametrize("temperature", [1e-45, 1e-40, 1e-20])
def test_the_lowest_temperatures_are_greedy(engine: Engine, temperature: float) -> None:
    for prompt in prompts(6):
        greedy = engine.submit(prompt, schema=SCHEMA).result(60)
        cold = engine.submit(prompt, schema=SCHEMA, temperature=temperature, seed=1).result(60)
        assert cold.text == greedy.text


def test_a_row_that_is_submitted_while_another_engine_takes_over_is_answered(
    loaded: tuple[Any, Any],
) -> None:
    old, new = Engine(*loaded, max_batch=4), Engine(*loaded, max_batch=4)
    answers: list[Future[Answer]] = []
    with old._compiler._lock:  # a schema is being compiled
        asking = threading.Thread(target=lambda: answers.append(old.submit([5], schema=SCHEMA)))
        asking.start()
        while not asking.is_alive():
            pass
        time.sleep(0.05)
        old.hand_over(new)
        old._thread.join(10)
    asking.join(60)

    Feeling.model_validate_json(answers[0].result(60).text)
    new.close()


def test_free_text_ends_at_its_limit(engine: Engine) -> None:
    answer = engine.submit(prompts(1)[0], max_tokens=7).result(60)

    assert answer.finish in ("length", "stop")
    assert answer.output_tokens <= 7


def test_a_cancelled_row_is_not_written(loaded: tuple[Any, Any]) -> None:
    engine = Engine(*loaded, max_batch=1)
    futures = [engine.submit(prompt, schema=SCHEMA) for prompt in prompts(20)]
    cancelled = [future for future in reversed(futures) if future.cancel()]
    done = [future.result(60) for future in futures if not future.cancelled()]
    engine.close()

    assert len(cancelled) > 0
    assert engine.rows == engine.calls
    assert len(done) == 20 - len(cancelled)


def test_closing_fails_what_waits_and_ends_the_thread(loaded: tuple[Any, Any]) -> None:
    engine = Engine(*loaded, max_batch=1)
    futures = [engine.submit(prompt, schema=SCHEMA) for prompt in prompts(30)]
    engine.close()

    assert "student-engine" not in {
        thread.name for thread in threading.enumerate() if thread is engine._thread
    }
    assert all(future.done() for future in futures)
    assert any("closed" in str(future.exception()) for future in futures)
    with pytest.raises(StudentError, match="closed"):
        engine.submit([5])


def test_a_process_may_end_while_rows_are_written(tiny_base: Path) -> None:
    code = f"""
import time
from understudy.chains.student.engine import Engine
from understudy.chains.student.weights import untuned_model
engine = Engine(*untuned_model({str(tiny_base)!r}), max_batch=64)
futures = [engine.submit([5 + row] * 500, max_tokens=400) for row in range(64)]
while not engine.calls:
    time.sleep(0.01)
assert not any(future.done() for future in futures)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_failure_of_the_model_reaches_its_rows_and_the_engine_lives_on(
    loaded: tuple[Any, Any],
) -> None:
    engine = Engine(*loaded, max_batch=4)
    path: Any = engine.path
    whole, path._embed = path._embed, path._embed[:3]  # weights that are not all there

    with pytest.raises(IndexError):
        engine.submit([5, 6], schema=SCHEMA).result(60)
    path._embed = whole
    json.loads(engine.submit([5, 6], schema=SCHEMA).result(60).text)
    engine.close()


class Broken:
    """A matcher that fails where it is told to: the grammar library may, and may panic."""

    def __init__(self, whole: Any, where: str, error: BaseException) -> None:
        self._whole, self._where, self._error = whole, where, error

    def deep_copy(self) -> Any:
        return Broken(self._whole.deep_copy(), self._where, self._error)

    def __getattribute__(self, name: str) -> Any:
        whole = object.__getattribute__(self, "_whole")
        if name in ("deep_copy", "_whole", "_where", "_error"):
            return object.__getattribute__(self, name)
        if name == self._where and (name != "is_accepting" or whole.is_stopped()):
            raise self._error
        return getattr(whole, name)


class Panic(BaseException):
    """What a library written in Rust raises."""


@pytest.mark.parametrize("error", [ValueError("no such state"), Panic("index out of bounds")])
@pytest.mark.parametrize("where", ["compute_ff_tokens", "is_accepting"])
def test_a_row_whose_grammar_fails_at_its_start_or_end_fails_alone(
    engine: Engine, where: str, error: BaseException
) -> None:
    grammar = engine._compiler.compile({"enum": ["x"]})
    broken: Any = Broken(grammar.start, where, error)
    good = [engine.submit(prompt, schema=SCHEMA) for prompt in prompts(3)]
    bad = Request(
        prompt=(7, 8),
        grammar=replace(grammar, start=broken),
        max_tokens=50,
        temperature=0.0,
        seed=1,
    )
    engine.take(bad)
    more = [engine.submit(prompt, schema=SCHEMA) for prompt in prompts(3)]

    with pytest.raises((ValueError, StudentError), match=str(error)):
        bad.future.result(20)
    for answer in [*good, *more]:
        Feeling.model_validate_json(answer.result(60).text)


HARD = {"type": "string", "pattern": r"^(\w| )*\(zq\)#$"}  # its end is searched for two seconds


def hard(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: HARD}, "required": [name]}


def test_a_schema_that_takes_long_keeps_nobody_waiting_and_is_compiled_once(
    engine: Engine,
) -> None:
    engine.submit([5, 6], schema=SCHEMA).result(60)
    compiler, waited = engine._compiler, list[float]()
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(compiler.compile(hard("one"))))
        for _ in range(2)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        began = time.monotonic()
        engine.submit([5, 6], schema=SCHEMA, max_tokens=40).result(60)
        waited.append(time.monotonic() - began)

    assert len(waited) > 3
    assert max(waited) < (time.monotonic() - started) / 2  # machines are shared
    assert found[0] is found[1]
    assert engine.knows(hard("one"))
    assert not engine.knows(hard("two"))


def test_a_schema_that_cannot_be_compiled_is_told_to_all_and_forgotten(engine: Engine) -> None:
    told: list[str] = []

    def ask() -> None:
        try:
            engine.submit([5], schema={"type": "string", "pattern": "("})
        except StudentError as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    before = len(engine._compiler._grammars)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(told) == 4
    assert len(set(told)) == 1
    assert len(engine._compiler._grammars) == before
