"""What the page says of one split: quality, price, differences, confidence, reasonings, classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..evaluation.results import Against, Comparison, Confidence, Report, SplitNote, SystemResult
from . import charts, detail_tables, line_charts, tables
from .figures import known, probability
from .parts import Fold, Gallery, Part, Picture, Said, Table, Title
from .selection import against, held, leading, left_out, on

MARKERS = "■\u00a0teacher, ●\u00a0student, ▲\u00a0base, ◆\u00a0baseline"
CHEAPER = {"US$": "cheaper", "s": "faster"}
NO_PRICES = (
    "No chart against cost: it takes the price of two systems or more "
    "(--machine-usd-per-hour gives students one)."
)
MOST_COMPARED = 60  # rows of the table of differences
MOST_BY_LABEL = 120  # of that one label at a time
MOST_SLICES = 80


def of_split(result: Report, note: SplitNote, name: str) -> list[Part]:
    """Every part of a split's section but its first sentence; `name` begins the charts' ids."""
    split = note.name
    if not on(result, split):
        return [Said(text="No system answered this split.")]
    by = against(result, split)
    return [
        *_quality(result, split, by, name),
        *_price(result, split, by, name),
        *_differences(result, split, name),
        *_slices(result, split),
        *_confidence(result, split, name),
        *_rationales(result, split),
        *_classes(result, split, by),
        *_absent(result, split),
    ]


def _quality(result: Report, split: str, by: Against, name: str) -> list[Part]:
    dots = []
    for system in on(result, split):
        found = held(system.splits[split], by)
        if found is not None:
            dots.append(charts.Dot(name=system.name, role=system.role, score=found.row_exact))
    told = "against gold" if by == "gold" else "agreement with the teacher"
    title = f"Whole answers right on {split}, {told}"
    draw = partial(charts.share_chart, dots, f"{name}-quality", title=title)
    caption = f"{title}, with 95 % intervals. {MARKERS}.{_first(dots)}"
    parts: list[Part] = [Picture(draw=draw, caption=caption, wide=True)] if dots else []
    table = tables.quality_table(result, split, by)
    parts += [table] if table else []
    other = tables.quality_table(result, split, "teacher") if by == "gold" else None
    if other:
        parts.append(Fold(summary="Agreement with the teacher", parts=(other,)))
    return parts


def _first(dots: Sequence[charts.Dot]) -> str:
    """Says that a chart shows the first of many; empty where it shows all."""
    many = len(dots) > charts.MOST_ROWS
    return f" The first {charts.MOST_ROWS} of {len(dots):,}." if many else ""


def _price(result: Report, split: str, by: Against, name: str) -> list[Part]:
    pictures = []
    for field, unit, title in (
        ("cost", "US$", "Quality against cost"),
        ("seconds_median", "s", "Quality against latency"),
    ):
        spots = _spots(result, split, by, field)
        if len(spots) > 1:
            where = f"{name}-{field[:4]}"
            draw = partial(charts.frontier_chart, spots, where, title=title, unit=unit)
            caption = f"{title}: nobody {CHEAPER[unit]} beats who is on the line. {MARKERS}."
            pictures.append(Picture(draw=draw, caption=caption))
    parts: list[Part] = [Title(text="What it costs")]
    parts += [Gallery(pictures=tuple(pictures))] if pictures else []
    if len(_spots(result, split, by, "cost")) < 2:
        parts.append(Said(text=NO_PRICES, quiet=True))
    return [*parts, tables.cost_table(result, split)]


def _spots(result: Report, split: str, by: Against, field: str) -> list[charts.Spot]:
    spots = []
    for system in on(result, split):
        found = held(system.splits[split], by)
        price = getattr(system.splits[split].effort, field)
        if found is not None and known(price):
            spots.append(
                charts.Spot(name=system.name, role=system.role, right=found.row_exact, price=price)
            )
    return spots


def _differences(result: Report, split: str, name: str) -> list[Part]:
    found = _compared(result, split)
    if not found:
        return []
    dots = [
        charts.Dot(
            name=f"{c.first} − {c.second}",
            score=c.points,
            role="",
            band=c.detectable,
            note=f"p {probability(c.p_holm)}" if known(c.p_holm) else "",
        )
        for c in found
    ]
    title = f"Paired differences on {split}, points"
    draw = partial(charts.difference_chart, dots, f"{name}-forest", title=title)
    caption = (
        f"{title}, with 95 % intervals, each for its pair alone, and McNemar's p after Holm; "
        "hollow where the interval includes 0. Grey: too small for so many rows to show."
    )
    caption += _first(dots)
    shown = found[:MOST_COMPARED]
    rest = left_out(shown, found, "the others are in report.json")
    return [
        Title(text="Who is better than whom"),
        Picture(draw=draw, caption=caption, wide=True),
        _folded(tables.comparisons_table(shown, split)),
        *([Said(text=rest, quiet=True)] if rest else []),
        Fold(summary="In words", parts=(Said(items=tuple(c.sentence for c in shown)),)),
        *_by_label(shown, split),
    ]


def _by_label(found: Sequence[Comparison], split: str) -> list[Part]:
    """As many pairs as the table has room for, each with all of its labels."""
    most = MOST_BY_LABEL // max(1, max(len(c.labels) for c in found))
    shown = found[: max(1, most)]
    table = tables.label_differences_table(shown, split)
    if table is None:
        return []
    told = left_out(shown, found, "the others are in report.json")
    rest = [Said(text=f"Of the pairs, {told}", quiet=True)] if told else []
    return [Fold(summary="One label at a time", parts=(table, *rest))]


def _compared(result: Report, split: str) -> list[Comparison]:
    """Where there are many, those among the systems that lead come first."""
    found = [c for c in result.comparisons if c.split == split]
    if len(found) <= charts.MOST_ROWS:
        return found
    first = {system.name for system in leading(result, split, 8)}
    return sorted(found, key=lambda c: -len({c.first, c.second} & first))


def _folded(table: Table) -> Part:
    """A long table behind a summary."""
    if len(table.rows) <= 8:
        return table
    return Fold(summary=f"All {len(table.rows)} differences", parts=(table,), needed=True)


def _slices(result: Report, split: str) -> list[Part]:
    found = [s for s in result.slices if s.split == split]
    if not found:
        return []
    shown = found[:MOST_SLICES]
    table = detail_tables.slices_table(shown, leading(result, split, 6))
    rest = left_out(shown, found, "the others are in report.json")
    parts: list[Part] = [Title(text="Where they are right"), table]
    return [*parts, Said(text=rest, quiet=True)] if rest else parts


def _confidence(result: Report, split: str, name: str) -> list[Part]:
    systems = on(result, split)
    table = detail_tables.confidence_table(systems, split)
    if table is None:
        return []
    shown: dict[str, Confidence] = {}
    for system in leading(result, split, len(systems)):
        one = system.splits[split].confidence
        if one is not None and len(shown) < 4:
            shown[system.name] = one
    calibration = Picture(
        draw=partial(line_charts.calibration_chart, shown, f"{name}-calibration"),
        caption="Calibration: on the dotted line, who is 80 % sure is right 80 % of the time.",
    )
    risk = Picture(
        draw=partial(line_charts.risk_chart, shown, f"{name}-risk"),
        caption="Risk against coverage: what stays wrong if only the surest rows are answered.",
    )
    pictures = Gallery(pictures=(calibration, risk))
    return [Title(text="Does it know when it is wrong?"), pictures, table]


def _rationales(result: Report, split: str) -> list[Part]:
    table = detail_tables.rationales_table(on(result, split), split)
    return [Title(text="How good are the reasonings?"), table] if table else []


def _classes(result: Report, split: str, by: Against) -> list[Part]:
    systems = on(result, split)
    parts: list[Part] = []
    few, some = leading(result, split, 4), leading(result, split, 8)
    for path in detail_tables.label_paths(systems, split, by):
        table = detail_tables.classes_table(some, split, by, path)
        confusion = detail_tables.confusion_tables(few, split, by, path)
        inside = tuple(part for part in (table, *confusion) if part)
        parts.append(Fold(summary=f"Classes and confusion: {path}", parts=inside))
    if by == "gold":
        parts += _like_the_teacher(few, split)
    for what, summary in (("gold", "Accuracy per label"), ("teacher", "Agreement per label")):
        accuracy = tables.accuracy_table(result, split, "gold" if what == "gold" else "teacher")
        if accuracy:
            parts.append(Fold(summary=summary, parts=(accuracy,)))
    return [Title(text="Class by class"), *parts] if parts else []


def _like_the_teacher(systems: Sequence[SystemResult], split: str) -> list[Part]:
    """The same with the teacher's answers for the expected ones, kept apart from gold."""
    parts: list[Part] = []
    for path in detail_tables.label_paths(systems, split, "teacher"):
        table = detail_tables.classes_table(systems, split, "teacher", path)
        confusion = detail_tables.confusion_tables(systems, split, "teacher", path)
        inside = tuple(part for part in (table, *confusion) if part)
        parts.append(Fold(summary=f"Classes and confusion by the teacher: {path}", parts=inside))
    return parts


def _absent(result: Report, split: str) -> list[Part]:
    names = [system.name for system in result.systems if split not in system.splits]
    if not names:
        return []
    return [Said(text=f"Did not answer this split: {', '.join(names)}.", quiet=True)]
