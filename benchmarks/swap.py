"""What recording costs the app that is recorded, on its own path, and what it loses.

    python -m benchmarks.swap [--quick] [--seconds N]

One chain (a 2 kB Portuguese text, a fake chat model that answers at once or after 20 ms) is called
200 times a second, as it is and inside `swap(...)` in mode record, from 8 threads and from one
event loop, for a second each in turn. Overhead is the wrapped chain's quantile less the bare one's,
the median of all rounds: of the median, and of the 99th percentile; a figure is the worst of the
four ways. `direct` is the difference call by call in one thread, and `processor` that of its
processor time: what the work itself takes, whoever else uses the machine. Beside it stand redaction
alone, and mode shadow with a student in another process. Then calls are counted:
below the queue's bound all must be rows; above it (the store held by somebody else) what is shed
must be counted, and the rest must be rows. The last line is one JSON object:
{"p50_ms": .., "p99_ms": .., "lost_below_bound": 0}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

from .swap_app import SLOW, chain, student_elsewhere, wrapping
from .swap_losses import lost_below_bound, shed_above_bound
from .swap_timing import WAYS, direct, overhead, redaction_ms


def show(name: str, found: dict[str, float]) -> None:
    """One line of the table."""
    bare = f"{found['bare p50']:8.2f} {found['bare p99']:8.2f}" if "bare p50" in found else " " * 17
    print(f"{name:34} {bare} {found['p50']:+10.3f} {found['p99']:+10.3f}")


def main() -> None:
    """Measure, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few seconds of each")
    parser.add_argument("--seconds", type=int, help="of each way, bare and wrapped")
    options = parser.parse_args()
    rounds = options.seconds or (1 if options.quick else 20)
    worst = {"p50": -1e9, "p99": -1e9}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heads = (("bare p50", 8), ("p99", 8), ("p50 more", 10), ("p99 more", 10))
        print(f"{'ms, at 200 calls/s':34}", *(f"{head:>{width}}" for head, width in heads))
        for (way, drive), delay in itertools.product(WAYS.items(), (0.0, SLOW)):
            with wrapping(chain(delay), folder / f"{way}{delay}.db") as wrapped:
                found = overhead(chain(delay), wrapped, drive, rounds)
            show(f"record, {way}, model {1000 * delay:.0f} ms", found)
            worst = {p: max(worst[p], found[p]) for p in worst}
        with student_elsewhere() as student:
            for way, drive in WAYS.items():
                path, mode = folder / f"shadow {way}.db", {"student": student, "mode": "shadow"}
                with wrapping(chain(SLOW), path, **mode) as wrapped:
                    found = overhead(chain(SLOW), wrapped, drive, rounds)
                    left = wrapped.counts["uncompared"]
                show(f"shadow, {way}, model 20 ms", found)
                print(f"  {left:,} not shown to the student, which is in another process")
        for kind, gaps in direct(100 if options.quick else 2000, folder).items():
            show(f"record, {kind}, model 0 ms", gaps)
        print(f"redaction of 2,000 characters alone: {redaction_ms():.3f} ms")
        lost = lost_below_bound(folder, 400 if options.quick else 8000)
        _, uncounted = shed_above_bound(folder, *((400, 100) if options.quick else (4000, 1000)))
        print(f"lost and not counted above the bound: {uncounted}")
    figures = {"p50_ms": round(worst["p50"], 3), "p99_ms": round(worst["p99"], 3)}
    print(json.dumps({**figures, "lost_below_bound": lost + uncounted}))


if __name__ == "__main__":
    main()
