"""From somebody's file to the store: the task says which columns matter and what labels are."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chains.loading import load_task
from ..chains.task import Task, TaskError
from ..store.columns import Refusals, RefusedRow
from ..store.connection import StoreError
from ..store.exchange import Import, examples_from, read_rows, recorded_rows
from ..store.providers import PROVIDERS, provider_rows, said_in
from ..store.rows import Example, Run
from ..store.store import Added, Store
from ..store.tabular import SPLIT, is_dataset_dict
from .chats import recorded_in
from .recorded import record_labels

SAMPLE = 1000  # rows that a preview looks at
SHOWN = 5


@dataclass(frozen=True)
class Placing:
    """What decides where the rows go: one split for all, or the columns that say it.

    `columns` are the person's own, somebody's column -> an input or answer path of the task. The
    split is kept in small letters. Raises StoreError where its name is empty.
    """

    split: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    time_column: str | None = None
    columns: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", _split_named(self.split))


@dataclass(frozen=True)
class Preview:
    """What an import would do: its first examples, each with its gold or recorded answer as JSON
    text, and of the rows looked at how many go where."""

    examples: tuple[Example, ...]
    answers: tuple[str, ...]
    splits: Mapping[str, int]
    rows: int
    refused: tuple[tuple[int, str], ...]
    refused_count: int
    notes: tuple[str, ...]


def import_examples(
    store: Store,
    reference: str,
    data: Any,
    *,
    split: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
) -> list[str]:
    """Import `data` for the task at `reference`; returns lines that say what came of it.

    `data` and `format` are as in `read_rows`. A row that cannot be used is left out and said. All
    the others are stored or, where anything is raised, none. Raises StoreError where no row can be.
    """
    placing = Placing(split, split_column, group_column, time_column, columns)
    added, found = import_rows(store, load_task(reference), data, placing=placing, format=format)
    return import_lines(_named(data), added, found)


def import_lines(source: str, added: Added, found: Import) -> list[str]:
    """What came of importing `source`, for people: the store's counts, rows left out, notes."""
    lines = [f"{source}: {added.new} new examples, {added.known} already known"]
    if added.gold_filled:
        lines.append(f"{source}: gold filled in for {added.gold_filled} of the known examples")
    if added.gold_differs:
        lines.append(f"{source}: {added.gold_differs} known examples have another gold; it is kept")
    moved = _beside_their_group(source, added.split_of_group)
    return [*lines, *moved, *refusals(source, found.left_out), *found.notes]


def import_rows(
    store: Store,
    task: Task,
    data: Any,
    *,
    placing: Placing | None = None,
    format: str | None = None,
) -> tuple[Added, Import]:
    """The same for a task that is at hand: what the store says, and what the file held."""
    found = _examples(task, read_rows(data, format=format), data, placing or Placing())
    added = store.add_examples(_some(found, _named(data)))
    return added, found


def preview_import(
    task: Task, data: Any, *, placing: Placing | None = None, format: str | None = None
) -> Preview:
    """What importing the first 1,000 rows would do; nothing is written. Raises StoreError."""
    sample = list(itertools.islice(read_rows(data, format=format), SAMPLE))
    found = _examples(task, sample, data, placing or Placing())
    examples = list(found.examples)
    return Preview(
        examples=tuple(examples[:SHOWN]),
        answers=tuple(_text(example.gold) for example in examples[:SHOWN]),
        splits=dict(Counter(example.split for example in examples)),
        rows=len(sample),
        refused=tuple(found.left_out.first[:SHOWN]),
        refused_count=found.left_out.count,
        notes=tuple(found.notes),
    )


def preview_recordings(task: Task, data: Any, *, format: str, split: str | None = None) -> Preview:
    """The same of a provider's file. Raises StoreError."""
    split, refused = _split_named(split), Refusals()
    numbered = itertools.islice(provider_rows(data), SAMPLE)
    found = list(_from_provider(task, numbered, format, split, refused))
    return Preview(
        examples=tuple(example for example, _ in found[:SHOWN]),
        answers=tuple(_text(o.get("answer") or o.get("error")) for _, o in found[:SHOWN]),
        splits=dict(Counter(example.split for example, _ in found)),
        rows=len(found) + refused.count,
        refused=tuple(refused.first[:SHOWN]),
        refused_count=refused.count,
        notes=(),
    )


def import_recordings(
    store: Store,
    task: Task,
    data: Any,
    *,
    format: str | None = None,
    model: str | None = None,
    split: str | None = None,
) -> tuple[Run, list[str]]:
    """What a model said elsewhere becomes the task's teacher run, all or none.

    `format` is one of PROVIDERS or as in `read_rows`. The run's model is `model`, or that of the
    first row. Returns the run and lines that say which rows were left out: only a provider's file
    may have some. Raises StoreError where no row can be used.
    """
    split, refused, added = _split_named(split), Refusals(), Counter[str]()
    rows: Iterator[tuple[Example, Mapping[str, Any]]]
    if format in PROVIDERS:
        rows = _from_provider(task, provider_rows(data), str(format), split, refused)
    else:
        rows = iter(
            recorded_rows(data, task=task.name, inputs=task.inputs, split=split, format=format)
        )
    first = next(rows, None)
    if first is None:
        raise StoreError(f"{_named(data)} has no usable row{_the_first(refused)}")
    named = model or first[1].get("model") or format or "recorded"
    every = itertools.chain([first], rows)
    run = record_labels(task, store, every, model=str(named), added=added)
    moved = _beside_their_group(_named(data), added["split_of_group"])
    return run, [*moved, *refusals(_named(data), refused)]


def refusals(source: str, refused: Refusals) -> list[str]:
    """Lines that say which rows were left out: the first ones, and how many more."""
    first = refused.first[:SHOWN]
    shown = [f"{source} row {number} left out: {reason}" for number, reason in first]
    more = refused.count - len(shown)
    return [*shown, f"{source}: {more} more rows left out"] if more else shown


def _split_named(split: str | None) -> str | None:
    if split is not None and not split.strip():
        raise StoreError("--split is empty; name one, such as train or test")
    return split and split.strip().lower()


def _beside_their_group(source: str, count: int) -> list[str]:
    said = f"{source}: {count} rows went into the split where the store has their group"
    return [said] if count else []


def _examples(task: Task, rows: Iterable[Mapping[str, str]], data: Any, placing: Placing) -> Import:
    for column, meant in (placing.columns or {}).items():
        if meant not in (*task.inputs, *task.paths):
            known = ", ".join((*task.inputs, *task.paths))
            raise TaskError(f"--column {column}={meant}: {meant} is none of {known}")
    split_column = placing.split_column
    if isinstance(data, str | Path) and Path(data).is_dir() and is_dataset_dict(data):
        told = placing.split or placing.group_column or placing.time_column
        split_column = split_column or (None if told else SPLIT)
    return examples_from(
        rows,
        task=task.name,
        inputs=task.inputs,
        gold_paths=task.paths,
        columns=task.columns,
        chosen=placing.columns,
        aliases=task.aliases,
        labels=task.labels,
        split=placing.split,
        split_column=split_column,
        group_column=placing.group_column,
        time_column=placing.time_column,
        source=_named(data),
    )


def _some(found: Import, source: str) -> Iterator[Example]:
    """The examples; raises StoreError behind the last row where there was none."""
    any_row = False
    for example in found.examples:
        any_row = True
        yield example
    if not any_row:
        raise StoreError(f"{source} has no usable row{_the_first(found.left_out)}")


def _the_first(refused: Refusals) -> str:
    return "".join(f"; the first: row {n}: {reason}" for n, reason in refused.first[:1])


def _from_provider(
    task: Task,
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    format: str,
    split: str | None,
    refused: Refusals,
) -> Iterator[tuple[Example, Mapping[str, Any]]]:
    for number, row in rows:
        try:
            yield recorded_in(task, said_in(row, format), split=split)
        except RefusedRow as error:
            refused.add(number, str(error))


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _named(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else "the data frame"
