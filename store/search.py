"""Full text over the inputs of examples and the reasonings of records: best match first."""

from __future__ import annotations

from typing import Literal

from .connection import StoreError
from .rows import Row
from .store import Store

MOST_WORDS = 64  # FTS5 refuses an expression that is much longer
_FOUND = """
select '{where}' as "where", e.task, e.split, e.id as example, {record}, f.rank as score,
snippet({table}, 0, '[', ']', '…', 16) as snippet
from {table} f {joins} where {table} match :asked and (:task is null or e.task = :task)
order by f.rank limit :limit
"""
_INPUTS = _FOUND.format(
    where="inputs",
    table="examples_fts",
    record="null as number, null as run",
    joins="join examples e on e.position = f.rowid",
)
_REASONINGS = _FOUND.format(
    where="reasoning",
    table="records_fts",
    record="r.number, u.id as run",
    joins="join records r on r.number = f.rowid join examples e on e.position = r.example "
    "join runs u on u.position = r.run",
)


class Found(Row):
    """A text that holds the words: an example's inputs, or the reasoning of record `number`.

    `snippet` is the part around them, with the words in square brackets. `score` is bm25 as FTS5
    gives it: the lower, the better the match.
    """

    where: Literal["inputs", "reasoning"]
    task: str
    split: str
    example: str
    run: str | None
    number: int | None
    score: float
    snippet: str


def search(store: Store, text: str, *, task: str | None = None, limit: int = 20) -> list[Found]:
    """The texts that hold every word of `text` (of one task), at most `limit`, best first.

    Case and accents make no difference; a word that ends in `*` stands for all that begin so.
    Nothing else in `text` has a meaning. Raises StoreError where there is no word in it.
    """
    values = {"asked": match_expression(text), "task": task, "limit": max(1, limit)}
    found = [
        Found(**dict(row))
        for statement in (_INPUTS, _REASONINGS)
        for row in store.connection.read(statement, **values)
    ]
    return sorted(found, key=lambda one: one.score)[: max(1, limit)]


def match_expression(text: str) -> str:
    """The words as FTS5 asks for them, each quoted. Raises StoreError where there is none."""
    plain = text.encode("utf-8", errors="replace").decode("utf-8").replace("\0", " ")
    words = [word for word in plain.split() if any(map(str.isalnum, word))]
    if not words:
        raise StoreError("there is no word to search for; give letters or digits")
    if len(words) > MOST_WORDS:
        raise StoreError(f"{len(words)} words are too many to search for; give {MOST_WORDS}")
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    begins = word.endswith("*")
    quoted = word.rstrip("*").replace('"', '""')
    return f'"{quoted}"*' if begins else f'"{quoted}"'
