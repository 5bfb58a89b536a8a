"""The commands evaluate and report: everybody answers the held-out rows, and is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import evaluate_options as options
from .defaults import base_of
from .display import print_table
from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    BackupMinutesOption,
    BackupOption,
    LimitOption,
    StoreOption,
    TaskOption,
    backups,
    fail,
    open_store,
    say,
    stoppable,
)
from .progress import row_bars

if TYPE_CHECKING:
    from .evaluation.results import Report
    from .limits import Stopped

COME_BACK = 75  # EX_TEMPFAIL of sysexits.h: the provider's limit ended it, try again later


def evaluate(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    run: options.RunOption = None,
    base: options.BaseOption = None,
    no_base: options.NoBaseOption = False,
    notebook: options.NotebookOption = None,
    system: options.SystemOption = None,
    support: options.SupportOption = False,
    learning_curve: options.CurveOption = False,
    learning_student: options.CurveStudentOption = None,
    strategy: options.StrategyOption = None,
    teacher: options.TeacherOption = None,
    shots: options.ShotsOption = None,
    samples: options.SamplesOption = None,
    temperature: options.TemperatureOption = None,
    persona: options.PersonaOption = None,
    rounds: options.RoundsOption = None,
    tools: options.ToolsOption = None,
    max_usd: options.MaxUsdOption = None,
    max_tokens: options.MaxTokensOption = None,
    max_output_tokens: options.OutputCapOption = None,
    base_url: options.BaseUrlOption = None,
    key_variable: options.KeyVariableOption = None,
    prices: options.PricesOption = None,
    concurrency: options.ConcurrencyOption = 8,
    rpm: options.RpmOption = None,
    tpm: options.TpmOption = None,
    timeout: options.TimeoutOption = 120.0,
    retries: options.RetriesOption = 6,
    machine_usd_per_hour: options.MachineOption = None,
    margin: options.MarginOption = 0.02,
    gate: options.GateOption = None,
    split: options.SplitsOption = None,
    limit: LimitOption = None,
    backup_to: BackupOption = None,
    backup_minutes: BackupMinutesOption = 10.0,
) -> None:
    """Students, base, baselines and any other system answer the held-out rows; who got it right?

    Run again, only what is missing is asked: adding a system asks that one alone.
    """
    from ..chains.loading import load_task
    from .evaluation.typed import named_systems, prompting_of
    from .jobs import limits_of
    from .prices import default_table

    _check_gates(gate or [])
    _say_traced()
    loaded = load_task(task)
    given = {
        "shots": shots,
        "samples": samples,
        "temperature": temperature,
        "personas": persona,
        "rounds": rounds,
        "tools": tools,
    }
    served = {
        "base_url": base_url,
        "key_variable": key_variable,
        "max_output_tokens": max_output_tokens,
    }
    table = prices or default_table()
    limits = limits_of(
        max_usd=max_usd,
        max_tokens=max_tokens,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        timeout=timeout,
        retries=retries,
    )
    with (
        open_store(store, create=False) as opened,
        backups(opened, backup_to, backup_minutes),
        row_bars() as progress,
        stoppable(),
    ):
        students, others = named_systems(run or [], system or [], loaded.name, task, served)
        found, stopped = _evaluated(
            loaded,
            opened,
            students=students,
            base=None if no_base else base or base_of(students),
            notebook=notebook,
            systems=others,
            prompting=prompting_of(
                loaded, task, strategy or [], teacher or [], given=given, served=served, table=table
            ),
            support=support,
            curve=learning_curve or bool(learning_student),
            curve_students=learning_student or [],
            limits=limits,
            price_table=table,
            concurrency=concurrency,
            progress=progress,
            shown={
                "splits": split,
                "limit": limit,
                "margin": margin,
                "machine_usd_per_hour": machine_usd_per_hour,
            },
        )
    print_table(found)
    say(found.answer)
    for dividend in found.dividends:
        say(dividend.sentence)
    if found.learning is not None:
        say(found.learning.sentence)
    _end(found, gate or [], stopped)


def report(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    out: options.OutOption = Path("report"),
    split: options.SplitsOption = None,
    margin: options.MarginOption = 0.02,
    machine_usd_per_hour: options.MachineOption = None,
    no_text: options.NoTextOption = False,
    gate: options.GateOption = None,
) -> None:
    """Everybody side by side, from the store: one HTML file, the same as Markdown and JSON."""
    from ..chains.loading import load_task
    from .evaluation.results import Report
    from .reporting.pages import report as write

    _check_gates(gate or [])
    with open_store(store, create=False) as opened:
        page = write(
            load_task(task),
            opened,
            out,
            splits=split,
            margin=margin,
            texts=not no_text,
            machine_usd_per_hour=machine_usd_per_hour,
            commands=_remade_by(task, store, split or [], margin, machine_usd_per_hour, no_text),
        )
    say(f"report {page}")
    if gate:
        written = page.with_suffix(".json").read_bytes()
        _end(Report.model_validate_json(written), gate, None)


def _remade_by(
    task: str,
    store: Path,
    splits: Sequence[str],
    margin: float,
    machine: float | None,
    no_text: bool,
) -> list[str]:
    """What makes the report again where the store is; which folder that is stays out of it."""
    import shlex

    told = ["understudy", "report", "--task", task, "--store", store.name]
    told += [part for split in splits for part in ("--split", split)]
    told += ["--margin", f"{margin:g}"]
    told += [] if machine is None else ["--machine-usd-per-hour", f"{machine:g}"]
    return [shlex.join(told + (["--no-text"] if no_text else []))]


def _evaluated(
    task: Any, store: Any, *, shown: dict[str, Any], **asked: Any
) -> tuple[Report, Stopped | None]:
    """The report, also where a limit ended the asking: of what the store then holds."""
    from .evaluation.comparing import compare
    from .evaluation.systems import evaluate as evaluate_all
    from .limits import LabellingError, Stopped
    from .teaching import in_flags

    try:
        return evaluate_all(task, store, **asked, **shown), None
    except Stopped as stopped:
        return compare(task, store, **shown), stopped
    except LabellingError as error:
        raise LabellingError(in_flags(str(error))) from error


def _say_traced() -> None:
    from langsmith.utils import tracing_is_enabled

    if tracing_is_enabled():
        say("LangSmith tracing is on: prompts and answers leave this machine for it, too")


def _check_gates(gates: Sequence[str]) -> None:
    """Say what is wrong with an expression before anybody is asked anything."""
    from .evaluation.gate import parsed

    for expression in gates:
        parsed(expression)


def _end(report: Report, gates: Sequence[str], stopped: Stopped | None) -> None:
    """The last lines, and the exit status: 1 for a gate that does not hold, COME_BACK."""
    from .evaluation.gate import gate
    from .teaching import in_flags

    results = gate(report, gates)
    for one in results:
        say(f"gate {one.expression}: {'holds' if one.passed else 'does not hold'}; {one.reason}")
    if stopped is not None:
        line = in_flags(stopped.reason)
        if stopped.resume is not None:
            fail(line, status=COME_BACK)
        say(line)
    failed = [one for one in results if not one.passed]
    if failed:
        fail(f"gate {failed[0].expression} does not hold: {failed[0].reason}")


COMMANDS: dict[str, Callable[..., None]] = {"evaluate": evaluate, "report": report}
