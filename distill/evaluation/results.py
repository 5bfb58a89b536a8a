"""What an evaluation found, as data: the Report that every rendering shows."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ...store.rows import Row, Score

QUESTION = "Does the student trained with reasoning beat the label-only one?"


class LabelResult(Row):
    """One categorical path against gold: `confusion[expected][given]` counts rows."""

    accuracy: Score
    macro_f1: Score
    per_class_f1: dict[str, float | None]
    confusion: dict[str, dict[str, int]]


class SplitResult(Row):
    """One system on one split.

    `exact`: share of answer parts (top-level answer objects, a sentence in the sample task) with
    every label right; `row_exact`: share of whole answers right; `valid`: share of rows whose
    answer fits the schema; `agreement`: like `exact`, against the teacher's labels instead of gold.
    `learnt`: for a student, is it better than the majority class, paired, at 95 %?
    `fields` scores the paths that are not labels with the task's comparators. Seconds and tokens
    are per row; `cost` is in US dollars per 1,000 rows, None where no price is known.
    """

    split: str
    rows: int
    errors: int
    exact: Score
    row_exact: Score
    valid: Score
    agreement: Score | None = None
    labels: dict[str, LabelResult] = Field(default_factory=dict)
    fields: dict[str, Score] = Field(default_factory=dict)
    cue_in_text: Score | None = None
    seconds_median: float | None = None
    seconds_p95: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost: float | None = None
    learnt: bool | None = None


class SystemResult(Row):
    """One system: its run and what it scored on every split it answered."""

    name: str
    role: str
    model: str
    target: str
    run: str
    description: str
    splits: dict[str, SplitResult]


class Difference(Row):
    """`first` minus `second`, paired on the same rows, in percentage points of `exact`.

    `wins` and `losses` count parts that only the first or only the second got right.
    """

    first: str
    second: str
    split: str
    points: Score
    wins: int
    losses: int
    sentence: str


class Disagreement(Row):
    """One example on which the systems part ways, for a person to look at."""

    split: str
    example: str
    inputs: dict[str, str]
    gold: dict[str, Any] | None
    answers: dict[str, dict[str, Any] | None]
    reasonings: dict[str, str]


class SplitNote(Row):
    """What a split is, in one sentence, in the order in which the report shows them."""

    name: str
    rows: int
    sentence: str


class Curves(Row):
    """A student's training as (step, value): losses, and its agreement on validation rows."""

    name: str
    losses: list[tuple[float, float]]
    validation_losses: list[tuple[float, float]]
    agreements: list[tuple[float, float]]


class Report(Row):
    """Everybody side by side; every figure can be recomputed from the store.

    `curves` come from the run folders of the students, as far as those are still there.
    `ceiling` is the teacher's agreement with itself where it was asked twice, over all rows that
    were: what any student's agreement with it is to be held against.
    """

    task: str
    created: str
    ceiling: Score | None = None
    splits: list[SplitNote]
    systems: list[SystemResult]
    answer: str
    differences: list[Difference]
    disagreements: list[Disagreement]
    notes: list[str]
    versions: dict[str, str]
    curves: list[Curves] = Field(default_factory=list)
