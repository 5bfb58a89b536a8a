"""What the store's records add up to: every system's newest run side by side, as a Report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...chains.task import Task
from ...store.rows import Example, Record, Run, Score, fingerprint
from ...store.store import Store
from ..runs import NOTEBOOK, is_repeat, now, versions
from ..training_curves import trained_curves
from .ceiling import self_agreement
from .results import QUESTION, Difference, Disagreement, Report, SplitNote, SystemResult
from .scoring import PartPair, difference_in_points, paired_parts, split_result

NOT_HELD_OUT = ("train", "validation", "calibration")


EMBEDDED_NOTE = (
    "The students here grew from the embedded base, a toy language model of about a million "
    "parameters trained on synthetic Portuguese that shares the sample task's grammar and words: "
    "these figures show that the loop works, not what a real student (STUDENT=Qwen/Qwen3-0.6B, "
    "say) would score."
)
NOTES = (
    "exact is the share of answer parts (in the sample task: sentences) with every label right; "
    "a row that failed counts as wrong.",
    "Intervals are at 95 %, rows resampled; they cover the choice of test rows, not the choice of "
    "training seed.",
    "agreement is measured against the teacher's labels, accuracy against gold; a student that "
    "agrees with a wrong teacher is wrong.",
    "Seconds are wall time per row while others are answered beside it (teacher 8 at a time, "
    "students 64, baselines 1), the first row's loading included: a throughput, not a latency.",
)


def compare(
    task: Task, store: Store, *, splits: Sequence[str] | None = None, limit: int | None = None
) -> Report:
    """The Report of what the store holds: every system's newest run on the held-out splits."""
    names = list(splits) if splits else held_out(store, task)
    examples = {name: store.examples(task.name, split=name, limit=limit) for name in names}
    systems = _newest_systems(store, task)
    answers = {run.id: {r.example: r for r in store.records(run.id)} for run in systems}
    teacher = next((run for run in systems if run.role == "teacher"), None)
    taught = answers[teacher.id] if teacher else {}
    floor = next(
        (answers[run.id] for run in systems if (run.role, run.name) == ("baseline", "majority")),
        None,
    )
    results = [
        SystemResult(
            name=run.name,
            role=run.role,
            model=run.model,
            target=run.target,
            run=run.id,
            description=_description(run),
            splits={
                name: split_result(
                    task,
                    name,
                    rows,
                    answers[run.id],
                    taught=None if run is teacher else taught,
                    floor=floor if run.role == "student" else None,
                )
                for name, rows in examples.items()
                if any(row.id in answers[run.id] for row in rows)
            },
        )
        for run in systems
    ]
    differences = _differences(task, systems, examples, answers)
    ceiling = self_agreement(task, store, teacher) if teacher else None
    return Report(
        task=task.name,
        created=now(),
        ceiling=ceiling,
        splits=[
            SplitNote(name=name, rows=len(examples[name]), sentence=_note(task, name))
            for name in names
        ],
        systems=[result for result in results if result.splits],
        answer=" ".join([_answer(differences), *_not_learnt(results), *_toy_base(systems)]),
        differences=differences,
        disagreements=_disagreements(task, systems, examples, answers),
        notes=[*NOTES, *_ceiling_note(ceiling)],
        versions=versions(),
        curves=trained_curves(store, task.name),
    )


def _ceiling_note(ceiling: Score | None) -> list[str]:
    if ceiling is None:
        return ["Whether the teacher agrees with itself is not known: distill --repeat 200 asks."]
    return [
        "In the teacher's own row, agreement is with itself, over the rows of all splits that it "
        "was asked twice: the ceiling of what a student's agreement can show."
    ]


def held_out(store: Store, task: Task) -> list[str]:
    """The splits nobody trains on, the most telling first: wild, hard, others, test."""
    order = {"wild": 0, "hard": 1, "test": 3}
    names = [name for name in store.splits(task.name) if name not in NOT_HELD_OUT]
    return sorted(names, key=lambda name: (order.get(name, 2), name))


def _newest_systems(store: Store, task: Task) -> list[Run]:
    """The newest run per role and name: teacher, students, baselines, base, majority last."""
    newest: dict[tuple[str, str], Run] = {}
    for run in store.runs(task=task.name):
        if is_repeat(run):
            continue
        answered = (record.answer for record in store.iter_records(run.id))
        if run.answers == task.answers and (run.name == NOTEBOOK or any(answered)):
            newest.setdefault((run.role, run.name), run)
    roles = ("teacher", "student", "baseline", "base")
    return sorted(
        newest.values(),
        key=lambda run: (run.name == "majority", roles.index(run.role), run.name),
    )


def _differences(
    task: Task,
    systems: Sequence[Run],
    examples: Mapping[str, Sequence[Example]],
    answers: Mapping[str, Mapping[str, Record]],
) -> list[Difference]:
    """The student trained with reasoning minus the one trained on labels alone, per split."""
    pair = _twins([run for run in systems if run.role == "student"])
    if pair is None:
        return []
    first, second = pair
    differences = []
    for split, rows in examples.items():
        pairs = paired_parts(task, rows, answers[first.id], answers[second.id])
        if pairs:
            differences.append(_difference(first, second, split, pairs))
    return differences


def _twins(students: Sequence[Run]) -> tuple[Run, Run] | None:
    """A reasoning and a label-only student of the same base that learnt the same rows."""
    for first in students:
        for second in students:
            same = all(
                first.parameters.get(fact) == second.parameters.get(fact)
                for fact in ("base", "rows")
            )
            if same and (first.target, second.target) == ("reason_label", "label"):
                return first, second
    return None


def _difference(
    first: Run,
    second: Run,
    split: str,
    pairs: Sequence[PartPair],
) -> Difference:
    points = difference_in_points(pairs)
    return Difference(
        first=first.name,
        second=second.name,
        split=split,
        points=points,
        wins=sum(a[key] and not b[key] for a, b in pairs for key in a),
        losses=sum(b[key] and not a[key] for a, b in pairs for key in a),
        sentence=_verdict(split, points),
    )


def _verdict(split: str, points: Score) -> str:
    if points.value is None or points.low is None or points.high is None:
        return f"On {split} there is no gold to compare by."
    figures = f"{points.value:+.1f} points (95 % interval {points.low:+.1f} to {points.high:+.1f})"
    if points.low > 0:
        return f"On {split} the student trained with reasoning is better: {figures}."
    if points.high < 0:
        return f"On {split} the student trained with reasoning is worse: {figures}."
    return f"On {split} no difference is shown: {figures}."


def _answer(differences: Sequence[Difference]) -> str:
    if not differences:
        return (
            "Whether reasoning helps is not answered: it takes a student trained on labels alone "
            "and one trained with reasoning, of the same base and on the same rows."
        )
    return QUESTION + " " + " ".join(difference.sentence for difference in differences)


def _not_learnt(results: Sequence[SystemResult]) -> list[str]:
    """For each split a sentence on the students that are not shown to beat the majority class."""
    sentences = []
    for split in dict.fromkeys(name for result in results for name in result.splits):
        names = [r.name for r in results if split in r.splits and r.splits[split].learnt is False]
        if names:
            verb = "is" if len(names) == 1 else "are"
            sentences.append(
                f"On {split}, {' and '.join(names)} {verb} not learnt: not shown to beat the "
                "majority class."
            )
    return sentences


def _disagreements(
    task: Task,
    systems: Sequence[Run],
    examples: Mapping[str, Sequence[Example]],
    answers: Mapping[str, Mapping[str, Record]],
    *,
    at_most: int = 12,
) -> list[Disagreement]:
    """Rows to which the teacher and the students that were asked gave different answers."""
    shown = [run for run in systems if run.role in ("teacher", "student")]
    found: list[Disagreement] = []
    for split, rows in examples.items():
        here = 0
        for row in rows:
            records = {r.name: answers[r.id][row.id] for r in shown if row.id in answers[r.id]}
            given = {name: record.answer for name, record in records.items()}
            if len({fingerprint(answer) for answer in given.values()}) < 2:
                continue
            here += 1
            if here > max(1, at_most // max(1, len(examples))):
                break
            found.append(
                Disagreement(
                    split=split,
                    example=row.id,
                    inputs=row.inputs,
                    gold=row.gold,
                    answers=given,
                    reasonings={n: r.reasoning for n, r in records.items() if r.reasoning},
                )
            )
    return found


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


def _description(run: Run) -> str:
    descriptions = {
        "teacher": "the teacher: its labels are what the others learn from",
        "student": f"a student trained on the teacher's {_TAUGHT[run.target]}"
        if run.target in _TAUGHT
        else f"a student of the target {run.target}",
        "base": "the base model before training, told the teacher's words, held to the schema",
    }
    return descriptions.get(run.role) or _BASELINES[run.name]


def _toy_base(systems: Sequence[Run]) -> list[str]:
    toy = any(run.parameters.get("base") == "embedded" for run in systems)
    return [EMBEDDED_NOTE] if toy else []


def _note(task: Task, split: str) -> str:
    return task.splits.get(split, f"Rows of split {split}, held out from training.")
