"""The commands `calibrate` and `watch`: what a student may answer alone, and if it still may."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..progress import row_bars
from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    JsonOption,
    LimitOption,
    StoreOption,
    TaskOption,
    fail,
    open_for,
    open_store,
    prints_aside,
    stoppable,
    tell,
)

if TYPE_CHECKING:
    from ...chains.task import Task
    from ...store.rows import Calibration
    from ...store.store import Store
    from ..guarantee.drift import Alarm
    from ..guarantee.watching import Watch

ALARM = 3  # exit status of a watch that found something
_SHOWN = 10  # points of the curve


def calibrate_(
    run: Annotated[
        str,
        typer.Option(
            help="run folder, a server's student (http://host:port/v1#name), or provider:model"
        ),
    ],
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    agreement: Annotated[
        float, typer.Option(help="share of the student's answers that are to be the teacher's")
    ] = 0.97,
    confidence: Annotated[float, typer.Option(help="how sure that is to be")] = 0.95,
    max_usd_per_1000: Annotated[
        float | None, typer.Option(help="refuse a cascade whose 1,000 rows cost more")
    ] = None,
    limit: LimitOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="say who would be asked what at what cost, and ask nobody"),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """From which confidence on the student answers alone: a threshold and its bound, or why not."""
    from ...chains.loading import load_task
    from ..guarantee.calibrating import calibrate

    if dry_run:
        with _words_of_the_command(), open_for(store, dry_run=True) as opened:
            with prints_aside(as_json):
                loaded = load_task(task)
            _foresee(loaded, opened, run, limit, as_json=as_json)
        return
    with (
        _words_of_the_command(),
        prints_aside(as_json),
        open_store(store, create=False) as opened,
        stoppable(),
        row_bars() as progress,
    ):
        found = calibrate(
            load_task(task),
            opened,
            run,
            agreement=agreement,
            confidence=confidence,
            max_usd_per_1000=max_usd_per_1000,
            limit=limit,
            progress=progress,
        )
    tell(found.model_dump(), told(found), as_json=as_json)
    if found.threshold is None:
        fail(f"refused: {found.details['why']}")


@contextlib.contextmanager
def _words_of_the_command() -> Iterator[None]:
    """What the library says of a lacking key, without the option that this command has not."""
    from ...chains.task import TaskError

    try:
        yield
    except TaskError as error:
        said, option, _ = str(error).partition(", or give key_variable")
        if not option:
            raise
        raise TaskError(f"{said} and run again") from error


def _foresee(task: Task, store: Store, run: str, limit: int | None, *, as_json: bool) -> None:
    """Say what the calibration would ask; its own rules are looked at when it is made."""
    from ..guarantee.asking import foresee
    from ..guarantee.rows import BOUND, FITTED
    from ..labelling.prices import default_table

    splits, table = (FITTED, BOUND), default_table()
    with prints_aside(as_json):
        found = foresee(task, store, run, splits=splits, limit=limit, price_table=table)
    there = {split: store.splits(task.name).get(split, 0) for split in splits}
    lines = [
        f"{FITTED} has {there[FITTED]:,} rows, {BOUND} {there[BOUND]:,}",
        f"{found.told()}; nobody was asked and nothing was written",
    ]
    tell({**dataclasses.asdict(found), "splits": there}, lines, as_json=as_json)


def told(found: Calibration) -> list[str]:
    """The calibration as lines to read."""
    details = found.details
    lines = [
        f"{details['validation_rows']:,} validation rows for the calibrator, {found.rows:,} "
        "calibration rows for the threshold"
    ]
    lines += [f"  left out {count:,}: {why}" for why, count in details["left_out"].items()]
    lines += [f"  not known: {what}" for what in details["unknown"]]
    lines += _curve_lines(found)
    if found.threshold is not None:
        share = details["agreed"] / details["answered"]
        lines.append(
            f"threshold {found.threshold:.6g}: the student answers {details['coverage']:.1%} and "
            f"agrees in at least {found.agreement:.1%} of them with {details['confidence']:.0%} "
            f"confidence (here {share:.1%} of {details['answered']:,})"
        )
        lines.append(_saving(found))
    return lines


def _saving(found: Calibration) -> str:
    usd, coverage = found.details["usd_per_1000"], found.details["coverage"]
    if usd["teacher"] is None:
        return f"saved: {1000 * coverage:,.0f} of 1,000 calls of the teacher (no price is known)"
    saved = usd["teacher"] - usd["cascade"]
    return (
        f"saved: ${saved:.4g} of ${usd['teacher']:.4g} for 1,000 rows, {1000 * coverage:,.0f} of "
        "1,000 calls of the teacher"
    )


def _curve_lines(found: Calibration) -> list[str]:
    from ..guarantee.curve import curve

    points = curve(found)
    step = max(1, len(points) // _SHOWN)
    shown = [p for place, p in enumerate(points) if p.chosen or place % step == step - 1]
    lines = ["coverage  agreement  at least  as the teacher  usd per 1,000"] if shown else []
    for point in shown:
        agreed = "-" if point.agreement is None else f"{point.agreement:.3f}"
        usd = "-" if point.usd_per_1000 is None else f"{point.usd_per_1000:.4g}"
        mark = "  chosen" if point.chosen else ""
        lines.append(
            f"{point.coverage:8.3f}  {agreed:>9}  {point.low:8.3f}  {point.quality:14.3f}  "
            f"{usd:>13}{mark}"
        )
    return lines


def watch_(
    name: Annotated[
        str | None, typer.Argument(help="the stand-in; needed where the store has several")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    once: Annotated[bool, typer.Option("--once", help="look once, and end")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between two looks")] = 60.0,
    week: Annotated[int, typer.Option(min=1, help="calls in a week, about")] = 2000,
    sampling: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="share of the answered calls that is checked")
    ] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Has a stand-in's input or agreement changed? Ends with status 3 at the first alarm.

    Where the student agrees less than was asked the stand-in falls back to its teacher. A quiet
    week raises an alarm in at most one of twenty weeks.
    """
    from ..guarantee.watching import Watch

    with open_store(store, create=False) as opened, stoppable():
        watch = Watch(opened, name, week=week, sampling=sampling)
        while True:
            alarms = watch.look()
            if once or alarms:
                break
            time.sleep(every)
        tell(_watched(watch, alarms), _watch_lines(watch, alarms), as_json=as_json)
    if alarms:
        sys.exit(ALARM)


def _watched(watch: Watch, alarms: Sequence[Alarm]) -> dict[str, Any]:
    low, high = watch.live.interval()
    return {
        "stand_in": watch.name,
        "calls": watch.seen,
        "checked": watch.live.asked,
        "agreed": watch.live.agreed,
        "agreement": [low, high],
        "alarms": [dataclasses.asdict(alarm) for alarm in alarms],
    }


def _watch_lines(watch: Watch, alarms: Sequence[Alarm]) -> Iterator[str]:
    from .stories import visible

    yield f"{watch.name}: {watch.seen:,} calls since {watch.since}"
    if watch.live.asked:
        low, high = watch.live.interval()
        yield (
            f"the student agrees in {watch.live.agreed:,} of {watch.live.asked:,} checked answers: "
            f"between {low:.1%} and {high:.1%} (95 %, at any time)"
        )
    for alarm in alarms:
        back = "; the teacher answers again" if alarm.breaks else ""
        yield visible(f"alarm: {alarm.told()}{back}", longest=300)
    if not alarms:
        yield "no alarm"


COMMANDS: dict[str, Callable[..., None]] = {"calibrate": calibrate_, "watch": watch_}
