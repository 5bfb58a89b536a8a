"""Examples and records as plain tuples: what a reader of hundreds of thousands of rows can afford.

JSON stays text here, because equal texts are equal answers: a reader parses each of them once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from .statements import RUN_POSITION
from .store import Store

PAGE = 2000


class ExampleText(NamedTuple):
    """An example of a split; `inputs` and `gold` are JSON texts."""

    position: int
    id: str
    group: str | None
    gold: str | None
    inputs: str


class AnswerText(NamedTuple):
    """A record; `answer`, `confidence` and `inputs` are JSON texts.

    `inputs` are those of the example, `beside` the reasoning of another run's record of it; both
    are None where they were not asked for.
    """

    position: int
    answer: str | None
    reasoning: str | None
    confidence: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    seconds: float
    inputs: str | None
    beside: str | None


_EXAMPLES = (
    'select position, id, "group", gold, inputs from examples where task = :task '
    "and split = :split and position > :after order by position limit :page"
)
_ANSWERS = (
    "select r.example as position, r.answer, r.reasoning, r.confidence, r.input_tokens, "
    "r.output_tokens, r.cost, r.seconds, {inputs} as inputs, {beside} as beside "
    "from records r join examples e on e.position = r.example {joined} "
    f"where r.run = {RUN_POSITION} and r.example > :after and e.split = :split "
    "order by r.example limit :page"
)
_BESIDE = (
    "left join records b on b.run = (select position from runs where id = :other) "
    "and b.example = r.example"
)


def iter_examples(
    store: Store, task: str, split: str, *, limit: int | None = None
) -> Iterator[ExampleText]:
    """The first `limit` examples of a split in the order they came. Raises StoreError."""
    rows = _pages(store, _EXAMPLES, task=task, split=split)
    return itertools.islice(itertools.starmap(ExampleText, rows), limit)


def iter_answers(
    store: Store, run: str, split: str, *, inputs: bool = False, beside: str | None = None
) -> Iterator[AnswerText]:
    """The run's records on a split in the order of the examples. Raises StoreError.

    `inputs` also reads the examples' inputs, `beside` the reasonings of the run of this id.
    """
    statement = _ANSWERS.format(
        inputs="e.inputs" if inputs else "null",
        beside="b.reasoning" if beside else "null",
        joined=_BESIDE if beside else "",
    )
    rows = _pages(store, statement, run=run, split=split, **({"other": beside} if beside else {}))
    return itertools.starmap(AnswerText, rows)


def has_answers(store: Store, run: str, *, split: str | None = None) -> bool:
    """Whether the run has a valid answer (to an example of this split)."""
    rows = store.connection.read(
        "select 1 from records r join examples e on e.position = r.example "
        f"where r.run = {RUN_POSITION} and r.answer is not null "
        "and (:split is null or e.split = :split) limit 1",
        run=run,
        split=split,
    )
    return bool(rows)


def _pages(store: Store, statement: str, **values: Any) -> Iterator[tuple[Any, ...]]:
    after = 0
    while page := store.connection.read(statement, after=after, page=PAGE, **values):
        yield from page  # type: ignore[misc] # a sqlite3.Row unpacks as a tuple does
        after = page[-1]["position"]
