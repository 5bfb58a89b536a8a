"""A system that cannot be built or asked: it is remembered, and the others are asked anyhow."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...chains.student.card import StudentError
from ...chains.task import TaskError
from ...store.connection import StoreError
from ..defaults import EXTRAS
from ..labelling.limits import LabellingError, Stopped
from ..redaction import line_of, one_line
from ..training.preflight import TrainingError

logger = logging.getLogger(__name__)
_OPTION = "key_variable"  # which looks like a key itself
_OWN = (LabellingError, TaskError, StudentError, TrainingError)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A system by its name, and in one line why it could not be asked and what to do."""

    name: str
    reason: str

    @property
    def line(self) -> str:
        """Both, for a person."""
        return f"system {self.name} failed: {self.reason}"


class NotAsked(LabellingError):
    """Some systems could not be built or asked; what the others answered is stored.

    `stopped` is the limit that ended the asking of the rest, where one did.
    """

    def __init__(self, failed: Sequence[Failed], *, stopped: Stopped | None = None) -> None:
        super().__init__("; ".join(one.line for one in failed))
        self.failed, self.stopped = tuple(failed), stopped


@contextlib.contextmanager
def trying(name: str, failed: list[Failed]) -> Iterator[None]:
    """What this system raises in the block goes to `failed`, whatever it is.

    But for what would end the asking of any other, too: a limit (Stopped), the store (StoreError).
    """
    try:
        yield
    except (Stopped, StoreError):
        raise
    except Exception as error:
        logger.debug("system %s failed", name, exc_info=True)
        failed.append(Failed(name=name, reason=reason_of(error)))
    except SystemExit as end:  # a file without a main guard
        reason = f"it ends the program (exit {end.code}) when it is loaded; mend that"
        failed.append(Failed(name=name, reason=line_of(reason)))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # e.g. a CancelledError that a chain raises by itself
        logger.debug("system %s failed", name, exc_info=True)
        failed.append(Failed(name=name, reason=reason_of(error)))


@contextlib.contextmanager
def told_at_the_end(failed: Sequence[Failed]) -> Iterator[None]:
    """Raise NotAsked after the block where systems failed, also where a limit ended it."""
    try:
        yield
    except Stopped as stopped:
        if failed:
            raise NotAsked(failed, stopped=stopped) from stopped
        raise
    if failed:
        raise NotAsked(failed)


def reason_of(error: BaseException) -> str:
    """Why it failed and what to do, in one line without what looks like a key."""
    if isinstance(error, _OWN):
        # --retry-failed is distill's: what was paid for is not asked again here.
        text = str(error).replace("run again with --retry-failed", "run again")
        start, option, rest = text.partition(_OPTION)
        spaced = " " * rest.startswith(" ")
        return f"{line_of(start)} {option}{spaced}{line_of(rest)}" if option else line_of(text)
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is not None:
            return f'it needs {package}, which is not installed: pip install "understudy[{extra}]"'
    return f"{one_line(error)}; mend that and run again, what is answered is not asked again"
