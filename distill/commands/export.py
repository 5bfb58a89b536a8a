"""The command that takes data out: export."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..manners import is_quiet
from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    JsonOption,
    SplitOption,
    StoreOption,
    TaskOption,
    check_format,
    fail,
    open_for,
    tell,
)

if TYPE_CHECKING:
    from ...store.rows import Run
    from ...store.store import Store

RUNS = ("csv", "jsonl", "parquet", "datasets")
TALKS = ("completions", "langsmith")
CHATS = ("openai", "trl", "llamafactory", "alpaca")
_NO_TEXT = ("parquet", "datasets")


def export(
    out: Annotated[
        Path, typer.Argument(help="the file (for datasets the folder) to write; - is stdout")
    ],
    run: Annotated[str, typer.Option(help="a run's id or name")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help=f"{', '.join(RUNS)}; as talks: {', '.join(TALKS)}; as chats: {', '.join(CHATS)}",
        ),
    ] = "jsonl",
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    split: SplitOption = None,
    target: Annotated[
        str | None, typer.Option(help="of chats: label (the default) or reason_label")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a file that is there")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be written, and write nothing")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a run's rows for other tools: tables, talks, or chats to fine-tune on."""
    check_format(format_, (*RUNS, *TALKS, *CHATS))
    to_stdout = str(out) == "-"
    _check_place(out, format_, target)
    if as_json and to_stdout and not dry_run:
        fail("--json and the rows both want standard output; name a file", status=2)
    options: dict[str, Any] = {"format": format_, "split": split, "overwrite": overwrite}
    replaced = not to_stdout and out.exists()
    if replaced and not overwrite:
        what = "folder" if format_ == "datasets" else "file"
        fail(
            f"{out} is there already and stays as it is; name another {what}, or give --overwrite "
            "to replace it"
        )
    at_hand = _nowhere(format_) if dry_run else _at_hand(out, format_)
    with open_for(store, dry_run=dry_run) as opened, at_hand as path:
        if format_ in RUNS:
            found, rows, left_out = _table(opened, run, path, options)
        else:
            options["target"] = _target(target or "label")
            found, rows, left_out = _chats(opened, run, path, task, options)
    lines = [f"{out}: {rows} rows of {found.name} ({found.model})"]
    lines += [f"{out}: {count} rows left out: {reason}" for reason, count in left_out.items()]
    if dry_run:
        over = ", and what is there would be replaced" if replaced else ""
        lines.append(f"nothing was written{over}")
    if to_stdout and not dry_run:
        for line in () if is_quiet() else lines:
            typer.echo(line, err=True)
        return
    told = {"file": out, "format": format_, "run": found.id, "model": found.model, "rows": rows}
    told |= {"left_out": dict(left_out), "replaced": replaced, "written": not dry_run}
    tell(told, lines, as_json=as_json)


def _table(
    store: Store, run: str, path: Path, options: dict[str, Any]
) -> tuple[Run, int, Mapping[str, int]]:
    from ...store.export import export_run, run_called

    found = run_called(store, run)
    return found, export_run(store, found.id, path, **options), {}


def _chats(
    store: Store, run: str, path: Path, task: str, options: dict[str, Any]
) -> tuple[Run, int, Mapping[str, int]]:
    from ...chains.loading import load_task
    from ...store.export import run_called
    from ..exporting import export_chats

    loaded = load_task(task)
    found = run_called(store, run, task=loaded.name)
    return found, *export_chats(loaded, store, found.id, path, **options)


def _check_place(out: Path, format_: str, target: str | None) -> None:
    """Say what is wrong with what is to be written, and where, before the store is read."""
    if target is not None and format_ not in CHATS:
        fail(f"--target is of chats ({', '.join(CHATS)}); --format {format_} has none", status=2)
    if str(out) == "-":
        return
    if not out.parent.is_dir():
        fail(f"{out}: there is no folder {out.parent}; make it first")
    if out.is_file() and format_ == "datasets":
        fail(f"{out} is a file, and --format datasets writes a folder; name another place")
    if out.is_dir() and format_ != "datasets":
        fail(f"{out} is a folder; name the file that --format {format_} writes")


@contextlib.contextmanager
def _at_hand(out: Path, format_: str) -> Iterator[Path]:
    """The path itself; for `-` a temporary file that standard output gets when it is whole."""
    if str(out) != "-":
        yield out
        return
    if format_ in _NO_TEXT:
        fail(f"--format {format_} is no text for standard output; name a file", status=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdout"
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _nowhere(format_: str) -> Iterator[Path]:
    """A place that is gone again: what is tried there fails as it would in earnest."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / f"rows.{format_}"


def _target(text: str) -> str:
    if text not in ("label", "reason_label"):
        fail(f"target {text} is no text of a chat; choose label or reason_label", status=2)
    return text


COMMANDS: dict[str, Callable[..., None]] = {"export": export}
