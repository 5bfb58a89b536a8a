"""Full text over the inputs of examples and the reasonings of records: best match first."""

from __future__ import annotations

from typing import Literal

from .connection import StoreError
from .rows import Row
from .store import Store

MOST_WORDS = 64  # FTS5 refuses an expression that is much longer
RANKED = 2000  # a word that more texts hold does not rank: bm25 would go through them all
_PLACES = {
    "inputs": (
        "examples_fts",
        "null as number, null as run",
        "join examples e on e.position = f.rowid",
    ),
    "reasoning": (
        "records_fts",
        "r.number, u.id as run",
        "join records r on r.number = f.rowid join examples e on e.position = r.example "
        "join runs u on u.position = r.run",
    ),
}


class Found(Row):
    """A text that holds the words: an example's inputs, or the reasoning of record `number`.

    `snippet` is the part around them, with the words in square brackets. `score` is bm25 as FTS5
    gives it for the words that rank: the lower, the better the match; 0 where none ranks.
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
    Nothing else in `text` has a meaning. Words that more than RANKED texts hold say little and do
    not rank; where there are no others, the newest texts come first. Raises StoreError where there
    is no word in `text`.
    """
    words = match_expressions(text)
    found = [
        (one.score, place, one)
        for where in _PLACES
        for place, one in enumerate(_found(store, where, words, task, max(1, limit)))
    ]
    found.sort(key=lambda ranked: ranked[:2])
    return [one for _, _, one in found[: max(1, limit)]]


def statement_for(where: str, *, rank: bool, narrow: bool) -> str:
    """The SQL for one place: ordered by rank or newest first; narrowed to where all words are."""
    table, record, joins = _PLACES[where]
    score, order = ("f.rank", "f.rank") if rank else ("0.0", "f.rowid desc")
    narrowed = f"and +f.rowid in (select rowid from {table} where {table} match :all)"
    return (
        f"select '{where}' as \"where\", e.task, e.split, e.id as example, {record}, "
        f"{score} as score, snippet({table}, 0, '[', ']', '…', 16) as snippet "
        f"from {table} f {joins} where {table} match :asked {narrowed if narrow else ''} "
        f"and (:task is null or e.task = :task) order by {order} limit :limit"
    )


def _found(store: Store, where: str, words: list[str], task: str | None, limit: int) -> list[Found]:
    """What one place has, in its order."""
    ranking = [word for word in words if not _common(store, where, word)]
    statement = statement_for(where, rank=bool(ranking), narrow=bool(ranking) and ranking != words)
    rows = store.connection.read(
        statement,
        asked=" ".join(ranking or words),
        all=" ".join(words),
        task=task,
        limit=limit,
    )
    return [Found(**dict(row)) for row in rows]


def _common(store: Store, where: str, word: str) -> bool:
    """Whether more than RANKED texts hold the word."""
    table = _PLACES[where][0]
    (row,) = store.connection.read(
        f"select count(*) as n from (select 1 from {table} where {table} match :word limit :most)",
        word=word,
        most=RANKED + 1,
    )
    return bool(row["n"] > RANKED)


def match_expressions(text: str) -> list[str]:
    """The words as FTS5 asks for them, each quoted. Raises StoreError where there is none."""
    plain = text.encode("utf-8", errors="replace").decode("utf-8").replace("\0", " ")
    words = [word for word in plain.split() if any(map(str.isalnum, word))]
    if not words:
        raise StoreError("there is no word to search for; give letters or digits")
    if len(words) > MOST_WORDS:
        raise StoreError(f"{len(words)} words are too many to search for; give {MOST_WORDS}")
    return list(map(_quoted, words))


def _quoted(word: str) -> str:
    begins = word.endswith("*")
    quoted = word.rstrip("*").replace('"', '""')
    return f'"{quoted}"*' if begins else f'"{quoted}"'
