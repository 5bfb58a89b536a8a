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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

FILES, QUICK = 5000, 200
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", '=cmd|"/C calc"!A0')
WORDS = ("olá", "mundo", "a,b", 'say "hi"', "line\nend", "é\u2028x", "🙂", "\u202eabc", "0", "[1]")


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
                _damage(chance, path)
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


# Whole files


def _rows(chance: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "text": f"{chance.choice((*FORMULAS, *WORDS))} {chance.choice(WORDS)} {place}",
            "mood": chance.choice((*WORDS, *FORMULAS)),
            "size": chance.randrange(100),
        }
        for place in range(chance.randint(1, 25))
    ]


def _csv(chance: random.Random, path: Path) -> Path:
    path = path.with_suffix(".csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "mood", "size"], delimiter=chance.choice(",;\t"))
        writer.writeheader()
        writer.writerows(_rows(chance))
    return path


def _jsonl(chance: random.Random, path: Path) -> Path:
    return _lines(path, _rows(chance))


def _json(chance: random.Random, path: Path) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps(_rows(chance), indent=chance.choice((None, 1))), encoding="utf-8")
    return path


def _parquet(chance: random.Random, path: Path) -> Path:
    import pyarrow.parquet

    path = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(_rows(chance)), path)
    return path


def _folder(chance: random.Random, path: Path) -> Path:
    import datasets

    data = datasets.Dataset.from_list(_rows(chance))
    kept = datasets.DatasetDict(train=data) if chance.random() < 0.5 else data
    kept.save_to_disk(str(path))
    return path


def _openai(chance: random.Random, path: Path) -> Path:
    return _lines(path, [{"messages": [*_asked(row), _said(row)]} for row in _rows(chance)])


def _completions(chance: random.Random, path: Path) -> Path:
    return _lines(
        path,
        [
            {"model": "m", "messages": _asked(row), "choices": [{"message": _said(row)}]}
            for row in _rows(chance)
        ],
    )


def _langsmith(chance: random.Random, path: Path) -> Path:
    return _lines(
        path,
        [
            {
                "run_type": chance.choice(("chain", "llm")),
                "inputs": {"text": row["text"]},
                "outputs": {"output": _answer(row)},
            }
            for row in _rows(chance)
        ],
    )


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {"mood": row["mood"], "size": row["size"]}


def _asked(row: dict[str, Any]) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Text: {row['text']}"}]


def _said(row: dict[str, Any]) -> dict[str, str]:
    return {"role": "assistant", "content": json.dumps(_answer(row), ensure_ascii=False)}


def _lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8"
    )
    return path


MAKERS: dict[str, Callable[[random.Random, Path], Path]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "json": _json,
    "parquet": _parquet,
    "datasets": _folder,
    "openai": _openai,
    "completions": _completions,
    "langsmith": _langsmith,
}


# What breaks them


def _damage(chance: random.Random, path: Path) -> None:
    if path.is_dir():
        path = chance.choice(sorted(file for file in path.rglob("*") if file.is_file()))
    path.write_bytes(chance.choice(DAMAGES)(chance, path.read_bytes()))


def _inserted(chance: random.Random, data: bytes, piece: bytes) -> bytes:
    place = chance.randint(0, len(data))
    return data[:place] + piece + data[place:]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randint(0, len(data))]


def _changed(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8) if data else 0):
        changed[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(changed)


def _encoded(chance: random.Random, data: bytes) -> bytes:
    codes = ("latin-1", "utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig", "utf-7", "cp037")
    return data.decode("utf-8", "replace").encode(chance.choice(codes), "replace")


def _mixed_ends(chance: random.Random, data: bytes) -> bytes:
    ends = (b"\n", b"\r\n", b"\r", b"\n\n", b"\x85", b"\x0b")
    return b"".join(line + chance.choice(ends) for line in data.split(b"\n"))


def _nuls(chance: random.Random, data: bytes) -> bytes:
    return _inserted(chance, data, b"\0" * chance.choice((1, 2, 1000)))


def _huge(chance: random.Random, data: bytes) -> bytes:
    return _inserted(chance, data, chance.choice((b"x", b"\n", b'"', b",")) * 300_000)


def _twice(chance: random.Random, data: bytes) -> bytes:
    names = (b"text", b"mood", b"size", b"messages", b"inputs")
    return data.replace(chance.choice(names), chance.choice(names), chance.choice((1, 1, 1000)))


def _deep(chance: random.Random, data: bytes) -> bytes:
    piece = chance.choice((b"[", b'{"a":', b'[{"gold":', b'"', b"{"))
    return _inserted(chance, data, piece * chance.choice((1, 60, 900, 5000)))


def _odd_json(chance: random.Random, data: bytes) -> bytes:
    odd = (b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\\ud83d"', b'"\\u0000"', b"null", b"[]")
    places = [place for place, byte in enumerate(data) if chr(byte) in '0123456789:"'] or [0]
    place = chance.choice(places)
    return data[:place] + chance.choice(odd) + data[place + 1 :]


def _odd_value(chance: random.Random, data: bytes) -> bytes:
    odd = (b'{"content": ', b'["', b"\\ud83d", b"\\u0000", b'"', b"\\", b"}", b"{}", b"null")
    return _inserted(chance, data, chance.choice(odd))


def _moved(chance: random.Random, data: bytes) -> bytes:
    first, second = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    middle = data[first:second]
    return data[:first] + middle * chance.choice((0, 2, 3)) + data[second:]


def _blank(chance: random.Random, data: bytes) -> bytes:
    return chance.choice((b"", b" \n", b"\xef\xbb\xbf", b"\n\n\n", b"PAR1", b"\0"))


DAMAGES = (
    _cut,
    _cut,
    _changed,
    _changed,
    _encoded,
    _mixed_ends,
    _nuls,
    _huge,
    _twice,
    _deep,
    _odd_json,
    _odd_json,
    _odd_value,
    _odd_value,
    _moved,
    _blank,
)

if __name__ == "__main__":
    main()
