"""The gate for CI: what it understands, that it compares bounds, that missing is not passing."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.distill.evaluation.gate import METRICS, Side, gate, parsed
from understudy.distill.evaluation.results import Report
from understudy.distill.labelling.limits import LabellingError
from understudy.store.rows import Score

SAMPLES = runpy.run_path(str(Path(__file__).with_name("report_samples.py")))
comparison, correctness, measured = (
    SAMPLES[name] for name in ("comparison", "correctness", "measured")
)
news_report, points, system = (SAMPLES[name] for name in ("news_report", "points", "system"))


def report(*names: str, **other: object) -> Report:
    """A report on split test alone; the first is the teacher, the others students."""
    whole = news_report()
    systems = [
        system(name, "student" if at else "teacher", (0.9 - at / 100,)).model_copy(
            update={"splits": {"test": measured(0.9 - at / 100)}}
        )
        for at, name in enumerate(names)
    ]
    return Report.model_validate(
        dict(whole)
        | {
            "systems": systems,
            "reference": names[0],
            "splits": [split for split in whole.splits if split.name == "test"],
            "comparisons": [],
            **other,
        }
    )


def passes(of: Report, expression: str) -> bool:
    (result,) = gate(of, [expression])
    return result.passed


NAMES = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True),
    st.sampled_from(["gpt-4.1", "teacher gpt-4.1 few_shot", "a.valid", "x on y", "1.5b"]),
)
QUOTED = st.text(
    st.characters(exclude_characters='"`', exclude_categories=["Cs"]), min_size=1, max_size=12
)
NUMBERS = st.floats(0, 2, allow_nan=False).map(lambda number: f"{number:.4f}")


@given(
    NAMES | QUOTED.map(lambda name: f'"{name}"') | QUOTED.map(lambda name: f"`{name}`"),
    st.sampled_from(sorted(METRICS)),
    st.sampled_from([">=", "<="]),
    st.none() | NAMES,
    NUMBERS,
    st.sampled_from("+-"),
    st.none() | st.sampled_from(["test", "`hard one`", '"on"']),
)
def test_every_well_formed_expression_is_read_as_it_is_meant(
    left, metric, operator, right, number, sign, split
):
    side = number if right is None else f"{right}.{metric} {sign} {number}"
    found = parsed(f" {left}.{metric}{operator} {side}" + (f" on {split}" if split else ""))
    quoted = left[0] in '"`' and left[-1] == left[0] and len(left) > 2
    assert found.left == Side(system=left[1:-1] if quoted else left, metric=metric, offset=0)
    offset = float(number) * (-1 if right is not None and sign == "-" else 1)
    metric_right = metric if right is not None else ""
    assert found.right == Side(system=right, metric=metric_right, offset=offset)
    assert found.operator == operator
    assert found.split == (None if split is None else split.strip('"`'))


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    said = None
    try:
        parsed(text)
    except LabellingError as error:
        said = str(error)
    assert said is None or (said.startswith("gate ") and "\n" not in said)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("student.exact", "needs one >= or <="),
        ("a.exact >= b.exact >= 0.9", "needs one >= or <="),
        ("0.9 >= 0.8", "is not understood"),
        ("student.exact >= teacher.exact * 2", "is not understood"),
        ("student.glory >= 0.9", "no metric glory; the metrics: accuracy, exact"),
        ("nobody.exact >= 0.9", "no system nobody; the systems: teacher, a, b"),
        ("student.exact >= 0.9", "several students, write which one is meant: a, b"),
        ("a.exact >= 0.9 on wild", "no split wild; the splits: test"),
        ("__import__('os').exact >= 0.9", "no system __import__('os')"),
    ],
)
def test_what_is_not_there_is_one_line_that_names_what_is(expression, said):
    with pytest.raises(LabellingError) as error:
        gate(report("teacher", "a", "b"), [expression])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_number_is_held_against_the_bound_and_not_against_the_point():
    of = report("teacher", "student")  # exact .89 [.852, .9242]
    found = of.systems[1].splits["test"].gold
    assert found is not None
    assert [found.exact.low, found.exact.value] == pytest.approx([0.852, 0.89])
    assert passes(of, "student.exact >= 0.85")
    assert not passes(of, "student.exact >= 0.88")
    assert passes(of, "student.exact <= 0.93")
    assert not passes(of, "student.exact <= 0.91")
    assert passes(of, "0.85 <= student.exact")
    assert not passes(of, "0.88 <= student.exact")


@pytest.mark.parametrize(("first", "second", "sign"), [("s", "t", 1), ("t", "s", -1)])
def test_two_systems_are_held_against_the_paired_interval(first, second, sign):
    low, high = sorted((sign * -1.5, sign * 0.5))
    pair = comparison(
        first, second, "test", points(sign * -0.5, low, high), macro_f1=points(sign * -2, -5, 5)
    )
    of = report("t", "s", comparisons=[pair])
    assert passes(of, "s.accuracy >= t.accuracy - 0.0151")
    assert not passes(of, "s.accuracy >= t.accuracy - 0.0149")
    assert passes(of, "t.accuracy <= s.accuracy + 0.0151")
    assert not passes(of, "s.accuracy + 0.0149 >= t.accuracy")
    assert passes(of, "s.macro_f1 >= t.macro_f1 - 0.0501")
    assert not passes(of, "s.macro_f1 >= t.macro_f1 - 0.0499")


def test_what_is_not_paired_is_held_bound_against_bound():
    of = report("teacher", "student")
    (result,) = gate(of, ["student.valid >= teacher.valid - 0.04"])
    assert result.passed  # 1.0 [.969, 1] against 1.0 [.969, 1]
    assert "bound against bound" in result.reason
    assert not passes(of, "student.valid >= teacher.valid - 0.03")


def test_a_figure_that_is_missing_does_not_pass():
    of = report("teacher", "student")
    silent = of.systems[1].splits["test"].model_copy(update={"gold": None})
    of = of.model_copy(
        update={
            "systems": [
                of.systems[0],
                of.systems[1].model_copy(update={"splits": {"test": silent}}),
            ]
        }
    )
    (result,) = gate(of, ["student.macro_f1 >= teacher.macro_f1 - 0.5"])
    assert (result.passed, result.reason) == (
        False,
        "on test it is not measured: student.macro_f1 has no figure",
    )
    assert not passes(of.model_copy(update={"splits": []}), "student.valid >= 0")
    assert not passes(of.model_copy(update={"ceiling": None}), "teacher.agreement >= 0")


def test_every_split_must_hold_unless_one_is_named():
    whole = news_report()
    (result,) = gate(whole, ["student-reason-0.exact >= 0.75"])
    assert not result.passed
    assert result.reason.count("not >=") == 2
    assert "on wild" in result.reason
    assert "on hard" in result.reason
    assert passes(whole, "student-reason-0.exact >= 0.75 on test")


def test_every_seed_of_a_name_must_hold():
    whole = news_report()  # student-reason-0 has .944 [.906, ..] on test, student-reason-1 .949
    (result,) = gate(whole, ["student-reason.exact >= 0.9 on test"])
    assert (result.passed, result.reason.count("on test")) == (True, 2)
    (result,) = gate(whole, ["student-reason.exact >= 0.908 on test"])
    assert not result.passed
    assert "student-reason-0.exact" in result.reason
    assert "student-reason-1.exact" not in result.reason


def test_several_labels_are_one_mean_of_f1_with_the_mean_bounds():
    whole = correctness(0.8)
    low = [label.macro_f1.low or 0 for label in whole.labels.values()]
    of = report("teacher", "student")
    of = of.model_copy(
        update={
            "systems": [
                one.model_copy(
                    update={
                        "splits": {"test": one.splits["test"].model_copy(update={"gold": whole})}
                    }
                )
                for one in of.systems
            ]
        }
    )
    mean = sum(low) / len(low)
    assert passes(of, f"student.macro_f1 >= {mean - 1e-4:.6f}")
    assert not passes(of, f"student.macro_f1 >= {mean + 1e-4:.6f}")
    unscored = whole.labels["emocao"].model_copy(update={"macro_f1": Score(value=None)})
    labels = {**whole.labels, "emocao": unscored}
    assert (
        METRICS["macro_f1"](measured(0.8, gold=whole.model_copy(update={"labels": labels}))) is None
    )
