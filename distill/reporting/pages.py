"""A Report as one self-contained HTML page, as Markdown and as JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.results import QUESTION, Curves, Report, SplitNote
from . import charts, curves, tables

if TYPE_CHECKING:
    from jinja2 import Environment

    from ...chains.task import Task
    from ...store.store import Store

ROLES = ("teacher", "student", "base", "baseline")

# Everything that starts inline markup in CommonMark or GitHub's dialect, and "://" and "www.",
# which GitHub turns into links.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|#!~$&@^]|(?<=\w):(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_BLOCK_START = re.compile(r"^([-+=]|\d+(?=[.)](?:\s|$)))")


@dataclass(frozen=True, kw_only=True)
class SplitSection:
    """What the report shows of one split."""

    note: SplitNote
    chart: charts.Chart | None
    table: tables.Table | None
    accuracy: tables.Table | None
    labels: tuple[tables.LabelTables, ...]
    fields: tables.Table | None
    absent: tuple[str, ...]


def report(
    task: Task, store: Store, folder: Path | str, *, splits: Sequence[str] | None = None
) -> Path:
    """Compare everybody from what the store holds and write it all into `folder`.

    Returns the path of the HTML page. Raises LabellingError, StoreError.
    """
    from ..evaluation.comparing import (
        compare,  # a Report renders without LangChain and without a store
    )
    from ..limits import LabellingError

    result = compare(task, store, splits=splits)
    if not result.systems:
        raise LabellingError(
            f"the store has no answers to held-out rows of task {task.name}; run distill, evaluate"
        )
    return write_report(result, Path(folder))


def write_report(result: Report, folder: Path) -> Path:
    """Write report.html, report.md and report.json, each whole or not at all; returns the page."""
    result = Report.model_validate(_encodable(result.model_dump()))
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    _write_whole(folder / "report.json", result.model_dump_json(indent=2) + "\n")
    _write_whole(folder / "report.md", render_markdown(result))
    _write_whole(page, render_html(result))
    return page


def render_html(result: Report) -> str:
    """One HTML document without scripts that loads nothing; all text of the report is escaped."""
    return _html_environment().get_template("report.html.jinja").render(_view(result))


def render_markdown(result: Report) -> str:
    """The same sentences, tables and figures as the HTML page, as GitHub's Markdown."""
    text = _markdown_environment().get_template("report.md.jinja").render(_view(result))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _view(result: Report) -> dict[str, Any]:
    return {
        "report": result,
        "question": QUESTION,
        "answer": result.answer.removeprefix(QUESTION).strip(),
        "created": _date(result.created),
        "difference_chart": charts.difference_chart(result.differences),
        "difference_table": tables.difference_table(result),
        "sections": [_section(result, note) for note in result.splits],
        "disagreements": [(found, tables.answers_table(found)) for found in result.disagreements],
        "trainings": [(one.name, curves.said(one), _picture(one)) for one in result.curves],
        "systems": tables.systems_table(result),
        "versions": tables.versions_table(result),
    }


def _picture(of: Curves) -> Any:
    from markupsafe import Markup

    return Markup(curves.drawn(of))


def _section(result: Report, note: SplitNote) -> SplitSection:
    return SplitSection(
        note=note,
        chart=charts.exact_chart(result, note.name),
        table=tables.split_table(result, note.name),
        accuracy=tables.accuracy_table(result, note.name),
        labels=tables.label_tables(result, note.name),
        fields=tables.field_table(result, note.name),
        absent=tuple(s.name for s in result.systems if note.name not in s.splits),
    )


def _date(created: str) -> str:
    """An ISO time as "2026-03-01 12:30 UTC"; anything else as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _html_environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("understudy.distill"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["role_class"] = _role_class
    return environment


def _markdown_environment() -> Environment:
    """Every expression of a template is escaped, unless it is Markup: what HTML's autoescape is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("understudy.distill"),
        autoescape=False,
        finalize=lambda value: value if isinstance(value, Markup) else _escaped(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["as_table"] = lambda table: Markup(_markdown_table(table))
    return environment


def _role_class(role: str) -> str:
    return f"role-{role}" if role in ROLES else "role-other"


def _escaped(text: str) -> str:
    """Text of any origin as one line of Markdown that shows exactly this text."""
    return _BLOCK_START.sub(lambda start: _block_escape(start[0]), _inline(text))


def _inline(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _block_escape(start: str) -> str:
    return f"{start}\\" if start[0].isdigit() else f"\\{start}"


def _markdown_table(table: tables.Table) -> str:
    lines = [[_markdown_cell(head) for head in table.heads]]
    lines.append(["---", *("---" if table.prose else "--:" for _ in table.heads[1:])])
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_escaped(table.caption)}\n\n{body}"


def _markdown_cell(cell: tables.Cell) -> str:
    text = ("≠ " if cell.differs else "") + _inline(cell.text)
    note = cell.note if not cell.note or cell.note.startswith("[") else f"({cell.note})"
    return " ".join(word for word in (text, note) if word)


def _encodable(data: Any) -> Any:
    """The same data with half an emoji (a lone surrogate, as models do write) as "?"."""
    if isinstance(data, str):
        return data.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(data, list):
        return [_encodable(item) for item in data]
    if isinstance(data, dict):
        return {_encodable(key): _encodable(value) for key, value in data.items()}
    return data


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
