"""A Report as GitHub's Markdown, short enough for the comment of a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..evaluation.results import Report, ShownRow
from .bounded import Bounds, bounded, clipped
from .browser import leaves, paths_of
from .html import QUESTION, date
from .parts import Cell, Fold, Part, Said, Section, Table, Title
from .sections import closing, hero, sections

LONGEST = 58_000  # characters; GitHub takes 65,536 of a comment
SHOWN_ROWS = 5
BOUNDS = Bounds(text=2_000, many=5_000, rows=0, row_text=600)

# Everything that starts inline markup in CommonMark or GitHub's dialect, and "://" and "www.",
# which GitHub turns into links.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|#!~$&@^]|(?<=\w):(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_BLOCK_START = re.compile(r"^([-+=]|\d+(?=[.)](?:\s|$)))")


def render_markdown(result: Report) -> str:
    """The sentences and tables of the page, verdict first; what is too long is left out whole."""
    cut, _ = bounded(result, BOUNDS)
    blocks = list(_blocks(cut, result.rows.rows[:SHOWN_ROWS]))
    places: set[int] = set()
    size = 0
    for place in sorted(range(len(blocks)), key=lambda n: (blocks[n][0], n)):
        if size + len(blocks[place][1]) + 2 <= LONGEST:
            places.add(place)
            size += len(blocks[place][1]) + 2
    kept = [text for place, (_, text) in enumerate(blocks) if place in places and text]
    left = len(blocks) - len(places)
    if left:
        parts = f"{left:,} part{'s' if left != 1 else ''}"
        kept.append(f"Left out, to be short enough: {parts}. report.html has the whole.")
    return "\n\n".join(kept) + "\n"


def _blocks(result: Report, rows: Sequence[ShownRow]) -> Iterator[tuple[int, str]]:
    """(rank, Markdown) in order; what has a higher rank is the first to be left out."""
    yield from ((0, block) for block in _answer(result))
    for section in sections(result):
        yield from _section(section)
    yield from ((2, block) for block in _rows(result, rows))
    for section in closing(result):
        yield from _section(section)
    yield 0, escaped(f"Written {date(result.created)}." if result.created else "")


def _answer(result: Report) -> Iterator[str]:
    found = hero(result)
    yield f"# {escaped(result.task)}: {QUESTION}"
    yield f"**{found.symbol} {escaped(found.word.capitalize())}.** {escaped(found.about)}"
    if found.answer and found.answer != found.about:
        yield escaped(found.answer)
    if found.numbers:
        yield _table(_numbers(found.numbers))
    yield from (escaped(said) for said in (found.sure, found.best) if said)
    if found.elsewhere:
        yield "\n".join(f"- {symbol} {escaped(said)}" for symbol, said in found.elsewhere)
    if found.warning:
        yield f"> {escaped(found.warning)}"
    if found.table:
        yield _table(found.table)
    systems, splits = len(result.systems), len(result.splits)
    yield f"{_many(systems, 'system')} on {_many(splits, 'held-out split')}."


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def _numbers(numbers: Iterable[tuple[str, str, str]]) -> Table:
    rows = tuple((Cell(text=name), Cell(text=f"{value} {more}")) for name, value, more in numbers)
    return Table(caption="", heads=(Cell(text=""), Cell(text="")), rows=rows, prose=True)


def _section(section: Section) -> Iterator[tuple[int, str]]:
    aside = f" ({escaped(section.aside)})" if section.aside else ""
    yield 1, f"## {escaped(section.title)}{aside}"
    for part in section.parts:
        spare = isinstance(part, Fold) and not part.needed
        rank = 4 if spare else 3 if section.folded else 1
        yield from ((rank, block) for block in _part(part))


def _part(part: Part) -> Iterator[str]:
    """Charts are left out: their figures stand in the tables."""
    if isinstance(part, Said):
        yield _said(part)
    elif isinstance(part, Table):
        yield _table(part)
    elif isinstance(part, Title):
        yield f"### {escaped(part.text)}"
    elif isinstance(part, Fold):
        inside = [block for inner in part.parts for block in _part(inner)]
        body = "\n\n".join(inside)
        yield f"<details><summary>{_plain_html(part.summary)}</summary>\n\n{body}\n\n</details>"


def _said(part: Said) -> str:
    if part.code:
        return "\n".join(f"- {_code(item)}" for item in part.items)
    lines = [escaped(part.text)] if part.text else []
    return "\n".join([*lines, *(f"- {escaped(item)}" for item in part.items)])


def _rows(result: Report, rows: Sequence[ShownRow]) -> Iterator[str]:
    if not rows:
        return
    yield "## Rows"
    yield (
        f"{len(rows):,} of {result.rows.total:,} rows; report.html has a browser of more. "
        "≠ marks what is not as in gold."
    )
    for row in rows:
        inputs = (row.inputs or {}).items()
        lines = [f"- {escaped(name)}: {escaped(clipped(text, 600))}" for name, text in inputs]
        reasonings = [
            f"- Reasoning of {escaped(name)}: {escaped(clipped(text, 600))}"
            for name, text in (row.reasonings or {}).items()
        ]
        head = f"### {escaped(row.split)}: row {escaped(row.example)} ({row.why})"
        blocks = [head, "\n".join(lines), _table(_answers(row)), "\n".join(reasonings)]
        yield "\n\n".join(filter(None, blocks))


def _answers(row: ShownRow) -> Table:
    gold = leaves(row.gold)
    flat = {name: leaves(answer) for name, answer in row.answers.items()}
    rows = []
    for path in paths_of(row)[:40] or [""]:
        expected = gold.get(path)
        given = [_given(row, name, one.get(path), expected) for name, one in flat.items()]
        cells = (expected if expected is not None else "–", *given)
        rows.append((Cell(text=path or "answer"), *(Cell(text=clipped(c, 300)) for c in cells)))
    heads = (Cell(text="Path"), Cell(text="Gold"), *(Cell(text=name) for name in flat))
    return Table(caption="", heads=heads, rows=tuple(rows), prose=True)


def _given(row: ShownRow, name: str, value: str | None, gold: str | None) -> str:
    if row.answers[name] is None:
        return "no answer"
    if value is None:
        return "–"
    return f"≠ {value}" if gold is not None and value != gold else value


def _table(table: Table) -> str:
    lines = [[_cell(head) for head in table.heads]]
    lines.append(["---", *("---" if table.prose else "--:" for _ in table.heads[1:])])
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{escaped(table.caption)}\n\n{body}" if table.caption else body


def _cell(cell: Cell) -> str:
    note = cell.note if not cell.note or cell.note.startswith("[") else f"({cell.note})"
    return " ".join(word for word in (_inline(cell.text), note) if word)


def escaped(text: str) -> str:
    """Text of any origin as one line of Markdown that shows exactly this text."""
    return _BLOCK_START.sub(lambda start: _block_escape(start[0]), _inline(text))


def _inline(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _block_escape(start: str) -> str:
    return f"{start}\\" if start[0].isdigit() else f"\\{start}"


def _code(text: str) -> str:
    """A command as code: the fence is longer than any run of backticks in it."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _plain_html(text: str) -> str:
    """Text inside a line of HTML within Markdown: no tag, no markup, no link."""
    from html import escape

    line = escape(" ".join(text.split()))
    return re.sub(r"[\\`*_{}\[\]|#!~$@^:.]", lambda c: f"&#{ord(c[0])};", line)
