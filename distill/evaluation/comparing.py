"""What the store's records add up to: everybody side by side on the held-out rows, as a Report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...chains.task import Task
from ...store.rows import Run, Score
from ...store.store import Store
from ..runs import now
from ..training.curves import trained_curves
from . import costs, first_screen, told, verdicts
from .answered import Answering
from .ceiling import self_agreement
from .differences import comparisons
from .dividend import dividends
from .finding import Found, find, held_out
from .leakage import leakage_of
from .learning import learning_of
from .remade import asked_of
from .results import (
    BreakEven,
    Comparison,
    Dividend,
    Measured,
    Report,
    Slice,
    SwapVerdict,
    SystemResult,
)
from .scoring import measured
from .shown import shown_rows
from .slices import slices_of
from .trained import recipes_of

TFIDF = "tfidf"  # the run's name in baselines()


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a report is asked for: margin in points, machine's price, texts; and what it knows.

    `speeds` are rows per second, `memories` peak MiB, `recipes` what students were tuned with, all
    by run id.
    """

    margin: float
    usd_per_hour: float | None
    texts: bool
    ceiling: Score | None
    speeds: Mapping[str, float | None]
    memories: Mapping[str, float | None]
    recipes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class OnSplit:
    """What was found on one split; `pairs` counts all pairs of systems, tested or not."""

    results: Mapping[str, Measured]
    verdicts: Sequence[SwapVerdict]
    comparisons: Sequence[Comparison]
    pairs: int
    dividends: Sequence[Dividend]
    slices: Sequence[Slice]
    break_even: Sequence[BreakEven]


def compare(
    task: Task,
    store: Store,
    *,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
    margin: float = 0.02,
    texts: bool = True,
    machine_usd_per_hour: float | None = None,
    commands: Sequence[str] = (),
) -> Report:
    """The Report of what the store holds: every system's newest run on the held-out splits.

    `limit` rows of each split; `margin`: how much worse than the teacher a student may be, as a
    share of rows; `texts=False` leaves out what rows say; `machine_usd_per_hour` is what the
    machine of the local models costs; `commands` are told as what makes the report again. The same
    store gives the same report but for the time it was made. Raises StoreError.
    """
    names = list(splits) if splits else held_out(store, task)
    found = find(task, store, names, limit=limit)
    runs = {one.name: one.run for one in found.systems}
    terms = Terms(
        margin=100 * margin,
        usd_per_hour=machine_usd_per_hour,
        texts=texts,
        ceiling=self_agreement(task, store, found.teaching) if found.teaching else None,
        speeds={run.id: costs.rows_per_second(store, run) for run in runs.values()},
        memories={run.id: costs.peak_memory(store, run) for run in runs.values()},
        recipes=recipes_of(store, list(runs.values())),
    )
    each = {name: _on_split(task, store, found, name, terms) for name in names}
    return Report(
        task=task.name,
        created=now(),
        reference=found.reference.name if found.reference else None,
        margin=terms.margin,
        ceiling=terms.ceiling,
        splits=[told.split_note(task, sheet) for sheet in found.sheets.values()],
        systems=[_system(store, found, one, each, terms) for one in found.systems],
        answer=_answer(found, each, terms),
        verdicts=[one for on in each.values() for one in on.verdicts],
        comparisons=[one for on in each.values() for one in on.comparisons],
        dividends=[one for on in each.values() for one in on.dividends],
        break_even=list(next((on.break_even for on in _backwards(each) if on.break_even), ())),
        slices=[one for on in each.values() for one in on.slices],
        leakage=leakage_of(task, store, names),
        learning=learning_of(task, store, names, limit=limit, teacher=found.teaching),
        rows=shown_rows(task, store, found.sheets, found.systems, texts=texts),
        notes=told.notes(
            terms.ceiling, {name: (len(on.comparisons), on.pairs) for name, on in each.items()}
        ),
        provenance=told.provenance(task, runs, commands, asked_of(store, runs)),
        curves=trained_curves(store, task.name),
    )


def _on_split(task: Task, store: Store, found: Found, split: str, terms: Terms) -> OnSplit:
    sheet, ground = found.sheets[split], found.ground(split)
    results = {
        one.name: _measured(task, found, one, split, terms)
        for one in found.systems
        if split in one.sheets
    }
    reference = found.reference.name if found.reference else None
    tested, pairs = comparisons(task, sheet, found.systems, reference=reference)
    return OnSplit(
        results=results,
        verdicts=verdicts.verdicts(
            sheet,
            found.systems,
            results,
            reference=found.reference,
            margin=terms.margin,
            ceiling=terms.ceiling,
        )
        if found.reference is not None
        else [],
        comparisons=tested,
        pairs=pairs,
        dividends=dividends(
            found.systems,
            sheet,
            against=ground,
            speeds=terms.speeds,
            machine_usd_per_hour=terms.usd_per_hour,
            recipes=terms.recipes,
        ),
        slices=slices_of(task, store, sheet, found.systems, against=ground, texts=terms.texts),
        break_even=costs.break_evens(
            store,
            sheet,
            found.systems,
            reference=found.reference,
            teaching=found.teaching,
            speeds=terms.speeds,
            machine_usd_per_hour=terms.usd_per_hour,
        ),
    )


def _measured(task: Task, found: Found, one: Answering, split: str, terms: Terms) -> Measured:
    marks, run = one.sheets[split], one.run
    teacher = None if one is found.reference else found.marks_of(found.reference, split)
    return measured(
        task,
        found.sheets[split],
        marks,
        taught=teacher,
        floor=found.marks_of(found.floor, split) if run.role == "student" else None,
        support=found.supports[one.name].get(split),
        effort=costs.effort_of(
            run, marks, terms.speeds[run.id], terms.usd_per_hour, terms.memories[run.id]
        ),
    )


def _system(
    store: Store, found: Found, one: Answering, each: Mapping[str, OnSplit], terms: Terms
) -> SystemResult:
    run: Run = one.run
    return SystemResult(
        name=one.name,
        role=run.role,
        model=run.model,
        target=run.target,
        strategy=run.strategy,
        arm=one.arm,
        seed=one.seed,
        run=run.id,
        description=told.description(run, reference=found.teaching.id if found.teaching else None),
        training=costs.training_of(store, run, terms.usd_per_hour) if run.role == "student" else {},
        splits={split: each[split].results[one.name] for split in one.sheets},
    )


def _answer(found: Found, each: Mapping[str, OnSplit], terms: Terms) -> str:
    swap = first_screen.answer(
        list(each), [one for on in each.values() for one in on.verdicts], margin=terms.margin
    )
    unlearnt = (first_screen.not_learnt(split, on.results) for split, on in each.items())
    simpler = first_screen.simpler(
        list(each),
        [one for on in each.values() for one in on.comparisons],
        students=[one.name for one in found.systems if one.run.role == "student"],
        tfidf=next((one.name for one in found.systems if one.run.name == TFIDF), TFIDF),
    )
    toy = first_screen.EMBEDDED_NOTE if first_screen.is_toy(found.systems) else None
    return " ".join(filter(None, [swap, *unlearnt, simpler, toy]))


def _backwards(each: Mapping[str, OnSplit]) -> list[OnSplit]:
    """From split test on: its rows are the likeliest to be like those to come."""
    return list(each.values())[::-1]
