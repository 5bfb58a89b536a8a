"""Labels that were bought with other words may teach again, where somebody says so."""

from __future__ import annotations

from collections.abc import Iterator

from ...chains.task import Task, TaskError
from ...store.rows import Record, Run
from ...store.statements import UNREPORTED
from ...store.store import Store
from ..runs import now
from .limits import LabellingError

REUSED = "reused_from"


def reuse_labels(task: Task, store: Store, run: Run, fingerprint: str) -> int:
    """Copy to `run` what earlier teachers of the task said to rows that it has not answered.

    `fingerprint` is that of the words they were told (`Run.words`), or a run's id. Answers that no
    longer fit the schema stay behind. A copy cost nothing (no attempts, tokens or dollars) and its
    details name the run it was bought by. Returns how many. Raises LabellingError where no run of
    the task has this fingerprint.
    """
    sources = [
        source
        for source in store.runs(task=task.name, role="teacher")
        if fingerprint in (source.words, source.id) and source.id != run.id
    ]
    if not sources:
        known = {source.words for source in store.runs(task.name, "teacher") if source.words}
        raise LabellingError(
            f"no teacher's labels have the fingerprint {fingerprint}; "
            f"known words: {', '.join(sorted(known)) or 'none'}"
        )
    return sum(store.add_records(_copies(task, store, run, source)) for source in sources)


def _copies(task: Task, store: Store, run: Run, source: Run) -> Iterator[Record]:
    for record in store.iter_records(source.id):
        if record.answer is None or _answered(store, run, record.example):
            continue
        data = dict(record.answer)
        if task.reasoning and record.reasoning is not None:
            data[task.reasoning] = record.reasoning
        try:
            task.thought(data)
        except TaskError:
            continue
        details = {**(record.details or {}), REUSED: source.id, "reused_words": source.words}
        details.pop(UNREPORTED, None)  # which the source run has paid
        yield record.model_copy(
            update={
                "run": run.id,
                "attempts": 0,
                "input_tokens": None,
                "output_tokens": None,
                "cached_tokens": None,
                "reasoning_tokens": None,
                "cost": 0.0,
                "seconds": 0.0,
                "details": details,
                "created": now(),
            }
        )


def _answered(store: Store, run: Run, example: str) -> bool:
    known = store.record(run.id, example)
    return known is not None and known.answer is not None
