"""Rows that teach or choose a student and that a later split has too: the test would be known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...store.rows import Example
from ..reviewing.duplicates import plain
from .faults import wrong_row

# Rows of each are used before those of the next: they teach, choose the adapter, test it.
USED = ("train", "validation")


def leaking(
    examples: Iterable[Example], taught: Iterable[str], *, split: str = "train"
) -> list[tuple[Example, Example, str]]:
    """Each taught example with one of a later split that it shares its text or its group with.

    `split` is where the taught ones stand. The third says what is shared: "text" (equal but for
    Unicode form, case and spacing) or "group".
    """
    wanted = set(taught)
    earlier = USED[: USED.index(split) + 1]
    rows: list[Example] = []
    texts: dict[str, Example] = {}
    groups: dict[str, Example] = {}
    for example in examples:
        if example.id in wanted:
            rows.append(example)
        elif example.split not in earlier:
            texts.setdefault(plain(example), example)
            if example.group is not None:
                groups.setdefault(example.group, example)
    found = []
    for row in rows:
        if other := texts.get(plain(row)):
            found.append((row, other, "text"))
        elif row.group is not None and (other := groups.get(row.group)):
            found.append((row, other, "group"))
    return found


def check_leaks(
    examples: Sequence[Example], taught: Iterable[str], *, split: str = "train"
) -> None:
    """Raise TrainingError, which names the first, where a taught row leaks."""
    if found := leaking(examples, taught, split=split):
        row, other, by = found[0]
        text = " ".join(" ".join(row.inputs.values()).split())
        raise wrong_row(
            row.id,
            f"the split {other.split} has the same {by} as example {other.id}: {text[:80]!r} "
            f"({len(found)} rows leak)",
            "leave them out: understudy curate --rule split_leak --exclude split_leak",
        )
