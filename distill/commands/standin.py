"""The commands of a chain in production: mode, status, and forget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    fail,
    open_for,
    open_store,
    remark,
    say,
    tell,
)

if TYPE_CHECKING:
    from ...store.forgetting import Forgotten
    from ...store.rows import StandIn
    from ...store.store import Store
    from ..standin.status import Period, Status

MODES = ("record", "shadow", "cascade", "student")
SHOWN = 5  # rows that are named one by one


def mode_(
    name: Annotated[str, typer.Argument(help="the stand-in, as understudy status names it")],
    mode: Annotated[
        str | None, typer.Argument(help="record, shadow, cascade or student; default: say which")
    ] = None,
    agreement: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="what cascade is to promise, e.g. 0.97")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would change, and change nothing")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Say or set who answers in a running app: it takes it up within a second, without restart."""
    from ...store.stand_ins import save_stand_in
    from ..runs import now
    from ..standin.status import known

    if mode is not None and mode not in MODES:
        fail(f"there is no mode {mode}; choose {', '.join(MODES)}", status=2)
    with open_for(store, dry_run=dry_run) as opened:
        found = known(opened, name)
        if mode is None and agreement is None:
            tell(found.model_dump(), [_told(found)], as_json=as_json)
            return
        wanted = {
            "mode": mode or found.mode,
            "agreement": found.agreement if agreement is None else agreement,
            "reason": None,
            "changed": now(),
        }
        changed = found.model_copy(update=wanted)
        _check(opened, changed)
        if not dry_run:
            save_stand_in(opened, changed)
    line = f"{_told(changed)} (it was {found.mode})"
    if dry_run:
        line = f"{line}; nothing was changed"
    told = {**changed.model_dump(), "was": found.mode, "written": not dry_run}
    tell(told, [line], as_json=as_json)


def status_(
    name: Annotated[str | None, typer.Argument(help="one stand-in; default: all")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Mode, coverage, agreement with its confidence sequence, spend saved, since when, and why."""
    from ...store.stand_ins import stand_ins
    from ..standin.status import status_of

    with open_store(store, create=False) as opened:
        names = [name] if name else [one.name for one in stand_ins(opened)]
        found = [status_of(opened, one) for one in names]
    if as_json:
        data = [one.data() for one in found]
        tell(data[0] if name else data, as_json=True)
        return
    if not found:
        say(f"{store} has no stand-in yet: wrap a chain in swap(...)")
    for one in found:
        _print_status(one)


def forget_(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID...", help="a record's number, RUN:EXAMPLE, or the beginning of an example's"
        ),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(min=0, help="also recorded rows last asked more than so many days ago"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would go, and change nothing")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Erase rows everywhere in the store, and name the copies and students that saw them."""
    from ...store.forgetting import forget, would_forget

    if not ids and keep_days is None:
        fail("name the rows to forget, or give --keep-days", status=2)
    if as_json and not (yes or dry_run):
        fail("--json asks nobody a question: give --yes, or --dry-run", status=2)
    with open_for(store, dry_run=dry_run) as opened:
        examples, before = _named(opened, ids or [], keep_days)
        would = would_forget(opened, examples, before=before)
        if not any(would.rows.values()):
            tell(_gone(would, False), ["there is nothing to forget"], as_json=as_json)
            return
        _print_forgotten(would, "would erase" if dry_run else "to erase")
        if dry_run:
            _tell_if(as_json, _gone(would, False))
            return
        if not yes and not typer.confirm("erase this for good?"):
            fail("nothing was erased")
        done = forget(opened, examples, before=before)
    looked = f"; {done.looked_for} pieces of the texts were looked for in the file"
    found = ", and none is there" if not done.left else ""
    say(f"erased{looked + found if done.looked_for else ''}")
    for line in done.left:
        say(f"a piece of a text also stands in {line}: rows of their own, which stay")
    _tell_if(as_json, _gone(done, True))


def _gone(found: Forgotten, erased: bool) -> dict[str, Any]:
    """What went, or would go, as data."""
    return {"erased": erased, **dataclasses.asdict(found)}


def _tell_if(as_json: bool, data: dict[str, Any]) -> None:
    if as_json:
        tell(data, as_json=True)


def _named(store: Store, ids: list[str], keep_days: float | None) -> tuple[list[str], str | None]:
    """The ids of the examples that are to go, and the time before which calls go too."""
    from ...store.forgetting import outdated
    from ...store.story import find_examples

    examples = [example for asked in ids for example in find_examples(store, asked)]
    if keep_days is None:
        return list(dict.fromkeys(examples)), None
    old, taught, before = outdated(store, keep_days)
    if taught:
        remark(
            f"{len(taught)} rows older than {keep_days:g} days stay, because a student learnt from "
            f"them: {', '.join(taught[:SHOWN])}{', ...' if len(taught) > SHOWN else ''}; forget "
            "them by their ids"
        )
    return list(dict.fromkeys([*examples, *old])), before


def _check(store: Store, wanted: StandIn) -> None:
    """Fail where the app could not take the mode up."""
    from ...store.stand_ins import calibrations

    if wanted.mode != "record" and wanted.student is None:
        fail(f"{wanted.name} has no student: give swap(..., student=...) in the app first")
    if wanted.mode != "cascade":
        return
    if wanted.agreement is None:
        fail("cascade promises an agreement: give --agreement, e.g. 0.97")
    newest: dict[str, bool] = {}
    for one in calibrations(store, wanted.task):
        if one.agreement == wanted.agreement:
            newest.setdefault(one.student, one.threshold is not None)
    if not any(newest.values()):
        why = "refuses it" if newest else "is not there"
        fail(
            f"the calibration of task {wanted.task} for agreement {wanted.agreement:g} {why}; "
            "run understudy calibrate"
        )


def _told(found: StandIn) -> str:
    from .stories import visible

    promised = f", agreement {found.agreement:g}" if found.agreement is not None else ""
    why = f": {found.reason}" if found.reason else ""
    told = f"{found.name}: mode {found.mode}{promised}, since {found.changed}{why}"
    return visible(told, longest=600)


def _print_status(status: Status) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for head in ("", "since then", "ever"):
        table.add_column(head, justify="left" if not head else "right", overflow="fold")
    now, ever = _cells(status.now), _cells(status.ever)
    for head in now:
        table.add_row(head, Text(now[head]), Text(ever[head]))
    console = Console()
    console.print(Text(_told(status.stand_in), overflow="fold"))
    console.print(table)


def _cells(period: Period) -> dict[str, str]:
    agreement = interval = "–"
    if period.agreement is not None:
        agreement = f"{100 * period.agreement:.1f} % of {period.compared:,}"
        interval = f"[{100 * (period.low or 0):.1f}, {100 * (period.high or 0):.1f}]"
    return {
        "calls": f"{period.calls:,}",
        "answered by the student": f"{period.by_student:,}",
        "coverage": "–" if period.coverage is None else f"{100 * period.coverage:.1f} %",
        "escalated": f"{period.escalated:,}",
        "errors": f"{period.errors:,}",
        "agreement": agreement,
        "always valid 95 %": interval,
        "teacher's cost, US$": _dollars(period.spent),
        "saved, US$": _dollars(period.saved),
        "first call, UTC": _moment(period.first),
        "last call, UTC": _moment(period.last),
    }


def _moment(stored: str | None) -> str:
    """A stored time, which is in UTC, to the second."""
    from .stories import visible

    return visible((stored or "–")[:19].replace("T", " "))


def _dollars(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.4f}"


def _print_forgotten(found: Forgotten, verb: str) -> None:
    from .stories import visible

    counts = ", ".join(f"{count} {table}" for table, count in found.rows.items() if count)
    shown = ", ".join(found.examples[:SHOWN]) + (", ..." if len(found.examples) > SHOWN else "")
    say(f"{verb} {counts} ({shown or 'old calls alone'})")
    lines = [
        f"student {one.name} learnt from them: {one.folder}; train it again without"
        for one in found.students
    ]
    lines += [
        f"{path} is a copy that holds them; delete it, or forget there" for path in found.copies
    ]
    lines += [f"a copy was written to {one}, which is not there any more" for one in found.moved]
    for line in lines:
        say(visible(line))


COMMANDS: dict[str, Callable[..., None]] = {"mode": mode_, "status": status_, "forget": forget_}
