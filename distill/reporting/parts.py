"""What a page is made of, as data, so that HTML and Markdown show the same figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...store.rows import Score
from .figures import UNSCORED, interval, known

ROLES = ("teacher", "student", "base", "baseline")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`text`, `title` and `role` may come from data; `note` holds figures and our own words only.

    `role` names and colours a system's role, `share` (0 to 1) shades a cell, `right` marks the
    diagonal of a confusion matrix.
    """

    text: str
    note: str = ""
    title: str = ""
    role: str = ""
    share: float | None = None
    right: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Headings and rows of equal length; the first cell of a row names it."""

    caption: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: bool = False


@dataclass(frozen=True, kw_only=True)
class Said:
    """A sentence, or several as a list; `quiet` is set in small print, `code` as commands."""

    text: str = ""
    items: tuple[str, ...] = ()
    quiet: bool = False
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart: `draw` gives it as SVG, None where there is nothing to draw; Markdown draws none.

    `wide` asks for the whole width.
    """

    draw: Callable[[], str | None]
    caption: str
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Charts side by side where there is room."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Title:
    """A heading within a section."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Parts behind a summary; `needed` ones stay in a Markdown that is short of room."""

    summary: str
    parts: tuple[Part, ...]
    needed: bool = False


Part = Said | Table | Picture | Gallery | Title | Fold


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section: `id` is our own word, `short` its name in the contents."""

    id: str
    short: str
    title: str
    aside: str = ""
    folded: bool = False
    parts: tuple[Part, ...] = ()


def unscored(why: str = "unscored") -> Cell:
    """A dash, which is not 0."""
    return Cell(text=UNSCORED, title=why)


def figure(value: float | None, write: Callable[[float], str]) -> Cell:
    """A number, or a dash where it is not known."""
    return Cell(text=write(value)) if known(value) else unscored("unscored: not known")


def scored(score: Score | None, write: Callable[[float], str], *, count: bool = False) -> Cell:
    """A score with its interval, and n where asked."""
    if score is None or not known(score.value):
        return unscored()
    note = interval(score, write) + (f" n {score.n:,}" if count else "")
    return Cell(text=write(score.value), note=note.strip())


def score_column(
    head: str, scores: Sequence[Score | None], write: Callable[[float], str]
) -> tuple[Cell, list[Cell]]:
    """A column of scores; n stands in its heading where all share it, else beside each figure."""
    counts = {s.n for s in scores if s is not None and known(s.value)}
    shared = len(counts) == 1
    note = f"n {counts.pop():,}" if shared else ""
    return Cell(text=head, note=note), [scored(s, write, count=not shared) for s in scores]


def columns_table(
    caption: str,
    names: tuple[Cell, Iterable[Cell]],
    columns: Iterable[tuple[Cell, Iterable[Cell]]],
    *,
    prose: bool = False,
) -> Table:
    """A table out of columns; those in which nothing is known are left out."""
    kept = [(head, list(cells)) for head, cells in columns]
    every = [(names[0], list(names[1]))]
    every += [(head, cells) for head, cells in kept if any(c.text != UNSCORED for c in cells)]
    rows = tuple(zip(*(cells for _, cells in every), strict=True))
    return Table(caption=caption, heads=tuple(head for head, _ in every), rows=rows, prose=prose)


def pairs_table(caption: str, heads: tuple[str, str], pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and values in two columns."""
    rows = tuple((Cell(text=name), Cell(text=value)) for name, value in pairs)
    return Table(
        caption=caption, heads=(Cell(text=heads[0]), Cell(text=heads[1])), rows=rows, prose=True
    )
