"""The mode in force, and what has to be there for it: a student, and for a cascade its bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...store.rows import Calibration, Mode
from .student import Student, SwapError

MODES: tuple[Mode, ...] = ("record", "shadow", "cascade", "student")


@dataclass(frozen=True)
class Standing:
    """The mode in force, and in cascade the calibration by which the student's answers pass."""

    mode: Mode = "record"
    calibration: Calibration | None = None

    @property
    def asks_first(self) -> bool:
        """Whether the student is asked before the chain."""
        return self.mode in ("cascade", "student")


def checked_standing(
    name: str,
    mode: Mode,
    *,
    student: Student | None,
    agreement: float | None,
    calibration: Callable[[Student], Calibration | None],
) -> Standing:
    """The mode as the stand-in `name` is asked to take it; `calibration` finds the student's newest
    for the agreement. Raises SwapError where the mode cannot be."""
    if mode not in MODES:
        raise SwapError(f"there is no mode {mode!r}; take one of {', '.join(MODES)}")
    if mode == "record":
        return Standing()
    if student is None:
        raise SwapError(f"{name}: mode {mode} needs a student; give student=")
    if mode != "cascade":
        return Standing(mode)
    if agreement is None:
        raise SwapError(f"{name}: mode cascade needs agreement=, such as 0.97")
    found = calibration(student)
    if found is None or found.threshold is None:
        why = "refuses it: the rows do not support it" if found else "is not there"
        raise SwapError(
            f"{name}: the calibration of {student.run.name} for agreement {agreement} {why}; "
            "record or shadow more rows, then understudy calibrate"
        )
    return Standing(mode, found)
