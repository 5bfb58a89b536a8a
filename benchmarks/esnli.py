"""Data nobody here made: e-SNLI with a recorded teacher (PaLM-540B's reasoning and labels).

    python -m benchmarks.esnli --data FOLDER [--folder KEPT] [--seed 0 1 2] [--quick]

FOLDER holds esnli_palm_pool.jsonl and esnli_palm_test.jsonl, the recorded outputs published with
google-research/distilling-step-by-step (Apache-2.0), as benchmarks/esnli_rows.py writes them.
Through the ordinary commands, 2,000 rows of the pool train a label and a reason_label student of
the embedded base for every seed, and TF-IDF; 1,000 rows of the test file judge them by the human
gold. KEPT keeps store and students; run again, it resumes. The table is the report's dividend of
reasoning. The last line is one JSON object: {"rows": .., "systems": {name: {"exact": .., "low": ..,
"high": .., "valid": ..}}, "learnt": {name: true or false}, "difference": {..}, "answer": ..}; the
difference is the gain of reason_label over label in points, the answer the report's verdict on it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict, Field

from understudy.chains.task import Task
from understudy.distill.evaluation.results import Measured, Report
from understudy.store import Score, example_id


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


def recorded(source: Path, target: Path, limit: int) -> None:
    """The file's first `limit` different rows, in the form that `import-labels` reads."""
    seen: set[str] = set()
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            row = json.loads(line)
            inputs = {name: row[name] for name in task.inputs}
            if len(seen) == limit:
                return
            if example_id(inputs) not in seen:
                seen.add(example_id(inputs))
                said = row["teacher"]
                answer = {"label": said["label"]} if said["label"] else None
                kept = {"answer": answer, "reasoning": said["reasoning"], "raw": said["raw"]}
                gold = {"label": row["gold"]}
                out.write(json.dumps({"inputs": inputs, "gold": gold, **kept}) + "\n")


def understudy(*arguments: str, folder: Path) -> None:
    """One command line, as a person would type it."""
    command = [sys.executable, "-m", "understudy.distill.cli", *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


def run(
    data: Path, folder: Path, *, seeds: Sequence[int], pool: int, test: int, epochs: float
) -> Report:
    """Import the labels, train, evaluate, report."""
    folder.mkdir(parents=True, exist_ok=True)
    common = ("--task", f"{Path(__file__).resolve()}:task", "--store", "esnli.db")
    for source, split, rows in (("pool", "train", pool), ("test", "test", test)):
        recorded(data / f"esnli_palm_{source}.jsonl", folder / f"{split}.jsonl", rows)
        labels = (f"{split}.jsonl", "--model", "PaLM-540B", "--split", split)
        understudy("import-labels", *labels, *common, folder=folder)
    for target in ("label", "reason_label"):
        for seed in seeds:
            recipe = ("--target", target, "--epochs", str(epochs), "--seed", str(seed))
            out = ("--out", f"runs/{target}-s{seed}" if len(seeds) > 1 else f"runs/{target}")
            understudy("train", *recipe, *out, *common, folder=folder)
    understudy("evaluate", "--no-base", *common, folder=folder)
    understudy("report", *common, folder=folder)
    return Report.model_validate_json((folder / "report" / "report.json").read_bytes())


def figures_of(report: Report, *, pool: int, test: int) -> dict[str, Any]:
    """The figures of the last line."""
    found = {system.name: system.splits["test"] for system in report.systems}
    (dividend,) = report.dividends
    gain = dividend.arms[-1].gain
    return {
        "rows": {"train": pool, "test": test},
        "systems": {name: _figures(one) for name, one in found.items()},
        "learnt": {name: one.learnt for name, one in found.items()},
        "difference": gain.model_dump() if gain else None,
        "answer": dividend.sentence,
    }


def _figures(found: Measured) -> dict[str, float | None]:
    """By the human gold, which every row has."""
    exact = found.gold.exact if found.gold else Score(value=None)
    return {
        "exact": exact.value,
        "low": exact.low,
        "high": exact.high,
        "valid": found.valid.value,
    }


def main() -> None:
    """Parse, run, print."""
    # Here, because the commands load this file as their task, from another folder.
    from benchmarks.dividend_table import dividend_lines

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="where store and students stay")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of the training")
    parser.add_argument("--quick", action="store_true", help="few rows: does it run at all")
    options = parser.parse_args()
    sizes: dict[str, Any] = (
        {"pool": 64, "test": 32, "epochs": 1.0}
        if options.quick
        else {"pool": 2000, "test": 1000, "epochs": 4.0}
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report = run(options.data, folder, seeds=options.seed, **sizes)
    figures = figures_of(report, pool=sizes["pool"], test=sizes["test"])
    for name, score in figures["systems"].items():
        print(f"{name:14} {score['exact']:.3f} [{score['low']:.3f}, {score['high']:.3f}]")
    print("", *dividend_lines(report), sep="\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
