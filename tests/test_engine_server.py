"""A server that misbehaves in every way that was seen: each row ends labelled or as a failure."""

from __future__ import annotations

import datetime
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.distill.labelling import troubles
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import Limits, Stopped
from understudy.distill.labelling.prices import Price, Usage, price_per_million
from understudy.store import Record, Run, Store

ROOT = Path(__file__).parents[1]
ROWS, AT_ONCE = 60, 16
SHARE, OF_LIMITS = 0.3, 0.05  # of requests that meet the fault; each rate limit costs a second
LIMITS = Limits(timeout=10, retries=8)  # a busy machine is no fault of the server
IMPATIENT = Limits(timeout=0.6, retries=8)
TOOLS, JSON_SCHEMA = "some-model", "gpt-4o-mini"  # by the models' profiles
UNSEEN = {"reset", "hang", "truncated", "cut"}  # billed, and the client is not told how much
ON_THE_WAY = ["rate_limit", "rate_limit_date", "server_error", "unavailable", "reset", "hang"]
ON_THE_WAY += ["truncated", "cut", "html"]
FINAL = ["refusal", "length"]  # which asking again would not mend
IN_THE_ANSWER = ["off_schema", "empty", "twice", *FINAL]
CASES = [(fault, JSON_SCHEMA) for fault in ON_THE_WAY]
CASES += [(fault, model) for fault in IN_THE_ANSWER for model in (TOOLS, JSON_SCHEMA)]


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The server in its own process, and the task that it answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(troubles, "_FIRST_WAIT", 0.01)  # seconds of backoff; the waits are the same
        patch.syspath_prepend(str(ROOT))
        patch.setenv("NO_PROXY", "127.0.0.1")
        small = importlib.import_module("benchmarks.teacher_task")
        replies = importlib.import_module("benchmarks.teacher_replies")
        with importlib.import_module("benchmarks.teacher_server").serving() as served:
            yield SimpleNamespace(served=served, small=small, replies=replies)


@pytest.fixture
def folder(tmp_path: Path, bench: SimpleNamespace) -> Iterator[Path]:
    """Where the store lies; when a test is over the key was sent, and no file here holds it."""
    yield tmp_path
    assert bench.served.ledger()["keys"] == [bench.small.KEY]
    key = bench.small.KEY.encode()
    assert [path.name for path in tmp_path.iterdir() if key in path.read_bytes()] == []


def labelled(
    bench: SimpleNamespace, folder: Path, *, model: str = JSON_SCHEMA, limits: Limits = LIMITS
) -> Run:
    with Store(folder / "u.db") as store:
        bench.small.add_rows(store, ROWS)
        teacher = bench.small.teacher(bench.served.url, model=model)
        return label(bench.small.task, teacher, store, concurrency=AT_ONCE, limits=limits)


def vote(bench: SimpleNamespace, folder: Path, models: dict[str, Price], *, max_usd: float) -> None:
    with Store(folder / "u.db") as store:
        bench.small.add_rows(store, 4 * ROWS)
        label(
            bench.small.task,
            [bench.small.teacher(bench.served.url, model=m, max_tokens=100) for m in models],
            store,
            strategy="vote",
            concurrency=AT_ONCE,
            limits=Limits(max_usd=max_usd, timeout=2, retries=8),
            prices=list(models.values()),
        )


def records(bench: SimpleNamespace, folder: Path) -> dict[str, Record]:
    """By the number of the row; a row that is there twice or not known fails here."""
    with Store(folder / "u.db") as store:
        rows = {one.id: bench.small.row_of(one) for one in store.examples(bench.small.task.name)}
        kept = [one for run in store.runs() for one in store.records(run.id)]
    by_row = {rows[one.example]: one for one in kept}
    assert len(by_row) == len(kept)
    return by_row


def check(bench: SimpleNamespace, folder: Path, *, at_least: int) -> dict[str, Any]:
    """Every row ended, with its own answer or an error; the books agree."""
    kept = records(bench, folder)
    books: dict[str, Any] = bench.served.ledger()
    assert sorted(kept, key=int) == [str(number) for number in range(ROWS)]
    right = {row: {"label": bench.replies.right_label(row)} for row in kept}
    good = {row for row, record in kept.items() if record.answer is not None}
    assert {row: kept[row].answer for row in good} == {row: right[row] for row in good}
    assert all(
        record.error and "\n" not in record.error for row, record in kept.items() if row not in good
    )
    assert len(good) >= at_least
    attempts = {row: record.attempts for row, record in kept.items()}
    assert attempts == {row: asked for row, (asked, _) in books["rows"].items()}
    assert sum(attempts.values()) == books["requests"]
    assert (books["too_early"], books["most_in_flight"] <= AT_ONCE) == (0, True)
    return books


def tokens(kept: dict[str, Record]) -> tuple[int, int]:
    return (
        sum(record.input_tokens or 0 for record in kept.values()),
        sum(record.output_tokens or 0 for record in kept.values()),
    )


@pytest.mark.parametrize(("fault", "model"), CASES)
def test_every_row_ends_whatever_goes_wrong(
    bench: SimpleNamespace, folder: Path, fault: str, model: str
) -> None:
    share = OF_LIMITS if fault.startswith("rate_limit") else SHARE
    bench.served.reset(mix={fault: share}, seed=1)
    labelled(bench, folder, model=model, limits=IMPATIENT if fault == "hang" else LIMITS)

    lost = bench.served.ledger()["met"][fault] if fault in FINAL else 6
    books = check(bench, folder, at_least=ROWS if fault in ON_THE_WAY else ROWS - lost)
    assert books["met"][fault] >= ROWS * share / 2
    assert fault not in FINAL or books["requests"] == ROWS
    if fault not in UNSEEN:
        billed = (bench.served.billed("input"), bench.served.billed("output"))
        assert tokens(records(bench, folder)) == billed


@pytest.mark.parametrize("model", [TOOLS, JSON_SCHEMA])
def test_every_row_ends_when_all_of_it_goes_wrong_at_once(
    bench: SimpleNamespace, folder: Path, model: str
) -> None:
    faults = list(bench.replies.FAULTS)
    mix = {fault: 0.01 if fault.startswith("rate_limit") else 0.03 for fault in faults}
    bench.served.reset(mix=mix, seed=2)
    labelled(bench, folder, model=model, limits=IMPATIENT)

    books = check(bench, folder, at_least=ROWS - 10)
    assert len(set(faults) & set(books["met"])) >= 10


def test_what_was_paid_for_is_not_asked_again_by_a_second_run(
    bench: SimpleNamespace, folder: Path
) -> None:
    bench.served.reset(mix={"off_schema": 0.6}, seed=3)
    labelled(bench, folder)
    failed = [one for one in records(bench, folder).values() if one.answer is None]
    assert len(failed) >= 5
    before = bench.served.ledger()["requests"]

    labelled(bench, folder)
    assert bench.served.ledger()["requests"] == before


def test_a_row_that_never_goes_well_is_a_failure_and_stops_nothing(
    bench: SimpleNamespace, folder: Path
) -> None:
    bench.served.reset(poisoned=["7", "8"])
    labelled(bench, folder)

    check(bench, folder, at_least=ROWS - 2)
    kept = records(bench, folder)
    assert [row for row, one in kept.items() if one.answer is None] == ["7", "8"]
    assert {kept[row].attempts for row in ("7", "8")} == {3}
    assert "label" in (kept["7"].error or "")


def test_a_daily_limit_ends_the_run_with_the_time_to_come_back(
    bench: SimpleNamespace, folder: Path
) -> None:
    bench.served.reset(daily_limit=25)
    with pytest.raises(Stopped) as stop:
        labelled(bench, folder)

    resume = stop.value.resume
    assert resume is not None
    in_two_hours = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)
    assert abs((resume - in_two_hours).total_seconds()) < 30
    good = [one for one in records(bench, folder).values() if one.answer is not None]
    books = bench.served.ledger()
    assert len(good) == 25
    assert books["met"]["daily_limit"] <= AT_ONCE

    bench.served.reset()
    labelled(bench, folder)
    books = bench.served.ledger()
    assert books["requests"] == ROWS - 25
    assert sum(one.answer is not None for one in records(bench, folder).values()) == ROWS


@pytest.mark.parametrize("mix", [{}, {"off_schema": 0.1, "cut": 0.05, "reset": 0.05, "hang": 0.01}])
def test_two_models_side_by_side_stop_within_a_sum(
    bench: SimpleNamespace, folder: Path, mix: dict[str, float]
) -> None:
    """The cheap one's next call may fit where the dear one's does not, and its row is over."""
    bench.served.reset(mix=mix, usage="random", seed=4, latency=[0.001, 0.01])
    dear = price_per_million("dear", input=2, output=6)
    cheap = price_per_million("cheap", input=0.1, output=0.3)
    models = {JSON_SCHEMA: dear, "gpt-4o": cheap}
    for sum_ in (0.05, 0.11):
        with pytest.raises(Stopped, match="money"):
            vote(bench, folder, models, max_usd=sum_)
        billed = bench.served.ledger()["billed"]
        usages = {
            name: Usage(input_tokens=bill["input"], output_tokens=bill["output"])
            for name, bill in billed.items()
        }
        spent = sum(models[name].cost(usage) for name, usage in usages.items())
        assert 0.8 * sum_ < spent <= sum_


def test_a_server_that_is_down_ends_the_run_soon(bench: SimpleNamespace, folder: Path) -> None:
    bench.served.reset(mix={"unavailable": 1.0})
    began = time.monotonic()
    with pytest.raises(Exception, match=r"503|upstream"):
        labelled(bench, folder, limits=Limits(retries=1, timeout=0.6))
    assert time.monotonic() - began < 10
    assert bench.served.ledger()["requests"] < 4 * ROWS
