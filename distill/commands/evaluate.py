"""The commands evaluate and report: everybody answers the held-out rows, and is compared."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..progress import row_bars
from . import distill_options as shared
from . import evaluate_options as options
from .display import print_table
from .ending import asked_all, check_gates, complain, end
from .options import (
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
    open_for,
    prints_aside,
    remark,
    say,
    stoppable,
    tell,
)

if TYPE_CHECKING:
    from ..evaluation.foreseen import Foreseen


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
    samples: shared.SamplesOption = None,
    temperature: options.TemperatureOption = None,
    persona: shared.PersonaOption = None,
    rounds: shared.RoundsOption = None,
    tools: shared.ToolsOption = None,
    max_usd: options.MaxUsdOption = None,
    max_tokens: options.MaxTokensOption = None,
    max_output_tokens: shared.OutputCapOption = None,
    base_url: options.BaseUrlOption = None,
    key_variable: options.KeyVariableOption = None,
    prices: shared.PricesOption = None,
    concurrency: options.ConcurrencyOption = 8,
    rpm: shared.RpmOption = None,
    tpm: shared.TpmOption = None,
    timeout: shared.TimeoutOption = 120.0,
    retries: shared.RetriesOption = 6,
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

    Run again, only what is missing is asked: adding a system asks that one alone. A system that
    cannot be asked is named at the end, with exit status 1; the others are asked all the same.
    """
    from ...chains.loading import load_task
    from ..evaluation.foreseen import foresee
    from ..evaluation.typed import base_grown_from, named_systems, prompting_of
    from ..labelling.jobs import limits_of
    from ..labelling.prices import default_table

    check_gates(gate or [])
    _say_traced()
    with prints_aside(as_json):
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
        prints_aside(as_json),
        open_for(store, dry_run=dry_run) as opened,
        backups(opened, None if dry_run else backup_to, backup_minutes),
        row_bars() as progress,
        stoppable(),
    ):
        students, others = named_systems(run or [], system or [], loaded.name, task, served)
        asked: dict[str, Any] = {
            "students": students,
            "base": None if no_base else base or base_grown_from(students),
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
            foreseen = foresee(loaded, opened, **asked, splits=split, limit=limit)
        else:
            found, stopped, failed = asked_all(
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
    if dry_run:
        _tell_foreseen(foreseen, as_json)
        return
    if not as_json:
        print_table(found)
    say(found.answer)
    for dividend in found.dividends:
        say(dividend.sentence)
    if found.learning is not None:
        say(found.learning.sentence)
    told: dict[str, Any] = {"failed": [dataclasses.asdict(one) for one in failed]}
    told |= {"report": found.model_dump(mode="json")} if as_json else {}
    end(found, gate or [], told, as_json, stopped=stopped, failed=failed)


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
    from ..evaluation.remade import commands_of
    from ..evaluation.results import Report
    from ..reporting.pages import report as write

    check_gates(gate or [])
    check_folder(out)
    with (
        prints_aside(as_json),
        open_for(store, dry_run=dry_run) as opened,
        _folder(out, dry_run) as folder,
    ):
        loaded = load_task(task)
        remade = _remade_by(task, store, split or [], margin, machine_usd_per_hour, no_text)
        page = write(
            loaded,
            opened,
            folder,
            splits=split,
            margin=margin,
            texts=not no_text,
            machine_usd_per_hour=machine_usd_per_hour,
            commands=[*commands_of(loaded, opened, reference=task, place=store.name), *remade],
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
    end(found, gate or [], told, as_json)


def _folder(out: Path, dry_run: bool) -> contextlib.AbstractContextManager[Path | str]:
    """Where the report is written; for a dry run a place that is gone again."""
    return tempfile.TemporaryDirectory() if dry_run else contextlib.nullcontext(out)


def _tell_foreseen(found: Sequence[Foreseen], as_json: bool) -> None:
    from ..evaluation.foreseen import in_all
    from ..labelling.teaching import in_flags

    found = [dataclasses.replace(one, failed=one.failed and in_flags(one.failed)) for one in found]
    lines = [*(one.told() for one in found if one.failed is None), in_all(found)]
    tell([dataclasses.asdict(one) for one in found], lines, as_json=as_json)
    failed = [one.told() for one in found if one.failed is not None]
    if failed:
        complain(failed)


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


def _say_traced() -> None:
    from langsmith.utils import tracing_is_enabled

    if tracing_is_enabled():
        remark("LangSmith tracing is on: prompts and answers leave this machine for it, too")


COMMANDS: dict[str, Callable[..., None]] = {"evaluate": evaluate, "report": report}
