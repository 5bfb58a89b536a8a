"""Traces of a text in a store's files: pieces of it are looked for, byte by byte."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from .connection import StoreError
from .schema import tables
from .store import Store

PIECE = 24  # characters of a text that are looked for at once
_APART = 400  # characters between two pieces: each page of 4 KiB holds one whole
_SHORTEST = 8  # characters of a text that says something
_MOST = 400  # pieces in all
_BLOCK = 2**24  # bytes that are read at once
_MOST_BYTES = 40 * 2**30  # that are read for them, some 20 s: fewer pieces for a large file


def probes_of(texts: Sequence[str], *, size: int = 0) -> list[str]:
    """Pieces of the texts that are to be looked for in a file of `size` bytes: of each text's
    beginning and then of every 400 characters, as they stand in a text and in JSON; at most 400,
    spread over all texts."""
    pieces: dict[str, None] = {}
    for text in texts:
        for start in range(0, max(1, len(text) - PIECE // 2), _APART):
            piece = text[start : start + PIECE]
            if len(piece.strip()) >= _SHORTEST:
                pieces[piece] = pieces[json.dumps(piece, ensure_ascii=False)[1:-1]] = None
    found = list(pieces)
    most = max(20, min(_MOST, _MOST_BYTES // max(1, size)))
    step = max(1, -(-len(found) // most))
    return found[::step]


def look_for(store: Store, probes: Sequence[str]) -> tuple[str, ...]:
    """Where a piece still stands in rows of the store, a line for each table and column.

    Raises StoreError where a file of the store holds a piece that no row holds.
    """
    if store.path == ":memory:":
        return ()
    ends = ("", "-wal", "-shm", "-journal")
    files = [path for end in ends if (path := Path(f"{store.path}{end}")).exists()]
    there = set().union(*(_in_file(path, probes) for path in files))
    found = [probe for probe in probes if probe in there]
    left: dict[str, int] = {}
    for probe in found:
        rows = _in_rows(store, probe)
        if not rows:
            raise StoreError(
                f"{store.path}: a piece of a forgotten text still stands in the file; run the same "
                "command again when nobody else has the store open"
            )
        for place, count in rows.items():
            left[place] = max(count, left.get(place, 0))
    return tuple(f"{count} rows of {place}" for place, count in left.items())


_OPEN: dict[tuple[int, int], FileIO] = {}  # by device and inode


def _opened(path: Path) -> FileIO:
    """The file, which stays open: closing it would take back every lock that this process's
    connections hold on it (https://sqlite.org/howtocorrupt.html, 2.2). Once for each file."""
    found = path.stat()
    key = (found.st_dev, found.st_ino)
    file = _OPEN.get(key) or FileIO(path)
    if os.name == "posix":  # elsewhere locks are a handle's, and an open file cannot be deleted
        _OPEN[key] = file
    return file


def _in_file(path: Path, probes: Sequence[str]) -> set[str]:
    """The pieces that stand in the file."""
    file, pieces = _opened(path), {probe: probe.encode() for probe in probes}
    there: set[str] = set()
    step = _BLOCK - max(map(len, pieces.values()), default=0)  # blocks overlap by a piece
    for start in range(0, path.stat().st_size, step):
        file.seek(start)
        block = file.read(_BLOCK)
        there |= {probe for probe, piece in pieces.items() if probe not in there and piece in block}
    return there


def _in_rows(store: Store, probe: str) -> dict[str, int]:
    """Per table and column how many rows hold the piece."""
    counts = {}
    with store.connection.bare() as connection:
        for table in sorted(tables(connection)):
            if "_fts" in table:
                continue
            for column in connection.execute(f'pragma table_info("{table}")').fetchall():
                if column["type"].lower() != "text":
                    continue
                select = f'select count(*) from "{table}" where instr("{column["name"]}", ?)'
                (count,) = connection.execute(select, (probe,)).fetchone()
                if count:
                    counts[f"{table}.{column['name']}"] = int(count)
    return counts
