"""Everybody through the same loop: baselines, a real tiny student, and the report's figures."""

from __future__ import annotations

import pytest

from understudy.chains import StudentError
from understudy.distill.evaluation.baselines import majority_chain, tfidf_chain
from understudy.distill.evaluation.comparing import compare, held_out
from understudy.distill.evaluation.scoring import split_result
from understudy.distill.evaluation.systems import evaluate, teaching_run
from understudy.distill.labelling import label
from understudy.distill.limits import LabellingError
from understudy.distill.recorded import record_labels
from understudy.distill.runs import describe_run
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task as news
from understudy.examples.news.task import teacher
from understudy.store import Example, Record, Store, example_id


def news_examples(split: str, count: int) -> list[Example]:
    rows = [row for row in news_rows(0) if row.split == split][:count]
    made = []
    for row in rows:
        inputs = {"f1": row.f1, "f2": row.f2, "f3": row.f3}
        made.append(
            Example(
                id=example_id(inputs), task=news.name, split=split, inputs=inputs, gold=row.gold
            )
        )
    return made


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A store with 120 labelled training rows and two small held-out splits."""
    with Store(tmp_path_factory.mktemp("store") / "news.db") as store:
        for split, count in (("train", 120), ("test", 20), ("hard", 10), ("calibration", 5)):
            store.add_examples(news_examples(split, count))
        label(news, teacher, store)
        yield store


def test_held_out_splits_lead_with_the_most_telling():
    with Store(":memory:") as store:
        for split in ("train", "test", "validation", "calibration", "hard", "odd", "wild"):
            inputs = {"f1": split, "f2": "b", "f3": "c"}
            store.add_examples(
                [Example(id=example_id(inputs), task=news.name, split=split, inputs=inputs)]
            )
        assert held_out(store, news) == ["wild", "hard", "odd", "test"]


def test_baselines_learn_from_the_teachers_labels_and_answer_as_thoughts(labelled):
    (run,) = labelled.runs(task=news.name, role="teacher")
    pairs = labelled.pairs(run.id, split="train")
    example = labelled.examples(news.name, split="test")[0]
    majority = majority_chain(news, pairs).invoke(example.inputs)
    tfidf = tfidf_chain(news, pairs).invoke(example.inputs)
    assert isinstance(majority.answer, news.schema)
    assert isinstance(tfidf.answer, news.schema)
    seen = [
        news.answer_json(tfidf_chain(news, pairs).invoke(e.inputs).answer) for e, _ in pairs[:5]
    ]
    assert seen == [record.answer for _, record in pairs[:5]]  # it has learnt its own rows


def test_baselines_beat_nothing_but_tfidf_beats_the_majority(labelled):
    report = evaluate(news, labelled)
    exact = {system.name: system.splits["test"].exact.value or 0 for system in report.systems}
    assert exact["teacher"] > exact["tfidf"] > exact["majority"] > 0
    assert [split.name for split in report.splits] == ["hard", "test"]
    assert all(
        split.valid.value == 1.0 for system in report.systems for split in system.splits.values()
    )


def test_evaluating_twice_asks_nothing_twice(labelled):
    evaluate(news, labelled)
    asked = []
    evaluate(news, labelled, progress=lambda name: lambda done, total, record: asked.append(name))
    assert asked == []


def test_the_report_is_recomputed_from_the_store_alone(labelled):
    report = evaluate(news, labelled)
    again = compare(news, labelled)
    assert again.model_copy(update={"created": report.created}) == report


def test_a_real_student_answers_through_the_same_loop(tiny_task, tiny_student, tiny_base):
    with Store(":memory:") as store:
        for number in range(12):
            inputs = {"sentence": f"As vendas caíram {number} %."}
            store.add_examples(
                [
                    Example(
                        id=example_id(inputs),
                        task=tiny_task.name,
                        split="train" if number < 6 else "test",
                        inputs=inputs,
                        gold={"mood": "Medo", "urgent": False},
                    )
                ]
            )
        run = store.start_run(
            describe_run(
                tiny_task, role="teacher", name="teacher", model="gold", target="reason_label"
            )
        )
        for example in store.examples(tiny_task.name):
            store.add_record(
                Record(
                    run=run.id,
                    example=example.id,
                    reasoning="caíram",
                    answer=example.gold,
                    created="2026-01-01",
                )
            )
        report = evaluate(tiny_task, store, students=[tiny_student], base=str(tiny_base))
        systems = {system.name: system for system in report.systems}
        student = systems["tiny-student"].splits["test"]
        assert set(systems) == {"teacher", "tiny-student", "tfidf", "base", "majority"}
        assert (student.rows, student.valid.value, student.errors) == (6, 1.0, 0)
        assert student.learnt is False  # its adapter is random
        assert "On test, tiny-student is not learnt" in report.answer
        assert student.output_tokens
        assert student.input_tokens
        (student_run,) = store.runs(role="student")
        assert all(
            set(record.confidence or {}) == {"mood", "urgent"}
            for record in store.records(student_run.id)
        )


def test_a_teacher_that_failed_does_not_take_the_place_of_one_that_answered(labelled):
    (good,) = labelled.runs(task=news.name, role="teacher")
    failed = describe_run(news, role="teacher", name="teacher", model="x", target="reason_label")
    labelled.start_run(failed.model_copy(update={"started": "2099-01-01"}))
    example = labelled.examples(news.name, split="train")[0]
    labelled.add_record(
        Record(run=failed.id, example=example.id, error="401", created="2099-01-01")
    )
    assert teaching_run(labelled, news).id == good.id
    (teacher_shown,) = [s for s in compare(news, labelled).systems if s.role == "teacher"]
    assert teacher_shown.run == good.id


def test_reasoning_is_compared_only_between_students_of_the_same_base_and_rows(labelled):
    def student(target, rows, model):
        run = labelled.start_run(
            describe_run(
                news,
                role="student",
                name=target,
                model=model,
                target=target,
                parameters={"base": "b", "rows": rows},
            )
        )
        for example in labelled.examples(news.name, split="test"):
            labelled.add_record(
                Record(run=run.id, example=example.id, answer=example.gold, created="2026-01-01")
            )

    student("label", "some", "m1")
    student("reason_label", "others", "m2")
    assert compare(news, labelled).differences == []
    assert "of the same base and on the same rows" in compare(news, labelled).answer
    student("reason_label", "some", "m3")
    (test,) = [d for d in compare(news, labelled).differences if d.split == "test"]
    assert (test.points.value, test.wins, test.losses) == (0.0, 0, 0)


def a_damaged_copy(student, folder, damage):
    import shutil

    shutil.copytree(student, folder)
    weights = folder / "adapter_model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        save_file({name.replace("layers", "blocks"): t for name, t in tensors.items()}, weights)
    return folder


@pytest.mark.parametrize("damage", ["truncated", "of another model"])
def test_a_student_that_cannot_be_loaded_is_one_error_and_stores_no_row(
    tmp_path, tiny_task, tiny_student, damage
):
    """An adapter whose tensors have no place would leave the untuned base under its name."""
    folder = a_damaged_copy(tiny_student, tmp_path / "damaged", damage)
    with Store(":memory:") as store:
        for split in ("train", "test"):
            inputs = {"sentence": split}
            example = Example(
                id=example_id(inputs), task=tiny_task.name, split=split, inputs=inputs
            )
            rows = [(example, {"answer": {"mood": "Medo", "urgent": False}, "reasoning": "x"})]
            record_labels(tiny_task, store, rows, model="m")
        with pytest.raises(StudentError, match="adapter does not fit its base"):
            evaluate(tiny_task, store, students=[folder])
        assert [run.role for run in store.runs(role="student")] == []


def test_without_a_teacher_the_error_says_what_to_run():
    with Store(":memory:") as store:
        store.add_examples(news_examples("test", 2))
        with pytest.raises(LabellingError, match="run distill first"):
            evaluate(news, store)


def test_a_failed_row_counts_as_wrong_and_as_invalid():
    examples = news_examples("test", 4)
    right = {
        e.id: Record(run="r", example=e.id, answer=e.gold, created="2026-01-01") for e in examples
    }
    failed = {
        **right,
        examples[0].id: Record(run="r", example=examples[0].id, error="x", created="2026-01-01"),
    }
    result = split_result(news, "test", examples, failed, taught=right)
    assert (result.exact.value, result.exact.n) == (0.75, 12)
    assert (result.row_exact.value, result.valid.value, result.errors) == (0.75, 0.75, 1)
    assert result.agreement is not None
    assert result.agreement.value == 0.75


def test_cited_cues_are_looked_up_in_the_text():
    (example,) = news_examples("test", 1)
    word = example.inputs["f1"].split()[1].strip(".,")
    record = Record(
        run="r",
        example=example.id,
        answer=example.gold,
        reasoning=f"f1: pista {word} indica Medo; f2: pista inventada indica Raiva",
        created="2026-01-01",
    )
    result = split_result(news, "test", [example], {example.id: record}, taught=None)
    assert result.cue_in_text is not None
    assert (result.cue_in_text.value, result.cue_in_text.n) == (0.5, 2)
