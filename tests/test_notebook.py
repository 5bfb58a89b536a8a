"""A student as the course's notebook serves it: what it answers, and its share of valid answers."""

from __future__ import annotations

from pathlib import Path

from understudy.chains.answer import answer_chain
from understudy.chains.student import ChatStudent
from understudy.chains.task import Task
from understudy.distill.evaluation.notebook import notebook_chain
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.recorded import record_labels
from understudy.store import Example, Store, example_id


def test_what_the_notebook_parses_is_what_the_student_answers(
    tiny_task: Task, tiny_student: Path
) -> None:
    chain = notebook_chain(tiny_task, tiny_student)
    own = answer_chain(tiny_task, ChatStudent(model=str(tiny_student)))
    rows = [{"sentence": text} for text in ("A enchente deixou vizinhos apavorados.", "Sol.", "Oi")]
    given = chain.batch(rows, {"max_concurrency": 1}, return_exceptions=True)
    valid = [(one, row) for one, row in zip(given, rows, strict=True) if not _failed(one)]
    assert [one.answer for one, _ in valid] == [own.invoke(row).answer for _, row in valid]


def test_its_share_of_valid_answers_is_in_the_report(tiny_task: Task, tiny_student: Path) -> None:
    with Store(":memory:") as store:
        for split in ("train", "test"):
            rows = [{"sentence": f"{split} {number}"} for number in range(30)]
            answer = {"answer": {"mood": "Medo", "urgent": False}, "reasoning": "x"}
            record_labels(tiny_task, store, [(_example(tiny_task, r, split), answer) for r in rows],
                          model="m")  # fmt: skip
        report = evaluate(tiny_task, store, notebook=tiny_student)
        again = evaluate(tiny_task, store, notebook=tiny_student)
        (run,) = [run for run in store.runs(tiny_task.name) if run.name == "notebook"]
        records = store.records(run.id)
    system = next(one for one in report.systems if one.name == "notebook")
    assert system.splits["test"].rows == len(records) == 30
    assert system.splits["test"].valid.value == sum(r.answer is not None for r in records) / 30
    assert [one.name for one in again.systems] == [one.name for one in report.systems]
    assert "HuggingFacePipeline" in system.description


def _failed(answer: object) -> bool:
    return isinstance(answer, Exception)


def _example(task: Task, inputs: dict[str, str], split: str) -> Example:
    gold = {"mood": "Medo", "urgent": False}
    return Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs, gold=gold)
