"""The options of `train` that say which rows teach, and how much a reasoning weighs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..training.selection import Selection

_rows = partial(typer.Option, rich_help_panel="Rows")

AgreeingOption = Annotated[
    str | None, _rows("--agreeing", help="only rows that agree with their gold, or with the vote")
]
ConfidenceOption = Annotated[
    float,
    _rows("--min-confidence", help="only rows at least so confident, or so united in the vote"),
]
UnduplicatedOption = Annotated[
    bool, _rows("--unduplicated", help="only the first of rows that differ in how they are typed")
]
ConsistentOption = Annotated[
    bool, _rows("--consistent", help="only rows whose reasoning names no label but the one given")
]
LongestOption = Annotated[
    int | None,
    _rows("--max-tokens", min=1, help="only rows of at most so many tokens, reasoning included"),
]
PerSourceOption = Annotated[
    int | None, _rows("--per-source", min=1, help="at most so many rows of one group")
]
BalancedOption = Annotated[
    str | None,
    _rows(
        "--balanced", help="a label, such as f1.emocao: of each class as many rows as of the rarest"
    ),
]
ShareOption = Annotated[
    float,
    _rows(
        "--rationale-share", help="share of rows whose reasoning label_reason and multitask teach"
    ),
]
AlphaOption = Annotated[
    float, _rows("--alpha", help="weight of a reasoning beside a label's 1, where it is taught so")
]
PreflightOption = Annotated[
    bool, typer.Option("--preflight-only", help="check the rows, show one with its mask, stop")
]


def selection_of(seed: int, **rules: object) -> Selection:
    """The rules that somebody gave, as a Selection drawn by `seed`. Raises TrainingError."""
    from ..training.selection import Selection

    return Selection(seed=seed, **rules)  # type: ignore[arg-type] # typer has parsed them
