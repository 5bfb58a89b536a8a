"""What the commands share: options, opening a store, saying a line as asked, failing with one."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ..manners import MANNER

if TYPE_CHECKING:
    from ...store.store import Store

SAMPLE_TASK = "understudy.examples.news.task:task"
DEFAULT_STORE = Path("understudy.db")
COME_BACK = 75  # EX_TEMPFAIL of sysexits.h: the provider's limit ended it, try again later
FILES = ("csv", "json", "jsonl", "parquet", "datasets")
TaskOption = Annotated[str, typer.Option("--task", help="path/to/task.py:task or module:task")]
StoreOption = Annotated[Path, typer.Option("--store", help="the SQLite file that remembers all")]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="at most this many examples of each split")
]
SplitOption = Annotated[str | None, typer.Option(help="only this split")]

BackupOption = Annotated[
    Path | None, typer.Option(help="copy the store there at the end, and every few minutes")
]
BackupMinutesOption = Annotated[float, typer.Option(min=0.05, help="minutes between two copies")]


def _as_json(value: bool) -> bool:
    MANNER["json"] = value
    return value


JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", callback=_as_json, help="standard output is one line of JSON, at the end"
    ),
]


def open_store(path: Path, *, create: bool = True) -> Store:
    """The store at `path`; `create=False` refuses where there is none."""
    from ...store.store import Store

    return Store(path, create=create)


@contextlib.contextmanager
def open_copy(path: Path, *, create: bool = True) -> Iterator[Store]:
    """A copy of the store at `path` that is gone afterwards; a new one where there is none, which
    `create=False` refuses. So an older store is not brought up to date by a look at it."""
    from ...store import connection
    from ...store.connection import StoreError
    from ...store.copies import copy_database, open_read_only, remove_empty_log
    from ...store.store import Store

    if path.is_dir() or not (create or path.exists()):
        open_store(path, create=False).close()  # which says why it cannot be
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "store.db"
        try:
            if path.exists():
                with contextlib.closing(open_read_only(path, timeout=30)) as source:
                    copy_database(source, copy)
                remove_empty_log(path)
            with _unheard(connection.logger):  # of a file that the user has not
                store = Store(copy)
            with store:
                store.path = str(path)  # whose neighbours are looked at, and which is spoken of
                yield store
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        except StoreError as error:
            raise StoreError(str(error).replace(str(copy), str(path))) from error


def open_for(path: Path, *, dry_run: bool) -> contextlib.AbstractContextManager[Store]:
    """The store at `path`, which is there; for a dry run a copy of it."""
    return open_copy(path, create=False) if dry_run else open_store(path, create=False)


@contextlib.contextmanager
def _unheard(logger: logging.Logger) -> Iterator[None]:
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


def backups(
    store: Store, path: Path | None, minutes: float
) -> contextlib.AbstractContextManager[object]:
    """Copies of the store while a block runs, where a path is given: notebooks die."""
    from ...store.care import Backups

    return contextlib.nullcontext() if path is None else Backups(store, path, minutes=minutes)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C is one line and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        fail("stopped; what was done is kept, run the same command again to go on", status=130)


@contextlib.contextmanager
def at_hand(data: Path, format_: str | None = None) -> Iterator[Path]:
    """The file itself; for `-` a temporary one that holds what standard input gave."""
    from ...store.connection import StoreError

    if str(data) != "-":
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        suffix = f".{format_}" if format_ in FILES else _suffix_of(path)
        path = path.rename(path.with_suffix(suffix))
        try:
            yield path
        except StoreError as error:
            raise StoreError(str(error).replace(str(path), "standard input")) from error


def _suffix_of(path: Path) -> str:
    """What the first bytes look like."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PAR1"):
        return ".parquet"
    return ".jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else ".csv"


def lacking(name: str, *, extra: str) -> NoReturn:
    """Say which extra brings the missing package."""
    fail(f'this needs {name}, which is not installed: pip install "understudy[{extra}]"')


def check_folder(path: Path | None) -> None:
    """Fail, before there is any work to lose, where a file stands in a folder's place."""
    there = next((one for one in (path, *path.parents) if one.exists()), None) if path else None
    if there is not None and not there.is_dir():
        fail(f"{there} is a file and would have to be a folder; name another place")


def check_format(name: str | None, known: tuple[str, ...]) -> None:
    """Fail where there is no such format."""
    if name is not None and name not in known:
        fail(f"format {name} is unknown; choose {', '.join(dict.fromkeys(known))}", status=2)


def prints_aside(as_json: bool) -> contextlib.AbstractContextManager[object]:
    """What somebody's own files print in the block goes to standard error where standard output
    is to be JSON."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def say(line: str) -> None:
    """Print a line of the result; on standard error where the result is JSON."""
    if not (MANNER["json"] and MANNER["quiet"]):
        typer.echo(line, err=MANNER["json"])


def remark(line: str) -> None:
    """Print a line that is no result: nobody sees it under --quiet."""
    if not MANNER["quiet"]:
        say(line)


def tell(data: Any, lines: Iterable[str] = (), *, as_json: bool) -> None:
    """Print a result: `data` as one line of JSON, or else the lines that a person reads.

    The JSON is ASCII, so that no encoding of a terminal or pipe can break it; a path is its text.
    """
    if as_json:
        typer.echo(json.dumps(data, default=str))
        return
    for line in lines:
        typer.echo(line)


def fail(line: str, *, status: int = 1) -> NoReturn:
    """Print one line as an error and exit."""
    typer.echo(f"understudy: {' '.join(line.split())}", err=True)
    sys.exit(status)
