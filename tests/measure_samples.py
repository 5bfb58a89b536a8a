"""Sheets and Marks made by hand: what somebody answered to a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from understudy.distill.evaluation.answered import Answering, Marks, Sheet
from understudy.store.rows import Run


def sheet(
    gold: Sequence[Sequence[int]],
    *,
    groups: Sequence[int] | None = None,
    split: str = "test",
    ids: Sequence[str] | None = None,
    length: Sequence[int] | None = None,
) -> Sheet:
    """Rows whose gold classes these are; one part per row, all labels in it."""
    table = np.array(gold, np.int16)
    n = len(table)
    return Sheet(
        split=split,
        ids=tuple(ids or (f"row-{place}" for place in range(n))),
        groups=np.array(groups if groups is not None else range(n), np.int64),
        gold=table,
        has_gold=(table >= 0).any(axis=1),
        length=np.array(length if length is not None else [40] * n, np.int32),
    )


def marks(
    given: Sequence[Sequence[int]],
    of: Sheet,
    *,
    taught: Marks | None = None,
    asked: Sequence[bool] | None = None,
    answered: Sequence[bool] | None = None,
    **columns: Any,
) -> Marks:
    """What was answered, marked by the rule of Marks: a part is right when all its labels are."""
    table = np.array(given, np.int16)
    n, labels = table.shape
    was_asked = np.array(asked if asked is not None else [True] * n)
    was_answered = np.array(answered if answered is not None else was_asked)

    def parts(expected: Any) -> Any:
        spoken = (expected >= 0).any(axis=1) & was_asked
        right = ((expected == table) | (expected < 0)).all(axis=1) & was_answered
        return np.where(spoken, right.astype(np.int8), -1).astype(np.int8)[:, None]

    nothing = np.full((n, labels), -1)
    empty = {
        name: np.zeros(n, np.int32) for name in ("reasoning_words", "cues_cited", "cues_found")
    }
    unknown = {
        name: np.full(n, np.nan)
        for name in ("overlap", "seconds", "input_tokens", "output_tokens", "cost")
    }
    made = {name: np.asarray(values, float) for name, values in columns.items()}
    return Marks(
        asked=was_asked,
        answered=was_answered,
        given=table,
        gold_parts=parts(of.gold),
        teacher_parts=parts(taught.given if taught is not None else nothing),
        gold_fields=np.zeros((n, 0), np.float32),
        teacher_fields=np.zeros((n, 0), np.float32),
        **{
            "confidence": np.full((n, labels), np.nan, np.float32),
            **empty,
            **unknown,
            **made,
        },
    )


def answering(
    name: str,
    of: Marks,
    *,
    role: Any = "student",
    target: str = "label",
    seed: int | None = None,
    arm: str | None = None,
    split: str = "test",
    **parameters: Any,
) -> Answering:
    """A system under its name."""
    run = Run(
        id=f"run-{name}",
        name=name,
        task="tiny",
        role=role,
        model="m",
        strategy="answer",
        target=target,
        words="w",
        answers="a",
        parameters={"base": "b", "rows": "r", **parameters} if role == "student" else parameters,
        started="2026-01-01T00:00:00+00:00",
    )
    return Answering(run=run, name=name, arm=arm or name, seed=seed, sheets={split: of})
