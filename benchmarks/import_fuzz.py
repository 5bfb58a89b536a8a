"""Broken files into a real store: never a traceback, never half of a file.

    python -m benchmarks.import_fuzz [--quick]

Seeded files of every kind that `understudy import` reads (CSV, JSONL, JSON, Parquet, datasets
folders, OpenAI fine-tuning, stored completions, LangSmith runs) are broken: cut short, in other
encodings, with mixed line ends, NULs, bytes changed, huge fields, headers that repeat, deep
nesting, JSON that is none. Each is imported into one real store file, for a task of its own.
Anything raised but a StoreError or TaskError of one line is a traceback. After a refused file the
store must hold what it held before; after one that was accepted, exactly the rows that a second
reading of the file finds usable; anything else is a half import. Accepted answers are exported as
CSV and read back: a cell that begins as a formula, or a loss, counts as a traceback, too. The last
line is one JSON object: {"files": .., "tracebacks": .., "half_imports": ..}.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from understudy.chains.task import Task, TaskError
from understudy.distill.chats import recorded_in
from understudy.distill.importing import import_recordings, import_rows
from understudy.store import Store, StoreError
from understudy.store.columns import RefusedRow
from understudy.store.exchange import examples_from, read_rows, recorded_rows
from understudy.store.export import export_run
from understudy.store.providers import PROVIDERS, provider_rows, said_in

from .broken_files import MAKERS, damage

FILES, QUICK = 5000, 200


class Mood(BaseModel):
    """The answer that the files are about."""

    mood: str
    size: int


@dataclass
class Tally:
    """What happened to the files; `faults` are the first few in words."""

    files: int = 0
    accepted: int = 0
    exported: int = 0
    tracebacks: int = 0
    half_imports: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, kind: str, words: str) -> None:
        """Count one of what must not happen."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.faults) < 10:
            self.faults.append(words)


def main() -> None:
    """Parse, break and import, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} files")
    files = QUICK if parser.parse_args().quick else FILES
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzz(Path(folder), files=files)
    for kind, count in sorted(tally.kinds.items()):
        print(f"{kind:12} {count:6} files")
    print(f"{'accepted':12} {tally.accepted:6}, {tally.exported} exported and read back")
    print(f"{'refused':12} {tally.refusals.total():6}, most often:")
    for reason, count in tally.refusals.most_common(10):
        print(f"{count:19}  {reason}")
    for fault in tally.faults:
        print(fault)
    figures = {name: getattr(tally, name) for name in ("files", "tracebacks", "half_imports")}
    print(json.dumps(figures))


def fuzz(folder: Path, *, files: int, seed: int = 0) -> Tally:
    """Import `files` broken files into a store in `folder`."""
    import datasets

    datasets.disable_progress_bars()
    tally = Tally()
    with Store(folder / "fuzz.db") as store:
        for number in range(files):
            chance = random.Random(seed * 1_000_003 + number)
            kind = chance.choice(sorted(MAKERS))
            path = MAKERS[kind](chance, folder / f"file{number}")
            for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
                damage(chance, path)
            tally.files += 1
            tally.kinds[kind] += 1
            _import_one(store, tally, _task(number), path, kind)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return tally


def _task(number: int) -> Task:
    prompt = ChatPromptTemplate.from_messages([("human", "Text: {text}")])
    return Task(name=f"fuzz{number}", schema=Mood, prompt=prompt)


def _import_one(store: Store, tally: Tally, task: Task, path: Path, kind: str) -> None:
    before = _held(store)
    try:
        if kind in PROVIDERS:
            import_recordings(store, task, path, format=kind)
        else:
            import_rows(store, task, path)
    except (StoreError, TaskError) as error:
        tally.refusals[_reason(str(error), path)] += 1
        if "\n" in str(error):
            tally.fault("tracebacks", f"{path.name}: several lines: {error}")
        whole = _held(store) == before
    except Exception as error:  # noqa: BLE001 - this is what is counted
        trace = "".join(traceback.format_exception(error)[-3:])
        tally.fault("tracebacks", f"{path.name} ({kind}): {trace}")
        whole = _held(store) == before
    else:
        tally.accepted += 1
        whole = _is_whole(store, before, task, path, kind)
        if kind in PROVIDERS:
            _export(store, tally, task, path)
    if not whole:
        tally.fault("half_imports", f"{path.name} ({kind}): the store holds another number of rows")


def _reason(error: str, path: Path) -> str:
    return error.replace(str(path), "").lstrip(":, ")[:60].encode("ascii", "replace").decode()


def _held(store: Store) -> dict[str, int]:
    """How many rows each table holds."""
    tables = ("examples", "runs", "records")
    return {t: store.connection.read(f"select count(*) as n from {t}")[0]["n"] for t in tables}


def _is_whole(store: Store, before: dict[str, int], task: Task, path: Path, kind: str) -> bool:
    """Whether the store holds exactly the file's usable rows more than before."""
    usable = list(dict.fromkeys(_usable(task, path, kind)))
    runs = int(kind in PROVIDERS)
    more = {"examples": len(usable), "runs": runs, "records": runs * len(usable)}
    return [example.id for example in store.examples(task.name)] == usable and _held(store) == {
        table: count + more[table] for table, count in before.items()
    }


def _usable(task: Task, path: Path, kind: str) -> Iterator[str]:
    """The ids of the rows that can be used, in the file's order, without any store."""
    if kind not in PROVIDERS:
        names = {"task": task.name, "inputs": task.inputs, "gold_paths": task.paths}
        found = examples_from(read_rows(path), **names, labels=task.labels)  # type: ignore[arg-type]
        yield from (example.id for example in found.examples)
        return
    for _, row in provider_rows(path):
        try:
            yield recorded_in(task, said_in(row, kind))[0].id
        except RefusedRow:
            continue


def _export(store: Store, tally: Tally, task: Task, path: Path) -> None:
    """The file's answers as CSV: no formula, and nothing lost."""
    (run,) = store.runs(task.name)
    out = path.with_name(f"{path.name}.out.csv")
    tally.exported += 1
    export_run(store, run.id, out, format="csv")
    with out.open(encoding="utf-8", newline="") as file:
        formulas = [c for row in csv.reader(file) for c in row if c[:1] in tuple("=+-@\t\r")]
    back = {
        example: {name: value for name, value in fields.items() if name != "created"}
        for example, fields in (
            (example.id, fields)
            for example, fields in recorded_rows(out, task=task.name, inputs=task.inputs)
        )
    }
    for example, record in store.iter_pairs(run.id):
        known = record.model_dump(exclude={"run", "example", "created"}, exclude_none=True)
        if back.get(example.id) != known:
            formulas.append(f"{known} came back as {back.get(example.id)}")
    if formulas:
        tally.fault("tracebacks", f"{path.name}: exported {formulas[0][:300]!r}")
    out.unlink()


if __name__ == "__main__":
    main()
