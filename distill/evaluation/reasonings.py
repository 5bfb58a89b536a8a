"""What reasonings are like, row by row: length, cues that stand in the input, words shared."""

from __future__ import annotations

import json
import re
from typing import Any

from ...chains.comparison import words_of
from ...chains.task import Task


class ReasoningColumns:
    """Reasonings are taken one at a time and kept as numbers alone."""

    def __init__(self, task: Task) -> None:
        self._cue = re.compile(task.cue) if task.cue is not None else None
        self._words: dict[str, str] = {}  # a word as it is written, and as it is compared
        self._rows: list[tuple[int, int, int, float]] = []

    def add(self, reasoning: str | None, inputs: str | None, beside: str | None) -> None:
        """A row's reasoning, its inputs as JSON text and the teacher's reasoning."""
        if not reasoning:
            self._rows.append((0, 0, 0, float("nan")))
            return
        cited, found = self._cues(reasoning, inputs)
        shared = self._overlap(reasoning, beside) if beside else float("nan")
        self._rows.append((len(reasoning.split()), cited, found, shared))

    def columns(self) -> dict[str, Any]:
        """reasoning_words, cues_cited, cues_found, overlap, as Marks has them."""
        import numpy as np

        table = np.array(self._rows, float).reshape(len(self._rows), 4)
        counts = table[:, :3].astype(np.int32)
        return {
            "reasoning_words": counts[:, 0],
            "cues_cited": counts[:, 1],
            "cues_found": counts[:, 2],
            "overlap": table[:, 3].astype(np.float32),
        }

    def _cues(self, reasoning: str, inputs: str | None) -> tuple[int, int]:
        if self._cue is None or inputs is None:
            return 0, 0
        cues = self._cue.findall(reasoning)
        text = "\n".join(json.loads(inputs).values()).casefold()
        return len(cues), sum(cue.casefold() in text for cue in cues)

    def _overlap(self, reasoning: str, beside: str) -> float:
        """F1 of the words that both have, as `comparison.token_f1` counts them."""
        if reasoning == beside:
            return 1.0
        mine, theirs = self._read(reasoning), self._read(beside)
        left: dict[str, int] = {}
        for word in theirs:
            left[word] = left.get(word, 0) + 1
        shared = 0
        for word in mine:
            if left.get(word):
                left[word] -= 1
                shared += 1
        if not shared:
            return float(not mine and not theirs)
        return 2 * shared / (len(mine) + len(theirs))

    def _read(self, text: str) -> list[str]:
        known, read = self._words, []
        for raw in text.split():
            word = known.get(raw)
            if word is None:
                word = known[raw] = "".join(words_of(raw))
            if word:
                read.append(word)
        return read
