"""The commands that bring data in: import, import-labels."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    DEFAULT_STORE,
    FILES,
    SAMPLE_TASK,
    JsonOption,
    StoreOption,
    TaskOption,
    at_hand,
    check_format,
    fail,
    open_store,
    say,
    tell,
)

if TYPE_CHECKING:
    from ...store.store import Store
    from ..importing import Placing, Preview

TALKS = ("openai", "completions", "langsmith", "trl", "llamafactory", "alpaca")

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help=f"{', '.join(FILES)}; of a provider or trainer: {', '.join(TALKS)}; default: by name",
    ),
]
ModelOption = Annotated[
    str | None, typer.Option(help="a provider's file: the name of the model that answered")
]


def import_(
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, JSON, JSONL, Parquet, a datasets folder, a provider's file; - is stdin"
        ),
    ],
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    split: Annotated[str | None, typer.Option(help="put every row into this split")] = None,
    split_column: Annotated[
        str | None, typer.Option(help="the file's column that says train, validation, test, ...")
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="rows with the same value stay in one split")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="split by age: the newest rows are the test rows")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="THEIRS=OURS: their column is our input or answer path; repeatable"),
    ] = None,
    format_: FormatOption = None,
    model: ModelOption = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="show what would be imported, write nothing")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring examples, and gold or a provider's answers where the file has them, into the store."""
    from ..importing import Placing

    check_format(format_, (*FILES, *TALKS))
    columns = _mapping(column)
    placing = Placing(split, split_column, group_column, time_column, columns)
    with _all_or_nothing(), at_hand(data, format_) as path:
        if preview:
            _preview(task, path, placing, format_, as_json)
        elif format_ in TALKS:
            if columns or split_column or group_column or time_column:
                fail(f"--format {format_} has no columns; only --split says where its rows go")
            found, lines = _recordings(task, store, path, format_, model, split)
            _tell_all(found, lines, path, data, as_json)
        else:
            found, lines = _examples(task, store, path, placing, format_)
            _tell_all(found, lines, path, data, as_json)


def import_labels(
    labels: Annotated[
        Path, typer.Argument(help="inputs, answer, reasoning, raw, as export writes them")
    ],
    model: Annotated[str, typer.Option(help="the name of the model that answered")],
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    split: Annotated[str | None, typer.Option(help="put every row into this split")] = None,
    format_: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """A recorded teacher: outputs made elsewhere become the labels that students train on."""
    check_format(format_, (*FILES, *TALKS))
    with _all_or_nothing(), at_hand(labels, format_) as path:
        found, lines = _recordings(task, store, path, format_, model, split)
        _tell_all(found, lines, path, labels, as_json)


def _shown(text: str, longest: int = 60) -> str:
    from ...store.columns import printable

    return printable(text[:longest]) + ("…" if len(text) > longest else "")


def _of_files(name: str | None) -> str | None:
    """The name that the readers have for this format."""
    return "json" if name == "jsonl" else name


def _mapping(column: list[str] | None) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in column or []:
        theirs, sign, ours = pair.rpartition("=")
        if not sign or not theirs.strip() or not ours.strip():
            fail(f"--column {pair}: write THEIRS=OURS, as in --column sentence=f1", status=2)
        columns[theirs.strip()] = ours.strip()
    return columns


@contextlib.contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Ctrl-C is one line and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        fail("stopped; nothing was imported", status=130)


@contextlib.contextmanager
def _to_fill(path: Path) -> Iterator[Store]:
    """The store at `path`; one that this call made is gone again where nothing was imported."""
    there, empty = path.exists(), False
    try:
        with open_store(path) as opened:
            try:
                yield opened
            except BaseException:
                held = "select 1 from examples union all select 1 from runs limit 1"
                empty = not there and not opened.connection.read(held)
                raise
    finally:
        for ending in ("", "-wal", "-shm", "-journal") if empty else ():
            path.with_name(path.name + ending).unlink(missing_ok=True)


def _examples(
    task: str, store: Path, path: Path, placing: Placing, format_: str | None
) -> tuple[dict[str, Any], list[str]]:
    from ...chains.loading import load_task
    from ..amounts import rows_in
    from ..importing import import_lines, import_rows

    with _to_fill(store) as opened:
        loaded, form = load_task(task), _of_files(format_)
        added, found = import_rows(opened, loaded, path, placing=placing, format=form)
        splits = opened.splits(loaded.name)
    told = {
        "store": store,
        "task": loaded.name,
        **added.model_dump(),
        "left_out": found.left_out.count,
        "splits": splits,
    }
    first, *rest = import_lines(str(path), added, found)
    return told, [first, f"task {loaded.name} by split: {rows_in(splits)}", *rest]


def _recordings(
    task: str, store: Path, path: Path, format_: str | None, model: str | None, split: str | None
) -> tuple[dict[str, Any], list[str]]:
    from ...chains.loading import load_task
    from ..amounts import rows_in
    from ..importing import import_recordings

    loaded = load_task(task)
    with _to_fill(store) as opened:
        run, lines = import_recordings(
            opened, loaded, path, format=_of_files(format_), model=model, split=split
        )
        failed, splits = 0, Counter[str]()
        for example, record in opened.iter_pairs(run.id):
            failed += record.answer is None
            splits[example.split] += 1
    count = splits.total()
    line = f"teacher {run.model}: {count} recorded rows in {store}, {failed} without answer"
    found = {"store": store, "task": loaded.name, "run": run.id, "model": run.model}
    told = {**found, "rows": count, "failed": failed, "splits": splits}
    return told, [line, f"by split: {rows_in(splits)}", *lines]


def _tell_all(
    found: dict[str, Any], lines: list[str], path: Path, data: Path, as_json: bool
) -> None:
    """What came of it; the file is called what the person called it."""
    shown = [_shown(line.replace(str(path), str(data)), 1000) for line in lines]
    tell({"source": data, **found, "lines": shown}, shown, as_json=as_json)


def _preview(task: str, path: Path, placing: Placing, format_: str | None, as_json: bool) -> None:
    from ...chains.loading import load_task
    from ..importing import preview_import, preview_recordings

    loaded = load_task(task)
    if format_ in TALKS:
        found = preview_recordings(loaded, path, format=format_, split=placing.split)
    else:
        found = preview_import(loaded, path, placing=placing, format=_of_files(format_))
    if as_json:
        examples = [example.model_dump() for example in found.examples]
        tell({**vars(found), "examples": examples}, as_json=True)
        return
    _print_preview(found)


def _print_preview(found: Preview) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    names = list(found.examples[0].inputs) if found.examples else []
    for name in ("split", "group", *names, "answer"):
        table.add_column(Text(_shown(name)), overflow="fold")
    for example, answer in zip(found.examples, found.answers, strict=True):
        cells = (example.split, example.group or "", *example.inputs.values(), answer)
        table.add_row(*(Text(_shown(cell)) for cell in cells))
    Console().print(table)
    counts = ", ".join(f"{_shown(split)} {n}" for split, n in found.splits.items()) or "none"
    say(f"of the first {found.rows} rows: {counts}; {found.refused_count} left out")
    for number, reason in found.refused:
        say(f"row {number} left out: {_shown(reason, 300)}")
    for note in found.notes:
        say(_shown(note, 300))
    say("nothing was written")


COMMANDS: dict[str, Callable[..., None]] = {
    "import": import_,
    "import-labels": import_labels,
}
