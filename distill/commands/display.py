"""What the command line shows: tables of figures and failures, a labelled row, a lesson."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from ..amounts import dollars, tokens

if TYPE_CHECKING:
    from ...store.rows import Example, Record
    from ..evaluation.results import Correctness, Report
    from ..labelling.failures import Failure
    from ..training.lesson import Lesson


def print_table(report: Report) -> None:
    """Print how many whole answers every system got right on every split, and the verdicts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"whole answers right, % [95 % interval] ({report.task})"
    table = Table(title=Text(title))  # Text: names of splits and students are no markup
    table.add_column("system")
    judged = {split.name: _judge(report, split.name) for split in report.splits}
    for split in report.splits:
        head = f"{split.name} ({split.rows:,} rows, {judged[split.name]})"
        table.add_column(Text(_short(head, 60)), justify="right")
    for system in report.systems:
        cells = [
            _cell(getattr(system.splits[name], by)) if name in system.splits else "–"
            for name, by in judged.items()
        ]
        table.add_row(Text(_short(system.name, 60)), *cells)
    console = Console()
    console.print(table)
    for verdict in report.verdicts:
        console.print(Text(_short(verdict.sentence, 600)))


def _judge(report: Report, split: str) -> Literal["gold", "teacher"]:
    """Gold where anybody was held against it on this split, else the teacher."""
    found = [system.splits[split] for system in report.systems if split in system.splits]
    return "gold" if any(one.gold and one.gold.row_exact.n for one in found) else "teacher"


def print_failures(failures: Sequence[Failure], *, stderr: bool = False) -> None:
    """Print what failed, how often, on which row for one, and what to do about it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="what failed")
    table.add_column("rows", justify="right")
    table.add_column("why", overflow="fold", ratio=3)
    table.add_column("for example", overflow="fold", min_width=16)
    table.add_column("what to do", overflow="fold", ratio=2)
    for failure in failures:
        cells = (f"{failure.rows:,}", failure.why, failure.example, failure.advice)
        table.add_row(*map(Text, cells))  # Text: what a model wrote is no markup
    Console(stderr=stderr).print(table)


def row_lines(example: Example, record: Record) -> Iterator[str]:
    """One labelled row to look at: inputs in short, answer, reasoning, tokens, cost, seconds."""
    yield f"row {example.id} of {_short(example.split, 40)}"
    for name, text in example.inputs.items():
        yield f"  {name}: {_short(text, 200)}"
    if record.answer is None:
        yield f"  no answer: {_short(record.error or '', 500)}"
    else:
        yield f"  answer: {_short(json.dumps(record.answer, ensure_ascii=False), 1000)}"
    if record.reasoning:
        yield f"  reasoning: {_short(record.reasoning, 1000)}"
    cost = "cost unknown" if record.cost is None else dollars(record.cost)
    seconds = f"{record.seconds:.1f} s"
    calls = f"{record.attempts} call{'s' if record.attempts != 1 else ''}"
    yield "  " + ", ".join(filter(None, (calls, tokens(record), cost, seconds)))


def _short(text: str, longest: int) -> str:
    """Text of others as a terminal may have it: one line, not too long, no control characters."""
    from ...store.columns import printable

    line = " ".join(text.split())
    return printable(line[:longest]) + ("…" if len(line) > longest else "")


def _cell(found: Correctness | None) -> str:
    score = found.row_exact if found else None
    if score is None or score.value is None or score.low is None or score.high is None:
        return "–"
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def print_lesson(lesson: Lesson) -> None:
    """Print what a training is about to learn from, and its first row with the mask in colour."""
    from rich.console import Console
    from rich.text import Text

    checked, console = lesson.preflight, Console(highlight=False)
    context = "" if checked.context is None else f" of {checked.context:,} that the base takes"
    lines = [
        f"rows: {len(lesson.taught.rows):,} of teacher run {lesson.teacher.id} "
        f"({lesson.teacher.model}), in {checked.rows:,} sequences",
        f"tokens of an epoch: {checked.tokens:,}, in the loss: {checked.completion_tokens:,}",
        f"longest: {checked.longest:,} tokens{context}",
        *(f"left out: {rows:,} ({why})" for why, rows in lesson.taught.left_out.items()),
        *(
            f"no row shows {path} = {', '.join(map(str, classes))}"
            for path, classes in checked.unseen.items()
        ),
        "the first row; what the loss looks at stands between ⟦ and ⟧:",
    ]
    for line in lines:
        console.print(Text(line))
    for pieces in checked.shown:
        shown = Text()
        for place, (text, taught) in enumerate(pieces):
            plain = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
            style = "dim" if not taught else ("bold green", "bold cyan")[(place - 1) % 2]
            shown.append(f"⟦{plain}⟧" if taught else plain, style=style)
        console.print(shown)
