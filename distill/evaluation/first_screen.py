"""What the first screen says in sentences: the verdicts of all splits, and what qualifies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .results import Comparison, Measured, SwapVerdict
from .verdicts import about, said_points

ALPHA = 0.05
MOST_NAMED = 6  # students that are named with their figures

EMBEDDED_NOTE = (
    "The students here grew from the embedded base, a toy language model of about a million "
    "parameters trained on synthetic Portuguese that shares the sample task's grammar and words: "
    "these figures show that the loop works, not what a real student (STUDENT=Qwen/Qwen3-0.6B, "
    "say) would score."
)


def answer(splits: Sequence[str], found: Sequence[SwapVerdict], *, margin: float) -> str:
    """What the first screen says, from the verdicts of all splits in their order."""
    if not found:
        return (
            "Whether a student can stand in for the teacher is not answered: it takes a student "
            "and the teacher it learnt from, with answers to the same held-out rows."
        )
    students = len({verdict.student for verdict in found})
    head = f"Can a student stand in for the teacher, at most {margin:g} points worse?"
    told = [_on_split(split, [v for v in found if v.split == split]) for split in splits]
    many = (
        [f"Each of {students} students is tested alone, at 95 %: take none for being the luckiest."]
        if students > 1 and any(verdict.verdict == "supported" for verdict in found)
        else []
    )
    return " ".join([head, *filter(None, told), *many])


def not_learnt(split: str, results: Mapping[str, Measured]) -> str | None:
    """A sentence on the systems that are not shown to beat the majority class."""
    names = [name for name, result in results.items() if result.learnt is False]
    if not names:
        return None
    verb, counts = ("is", "counts") if len(names) == 1 else ("are", "count")
    return (
        f"On {split}, {' and '.join(names)} {verb} not shown to beat the majority class and "
        f"{counts} as not learnt."
    )


def simpler(
    splits: Sequence[str], found: Sequence[Comparison], *, students: Sequence[str], tfidf: str
) -> str | None:
    """A sentence on the splits where TF-IDF beats students, or no student is shown to beat it."""
    told = []
    for split in splits:
        pairs = [c for c in found if (c.split, c.second) == (split, tfidf) and c.first in students]
        shown = [c for c in pairs if c.p_holm is not None and c.p_holm < ALPHA]
        worse = [c.first for c in shown if (c.points.value or 0) < 0]
        if worse:
            told.append(f"on {split} it is better than {' and '.join(worse[:MOST_NAMED])}")
        elif pairs and not shown:
            told.append(f"on {split} no student is shown to be better")
    if not told:
        return None
    who = f"{tfidf}, word counts and a logistic regression taught by the same labels"
    return f"A simple classifier may do ({who}): {'; '.join(told)}."


def _on_split(split: str, found: Sequence[SwapVerdict]) -> str | None:
    """Every student by verdict, best verdict first."""
    if not found:
        return None
    told = []
    for word in ("supported", "not enough rows", "not supported", "not measurable"):
        named = [verdict for verdict in found if verdict.verdict == word]
        if named:
            shown = ", ".join(_shown(verdict) for verdict in named[:MOST_NAMED])
            rest = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
            told.append(f"{word}: {shown}{rest}")
    return f"On {split}, {'; '.join(told)}."


def _shown(verdict: SwapVerdict) -> str:
    value = verdict.difference.value
    if value is None:
        return verdict.student
    needed = verdict.rows_needed
    told = f", about {about(needed):,} rows might do" if needed else ""
    return f"{verdict.student} ({said_points(verdict.difference)}{told})"


def is_toy(systems: Sequence[Any]) -> bool:
    """Whether a student grew from the embedded base."""
    return any(one.run.parameters.get("base") == "embedded" for one in systems)
