"""Records as columns: what everybody answered to the rows of one split, ready to be counted.

A hundred thousand rows of eight systems are held as small whole numbers, not as records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...store.rows import Run

SILENT = -1  # gold says nothing at this path; or the system gave no answer
FOREIGN = -2  # a value outside the classes of the label


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The rows of one split, in the store's order: n rows, L label paths, P parts, F other paths.

    `ids`: n example ids. `groups`: int64 [n], rows that belong together share a number (a row alone
    has its own). `gold`: int16 [n, L], the class's place in task.labels[path], SILENT where gold
    says nothing. `has_gold`: bool [n]. `length`: int32 [n], characters of the inputs.
    """

    split: str
    ids: tuple[str, ...]
    groups: Any
    gold: Any
    has_gold: Any
    length: Any


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What one run answered to a sheet's rows, and how it was marked.

    `asked`, `answered`: bool [n]; answered means a valid answer. `given`: int16 [n, L], classes as
    in Sheet.gold, SILENT or FOREIGN. `gold_parts`, `teacher_parts`: int8 [n, P], 1 right, 0 wrong
    (also for a row that failed), -1 where gold (the teacher) says nothing or the row was not asked.
    `gold_fields`, `teacher_fields`: float32 [n, F], a comparator's score from 0 to 1, NaN where
    unscored. `confidence`: float32 [n, L], probability of the given class, NaN where not known.
    `reasoning_words`, `cues_cited`, `cues_found`: int32 [n], 0 where there is none; `overlap`:
    float32 [n], token F1 with the teacher's reasoning, NaN where either wrote none. `seconds`,
    `input_tokens`, `output_tokens`, `cost`: float64 [n], NaN where not known.
    """

    asked: Any
    answered: Any
    given: Any
    gold_parts: Any
    teacher_parts: Any
    gold_fields: Any
    teacher_fields: Any
    confidence: Any
    reasoning_words: Any
    cues_cited: Any
    cues_found: Any
    overlap: Any
    seconds: Any
    input_tokens: Any
    output_tokens: Any
    cost: Any

    def right_rows(self, against: str) -> tuple[Any, Any]:
        """(right, scored): bool [n] each; a row is right when every part that is spoken of is."""
        parts = self.gold_parts if against == "gold" else self.teacher_parts
        scored = (parts >= 0).any(axis=1)
        return scored & (parts != 0).all(axis=1), scored


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What one system answered: its run, under the name that the report gives it.

    `arm` is the name without the seed, `seed` the training seed (None for what has none); `sheets`
    holds its Marks by split, the splits it answered alone.
    """

    run: Run
    name: str
    arm: str
    seed: int | None
    sheets: Mapping[str, Marks]
