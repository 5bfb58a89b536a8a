"""The learning curve's systems: taught with an eighth, a quarter, a half and all of the labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...store.rows import Run, fingerprint
from ..runs import describe_run
from ..training.selection import drawn
from .asked import Asker
from .baselines import REGULARISATION, Pairs, tfidf_chain
from .costs import AT_ONCE
from .learning import CURVE, LEARNING
from .trained import RECIPE

if TYPE_CHECKING:
    from ...chains.student import StudentCard

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
FEWEST = 16  # labels: a smaller lesson teaches nothing
FOLDER = Path("runs") / "learning"


def teach_curve(
    asker: Asker, teacher: Run, pairs: Pairs, students: Sequence[Path] = (), folder: Path = FOLDER
) -> None:
    """TF-IDF, and students like these, taught with parts of the labels, answer the rows.

    Parts are drawn by chance and nested: whatever is in the eighth is in the quarter. A student of
    a part learns it as the whole one learnt, by its recipe, selection and seed, in a run folder of
    its own under `folder`; a training that has ended is not begun again. Each is a run with the
    parameter LEARNING, its number of labels. A student that fails goes to `asker.failed`.
    """
    if asker.task.labels:
        _teach_tfidf(asker, teacher, pairs)
    for one in students:
        with asker.trying(f"{one} with fewer labels"):
            _teach_student(asker, one, folder)


def sizes(rows: int) -> list[int]:
    """How many labels each point of the curve has."""
    return sorted({max(min(FEWEST, rows), math.ceil(rows * share)) for share in SHARES})


def _teach_tfidf(asker: Asker, teacher: Run, pairs: Pairs) -> None:
    task = asker.task
    ordered = sorted(pairs, key=lambda pair: drawn(pair[0].id, 0))
    whole = fingerprint([[example.id, record.answer] for example, record in ordered])
    for size in sizes(len(ordered)):
        run = describe_run(
            task,
            role="baseline",
            name=f"tfidf {size} labels",
            model="tfidf",
            target="label",
            strategy=LEARNING,
            parameters={
                "teacher_run": teacher.id,
                "regularisation": REGULARISATION,
                CURVE: whole,
                LEARNING: size,
            },
        )
        if asker.left(run):
            asker.ask(run, tfidf_chain(task, ordered[:size]), at_once=1)


def _teach_student(asker: Asker, whole: Path, folder: Path) -> None:
    from ...chains.answer import answer_chain
    from ...chains.student import ChatStudent, read_card

    card = read_card(whole)
    rows = int(card.training["rows"])
    for size in sizes(rows):
        place = whole if size == rows else _trained(asker, card, size, folder)
        student = ChatStudent(model=str(place))
        run = describe_run(
            asker.task,
            role="baseline",
            name=f"{card.name} {size} labels",
            model=student,
            target=card.target,
            strategy=LEARNING,
            parameters={CURVE: str(card.training.get("examples_sha256")), LEARNING: size},
        )
        try:
            asker.ask(run, answer_chain(asker.task, student), at_once=AT_ONCE["student"])
        finally:
            student.close()


def _trained(asker: Asker, card: StudentCard, size: int, folder: Path) -> Path:
    """The run folder of a student like this one that learnt `size` of its rows."""
    from ..training.recipes import RECIPES
    from ..training.selection import Selection
    from ..training.train import train

    facts = card.training
    changes = {name: facts[name] for name in RECIPE if facts.get(name) is not None}
    return train(
        asker.task,
        asker.store,
        out=folder / f"{card.name}-{size}",
        base=card.base,
        target=card.target,
        teacher_run=facts.get("teacher_run"),
        recipe=facts.get("recipe") if facts.get("recipe") in RECIPES else None,
        changes=changes,
        seed=int(facts.get("seed", 0)),
        selection=Selection(**{**(facts.get("selection") or {}), "most": size}),
        alpha=float((facts.get("lesson") or {}).get("alpha", 1.0)),
    )
