"""What a student streams adds up to what it answers, for callers in threads and in loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import BaseModel, Field

from understudy.chains.student import ChatStudent, StudentError
from understudy.chains.student.card import StudentTimeout
from understudy.chains.task import Task


class Weather(BaseModel):
    """The weather at a place."""

    place: str = Field(max_length=20)
    days: int = Field(ge=0, le=9)


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Iterator[ChatStudent]:
    model = ChatStudent(model=str(tiny_base), max_tokens=120)
    yield model
    model.close()


def kinds(base: ChatStudent, student: ChatStudent, task: Task) -> Iterator[tuple[str, Any]]:
    yield "text", base
    yield "json", base.bind(response_format=Weather)
    yield "auto", base.bind_tools([Weather])
    yield "forced", base.bind_tools([Weather], tool_choice="any", parallel_tool_calls=True)
    yield "task", student
    yield "own tool", student.bind_tools([task.schema], tool_choice="any")


def summed(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


async def listed(stream: Any) -> list[AIMessageChunk]:
    return [chunk async for chunk in stream]


def same(whole: AIMessage, streamed: AIMessageChunk) -> bool:
    calls = [[(call["name"], call["args"]) for call in one.tool_calls] for one in (whole, streamed)]
    return (whole.content, calls[0]) == (streamed.content, calls[1])


def told(message: AIMessage) -> dict[str, Any]:
    """The response metadata, with probabilities as near as two runs of the model are."""
    about = dict(message.response_metadata)
    about["probabilities"] = sorted(about.get("probabilities", ()))
    sure = about.get("confidence", {})
    about["confidence"] = {path: pytest.approx(share, abs=1e-4) for path, share in sure.items()}
    return about


def test_what_is_streamed_adds_up_to_the_answer(
    base: ChatStudent, tiny_student: Path, tiny_task: Task
) -> None:
    student = ChatStudent(model=str(tiny_student))
    for kind, model in kinds(base, student, tiny_task):
        whole = model.invoke("Frase: tudo bem")
        for chunks in (
            list(model.stream("Frase: tudo bem")),
            asyncio.run(listed(model.astream("Frase: tudo bem"))),
        ):
            streamed = summed(chunks)
            assert same(whole, streamed), kind
            assert len(chunks) > 4, kind
            assert [chunk.chunk_position for chunk in chunks if chunk.chunk_position] == ["last"]
            assert chunks[-1].chunk_position == "last"
            assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [
                whole.usage_metadata
            ]
            assert told(streamed) == told(whole), kind
        if kind in ("forced", "own tool"):
            assert whole.tool_calls
            assert whole.response_metadata["finish_reason"] in ("tool_calls", "length")


def test_a_stream_that_nobody_follows_ends_its_row(base: ChatStudent) -> None:
    engine = base.engine
    start = engine.rows
    for _ in base.stream("Frase: tudo bem", max_tokens=900, temperature=2.0, seed=1):
        break
    base.invoke("oi", max_tokens=1)
    before = engine.rows
    time.sleep(0.1)

    assert engine.rows == before
    assert before - start < 900


def test_a_stop_string_ends_text_and_turns_but_no_json(base: ChatStudent) -> None:
    whole = str(base.invoke("Frase: tudo bem").content)
    stop = next(
        letter for place, letter in enumerate(whole) if place > 3 and letter not in whole[:3]
    )
    expected = whole.partition(stop)[0]

    assert base.invoke("Frase: tudo bem", stop=[stop]).content == expected
    assert summed(list(base.stream("Frase: tudo bem", stop=[stop]))).content == expected
    always = ChatStudent(model=base.model, max_tokens=120, stop=[stop])
    assert always.invoke("Frase: tudo bem").content == expected
    tools = base.bind_tools([Weather])
    if said := str(tools.invoke("oi", temperature=1.0, seed=5).content):
        cut = tools.invoke("oi", temperature=1.0, seed=5, stop=[said[2]])
        assert cut.content == said.partition(said[2])[0]
    held = base.bind(response_format=Weather)
    assert Weather.model_validate_json(str(held.invoke("oi", stop=['"']).content))


def test_a_seed_repeats_an_answer_and_another_does_not(base: ChatStudent) -> None:
    hot = ChatStudent(model=base.model, max_tokens=40, temperature=1.5, seed=3)

    assert hot.invoke("oi").content == hot.invoke("oi").content
    assert hot.invoke("oi", seed=4).content != hot.invoke("oi").content
    assert base.invoke("oi", temperature=0.0).content == base.invoke("oi").content


def test_a_call_that_takes_too_long_is_a_timeout(base: ChatStudent) -> None:
    slow = ChatStudent(model=base.model, max_tokens=900, temperature=2.0, timeout=0.02)

    with pytest.raises(StudentTimeout, match="did not answer in time"):
        slow.invoke("oi")
    with pytest.raises(StudentTimeout):
        list(slow.stream("oi"))
    with pytest.raises(TimeoutError):
        asyncio.run(slow.ainvoke("oi"))
    assert slow.invoke("oi", timeout=60, max_tokens=2).content


def test_of_64_tasks_the_32_that_are_cancelled_are_not_written(base: ChatStudent) -> None:
    async def half() -> int:
        jobs = [
            asyncio.create_task(base.ainvoke(f"frase {i}", max_tokens=200, temperature=1.5))
            for i in range(64)
        ]
        await asyncio.sleep(0.01)
        for job in jobs[::2]:
            job.cancel()
        done = await asyncio.gather(*jobs, return_exceptions=True)
        return sum(isinstance(one, AIMessage) for one in done)

    engine = base.engine
    before = engine.rows
    assert asyncio.run(half()) == 32
    assert engine.rows - before < 64 * 200 * 0.8


def test_a_loop_goes_on_while_weights_load(tiny_student: Path) -> None:
    student = ChatStudent(model=str(tiny_student))
    student.close()

    async def ticking() -> int:
        job, before_it_was_loaded = asyncio.create_task(student.ainvoke("oi")), 0
        while not job.done():
            await asyncio.sleep(0.001)
            before_it_was_loaded += not student.loaded
        return before_it_was_loaded if (await job).content else 0

    assert not student.loaded
    assert asyncio.run(ticking()) > 0
    assert student.loaded


def slow_schema(name: str) -> dict[str, Any]:
    """The end of its text is searched for two seconds."""
    text = {"type": "string", "pattern": r"^(\w| )*\(zq\)#$"}
    shape = {"type": "object", "properties": {name: text}, "required": [name]}
    return {"type": "json_schema", "json_schema": {"name": name, "schema": shape}}


async def longest_silence(work: Any) -> float:
    """Seconds that the loop was kept from anything else while it did this."""
    job, longest = asyncio.create_task(work), 0.0
    while not job.done():
        began = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - began)
    await job
    return longest


def test_a_loop_goes_on_while_a_schema_is_compiled(base: ChatStudent) -> None:
    base.invoke("oi", max_tokens=2)
    form = {name: slow_schema(name) for name in ("one", "two", "three")}
    for work in (
        lambda: base.ainvoke("oi", response_format=form["one"]),
        lambda: listed(base.astream("oi", response_format=form["two"])),
        lambda: base.abatch(["oi", "ai", "ui"], response_format=form["three"]),
    ):
        began = time.monotonic()
        silence = asyncio.run(longest_silence(work()))
        took = time.monotonic() - began
        assert took > 1  # it did take long
        assert silence < max(0.7, took / 3)


def test_batch_as_completed_fills_the_batch(base: ChatStudent) -> None:
    engine = base.engine
    calls, rows = engine.calls, engine.rows
    answers = dict(base.batch_as_completed([f"frase {i}" for i in range(32)]))

    assert (engine.rows - rows) / (engine.calls - calls) > 6
    for i, answer in enumerate(base.batch([f"frase {i}" for i in range(32)])):
        assert getattr(answers[i], "content", answers[i]) == answer.content
    assert list(base.batch_as_completed([])) == []
    assert base.batch([]) == []


class Heard(BaseCallbackHandler):
    """Keeps the text of each new token."""

    def __init__(self) -> None:
        self.text, self.starts, self.ends = "", 0, 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.starts += 1

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.text += token

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.ends += 1


def test_callbacks_hear_tokens_and_usage(base: ChatStudent) -> None:
    heard, usage = Heard(), UsageMetadataCallbackHandler()
    text = summed(list(base.stream("oi", config={"callbacks": [heard]}))).content
    answers = base.batch(["oi", "ai", "ui"], config={"callbacks": [usage, heard]})

    assert heard.text == text
    assert (heard.starts, heard.ends) == (4, 4)
    tokens = [answer.usage_metadata["total_tokens"] for answer in answers if answer.usage_metadata]
    assert usage.usage_metadata[base.model_name]["total_tokens"] == sum(tokens)


def test_a_cache_tells_answers_apart_by_all_they_depend_on(
    base: ChatStudent, tiny_student: Path
) -> None:
    def key(asked: ChatStudent, **options: Any) -> str:
        return asked._get_llm_string(**options)

    keys = {
        key(base),
        key(base, stop=["x"]),
        key(base, model=str(tiny_student)),
        *(
            key(ChatStudent.model_validate({"model": base.model, "max_tokens": 120, **options}))
            for options in (
                {"model": str(tiny_student)},
                {"temperature": 0.5},
                {"max_tokens": 5},
                {"seed": 1},
                {"stop": ["y"]},
                {"reasoning": "-"},
            )
        ),
    }
    assert len(keys) == 9
    assert key(base) == key(ChatStudent(model=base.model, max_tokens=120, max_batch_size=3))
    cached = ChatStudent(model=base.model, max_tokens=9, cache=InMemoryCache())
    first, engine = cached.invoke("oi"), base.engine
    rows = engine.rows
    assert cached.invoke("oi").content == first.content
    assert engine.rows == rows


def test_another_model_is_named_in_the_call(base: ChatStudent, tiny_student: Path) -> None:
    student = ChatStudent(model=str(tiny_student))
    other = base.invoke("Frase: tudo bem", model=str(tiny_student))

    assert other.content == student.invoke("Frase: tudo bem").content
    assert other.response_metadata["model_name"] == "tiny-student"
    chunks = list(base.stream("Frase: tudo bem", model=str(tiny_student)))
    assert summed(chunks).response_metadata["model_name"] == "tiny-student"
    assert student.invoke("oi", model="tiny-student").response_metadata["model_name"] == (
        "tiny-student"
    )
    with pytest.raises(StudentError, match="there is no model no-such-run, nor a run folder"):
        student.invoke("oi", model="no-such-run")


def test_tracing_names_the_model(base: ChatStudent) -> None:
    params = base._get_ls_params(stop=["x"])

    assert params["ls_provider"] == "understudy"
    assert params["ls_model_name"] == base.model
    assert params["ls_max_tokens"] == 120
    assert params["ls_stop"] == ["x"]
