"""Apps of five styles run through all four modes of swap: nothing but one line of them changes."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from tests.swap_samples import calibrate
from understudy.chains import ChatStudent, Task
from understudy.chains.offline import NewsTeacher
from understudy.chains.student import StudentCard, write_card
from understudy.chains.student.weights import base_sha256, load_base
from understudy.chains.task import prompt_words
from understudy.distill import swap
from understudy.distill.evaluation.systems import local_models
from understudy.distill.standin.runnable import StandIn
from understudy.distill.standin.student import SwapError
from understudy.examples.apps import graph, history, parser, retrieval, rows
from understudy.examples.apps.parser import NEWS
from understudy.store import Store
from understudy.store.stand_ins import iter_calls

Build = Callable[..., Any]
MODES: list[Any] = ["record", "shadow", "cascade", "student"]
OTHER = {**NEWS, "f1": "Bancos fecham na segunda."}
BUSY = {**NEWS, "f2": "O servidor está ocupado."}
SENTENCES = list(NEWS.values())
ANA: Any = {"configurable": {"thread_id": "ana"}}


class Busy(RuntimeError):
    """What the teachers raise for the sentence that is BUSY's."""


class Teacher(NewsTeacher):
    """The embedded teacher, overloaded where a sentence says so."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if "ocupado" in str(messages[-1].text):
            raise Busy("try again")
        return super()._generate(messages, *args, **kwargs)


class RowsTeacher(rows.RowsTeacher):
    """The same for many rows."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if "ocupado" in str(messages[-1].text):
            raise Busy("try again")
        return super()._generate(messages, *args, **kwargs)


def _state(state: dict[str, Any]) -> Any:
    return {k: v for k, v in state.items() if k != "messages"}, [
        message.text for message in state.get("messages", ())
    ]


def _talk(app: Any) -> Any:
    return [_state(app.invoke(history.said(news), ANA)) for news in (NEWS, OTHER)]


async def _atalk(app: Any) -> Any:
    return [_state(await app.ainvoke(history.said(news), ANA)) for news in (NEWS, OTHER)]


# An app: how it is built, its teacher, what swap needs to be told, and calls of several kinds.
APPS: dict[str, tuple[Build, BaseChatModel, dict[str, Any], list[Callable[[Any], Any]]]] = {
    "graph": (
        graph.build,
        Teacher(),
        {},
        [
            lambda app: _state(app.invoke(NEWS)),
            lambda app: [_state(one) for one in app.batch([NEWS, OTHER])],
            lambda app: [list(part) for part in app.stream(OTHER)],
            lambda app: _state(app.invoke(BUSY)),
        ],
    ),
    "parser": (
        parser.build,
        Teacher(),
        {},
        [
            lambda app: app.invoke(NEWS),
            lambda app: app.batch([NEWS, OTHER]),
            lambda app: app.batch([NEWS, BUSY, OTHER], return_exceptions=True),
            lambda app: asyncio.run(app.abatch([OTHER, NEWS])),
            lambda app: list(app.stream(NEWS)),
            lambda app: app.invoke(BUSY),
        ],
    ),
    "rows": (
        rows.build,
        RowsTeacher(),
        {"task": rows.task},
        [
            lambda app: app.invoke(SENTENCES),
            lambda app: app.batch([SENTENCES, SENTENCES[:2]]),
            lambda app: app.invoke(list(BUSY.values())),
        ],
    ),
    "retrieval": (
        retrieval.build,
        Teacher(),
        {"name": "reading"},
        [
            lambda app: app.invoke(NEWS),
            lambda app: asyncio.run(app.ainvoke(OTHER)),
            lambda app: app.batch([NEWS, OTHER]),
            lambda app: app.batch([NEWS, BUSY], return_exceptions=True),
            lambda app: list(app.stream(OTHER)),
            lambda app: app.invoke(BUSY),
        ],
    ),
    "history": (
        history.build,
        Teacher(),
        {"name": "talk"},
        [
            _talk,
            lambda app: asyncio.run(_atalk(app)),
            lambda app: app.invoke(history.said(BUSY), {"configurable": {"thread_id": "bo"}}),
        ],
    ),
}


class Swapping:
    """Builds an app with its chain swapped, and keeps the stand-in."""

    def __init__(self, name: str, store: Path) -> None:
        self.build, self.teacher, self.options, self.calls = APPS[name]
        self.store = store
        self.chain: StandIn | None = None

    def app(self, **options: Any) -> Any:
        def swapped(chain: Any) -> StandIn:
            self.chain = swap(chain, store=self.store, **self.options, **options)
            return self.chain

        return self.build(self.teacher, swapped)


def heard(call: Callable[[Any], Any], app: Any) -> Any:
    """What a caller gets, exceptions included."""
    try:
        return _plain(call(app))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the same
        return _plain(error)


def _plain(value: Any) -> Any:
    if isinstance(value, Exception):
        return type(value), value.args
    return [_plain(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def make_student(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run folders of a task over the embedded base, with an adapter of noise."""
    from peft import LoraConfig, get_peft_model

    made: dict[str, str] = {}

    def make(task: Task, target: Any = "label") -> str:
        key = f"{task.name} {target}"
        if key not in made:
            folder = tmp_path_factory.mktemp("runs") / task.name
            model, tokenizer = load_base("embedded")
            lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
            adapted = get_peft_model(model, lora)
            adapted.save_pretrained(str(folder), safe_serialization=True)
            tokenizer.save_pretrained(folder)
            card = StudentCard(
                name=task.name,
                task=task.name,
                target=target,
                base="embedded",
                base_sha256=base_sha256("embedded"),
                words=task.student_words,
                answers=task.answers,
                prompt=prompt_words(task.student_prompt),
                answer_schema=task.json_schema(target),
                reasoning=task.reasoning,
            )
            write_card(folder, card)
            made[key] = str(folder)
        return made[key]

    return make


@pytest.mark.parametrize("name", APPS)
def test_an_app_goes_through_all_four_modes_with_an_embedded_student(
    tmp_path: Path, make_student: Callable[..., str], name: str
) -> None:
    plain = APPS[name][0](APPS[name][1])
    calls = APPS[name][3]
    alone = [heard(call, plain) for call in calls]
    swapping = Swapping(name, tmp_path / "u.db")

    recorded = swapping.app()
    assert [heard(call, recorded) for call in calls] == alone
    chain = swapping.chain
    assert chain is not None
    assert chain.flush()
    assert chain.counts["recorded"] == chain.counts["calls"] > 3
    student: dict[str, Any] = {"student": make_student(chain.task), "reasoning": "sem raciocínio"}

    shadowed = swapping.app(mode="shadow", **student)
    assert [heard(call, shadowed) for call in calls] == alone
    assert swapping.chain is not None
    assert swapping.chain.flush(60)
    assert swapping.chain.counts["student_failed"] == 0

    calibrate(swapping.store, swapping.chain, agreement=0.95, threshold=1.0)
    timid = swapping.app(mode="cascade", agreement=0.95, **student)
    assert [heard(call, timid) for call in calls[:2]] == alone[:2]
    assert swapping.chain.counts["escalated"] == swapping.chain.counts["calls"] > 0
    assert swapping.chain.flush(60)

    replaced = swapping.app(mode="student", check=0, **student)
    answers = [heard(call, replaced) for call in calls[:2]]
    assert [type(answer) for answer in answers] == [type(one) for one in alone[:2]]
    counts = swapping.chain.counts
    assert counts["answered_by_student"] == counts["calls"] > 0
    assert heard(calls[-1], replaced) != alone[-1]  # the student knows no overload
    assert swapping.chain.flush(60)
    swapping.chain.close()


def test_shadowed_apps_say_how_far_the_student_agrees(
    tmp_path: Path, make_student: Callable[..., str]
) -> None:
    swapping = Swapping("retrieval", tmp_path / "u.db")
    first = swapping.app()
    assert swapping.chain is not None
    folder = make_student(swapping.chain.task)
    app = swapping.app(mode="shadow", student=folder, reasoning="-")
    answers = app.batch([NEWS, OTHER])
    assert swapping.chain.flush(60)
    assert first.invoke(NEWS) == answers[0]

    with Store(swapping.store) as store:
        calls = [call for call in iter_calls(store, "reading") if call.agreed is not None]
        (run,) = store.runs("reading", "student")
        said = store.records(run.id)
    assert len(calls) == len(said) == 2
    assert all(record.answer and record.confidence for record in said)
    assert all(0 < (call.confidence or 0) <= 1 for call in calls)
    assert run.id == swapping.chain.desk.student.run.id  # type: ignore[union-attr]


def test_a_stand_ins_student_is_the_run_that_evaluate_makes(
    tmp_path: Path, make_student: Callable[..., str]
) -> None:
    swapping = Swapping("parser", tmp_path / "u.db")
    swapping.app()
    assert swapping.chain is not None
    folder = make_student(swapping.chain.task)
    (evaluated,) = local_models(swapping.chain.task, [folder], None)
    for student in (folder, ChatStudent(model=folder, reasoning="put in")):
        swapping.app(student=student, reasoning="put in")
        assert swapping.chain.desk.student is not None
        assert swapping.chain.desk.student.run.id == evaluated.run.id


def test_a_student_of_labels_behind_a_required_reasoning_is_refused_when_built(
    tmp_path: Path, make_student: Callable[..., str]
) -> None:
    swapping = Swapping("parser", tmp_path / "u.db")
    swapping.app()
    assert swapping.chain is not None
    folder = make_student(swapping.chain.task)
    with pytest.raises(SwapError, match="requires raciocinio; say with reasoning= what to put"):
        swapping.app(mode="shadow", student=folder)
    app = swapping.app(
        mode="student", student=ChatStudent(model=folder, reasoning="sem raciocínio")
    )
    assert app.invoke(NEWS).raciocinio == "sem raciocínio"


WRITER = """
import sys, threading, time
from pathlib import Path
from tests.swap_samples import app
from understudy.distill import swap

store, who, calls = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chain = swap(app(), store=store, bound=100_000)

def work(thread):
    for n in range(calls):
        chain.invoke({"text": f"{who} {thread} {n}"})
        time.sleep(0.01)
        if not n % 10:
            print(n, flush=True)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert chain.flush(60), chain.counts
print("counts", chain.counts["recorded"], chain.counts["failed"], chain.counts["shed"], flush=True)
"""


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[tuple[Path, list[subprocess.Popen[str]]]]:
    """Three processes of eight threads each that record into one store."""
    root = Path(__file__).parents[1]
    store = tmp_path / "u.db"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    calls = {"a": "25", "b": "25", "killed": "100000"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store), who, count],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who, count in calls.items()
    ]
    yield store, started
    for process in started:
        process.kill()
        process.wait()


def test_eight_threads_of_three_processes_share_a_store_and_one_is_killed(
    writers: tuple[Path, list[subprocess.Popen[str]]],
) -> None:
    store, (first, second, killed) = writers
    assert killed.stdout is not None
    while not _rows_of(store, "killed"):  # it is in the middle of writing
        assert killed.poll() is None
        killed.stdout.readline()
        time.sleep(0.05)
    killed.kill()
    ends = [process.communicate(timeout=120)[0].splitlines()[-1] for process in (first, second)]

    assert ends == ["counts 200 0 0", "counts 200 0 0"]
    with sqlite3.connect(store) as reader:
        assert reader.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert not reader.execute("pragma foreign_key_check").fetchall()
    with Store(store) as opened:
        (run,) = opened.runs("verdict", "teacher")
        pairs = opened.pairs(run.id)
        calls = list(iter_calls(opened, "verdict"))
    by = {who: [pair for pair in pairs if pair[0].inputs["text"].startswith(who)] for who in "abk"}
    assert (len(by["a"]), len(by["b"])) == (200, 200)
    assert len(by["k"]) > 0
    for example, record in pairs:  # every row is whole
        assert record.reasoning == f"it says {example.inputs['text']}"
        assert json.loads(str(record.raw))["mood"] == (record.answer or {})["mood"]
        assert record.input_tokens == 11
    assert {call.example for call in calls} == {example.id for example, _ in pairs}


def _rows_of(store: Path, who: str) -> int:
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as reader:
            statement = "select count(*) from examples where inputs like ?"
            return int(reader.execute(statement, (f'%"{who} %',)).fetchone()[0])
    except sqlite3.OperationalError:  # it is not there yet, or is being made
        return 0
