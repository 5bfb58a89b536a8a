"""Two processes write a store and are killed (SIGKILL) at random moments, again and again.

    python -m benchmarks.store_kill [--quick] [--kills N] [--seed N]

Each process commits records of its own run and then writes the number of each to a log. At a random
moment one of them, or both, are killed; `verify` checks the file, every row of the logs is looked
for while the survivor goes on, and the killed are started again. Every 30 kills a new file is
begun, so that checks stay quick. The last line is one JSON object: {"kills": .., "corrupt": ..,
"lost": ..}; exit status 1 where anything was corrupt or lost.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from understudy.store import Example, Run, Store, StoreError, example_id, run_id
from understudy.store.care import verify

ROWS = 20_000  # examples of a file; a new one is begun before a process has answered all
KILLS_OF_A_FILE = 30
LONGEST_WAIT = 0.4  # seconds between the first row after a start and the kill
WRITER = textwrap.dedent(
    """
    import sys, time
    from understudy.store import Record, Store

    path, run, log, lines = sys.argv[1:]
    ids = open(lines).read().split()
    with Store(path) as store, open(log, "ab", buffering=0) as told:
        first = told.tell() // 6
        for number in range(first, len(ids)):
            store.add_record(
                Record(
                    run=run,
                    example=ids[number],
                    reasoning=f"porque sim {number} " * 20,
                    answer={"f1": {"emocao": "Medo", "n": number}},
                    created="2026-01-01",
                )
            )
            told.write(b"%05d\\n" % number)  # whole or not at all: a row is said after its commit
            time.sleep(0.001)
    """
)


class Round:
    """One file, its two writers, and their logs of what they said to be written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        inputs = [{"x": f"a notícia número {number}"} for number in range(ROWS)]
        self.ids = [example_id(one) for one in inputs]
        (folder / "ids.txt").write_text("\n".join(self.ids))
        self.runs = [_run(name) for name in ("one", "two")]
        with Store(self.path) as store:
            for run in self.runs:
                store.start_run(run)
            store.add_examples(
                Example(id=id_, task="news", split="train", inputs=one)
                for id_, one in zip(self.ids, inputs, strict=True)
            )
        self.logs = [folder / f"{run.name}.log" for run in self.runs]
        self.processes = [self._start(which) for which in (0, 1)]

    def _start(self, which: int) -> subprocess.Popen[bytes]:
        log = self.logs[which]
        log.touch()
        files = (self.path, self.runs[which].id, log, self.path.with_name("ids.txt"))
        return subprocess.Popen([sys.executable, "-c", WRITER, *files])

    def wait_for_rows(self, sizes: list[int]) -> None:
        """Until both have written a row since their logs had these sizes: they are at work."""
        deadline = time.monotonic() + 60
        while any(log.stat().st_size <= size for log, size in zip(self.logs, sizes, strict=True)):
            if time.monotonic() > deadline or any(p.poll() is not None for p in self.processes):
                sys.exit("a writer ended, or wrote nothing for a minute")
            time.sleep(0.002)

    def sizes(self) -> list[int]:
        """How much each has said."""
        return [log.stat().st_size for log in self.logs]

    def kill(self, which: list[int]) -> None:
        """SIGKILL, and wait until they are gone."""
        for number in which:
            self.processes[number].kill()
        for number in which:
            self.processes[number].wait()

    def start_again(self, which: list[int]) -> None:
        """Start the killed; they go on where their logs end."""
        for number in which:
            self.processes[number] = self._start(number)

    def check(self) -> tuple[list[str], int]:
        """What is wrong with the file, and how many rows that were said to be written are lost."""
        said = [log.read_bytes().split(b"\n")[:-1] for log in self.logs]  # read before the store
        try:
            with Store(self.path, read_only=True) as store:
                problems = verify(store)
                kept = [store.answered(run.id) for run in self.runs]
        except StoreError as error:
            return [str(error)], 0
        pairs = zip(said, kept, strict=True)
        return problems, sum(self.ids[int(n)] not in rows for told, rows in pairs for n in told)


def _run(name: str) -> Run:
    identity = dict.fromkeys(("model", "strategy", "target", "words", "answers"), name)
    facts = {"task": "news", "role": "student", "parameters": {}, **identity}
    return Run(id=run_id(**facts), name=name, started="2026-01-01", **facts)


def main() -> None:
    """Parse, kill, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="10 kills")
    parser.add_argument("--kills", type=int, help="default 300")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked = parser.parse_args()
    kills = asked.kills or (10 if asked.quick else 300)
    rng = random.Random(asked.seed)
    done = corrupt = lost = rows = 0
    while done < kills:
        with tempfile.TemporaryDirectory() as folder:
            figures = _round(Path(folder), rng, min(kills - done, KILLS_OF_A_FILE))
        done, corrupt, lost, rows = (
            a + b for a, b in zip((done, corrupt, lost, rows), figures, strict=True)
        )
        print(f"{done} kills, {rows:,} rows said to be written, {corrupt} corrupt, {lost} lost")
    print(json.dumps({"kills": done, "corrupt": corrupt, "lost": lost}))
    if corrupt or lost:
        sys.exit(1)


def _round(folder: Path, rng: random.Random, kills: int) -> tuple[int, int, int, int]:
    """Kills, files found corrupt, rows lost, rows said to be written, of one file."""
    corrupt = lost = done = 0
    one = Round(folder)
    sizes = [0, 0]
    try:
        while done < kills and max(sizes) < 0.8 * 6 * ROWS:
            one.wait_for_rows(sizes)
            time.sleep(rng.uniform(0, LONGEST_WAIT))
            which = rng.choice([[0], [1], [0, 1]])
            one.kill(which)
            done += 1
            problems, missing = one.check()
            for problem in problems:
                print(f"after {done} kills: {problem}")
            corrupt += bool(problems)
            lost += missing
            sizes = one.sizes()
            one.start_again(which)
    finally:
        one.kill([0, 1])
    return done, corrupt, lost, sum(one.sizes()) // 6


if __name__ == "__main__":
    main()
