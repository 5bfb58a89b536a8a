"""Files as people import them, seeded, and the ways in which files break."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", '=cmd|"/C calc"!A0')
WORDS = ("olá", "mundo", "a,b", 'say "hi"', "line\nend", "é\u2028x", "🙂", "\u202eabc", "0", "[1]")


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


def damage(chance: random.Random, path: Path) -> None:
    """Break the file, or one of the folder's, in one way of DAMAGES."""
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
