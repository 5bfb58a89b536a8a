"""How evaluate and report end: the gates, the systems that failed, and the exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from .options import COME_BACK, fail, say, tell

if TYPE_CHECKING:
    from ..evaluation.failing import Failed
    from ..evaluation.gate import GateResult
    from ..evaluation.results import Report
    from ..labelling.limits import Stopped


def asked_all(
    task: Any, store: Any, *, shown: dict[str, Any], **asked: Any
) -> tuple[Report, Stopped | None, Sequence[Failed]]:
    """The report of what the store holds, also where a limit ended the asking or systems failed."""
    from ..evaluation.comparing import compare
    from ..evaluation.failing import NotAsked
    from ..evaluation.systems import evaluate as evaluate_all
    from ..labelling.limits import LabellingError, Stopped
    from ..labelling.teaching import in_flags

    try:
        return evaluate_all(task, store, **asked, **shown), None, ()
    except NotAsked as end:
        failed = [dataclasses.replace(one, reason=in_flags(one.reason)) for one in end.failed]
        return compare(task, store, **shown), end.stopped, failed
    except Stopped as stopped:
        return compare(task, store, **shown), stopped, ()
    except LabellingError as error:
        raise LabellingError(in_flags(str(error))) from error


def check_gates(gates: Sequence[str]) -> None:
    """Say what is wrong with an expression before anybody is asked anything."""
    from ..evaluation.gate import parsed

    for expression in gates:
        parsed(expression)


def end(
    report: Report,
    gates: Sequence[str],
    told: dict[str, Any],
    as_json: bool,
    *,
    stopped: Stopped | None = None,
    failed: Sequence[Failed] = (),
) -> None:
    """The last lines, and the exit status: COME_BACK where the provider ended it for now, else 1
    for a system that failed or a gate that does not hold."""
    from ..labelling.teaching import in_flags

    results = _judged(report, gates, failed, partial=bool(failed or stopped))
    for one in results:
        say(f"gate {one.expression}: {'holds' if one.passed else 'does not hold'}; {one.reason}")
    if as_json:
        judged = [dataclasses.asdict(one) for one in results]
        tell({**told, "gates": judged, "stopped": stopped and str(stopped)}, as_json=True)
    wrong = [one.line for one in failed]
    if stopped is not None:
        line = in_flags(stopped.reason)
        if stopped.resume is not None:
            complain([*wrong, line], status=COME_BACK)
        say(line)
    held = [one for one in results if not one.passed]
    wrong += [f"gate {one.expression} does not hold: {one.reason}" for one in held[:1]]
    if wrong:
        complain(wrong)


def _judged(
    report: Report, gates: Sequence[str], failed: Sequence[Failed], *, partial: bool
) -> list[GateResult]:
    """Every gate's result. Where not all were asked, a gate on what is not there does not hold."""
    from ..evaluation.gate import GateResult, gate, parsed
    from ..labelling.limits import LabellingError

    results, reasons = [], {one.name: one.line for one in failed}
    for expression in gates:
        try:
            results += gate(report, [expression])
        except LabellingError as error:
            if not partial:
                raise
            asked = parsed(expression)
            named = [side.system for side in (asked.left, asked.right)]
            why = [reasons[name] for name in named if name in reasons]
            reason = "; ".join(why) or str(error)
            results.append(GateResult(expression=expression, passed=False, reason=reason))
    return results


def complain(lines: Sequence[str], *, status: int = 1) -> NoReturn:
    """Print each line as an error, and exit."""
    for line in lines[:-1]:
        typer.echo(f"understudy: {' '.join(line.split())}", err=True)
    fail(lines[-1], status=status)
