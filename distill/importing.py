"""From somebody's file to the store: the task says which columns matter and what labels are."""

from __future__ import annotations

from pathlib import Path

from ..chains.loading import load_task
from ..store.connection import StoreError
from ..store.exchange import examples_from, read_rows
from ..store.store import Store


def import_examples(
    store: Store,
    reference: str,
    data: Path,
    *,
    split: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
) -> list[str]:
    """Import `data` for the task at `reference`; returns lines that say what came of it.

    A row that cannot be used is left out and said. Raises StoreError where no row can.
    """
    task = load_task(reference)
    found = examples_from(
        read_rows(data),
        task=task.name,
        inputs=task.inputs,
        gold_paths=task.paths,
        columns=task.columns,
        aliases=task.aliases,
        labels=task.labels,
        split=split,
        split_column=split_column,
        group_column=group_column,
        source=str(data),
    )
    if not found.examples:
        reason = f"; the first: {found.refused[0][1]}" if found.refused else ""
        raise StoreError(f"{data} has no usable row{reason}")
    added = store.add_examples(found.examples)
    lines = [f"{data}: {added.new} new examples, {added.known} already known"]
    if added.gold_filled:
        lines.append(f"{data}: gold filled in for {added.gold_filled} of the known examples")
    if added.gold_differs:
        lines.append(f"{data}: {added.gold_differs} known examples have another gold; it is kept")
    lines += [f"{data} row {number} left out: {reason}" for number, reason in found.refused[:5]]
    if len(found.refused) > 5:
        lines.append(f"{data}: {len(found.refused) - 5} more rows left out")
    return lines + list(found.notes)
