"""What is done with the other two rooms: label, train, evaluate, report, swap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation.prompted import Prompting
    from .evaluation.systems import evaluate
    from .guarantee.calibrating import calibrate
    from .labelling.label import label
    from .recorded import record_labels
    from .reporting.pages import report
    from .standin.callback import recording
    from .standin.swap import swap
    from .training.train import train

__all__ = [
    "Prompting",
    "calibrate",
    "evaluate",
    "label",
    "record_labels",
    "recording",
    "report",
    "swap",
    "train",
]

_ROOMS = {
    "Prompting": "evaluation.prompted",
    "calibrate": "guarantee.calibrating",
    "evaluate": "evaluation.systems",
    "label": "labelling.label",
    "record_labels": "recorded",
    "recording": "standin.callback",
    "report": "reporting.pages",
    "swap": "standin.swap",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    """Names are looked up late, so that what one of them needs is not loaded for the others."""
    if name in _ROOMS:
        return getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
