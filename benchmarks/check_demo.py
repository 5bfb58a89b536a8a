"""What the README promises of the demo, held against the summary of one that has run.

    python -m benchmarks.check_demo demo/report/demo.json [--resumed]

One line for each broken promise, and exit status 1 if there is one. `--resumed` is for a second
`make demo`, which must find everything done and take less than half of the first one's seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STUDENTS = ("label", "reason_label")
SYSTEMS = ("teacher", *STUDENTS, "tfidf", "base", "majority")
SPLITS = ("wild", "hard", "test")
# Floors for any machine and seed: the medians of docs/results.md lie well above them.
LEAST_EXACT = {  # share of sentences with both labels right
    ("label", "test"): 0.90,
    ("reason_label", "test"): 0.88,
    ("label", "hard"): 0.62,
    ("reason_label", "hard"): 0.62,
}
MEMORY_MB = 2000
PROMISED_SECONDS = 5 * 60  # on two idle cores; other machines are only told
MOST_SECONDS = 20 * 60


def broken(summary: dict[str, Any]) -> Iterator[str]:
    """A line for each promise that this summary breaks."""
    figures = {
        (system, split, kind): summary.get("systems", {}).get(system, {}).get(split, {}).get(kind)
        for system in SYSTEMS
        for split in SPLITS
        for kind in ("exact", "valid")
    }
    for (system, split, kind), value in figures.items():
        least = 1.0 if system in STUDENTS and kind == "valid" else 0.0
        if kind == "exact":
            least = LEAST_EXACT.get((system, split), least)
        if value is None:
            yield f"{system} on {split}: {kind} is missing"
        elif not value >= least:
            yield f"{system} on {split}: {kind} is {value}, promised {least}"
    yield from _beyond(summary, "relabelled", 0)
    yield from _not_under(summary, "peak_rss_mb", MEMORY_MB)
    yield from _beyond(summary, "seconds", MOST_SECONDS)


def not_resumed(summary: dict[str, Any], first: Path) -> Iterator[str]:
    """A line for each sign that a second run did the work of the `first` one again."""
    if not summary.get("resumed"):
        yield "resumed is not true: the demo began anew"
    if first.is_file():
        whole = json.loads(first.read_text(encoding="utf-8"))
        yield from _not_under(summary, "seconds", whole["seconds"] / 2)
    else:
        yield f"{first} is missing: no run did the whole demo"


def _beyond(summary: dict[str, Any], name: str, most: float) -> Iterator[str]:
    value = summary.get(name)
    if value is None:
        yield f"{name} is missing"
    elif not value <= most:
        yield f"{name} is {value}, promised at most {most:g}"


def _not_under(summary: dict[str, Any], name: str, limit: float) -> Iterator[str]:
    value = summary.get(name)
    if value is None:
        yield f"{name} is missing"
    elif not value < limit:
        yield f"{name} is {value}, promised under {limit:g}"


def main() -> int:
    """Parse, check, print; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("summary", type=Path)
    parser.add_argument("--resumed", action="store_true", help="it must be a second run")
    options = parser.parse_args()
    summary = json.loads(options.summary.read_text(encoding="utf-8"))
    lines = list(broken(summary))
    if options.resumed:
        lines += not_resumed(summary, options.summary.with_name("first_demo.json"))
    for line in lines:
        print(f"check_demo: {line}")
    print(
        f"check_demo: {len(lines)} promises broken; {summary.get('seconds')} s "
        f"(promised {PROMISED_SECONDS} s on two idle cores), {summary.get('peak_rss_mb')} MB"
    )
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
