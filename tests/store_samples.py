"""A small store with everything in it: answers, corrections, lessons, and hostile text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from understudy.store import Example, Record, Run, Store, example_id, fingerprint
from understudy.store.provenance import add_training, save_words, set_terms
from understudy.store.rows import Terms, Training

SCRIPT = "<script>alert('x')</script> [bold red]não[/] \x1b[31m \u202eabc & <b>"
TEXTS = ("O preço do pão subiu.", "A cidade festejou.", "Choveu na serra.", SCRIPT)
IDS = [example_id({"text": text}) for text in TEXTS]
PROMPT = [{"format": "f-string", "role": "human", "text": "How does {text} feel?"}]
SCHEMA = '{"type": "object"}'
WORDS, ANSWERS = fingerprint(PROMPT), fingerprint(SCHEMA)


def canonical(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def run(name: str, role: str, model: str, **fields: Any) -> Run:
    facts: dict[str, Any] = {
        "id": fingerprint(name),
        "name": name,
        "task": "moods",
        "role": role,
        "model": model,
        "strategy": "answer",
        "target": "reason_label",
        "words": WORDS,
        "answers": ANSWERS,
        "parameters": {"temperature": 0.5},
        "versions": {"understudy": "0.1"},
        "started": "2026-01-01T00:00:00+00:00",
    }
    return Run(**{**facts, **fields})


TEACHER = run("teacher", "teacher", "wise-1")
STUDENT = run("small", "student", "runs/small", target="label")


def record(of: Run, row: int, mood: str | None, **fields: Any) -> Record:
    facts: dict[str, Any] = {
        "run": of.id,
        "example": IDS[row],
        "answer": None if mood is None else {"mood": mood},
        "attempts": 2,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost": 0.25,
        "seconds": 1.5,
        "created": "2026-01-02T00:00:00+00:00",
    }
    return Record(**{**facts, **fields})


def fill(store: Store) -> None:
    """Four examples, a teacher (one failure), a student (one disagreement), and all around."""
    store.add_examples(
        Example(
            id=IDS[row],
            task="moods",
            split="train" if row < 3 else "test",
            inputs={"text": text},
            gold={"mood": "calm"} if row == 2 else None,
        )
        for row, text in enumerate(TEXTS)
    )
    save_words(store, WORDS, "prompt", canonical(PROMPT))
    save_words(store, ANSWERS, "schema", SCHEMA)
    for one in (TEACHER, STUDENT):
        store.start_run(one)
    votes = {"mood": {'"angry"': 2, '"calm"': 1}}
    answers = [
        record(TEACHER, 0, "angry", reasoning="O pão ficou caro.", votes=votes, model="wise-1-x"),
        record(TEACHER, 1, "happy", reasoning="Houve festa na praça."),
        record(TEACHER, 2, None, error="no JSON", raw="I cannot say", reasoning=None),
        record(TEACHER, 3, "calm", reasoning=SCRIPT, cost=None),
        record(STUDENT, 0, "angry", cost=None, confidence={"mood": 0.9}),
        record(STUDENT, 1, "sad", cost=None, confidence={"mood": 0.4}),
    ]
    for answer in answers:
        store.add_record(answer)
    set_terms(store, Terms(model="wise-1", licence="CC0", note="may be trained on", noted="2026"))
    add_training(store, training(), [IDS[0], IDS[1]])
    _people(store)


def training(**fields: Any) -> Training:
    facts: dict[str, Any] = {
        "folder": "/runs/small",
        "name": "small",
        "task": "moods",
        "base": "embedded",
        "target": "label",
        "run": TEACHER.id,
        "rows_sha256": "ab" * 32,
        "seed": 7,
        "created": "2026-01-03",
    }
    return Training(**{**facts, **fields})


def _people(store: Store) -> None:
    """What a reviewer said of the first example, and what a rule found in the second."""
    gold = '{"mood":"worried"}'
    with store.connection.writing() as connection:
        connection.execute(
            "insert into reviews (example, run, verdict, reviewer, answer, created) "
            "values (1, 1, 'correct', 'Ana', ?, '2026-01-04')",
            (gold,),
        )
        connection.execute(
            "update examples set gold = ?, gold_by = 'Ana' where position = 1", [gold]
        )
        connection.execute(
            "insert into flags (rule, example, run, score, detail, created) "
            """values ('duplicate', 2, 1, 0.75, '{"of":"x"}', '2026-01-04')"""
        )
        connection.execute("insert into filters values ('moods', 'duplicate', '2026-01-05')")


def made(path: Path) -> Path:
    with Store(path) as store:
        fill(store)
    return path
