"""The command `doctor`: what this machine can do, what is missing, and the command that adds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from .options import DEFAULT_STORE, JsonOption, StoreOption, fail, tell

GIB = 2**30


def doctor(
    store: StoreOption = DEFAULT_STORE,
    rows: Annotated[int, typer.Option(min=1, help="of the training that is estimated")] = 1000,
    tokens: Annotated[int, typer.Option(min=1, help="of each of them, answer included")] = 400,
    as_json: JsonOption = False,
) -> None:
    """What this machine can do, what is missing, and the command that adds it.

    Example: understudy doctor --rows 3000 --tokens 600. Exits with 1 where nothing can work: a
    Python or SQLite that is too old, a folder that cannot be written.
    """
    from ..doctor import diagnosis

    found = diagnosis(store, rows=rows, tokens=tokens)
    tell(found, lines(found), as_json=as_json)
    if found["problems"]:
        fail("; ".join(found["problems"]))


def lines(found: dict[str, Any]) -> Iterator[str]:
    """A diagnosis as a person reads it."""
    sqlite = found["sqlite"]
    yield f"understudy {found['understudy']}, Python {found['python']}, {found['system']}"
    yield f"SQLite     {sqlite['version']}{', ' + sqlite['lack'] if sqlite['lack'] else ''}"
    yield from _store_lines(found["store"])
    yield f"memory     {_size(found['memory']) if found['memory'] else 'not known'}"
    yield from _device_lines(found["device"])
    yield from _extra_lines(found)
    keys = [name for name, there in found["keys"].items() if there]
    shown = f"set: {', '.join(keys)} (no value is shown)" if keys else "none is set"
    yield f"keys       {shown}"
    traced = "ON: prompts and answers leave this machine for it" if found["tracing"] else "off"
    yield f"tracing    LangSmith {traced}"
    yield from _student_lines(found)


def _store_lines(store: dict[str, Any]) -> Iterator[str]:
    from ...store.columns import printable

    there = "there" if store["exists"] else "not there yet"
    yield f"store      {printable(store['path'])}, {there}"
    if store["lack"]:
        yield f"           {printable(store['lack'])}"
    elif store["write_ahead_log"]:
        yield "           write-ahead log works: readers never wait for the writer"
    else:
        drive = f" of type {printable(store['shared_drive'])}" if store["shared_drive"] else ""
        yield f"           no write-ahead log on this drive{drive}: one program at a time writes"
    yield f"disk       {_size(store['disk_free'])} free"


def _device_lines(device: dict[str, Any]) -> Iterator[str]:
    if device["lack"]:
        yield f"device     {device['lack']}; a CPU is assumed below"
        return
    yield f"device     {device['choice']}"
    for note in device["fallbacks"]:
        if note not in device["choice"]:
            yield f"           where a recipe asks for it: {note}"
    yield (
        f"           {_size(device['memory'])} for a training, "
        f"{device['operations_per_second'] / 1e9:,.0f} GFLOP/s just now"
    )


def _extra_lines(found: dict[str, Any]) -> Iterator[str]:
    whole = [name for name, lacking in found["extras"].items() if not lacking]
    yield f"extras     {', '.join(whole) or 'none'}"
    for name, lacking in found["extras"].items():
        if lacking:
            yield f"           {name} lacks {', '.join(lacking)}"
    if found["install"]:
        yield f"           to add what is missing: {found['install']}"


def _student_lines(found: dict[str, Any]) -> Iterator[str]:
    from ..bases import DEFAULT_BASE, PORTUGUESE_BASE

    fitting = [one for one in found["students"] if one["fits"]]
    yield (
        f"students   that fit, ESTIMATED for {found['rows']:,} rows of {found['tokens']:,} tokens "
        "with the default recipe"
    )
    yield f"           {'embedded':<36}  a toy of about a million parameters, to try things with"
    for one in fitting:
        yield f"           {_student_line(one)}"
    if begin := [name for name in (DEFAULT_BASE, PORTUGUESE_BASE) if name in _names(fitting)]:
        yield f"           begin with {' or, for Portuguese, '.join(begin)}"
    if any(one["recomputed"] for one in fitting):
        yield "           *: activations are recomputed, which takes less memory and more time"
    if any(one["gated"] for one in fitting):
        yield "           gated: accept its terms at https://huggingface.co/NAME, set HF_TOKEN"
    if left := len(found["students"]) - len(fitting):
        yield f"           {left} others do not fit (--json lists them)"
    yield "           timed on your own rows: understudy train --student NAME --plan"


def _student_line(one: dict[str, Any]) -> str:
    from ..progress import duration

    memory = _size(one["memory"]) + ("*" if one["recomputed"] else " ")
    time = "time not known" if one["seconds"] is None else f"about {duration(one['seconds'])}"
    told = [time, f"{one['rows_at_once']} rows at once", f"download {_size(one['download'])}"]
    gated = " (gated)" if one["gated"] else ""
    return f"{one['base']:<36}{memory:>10} {', '.join(told)}, {one['licence']}{gated}"


def _names(students: list[dict[str, Any]]) -> set[str]:
    return {one["base"] for one in students}


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


COMMANDS = {"doctor": doctor}
