"""Recording off the caller's path: nothing blocks, nothing raises, what is lost is counted."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from understudy.chains.task import Task, Thought
from understudy.distill.evaluation.systems import teaching_run
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.labelling.prices import Usage, price_per_million
from understudy.distill.runs import describe_run
from understudy.distill.standin import background
from understudy.distill.standin.background import Background
from understudy.distill.standin.recorder import Recorded, Recorder, Seen, chosen
from understudy.distill.standin.seen import Packing, chained
from understudy.store import Example, Store, example_id
from understudy.store.checks import verify
from understudy.store.splits import split_of
from understudy.store.stand_ins import iter_calls, stand_in


class Verdict(BaseModel):
    reasoning: str
    mood: Literal["calm", "angry"]
    note: str = ""


TASK = Task(
    name="moods",
    schema=Verdict,
    prompt=ChatPromptTemplate.from_messages([("human", "How does this feel? {text}")]),
    reasoning="reasoning",
)
STUDENT = describe_run(TASK, role="student", name="small", model="runs/small", target="label")


def thought(mood: str = "calm", **fields: Any) -> Thought:
    return TASK.thought({"reasoning": "because", "mood": mood, **fields})


def seen(text: str, mood: str = "calm", **fields: Any) -> Seen:
    return Seen(**{"inputs": {"text": text}, "thought": thought(mood), "seconds": 0.5, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def recorder(path):
    made = Recorder(TASK, path, name="app", teacher="wise-1")
    yield made
    made.close()


def counts(path: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("examples", "records", "calls")
        }


def test_a_call_becomes_an_example_a_record_of_the_teacher_and_a_call(path):
    recorder = Recorder(
        TASK,
        path,
        name="app",
        teacher="wise-1",
        price=price_per_million("the test", input=1_000_000, output=2_000_000),
    )
    usage = Usage(input_tokens=3, output_tokens=2)
    assert recorder.record(seen("olá", usage=usage, raw="{...}", model="wise-1-x", at=86_400.25))
    assert recorder.flush()
    assert recorder.close()
    id_ = example_id({"text": "olá"})
    with Store(path) as store:
        assert store.examples("moods") == [
            Example(id=id_, task="moods", split=split_of(id_), inputs={"text": "olá"})
        ]
        (run,) = store.runs()
        assert (run.role, run.name, run.model, run.strategy) == (
            "teacher",
            "teacher",
            "wise-1",
            "recorded",
        )
        assert run.finished
        record = store.record(run.id, id_)
        assert record is not None
        assert record.model_dump(exclude_none=True) == {
            "run": run.id,
            "example": id_,
            "reasoning": "because",
            "answer": {"mood": "calm", "note": ""},
            "raw": "{...}",
            "attempts": 1,
            "input_tokens": 3,
            "output_tokens": 2,
            "cost": 7.0,
            "seconds": 0.5,
            "model": "wise-1-x",
            "created": "1970-01-02T00:00:00+00:00",
        }
        (call,) = iter_calls(store, "app")
        assert call.model_dump(exclude_none=True) == {
            "number": 1,
            "stand_in": "app",
            "example": id_,
            "at": "1970-01-02T00:00:00.250+00:00",
            "answered_by": "teacher",
            "escalated": False,
            "sampled": False,
            "seconds": 0.5,
            "labels": {"mood": "calm"},
            "length": 3,
            "input_tokens": 3,
            "output_tokens": 2,
            "cost": 7.0,
        }
        here = stand_in(store, "app")
        assert here is not None
        assert (here.mode, here.task, here.changed) == (
            "record",
            "moods",
            "1970-01-02T00:00:00+00:00",
        )
        assert verify(store) == []


def test_the_same_question_again_is_the_same_row_and_another_call(recorder, path):
    for mood in ("calm", "angry"):
        recorder.record(seen("de novo", mood))
    recorder.flush()
    assert counts(path) == {"examples": 1, "records": 1, "calls": 2}
    with Store(path) as store:
        (record,) = store.records(recorder.teacher_run.id)
        assert record.answer == {"mood": "calm", "note": ""}


def test_a_failure_is_a_record_that_a_later_answer_replaces(recorder, path):
    recorder.record(seen("x", thought=None, error=TimeoutError("no reply")))
    recorder.flush()
    with Store(path) as store:
        (record,) = store.records(recorder.teacher_run.id)
        assert (record.answer, record.error) == (None, "TimeoutError: no reply")
        recorder.record(seen("x"))
        recorder.flush()
        (record,) = store.records(recorder.teacher_run.id)
        assert (record.answer, record.error) == ({"mood": "calm", "note": ""}, None)
        assert [call.error for call in iter_calls(store, "app")] == ["TimeoutError: no reply", None]


@pytest.mark.parametrize(
    ("fields", "agreed"),
    [
        ({"student": thought("calm")}, True),
        ({"student": thought("angry")}, False),
        ({"student_error": "it died"}, False),
        ({"student": thought("calm"), "thought": None, "error": "down"}, None),
        ({"student": thought("calm"), "thought": None, "answered_by": "student"}, None),
    ],
)
def test_the_students_answer_is_a_record_of_its_run_and_both_are_compared(path, fields, agreed):
    recorder = Recorder(TASK, path, name="app", teacher="wise-1", student_run=STUDENT)
    recorder.record(seen("x", confidence=0.75, student_seconds=0.125, **fields))
    recorder.close()
    with Store(path) as store:
        (record,) = store.records(STUDENT.id)
        assert (record.answer is None) == ("student_error" in fields)
        assert record.seconds == 0.125
        (call,) = iter_calls(store, "app")
        assert (call.agreed, call.confidence) == (agreed, 0.75)
        teachers = store.runs(role="teacher")
        assert len(teachers) == (0 if fields.get("answered_by") else 1)


def test_recorded_rows_teach_without_anything_being_bought(recorder, path):
    for number in range(40):
        recorder.record(seen(f"linha {number}"))
    recorder.flush()
    with Store(path) as store:
        assert teaching_run(store, TASK).id == recorder.teacher_run.id


def test_what_the_apps_own_model_answered_is_not_bought_again_by_label(path):
    asked = []

    class Model(BaseChatModel):
        model_name: str = "wise-1"

        @property
        def _llm_type(self) -> str:
            return "counting"

        def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
            asked.append(messages[-1].text)
            reply = AIMessage('{"reasoning": "r", "mood": "angry", "note": ""}')
            return ChatResult(generations=[ChatGeneration(message=reply)])

    model = Model(profile={"structured_output": False, "tool_calling": False})
    recorder = Recorder(TASK, path, name="app", teacher=model)
    recorder.record(seen("da app"))
    recorder.close()
    with Store(path) as store:
        new = {"text": "nova"}
        store.add_examples([Example(id=example_id(new), task="moods", split="train", inputs=new)])
        run = label(TASK, model, store)
        assert run.id == recorder.teacher_run.id
        assert len(asked) == 1
        assert "nova" in asked[0]
        moods = {e.inputs["text"]: r.answer and r.answer["mood"] for e, r in store.pairs(run.id)}
        assert moods == {"da app": "calm", "nova": "angry"}


PERSONAL = "ana@exemplo.com (11) 91234-5678 529.982.247-25 4111 1111 1111 1111"


def test_nothing_personal_and_no_key_is_in_what_is_queued(monkeypatch):
    monkeypatch.setenv("APP_SECRET", "hunter2-hunter2")
    from understudy.distill.redaction import key_redactor
    from understudy.distill.standin.redactors import without_personal

    packing = Packing(TASK, chained(without_personal, key_redactor()))
    held = packing.pack(
        seen(
            f"text {PERSONAL} sk-abcdefghijkl",
            thought=thought(note=PERSONAL, reasoning=f"hunter2-hunter2 {PERSONAL}"),
            raw=f"raw {PERSONAL}",
            student_error=f"no {PERSONAL} hunter2-hunter2",
        ),
        STUDENT,
    )
    text = repr(held)
    for piece in (*PERSONAL.split(" "), "hunter2", "abcdefghijkl"):
        assert piece not in text
    assert held.inputs == {"text": "text [e-mail] [phone] [CPF] [card] ***"}
    assert held.teacher is not None
    assert held.teacher["answer"] == {"mood": "calm", "note": "[e-mail] [phone] [CPF] [card]"}


def test_an_apps_own_redactor_is_taken_and_none_keeps_personal_text(path):
    for name, redact, kept in (
        ("own", lambda text: text.replace("Ana", "N."), "N. ana@exemplo.com"),
        ("none", None, "Ana ana@exemplo.com"),
    ):
        recorder = Recorder(TASK, path, name=name, teacher="t", redact=redact)
        recorder.record(seen("Ana ana@exemplo.com"))
        recorder.close()
        with Store(path) as store:
            assert store.examples("moods")[-1].inputs == {"text": kept}


def test_a_redactor_that_raises_costs_the_record_and_not_the_call(path, caplog):
    def broken(_: str) -> str:
        raise KeyError("oops")

    recorder = Recorder(TASK, path, name="app", teacher="t", redact=broken)
    assert [recorder.record(seen("x")) for _ in range(3)] == [False] * 3
    assert recorder.counts == Recorded(lost=3)
    assert len([text for text in caplog.messages if "not recorded" in text]) == 1


def test_without_text_only_hashes_labels_tokens_and_times_are_kept(path):
    recorder = Recorder(TASK, path, name="app", teacher="t", student_run=STUDENT, store_text=False)
    usage = Usage(input_tokens=5, output_tokens=1)
    recorder.record(
        seen("uma frase inconfundível", usage=usage, raw="outra coisa", student=thought("angry"))
    )
    recorder.close()
    assert counts(path) == {"examples": 0, "records": 0, "calls": 1}
    with Store(path) as store:
        (call,) = iter_calls(store, "app")
        assert call.example == example_id({"text": "uma frase inconfundível"})
        assert (call.labels, call.agreed, call.input_tokens) == ({"mood": "angry"}, False, 5)
        with pytest.raises(LabellingError, match="run distill first"):
            teaching_run(store, TASK)
    recorder = Recorder(TASK, path, name="app", teacher="t", store_text=False)
    recorder.record(seen("x", thought=None, error=ValueError("uma frase inconfundível")))
    recorder.record(seen("y", thought=None, error="uma frase inconfundível"))
    recorder.close()
    with Store(path) as store:
        errors = [call.error for call in iter_calls(store, "app")]
    assert errors == [None, "ValueError", "failed"]
    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert "inconfundível".encode() not in held
    assert b"because" not in held


def test_sampling_takes_the_same_questions_whoever_asks(path):
    texts = [{"text": f"pergunta {number}"} for number in range(2000)]
    taken = [chosen(inputs, 0.25) for inputs in texts]
    assert 430 < sum(taken) < 570
    assert all(chosen(i, 0.5) for i, took in zip(texts, taken, strict=True) if took)
    recorder = Recorder(TASK, path, name="app", teacher="t", sampling=0.25)
    recorded = [recorder.record(seen(inputs["text"])) for inputs in texts[:100]]
    assert recorded == taken[:100]
    assert recorder.counts.left_out == 100 - sum(recorded)
    with pytest.raises(ValueError, match="share from 0 to 1"):
        Recorder(TASK, path, name="app", teacher="t", sampling=1.5)


@pytest.mark.parametrize("text", ["", "x" * 20_001, "a\0b"])
def test_a_text_that_no_row_may_hold_is_a_call_without_one(recorder, path, text):
    recorder.record(seen(text))
    recorder.flush()
    assert counts(path) == {"examples": 0, "records": 0, "calls": 1}
    assert recorder.counts.textless == 1


def test_half_a_surrogate_pair_is_stored_as_a_question_mark(recorder, path):
    recorder.record(seen("a\ud800b"))
    recorder.flush()
    with Store(path) as store:
        assert store.examples("moods")[0].inputs == {"text": "a?b"}


@pytest.mark.filterwarnings("ignore:Pydantic serializer:UserWarning")
def test_an_answer_that_redaction_breaks_is_a_failure_that_says_so(path):
    class Strict(BaseModel):
        mood: Literal["calm"]
        year: int

    task = Task(name="strict", schema=Strict, prompt=TASK.prompt)
    recorder = Recorder(task, path, name="app", teacher="t", redact=lambda text: text)
    answer = task.thought({"mood": "calm", "year": 1}).answer.model_copy(update={"year": "soon"})
    recorder.record(Seen(inputs={"text": "x"}, thought=Thought(reasoning=None, answer=answer)))
    recorder.close()
    with Store(path) as store:
        (record,) = store.records(recorder.teacher_run.id)
        assert record.answer is None
        assert "cannot be kept as it was redacted: year" in (record.error or "")


def test_above_the_bound_calls_are_shed_and_counted_and_none_below_it_is_lost(path):
    Store(path).close()
    recorder = Recorder(TASK, path, name="app", teacher="t", bound=100)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        took = []
        taken = 0
        for number in range(400):
            start = time.perf_counter()
            taken += recorder.record(seen(f"linha {number}"))
            took.append(time.perf_counter() - start)
            if number == 50:
                time.sleep(0.2)  # the writer takes these and waits for the lock
        found = recorder.counts
        assert found.queued == taken
        assert found.shed == 400 - taken
        assert 100 <= taken < 400
        assert sorted(took)[200] < 0.05
        other.execute("rollback")
    assert recorder.flush(20)
    assert recorder.counts.written == taken
    assert counts(path)["calls"] == taken
    recorder.close()


@pytest.mark.parametrize("place", ["folder", "nowhere/app.db", "noise.db"])
def test_a_store_that_cannot_be_used_is_logged_once_and_counted(tmp_path, caplog, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise.db").write_bytes(b"no database at all" * 100)
    recorder = Recorder(TASK, tmp_path / place, name="app", teacher="t")
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert recorder.record(seen(f"linha {number}"))
            assert recorder.flush()
    assert recorder.counts.lost == 3
    assert len([text for text in caplog.messages if "recording app" in text]) == 1
    recorder.close()


@pytest.mark.needs_posix
def test_a_store_put_in_anothers_place_is_taken_up(recorder, path):
    recorder.record(seen("antes"))
    recorder.flush()
    for file in path.parent.glob("app.db*"):
        file.unlink()
    recorder.record(seen("depois"))
    recorder.flush()
    with Store(path) as store:
        assert [row.inputs["text"] for row in store.examples("moods")] == ["depois"]
        assert len(store.records(recorder.teacher_run.id)) == 1


@pytest.mark.needs_posix
def test_the_files_are_their_owners_alone(recorder, path):
    recorder.record(seen("x"))
    recorder.flush()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}


def test_agreement_is_of_what_was_said_and_not_of_what_is_kept(path):
    class Mail(BaseModel):
        to: str

    prompt = ChatPromptTemplate.from_messages([("human", "To whom? {text}")])
    task = Task(name="mails", schema=Mail, prompt=prompt)
    recorder = Recorder(task, path, name="app", teacher="wise-1")
    for text, said in (("first", "ana@x.org"), ("second", "[e-mail]")):
        teacher, student = (Thought(None, Mail(to=to)) for to in ("ana@x.org", said))
        recorder.record(Seen(inputs={"text": text}, thought=teacher, student=student))
    recorder.close()
    with Store(path) as store:
        assert [call.agreed for call in iter_calls(store, "app")] == [True, False]
        pairs = store.iter_pairs(recorder.teacher_run.id)
        assert [record.answer for _, record in pairs] == [{"to": "[e-mail]"}] * 2


def test_the_thread_ends_when_there_is_nothing_to_do_and_the_next_item_starts_another(monkeypatch):
    monkeypatch.setattr(background, "IDLE", 0.02)
    done: list[int] = []
    rested: list[int] = []
    queue: Background[int] = Background(
        10, done.extend, "test idling", rest=lambda: rested.append(1), linger=0.0
    )
    for number in (1, 2):
        queue.put(number)
        queue.flush()
        end = time.monotonic() + 5
        while any(t.name == "test idling" for t in threading.enumerate()):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert (done, len(rested)) == (list(range(1, number + 1)), number)
    assert queue.close()
    assert not queue.put(3)


def test_work_that_raises_is_counted_and_the_next_batch_is_worked_off(caplog):
    def work(items: list[int]) -> None:
        if 13 in items:
            raise OSError("no luck")
        time.sleep(0)

    queue: Background[int] = Background(10, work, "test", linger=0.0)
    for item in (13, 1, 13, 2):
        queue.put(item)
        queue.flush()
    assert (queue.counts.failed, queue.counts.done) == (2, 2)
    assert caplog.messages == ["test: OSError: no luck (said once; counted from now on)"]
    queue.close()


@pytest.mark.needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_records_its_own_calls_and_none_twice(recorder, path):
    recorder.record(seen("da mãe"))
    recorder.flush()
    for number in range(20):
        recorder.record(seen(f"mãe {number}"))
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            recorder.record(seen("do filho"))
            status = 0 if recorder.flush(10) and recorder.counts.written == 1 else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    recorder.flush()
    assert counts(path) == {"examples": 22, "records": 22, "calls": 22}
    with Store(path) as store:
        assert verify(store) == []


APP = """
import sys, time
sys.path.insert(0, {tests!r})
from test_recorder import TASK, Recorder, seen
from understudy.distill.standin import background
recorder = Recorder(TASK, sys.argv[1], name="app", teacher="wise-1")
for number in range(20):
    recorder.record(seen(f"linha {{number}}"))
"""


def app(path: Path, code: str) -> subprocess.Popen[str]:
    text = APP.format(tests=str(Path(__file__).parent)) + code
    arguments = [sys.executable, "-c", text, str(path)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_waits_at_the_end_of_the_program_is_written(path):
    assert app(path, "").communicate(timeout=60) == ("", "")
    assert counts(path) == {"examples": 20, "records": 20, "calls": 20}


def test_a_program_ends_in_time_though_its_store_is_held(path):
    Store(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        process = app(path, "background.AT_EXIT = 0.5\nprint(time.time())")
        out, _ = process.communicate(timeout=60)
        assert time.time() - float(out) < 4


ROWS = 30
KILLED = "a"  # it asks long enough to be killed on its way


def ask_from_eight_threads(path: Path, name: str, begun: Any) -> None:
    recorder = Recorder(TASK, path, name="app", teacher="wise-1")

    def ask(thread: int) -> None:
        for number in range(ROWS if name != KILLED else 100 * ROWS):
            recorder.record(seen(f"{name} {thread} {number}"))
            recorder.record(seen(f"de todos {number}"))
            time.sleep(0.002)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join()
    written = recorder.flush(60) and recorder.counts.written == 2 * 8 * ROWS
    os._exit(0 if written else 1)


@pytest.mark.needs_fork
def test_eight_threads_of_three_processes_share_a_store_and_one_is_killed(path):
    fork = multiprocessing.get_context("fork")
    begun = [fork.Event() for _ in "abc"]
    processes = [
        fork.Process(target=ask_from_eight_threads, args=(path, name, event))
        for name, event in zip("abc", begun, strict=True)
    ]
    for process in processes:
        process.start()
    for event in begun:
        assert event.wait(60)
    time.sleep(0.05)
    processes[0].kill()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0, 0]
    with Store(path) as store:
        assert verify(store) == []
        texts = {example.inputs["text"] for example in store.iter_examples("moods")}
        whole = {f"{name} {t} {n}" for name in "bc" for t in range(8) for n in range(ROWS)}
        assert whole | {f"de todos {n}" for n in range(ROWS)} <= texts
        (run,) = store.runs()
        assert {e.inputs["text"] for e, _ in store.iter_pairs(run.id)} == texts
        assert sum(1 for _ in iter_calls(store, "app")) >= 2 * 2 * 8 * ROWS


def test_recording_needs_none_of_the_large_libraries():
    code = (
        "import sys, understudy.distill.standin.recorder, understudy.distill.standin.callback;"
        "import json; print(json.dumps(sorted(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "torch", "transformers", "langchain", "openai", "aiohttp", "sklearn", "scipy"}
    assert not heavy & set(json.loads(out.stdout))
