"""A student is calibrated: what it may answer alone so that it agrees with its teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...chains.task import Task
from ...store.provenance import taught_examples
from ...store.rows import Calibration, Run
from ...store.stand_ins import calibrations, save_calibration
from ...store.store import Store
from ..evaluation.systems import teaching_run
from ..labelling.limits import LabellingError
from ..loop import Progress
from ..runs import now
from .applying import confidence_score
from .asking import ask, student_of
from .binomial import least_rows
from .calibrator import fit_calibrator
from .curve import points
from .reference import reference_of
from .rows import (
    BOUND,
    FITTED,
    Judged,
    check_splits,
    escalated_rows,
    judged,
    judged_paths,
    untouched,
)
from .threshold import Choice, Scored, choose

SOURCE = "Learn then Test (arXiv 2110.01052): fixed sequence, exact binomial tests"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a calibration is asked for: shares, and US dollars for 1,000 rows of the cascade."""

    agreement: float
    confidence: float
    max_usd_per_1000: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The two sets of rows of a calibration, with the scores that its calibrator gives them."""

    calibrator: dict[str, Any]
    validation: list[Scored]
    calibration: list[Scored]
    rows: list[Judged]
    left_out: dict[str, int]
    unknown: list[str] = field(default_factory=list)


def calibrate(
    task: Task,
    store: Store,
    student: Path | str | Run,
    *,
    agreement: float = 0.97,
    confidence: float = 0.95,
    max_usd_per_1000: float | None = None,
    limit: int | None = None,
    fitted: str = FITTED,
    bound: str = BOUND,
    progress: Callable[[str], Progress | None] | None = None,
) -> Calibration:
    """Fit the calibrator on split `fitted`, test thresholds on split `bound`, and store both.

    The student (a run folder, a server's "http://host:port/v1#name", or "provider:model") answers
    the rows of both that it has not answered yet; for a Run whose records are in the store nobody
    is asked. Among the rows that it answers at the threshold it agrees with the teacher in at least
    `agreement`, with probability `confidence` over the draw of the calibration rows
    (`threshold.choose`); `threshold` is None, and `details["why"]` says why, where these rows do
    not support that or the cascade would cost more than `max_usd_per_1000`. `limit` is in rows of
    each split.

    Raises LabellingError where the rows are missing or were used before, StudentError, StoreError.
    """
    _check(agreement, confidence)
    check_splits(fitted, bound)
    teacher = teaching_run(store, task)
    run, digest = _answered(task, store, student, (fitted, bound), limit, progress)
    sets = {
        split: judged(task, store, student=run, teacher=teacher, split=split, limit=limit)
        for split in (fitted, bound)
    }
    for split, rows in sets.items():
        if not rows:
            raise LabellingError(
                f"task {task.name} has no row of split {split} that the teacher and the student "
                f"{run.name} both answered; run distill --split {split} first"
            )
    evidence = _evidence(task, store, sets[fitted], sets[bound], digest, fitted)
    asked = Asked(agreement=agreement, confidence=confidence, max_usd_per_1000=max_usd_per_1000)
    if looks := _earlier_looks(store, task, run, agreement, rows=len(evidence.calibration)):
        evidence.unknown.append(looks)
    found = concluded(evidence, asked, task=task.name, student=run.id, teacher=teacher.id)
    number = save_calibration(store, found)
    return found.model_copy(update={"number": number})


def concluded(
    evidence: Evidence, asked: Asked, *, task: str, student: str, teacher: str
) -> Calibration:
    """The calibration that the evidence supports."""
    choice = choose(
        evidence.validation,
        evidence.calibration,
        agreement=asked.agreement,
        confidence=asked.confidence,
    )
    usd = _mean([row.cost for row in evidence.rows])
    rows, best = len(evidence.calibration), choice.chosen
    cost = None if usd is None or best is None else 1000 * usd * (1 - best.answered / rows)
    why = _refusal(choice, evidence, asked) or _dear(cost, asked.max_usd_per_1000)
    threshold = best.threshold if best and why is None else None
    details: dict[str, Any] = {
        "source": SOURCE,
        "confidence": asked.confidence,
        "validation_rows": len(evidence.validation),
        "left_out": evidence.left_out,
        "unknown": evidence.unknown,
        "tested": len(choice.tried),
        "coverage": best.answered / rows if best else None,
        "answered": best.answered if best else None,
        "agreed": best.agreed if best else None,
        "bound": best.low if best else None,
        "usd_per_1000": {"teacher": None if usd is None else 1000 * usd, "cascade": cost},
        "rows_needed": choice.rows_needed,
        "why": why,
        "curve": points(
            evidence.validation,
            evidence.calibration,
            chosen=threshold,
            usd_per_row=usd,
            confidence=asked.confidence,
        ),
        "reference": reference_of(evidence.rows, evidence.calibrator, threshold),
    }
    return Calibration(
        task=task,
        student=student,
        teacher=teacher,
        agreement=asked.agreement,
        threshold=threshold,
        calibrator=evidence.calibrator,
        rows=rows,
        details=details,
        created=now(),
    )


def _check(agreement: float, confidence: float) -> None:
    for name, value in (("agreement", agreement), ("confidence", confidence)):
        if not 0.5 <= value < 1.0:
            raise LabellingError(f"{name} is {value}: it must be at least 0.5 and below 1")


def _earlier_looks(
    store: Store, task: Task, run: Run, agreement: float, *, rows: int
) -> str | None:
    """What looking again after a refusal costs: each look may err, and a lucky one ends the search.

    The same rows give the same answer; they are looked at once.
    """
    refused = {
        one.rows
        for one in calibrations(store, task.name)
        if one.student == run.id and one.agreement == agreement and one.threshold is None
    } - {rows}
    if not refused:
        return None
    return (
        f"how sure this is, {len(refused)} times refused before with other numbers of rows: the "
        "confidence is that of one look; rows that no refusal has looked at would have it"
    )


def _answered(
    task: Task,
    store: Store,
    student: Path | str | Run,
    splits: tuple[str, str],
    limit: int | None,
    progress: Callable[[str], Progress | None] | None,
) -> tuple[Run, str | None]:
    """The student's run, and the digest of the rows that taught it."""
    if isinstance(student, Run):
        return student, None
    run, model = student_of(task, student)
    ask(task, store, run, model, splits=splits, limit=limit, progress=progress)
    card = getattr(model, "card", None)
    return run, card.training.get("rows_sha256") if card is not None else None


def _evidence(
    task: Task,
    store: Store,
    fitted_rows: Sequence[Judged],
    bound_rows: Sequence[Judged],
    digest: str | None,
    fitted: str,
) -> Evidence:
    rows, left_out = untouched(task, store, bound_rows, rows_sha256=digest, fitted=fitted)
    if not rows:
        why = "; ".join(f"{count} left out: {reason}" for reason, count in left_out.items())
        raise LabellingError(f"task {task.name} has no row for the threshold: {why}")
    unfair = escalated_rows(store, task.name)
    fitted_rows = [row for row in fitted_rows if row.example.id not in unfair]
    calibrator = fit_calibrator(
        [(_plain(row), row.agreed) for row in fitted_rows], paths=judged_paths(task)
    )
    if not calibrator["rows"]:
        raise LabellingError(
            "the student says of no answer how sure it is, so no row can be told from another; a "
            "student in this process does (ChatStudent), or a server that gives log-probabilities"
        )
    known = digest is not None and taught_examples(store, digest)
    unknown = [] if known else ["which rows taught the student: this store did not see it trained"]
    return Evidence(
        calibrator=calibrator,
        validation=_scored(fitted_rows, calibrator),
        calibration=_scored(rows, calibrator),
        rows=rows,
        left_out=left_out,
        unknown=unknown,
    )


def _plain(row: Judged) -> dict[str, float] | None:
    return dict(row.confidence) if row.confidence else None


def _scored(rows: Sequence[Judged], calibrator: dict[str, Any]) -> list[Scored]:
    return [(confidence_score(row.confidence, calibrator), row.agreed) for row in rows]


def _refusal(choice: Choice, evidence: Evidence, asked: Asked) -> str | None:
    """Why no threshold is supported, and how many rows would do."""
    if choice.chosen is not None:
        return None
    rows, least = len(evidence.calibration), least_rows(asked.agreement, asked.confidence)
    said = f"{rows:,} calibration rows do not show an agreement of {asked.agreement:g}"
    if choice.tried:
        first = choice.tried[0]
        said += f" (of the {first.answered:,} surest, {first.agreed:,} agree)"
    if rows < least:
        return f"{said}: no fewer than {least:,} could; label more into split {BOUND}"
    if choice.rows_needed is None:
        return f"{said}, and at this agreement no number would: ask for less, or train it better"
    needed = max(choice.rows_needed, least)
    return f"{said}: about {needed:,} would; label more into split {BOUND}, or ask for less"


def _dear(cost: float | None, most: float | None) -> str | None:
    if most is None or (cost is not None and cost <= most):
        return None
    if cost is None:
        return f"whether 1,000 rows cost at most ${most:g} is not known: no price of the teacher is"
    return f"1,000 rows of the cascade would cost ${cost:.4g}, more than ${most:g}; ask for less"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
