"""The extraction task runs the whole loop: import, label, train, evaluate, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.chains.student.card import read_card
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.importing import import_examples
from understudy.distill.labelling.label import label
from understudy.distill.reporting.pages import write_report
from understudy.distill.training.train import train
from understudy.examples.extraction.task import data, task, teacher
from understudy.store import Store

REFERENCE = "understudy.examples.extraction.task:task"


@pytest.mark.slow
def test_the_extraction_task_runs_from_its_file_to_the_report_with_valid_answers(tmp_path: Path):
    with Store(tmp_path / "orders.db") as store:
        import_examples(store, REFERENCE, data, split_column="split")
        run = label(task, teacher, store)
        assert {record.error for record in store.records(run.id)} == {None}
        folder = train(task, store, out=tmp_path / "student", base="embedded", limit=16, epochs=1)
        assert read_card(folder).training["rows"] == 16
        found = evaluate(task, store, students=[folder], splits=["test"], limit=6)
        [student] = store.runs(task=task.name, role="student")
        answers = [record.answer for record in store.records(student.id)]
    assert len(answers) == 6
    assert all(task.answer_json(task.thought(answer or {}).answer) == answer for answer in answers)
    scores = {system.name: system.splits["test"] for system in found.systems}
    assert set(scores) == {"teacher", "majority", "student"}
    assert {(s.rows, s.errors, s.valid.value) for s in scores.values()} == {(6, 0, 1.0)}
    assert scores["student"].gold is not None
    assert set(scores["student"].gold.fields) == set(task.paths)
    page = write_report(found, tmp_path / "report")
    assert "delivery_note" in page.read_text(encoding="utf-8")
    written = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert written["task"] == "orders"
