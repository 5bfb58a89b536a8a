"""Confidence, rationales, costs, slices, leakage and the rows that are shown."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from tests.measure_samples import answering, marks, sheet
from understudy.chains.task import Task
from understudy.distill.evaluation.answered import SILENT
from understudy.distill.evaluation.comparing import compare
from understudy.distill.evaluation.confidence import confidence_of
from understudy.distill.evaluation.costs import (
    PEAK,
    break_even,
    effort_of,
    label_costs,
    machine_usd,
    peak_memory,
    rows_per_second,
)
from understudy.distill.evaluation.leakage import leakage_of
from understudy.distill.evaluation.learning import next_gain, power_law
from understudy.distill.evaluation.rationales import rationales_of
from understudy.distill.evaluation.results import LearningPoint
from understudy.distill.evaluation.shown import shown_rows
from understudy.distill.evaluation.slices import slices_of
from understudy.distill.evaluation.teach_curve import sizes
from understudy.distill.reviewing.duplicates import near_duplicates
from understudy.distill.runs import describe_run
from understudy.store import Example, Record, Store, example_id
from understudy.store.rows import Score


def test_calibration_is_over_labels_and_risk_over_whole_rows():
    rows = sheet([[0, 0], [0, 1], [1, 1], [1, 0]])
    sure = [[0.9, 0.8], [0.9, 0.4], [0.6, 0.8], [0.9, 0.9]]
    found = confidence_of(rows, marks([[0, 0], [0, 0], [1, 1], [1, 0]], rows, confidence=sure))
    assert found is not None
    assert (found.against, found.labels) == ("gold", 8)
    right = np.array([1, 1, 1, 0, 1, 1, 1, 1])
    assert found.brier == pytest.approx(np.mean((np.array(sure).ravel() - right) ** 2))
    assert sum(one.n for one in found.curve) == 8
    # most confident first: .81, .72, .48, .36; only the last is wrong
    assert found.risk_coverage == [(0.25, 0.0), (0.5, 0.0), (0.75, 0.0), (1.0, 0.25)]


def test_without_gold_confidence_is_held_against_the_teacher_and_without_any_it_is_none():
    rows = sheet([[SILENT], [SILENT]])
    student = marks([[0], [1]], rows, confidence=[[0.9], [0.7]])
    assert confidence_of(rows, student) is None
    found = confidence_of(rows, student, marks([[0], [0]], rows))
    assert found is not None
    assert (found.against, found.labels) == ("teacher", 2)
    assert found.brier == pytest.approx((0.1**2 + 0.7**2) / 2)
    assert confidence_of(rows, marks([[0], [1]], rows)) is None


def test_a_rationale_supports_a_label_when_the_label_comes_out_again(tiny_task):
    rows = sheet([[0, 0]] * 4)
    student = marks(
        [[0, 0], [1, 0], [1, 1], [0, 0]],
        rows,
        reasoning_words=[4, 6, 5, 0],
        overlap=[0.5, 1.0, np.nan, np.nan],
    )
    again = marks([[0, 0], [1, 1], [-1, -1], [0, 0]], rows, answered=[True, True, False, True])
    found = rationales_of(tiny_task, rows, student, again)
    assert found is not None
    assert (found.rows, found.words, found.cue_in_text) == (3, 5.0, None)
    assert found.supports is not None
    assert found.supports.value == pytest.approx(1 / 3)
    assert found.supports.n == 3
    assert found.overlap is not None
    assert found.overlap.value == pytest.approx(0.75)
    assert rationales_of(tiny_task, rows, marks([[0, 0]] * 4, rows)) is None


@pytest.fixture
def store(tiny_task):
    with Store(":memory:") as opened:
        yield opened


def rows_of(task: Any, split: str, texts: list[str], **facts: Any) -> list[Example]:
    made = []
    for text in texts:
        inputs = {"sentence": text}
        made.append(
            Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs, **facts)
        )
    return made


def a_run(task: Any, store: Store, role: str = "student") -> Any:
    return store.start_run(
        describe_run(task, role=role, name="one", model="m", target="reason_label")
    )


def test_throughput_is_over_the_time_at_work_and_pauses_count_for_nothing(tiny_task, store):
    store.add_examples(rows_of(tiny_task, "test", [f"row {n}" for n in range(60)]))
    run = a_run(tiny_task, store)
    for number, example in enumerate(store.examples(tiny_task.name)):
        day, second = (1, number) if number < 30 else (2, number - 30)
        store.add_record(
            Record(
                run=run.id,
                example=example.id,
                answer={"mood": "Medo", "urgent": True},
                seconds=1.0,
                details={PEAK: 100.0 + number},
                created=f"2026-01-0{day}T00:00:{second:02d}+00:00",
            )
        )
    assert rows_per_second(store, run) == pytest.approx(1.0, rel=0.05)
    assert peak_memory(store, run) == 159.0
    short = describe_run(tiny_task, role="student", name="two", model="n", target="label")
    run = store.start_run(short)
    assert rows_per_second(store, run) is None
    for example in store.examples(tiny_task.name):
        record = Record(run=run.id, example=example.id, seconds=2.0, created="2026")
        store.add_record(record)
    assert rows_per_second(store, run) == pytest.approx(60 / 2.0)  # 60 rows side by side


def test_money_comes_from_prices_or_from_the_machine_and_unknown_is_not_free(tiny_task):
    rows = sheet([[0]] * 4)
    seconds = [0.1, 0.2, 0.3, 4.0]
    run = describe_run(tiny_task, role="student", name="s", model="m", target="label")
    told = effort_of(run, marks([[0]] * 4, rows, seconds=seconds), 10.0, 3.6)
    assert (told.seconds_median, told.seconds_p95) == (0.2, 4.0)
    assert told.cost == pytest.approx(1000 * 3.6 / 3600 / 10)
    assert told.cost_basis == "machine"
    unpriced = effort_of(run, marks([[0]] * 4, rows, seconds=seconds), 10.0)
    assert (unpriced.cost, unpriced.cost_basis) == (None, None)
    paid = marks([[0]] * 4, rows, cost=[0.001, 0.003, np.nan, np.nan], output_tokens=[1, 2, 3, 4])
    told = effort_of(run, paid, 10.0, 3.6)
    assert told.cost == pytest.approx(2.0)
    assert told.cost_basis == "prices of the calls"
    assert told.output_tokens == 2.5


def test_a_student_has_paid_for_itself_after_rows_in_a_range():
    teacher = Score(value=0.002, low=0.0015, high=0.0025, n=100)
    found = break_even("s", teacher=teacher, machine=0.0005, training=1.0, labels=3.0)
    assert found.rows_low == math.ceil(1.0 / (0.0025 - 0.0005))
    assert found.rows_high == math.ceil(4.0 / (0.0015 - 0.001))
    assert "500 rows (" in found.sentence
    assert "to 8,000 (" in found.sentence
    never = break_even("s", teacher=teacher, machine=0.01, training=1.0, labels=None)
    assert (never.rows_low, never.rows_high) == (None, None)
    assert "does not pay" in never.sentence
    maybe = break_even("s", teacher=teacher, machine=0.001, training=1.0, labels=None)
    assert (maybe.rows_low, maybe.rows_high) == (667, None)
    unknown = break_even("s", teacher=Score(value=None), machine=0.1, training=1.0, labels=None)
    assert "not known" in unknown.sentence
    untold = break_even("s", teacher=teacher, machine=0.1, training=None, labels=None)
    assert "training" in untold.sentence
    assert "--machine-usd-per-hour" not in untold.sentence
    silent = break_even("s", teacher=teacher, machine=None, training=1.0, labels=None)
    assert "throughput" in silent.sentence
    assert machine_usd(None, 1.0) is None
    assert machine_usd(2.0, 7.2) == pytest.approx(0.001)


def test_the_price_of_labels_is_known_only_where_every_row_has_one(tiny_task, store):
    store.add_examples(rows_of(tiny_task, "train", ["a", "b"]))
    run = a_run(tiny_task, store, role="teacher")
    for cost, example in zip((0.5, None), store.examples(tiny_task.name), strict=True):
        answer = {"mood": "Medo", "urgent": True}
        store.add_record(
            Record(run=run.id, example=example.id, answer=answer, cost=cost, created="2026-01-01")
        )
        assert label_costs(store, run) == ((1, 0.5) if cost else (2, None))


def test_slices_are_by_label_length_and_group_worst_first_and_small_ones_hidden(tiny_task, store):
    texts = [f"{'long ' * (n % 4)}row {n:03d}" for n in range(100)]
    for number, text in enumerate(texts):
        group = "rare" if number >= 90 else f"g{number % 2}"
        store.add_examples(rows_of(tiny_task, "test", [text], group=group))
    examples = store.examples(tiny_task.name)
    gold = [[n % 2, 0] for n in range(100)]
    rows = sheet(
        gold,
        ids=[example.id for example in examples],
        length=[len(example.inputs["sentence"]) for example in examples],
    )
    given = [[g[0] if n % 2 else 1, 0] for n, g in enumerate(gold)]  # class 0 is never right
    found = slices_of(tiny_task, store, rows, [answering("s", marks(given, rows))])
    named = {(one.by, one.value): one for one in found}
    worst = found[0]
    assert worst.right["s"].value == 0.0
    assert named["mood", "Alegria"].rows == 50
    assert named["mood", "Medo"].right["s"].value == 1.0
    assert named["group", "g0"].rows == 45
    assert ("group", "rare") not in named  # ten rows
    lengths = [one for one in found if one.by == "input length"]
    assert sum(one.rows for one in lengths) == 100
    assert {one.rows for one in lengths} == {25}
    values = [one.right["s"].value for one in found]
    assert values == sorted(values)  # type: ignore[type-var]


def test_leaks_are_those_of_brute_force_and_no_pair_is_missed(tiny_task, store):
    dice = np.random.default_rng(1)
    words = ["vendas", "lucro", "mercado", "queda", "alta", "juros", "banco", "crise", "dólar"]
    train = [" ".join(dice.choice(words, 8)) + f" {n}" for n in range(60)]
    held = [text + "!" for text in train[:10]] + [train[11].upper()]
    held += [" ".join(dice.choice(words, 8)) + f" x{n}" for n in range(20)]
    store.add_examples(rows_of(tiny_task, "train", train))
    store.add_examples(rows_of(tiny_task, "test", held))
    store.add_examples(rows_of(tiny_task, "validation", ["outra coisa"]))
    found = leakage_of(tiny_task, store, ["test"])
    assert found is not None
    expected = near_duplicates([*store.examples(tiny_task.name)])
    pairs = {later.id for _, later, _ in expected if later.split == "test"}
    same = {
        e.id
        for e in store.examples(tiny_task.name, split="test")
        if e.inputs["sentence"] in {t.upper() for t in train}
    }
    assert {leak.example for leak in found.closest} >= pairs | same
    assert (found.looked_at, found.against) == (31, 61)
    assert found.found["test"] >= 11
    assert found.closest[0].similarity == 1.0
    assert {leak.other_split for leak in found.closest} == {"train"}
    assert leakage_of(tiny_task, store, ["nothing"]) is None


def test_a_sample_of_held_out_rows_is_looked_at_and_always_the_same(tiny_task, store):
    store.add_examples(rows_of(tiny_task, "train", [f"linha {n} do treino" for n in range(30)]))
    held = [f"teste {n} {'a' * (n % 7)}" for n in range(300)]
    store.add_examples(rows_of(tiny_task, "test", held))
    found = [leakage_of(tiny_task, store, ["test"], sample=50) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0] is not None
    assert found[0].looked_at == 50


def shown_world(task: Any, store: Store, *, count: int, words: int = 3) -> Any:
    store.add_examples(
        rows_of(task, "test", [f"{'palavra ' * words}{n}" for n in range(count)], gold=None)
    )
    examples = store.examples(task.name)
    rows = sheet([[0, 0]] * count, ids=[example.id for example in examples])
    teacher = marks([[0, 0] if n % 3 else [1, 0] for n in range(count)], rows)
    given = [[0, 0] if n % 5 else [2, 1] for n in range(count)]
    student = marks(given, rows, taught=teacher)
    found = [
        answering("teacher", teacher, role="teacher"),
        answering("student", student),
    ]
    for one in found:
        store.start_run(one.run.model_copy(update={"task": task.name}))
        for example in examples:
            store.add_record(
                Record(
                    run=one.run.id,
                    example=example.id,
                    answer={"mood": "Medo", "urgent": True},
                    reasoning="<script>" + "porque " * words,
                    confidence={"mood": 0.5, "urgent": 0.25},
                    created="2026-01-01",
                )
            )
    return {"test": rows}, found


def test_disagreements_come_first_then_errors_then_a_sample(tiny_task, store):
    sheets, found = shown_world(tiny_task, store, count=60)
    shown = shown_rows(tiny_task, store, sheets, found, most=30)
    kinds = [row.why for row in shown.rows]
    assert kinds == sorted(kinds, key=["disagreement", "error", "sample"].index)
    # of 60: the student is apart where 5 divides n or 3 does; both wrong never alone
    apart = sum(n % 5 == 0 or n % 3 == 0 for n in range(60))
    assert shown.of == {"disagreement": apart, "error": 0, "sample": 60 - apart}
    assert (shown.total, len(shown.rows)) == (60, 30)
    first = shown.rows[0]
    assert set(first.answers) == {"teacher", "student"}
    assert first.confidence == {"teacher": 0.25, "student": 0.25}
    assert first.inputs is not None
    assert shown_rows(tiny_task, store, sheets, found, most=30) == shown


def test_no_text_leaves_inputs_and_reasonings_out(tiny_task, store):
    sheets, found = shown_world(tiny_task, store, count=20)
    shown = shown_rows(tiny_task, store, sheets, found, texts=False)
    assert "palavra" not in shown.model_dump_json()
    assert "porque" not in shown.model_dump_json()
    assert len(shown.rows) == 20


class Noted(BaseModel):
    """An answer with a free field."""

    reasoning: str
    mood: Literal["a", "b"]
    who: str


def test_no_text_leaves_free_fields_errors_and_columns_out_too(store):
    prompt = ChatPromptTemplate.from_messages([("human", "{text} {clerk}")])
    task = Task(name="t", schema=Noted, reasoning="reasoning", prompt=prompt, student_prompt=prompt)
    examples = [
        Example(
            id=example_id(inputs := {"text": f"secret {n}", "clerk": f"secret clerk {n % 2}"}),
            task="t",
            split="test",
            inputs=inputs,
            gold={"mood": "a", "who": "secret person"},
            group=f"secret group {n % 2}",
        )
        for n in range(80)
    ]
    store.add_examples(examples)
    run = describe_run(task, role="student", name="s", model="m", target="label")
    store.start_run(run)
    for number, example in enumerate(examples):
        given = {"mood": "b", "who": "secret guess"} if number else None
        error = None if given else "ValueError: secret words"
        store.add_record(
            Record(run=run.id, example=example.id, answer=given, error=error, created="2026-01-01")
        )
    assert "secret clerk" in compare(task, store).model_dump_json()
    found = compare(task, store, texts=False)
    assert "secret" not in found.model_dump_json()
    assert {"s": "ValueError"} in [row.errors for row in found.rows.rows]
    assert found.rows.rows[0].gold == {"mood": "a"}


def test_what_is_shown_is_bounded_in_bytes_whatever_the_texts(tiny_task, store):
    sheets, found = shown_world(tiny_task, store, count=80, words=2000)
    shown = shown_rows(tiny_task, store, sheets, found, most_bytes=60_000)
    assert len(shown.model_dump_json().encode()) < 61_000
    assert 5 < len(shown.rows) < 80
    longest = max(len(text) for row in shown.rows for text in (row.inputs or {}).values())
    assert longest <= 1500
    assert json.loads(shown.model_dump_json())["of"]["disagreement"] > len(shown.rows) / 2


def point(labels: int, share: float, n: int = 1000) -> LearningPoint:
    return LearningPoint(
        system="tfidf", split="test", against="gold", labels=labels, right=Score(value=share, n=n)
    )


def test_a_power_law_is_found_again_and_says_what_more_labels_bring():
    labels = [125, 250, 500, 1000]
    errors = [2.0 * n**-0.4 for n in labels]
    start, slope = power_law(labels, [1e6 * e for e in errors], [10**6] * 4)
    assert math.exp(start[0]) == pytest.approx(2.0, rel=1e-6)
    assert slope[0] == pytest.approx(0.4, rel=1e-6)
    gain = next_gain([point(n, 1 - e, n=10**5) for n, e in zip(labels, errors, strict=True)])
    assert gain is not None
    expected = 100 * (2 * 1000**-0.4 - 2 * 2000**-0.4)
    assert gain.value == pytest.approx(expected, rel=0.01)
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < expected < gain.high


def test_a_flat_curve_promises_nothing_and_two_points_are_too_few():
    gain = next_gain([point(n, 0.7) for n in (100, 200, 400, 800)])
    assert gain is not None
    assert gain.low is not None
    assert gain.low <= 0 <= (gain.high or 0)
    assert next_gain([point(100, 0.5), point(200, 0.6)]) is None


def test_more_labels_are_never_promised_to_bring_more_than_is_wrong():
    steep = [point(n, share, n=40) for n, share in ((150, 0.3), (300, 0.6), (600, 0.8))]
    gain = next_gain([*steep, point(1200, 0.975, n=40)])
    assert gain is not None
    assert 0 < (gain.value or 0) < 2.5
    done = next_gain([*steep, point(1200, 1.0, n=40)])
    assert done is not None
    assert (done.value, done.low) == (0.0, 0.0)
    assert 0 < (done.high or 0) < 10


def test_the_points_of_a_curve_are_an_eighth_a_quarter_a_half_and_all():
    assert sizes(160) == [20, 40, 80, 160]
    assert sizes(1000) == [125, 250, 500, 1000]
    assert sizes(20) == [16, 20]
    assert sizes(5) == [5]
