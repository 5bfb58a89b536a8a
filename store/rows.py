"""The rows that are remembered: Example, Run, Record, and the Score that is computed from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Role = Literal["teacher", "student", "base", "baseline"]
Verdict = Literal["accept", "correct", "skip"]
Mode = Literal["record", "shadow", "cascade", "student"]
AnsweredBy = Literal["teacher", "student"]


class Row(BaseModel):
    """A frozen row: what was stored is never changed in memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Example(Row):
    """One input of a task; `id` is `example_id(inputs)`, so the same text is the same example.

    `gold_by` names the reviewer whom the gold comes from, None where it came with a file.
    """

    id: str
    task: str
    split: str
    inputs: dict[str, str]
    gold: dict[str, Any] | None = None
    group: str | None = None
    gold_by: str | None = None


class Run(Row):
    """One chain over examples. `id` is `run_id(...)`: the same chain asked again is the same run.

    `words` is the fingerprint of the prompt that is said, empty where that is not known (answers
    recorded elsewhere); `answers` is that of the answer schema.
    """

    id: str
    name: str
    task: str
    role: Role
    model: str
    strategy: str
    target: str
    words: str
    answers: str
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    started: str
    finished: str | None = None


class Record(Row):
    """What one run answered to one example; a failure has `answer` None, and `error` says why.

    `answer` is the answer as JSON without the reasoning field; `seconds` is wall time of all
    attempts; tokens are summed over attempts, None where the model does not say; `cost` is in US
    dollars, None where no price is known. `votes` counts, per answer path, what each sample or
    model said, as JSON text; `details` holds what else is known of how the answer came about
    (tool calls, a transcript, native reasoning).
    """

    run: str
    example: str
    reasoning: str | None = None
    answer: dict[str, Any] | None = None
    raw: str | None = None
    error: str | None = None
    attempts: int = 1
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    seconds: float = 0.0
    confidence: dict[str, float] | None = None
    votes: dict[str, dict[str, int]] | None = None
    details: dict[str, Any] | None = None
    model: str | None = None
    created: str


class Flag(Row):
    """What a curation rule found in an example, of `run`'s record where it looked at one.

    `score` orders the findings of one rule, highest first; `detail` says what was found.
    """

    example: str
    rule: str
    run: str | None = None
    score: float | None = None
    detail: dict[str, Any] = {}


class Review(Row):
    """What a person said of an example: `accept` and `correct` make `answer` its gold.

    `run` is the run whose answer the person saw. `undone` says when it was taken back.
    """

    id: int | None = None
    example: str
    run: str | None = None
    verdict: Verdict
    reviewer: str
    answer: dict[str, Any] | None = None
    reasoning: str | None = None
    created: str
    undone: str | None = None


class Terms(Row):
    """What a model's provider says on training with its outputs, as somebody noted it."""

    model: str
    licence: str | None = None
    note: str
    source: str | None = None
    noted: str


class Training(Row):
    """A student that was trained: its run folder, and what it learnt from which run's records."""

    folder: str
    name: str
    task: str
    base: str
    target: str
    run: str
    rows_sha256: str
    seed: int
    created: str


class StandIn(Row):
    """A chain in somebody's app that a student stands in for, and the mode it is in.

    `agreement` is what cascade mode promises, `student` a run folder or another model's name;
    `reason` says why the mode was changed where no person did it (a bound that broke).
    """

    name: str
    task: str
    mode: Mode = "record"
    agreement: float | None = None
    student: str | None = None
    reason: str | None = None
    changed: str


class Calibration(Row):
    """From which calibrated confidence on a student answers so that it agrees with its teacher.

    `student` and `teacher` are ids of runs; `agreement` is what was asked for, `threshold` None
    where the `rows` calibration rows do not support it. `calibrator` is JSON data that maps
    confidence to the chance of agreeing, `details` what else is known of the fit.
    """

    number: int | None = None
    task: str
    student: str
    teacher: str
    agreement: float
    threshold: float | None = None
    calibrator: dict[str, Any] = {}
    rows: int
    details: dict[str, Any] = {}
    created: str


class Call(Row):
    """One call of a stand-in: who answered, and what is known of it beside the row it asked.

    `example` is the hash of its inputs as they were recorded, None where they cannot be stored.
    `sampled`: the teacher was asked only to check the student; `agreed`: whether both said the
    same, None where one was not asked. `confidence` is the student's, calibrated where it is;
    `labels` the categorical answers (the student's where it was asked); `length` the inputs'
    characters; tokens and `cost` are those of the teacher's answer, None where it says none or was
    not asked; `seconds` is what the app waited.
    """

    number: int | None = None
    stand_in: str
    example: str | None = None
    at: str
    answered_by: AnsweredBy = "teacher"
    escalated: bool = False
    agreed: bool | None = None
    sampled: bool = False
    confidence: float | None = None
    seconds: float = 0.0
    error: str | None = None
    labels: dict[str, Any] | None = None
    length: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


class Score(Row):
    """A figure with its interval: `low` and `high` bound it at 95 %; `n` counts what was scored.

    `value` is None where nothing could be scored, which is not the same as 0.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


def fingerprint(data: Any) -> str:
    """16 hex digits of SHA-256 over canonical JSON: equal data, equal fingerprint."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def example_id(inputs: Mapping[str, str]) -> str:
    """The content address of an example: it hashes the prompt's input variables only."""
    return fingerprint(dict(inputs))


def run_id(**identity: Any) -> str:
    """The content address of a run: everything that decides what is asked and who answers."""
    return fingerprint(identity)
