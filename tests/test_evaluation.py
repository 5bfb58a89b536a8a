"""Everybody through the same loop: baselines, a real tiny student, and the report's figures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from understudy.distill.evaluation.baselines import majority_chain, tfidf_chain
from understudy.distill.evaluation.comparing import compare
from understudy.distill.evaluation.entrants import arm_of, entrants
from understudy.distill.evaluation.failing import NotAsked
from understudy.distill.evaluation.finding import held_out
from understudy.distill.evaluation.results import Correctness, SystemResult
from understudy.distill.evaluation.systems import evaluate, teaching_run
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.recorded import record_labels
from understudy.distill.runs import describe_run
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task as news
from understudy.examples.news.task import teacher
from understudy.store import Example, Record, Store, example_id
from understudy.store.provenance import add_training
from understudy.store.rows import Training

CREATED = "2026-11-25T12:00:00+00:00"


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


def right(system: SystemResult, split: str) -> Correctness:
    """What the system got right by gold."""
    found = system.splits[split].gold
    assert found is not None
    return found


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
    exact = {one.name: right(one, "test").exact.value or 0 for one in report.systems}
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


def test_two_reports_of_one_store_differ_in_nothing_but_the_time(labelled):
    report = evaluate(news, labelled)
    again = compare(news, labelled)
    same = again.model_copy(update={"created": report.created})
    assert same.model_dump_json() == report.model_dump_json()


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
        assert "not shown to beat the majority class" in report.answer
        assert student.effort.output_tokens
        assert student.effort.input_tokens
        assert student.confidence is not None
        assert student.confidence.against == "gold"
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


def student(store, target, rows, model, **facts):
    """A student of this target that answers split test as gold has it."""
    run = store.start_run(
        describe_run(
            news,
            role="student",
            name=facts.pop("name", target),
            model=model,
            target=target,
            parameters={"base": "b", "rows": rows, **facts},
        )
    )
    store.add_records(
        Record(
            run=run.id,
            example=example.id,
            answer=example.gold,
            created="2026-01-01T00:00:00+00:00",
        )
        for example in store.examples(news.name, split="test")
    )
    return run


@pytest.fixture(scope="module")
def taught_once(tmp_path_factory):
    """The file of a store with a teacher, its baselines, and 40 test rows."""
    path = tmp_path_factory.mktemp("store") / "taught.db"
    with Store(path) as store:
        for split, count in (("train", 30), ("test", 40)):
            store.add_examples(news_examples(split, count))
        label(news, teacher, store)
        evaluate(news, store)
    return path


@pytest.fixture
def taught(taught_once, tmp_path):
    """A copy of it."""
    with Store(shutil.copy(taught_once, tmp_path / "taught.db")) as store:
        yield store


def test_reasoning_is_compared_only_between_students_of_the_same_base_and_rows(taught):
    student(taught, "label", "some", "m1")
    student(taught, "reason_label", "others", "m2")
    assert compare(news, taught).dividends == []
    student(taught, "reason_label", "some", "m3")
    (dividend,) = compare(news, taught).dividends
    label_arm, reason_arm = dividend.arms
    assert (label_arm.target, reason_arm.target) == ("label", "reason_label")
    assert reason_arm.gain is not None
    assert (reason_arm.gain.value, reason_arm.p) == (0.0, 1.0)


def test_figures_against_gold_and_against_the_teacher_stand_apart(taught):
    student(taught, "label", "some", "m1")
    report = compare(news, taught)
    found = {system.name: system for system in report.systems}
    teachers = right(found["teacher"], "test").exact.value
    agreement = found["label"].splits["test"].teacher
    assert found["teacher"].splits["test"].teacher is None
    assert (right(found["label"], "test").exact.value, (teachers or 1) < 1) == (1.0, True)
    assert agreement is not None
    assert agreement.exact.value == pytest.approx(teachers, abs=0.02)


def test_the_report_does_not_depend_on_the_order_of_sets(taught):
    """Two processes hash texts differently."""
    student(taught, "label", "some", "m1")
    code = (
        "import sys; from understudy.store import Store\n"
        "from understudy.distill.evaluation.comparing import compare\n"
        "from understudy.examples.news.task import task\n"
        "with Store(sys.argv[1], read_only=True) as store:\n"
        "    report = compare(task, store)\n"
        "print(report.model_copy(update={'created': ''}).model_dump_json())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code, str(taught.path)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_without_a_teacher_students_are_still_held_against_gold():
    with Store(":memory:") as store:
        store.add_examples(news_examples("test", 20))
        assert compare(news, store).systems == []
        student(store, "label", "some", "m1")
        report = compare(news, store)
    assert (report.reference, report.verdicts, report.ceiling) == (None, [], None)
    assert right(report.systems[0], "test").exact.value == 1.0
    assert report.systems[0].splits["test"].teacher is None
    assert "it takes a student and the teacher" in report.answer


def test_a_teacher_that_answered_no_held_out_row_is_no_reference_but_has_taught():
    with Store(":memory:") as store:
        for split, count in (("train", 12), ("test", 12)):
            store.add_examples(news_examples(split, count))
        label(news, teacher, store, split="train")
        student(store, "label", "some", "m1")
        report = compare(news, store)
        evaluate(news, store)
    assert [system.name for system in report.systems] == ["label"]
    assert (report.reference, report.verdicts) == (None, [])


def test_a_support_run_is_no_system(taught):
    run = student(taught, "reason_label", "some", "m1")
    student(taught, "reason_label", "some", "m1", name="from rationales", rationale_of=run.id)
    assert "from rationales" not in {system.name for system in compare(news, taught).systems}


def test_other_teachers_are_systems_named_by_what_tells_them_apart(taught):
    (first,) = taught.runs(task=news.name, role="teacher")
    asked = [("offline-news", "few_shot"), ("gpt-4o", "zero_shot"), ("gpt-4o", "vote")]
    for model, strategy in asked:
        run = taught.start_run(
            describe_run(
                news,
                role="teacher",
                name="teacher",
                model=model if model != "offline-news" else first.model,
                target="reason_label",
                strategy=strategy,
            ).model_copy(update={"started": "2099-01-01"})
        )
        for example in taught.examples(news.name, split="test"):
            taught.add_record(
                Record(run=run.id, example=example.id, answer=example.gold, created="2099-01-01")
            )
    student(taught, "label", "some", "m1", teacher_run=first.id)
    report = compare(news, taught)
    assert [system.name for system in report.systems] == [
        "teacher",
        "teacher gpt-4o vote",
        "teacher gpt-4o",
        "teacher few_shot",
        "label",
        "tfidf",
        "majority",
    ]
    assert report.reference == "teacher"
    assert report.systems[0].run == first.id
    assert len({system.name for system in report.systems}) == len(report.systems)


def test_the_reference_is_the_teacher_that_the_students_learnt_from(taught):
    (first,) = taught.runs(task=news.name, role="teacher")
    newer = describe_run(news, role="teacher", name="teacher", model="new", target="reason_label")
    taught.start_run(newer.model_copy(update={"started": "2099-01-01"}))
    for example in taught.examples(news.name):
        taught.add_record(
            Record(run=newer.id, example=example.id, answer=example.gold, created="2099-01-01")
        )
    add_training(
        taught,
        Training(
            folder="/gone/label",
            name="label",
            task=news.name,
            base="b",
            target="label",
            run=first.id,
            rows_sha256="x",
            seed=3,
            created="2026-01-01",
        ),
        [],
    )
    student(taught, "label", "some", "m1")
    found, reference = entrants(news, taught)
    assert reference is not None
    assert reference.id == first.id
    assert [(one.name, one.seed) for one in found if one.run.role == "student"] == [("label", 3)]


@pytest.mark.parametrize(
    ("name", "seed", "arm"),
    [
        ("label-s1", 1, "label"),
        ("label-seed-12", 12, "label"),
        ("label_2", 2, "label"),
        ("label seed 0", 0, "label"),
        ("label-s1", 2, "label-s1"),
        ("label-s1", None, "label-s1"),
        ("qwen3", 3, "qwen3"),
    ],
)
def test_seeds_of_one_recipe_are_one_arm(name, seed, arm):
    assert arm_of(name, seed) == arm


def test_what_a_limit_leaves_out_is_not_counted(taught):
    student(taught, "label", "some", "m1")
    report = compare(news, taught, limit=7)
    assert {system.splits["test"].rows for system in report.systems} == {7}
    assert report.splits[0].rows == 7


def test_without_texts_the_report_has_none(taught):
    student(taught, "label", "some", "m1")
    example = taught.examples(news.name, split="test")[0]
    assert example.inputs["f1"] in compare(news, taught).model_dump_json()
    assert example.inputs["f1"] not in compare(news, taught, texts=False).model_dump_json()


def a_damaged_copy(student, folder, damage):
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
        with pytest.raises(NotAsked, match="adapter does not fit its base"):
            evaluate(tiny_task, store, students=[folder])
        assert [run.role for run in store.runs(role="student")] == []


def test_a_student_that_failed_on_every_row_is_not_hidden(tiny_task):
    """A provider's failures may be its own; a later run that fails hides no earlier one."""
    with Store(":memory:") as store:
        inputs = {"sentence": "Vendas caíram"}
        example = Example(id=example_id(inputs), task="tiny", split="test", inputs=inputs)
        answer = {"mood": "Medo", "urgent": False}
        record_labels(tiny_task, store, [(example, {"answer": answer})], model="m")

        def asked(role: str, name: str, model: str, answer: dict[str, object] | None) -> None:
            run = describe_run(tiny_task, role=role, name=name, model=model, target="label")
            store.start_run(run)
            error = None if answer else "ValueError: no JSON"
            store.add_record(
                Record(run=run.id, example=example.id, answer=answer, error=error, created=CREATED)
            )

        asked("student", "broken", "a", None)
        asked("baseline", "provider", "b", None)
        asked("student", "good", "c", answer)
        asked("student", "good", "d", None)
        systems = {one.name: one for one in compare(tiny_task, store).systems}
    assert set(systems) == {"teacher", "broken", "good"}
    assert (systems["broken"].splits["test"].errors, systems["good"].model) == (1, "c")


def test_without_a_teacher_the_error_says_what_to_run():
    with Store(":memory:") as store:
        store.add_examples(news_examples("test", 2))
        with pytest.raises(LabellingError, match="run distill first"):
            evaluate(news, store)
