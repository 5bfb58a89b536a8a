"""The command distill: a teacher labels the examples into the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..defaults import own_data
from ..progress import row_bars
from . import distill_options as options
from .display import print_failures, row_lines
from .options import (
    COME_BACK,
    DEFAULT_STORE,
    SAMPLE_TASK,
    BackupMinutesOption,
    BackupOption,
    JsonOption,
    StoreOption,
    TaskOption,
    at_hand,
    backups,
    fail,
    open_copy,
    open_store,
    remark,
    say,
    stoppable,
    tell,
)

if TYPE_CHECKING:
    from ...store.store import Store
    from ..labelling.jobs import Job
    from ..labelling.outcome import Outcome


def distill(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    data: options.DataOption = None,
    split_column: options.SplitColumnOption = None,
    split: options.OneSplitOption = None,
    limit: options.MostOption = None,
    retry_failed: options.RetryFailedOption = False,
    reuse_labels: options.ReuseOption = None,
    repeat: options.RepeatOption = None,
    teacher: options.TeacherOption = None,
    base_url: options.BaseUrlOption = None,
    key_variable: options.KeyVariableOption = None,
    strategy: options.StrategyOption = "zero_shot",
    shots: options.ShotsOption = None,
    shots_k: options.ShotsKOption = None,
    similar: options.SimilarOption = False,
    random_labels: options.RandomLabelsOption = False,
    samples: options.SamplesOption = None,
    temperature: options.TemperatureOption = None,
    persona: options.PersonaOption = None,
    mend: options.MendOption = False,
    rounds: options.RoundsOption = None,
    tools: options.ToolsOption = None,
    max_calls: options.MaxCallsOption = None,
    plan: options.PlanOption = False,
    smoke: options.SmokeOption = None,
    max_usd: options.MaxUsdOption = None,
    max_tokens: options.MaxTokensOption = None,
    max_output_tokens: options.OutputCapOption = None,
    prices: options.PricesOption = None,
    concurrency: options.ConcurrencyOption = 8,
    rpm: options.RpmOption = None,
    tpm: options.TpmOption = None,
    timeout: options.TimeoutOption = 120.0,
    retries: options.RetriesOption = 6,
    schema_retries: options.SchemaRetriesOption = 2,
    backup_to: BackupOption = None,
    backup_minutes: BackupMinutesOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """A teacher labels the examples into the store; run again, it asks only what is missing."""
    from ...chains.loading import load_task
    from ..labelling.jobs import Job, limits_of, prices_of
    from ..labelling.teaching import asked_for

    if repeat is not None and (plan or smoke is not None):
        fail(
            "--repeat labels rows twice and says how alike; give it without --plan, --smoke",
            status=2,
        )
    limits = limits_of(
        max_usd=max_usd,
        max_tokens=max_tokens,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        timeout=timeout,
        retries=retries,
    )
    asking = asked_for(
        loaded := load_task(task),
        task,
        teachers=teacher or ["offline"],
        base_urls=base_url or [],
        key_variables=key_variable or [],
        strategy=strategy,
        given={
            "shots": shots,
            "k": shots_k,
            "by_similarity": similar,
            "random_labels": random_labels,
            "samples": samples,
            "temperature": temperature,
            "personas": persona,
            "mend": mend,
            "rounds": rounds,
            "tools": tools,
            "max_calls": max_calls,
        },
        max_output_tokens=max_output_tokens,
        keyless=plan,
    )
    job = Job(
        task=loaded,
        asking=asking,
        prices=prices_of(asking, prices),
        limits=limits,
        split=split,
        limit=limit,
        retry_failed=retry_failed,
        reuse_labels=reuse_labels,
        schema_retries=schema_retries,
        concurrency=concurrency,
    )
    with (open_copy if plan else open_store)(store) as opened, stoppable():
        _import(opened, task, data, split_column)
        sample = smoke or repeat
        asked = _sample_of(job, opened, sample) if sample else job
        if plan:
            _show_plan(asked, opened, as_json)
            return
        with backups(opened, backup_to, backup_minutes):
            ended = _run(asked, opened)
            if repeat and not ended.stopped:
                ended = _run_again(asked, opened, ended)
        if smoke:
            _show_sample(asked, job, opened)
        _end(ended, opened, as_json)


def _show_plan(job: Job, store: Store, as_json: bool) -> None:
    from ..labelling.jobs import planned

    found = planned(job, store)
    tell(found.data(), found.lines(), as_json=as_json)


def _run(job: Job, store: Store) -> Outcome:
    from ..labelling.jobs import announcements, carry_out

    for line in announcements(job, store):
        remark(line)
    with row_bars() as bars:
        return carry_out(job, store, bars("teacher"))


def _run_again(job: Job, store: Store, first: Outcome) -> Outcome:
    """Ask the same rows once more, and say how far the teacher agrees with itself."""
    from ..evaluation.ceiling import self_agreement
    from ..labelling.jobs import carry_out, once_more

    remark(first.told(str(store.path)))
    with row_bars() as bars:
        ended = carry_out(once_more(job, store), store, bars("teacher again"))
    agreement = self_agreement(job.task, store, job.run)
    if agreement and agreement.value is not None:
        of = "answer parts" if len(job.task.parts) > 1 else "answers"
        say(
            f"asked twice, the teacher says the same in {agreement.value:.3f} "
            f"[{agreement.low:.3f}, {agreement.high:.3f}] of {of}: "
            "the ceiling of every agreement with it"
        )
    return replace(ended, agreement=agreement)


def _sample_of(job: Job, store: Store, count: int) -> Job:
    """The job on that many rows of one split: the one that is named, else the training rows."""
    splits = store.splits(job.task.name)
    named = "train" if "train" in splits else next(iter(splits), None)
    split = job.split or named
    if job.limit:  # the job's own rows are the first ones, and the sample is to be of them
        return replace(job, split=split, limit=min(count, job.limit))
    return replace(job, split=split, sample=count)


def _show_sample(asked: Job, job: Job, store: Store) -> None:
    from ..labelling.jobs import rows_of
    from ..labelling.outcome import extrapolated

    pairs = list(rows_of(asked, store))
    for pair in pairs:
        for line in row_lines(*pair):
            say(line)
    left = job.rows.count(store, asked.run)
    say(extrapolated([record for _, record in pairs], left))
    say("to label them, run the same command without --smoke; these rows are kept")


def _end(ended: Outcome, store: Store, as_json: bool) -> None:
    """The last lines, and the exit status."""
    run = ended.totals
    say(ended.told(str(store.path)))
    if where := ended.told_splits():
        remark(where)
    if ended.failures:
        print_failures(ended.failures, stderr=as_json)
    if as_json:
        tell(ended.data(), as_json=True)
    if ended.stopped:
        line = f"{ended.stopped}; {ended.left:,} rows are left"
        if ended.resume:
            fail(line, status=COME_BACK)
        say(line)
    elif run.rows and run.failed == run.rows:
        fail(f"no row has an answer; most often: {ended.failures[0].why}")


def _import(store: Store, reference: str, data: Path | None, split_column: str | None) -> None:
    from ..importing import import_examples

    own = own_data(reference) if data is None else None
    if own is not None:
        data, split_column = own, "split"
    if data is None:
        return
    with at_hand(data) as path:
        for line in import_examples(store, reference, path, split_column=split_column):
            remark(line.replace(str(path), str(data)))
