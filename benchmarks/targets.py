"""The four targets from the same rows: what is right, and what an answer costs to write.

    python -m benchmarks.targets [--folder FOLDER] [--target label ..] [--seed 0 1 2] [--alpha 1.0]
        [--quick]

The news task's training rows, labelled by its offline teacher, teach the embedded base four times
with the same recipe and seed: label, reason_label, label_reason (the reasoning after the label's
end) and multitask (predict and explain, distilling step by step). Exact is the share of sentences
with both labels right, of several seeds the mean; the tables are the report's dividends of
reasoning, in whole answers. FOLDER keeps the store and the students; run again, it resumes. The
last line is one JSON object: {target: {"test": .., "hard": .., "tokens_per_answer": ..,
"train_cpu_seconds": .., "learnt_tokens": ..}}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.dividend_table import dividend_lines
from understudy.chains.student.card import read_card
from understudy.chains.task import TARGETS
from understudy.distill.evaluation.results import Measured
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.labelling.label import label
from understudy.distill.training.train import train
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task, teacher
from understudy.store import Example, Store, example_id

SPLITS = ("test", "hard")


def run(
    folder: Path, targets: Sequence[Any], *, seeds: Sequence[int], alpha: float, limit: int | None
) -> dict[str, Any]:
    """Label, train, evaluate; the figures of the last line."""
    folder.mkdir(parents=True, exist_ok=True)
    with Store(folder / "targets.db") as store:
        for split in ("train", "validation", *SPLITS):
            rows = [row for row in news_rows(seeds[0]) if row.split == split][:limit]
            inputs = [{name: getattr(row, name) for name in task.inputs} for row in rows]
            store.add_examples(
                Example(id=example_id(i), task=task.name, split=split, inputs=i, gold=row.gold)
                for i, row in zip(inputs, rows, strict=True)
            )
        for split in ("train", "validation"):
            label(task, teacher, store, split=split)
        students: dict[str, list[Path]] = {}
        for target in targets:
            for seed in seeds:
                out = folder / f"{target}{'' if alpha == 1 else f'-{alpha:g}'}-s{seed}"
                student = train(task, store, out=out, target=target, seed=seed, alpha=alpha)
                students.setdefault(read_card(student).target, []).append(student)
        everybody = [student for of_target in students.values() for student in of_target]
        report = evaluate(task, store, students=everybody, splits=SPLITS)
        print(*dividend_lines(report), sep="\n")
        found = {system.name: system.splits for system in report.systems}
        return {
            target: {
                **{split: mean(_exact(found[one.name][split]) for one in made) for split in SPLITS},
                **_costs(store, made),
            }
            for target, made in students.items()
        }


def _exact(found: Measured) -> float:
    """The share of answer parts that are right; every row of the task has gold."""
    assert found.gold is not None
    assert found.gold.exact.value is not None
    return found.gold.exact.value


def _costs(store: Store, students: Sequence[Path]) -> dict[str, float]:
    facts = [read_card(student).training for student in students]
    names = {student.name for student in students}
    asked = [one for one in store.runs(task=task.name, role="student") if one.name in names]
    tokens = [
        record.output_tokens or 0 for one in asked for record in store.records(one.id, split="test")
    ]
    return {
        "tokens_per_answer": round(mean(tokens), 1),
        "train_cpu_seconds": round(mean(fact["cpu_seconds"] for fact in facts)),
        "learnt_tokens": mean(fact["completion_tokens_per_epoch"] for fact in facts),
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where store and students stay")
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of the training")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true", help="16 rows: does it run at all")
    options = parser.parse_args()
    limit = 16 if options.quick else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        figures = run(folder, options.target, seeds=options.seed, alpha=options.alpha, limit=limit)
    for target, row in figures.items():
        print(f"{target:13}", "  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
