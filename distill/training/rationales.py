"""What is wrong with a reasoning, seen from the answer that it leads to and the input it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...chains.task import Task, value_at

SHORTEST = 3  # letters of a class that is looked for: "no" stands in any text
COPIED = 0.8  # share of a reasoning's word trigrams that stand in the input
SHORT = 4  # words: a shorter reasoning is only a copy where it stands in the input as it is


def strays(
    task: Task, answer: Mapping[str, Any], reasoning: str, inputs: str
) -> list[tuple[str, str, str]]:
    """Where the reasoning names a class, but not the one given: (path, given, named).

    A reasoning that goes through the answer's parts ("f1: ...; f2: ...") is read part by part. No
    stray is a class that any path of the part has as its value, one named beside the given, or a
    word that stands in `inputs`: the reasoning may quote it, or say that it is negated.
    """
    found = []
    quoted = set(re.findall(r"\w+", inputs.casefold()))
    for paths, text in _segments(task, reasoning):
        words = set(re.findall(r"\w+", text.casefold()))
        named = {path: _named(task, path, words, text) for path in paths}
        given = {str(value_at(answer, path)) for path in paths}
        for path in paths:
            value = str(value_at(answer, path))
            others = sorted(_named(task, path, words - quoted, text) - given)
            if others and value not in set().union(*named.values()):
                found.append((path, value, others[0]))
    return found


def copies(reasoning: str, inputs: str) -> float | None:
    """The share of the reasoning that stands in the input, None where it is no copy; plain texts.

    In trigrams of words; COPIED of them make a copy, and a reasoning that stands in the input whole
    is one.
    """
    if not reasoning:
        return None
    if reasoning in inputs:
        return 1.0
    words = reasoning.split()
    if len(words) < SHORT:
        return None
    mine, theirs = _trigrams(words), _trigrams(inputs.split())
    share = len(mine & theirs) / len(mine)
    return share if share >= COPIED else None


def _segments(task: Task, reasoning: str) -> list[tuple[list[str], str]]:
    """The label paths of each part with the text on it; all with all, where it is not divided."""
    heads = [head for head in task.parts if head]
    starts = {head: list(re.finditer(rf"\b{re.escape(head)}\s*:", reasoning)) for head in heads}
    if len(heads) < 2 or any(len(found) != 1 for found in starts.values()):
        return [(list(task.labels), reasoning)]
    places = sorted((found[0].start(), head) for head, found in starts.items())
    ends = [start for start, _ in places[1:]] + [len(reasoning)]
    return [
        ([path for path in task.labels if path.split(".")[0] == head], reasoning[start:end])
        for (start, head), end in zip(places, ends, strict=True)
    ]


def _named(task: Task, path: str, words: set[str], text: str) -> set[str]:
    """The classes of this path that stand among the words, as the task or others write them.

    A class of several words is looked for in the text.
    """
    classes = {str(value) for value in task.labels[path] if isinstance(value, str)}
    writings = {name: name for name in classes}
    writings |= {written: name for written, name in task.aliases.items() if name in classes}
    return {
        name
        for written, name in writings.items()
        if len(written) >= SHORTEST and _stands(written.casefold(), words, text)
    }


def _stands(written: str, words: set[str], text: str) -> bool:
    if re.fullmatch(r"\w+", written):
        return written in words
    return re.search(rf"(?<!\w){re.escape(written)}(?!\w)", text.casefold()) is not None


def _trigrams(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))}
