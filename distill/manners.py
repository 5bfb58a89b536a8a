"""How this process speaks: set from the command line before a command runs, read by what draws."""

from __future__ import annotations

MANNER = {"quiet": False, "json": False}


def speak(*, quiet: bool) -> None:
    """Begin a command: `quiet` leaves results and errors alone."""
    MANNER.update(quiet=quiet, json=False)


def is_quiet() -> bool:
    """Whether nobody wants to see progress and remarks."""
    return MANNER["quiet"]
