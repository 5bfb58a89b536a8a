"""What the report says in words of itself: who the systems are, what splits and figures mean."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

from ...chains.task import Task
from ...store.rows import Run, Score
from ..runs import NOTEBOOK, versions
from .answered import Sheet
from .results import Asked, Provenance, SplitNote

_LIBRARIES = ("torch", "transformers", "peft", "scikit-learn", "numpy")
_TAUGHT = {
    "label": "labels alone",
    "reason_label": "reasoning and labels",
    "label_reason": "labels, and their reasoning after the answer's end; it writes labels alone",
    "multitask": "labels and reasoning as two tasks; it writes labels alone",
}
_BASELINES = {
    "tfidf": "TF-IDF of words and characters with logistic regression, on the same labels",
    "majority": "always the most frequent label of the teacher",
    NOTEBOOK: "a student as the course's notebook serves it: HuggingFacePipeline, not held to JSON",
}
_NOTES = (
    "A whole answer is right when every label of it is; exact is the share of answer parts (in the "
    "sample task: sentences) with every label right. A row that failed counts as wrong; a row that "
    "neither gold nor the teacher speaks of counts in nothing.",
    "Intervals are at 95 %. Their unit, and that of every test, is the row, or its group where "
    "rows have groups. They cover the choice of test rows, not the choice of training seed.",
    "Right is against gold; agreement is with the teacher's answers. A student that agrees with a "
    "wrong teacher is wrong.",
    "Supported means: the lower end of the interval of student minus teacher is above the negative "
    "margin, of whole answers and of their parts. That no difference is shown does not mean that "
    "there is none.",
    "How intervals are made: shares by Wilson's, differences of shares by Tango's for pairs (both "
    "are score intervals, which hold near 0 and 1 and on few rows, where a bootstrap is too "
    "narrow); macro-F1 and its differences by the bootstrap over rows (BCa). P values are "
    "McNemar's, exact. The rows that a difference would take to show are for one test alone; after "
    "Holm's correction for many it takes more.",
    "Seconds are wall time per row while others are answered beside it (unless asked otherwise, "
    "paid models 8 at a time, students 64, baselines 1), the first row's loading included.",
)


def description(run: Run, *, reference: str | None) -> str:
    """What this system is, in a phrase."""
    if run.role == "teacher" and run.id == reference:
        return "the teacher: its labels are what the others learn from"
    if run.role == "teacher":
        return f"{run.model}, asked by the strategy {run.strategy}"
    if run.role == "student":
        taught = _TAUGHT.get(run.target)
        if taught is None:
            return f"a student of the target {run.target}"
        return f"a student trained on the teacher's {taught}"
    if run.role == "base":
        asked = "" if run.strategy == "answer" else f", by the strategy {run.strategy}"
        return (
            f"the base model before training, told the teacher's words{asked}, held to the schema"
        )
    return _BASELINES.get(run.name, f"{run.model}, asked by the strategy {run.strategy}")


def split_note(task: Task, sheet: Sheet) -> SplitNote:
    """A split's rows, and what the task says of it."""
    name = sheet.split
    return SplitNote(
        name=name,
        rows=len(sheet.ids),
        with_gold=int(sheet.has_gold.sum()),
        sentence=task.splits.get(name, f"Rows of split {name}, held out from training."),
    )


def notes(ceiling: Score | None, pairs: Mapping[str, tuple[int, int]]) -> list[str]:
    """What figures mean. `pairs`: by split, how many pairs were tested, and of how many."""
    found = list(_NOTES)
    for split, (tested, of) in pairs.items():
        if tested < of:
            found.append(
                f"On {split}, {tested} of {of} pairs of systems are tested: those that can be held "
                "against the same thing, students first, then the teacher."
            )
    if ceiling is None:
        found.append(
            "Whether the teacher agrees with itself is not known: distill --repeat 200 asks."
        )
    else:
        found.append(
            "The ceiling is the teacher's agreement with itself, over the rows of all splits that "
            "it was asked twice: no student can be asked to agree with it more often."
        )
    return found


def provenance(
    task: Task, systems: Mapping[str, Run], commands: Sequence[str], asked: Sequence[Asked]
) -> Provenance:
    """What makes the report again; `systems` are the runs by name."""
    found = {"python": platform.python_version(), **versions()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    hashes = {
        "teacher's words": task.teacher_words,
        "student's words": task.student_words,
        "answers": task.answers,
        **{f"run of {name}": run.id for name, run in systems.items()},
    }
    return Provenance(commands=list(commands), asked=list(asked), versions=found, hashes=hashes)
