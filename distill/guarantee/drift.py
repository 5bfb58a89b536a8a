"""Whether the calls of a stand-in still are what they were when its student was calibrated.

Watched are the label mix, the inputs' lengths and the student's calibrated confidence, of every
call; and its agreement with the teacher, of the calls on which both were asked: the sample of those
it answers, and those it passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...store.rows import Call
from .binomial import upper_bound
from .detectors import Cusum, Level, Rise, rank_of
from .reference import OTHER, value_key

Kind = Literal["label mix", "length", "confidence", "agreement", "bound"]
STEP = 0.05  # a loss of agreement that is to be found, on answered calls; thrice on the others
RANKS = 0.1  # a shift of the mean rank that is to be found: of the median to the 40 % quantile
HARMLESS = 0.02  # a share may move so much
# How the false alarms of a week are shared out.
_SHARES = {
    "labels": 0.05,
    "length": 0.05,
    "confidence": 0.15,
    "answered": 0.4,
    "escalated": 0.3,
    "bound": 0.05,
}
_SAID: Mapping[str, tuple[str, str]] = {
    "length": ("inputs are shorter than they were", "inputs are longer than they were"),
    "confidence": ("the student is less sure than it was", "the student is surer than it was"),
}
_SURE = 0.995  # that a usual share lies below its bound, of each detector


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What changed: `calls` since the beginning when it was found. `breaks`: the student agrees
    less than was asked, so the teacher should answer again."""

    kind: Kind
    what: str
    calls: int
    breaks: bool = False

    def told(self) -> str:
        """One line."""
        return f"{self.kind}: {self.what} (after {self.calls:,} calls)"


class Drift:
    """Sees calls in their order, and raises each alarm once.

    `reference` is `reference_of(...)`, or `undivided` of it where there is no cascade; `agreement`
    what was asked for, None likewise. Within `week` calls, of whose answered ones the share
    `sampling` is checked, all alarms together are false with probability at most `false_alarms`.
    """

    def __init__(
        self,
        reference: Mapping[str, Any],
        *,
        agreement: float | None,
        week: int = 2000,
        sampling: float = 0.05,
        false_alarms: float = 0.05,
    ) -> None:
        self.calls, self.agreement, self.reference = 0, agreement, reference
        self.week, self.sampling, self.false_alarms = week, sampling, false_alarms
        often = {name: share * false_alarms for name, share in _SHARES.items()}
        self.mix = _mixes(reference, week, often["labels"])
        self.levels = {
            name: _levels(reference, name, week, often[kind])
            for name, kind in (("lengths", "length"), ("scores", "confidence"))
        }
        self.agreeing = self._agreeing()
        self.raised: set[str] = set()

    def see(self, call: Call) -> list[Alarm]:
        """The alarms that this call raises."""
        self.calls += 1
        found = [
            *self._mix(call),
            *self._level("length", "lengths", call.length),
            *self._level("confidence", "scores", call.confidence),
        ]
        if call.agreed is not None:
            found += self._agreement(call)
        new = [alarm for alarm in found if alarm.what.split(" (")[0] not in self.raised]
        self.raised |= {alarm.what.split(" (")[0] for alarm in new}
        return new

    def _mix(self, call: Call) -> Iterator[Alarm]:
        for path, detectors in self.mix.items():
            if call.labels is None or path not in call.labels:
                continue
            said = value_key(call.labels[path])
            said = said if said in detectors else OTHER
            for value, detector in detectors.items():
                if detector.see(value == said):
                    yield self._alarm("label mix", f"{path} is more often {value} than it was")

    def _level(self, kind: Kind, name: str, value: float | None) -> Iterator[Alarm]:
        if value is None or not self.levels[name]:
            return
        rank = rank_of(value, self.reference[name])
        for detector, seen, what in zip(
            self.levels[name], (rank, 1.0 - rank), _SAID[kind], strict=True
        ):
            if detector.see(seen):
                yield self._alarm(kind, what)

    def _agreeing(self) -> dict[str, Cusum]:
        (agreed, answered), (passed, escalated) = (
            self.reference["answered"],
            self.reference["escalated"],
        )
        share = answered / max(1, answered + escalated)
        checked = max(10, round(self.week * share * self.sampling))
        often = {name: part * self.false_alarms for name, part in _SHARES.items()}
        found: dict[str, Cusum] = {}
        if self.agreement is not None:
            found["bound"] = Cusum(
                1.0 - self.agreement,
                1.0,
                step=STEP,
                horizon=checked,
                often=often["bound"],
                exact=True,
            )
        if answered:
            found["answered"] = Cusum(
                answered - agreed, answered, step=STEP, horizon=checked, often=often["answered"]
            )
        if escalated:
            horizon = max(10, round(self.week * (1 - share)))
            often_ = often["escalated"]
            found["escalated"] = Cusum(
                escalated - passed, escalated, step=3 * STEP, horizon=horizon, often=often_
            )
        return found

    def _agreement(self, call: Call) -> Iterator[Alarm]:
        if call.escalated:
            here = self.agreeing.get("escalated")
            if here and here.see(not call.agreed):
                yield self._alarm(
                    "agreement", f"on what it passes on the student agrees less {_since(here)}"
                )
            return
        for name, kind in (("answered", "agreement"), ("bound", "bound")):
            detector = self.agreeing.get(name)
            if detector is None or not detector.see(not call.agreed):
                continue
            missed, seen = detector.since
            broken = self.agreement is not None and missed > (1 - self.agreement) * seen
            what = "the student agrees less than it did" if name == "answered" else (
                f"the student agrees in less than {self.agreement:g}"
            )  # fmt: skip
            yield self._alarm(kind, f"{what} {_since(detector)}", breaks=broken)

    def _alarm(self, kind: Any, what: str, *, breaks: bool = False) -> Alarm:
        return Alarm(kind=kind, what=what, calls=self.calls, breaks=breaks)


def _since(detector: Cusum) -> str:
    missed, seen = detector.since
    return f"({seen - missed:,} of the last {seen:,} checked)"


def _mixes(reference: Mapping[str, Any], week: int, often: float) -> dict[str, dict[str, Rise]]:
    """A detector for each value of each label path, and for all other values."""
    mixes = reference["labels"]
    limit = week * sum(len(mix) + 1 for mix in mixes.values()) / often
    return {
        path: {
            value: _rise(counts.get(value, 0), sum(counts.values()), limit)
            for value in (*counts, OTHER)
        }
        for path, counts in mixes.items()
    }


def _levels(reference: Mapping[str, Any], name: str, week: int, often: float) -> list[Level]:
    """Detectors of lower and of higher values; none where the reference has no values."""
    if not reference[name]:
        return []
    rows = reference["rows"]
    return [Level(rows, step=RANKS, horizon=week, often=often / 2) for _ in range(2)]


def _rise(count: int, rows: int, limit: float) -> Rise:
    usual = upper_bound(count, rows, confidence=_SURE) + HARMLESS
    return Rise(min(0.99, usual), limit=limit)
