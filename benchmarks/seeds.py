"""The demo over several seeds: other sample rows, other training order; median and range.

    python -m benchmarks.seeds [--folder FOLDER] [--seeds 0 1 2]

Each seed is a whole demo in a folder of its own (run again, it resumes). The last line is one JSON
object: {"seeds": [..], "seconds": [..], "peak_rss_mb": [..], "systems": {name: {split: {"median":
.., "low": .., "high": ..}}}} of `exact`, the share of sentences with both labels right. Seconds and
memory (MiB) are those of the run that did the whole demo in one go (report/first_demo.json), and
null where no run did: a resumed run's own would flatter.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any


def one_seed(folder: Path, seed: int) -> dict[str, Any]:
    """The summary of one demo, run in a process of its own so that its memory is its own."""
    command = [sys.executable, "-m", "understudy.distill.cli", "demo"]
    command += ["--folder", str(folder / f"seed-{seed}"), "--seed", str(seed)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    summary: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return summary | cost(folder / f"seed-{seed}")


def cost(folder: Path) -> dict[str, float | None]:
    """Seconds and memory of the run that did this folder's whole demo in one go."""
    first = folder / "report" / "first_demo.json"
    told = json.loads(first.read_text(encoding="utf-8")) if first.is_file() else {}
    return {name: told.get(name) for name in ("seconds", "peak_rss_mb")}


def over_seeds(summaries: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Median, lowest and highest `exact` of every system on every split."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, splits in summaries[0]["systems"].items():
        for split in splits:
            values = [summary["systems"][name][split]["exact"] for summary in summaries]
            figures.setdefault(name, {})[split] = {
                "median": median(values),
                "low": min(values),
                "high": max(values),
            }
    return figures


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("demo-seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    summaries = [one_seed(options.folder, seed) for seed in options.seeds]
    systems = over_seeds(summaries)
    for name, splits in systems.items():
        cells = [
            f"{split} {score['median']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
            for split, score in splits.items()
        ]
        print(f"{name:14}", "   ".join(cells))
    figures = {
        "seeds": options.seeds,
        "seconds": [summary["seconds"] for summary in summaries],
        "peak_rss_mb": [summary["peak_rss_mb"] for summary in summaries],
        "systems": systems,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
