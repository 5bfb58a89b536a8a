"""Does the review queue find wrong labels, and does correcting what it shows help a student?

    python -m benchmarks.review [--quick] [--folder FOLDER]

The sample task's training rows (seed 0) as its offline teacher labels them; then 10 % of the rows
get one wrong label: half of them Tristeza read as Medo, the others any label any other class, drawn
with a fixed seed. `curate` looks for suspected label errors (out-of-fold TF-IDF alone: the rule
that reads the reasonings would find every one, since these still name the true label), and a
reviewer who knows the teacher's true answer goes through the first 15 % of the review queue,
accepts the right rows and corrects the wrong ones. The embedded student (target label) learns the
noisy and the reviewed rows, with 3 seeds, and answers split test; TF-IDF learns beside it.
`exact` is the share of sentences with both labels right, against gold. The last line is one JSON
object: {"noise_found_in_15pct": share of the wrong rows among those, "exact_before": mean,
"exact_after": mean}. Run again with a folder, it goes on; a training that is done is not repeated.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from understudy.chains.task import value_at
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.labelling.label import label
from understudy.distill.recorded import record_labels
from understudy.distill.reviewing.curation import curate
from understudy.distill.reviewing.queue import review_queue
from understudy.distill.runs import now
from understudy.distill.training.train import train
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task, teacher
from understudy.store import Example, Record, Store, example_id
from understudy.store.reviews import add_review, corrections
from understudy.store.rows import Review, Verdict

NOISE = 0.10
SHOWN = 0.15
CONFUSION = ("emocao", "Tristeza", "Medo")
NOISE_SEED = 0
Pairs = Sequence[tuple[Example, Record]]


def labelled(rows: int | None) -> tuple[Pairs, list[Example]]:
    """The training rows as the offline teacher labels them, and the test rows with their gold."""
    examples: dict[str, list[Example]] = {"train": [], "test": []}
    for row in news_rows(0):
        if row.split in examples:
            inputs = {"f1": row.f1, "f2": row.f2, "f3": row.f3}
            examples[row.split].append(
                Example(
                    id=example_id(inputs),
                    task=task.name,
                    split=row.split,
                    inputs=inputs,
                    gold=row.gold if row.split == "test" else None,
                )
            )
    with Store(":memory:") as store:
        store.add_examples(examples["train"][:rows])
        run = label(task, teacher, store)
        pairs = [pair for pair in store.pairs(run.id) if pair[1].answer is not None]
    return pairs, examples["test"][:rows]


def with_noise(pairs: Pairs) -> dict[str, dict[str, Any]]:
    """The wrong answers by example id: one label of each is changed, half by the confusion."""
    draw = random.Random(NOISE_SEED)
    answers = {example.id: record.answer or {} for example, record in pairs}
    order = draw.sample(sorted(answers), len(answers))
    wanted = round(NOISE * len(answers))
    leaf, taught, read_as = CONFUSION
    wrong: dict[str, dict[str, Any]] = {}
    for name in order:
        paths = [
            path
            for path in task.labels
            if path.endswith(f".{leaf}") and value_at(answers[name], path) == taught
        ]
        if paths and len(wrong) < wanted // 2:
            wrong[name] = _changed(answers[name], draw.choice(paths), read_as)
    for name in [name for name in order if name not in wrong][: wanted - len(wrong)]:
        path = draw.choice(list(task.labels))
        others = [c for c in task.labels[path] if c != value_at(answers[name], path)]
        wrong[name] = _changed(answers[name], path, draw.choice(others))
    return wrong


def _changed(answer: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(dict(answer))
    head, leaf = path.split(".")
    changed[head][leaf] = value
    return changed


def fill(store: Store, pairs: Pairs, wrong: Mapping[str, Any], test: Sequence[Example]) -> None:
    """The test rows, and the training rows with a teacher that errs."""
    store.add_examples(test)
    said = (
        (example, {"answer": wrong.get(example.id, record.answer), "reasoning": record.reasoning})
        for example, record in pairs
    )
    record_labels(task, store, said, model="offline, with noise")


def review(store: Store, pairs: Pairs, wrong: Mapping[str, Any]) -> float:
    """Go through the first rows of the queue as a reviewer; the share of the wrong ones met."""
    true = {example.id: record for example, record in pairs}
    if not corrections(store, task.name):
        curate(task, store, ["suspected_label_error"])
        shown = review_queue(task, store, split="train", limit=round(SHOWN * len(pairs)))
        for entry in shown:
            verdict: Verdict = "correct" if entry.example in wrong else "accept"
            record = true[entry.example]
            said = {"answer": record.answer, "reasoning": record.reasoning, "created": now()}
            review = Review(example=entry.example, verdict=verdict, reviewer="benchmark", **said)
            add_review(store, task.name, review)
    return len(corrections(store, task.name).keys() & wrong.keys()) / len(wrong)


def exact(store: Store, folder: Path, name: str, *, seeds: int, quick: bool) -> dict[str, Any]:
    """`exact` on split test of the students, one for each seed, and of TF-IDF."""
    options: dict[str, Any] = {"epochs": 1} if quick else {}
    students = [
        train(task, store, out=folder / f"{name}-{seed}", seed=seed, **options)
        for seed in range(seeds)
    ]
    report = evaluate(task, store, students=students, splits=["test"])
    judged = {system.name: system.splits["test"].gold for system in report.systems}
    scores = {name: gold.exact.value if gold else None for name, gold in judged.items()}
    return {
        "students": [scores[student.name] or 0.0 for student in students],
        "tfidf": scores["tfidf"] or 0.0,
    }


def measure(folder: Path, *, quick: bool) -> dict[str, float]:
    """The figures; prints the table on the way."""
    seeds, rows = (1, 120) if quick else (3, None)
    pairs, test = labelled(rows)
    wrong = with_noise(pairs)
    with Store(folder / "before.db") as before:
        fill(before, pairs, wrong, test)
        noisy = exact(before, folder, "before", seeds=seeds, quick=quick)
    with Store(folder / "after.db") as after:
        fill(after, pairs, wrong, test)
        found = review(after, pairs, wrong)
        reviewed = exact(after, folder, "after", seeds=seeds, quick=quick)
    print(f"{len(pairs)} rows, {len(wrong)} with a wrong label; exact on {len(test)} test rows")
    for name, scores in (("before review", noisy), ("after review", reviewed)):
        each = " ".join(f"{value:.3f}" for value in scores["students"])
        told = f"student {mean(scores['students']):.3f} ({each})   tfidf {scores['tfidf']:.3f}"
        print(f"{name:14} {told}")
    return {
        "noise_found_in_15pct": round(found, 4),
        "exact_before": round(mean(noisy["students"]), 4),
        "exact_after": round(mean(reviewed["students"]), 4),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows, one short training each")
    parser.add_argument("--folder", type=Path, help="keep stores and students here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(folder, quick=options.quick)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
