"""The command distill: a teacher labels the examples into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .defaults import own_data
from .display import row_bars
from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    BackupMinutesOption,
    BackupOption,
    LimitOption,
    SplitOption,
    StoreOption,
    TaskOption,
    backups,
    fail,
    open_store,
    say,
    stoppable,
)

if TYPE_CHECKING:
    from ..store.store import Store

SplitColumnOption = Annotated[
    str | None, typer.Option(help="the file's column that says train, validation, test, ...")
]


def distill(
    task: TaskOption = SAMPLE_TASK,
    data: Annotated[Path | None, typer.Option(help="import this file first")] = None,
    store: StoreOption = DEFAULT_STORE,
    teacher: Annotated[
        str, typer.Option(help="offline, provider:model, or path/to/file.py:model")
    ] = "offline",
    base_url: Annotated[
        str | None, typer.Option(help="an OpenAI-compatible server, with TEACHER=openai:...")
    ] = None,
    split_column: SplitColumnOption = None,
    split: SplitOption = None,
    limit: LimitOption = None,
    concurrency: Annotated[int, typer.Option(min=1, help="rows asked at the same time")] = 8,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="ask rows again that failed, paid for or not")
    ] = False,
    backup_to: BackupOption = None,
    backup_minutes: BackupMinutesOption = 10.0,
) -> None:
    """A teacher labels the examples into the store; run again, it asks only what is missing."""
    from ..chains.loading import load_task
    from ..chains.teachers import load_teacher
    from .labelling import label

    with open_store(store) as opened:
        if data is None and (own := own_data(task)) is not None:
            _import(opened, task, own, split_column="split")
        elif data is not None:
            _import(opened, task, data, split_column=split_column)
        model = load_teacher(teacher, task=task, base_url=base_url)
        _announce_tracing()
        with backups(opened, backup_to, backup_minutes), row_bars() as bars, stoppable():
            run = label(
                load_task(task),
                model,
                opened,
                split=split,
                limit=limit,
                concurrency=concurrency,
                retry_failed=retry_failed,
                progress=bars("teacher"),
            )
        records = opened.records(run.id)
        failed = [record for record in records if record.answer is None]
        say(f"teacher {run.model}: {len(records)} rows in {store}, {len(failed)} failed")
        if failed and len(failed) == len(records):
            fail(f"no row has an answer; the last: {failed[-1].error}")


def _announce_tracing() -> None:
    from langsmith.utils import tracing_is_enabled

    if tracing_is_enabled():
        say("LangSmith tracing is on: prompts and answers leave this machine for it, too")


def _import(
    store: Store,
    reference: str,
    data: Path,
    *,
    split: str | None = None,
    split_column: str | None = None,
    group: str | None = None,
) -> None:
    from .importing import import_examples

    outcome = import_examples(
        store, reference, data, split=split, split_column=split_column, group_column=group
    )
    for line in outcome:
        say(line)
