"""The loop: what it stores, what it asks again, and when it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from understudy.chains import Task, answer_chain
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError, Limits
from understudy.distill.loop import FAILURES_IN_A_ROW, NOTHING_IN_A_ROW, run_chain
from understudy.distill.recorded import record_labels
from understudy.distill.redaction import one_line
from understudy.distill.runs import describe_run
from understudy.examples.news.task import task, teacher
from understudy.store import Example, Store, StoreError, example_id

SENTENCES = {
    "f1": "Moradores comemoraram a alta do emprego.",
    "f2": "A enchente deixou vizinhos apavorados.",
    "f3": "O conselho se reuniu ontem.",
}


def examples(count: int, split: str = "train") -> list[Example]:
    made = []
    for number in range(count):
        inputs = {**SENTENCES, "f3": f"O conselho se reuniu pela {number}a vez."}
        made.append(Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs))
    return made


@pytest.fixture
def store():
    with Store(":memory:") as opened:
        yield opened


class Scripted(BaseChatModel):
    """Answers each row by `reply(text of the last message, how often it was asked)`."""

    reply: Any
    asked: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.append(str(messages[-1].text))
        args = self.reply(self.asked[-1], len(self.asked))
        name = kwargs["tools"][0].get("title") or kwargs["tools"][0]["function"]["name"]
        message = AIMessage(
            content="",
            tool_calls=[{"name": name, "args": args, "id": "1"}],
            usage_metadata={"input_tokens": 100, "output_tokens": 20, "total_tokens": 120},
            response_metadata={"model_name": "scripted-1"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def good(text: str = "", count: int = 0) -> dict[str, Any]:
    part = {"polaridade": "Neutro", "emocao": "Neutro"}
    return {"raciocinio": "sem pista", "f1": part, "f2": part, "f3": part}


def test_a_label_is_stored_with_what_it_cost_and_how_it_was_made(store):
    store.add_examples(examples(1))
    run = label(task, Scripted(reply=good), store)
    (record,) = store.records(run.id)
    assert record.answer == {key: value for key, value in good().items() if key != "raciocinio"}
    assert record.reasoning == "sem pista"
    assert json.loads(record.raw or "") == good()
    assert (record.input_tokens, record.output_tokens, record.attempts) == (100, 20, 1)
    assert (record.model, record.error) == ("scripted-1", None)
    assert record.seconds > 0
    assert run.finished is not None
    assert (run.words, run.answers) == (task.teacher_words, task.answers)


def test_what_is_answered_is_not_asked_again(store):
    store.add_examples(examples(5))
    first, second = Scripted(reply=good, asked=[]), Scripted(reply=good, asked=[])
    label(task, first, store, limit=3)
    run = label(task, second, store)
    assert (len(first.asked), len(second.asked)) == (3, 2)
    assert len(store.records(run.id)) == 5


def test_a_label_outside_the_schema_is_a_record_and_the_run_goes_on(store):
    def reply(text, count):
        answer = good()
        return (
            {**answer, "f1": {"polaridade": "Ótimo", "emocao": "Neutro"}} if count == 2 else answer
        )

    store.add_examples(examples(4))
    run = label(task, Scripted(reply=reply, asked=[]), store, concurrency=1, schema_retries=0)
    failed = [record for record in store.records(run.id) if record.answer is None]
    assert len(store.records(run.id)) == 4
    assert len(failed) == 1
    assert "f1.polaridade" in (failed[0].error or "")
    assert "Ótimo" in (failed[0].raw or "")


def test_an_answer_that_was_paid_for_is_not_bought_again_a_call_that_gave_nothing_is(store):
    def broken(text, count):
        raise ConnectionError("no route")

    store.add_examples(examples(3))
    run = label(
        task, Scripted(reply=broken, asked=[]), store, concurrency=1, limits=Limits(retries=0)
    )
    assert {r.error for r in store.records(run.id)} == {"ConnectionError: no route"}
    again = Scripted(reply=lambda text, count: {"raciocinio": "x"}, asked=[])  # paid, but no answer
    label(task, again, store, schema_retries=0)
    third = Scripted(reply=good, asked=[])
    label(task, third, store)
    assert (len(again.asked), len(third.asked)) == (3, 0)


def test_a_teacher_that_fails_on_every_row_stops_and_says_why(store):
    def broken(text, count):
        raise PermissionError("Incorrect API key provided: sk-verysecret1234567890")

    model = Scripted(reply=broken, asked=[])
    store.add_examples(examples(60))
    with pytest.raises(
        LabellingError, match=r"nothing for 10 rows in a row.*Incorrect API key"
    ) as e:
        label(task, model, store, concurrency=4)
    assert NOTHING_IN_A_ROW <= len(model.asked) <= NOTHING_IN_A_ROW + 4
    assert "verysecret" not in str(e.value)
    assert "\n" not in str(e.value)


def test_a_teacher_that_answers_rubbish_on_every_row_stops_and_can_be_asked_again(store):
    store.add_examples(examples(60))
    rubbish = Scripted(reply=lambda text, count: {"raciocinio": "não sei"})
    with pytest.raises(LabellingError, match=r"no valid answer for 25 rows.*--retry-failed"):
        label(task, rubbish, store, concurrency=1, schema_retries=0)
    assert len(rubbish.asked) == FAILURES_IN_A_ROW
    mended = Scripted(reply=good)
    run = label(task, mended, store, retry_failed=True)
    assert len(mended.asked) == 60
    assert all(record.answer for record in store.records(run.id))
    assert {record.attempts for record in store.records(run.id)} == {1, 2}  # what was paid counts


@pytest.mark.needs_posix
def test_an_interrupt_in_a_notebook_asks_no_new_row():
    """The stop button raises in the cell's thread while the loop runs in another."""
    code = textwrap.dedent(
        """
        import asyncio, os, signal, sys, threading, time
        from understudy.distill.event_loop import run_coroutine
        asked = []
        async def job():
            for number in range(100):
                asked.append(number)
                await asyncio.sleep(0.05)
        async def cell():
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                run_coroutine(job())
            except KeyboardInterrupt:
                print("stopped", len(asked) < 50)
        asyncio.new_event_loop().run_until_complete(cell())  # as a notebook does
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "stopped True" in ended.stdout, ended.stderr


def test_keys_do_not_reach_a_record(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "a-very-private-value")
    line = one_line(ValueError("refused a-very-private-value\nand hf_abcdefghijklmnop"))
    assert line == "ValueError: refused *** and ***"


def test_what_a_provider_says_moves_no_terminal():
    line = one_line(ValueError("\x1b]0;title\x07 gone\u202e"))
    assert line == r"ValueError: \x1b]0;title\x07 gone\u202e"


def test_it_works_inside_a_running_event_loop(store):
    async def notebook_cell():
        return label(task, teacher, store)

    store.add_examples(examples(3))
    run = asyncio.run(notebook_cell())
    assert len(store.records(run.id)) == 3


def test_no_examples_is_said(store):
    with pytest.raises(LabellingError, match="no examples"):
        label(task, teacher, store)


def test_changed_words_are_another_run_and_changed_student_words_are_not(store):
    def with_words(**words):
        kept = {
            name: getattr(task, name)
            for name in ("name", "schema", "reasoning", "prompt", "student_prompt")
        }
        return Task(**{**kept, **words})

    store.add_examples(examples(1))
    same = label(task, teacher, store)
    student = with_words(student_prompt=task.prompt)
    assert label(student, teacher, store).id == same.id
    other = with_words(prompt=task.student_prompt)
    assert label(other, teacher, store).id != same.id


def test_a_recorded_teacher_is_a_run_like_any_other(store):
    (example, other) = examples(2)
    answer = {key: value for key, value in good().items() if key != "raciocinio"}
    rows: list[tuple[Example, dict[str, Any]]] = [
        (example, {"answer": answer, "reasoning": "porque sim", "raw": "porque sim ..."}),
        (other, {"answer": None, "raw": "não sei"}),
    ]
    run = record_labels(task, store, rows, model="somebody-540B")
    first, second = store.records(run.id)
    assert (first.answer, first.reasoning, first.raw) == (answer, "porque sim", "porque sim ...")
    assert (second.answer, second.error) == (None, "the recorded output has no answer")
    assert run.model == "somebody-540B"
    assert record_labels(task, store, rows, model="somebody-540B").id == run.id
    assert len(store.records(run.id)) == 2


def test_recorded_labels_in_other_writings_are_the_schemas(store):
    (example,) = examples(1)
    part = {"polaridade": "neutro", "emocao": "Surpreza"}
    answer = {"f1": part, "f2": dict(part), "f3": dict(part)}
    run = record_labels(task, store, [(example, {"answer": answer})], model="m")
    (record,) = store.records(run.id)
    assert record.answer is not None
    assert record.answer["f1"] == {"polaridade": "Neutro", "emocao": "Surpresa"}


def test_a_store_that_cannot_write_stops_the_run(store):
    class Full(Store):
        def add_record(self, record):
            raise StoreError("the disk is full")

    with Full(":memory:") as full:
        full.add_examples(examples(20))
        run = full.start_run(
            describe_run(task, role="teacher", name="t", model=teacher, target="reason_label")
        )
        with pytest.raises(StoreError, match="disk is full"):
            run_chain(answer_chain(task, teacher), task, full, run)


@pytest.mark.parametrize(
    "how", ["killed", pytest.param("interrupted", marks=pytest.mark.needs_posix)]
)
def test_a_killed_run_labels_each_row_once(tmp_path, how):
    """Killed in the middle and run again: every row has one record, none was asked twice."""
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from understudy.distill.labelling.label import label
            from understudy.examples.news.task import task, teacher
            from understudy.store import Store, Example, example_id

            class Slow(type(teacher)):
                async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
                    await asyncio.sleep(0.02)
                    with open(sys.argv[2], "a") as log:
                        log.write(messages[-1].text.replace("\\n", " ") + "\\n")
                    return self._generate(messages, stop, **kwargs)

            with Store(sys.argv[1]) as store:
                if not store.examples(task.name):
                    rows = [{"f1": "Alta.", "f2": "Queda.", "f3": f"Dia {n}."} for n in range(120)]
                    store.add_examples(
                        Example(id=example_id(r), task=task.name, split="train", inputs=r)
                        for r in rows
                    )
                label(task, Slow(), store, concurrency=4)
            """
        ),
        encoding="utf-8",
    )
    database, log = tmp_path / "store.db", tmp_path / "asked.log"
    command = [sys.executable, str(script), str(database), str(log)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not log.exists() or log.read_text().count("\n") < 20:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill() if how == "killed" else process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    before = log.read_text().splitlines()
    assert len(before) < 120
    assert subprocess.run(command, check=False).returncode == 0
    asked = log.read_text().splitlines()
    with Store(database) as store:
        (run,) = store.runs(task=task.name)
        records = store.records(run.id)
    assert len(records) == len({record.example for record in records}) == 120
    in_flight = 4 if how == "killed" else 0  # what a dead process held cannot be known
    assert len(asked) <= 120 + in_flight
