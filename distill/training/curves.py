"""The curves of trainings that have ended, read from the logs in their run folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...store.provenance import trainings
from ...store.store import Store
from ..evaluation.results import Curves
from ..reporting.curves import drawn, thinned
from .run_folder import LOG_FILE, VALIDATION_FILE, read_lines

CURVES_FILE = "training_curves.svg"


def write_curves(folder: Path) -> Path:
    """Draw training_curves.svg from the logs in a run folder; whole or not at all."""
    part = folder / f"{CURVES_FILE}.part"
    part.write_text(drawn(curves_of(folder, folder.name)), encoding="utf-8")
    return part.replace(folder / CURVES_FILE)


def trained_curves(store: Store, task: str) -> list[Curves]:
    """Of every student of the task whose run folder is still where it was, by their names."""
    newest: dict[str, Path] = {}
    for training in trainings(store):
        folder = Path(training.folder)
        if training.task == task and (folder / LOG_FILE).is_file():
            newest.setdefault(training.name, folder)
    return [curves_of(folder, name) for name, folder in sorted(newest.items())]


def curves_of(folder: Path, name: str) -> Curves:
    """The curves of the student in a run folder; an empty one where nothing was logged."""
    checks = read_lines(folder / VALIDATION_FILE)
    return Curves(
        name=name,
        losses=thinned(_points(read_lines(folder / LOG_FILE), "loss")),
        validation_losses=_points(checks, "loss"),
        agreements=_points(checks, "agreement"),
    )


def _points(lines: Iterable[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(line["step"], line[name]) for line in lines if line[name] is not None]
