"""swap: the app's answers stay what they were, whatever happens to the store or to the student."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel

from tests.swap_samples import (
    PROMPT,
    Keeping,
    Overloaded,
    Pupil,
    Scripted,
    Verdict,
    app,
    broken,
    calibrate,
    mood_of,
    sure,
)
from understudy.chains import StudentError, Task, TaskError
from understudy.distill import swap
from understudy.distill.evaluation.systems import teaching_run
from understudy.distill.labelling.label import label
from understudy.distill.standin.runnable import StandIn
from understudy.distill.standin.student import FAILURES_IN_A_ROW, SwapError
from understudy.distill.standin.writing import APP
from understudy.distill.training.dataset import lesson_pairs
from understudy.store import Store
from understudy.store.rows import StandIn as Row
from understudy.store.stand_ins import iter_calls, save_stand_in, stand_in

SECOND = 2.0  # in which a running app takes up a mode
TEXTS = ["fine", "odd", "bad", "fail", "well done", "fine"]
Ask = Callable[[Runnable[Any, Any]], Any]


def stood(store: Path, **options: Any) -> StandIn:
    """The app of the samples with a stand-in."""
    return swap(app(), store=store, **options)


def rows(store: Path, statement: str) -> list[tuple[Any, ...]]:
    """What a reader of the file sees."""
    with sqlite3.connect(store) as connection:
        return connection.execute(statement).fetchall()


def wait_for(chain: StandIn, mode: str) -> float:
    """Seconds until the running app is in this mode."""
    start = time.monotonic()
    while chain.mode != mode:
        assert time.monotonic() - start < SECOND, f"still in {chain.mode}"
        time.sleep(0.01)
    return time.monotonic() - start


def told(ask: Ask, chain: Runnable[Any, Any]) -> Any:
    """What a caller gets: the answer, or the exception with all its parts."""
    try:
        return _plain(ask(chain))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the same
        return type(error), error.args


def _plain(value: Any) -> Any:
    if isinstance(value, Exception):
        return type(value), value.args
    return [_plain(part) for part in value] if isinstance(value, list) else value


async def _collected(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


GOOD = [{"text": text} for text in TEXTS if text not in ("odd", "fail")]
SAME: RunnableLambda[Any, Any] = RunnableLambda(dict)
ALL = [{"text": text} for text in TEXTS]


def asking(method: str, text: str) -> Ask:
    """One call of a method, sync or async, streamed or not."""
    asked = {"text": text}
    by: dict[str, Ask] = {
        "invoke": lambda chain: chain.invoke(asked),
        "ainvoke": lambda chain: asyncio.run(chain.ainvoke(asked)),
        "stream": lambda chain: list(chain.stream(asked)),
        "astream": lambda chain: asyncio.run(_collected(chain.astream(asked))),
    }
    return by[method]


WAYS: dict[str, Ask] = {
    **{
        f"{method} {text}": asking(method, text)
        for method in ("invoke", "ainvoke", "stream", "astream")
        for text in TEXTS[:4]
    },
    "batch": lambda c: c.batch(GOOD),
    "batch with a failure": lambda c: c.batch(ALL),
    "batch with exceptions": lambda c: c.batch(ALL, return_exceptions=True),
    "batch of none": lambda c: c.batch([]),
    "batch, one at a time": lambda c: c.batch(GOOD, {"max_concurrency": 1}),
    "batch with configs": lambda c: c.batch(GOOD, [{"tags": [str(n)]} for n in range(len(GOOD))]),
    "abatch": lambda c: asyncio.run(c.abatch(GOOD)),
    "abatch with a failure": lambda c: asyncio.run(c.abatch(ALL)),
    "abatch with exceptions": lambda c: asyncio.run(c.abatch(ALL, return_exceptions=True)),
    "as completed": lambda c: sorted(c.batch_as_completed(GOOD), key=lambda pair: pair[0]),
    "no input": lambda c: c.invoke({"other": 1}),
    "one bare variable": lambda c: c.invoke("fine"),
    "in parallel": lambda c: RunnableParallel(a=c, b=c).invoke({"text": "fine"}),
    "inside a chain": lambda c: (c | RunnableLambda(lambda v: v.mood)).invoke({"text": "fine"}),
    "streamed inside a chain": lambda c: list((SAME | c).stream({"text": "fine"})),
    "with a config": lambda c: c.with_config(tags=["mine"]).invoke({"text": "fine"}),
    "with retries": lambda c: c.with_retry(stop_after_attempt=2).invoke({"text": "odd"}),
    "with fallbacks": lambda c: c.with_fallbacks([RunnableLambda(str)]).invoke({"text": "fail"}),
}


@pytest.mark.parametrize("mode", ["record", "shadow"])
@pytest.mark.parametrize("way", WAYS)
def test_the_caller_gets_what_the_chain_alone_gives(tmp_path: Path, way: str, mode: Any) -> None:
    student = {"student": Pupil(lambda text: ("bad", 0.9))} if mode == "shadow" else {}
    chain = stood(tmp_path / "u.db", mode=mode, **student)

    assert told(WAYS[way], chain) == told(WAYS[way], app())
    assert chain.flush()
    assert chain.counts["failed"] == (1 if way == "no input" else 0)
    chain.close()


@pytest.mark.parametrize("mode", ["record", "shadow"])
def test_the_very_object_is_handed_on_and_the_very_exception(tmp_path: Path, mode: Any) -> None:
    bound = app()
    chain = swap(bound, store=tmp_path / "u.db", mode=mode, student=Pupil(sure))
    parser = bound.steps[-1]  # type: ignore[attr-defined]
    assert isinstance(parser, Keeping)

    answers = [chain.invoke({"text": "a"}), *chain.batch(GOOD), *chain.stream({"text": "b"})]
    answers += [asyncio.run(chain.ainvoke({"text": "c"}))]
    assert all(any(answer is made for made in parser.made) for answer in answers)
    raised = Overloaded("mine")
    other = PROMPT | Scripted() | Keeping(pydantic_object=Verdict)
    object.__setattr__(other, "invoke", lambda *_, **__: _raise(raised))
    with pytest.raises(Overloaded) as caught:
        swap(other, store=tmp_path / "o.db").invoke({"text": "x"})
    assert caught.value is raised


def _raise(error: Exception) -> Any:
    raise error


class Listening(BaseCallbackHandler):
    """Writes down what happens, without the ids."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.runs: list[Any] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.runs.append((kwargs["run_id"], kwargs["parent_run_id"]))
        self.events.append(("chain", kwargs.get("name"), kwargs["tags"], kwargs["metadata"]))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.events.append(("end", outputs))

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.events.append(("model", messages, kwargs.get("name"), kwargs["tags"]))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.events.append(("said", response.generations[0][0].text))


def test_callbacks_tags_and_names_are_those_of_the_chain_alone(tmp_path: Path) -> None:
    def heard(chain: Runnable[Any, Any]) -> list[Any]:
        listening = Listening()
        config: Any = {"callbacks": [listening], "tags": ["t"], "metadata": {"m": 1}}
        named: Any = {**config, "run_name": "mine"}
        chain.invoke({"text": "fine"}, named)
        chain.batch(GOOD[:1], config)
        asyncio.run(chain.ainvoke({"text": "fine"}, config))
        RunnableLambda(lambda asked: chain.invoke(asked)).invoke({"text": "fine"}, config)
        return listening.events

    assert heard(stood(tmp_path / "u.db")) == heard(app())


def test_types_names_and_bound_options_are_those_of_the_chain(tmp_path: Path) -> None:
    bound, chain = app(), stood(tmp_path / "u.db")

    assert chain.InputType == bound.InputType
    assert chain.OutputType == bound.OutputType
    assert chain.get_input_jsonschema() == bound.get_input_jsonschema()
    assert chain.get_output_jsonschema() == bound.get_output_jsonschema()
    assert chain.get_name() == bound.get_name()
    assert len(chain.get_graph().nodes) == len(bound.get_graph().nodes)
    structured: Any = Scripted().with_structured_output(Verdict)
    swapped: Any = PROMPT | swap(structured, store=tmp_path / "s.db", name="alone")
    assert swapped.invoke({"text": "fine"}) == (PROMPT | structured).invoke({"text": "fine"})
    assert chain.bind(stop=["x"]).invoke({"text": "fine"}).mood == "good"


def test_its_events_are_those_of_the_chain(tmp_path: Path) -> None:
    async def events(chain: Runnable[Any, Any]) -> list[Any]:
        stream = chain.astream_events({"text": "fine"}, version="v2")
        return [(one["event"], one["name"], one["tags"]) async for one in stream]

    assert asyncio.run(events(stood(tmp_path / "u.db"))) == asyncio.run(events(app()))


def test_in_the_place_of_the_chain_a_student_is_traced_as_the_call_it_is(tmp_path: Path) -> None:
    listening, run = Listening(), uuid.uuid4()
    chain = stood(tmp_path / "u.db", student=app(), mode="student", check=0)
    config: Any = {"callbacks": [listening], "run_name": "mine", "run_id": run, "tags": ["t"]}
    answer = chain.invoke({"text": "fine"}, config)
    assert listening.events[0][:3] == ("chain", "mine", ["t"])
    assert listening.events[-1] == ("end", answer)
    assert listening.runs[0] == (run, None)
    assert listening.runs[1][1] == run


def test_an_agents_tool_may_be_a_stand_in(tmp_path: Path) -> None:
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    chain = stood(tmp_path / "u.db")

    @tool
    def judge(text: str) -> str:
        """Judge a text."""
        return str(chain.invoke({"text": text}).mood)

    class Asking(Scripted):
        """Calls the tool once, then says what came back."""

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(messages[-1], ToolMessage):
                message = AIMessage(f"it is {messages[-1].text}")
            else:
                call: Any = {"name": "judge", "args": {"text": messages[-1].text}, "id": "1"}
                message = AIMessage("", tool_calls=[call])
            return ChatResult(generations=[ChatGeneration(message=message)])

    agent: Any = create_agent(Asking(), tools=[judge])
    said = agent.invoke({"messages": [("human", "well done")]})["messages"][-1].text
    assert said == f"it is {mood_of('well done')}"
    assert chain.flush()
    assert rows(tmp_path / "u.db", "select inputs from examples") == [('{"text":"well done"}',)]


def test_a_call_is_remembered_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    store = tmp_path / "u.db"
    chain = stood(store)
    chain.invoke({"text": "fine"})
    with pytest.raises(Overloaded):
        chain.invoke({"text": "fail"})
    with pytest.raises(OutputParserException):
        asyncio.run(chain.ainvoke({"text": "odd"}))
    list(chain.stream({"text": "streamed"}))
    assert chain.flush()

    with Store(store) as opened:
        (run,) = opened.runs("verdict", "teacher")
        found = {example.inputs["text"]: record for example, record in opened.pairs(run.id)}
    fine = found["fine"]
    assert (fine.answer, fine.reasoning) == ({"mood": "good"}, "it says fine")
    assert (fine.input_tokens, fine.output_tokens, fine.model) == (11, 5, "scripted-1")
    assert fine.seconds > 0
    assert json.loads(str(fine.raw)) == {"rationale": "it says fine", "mood": "good"}
    assert found["fail"].answer is None
    assert found["fail"].error == "Overloaded: too busy for fail"
    assert "OutputParserException" in str(found["odd"].error)
    assert found["streamed"].answer == {"mood": mood_of("streamed")}
    assert os.name != "posix" or oct(store.stat().st_mode & 0o777) == "0o600"
    assert chain.counts == {
        "calls": 4,
        "answered_by_student": 0,
        "escalated": 0,
        "student_failed": 0,
        "uncompared": 0,
        "broken_off": 0,
        "recorded": 4,
        "shed": 0,
        "failed": 0,
    }


def test_an_answer_that_the_app_changes_afterwards_is_remembered_as_it_was(tmp_path: Path) -> None:
    chain = stood(tmp_path / "u.db", mode="shadow", student=Pupil(sure))
    answer = chain.invoke({"text": "fine"})
    answer.mood = "changed by the app"
    assert chain.flush()

    assert rows(tmp_path / "u.db", "select agreed from calls") == [(1,)]


def test_a_stream_that_is_left_is_no_answer(tmp_path: Path) -> None:
    chain = swap(
        PROMPT | Scripted() | JsonOutputParser(pydantic_object=Verdict), store=tmp_path / "u.db"
    )
    for chunk in chain.stream({"text": "fine"}):
        assert chunk is not None
        break
    whole = list(chain.stream({"text": "other"}))
    assert whole[-1] == {"rationale": "it says other", "mood": mood_of("other")}
    assert len(whole) > 2
    assert chain.flush()
    assert chain.counts["recorded"] == 1


@pytest.mark.parametrize("trouble", ["locked", "no folder", "no database", "a folder", "full"])
def test_the_app_goes_on_whatever_the_store_does(
    tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    store = tmp_path / "u.db"
    holder = None
    if trouble == "no folder":
        store = tmp_path / "gone" / "u.db"
    elif trouble == "no database":
        store.write_text("this is no database" * 100)
    elif trouble == "a folder":
        store.mkdir()
    elif trouble == "full":
        Store(store).close()
        holder = sqlite3.connect(store)
        pages = holder.execute("pragma page_count").fetchone()[0]
        monkeypatch.setattr(
            "understudy.store.connection.Connection._choose_journal",
            lambda self, _: self._connection.execute(f"pragma max_page_count = {pages}"),
        )
    else:
        Store(store).close()
        monkeypatch.setattr("understudy.store.connection.LOCK_SECONDS", 0.05)
        holder = sqlite3.connect(store, isolation_level=None)
        holder.execute("begin exclusive")
    chain = stood(store)
    long = "x" * 2_000
    start = time.monotonic()
    answers = [chain.invoke({"text": f"{long}{n}"}).mood for n in range(20)]
    took = time.monotonic() - start

    assert answers == [mood_of(f"{long}{n}") for n in range(20)]
    assert took < 2
    chain.flush(3)
    chain.close(3)
    assert chain.invoke({"text": "fine"}).mood == "good"
    assert chain.counts["calls"] == 21
    assert chain.counts["recorded"] < 21
    assert any("said once" in record.message for record in caplog.records)
    if holder is not None:
        holder.close()


def test_a_call_without_text_goes_through_and_is_counted(tmp_path: Path) -> None:
    structured = Scripted().with_structured_output(Verdict)
    chain = swap(structured, store=tmp_path / "u.db", student=Pupil(sure), mode="student")
    seen = HumanMessage(
        [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    )
    assert isinstance(chain.invoke([seen]), Verdict)
    assert chain.counts["failed"] >= 1
    assert chain.counts["answered_by_student"] == 0


@pytest.mark.parametrize("mode", ["shadow", "student", "cascade"])
def test_a_dead_student_is_counted_and_the_teacher_answers(tmp_path: Path, mode: Any) -> None:
    store = tmp_path / "u.db"
    student = Pupil(broken)
    first = stood(store, student=student)
    calibrate(store, first, agreement=0.9, threshold=0.5)
    first.close()
    chain = stood(store, student=student, mode=mode, agreement=0.9)
    calls = FAILURES_IN_A_ROW + 3
    for n in range(calls):
        assert chain.invoke({"text": f"text {n}"}).mood == mood_of(f"text {n}")
        assert chain.flush()

    counts = chain.counts
    assert counts["answered_by_student"] == 0
    assert counts["student_failed"] >= FAILURES_IN_A_ROW
    assert counts["recorded"] == calls
    errors = rows(store, "select count(*) from records where error like '%nobody is there%'")
    assert errors == [(FAILURES_IN_A_ROW,)]  # then it was left alone


class DictVerdict(TypedDict):
    """The same as a dict."""

    rationale: str
    mood: str


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("schema", [Verdict, Verdict.model_json_schema(), DictVerdict])
def test_a_streamed_answer_is_remembered_as_the_whole_one_it_became(
    tmp_path: Path, schema: Any, raw: bool
) -> None:
    bound: Any = PROMPT | Scripted().with_structured_output(schema, include_raw=raw)
    chain = swap(bound, store=tmp_path / "u.db", name="verdict")
    asked = {"text": "fine words"}
    assert _unmarked(list(chain.stream(asked))) == _unmarked(list(bound.stream(asked)))
    assert chain.flush()
    said = "select answer, reasoning, error from records"
    assert rows(tmp_path / "u.db", said) == [('{"mood":"good"}', "it says fine words", None)]


def _unmarked(chunks: list[Any]) -> list[Any]:
    """Chunks without the ids that every run gives its messages, those of messages first.

    With `include_raw` LangChain makes the other keys in threads: which comes first is chance.
    """
    said, parts = [], []
    for chunk in chunks:
        told = chunk.get("raw") if isinstance(chunk, dict) else None
        if told is not None:
            said.append((told.content, told.tool_call_chunks))
        else:
            parts.append(chunk)
    return [*said, *(sorted(parts, key=list) if said else parts)]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("schema", [Verdict, Verdict.model_json_schema(), DictVerdict])
def test_a_students_answer_is_of_the_apps_own_type(tmp_path: Path, schema: Any, raw: bool) -> None:
    bound: Any = PROMPT | Scripted().with_structured_output(schema, include_raw=raw)
    task = swap(bound, store=tmp_path / "t.db").task

    def pupil(inputs: Any) -> Any:
        return task.thought({"rationale": "mine", "mood": "bad"})

    chain = swap(bound, store=tmp_path / "u.db", student=RunnableLambda(pupil), mode="student")
    answer, teachers = chain.invoke({"text": "fine"}), bound.invoke({"text": "fine"})
    streamed = list(chain.stream({"text": "fine"}))

    assert type(answer) is type(teachers)
    if raw:
        assert answer.keys() == teachers.keys()
        assert isinstance(answer["raw"], AIMessage)
        answer, teachers = answer["parsed"], teachers["parsed"]
        streamed = [chunk["parsed"] for chunk in streamed]
    assert type(answer) is type(teachers)
    assert dict(answer) == {"rationale": "mine", "mood": "bad"}
    assert streamed == [answer]
    assert asyncio.run(chain.abatch([{"text": "x"}, {"text": "y"}]))
    assert chain.counts["answered_by_student"] == 4


def test_a_batch_reaches_the_student_as_one_and_the_rest_the_teacher(tmp_path: Path) -> None:
    store, student, model = tmp_path / "u.db", Pupil(sure), Scripted()
    first = swap(app(model), store=store, student=student)
    calibrate(store, first, agreement=0.9, threshold=0.9)
    chain = swap(app(model), store=store, student=student, mode="cascade", agreement=0.9, check=0)
    asked = [{"text": text} for text in ["a", "b?", "cc", "d?", "fail?"]]
    with pytest.raises(Overloaded):
        chain.batch(asked)
    before = model.asked
    answers = chain.batch(asked, return_exceptions=True)
    again = asyncio.run(chain.abatch(asked, return_exceptions=True))

    assert student.batches == [5, 5, 5]
    assert model.asked - before == 6
    for given in (answers, again):
        assert [getattr(one, "rationale", None) for one in given] == [
            "a pupil's",
            "it says b?",
            "a pupil's",
            "it says d?",
            None,
        ]
        assert isinstance(given[4], Overloaded)
    assert chain.flush()
    assert (chain.counts["answered_by_student"], chain.counts["escalated"]) == (6, 9)


def test_a_cascade_answers_what_it_is_sure_of_and_remembers_the_rest(tmp_path: Path) -> None:
    store, student = tmp_path / "u.db", Pupil(sure)
    first = stood(store, student=student)
    calibrate(store, first, agreement=0.97, threshold=0.9)
    chain = stood(store, student=student, mode="cascade", agreement=0.97, check=1.0)
    told = [chain.invoke({"text": text}).rationale for text in ("sure", "sure?")]
    told += [asyncio.run(chain.ainvoke({"text": text})).rationale for text in ("so", "so?")]
    assert chain.flush()

    assert told == ["a pupil's", "it says sure?", "a pupil's", "it says so?"]
    with Store(store) as opened:
        calls = list(iter_calls(opened, "verdict"))
        taught = {
            example.inputs["text"]
            for example, record in opened.pairs(first.desk.recorder.teacher_run.id)
            if record.answer
        }
    by = {(c.answered_by, c.escalated, c.sampled, c.agreed) for c in calls}
    assert by == {("student", False, True, True), ("teacher", True, False, True)}
    assert {round(c.confidence or 0, 2) for c in calls if c.answered_by == "student"} == {0.99}
    assert taught == {"sure", "sure?", "so", "so?"}  # what was checked teaches, too


def test_a_cascade_without_a_calibration_is_refused_when_built(tmp_path: Path) -> None:
    store, student = tmp_path / "u.db", Pupil(sure)
    with pytest.raises(SwapError, match="needs a student"):
        stood(store, mode="shadow")
    with pytest.raises(SwapError, match="needs agreement="):
        stood(store, mode="cascade", student=student)
    with pytest.raises(SwapError, match=r"agreement 0\.97 is not there.*understudy calibrate"):
        stood(store, mode="cascade", student=student, agreement=0.97)
    calibrate(store, stood(store, student=student), agreement=0.97, threshold=None)
    with pytest.raises(SwapError, match="refuses it: the rows do not support it"):
        stood(store, mode="cascade", student=student, agreement=0.97)
    with pytest.raises(SwapError, match="no mode 'cascad'"):
        stood(store, mode="cascad", student=student)
    with pytest.raises(SwapError, match="share from 0 to 1"):
        stood(store, sampling=2)


def set_mode(store: Path, mode: Any, *, reason: str | None = None, **more: Any) -> None:
    """What the command, or the watch, does."""
    with Store(store) as opened:
        row = stand_in(opened, "verdict")
        assert row is not None
        changed = {"mode": mode, "reason": reason, "changed": "2026-11-25T10:00:00+00:00", **more}
        save_stand_in(opened, row.model_copy(update=changed))


def test_a_swapped_chain_is_swapped_anew_as_the_readme_does(tmp_path: Path) -> None:
    store = tmp_path / "app.db"
    first = stood(store)
    first.invoke({"text": "fine"})
    second = swap(first, store=store, student=Pupil(sure), mode="shadow")
    second.invoke({"text": "well done"})
    assert second.flush(20)
    assert (second.bound, second.mode) == (first.bound, "shadow")
    first.invoke({"text": "bad"})  # the older one is the chain again
    second.close()
    assert rows(store, "select count(*) from calls") == [(2,)]
    with pytest.raises(SwapError, match="share from 0 to 1"):
        swap(second, store=store, check=2)


def test_a_mode_is_taken_up_by_the_running_app_and_rolled_back(tmp_path: Path) -> None:
    store, alarms = tmp_path / "u.db", list[str]()
    chain = stood(store, student=Pupil(sure), mode="record", on_alarm=alarms.append)
    assert chain.invoke({"text": "one"}).rationale == "it says one"
    assert chain.flush()
    wait_for(chain, "record")
    time.sleep(0.7)  # until the row is written

    set_mode(store, "student")
    assert wait_for(chain, "student") < SECOND
    assert chain.invoke({"text": "two"}).rationale == "a pupil's"
    set_mode(store, "record", reason="agreement fell below 0.97")
    wait_for(chain, "record")
    assert chain.invoke({"text": "three"}).rationale == "it says three"
    assert alarms == ["agreement fell below 0.97"]
    chain.mode = "student"
    assert chain.invoke({"text": "four"}).rationale == "a pupil's"
    with Store(store) as opened:
        row = stand_in(opened, "verdict")
    assert row is not None
    assert (row.mode, row.reason) == ("student", APP)
    assert str(row.student).startswith("pupil#")


def test_a_mode_that_cannot_be_stays_with_the_teacher_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "u.db"
    chain = stood(store, student=Pupil(sure), agreement=0.9)
    chain.invoke({"text": "one"})
    assert chain.flush()
    time.sleep(0.7)
    set_mode(store, "cascade")
    time.sleep(1.2)
    assert chain.invoke({"text": "two"}).rationale == "it says two"
    assert sum("the teacher answers" in record.message for record in caplog.records) == 1
    calibrate(store, chain, agreement=0.9, threshold=0.9)
    wait_for(chain, "cascade")
    assert chain.invoke({"text": "three"}).rationale == "a pupil's"
    with pytest.raises(SwapError, match="no mode"):
        chain.mode = "off"  # type: ignore[assignment]


def test_a_restart_undoes_no_rollback_and_a_line_of_code_changes_a_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "u.db"
    pupil = {"student": Pupil(sure)}
    for mode in ("record", "student"):
        chain = stood(store, mode=mode, **pupil)
        assert chain.mode == mode
        chain.invoke({"text": mode})
        time.sleep(0.7)
        chain.close()
    assert stood(store, **pupil).mode == "student"  # where the code says nothing, the store does
    set_mode(store, "record")
    assert stood(store, mode="student", **pupil).mode == "record"
    assert "stays in mode record, set there" in caplog.text
    with pytest.raises(SwapError, match="as a stand-in of task verdict, not other"):
        swap(app(), store=store, name="verdict", task=Task.from_chain(app(), name="other"))


def test_a_task_is_read_out_of_the_swapped_chain_as_out_of_the_apps_own(tmp_path: Path) -> None:
    chain = stood(tmp_path / "u.db")
    assert Task.from_chain(chain) is chain.task
    assert chain.task.student_prompt == Task.from_chain(app()).student_prompt


@pytest.mark.parametrize("by_command", [True, False])
def test_a_student_that_the_app_gets_later_can_be_given_the_word_by_command(
    tmp_path: Path, by_command: bool
) -> None:
    store = tmp_path / "u.db"
    stood(store).invoke({"text": "one"})
    time.sleep(0.7)
    if by_command:
        set_mode(store, "record")
    chain = stood(store, student=Pupil(sure))
    assert chain.invoke({"text": "two"}).rationale == "it says two"
    time.sleep(1.2)
    with Store(store) as opened:
        row = stand_in(opened, "verdict")
    assert row is not None
    assert (row.mode, row.reason) == ("record", None if by_command else APP)
    assert str(row.student).startswith("pupil#")
    set_mode(store, "student")
    assert wait_for(chain, "student") < SECOND


@pytest.mark.needs_fork
@pytest.mark.parametrize("asked_before", [True, False])
def test_a_forked_worker_records_and_takes_up_modes(tmp_path: Path, asked_before: bool) -> None:
    store = tmp_path / "u.db"
    chain = stood(store, student=Pupil(sure), mode="student")
    if asked_before:
        chain.invoke({"text": "parent"})
    else:
        stood(store, student=Pupil(sure), mode="student").mode = "student"
    assert chain.flush()
    time.sleep(0.7)
    worker = os.fork()
    if worker == 0:
        try:
            set_mode(store, "record", reason="told to")
            wait_for(chain, "record")
            chain.invoke({"text": "child"})
            os._exit(0 if chain.flush() else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
    wait_for(chain, "record")
    found = {json.loads(inputs)["text"] for (inputs,) in rows(store, "select inputs from examples")}
    assert found == ({"parent", "child"} if asked_before else {"child"})


def test_sampling_redaction_and_textless_recording_are_the_recorders(tmp_path: Path) -> None:
    store = tmp_path / "u.db"
    chain = stood(store, redact=lambda text: text.replace("Ana", "[name]"))
    chain.invoke({"text": "Ana writes to ana@example.org"})
    chain.flush()
    stored = str(rows(store, "select inputs, (select raw from records) from examples"))
    assert "[name]" in stored
    assert "Ana" not in stored
    nothing = stood(tmp_path / "n.db", sampling=0.0)
    nothing.invoke({"text": "x"})
    nothing.flush()
    assert nothing.counts["recorded"] == 0
    textless = stood(tmp_path / "t.db", store_text=False)
    textless.invoke({"text": "secret words"})
    textless.flush()
    assert b"secret words" not in (tmp_path / "t.db").read_bytes()
    assert rows(tmp_path / "t.db", "select count(*) from calls") == [(1,)]


def test_what_the_app_has_answered_teaches_and_is_bought_from_nobody_again(tmp_path: Path) -> None:
    store, model = tmp_path / "u.db", Scripted()
    chain = swap(app(model), store=store)
    texts = [f"text number {n}" for n in range(40)]
    chain.batch([{"text": text} for text in texts])
    assert chain.flush()
    asked = model.asked

    with Store(store) as opened:
        run = teaching_run(opened, chain.task)
        assert label(chain.task, model, opened).id == run.id
        assert model.asked == asked
        taught, left_out = lesson_pairs(opened, chain.task, run.id, split="train")
        splits = opened.splits("verdict")
    assert len(taught) == splits["train"]
    assert not left_out
    assert sum(splits.values()) == 40
    assert set(splits) == {"train", "validation", "calibration", "test"}
    assert all(record.reasoning == f"it says {e.inputs['text']}" for e, record in taught)


def test_a_rendered_conversation_is_what_label_asks_too(tmp_path: Path) -> None:
    store, model = tmp_path / "u.db", Scripted()
    alone = swap(model.with_structured_output(Verdict), store=store, name="alone")
    longer = PROMPT | alone
    longer.batch([{"text": f"number {n}"} for n in range(30)])
    assert alone.flush()

    with Store(store) as opened:
        run = teaching_run(opened, alone.task)
        before = model.asked
        label(alone.task, model, opened)
        taught, _ = lesson_pairs(opened, alone.task, run.id, split="train")
    assert model.asked == before
    assert all(e.inputs["messages"].startswith("System: Judge.\n\nUser: number") for e, _ in taught)


def test_a_chain_that_cannot_be_seen_through_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="RunnableLambda"):
        swap(RunnableLambda(str), store=tmp_path / "u.db")
    assert not (tmp_path / "u.db").exists()


def test_a_store_row_made_by_recording_alone_is_nobodys_wish(tmp_path: Path) -> None:
    chain = stood(tmp_path / "u.db")
    chain.invoke({"text": "x"})
    chain.flush()
    with Store(tmp_path / "u.db") as opened:
        row = stand_in(opened, "verdict")
    assert isinstance(row, Row)
    assert row.reason == APP


LEAVING = """
import sys, time
from tests.swap_samples import Pupil, app, mood_of
from understudy.distill import swap

def slow(text):
    time.sleep(0.1)
    return mood_of(text), 0.9

pupil = Pupil(slow)
pupil.batch = lambda rows, *_, **__: [pupil.invoke(row) for row in rows]
chain = swap(app(), store=sys.argv[1], student=pupil, mode="shadow")
for n in range(30):
    chain.invoke({"text": f"number {n}"})
"""


def test_what_waits_in_the_shadow_is_kept_when_the_app_ends(tmp_path: Path) -> None:
    store, root = tmp_path / "u.db", Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", LEAVING, str(store)], cwd=root, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "calls are kept without a comparison" in ended.stderr
    assert "chain.flush" in ended.stderr
    assert rows(store, "select count(*) from calls") == [(30,)]
    assert rows(
        store,
        "select count(*) from records r join runs u on u.position = r.run "
        "where u.role = 'teacher' and answer is not null",
    ) == [(30,)]


def test_shadow_calls_that_are_kept_without_a_comparison_are_counted_and_said_once(
    tmp_path: Path, caplog: Any
) -> None:
    store, loaded = tmp_path / "u.db", threading.Event()

    def loading(text: str) -> tuple[str, float]:
        loaded.wait(20)
        return mood_of(text), 0.9

    chain = stood(store, student=Pupil(loading), mode="shadow")
    for n in range(6):
        chain.invoke({"text": f"number {n}"})
    chain.close(0.4)
    loaded.set()
    assert chain.counts["recorded"] == chain.counts["uncompared"] == 6
    assert rows(store, "select count(*), count(agreed) from calls") == [(6, 0)]
    [line] = [line for line in caplog.messages if "without a comparison" in line]
    assert line.startswith("verdict: 6 calls")
    chain.close()  # as the end of the process does
    assert caplog.messages.count(line) == 1

    patient = stood(store, student=Pupil(loading), mode="shadow")
    patient.invoke({"text": "one more"})
    assert patient.flush(20)
    patient.close()
    assert patient.counts["uncompared"] == 0
    assert rows(store, "select count(*), count(agreed) from calls") == [(7, 1)]


def test_a_check_that_the_end_of_the_app_prevents_is_counted_too(tmp_path: Path) -> None:
    asked = threading.Event()

    class Slow(Scripted):
        def _text(self, messages: Any) -> str:
            asked.wait(20)
            return super()._text(messages)

    chain = swap(
        app(Slow()), store=tmp_path / "u.db", student=Pupil(sure), mode="student", check=1.0
    )
    for n in range(3):
        chain.invoke({"text": f"number {n}"})
    chain.close(0.4)
    asked.set()
    assert (chain.counts["answered_by_student"], chain.counts["uncompared"]) == (3, 3)
    assert rows(tmp_path / "u.db", "select count(*), sum(sampled) from calls") == [(3, 0)]


def test_a_student_may_be_named_as_a_teacher_is(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "small.py"
    file.write_text("from tests.swap_samples import Scripted\nstudent = Scripted(model='small')\n")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    chain = stood(tmp_path / "u.db", student=f"{file}:student", mode="student", check=0)
    assert chain.invoke({"text": "fine"}) == app().invoke({"text": "fine"})
    assert chain.counts["answered_by_student"] == 1
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(TaskError, match="OPENAI_API_KEY"):
        stood(tmp_path / "k.db", student="openai:gpt-5-mini", mode="student")
    with pytest.raises(StudentError, match="is not a student"):
        stood(tmp_path / "k.db", student=str(tmp_path), mode="student")
    with pytest.raises(SwapError, match="a int is no student"):
        stood(tmp_path / "k.db", student=3, mode="student")
    with pytest.raises(StudentError, match="student x: the base URL holds a user or password"):
        stood(tmp_path / "k.db", student="http://me:secret@127.0.0.1:9/v1#x", mode="student")
    served = stood(tmp_path / "s.db", student="http://127.0.0.1:9/v1#x", mode="student")
    assert served.desk.student is not None
    assert served.desk.student.given == "http://127.0.0.1:9/v1#x"


def test_shadowed_rows_calibrate_a_student_and_the_running_app_takes_the_cascade_up(
    tmp_path: Path,
) -> None:
    from understudy.distill.guarantee.calibrating import calibrate as calibrated

    def says(text: str) -> tuple[str, float]:
        right, unsure = mood_of(text), text.endswith("?")
        wrong = "good" if right == "bad" else "bad"
        return (wrong, 0.55) if unsure else (right, 0.98)

    store, model = tmp_path / "u.db", Scripted()
    chain = swap(app(model), store=store, student=Pupil(says), mode="shadow", agreement=0.9)
    texts = [f"row {n} {'x' * (n % 7)}{'?' if n % 3 == 0 else ''}" for n in range(900)]
    for start in range(0, len(texts), 100):
        chain.batch([{"text": text} for text in texts[start : start + 100]])
        assert chain.flush(30)
    assert chain.desk.student is not None
    with Store(store) as opened:
        found = calibrated(chain.task, opened, chain.desk.student.run, agreement=0.9)
    assert found.threshold is not None
    set_mode(store, "cascade")
    wait_for(chain, "cascade")

    asked = model.asked
    answers = chain.batch([{"text": text} for text in ("sure", "sure?", "so", "so?")])
    assert [answer.rationale for answer in answers] == [
        "a pupil's",
        "it says sure?",
        "a pupil's",
        "it says so?",
    ]
    assert chain.flush()
    assert model.asked - asked >= 2


def test_an_app_starts_while_somebody_holds_the_store_and_takes_its_mode_up_later(
    tmp_path: Path,
) -> None:
    store = tmp_path / "u.db"
    first = stood(store, student=Pupil(sure), mode="shadow")
    first.invoke({"text": "fine"})
    calibrate(store, first, agreement=0.9, threshold=0.9)
    first.close()
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("pragma locking_mode = exclusive")
    holder.execute("begin exclusive")
    start = time.monotonic()
    chain = stood(store, student=Pupil(sure), mode="cascade", agreement=0.9, check=0)
    assert time.monotonic() - start < 5
    assert chain.invoke({"text": "fine"}).rationale != "a pupil's"
    holder.execute("rollback")
    holder.close()
    end = time.monotonic() + 10
    while chain.mode != "cascade":
        assert time.monotonic() < end
        time.sleep(0.05)
    assert chain.invoke({"text": "fine"}).rationale == "a pupil's"
    chain.close()


def test_a_mode_is_set_at_once_while_somebody_holds_the_store(tmp_path: Path) -> None:
    store = tmp_path / "u.db"
    chain = stood(store, student=Pupil(sure), mode="student", check=0)
    chain.invoke({"text": "fine"})
    chain.flush()
    chain.desk.recorder.close()
    chain.modes._kept.close()
    with sqlite3.connect(store) as holder:
        holder.execute("pragma locking_mode = exclusive")
        holder.execute("begin exclusive")
        start = time.monotonic()
        chain.mode = "record"
        assert time.monotonic() - start < 5
        assert chain.invoke({"text": "fine"}).rationale == "it says fine"
    holder.close()
    chain.close()


def test_only_what_is_recorded_is_checked_or_shadowed(tmp_path: Path) -> None:
    model, texts = Scripted(), [f"row {n}" for n in range(400)]
    chain = swap(
        app(model),
        store=tmp_path / "u.db",
        student=Pupil(sure),
        mode="student",
        sampling=0.2,
        check=0.25,
    )
    for text in texts:
        chain.invoke({"text": text})
    assert chain.flush()
    kept, checked = chain.counts["recorded"], model.asked
    assert 50 < kept < 110
    assert 8 < checked < 35
    assert rows(tmp_path / "u.db", "select count(*), sum(sampled) from calls") == [(kept, checked)]
    chain.close()
    asked: list[str] = []
    pupil = Pupil(lambda text: asked.append(text) or sure(text))  # type: ignore[func-returns-value]
    shadow = stood(tmp_path / "s.db", student=pupil, mode="shadow", sampling=0.2)
    shadow.batch([{"text": text} for text in texts])
    assert shadow.flush()
    assert len(asked) == kept
    shadow.close()


def test_what_a_broken_batch_did_not_tell_is_counted(tmp_path: Path) -> None:
    chain = stood(tmp_path / "u.db")
    with pytest.raises(Overloaded):
        chain.batch(ALL)
    assert chain.flush()
    assert chain.counts["recorded"] + chain.counts["broken_off"] == len(ALL)
    assert chain.counts["broken_off"] == len(ALL) - 1
    chain.close()


class Never(Scripted):
    """Never answers."""

    def _text(self, messages: Any) -> str:
        raise Overloaded(str(messages[-1].text))


def test_a_row_that_a_fallback_answered_did_not_fail_because_another_did(tmp_path: Path) -> None:
    twice = Never().with_fallbacks([Scripted()])
    chain = swap(PROMPT | twice | Keeping(pydantic_object=Verdict), store=tmp_path / "u.db")
    with pytest.raises(Overloaded):
        chain.batch([{"text": "fine"}, {"text": "fail"}])
    assert chain.flush()
    assert rows(tmp_path / "u.db", "select error from calls") == [
        ("Overloaded: too busy for fail",)
    ]
    chain.close()


HUNG = """
import sys, time
from tests.swap_samples import Pupil, app
from understudy.distill import swap

chain = swap(app(), store=sys.argv[1], student=Pupil(lambda text: time.sleep(60)), mode="shadow")
for n in range(30):
    chain.invoke({"text": f"number {n}"})
"""


def test_a_student_that_hangs_neither_holds_the_end_of_the_app_nor_takes_calls_with_it(
    tmp_path: Path,
) -> None:
    store, root = tmp_path / "u.db", Path(__file__).parents[1]
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", HUNG, str(store)], cwd=root, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - start < 30
    assert rows(store, "select count(*) from calls") == [(30,)]
