"""Data nobody here made: e-SNLI with a recorded teacher (PaLM-540B's reasoning and labels).

    python -m benchmarks.esnli --data FOLDER [--quick]

FOLDER holds esnli_palm_pool.jsonl and esnli_palm_test.jsonl, the recorded outputs published with
google-research/distilling-step-by-step (Apache-2.0). 2,000 rows of the pool train a label and a
reason_label student of the embedded base, and TF-IDF; 1,000 rows of the test file judge them by
the human gold. The last line is one JSON object: {"rows": .., "systems": {name: {"exact": ..,
"low": .., "high": .., "valid": ..}}, "learnt": {name: true or false}, "difference": {..}}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict, Field

from understudy.chains.task import TARGETS, Task
from understudy.distill.evaluation import evaluate
from understudy.distill.recorded import record_labels
from understudy.distill.training import train
from understudy.store import Example, Store, example_id

SEED = 0


class Inference(BaseModel):
    """Does the premise entail the hypothesis?"""

    model_config = ConfigDict(extra="forbid")

    explanation: str = Field(max_length=330)
    label: Literal["entailment", "neutral", "contradiction"]


task = Task(
    name="esnli",
    schema=Inference,
    reasoning="explanation",
    prompt=ChatPromptTemplate.from_messages(
        [
            ("system", "Does the premise entail the hypothesis? Explain, then decide."),
            ("human", "premise: {premise}\nhypothesis: {hypothesis}"),
        ]
    ),
    student_prompt=ChatPromptTemplate.from_messages(
        [("human", "Inference.\npremise: {premise}\nhypothesis: {hypothesis}")]
    ),
)


def recorded(path: Path, split: str, limit: int) -> Iterator[tuple[Example, dict[str, Any]]]:
    """The file's first `limit` different rows as examples with what the teacher said of them."""
    seen: set[str] = set()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            inputs = {name: row[name] for name in task.inputs}
            if len(seen) == limit:
                return
            if example_id(inputs) in seen:
                continue
            seen.add(example_id(inputs))
            said = row["teacher"]
            answer = {"label": said["label"]} if said["label"] else None
            yield (
                Example(
                    id=example_id(inputs),
                    task=task.name,
                    split=split,
                    inputs=inputs,
                    gold={"label": row["gold"]},
                ),
                {"answer": answer, "reasoning": said["reasoning"], "raw": said["raw"]},
            )


def run(data: Path, folder: Path, *, pool: int, test: int, epochs: float) -> dict[str, Any]:
    """Record, train, evaluate; the figures of the last line."""
    with Store(folder / "esnli.db") as store:
        rows = [
            *recorded(data / "esnli_palm_pool.jsonl", "train", pool),
            *recorded(data / "esnli_palm_test.jsonl", "test", test),
        ]
        record_labels(task, store, rows, model="PaLM-540B")
        students = [
            train(task, store, out=folder / target, target=target, epochs=epochs, seed=SEED)
            for target in TARGETS
        ]
        report = evaluate(task, store, students=students, splits=["test"])
    scores = {system.name: system.splits["test"] for system in report.systems}
    return {
        "rows": {"train": pool, "test": test},
        "systems": {
            name: {
                "exact": score.exact.value,
                "low": score.exact.low,
                "high": score.exact.high,
                "valid": score.valid.value,
            }
            for name, score in scores.items()
        },
        "learnt": {system.name: system.splits["test"].learnt for system in report.systems},
        "difference": report.differences[0].points.model_dump(),
        "answer": report.answer,
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few rows: does it run at all")
    options = parser.parse_args()
    sizes = (
        {"pool": 64, "test": 32, "epochs": 1}
        if options.quick
        else {"pool": 2000, "test": 1000, "epochs": 4}
    )
    with tempfile.TemporaryDirectory() as folder:
        figures = run(options.data, Path(folder), **sizes)
    for name, score in figures["systems"].items():
        print(f"{name:14} {score['exact']:.3f} [{score['low']:.3f}, {score['high']:.3f}]")
    print(figures["answer"])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
