"""e-SNLI with PaLM-540B's recorded answers, from a clone of where they were published.

    git clone https://github.com/google-research/distilling-step-by-step
    python -m benchmarks.esnli_rows distilling-step-by-step/datasets FOLDER

Reads `esnli/esnli_{valid,test}.json`, one row a line with human gold, and
`esnli/llm/{valid,test}_CoT_*.json`, lists of what the model wrote, in the same order; writes
FOLDER/esnli_palm_{pool,test}.jsonl, which `python -m benchmarks.esnli --data FOLDER` takes. (The
clone's README says how its archive of data unpacks. Apache-2.0; e-SNLI has terms of its own.)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LABELS = ("entailment", "neutral", "contradiction")  # in the order of the source's numbers
NAMES = {"valid": "pool", "test": "test"}


def read_answer(raw: str) -> tuple[str, str | None]:
    """Reasoning and label of what the model wrote; no label where it names none of the three.

    The text goes on with a question that the model made up, and may break off in its first word.
    """
    reasoning, _, rest = raw.partition("Answer:")
    said = rest.partition("\n\nPre")[0].partition("Premise")[0].strip()
    return reasoning.strip(), said if said in LABELS else None


def rows(source: Path, split: str) -> Iterator[dict[str, Any]]:
    """The rows of a split with the recorded teacher's answers, in the source's order."""
    folder = source / "esnli"
    parts = sorted((folder / "llm").glob(f"{split}_CoT_*.json"), key=_number)
    texts = [text for part in parts for text in json.loads(part.read_text(encoding="utf-8"))]
    with (folder / f"esnli_{split}.json").open(encoding="utf-8") as lines:
        given = [json.loads(line) for line in lines]
    if len(texts) != len(given):
        raise SystemExit(f"{folder}: {len(given)} rows of {split}, {len(texts)} answers in llm/")
    for number, (row, raw) in enumerate(zip(given, texts, strict=True)):
        reasoning, label = read_answer(raw)
        yield {
            "id": f"esnli-{split}-{number}",
            "premise": row["premise"],
            "hypothesis": row["hypothesis"],
            "gold": LABELS[row["label"]],
            "teacher": {"model": "PaLM-540B", "reasoning": reasoning, "label": label, "raw": raw},
        }


def _number(part: Path) -> int:
    return int(part.stem.rpartition("_")[2])


def main() -> int:
    """Read, write, say how many; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for split, name in NAMES.items():
        path = options.folder / f"esnli_palm_{name}.jsonl"
        found = list(rows(options.source, split))
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        path.write_text(text, encoding="utf-8")
        print(f"{len(found):,} rows in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
