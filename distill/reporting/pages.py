"""A Report as files: one self-contained HTML page, Markdown and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.results import Report
from ..labelling.limits import LabellingError
from .html import render_html
from .markdown import render_markdown

if TYPE_CHECKING:
    from ...chains.task import Task
    from ...store.store import Store

_FILES = ("report.html", "report.md", "report.json")

__all__ = ["render_html", "render_markdown", "report", "write_report"]


def report(
    task: Task,
    store: Store,
    folder: Path | str,
    *,
    splits: Sequence[str] | None = None,
    margin: float = 0.02,
    texts: bool = True,
    machine_usd_per_hour: float | None = None,
    commands: Sequence[str] = (),
) -> Path:
    """Compare everybody from what the store holds and write it all into `folder`.

    `margin` is the share by which a student may be worse and still stand in. Without `texts` the
    rows are shown without their inputs and reasonings; `commands` are told as what makes the report
    again. Returns the path of the HTML page. Raises
    LabellingError, StoreError.
    """
    from ..evaluation.comparing import compare  # a Report renders without LangChain and a store
    from ..labelling.limits import LabellingError

    result = compare(
        task,
        store,
        splits=splits,
        margin=margin,
        texts=texts,
        machine_usd_per_hour=machine_usd_per_hour,
        commands=commands,
    )
    if not result.systems:
        where = f" in {', '.join(splits)}" if splits else ""
        raise LabellingError(
            f"the store has no answers to held-out rows of task {task.name}{where}; run distill, "
            "evaluate"
        )
    return write_report(result, Path(folder))


def write_report(result: Report, folder: Path) -> Path:
    """Write report.html, report.md and report.json, each whole or not at all; returns the page."""
    result = Report.model_validate(_encodable(result.model_dump()))
    folder.mkdir(parents=True, exist_ok=True)
    _check_ours(folder)
    page = folder / "report.html"
    _write_whole(folder / "report.json", result.model_dump_json(indent=2) + "\n")
    _write_whole(folder / "report.md", render_markdown(result))
    _write_whole(page, render_html(result))
    return page


def _check_ours(folder: Path) -> None:
    """Raise LabellingError where files of these names stand that no report wrote."""
    there = [name for name in _FILES if (folder / name).exists()]
    try:
        ours = "format" in json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        ours = False
    if there and not ours:
        raise LabellingError(
            f"{folder / there[0]} was not written by a report and stays as it is; "
            "name another folder"
        )


def _encodable(data: Any) -> Any:
    """The same data with half an emoji (a lone surrogate, as models do write) as "?"."""
    if isinstance(data, str):
        return data.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(data, list | tuple):
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
