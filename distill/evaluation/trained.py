"""How a student was trained, by the card in its run folder, where that still holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.card import StudentCard, StudentError, read_card
from ...store.provenance import trainings
from ...store.rows import Run, Training
from ...store.store import Store

# The fields of a recipe that decide what is learnt; the others say how a machine computes it.
RECIPE = (
    *("adapter", "rank", "alpha", "dropout", "modules", "epochs", "learning_rate", "scheduler"),
    *("warmup", "batch_size", "order", "weight_decay", "max_grad_norm", "keep", "patience"),
)
TUNED = (*RECIPE, "quantisation")


def trained(store: Store, run: Run) -> tuple[Training, StudentCard] | None:
    """The student's training and its card; None where the folder is gone or holds another one."""
    if run.role != "student":
        return None
    for training in trainings(store):
        named = run.name == training.name or run.name.startswith(f"{training.name}-s")
        if not named or (training.task, training.target) != (run.task, run.target):
            continue
        if training.seed != run.parameters.get("seed", training.seed):
            continue
        try:
            card = read_card(Path(training.folder))
        except StudentError:
            continue
        if card.training.get("examples_sha256") == run.parameters.get("rows"):
            return training, card
    return None


def recipes_of(store: Store, runs: Sequence[Run]) -> dict[str, Mapping[str, Any]]:
    """By run id, the fields of the recipe that the student was tuned with, where they are known."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        known = trained(store, run)
        if known is not None:
            facts = known[1].training
            found[run.id] = {name: facts[name] for name in TUNED if name in facts}
    return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields that both know and that are not the same."""
    common = (name for name in TUNED if name in one and name in other)
    return {name: (one[name], other[name]) for name in common if one[name] != other[name]}
