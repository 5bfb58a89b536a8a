"""Can I swap? Non-inferiority of every student on every split, each with its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...store.rows import Score
from ..reporting.figures import points
from ..statistics import NonInferiority, clustered_share, non_inferiority
from .answered import Answering, Marks, Sheet
from .differences import common_ground, paired_rows
from .results import Against, Measured, SwapVerdict, Verdict
from .scoring import paired_parts, units

_SEVERITY = ("supported", "not enough rows", "not supported")


def verdicts(
    sheet: Sheet,
    found: Sequence[Answering],
    results: Mapping[str, Measured],
    *,
    reference: Answering,
    margin: float,
    ceiling: Score | None = None,
) -> list[SwapVerdict]:
    """One for every student on the split of `sheet`; `margin` is in percentage points, above 0.

    `results` are the systems' figures on it by name. A student that is not shown to beat the
    majority class gets no "supported", however little the teacher knows; nor does one that is as
    good in whole answers only, because these are rarely right, and not in the answers' parts.
    """
    return [
        _verdict(sheet, one, reference, results, margin, ceiling)
        for one in found
        if one.run.role == "student" and sheet.split in one.sheets
    ]


@dataclass(frozen=True, kw_only=True)
class _Test:
    """Whole answers of student and teacher on the same rows, and parts where an answer has some.

    `shares`: how many whole answers each got right on these rows.
    """

    against: Against
    whole: NonInferiority
    parts: NonInferiority | None
    shares: tuple[Score, Score]

    @property
    def decides(self) -> NonInferiority:
        """Whole answers, unless the parts are the worse."""
        if self.parts is None or self.whole.verdict != "supported":
            return self.whole
        return max(self.whole, self.parts, key=lambda test: _SEVERITY.index(test.verdict))


def _verdict(
    sheet: Sheet,
    student: Answering,
    reference: Answering,
    results: Mapping[str, Measured],
    margin: float,
    ceiling: Score | None,
) -> SwapVerdict:
    test = _tested(sheet, student, reference, margin)
    result = results[student.name]
    word: Verdict = test.decides.verdict
    if word == "supported" and result.learnt is False:
        word = "not measurable"
    return SwapVerdict(
        student=student.name,
        teacher=reference.name,
        split=sheet.split,
        against=test.against,
        margin=margin,
        difference=test.whole.difference,
        verdict=word,
        rows_needed=test.decides.rows_needed if word == "not enough rows" else None,
        groups_needed=test.decides.groups_needed if word == "not enough rows" else None,
        numbers=_numbers(result, results.get(reference.name), test, ceiling),
        sentence=_sentence(sheet.split, student.name, test, word, margin, result.learnt),
    )


def _tested(sheet: Sheet, student: Answering, reference: Answering, margin: float) -> _Test:
    """Against gold where both have some; else agreement with the teacher, held against 100 %.

    Two systems that differ on a share d of the rows differ by at most d in accuracy.
    """
    import numpy as np

    mine = student.sheets[sheet.split]
    theirs = reference.sheets.get(sheet.split)
    parts = None
    if theirs is not None and common_ground(mine, theirs) == "gold":
        right, other, both = paired_rows(mine, theirs, "gold")
        against: Against = "gold"
        parts = _tested_parts(sheet, mine, theirs, margin)
    else:
        same, both = mine.right_rows("teacher")
        right, other, against = same[both], np.ones(int(both.sum()), bool), "teacher"
    groups, of = units(sheet, both), both[both]
    return _Test(
        against=against,
        whole=non_inferiority(right, other, of, margin_points=margin, groups=groups),
        parts=parts,
        shares=(
            clustered_share(right, of, groups=groups),
            clustered_share(other, of, groups=groups),
        ),
    )


def _tested_parts(
    sheet: Sheet, student: Marks, teacher: Marks, margin: float
) -> NonInferiority | None:
    """The same of the answers' parts; None where an answer has no more than one."""
    if student.gold_parts.shape[1] < 2:
        return None
    first, second, of, groups = paired_parts(sheet, student, teacher, "gold")
    return non_inferiority(first, second, of, margin_points=margin, groups=groups)


def _numbers(
    student: Measured, teacher: Measured | None, test: _Test, ceiling: Score | None
) -> list[tuple[str, str]]:
    """The four figures that carry the verdict, as far as they are known."""
    numbers = []
    difference = test.whole.difference
    if difference.value is not None:
        gold = test.against == "gold"
        label = "student minus teacher" if gold else "agreement minus 100 %"
        numbers.append((label, said_points(difference)))
        if gold:
            mine, theirs = (_percent(score) for score in test.shares)
            numbers.append(("whole answers right", f"student {mine}, teacher {theirs}"))
    if student.teacher:
        told = _percent(student.teacher.exact)
        if ceiling is not None and ceiling.value is not None:
            told += f" (the teacher with itself: {_percent(ceiling)})"
        what = "whole answers" if student.teacher.whole else "answer parts"
        numbers.append((f"{what} like the teacher's", told))
    numbers.extend(_saving(student, teacher))
    return numbers


def _saving(student: Measured, teacher: Measured | None) -> list[tuple[str, str]]:
    if teacher is None:
        return []
    mine, theirs = student.effort, teacher.effort
    if mine.cost is not None and theirs.cost:
        if not mine.cost:
            return [("cost of 1,000 rows", f"student $0, teacher {_dollars(theirs.cost)}")]
        told = f"student {_dollars(mine.cost)}, teacher {_dollars(theirs.cost)}"
        return [("cost of 1,000 rows", f"{_times(theirs.cost / mine.cost, 'less')} ({told})")]
    if mine.rows_per_second and theirs.rows_per_second:
        told = f"student {mine.rows_per_second:.3g}, teacher {theirs.rows_per_second:.3g}"
        ratio = _times(mine.rows_per_second / theirs.rows_per_second, "more")
        return [("rows a second", f"{ratio} ({told})")]
    return []


def _sentence(
    split: str, student: str, test: _Test, word: Verdict, margin: float, learnt: bool | None
) -> str:
    start = f"On {split}, {student} in place of the teacher:"
    if test.whole.difference.value is None:
        return f"{start} not measurable, no row was answered by both and can be scored."
    ground = (
        "student minus teacher"
        if test.against == "gold"
        else "taking the teacher for right because there is no gold"
    )
    seen = f"{said_points(test.whole.difference)} of whole answers right, {ground}"
    if test.decides is test.parts:
        seen += f", but {said_points(test.parts.difference)} of answer parts"
    seen += f", at a margin of {margin:g}"
    if word == "not measurable":
        return f"{start} not measurable, it is not shown to beat the majority class ({seen})."
    tail = " It is not shown to beat the majority class either." if learnt is False else ""
    return f"{start} {_word(word, test.decides, margin)} ({seen}).{tail}"


def _word(word: Verdict, test: NonInferiority, margin: float) -> str:
    if word == "not enough rows":
        if not test.rows_needed:
            return "not enough rows to say"
        needed = said_needed(test.rows_needed, test.groups_needed)
        return f"not enough rows to say; {needed} would do, were the difference as it is here"
    if word == "not supported":
        beyond = (test.difference.high or 0.0) > -margin
        return f"{word}, though these rows do not rule it out" if beyond else word
    return word


def said_needed(rows: int, groups: int | None) -> str:
    """How many rows, or groups of rows where these are the unit, as a guess."""
    told = f"about {about(rows):,} rows"
    return told if groups is None else f"about {about(groups):,} groups of rows ({told})"


def about(rows: int) -> int:
    """A number of rows that is a guess, rounded up to two figures."""
    unit = 10 ** max(0, len(str(rows)) - 2)
    up: int = -(-rows // unit) * unit
    return up


def said_points(score: Score) -> str:
    ends = (points(end or 0.0) for end in (score.value, score.low, score.high))
    return "{} points [{} to {}]".format(*ends)


def _percent(score: Score) -> str:
    return "unknown" if score.value is None else f"{100 * score.value:.1f} %"


def _dollars(usd: float) -> str:
    return f"${usd:.2f}" if usd >= 0.1 else f"${usd:.2g}"


def _times(ratio: float, word: str) -> str:
    """How many times more or less, in plain figures."""
    if ratio < 1:
        ratio, word = 1 / ratio, {"more": "less", "less": "more"}[word]
    return f"{ratio:,.0f} times {word}" if ratio >= 10 else f"{ratio:.1f} times {word}"
