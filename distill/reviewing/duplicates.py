"""Examples that say the same: exactly, but for how it is typed, or nearly."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from ...store.rows import Example

SIMILAR = 0.8  # Jaccard similarity of two texts' shingles from which on they are near duplicates
SHINGLE = 5  # characters


def plain(example: Example) -> str:
    """The inputs as one text, each in its plain form."""
    return "\n".join(plain_text(value) for _, value in sorted(example.inputs.items()))


def plain_text(text: str) -> str:
    """The text without differences of Unicode form (NFKC), case and spacing."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def exact_duplicates(examples: Iterable[Example]) -> list[list[Example]]:
    """The groups of two and more examples with the same plain text, in the examples' order."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(plain(example), []).append(example)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(examples: Iterable[Example]) -> list[tuple[Example, Example, float]]:
    """Examples whose plain texts differ from an earlier one's, but hardly.

    Each is (earlier, later, Jaccard similarity of character shingles >= SIMILAR); the earlier one
    is the most similar of those that are no near duplicates themselves, so that leaving out all the
    later ones loses nothing that is new. MinHash with locality-sensitive hashing (Broder 1997;
    Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, ch. 3) proposes the pairs, and each is
    then compared for good; a pair at the threshold may be missed. Needs datasketch.
    """
    from datasketch import MinHash, MinHashLSH

    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(plain(example), example)
    index = MinHashLSH(threshold=SIMILAR - 0.05, num_perm=128)
    found = []
    for text, example in first.items():
        mine = shingles(text)
        sketch = MinHash(num_perm=128, seed=1)
        sketch.update_batch([shingle.encode() for shingle in mine])
        near = [(_similarity(mine, shingles(other)), other) for other in index.query(sketch)]
        similarity, earlier = max(near, default=(0.0, ""))
        if similarity >= SIMILAR:
            found.append((first[earlier], example, similarity))
        else:
            index.insert(text, sketch, check_duplication=False)
    return found


def clusters(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Groups of two and more examples, linked by exact or near duplication."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while name in above:
            name = above[name]
        return name

    links = [(a, b) for group in exact_duplicates(examples) for a, b in itertools.pairwise(group)]
    links += [(earlier, later) for earlier, later, _ in near_duplicates(examples)]
    for a, b in links:
        if (first := top(a.id)) != (second := top(b.id)):
            above[second] = first
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(top(example.id), []).append(example)
    yield from (group for group in groups.values() if len(group) > 1)


def shingles(text: str) -> set[str]:
    """The runs of SHINGLE characters in a text; a shorter text is one."""
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def _similarity(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)
