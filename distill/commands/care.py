"""The commands that keep a store whole: backup, verify, vacuum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .options import DEFAULT_STORE, JsonOption, StoreOption, fail, open_store, tell

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="say what would be done, and change nothing")
]


def backup(
    to: Annotated[Path, typer.Argument(help="the file that becomes the copy")],
    store: StoreOption = DEFAULT_STORE,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the store to another file, while others read and write it."""
    from ...store import care

    with open_store(store, create=False) as opened:
        replaced = care.check_target(opened, to).exists()
        copy = store if dry_run else care.backup(opened, to)
    size = copy.stat().st_size
    line = f"copied {store} to {to}, {_megabytes(size)}"
    if dry_run:
        over = ", over an earlier copy" if replaced else ""
        line = f"would copy {store} to {to}{over}, {_megabytes(size)}; nothing was written"
    found = {"store": store, "copy": to, "bytes": size, "replaced": replaced}
    tell({**found, "written": not dry_run}, [line], as_json=as_json)


def verify(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Check the file, its references, hashes, JSON and full text; exit status 1 where wrong."""
    from ...store.checks import verify as problems_of
    from ...store.store import Store

    with Store(store, read_only=True) as opened:
        problems = problems_of(opened)
    found = {"store": store, "whole": not problems, "problems": problems}
    tell(found, problems or [f"{store} is whole"], as_json=as_json)
    if problems:
        fail(f"{store}: {len(problems)} problems; put a backup in its place, or see docs/store.md")


def vacuum(
    store: StoreOption = DEFAULT_STORE,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give the space that nothing uses any more back to the disk."""
    from ...store import care

    if dry_run:
        with open_store(store, create=False) as opened:
            free = care.reclaimable(opened)
        line = f"{store}: about {_megabytes(free)} would be given back; nothing was changed"
        tell({"store": store, "free": free}, [line], as_json=as_json)
        return
    with open_store(store, create=False) as opened:
        before, after = care.vacuum(opened)
    line = f"{store}: {_megabytes(before)} before, {_megabytes(after)} now"
    tell({"store": store, "bytes_before": before, "bytes": after}, [line], as_json=as_json)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


COMMANDS: dict[str, Callable[..., None]] = {"backup": backup, "verify": verify, "vacuum": vacuum}
