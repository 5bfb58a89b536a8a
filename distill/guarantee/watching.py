"""A stand-in is watched: its calls are read from the store, and it falls back where it must."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from ...store.connection import StoreError
from ...store.rows import Calibration, Call, StandIn
from ...store.stand_ins import calibrations, iter_calls, replace_stand_in, stand_in, stand_ins
from ...store.store import Store
from ..labelling.limits import LabellingError
from ..runs import now
from ..standin.student import is_student
from .drift import Alarm, Drift
from .reference import summary, undivided
from .sequence import LiveAgreement

LATE = timedelta(minutes=10)  # a call is stored at most so long after it was answered
FIRST = 1000  # calls that say what is usual where no calibration does
logger = logging.getLogger(__name__)


class Watch:
    """Watches the stand-in `name` (the only one of the store, where None is given).

    What is usual is taken from the newest calibration for its agreement, else from its first FIRST
    calls since its mode was set. `on_alarm` is called with every alarm, after it is logged. Raises
    LabellingError where there is no such stand-in.
    """

    def __init__(
        self,
        store: Store,
        name: str | None = None,
        *,
        on_alarm: Callable[[Alarm], None] | None = None,
        week: int = 2000,
        sampling: float = 0.05,
        false_alarms: float = 0.05,
    ) -> None:
        self.store, self.on_alarm = store, on_alarm
        self.options = {"week": week, "sampling": sampling, "false_alarms": false_alarms}
        self.name = name or _only(store)
        self.live = LiveAgreement()
        self.seen = 0
        self._begin(self._row())

    def look(self) -> list[Alarm]:
        """The alarms that calls raise which came since the last look."""
        row = self._row()
        if row.changed != self.since:  # somebody set its mode: what was before is over
            self._begin(row)
        found: list[Alarm] = []
        for call in self._new():
            self.seen += 1
            if call.agreed is not None and not call.escalated:
                self.live = self.live.after(call.agreed)
            if self.drift is None:
                self._learn(call)
            else:
                found += self.drift.see(call)
        for alarm in found:
            logger.warning("stand-in %s: %s", self.name, alarm.told())
            if self.on_alarm:
                self.on_alarm(alarm)
        self._fall_back(row, found)
        return found

    def _begin(self, row: StandIn) -> None:
        self.since, self.number, self.latest = row.changed, 0, row.changed
        self.live, self.seen = LiveAgreement(), 0
        self.first: list[Call] = []
        self.drift: Drift | None = None
        found = calibration_of(self.store, row) if row.mode != "record" else None
        if found is None or not found.details.get("reference"):
            return
        usual, options = found.details["reference"], self._options()
        if row.mode == "cascade":
            self.drift = Drift(usual, agreement=found.agreement, **options)
        else:
            checked = 1.0 if row.mode == "shadow" else options["sampling"]
            options["sampling"] = checked
            self.drift = Drift(undivided(usual), agreement=None, **options)

    def _options(self) -> dict[str, Any]:
        return dict(self.options)

    def _new(self) -> Iterator[Call]:
        """The calls stored since the last look; some may be older than others seen then."""
        for call in iter_calls(self.store, self.name, since=max(self.since, _before(self.latest))):
            if (call.number or 0) > self.number:
                self.number, self.latest = call.number or 0, max(self.latest, call.at)
                yield call

    def _learn(self, call: Call) -> None:
        self.first.append(call)
        if len(self.first) >= FIRST:
            usual = summary(
                labels=[one.labels or {} for one in self.first],
                lengths=[one.length for one in self.first if one.length is not None],
            )
            self.drift = Drift(usual, agreement=None, **self._options())
            self.first = []

    def _fall_back(self, row: StandIn, found: list[Alarm]) -> None:
        broken = [alarm for alarm in found if alarm.breaks]
        if not broken or row.mode not in ("cascade", "student"):
            return
        changed = {"mode": "record", "reason": broken[0].told(), "changed": now()}
        if not replace_stand_in(self.store, row, row.model_copy(update=changed)):
            return  # somebody, perhaps the app itself, was faster
        logger.warning("stand-in %s: the teacher answers again", self.name)

    def _row(self) -> StandIn:
        row = stand_in(self.store, self.name)
        if row is None:
            known = ", ".join(one.name for one in stand_ins(self.store)) or "none"
            raise LabellingError(f"there is no stand-in {self.name} in the store; it has {known}")
        return row


def _before(moment: str) -> str:
    """So much earlier that no writer's queue holds older calls."""
    return (datetime.fromisoformat(moment) - LATE).isoformat(timespec="seconds")


def calibration_of(store: Store, row: StandIn) -> Calibration | None:
    """The newest calibration of the stand-in's task for its agreement, of its student."""
    return next(
        (
            one
            for one in calibrations(store, row.task)
            if one.agreement == row.agreement
            and (row.student is None or _is_of(store, one, row.student))
        ),
        None,
    )


def _is_of(store: Store, calibration: Calibration, student: str) -> bool:
    """Whether the calibration is that of the student which the stand-in's row names."""
    try:
        return is_student(store.run(calibration.student), student)
    except StoreError:
        return False


def _only(store: Store) -> str:
    names = [one.name for one in stand_ins(store)]
    if not names:
        raise LabellingError("the store has no stand-in yet: wrap a chain in swap(...) first")
    if len(names) > 1:
        raise LabellingError(f"the store has {len(names)} stand-ins ({', '.join(names)}); name one")
    return names[0]
