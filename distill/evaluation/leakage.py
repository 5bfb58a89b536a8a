"""Near-duplicates between held-out rows and rows that train: a leak flatters every student."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ...chains.task import Task
from ...store.rows import Example
from ...store.store import Store
from ..reviewing.duplicates import SIMILAR, plain, shingles
from .results import Leak, Leakage

TRAINING = ("train", "validation", "calibration")
SAMPLE = 2000  # held-out rows that are looked at
CHARACTERS = 10_000_000  # of training rows that they are held against
COMPARED = 200_000  # pairs: rows made from one template are all candidates for each other
CLOSEST = 20


def leakage_of(
    task: Task, store: Store, splits: Sequence[str], *, sample: int = SAMPLE
) -> Leakage | None:
    """Held-out rows that are nearly a row of a training split; None where there is none of either.

    Nearly is a Jaccard similarity of character shingles of SIMILAR and more (duplicates.py), and
    the same text is 1. `sample` held-out rows by chance, always the same ones, are held against
    every training row (a seeded sample where these are more than CHARACTERS). Unlike MinHash this
    misses no pair: two sets as alike as that share one of the rarest shingles of both (prefix
    filtering: Chaudhuri, Ganti & Kaushik 2006), and only rows that do are compared. After COMPARED
    pairs no further training row is looked at; `against` says how many were.
    """
    held = _sampled(task, store, splits, sample)
    counts = store.splits(task.name)
    sources = [name for name in TRAINING if counts.get(name) and name not in splits]
    if not held or not sources:
        return None
    sets = [shingles(plain(example)) for example in held]
    common = Counter(shingle for one in sets for shingle in one)
    index = _rarest(sets, common)
    best: dict[int, Leak] = {}
    looked_at = compared = 0
    for example in _training(task, store, sources, counts):
        if compared > COMPARED:
            break
        looked_at += 1
        own = shingles(plain(example))
        near = {row for shingle in _first(own, common) for row in index.get(shingle, ())}
        compared += len(near)
        for row in near:
            similarity = _jaccard(own, sets[row])
            if similarity >= SIMILAR and similarity > _so_far(best, row):
                best[row] = Leak(
                    split=held[row].split,
                    example=held[row].id,
                    other_split=example.split,
                    other=example.id,
                    similarity=similarity,
                )
    leaks = sorted(best.values(), key=lambda leak: (-leak.similarity, leak.split, leak.example))
    found = Counter(leak.split for leak in leaks)
    return Leakage(
        looked_at=len(held),
        against=looked_at,
        found={name: found[name] for name in splits if counts.get(name)},
        closest=leaks[:CLOSEST],
    )


def _so_far(best: dict[int, Leak], row: int) -> float:
    return best[row].similarity if row in best else 0.0


def _jaccard(first: set[str], second: set[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def _rarest(sets: Sequence[set[str]], common: Counter[str]) -> dict[str, list[int]]:
    """Where the shingles are that are among the first of a set."""
    index: defaultdict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(sets):
        for shingle in _first(one, common):
            index[shingle].append(row)
    return dict(index)


def _first(one: set[str], common: Counter[str]) -> list[str]:
    """The rarest shingles of a set that are in `common` at all, of as many as must be looked at.

    Those that are in none of the held-out rows are rarer still, and come first.
    """
    kept = len(one) - math.ceil(SIMILAR * len(one) - 1e-9) + 1
    known = one & common.keys()
    left = kept - (len(one) - len(known))
    if left <= 0:
        return []
    return heapq.nsmallest(left, known, key=lambda text: (common[text], text))


def _sampled(task: Task, store: Store, splits: Sequence[str], sample: int) -> list[Example]:
    """The rows with the smallest ids, which are hashes; as many of each split as it has a share."""
    counts = store.splits(task.name)
    total = sum(counts.get(name, 0) for name in splits)
    found: list[Example] = []
    for name in splits:
        wanted = math.ceil(sample * counts.get(name, 0) / total) if total else 0
        ends = _threshold(wanted, counts.get(name, 0))
        rows = [row for row in store.iter_examples(task.name, split=name) if _place(row) <= ends]
        found += sorted(rows, key=_place)[:wanted]
    return found


def _training(
    task: Task, store: Store, sources: Sequence[str], counts: dict[str, int]
) -> Iterator[Example]:
    rows = sum(counts[name] for name in sources)
    first = [example for _, example in zip(range(200), _all(task, store, sources), strict=False)]
    mean = max(1.0, sum(len(plain(example)) for example in first) / max(1, len(first)))
    ends = _threshold(int(CHARACTERS / mean), rows)
    return (example for example in _all(task, store, sources) if _place(example) <= ends)


def _all(task: Task, store: Store, sources: Sequence[str]) -> Iterator[Example]:
    for name in sources:
        yield from store.iter_examples(task.name, split=name)


def _threshold(wanted: int, rows: int) -> float:
    """The place up to which about `wanted` of `rows` are, and a few more."""
    return 1.0 if wanted >= rows else min(1.0, (wanted + 4 * math.sqrt(wanted) + 4) / rows)


def _place(example: Example) -> float:
    """From 0 to 1, by chance, and always the same."""
    digest = hashlib.blake2b(example.id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
