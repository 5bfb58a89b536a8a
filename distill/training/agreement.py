"""How often a student in training says what its teacher said: it answers the validation rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...chains.task import Target, Task
from ...store.rows import Example, Record
from ..evaluation.marking import part_scores

Pairs = Sequence[tuple[Example, Record]]


def agreement(
    task: Task,
    folder: Path,
    pairs: Pairs,
    *,
    base: str,
    target: Target,
    training: dict[str, object],
) -> float | None:
    """Share of answer parts in which the student in `folder` says what the teacher said.

    It writes its own answers, reasoning included, through the engine that it will be served with:
    scores under the teacher's own reasoning would flatter `reason_label`. `folder` holds adapter
    (or weights) and tokenizer; a provisional card is put beside them. None without any answer to
    agree with. No random number is drawn from the training's.
    """
    from ...chains.answer import answer_chain
    from ...chains.student.card import write_card
    from ...chains.student.chat import ChatStudent
    from .cards import student_card

    judged = [(example, record) for example, record in pairs if record.answer]
    if not judged:
        return None
    write_card(folder, student_card(task, folder, base=base, target=target, training=training))
    student = ChatStudent(model=str(folder))
    right = parts = 0
    with undisturbed():
        try:
            answers = answer_chain(task, student).batch(
                [example.inputs for example, _ in judged], return_exceptions=True
            )
        finally:
            student.close()
    for (_, record), thought in zip(judged, answers, strict=True):
        given = None if isinstance(thought, Exception) else task.answer_json(thought.answer)
        scores = part_scores(task, record.answer or {}, given)
        right, parts = right + sum(scores.values()), parts + len(scores)
    return right / parts if parts else None


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Random numbers after the block are those that would have come without it."""
    import random

    import numpy as np
    import torch

    python, numbers = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)
