"""A gate for CI: `student.macro_f1 >= teacher.macro_f1 - 0.02`, by bounds and not by points."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...store.rows import Score
from ..labelling.limits import LabellingError
from .results import Comparison, Measured, Report, SystemResult


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """Whether an expression holds; `reason` says in one line what was seen and what was needed."""

    expression: str
    passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """`system.metric + offset`, or the number `offset` where `system` is None."""

    system: str | None
    metric: str
    offset: float


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A parsed expression; `split` None asks for every split of the report."""

    expression: str
    left: Side
    operator: Literal[">=", "<="]
    right: Side
    split: str | None


def _macro_f1(of: Measured) -> Score | None:
    """The mean over labels; so are its bounds, which are then rather too wide than too narrow."""
    scores = [label.macro_f1 for label in of.gold.labels.values()] if of.gold else []
    known = [s for s in scores if s.value is not None]
    if not known or len(known) < len(scores):
        return None
    value, low, high = (
        sum(getattr(score, field) for score in known) / len(known)
        for field in ("value", "low", "high")
    )
    return Score(value=value, low=low, high=high, n=known[0].n)


METRICS: dict[str, Callable[[Measured], Score | None]] = {
    "accuracy": lambda of: of.gold.row_exact if of.gold else None,
    "exact": lambda of: of.gold.exact if of.gold else None,
    "macro_f1": _macro_f1,
    "agreement": lambda of: of.teacher.exact if of.teacher else None,
    "row_agreement": lambda of: of.teacher.row_exact if of.teacher else None,
    "valid": lambda of: of.valid,
}
# What a Comparison has of the metric on the same rows, in points.
PAIRED: dict[str, Callable[[Comparison], Score | None]] = {
    "accuracy": lambda pair: pair.points if pair.against == "gold" else None,
    "row_agreement": lambda pair: pair.points if pair.against == "teacher" else None,
    "macro_f1": lambda pair: pair.macro_f1,
}

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_NAME = r"""(?P<name>"[^"]+"|`[^`]+`|[^"`].*?)"""
_SIDE = re.compile(
    rf"{_NAME}\.(?P<metric>[A-Za-z_]\w*)(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?", re.DOTALL
)
_CONSTANT = re.compile(rf"-?\s*(?:{_NUMBER})")
_OPERATOR = re.compile(r""""[^"]*"|`[^`]*`|(?P<operator>>=|<=)""")
_ON = re.compile(r"""(?P<side>.*\S)\s+on\s+(?P<split>"[^"]+"|`[^`]+`|\S+)""", re.DOTALL)
_FORM = "write SYSTEM.METRIC >= SYSTEM.METRIC - 0.02, or SYSTEM.METRIC >= 0.9 on SPLIT"


def gate(report: Report, expressions: Iterable[str]) -> list[GateResult]:
    """Whether each expression holds on its split, or on every split of the report.

    `SYSTEM.METRIC >= SYSTEM.METRIC - NUMBER`, with `<=`, `+` and plain numbers too, and `on SPLIT`
    at the end; names of odd characters stand in "double quotes" or `backticks`. `student` is the
    only student there is, `teacher` the one it learnt from; a name without its seed is every seed,
    and each must hold. With >= the lower bound of left minus
    right at 95 % must reach the number, with <= the upper bound. Where a figure is missing the
    expression does not hold. Accuracy and macro-F1 of two systems are paired; what is not paired is
    held bound against bound. Raises LabellingError for what cannot be read, or is not there.
    """
    return [_decided(report, parsed(expression)) for expression in expressions]


def parsed(expression: str) -> Gate:
    """An expression taken apart. Raises LabellingError with the form that is understood."""
    found = [match for match in _OPERATOR.finditer(expression) if match["operator"]]
    if len(found) != 1:
        raise LabellingError(f"gate {expression!r}: it needs one >= or <=; {_FORM}")
    left = _side(expression[: found[0].start()])
    right, split = _side(expression[found[0].end() :]), None
    if right is None and (on := _ON.fullmatch(expression[found[0].end() :].strip())):
        right, split = _side(on["side"]), _bare(on["split"])
    if left is None or right is None or (left.system is None and right.system is None):
        raise LabellingError(f"gate {expression!r} is not understood; {_FORM}")
    operator: Literal[">=", "<="] = ">=" if found[0]["operator"] == ">=" else "<="
    for side in (left, right):
        if side.system is not None and side.metric not in METRICS:
            raise LabellingError(
                f"gate {expression!r}: there is no metric {side.metric}; "
                f"the metrics: {', '.join(METRICS)}"
            )
    return Gate(expression=expression, left=left, operator=operator, right=right, split=split)


def _side(text: str) -> Side | None:
    text = text.strip()
    if _CONSTANT.fullmatch(text):
        return Side(system=None, metric="", offset=float(text.replace(" ", "")))
    found = _SIDE.fullmatch(text)
    if found is None:
        return None
    offset = float(found["offset"] or 0) * (-1 if found["sign"] == "-" else 1)
    return Side(system=_bare(found["name"]), metric=found["metric"], offset=offset)


def _bare(name: str) -> str:
    quoted = len(name) > 2 and name[0] == name[-1] and name[0] in '"`'
    return name[1:-1] if quoted else name


def _decided(report: Report, asked: Gate) -> GateResult:
    names = [split.name for split in report.splits]
    if asked.split is not None and asked.split not in names:
        raise LabellingError(
            f"gate {asked.expression!r}: there is no split {asked.split}; "
            f"the splits: {', '.join(names)}"
        )
    found = [
        _on_split(report, replace(asked, left=left, right=right), split)
        for split in (names if asked.split is None else [asked.split])
        for left in _known(report, asked.left)
        for right in _known(report, asked.right)
    ]
    failed = [reason for passed, reason in found if not passed]
    return GateResult(
        expression=asked.expression,
        passed=bool(found) and not failed,
        reason="; ".join(failed or [reason for _, reason in found]) or "there is no held-out split",
    )


def _known(report: Report, side: Side) -> list[Side]:
    """The side with the system's own name, or of every seed of that name. Raises LabellingError."""
    names = [system.name for system in report.systems]
    students = [system for system in report.systems if system.role == "student"]
    seeds = [system.name for system in students if system.arm == side.system]
    if side.system is None or side.system in names:
        return [side]
    if side.system == "teacher" and report.reference is not None:
        return [replace(side, system=report.reference)]
    if seeds:
        return [replace(side, system=name) for name in seeds]
    if side.system == "student" and len(students) == 1:
        return [replace(side, system=students[0].name)]
    if side.system == "student" and students:
        among = ", ".join(dict.fromkeys(system.arm for system in students))
        raise LabellingError(f"there are several students, write which one is meant: {among}")
    raise LabellingError(f"there is no system {side.system}; the systems: {', '.join(names)}")


def _on_split(report: Report, asked: Gate, split: str) -> tuple[bool, str]:
    """Whether it holds there, and why."""
    needed = asked.right.offset - asked.left.offset
    score, how = _left_minus_right(report, asked, split)
    if score is None or score.low is None or score.high is None or score.value is None:
        return False, f"on {split} it is not measured: {how}"
    at_least = asked.operator == ">="
    bound = score.low if at_least else score.high
    passed = bound >= needed if at_least else bound <= needed
    end = "lower" if at_least else "upper"
    return passed, (
        f"on {split}, {how} is {score.value:+.4f} [{score.low:+.4f}, {score.high:+.4f}]: "
        f"the {end} bound {bound:+.4f} is {'' if passed else 'not '}{asked.operator} {needed:+.4f}"
    )


def _left_minus_right(report: Report, asked: Gate, split: str) -> tuple[Score | None, str]:
    """The difference of the two sides without their offsets, as a share, and what it is called."""
    left, right = _figure(report, asked.left, split), _figure(report, asked.right, split)
    named = [f"{side.system}.{side.metric}" for side in (asked.left, asked.right) if side.system]
    for side, score in ((asked.left, left), (asked.right, right)):
        if side.system is not None and (score is None or score.value is None):
            return None, f"{side.system}.{side.metric} has no figure"
    if right is None and left is not None:
        return left, named[0]
    if left is None and right is not None:
        return _negative(right), f"-{named[0]}"
    paired = _paired(report.comparisons, asked.left, asked.right, split)
    if paired is not None:
        return paired, f"{named[0]} minus {named[1]}, on the same rows,"
    return _apart(left, right), f"{named[0]} minus {named[1]}, bound against bound,"


def _figure(report: Report, side: Side, split: str) -> Score | None:
    if side.system is None:
        return None
    system = next(one for one in report.systems if one.name == side.system)
    if side.metric == "agreement" and system.name == report.reference:
        return report.ceiling
    return _score(system, side.metric, split)


def _score(system: SystemResult, metric: str, split: str) -> Score | None:
    return METRICS[metric](system.splits[split]) if split in system.splits else None


def _paired(pairs: Sequence[Comparison], left: Side, right: Side, split: str) -> Score | None:
    if left.metric != right.metric or left.metric not in PAIRED:
        return None
    for pair in pairs:
        if pair.split == split and {pair.first, pair.second} == {left.system, right.system}:
            score = PAIRED[left.metric](pair)
            if score is None or score.value is None or len({pair.first, pair.second}) < 2:
                return None
            share = _times(score, 0.01)
            return share if pair.first == left.system else _negative(share)
    return None


def _apart(left: Score | None, right: Score | None) -> Score | None:
    """Two figures whose rows are not known to be the same: the interval that is always wide
    enough."""
    if left is None or right is None:
        return None
    ends = (left.low, left.high, right.low, right.high, left.value, right.value)
    if any(end is None for end in ends):
        return None
    low, high, other_low, other_high, value, other = (end or 0.0 for end in ends)
    return Score(value=value - other, low=low - other_high, high=high - other_low, n=left.n)


def _negative(score: Score) -> Score:
    return _times(score, -1.0)


def _times(score: Score, factor: float) -> Score:
    ends = [None if end is None else factor * end for end in (score.low, score.high)]
    low, high = ends if factor > 0 else ends[::-1]
    return Score(value=factor * (score.value or 0.0), low=low, high=high, n=score.n)
