"""The commands evaluate and report: everybody answers the held-out rows, and is compared."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..defaults import base_of
from ..progress import row_bars
from . import evaluate_options as options
from .display import print_table
from .options import (
    COME_BACK,
    DEFAULT_STORE,
    SAMPLE_TASK,
    BackupMinutesOption,
    BackupOption,
    JsonOption,
    LimitOption,
    StoreOption,
    TaskOption,
    backups,
    check_folder,
    fail,
    open_store,
    remark,
    say,
    stoppable,
    tell,
)

if TYPE_CHECKING:
    from ..evaluation.results import Report
    from ..labelling.limits import Stopped


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
    dry_run: options.ForesightOption = False,
    as_json: JsonOption = False,
) -> None:
    """Students, base, baselines and any other system answer the held-out rows; who got it right?

    Run again, only what is missing is asked: adding a system asks that one alone.
    """
    from ...chains.loading import load_task
    from ..evaluation.typed import named_systems, prompting_of
    from ..labelling.jobs import limits_of
    from ..labelling.prices import default_table

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
        backups(opened, None if dry_run else backup_to, backup_minutes),
        row_bars() as progress,
        stoppable(),
    ):
        students, others = named_systems(run or [], system or [], loaded.name, task, served)
        asked = {
            "students": students,
            "base": None if no_base else base or base_of(students),
            "notebook": notebook,
            "systems": others,
            "prompting": prompting_of(
                loaded, task, strategy or [], teacher or [], given=given, served=served, table=table
            ),
            "support": support,
            "curve": learning_curve or bool(learning_student),
            "curve_students": learning_student or [],
            "limits": limits,
            "price_table": table,
            "concurrency": concurrency,
            "progress": progress,
        }
        if dry_run:
            _foresee(loaded, opened, {**asked, "splits": split, "limit": limit}, as_json)
            return
        found, stopped = _evaluated(
            loaded,
            opened,
            **asked,
            shown={
                "splits": split,
                "limit": limit,
                "margin": margin,
                "machine_usd_per_hour": machine_usd_per_hour,
            },
        )
    if not as_json:
        print_table(found)
    say(found.answer)
    for dividend in found.dividends:
        say(dividend.sentence)
    if found.learning is not None:
        say(found.learning.sentence)
    told = {"report": found.model_dump(mode="json")} if as_json else {}
    _end(found, gate or [], stopped, told, as_json)


def report(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    out: options.OutOption = Path("report"),
    split: options.SplitsOption = None,
    margin: options.MarginOption = 0.02,
    machine_usd_per_hour: options.MachineOption = None,
    no_text: options.NoTextOption = False,
    gate: options.GateOption = None,
    dry_run: options.DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Everybody side by side, from the store: one HTML file, the same as Markdown and JSON."""
    from ...chains.loading import load_task
    from ..evaluation.results import Report
    from ..reporting.pages import report as write

    _check_gates(gate or [])
    check_folder(out)
    with open_store(store, create=False) as opened, _folder(out, dry_run) as folder:
        page = write(
            load_task(task),
            opened,
            folder,
            splits=split,
            margin=margin,
            texts=not no_text,
            machine_usd_per_hour=machine_usd_per_hour,
            commands=_remade_by(task, store, split or [], margin, machine_usd_per_hour, no_text),
        )
        found = Report.model_validate_json(page.with_suffix(".json").read_bytes())
    files = [out / page.with_suffix(ending).name for ending in (".html", ".md", ".json")]
    there = [str(file) for file in files if file.exists()] if dry_run else []
    if dry_run:
        over = f"would replace {', '.join(there)}" if there else f"would write {files[0]}"
        say(f"{over}; nothing was written")
    else:
        say(f"report {files[0]}")
    told = {"page": files[0], "files": files, "written": not dry_run, "answer": found.answer}
    _end(found, gate or [], None, told, as_json)


def _folder(out: Path, dry_run: bool) -> contextlib.AbstractContextManager[Path | str]:
    """Where the report is written; for a dry run a place that is gone again."""
    return tempfile.TemporaryDirectory() if dry_run else contextlib.nullcontext(out)


def _foresee(task: Any, store: Any, asked: dict[str, Any], as_json: bool) -> None:
    from ..evaluation.foreseen import foresee, in_all

    found = foresee(task, store, **asked)
    lines = [*(one.told() for one in found), in_all(found)]
    tell([dataclasses.asdict(one) for one in found], lines, as_json=as_json)


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
    from ..evaluation.comparing import compare
    from ..evaluation.systems import evaluate as evaluate_all
    from ..labelling.limits import LabellingError, Stopped
    from ..labelling.teaching import in_flags

    try:
        return evaluate_all(task, store, **asked, **shown), None
    except Stopped as stopped:
        return compare(task, store, **shown), stopped
    except LabellingError as error:
        raise LabellingError(in_flags(str(error))) from error


def _say_traced() -> None:
    from langsmith.utils import tracing_is_enabled

    if tracing_is_enabled():
        remark("LangSmith tracing is on: prompts and answers leave this machine for it, too")


def _check_gates(gates: Sequence[str]) -> None:
    """Say what is wrong with an expression before anybody is asked anything."""
    from ..evaluation.gate import parsed

    for expression in gates:
        parsed(expression)


def _end(
    report: Report,
    gates: Sequence[str],
    stopped: Stopped | None,
    told: dict[str, Any],
    as_json: bool,
) -> None:
    """The last lines, and the exit status: 1 for a gate that does not hold, COME_BACK."""
    from ..evaluation.gate import gate
    from ..labelling.teaching import in_flags

    results = gate(report, gates)
    for one in results:
        say(f"gate {one.expression}: {'holds' if one.passed else 'does not hold'}; {one.reason}")
    if as_json:
        judged = [dataclasses.asdict(one) for one in results]
        tell({**told, "gates": judged, "stopped": stopped and str(stopped)}, as_json=True)
    if stopped is not None:
        line = in_flags(stopped.reason)
        if stopped.resume is not None:
            fail(line, status=COME_BACK)
        say(line)
    failed = [one for one in results if not one.passed]
    if failed:
        fail(f"gate {failed[0].expression} does not hold: {failed[0].reason}")


COMMANDS: dict[str, Callable[..., None]] = {"evaluate": evaluate, "report": report}
