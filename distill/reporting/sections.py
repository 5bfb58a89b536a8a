"""A Report as sections of sentences, tables and charts, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..evaluation.first_screen import EMBEDDED_NOTE
from ..evaluation.results import Dividend, Report, SplitNote, SwapVerdict
from ..evaluation.verdicts import said_needed
from . import charts, curves, detail_tables, line_charts, split_parts, tables
from .figures import interval, known, percent, points
from .parts import Gallery, Part, Picture, Said, Section, Table, Title
from .parts import pairs_table as pairs
from .selection import best_of, in_parts, left_out, main_verdict, rivals

SYMBOLS = {"supported": "✓", "not supported": "✕", "not enough rows": "?", "not measurable": "–"}
MOST_FOLDED = 12  # sections of splits; the others are in report.json
MOST_CURVES = 8


@dataclass(frozen=True, kw_only=True)
class Hero:
    """The first screen: the verdict, the numbers that carry it, how sure it is."""

    word: str
    symbol: str
    about: str
    answer: str
    numbers: tuple[tuple[str, str, str], ...]
    sure: str
    best: str
    elsewhere: tuple[tuple[str, str], ...]
    warning: str
    picture: Picture | None
    table: Table | None


def hero(result: Report) -> Hero:
    """Can I swap? The first verdict in large, the others below it."""
    main = main_verdict(result)
    answer, note, rest = result.answer.partition(EMBEDDED_NOTE)
    answer = f"{answer.strip()} {rest.strip()}".strip()
    if main is None:
        return Hero(
            word="not measurable",
            symbol=SYMBOLS["not measurable"],
            about="No student could be held against the teacher.",
            answer=answer,
            numbers=(),
            sure="",
            best="",
            elsewhere=(),
            warning=note,
            picture=None,
            table=None,
        )
    others = len(rivals(result))
    caption = "Student minus teacher with its 95 % interval. It must stay clear of the red zone."
    return Hero(
        word=main.verdict,
        symbol=SYMBOLS[main.verdict],
        about=main.sentence,
        answer=answer,
        numbers=tuple((name, *_figure(value)) for name, value in main.numbers),
        sure=how_sure(main),
        best=f"The best of {others} students on {main.split}, each tested alone." * (others > 1),
        elsewhere=tuple(_elsewhere(result, main)),
        warning=note,
        picture=Picture(draw=partial(charts.swap_chart, main, "swap"), caption=caption),
        table=tables.verdicts_table(result.verdicts) if len(result.verdicts) > 1 else None,
    )


def _figure(value: str) -> tuple[str, str]:
    """A number, and what stands in brackets behind it."""
    figure, bracket, rest = value.partition(" [") if " [" in value else value.partition(" (")
    return figure, (bracket + rest).strip()


def _elsewhere(result: Report, main: SwapVerdict) -> Iterator[tuple[str, str]]:
    """(symbol, words) for every other split: its best student."""
    for note in result.splits:
        found = best_of([v for v in result.verdicts if v.split == note.name != main.split])
        if found:
            yield SYMBOLS[found.verdict], f"{found.split}: {found.verdict} ({found.student})"


def how_sure(verdict: SwapVerdict) -> str:
    """Interval, rows and margin of a verdict, in one or two sentences."""
    found = verdict.difference
    told = "gold" if verdict.against == "gold" else "the teacher's answers"
    if not known(found.value):
        return f"Nothing could be compared on {verdict.split}."
    bounds, rows = interval(found, points).strip("[]"), "row" if found.n == 1 else "rows"
    said = (
        f"95 % interval {bounds or 'not known'} points, on {found.n:,} {rows} of "
        f"{verdict.split}, paired, against {told}. The margin is {verdict.margin:.1f} points: "
        f"supported means that the whole interval is above {points(-verdict.margin)}."
    )
    if not verdict.rows_needed:
        return said
    needed = said_needed(verdict.rows_needed, verdict.groups_needed)
    return f"{said} {needed.capitalize()} might decide."


def sections(result: Report) -> list[Section]:
    """Everything below the first screen but the browser of rows."""
    shown = result.splits[:MOST_FOLDED]
    found = [_split(result, note, number) for number, note in enumerate(shown, 1)]
    found += [*_dividends(result), *_money(result), *_learning(result), *_training(result)]
    return [*found, *_leakage(result)]


def closing(result: Report) -> list[Section]:
    """What stands below the browser of rows."""
    notes = [Said(items=tuple(result.notes))] if result.notes else [Said(text="No notes.")]
    title = "What these numbers mean and do not mean"
    return [
        Section(id="notes", short="Notes", title=title, parts=tuple(notes)),
        _provenance(result),
    ]


def _split(result: Report, note: SplitNote, number: int) -> Section:
    gold = f", {note.with_gold:,} with gold" if note.with_gold != note.rows else ""
    return Section(
        id=f"split-{number}",
        short=note.name,
        title=note.name,
        aside=f"{note.rows:,} row{'s' if note.rows != 1 else ''}{gold}",
        folded=number > 1,
        parts=(Said(text=note.sentence), *split_parts.of_split(result, note, f"split-{number}")),
    )


def _dividends(result: Report) -> Iterator[Section]:
    if not result.dividends:
        return
    parts: list[Part] = []
    for number, found in enumerate(result.dividends, 1):
        if number > 1:
            parts.append(Title(text=f"{found.split}: base {found.base}"))
        parts += [Said(text=found.sentence), *_gains(found, f"dividend-{number}")]
        parts.append(tables.dividend_table(found))
        if known(found.detectable):
            size = f"{found.detectable:.1f}"
            parts.append(Said(text=f"So many rows would show {size} points or more.", quiet=True))
    yield Section(
        id="dividend", short="Reasoning", title="Does reasoning help?", parts=tuple(parts)
    )


def _gains(found: Dividend, name: str) -> list[Part]:
    dots = [
        charts.Dot(name=arm.target, score=arm.gain, band=found.detectable)
        for arm in found.arms
        if arm.gain is not None
    ]
    title = f"Gain over the label-only student on {found.split}, points"
    draw = partial(charts.difference_chart, dots, name, title=title)
    caption = f"{title}, 95 % intervals. Grey: too small for so many rows to show."
    return [Picture(draw=draw, caption=caption, wide=True)] if dots else []


def _money(result: Report) -> Iterator[Section]:
    if result.break_even:
        sentences = Said(items=tuple(found.sentence for found in result.break_even))
        table = detail_tables.break_even_table(result.break_even)
        title = "When has it paid for itself?"
        yield Section(id="break-even", short="Break-even", title=title, parts=(sentences, table))


def _learning(result: Report) -> Iterator[Section]:
    if result.learning is None:
        return
    found = result.learning.points
    splits = list(dict.fromkeys(point.split for point in found))[:4]
    pictures = tuple(
        Picture(
            draw=partial(line_charts.learning_chart, found, f"learning-{at}", split=split),
            caption=f"Whole answers right on {split}, with 95 % intervals.",
        )
        for at, split in enumerate(splits)
    )
    parts: list[Part] = [Said(text=result.learning.sentence)]
    parts += [Gallery(pictures=pictures)] if pictures else []
    parts += [detail_tables.learning_table(found)] if found else []
    title = "Are more labels worth their price?"
    yield Section(id="learning", short="Learning curve", title=title, parts=tuple(parts))


def _training(result: Report) -> Iterator[Section]:
    if not result.curves:
        return
    shown = result.curves[:MOST_CURVES]
    parts: list[Part] = [Said(items=tuple(f"{one.name}: {curves.said(one)}" for one in shown))]
    pictures = [
        Picture(
            draw=partial(curves.drawn, one, name=f"training-{number}", alone=False),
            caption=f"{one.name}, from the log in its run folder.",
        )
        for number, one in enumerate(shown, 1)
    ]
    parts.append(Gallery(pictures=tuple(pictures)))
    parts += _rest(left_out(shown, result.curves, "the others are in report.json"))
    yield Section(id="training", short="Training", title="How they learnt", parts=tuple(parts))


def _leakage(result: Report) -> Iterator[Section]:
    if result.leakage is None:
        return
    found = result.leakage
    said = ", ".join(f"{name}: {rows:,}" for name, rows in found.found.items()) or "none"
    parts: list[Part] = [
        Said(
            text=f"{found.looked_at:,} held-out rows were held against {found.against:,} rows of "
            f"the training splits. Nearly the same as one of them: {said}."
        )
    ]
    table = detail_tables.leakage_table(found)
    parts += [table] if table else []
    title = "Was anything seen in training?"
    yield Section(id="leakage", short="Leakage", title=title, parts=tuple(parts))


def _provenance(result: Report) -> Section:
    found = result.provenance
    parts: list[Part] = [
        Said(text="Every figure can be recomputed from the records of these runs in the store.")
    ]
    if result.ceiling is not None and known(result.ceiling.value):
        twice = f"{percent(result.ceiling.value)} % {interval(result.ceiling, percent)}"
        what = "answer parts of rows" if in_parts(result) else "rows"
        asked = f"over {result.ceiling.n:,} {what} that were asked twice"
        parts.append(Said(text=f"The teacher agrees with itself on {twice}, {asked}."))
    if found.commands:
        parts.append(Said(items=tuple(found.commands), code=True))
    if result.systems:
        parts.append(detail_tables.systems_table(result))
    if found.asked:
        parts.append(detail_tables.asked_table(found.asked))
    for caption, head, what, values in (
        ("Versions", "Package", "Version", found.versions),
        ("Hashes", "Of", "Hash", found.hashes),
    ):
        if values:
            parts.append(pairs(caption, (head, what), values.items()))
    return Section(id="provenance", short="Provenance", title="Provenance", parts=tuple(parts))


def _rest(said: str) -> Sequence[Part]:
    return [Said(text=said, quiet=True)] if said else []
