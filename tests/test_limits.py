"""What a run may spend, how fast it may ask, and what it makes of a call that failed."""

from __future__ import annotations

import asyncio
import datetime
import random
import re
import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from pydantic import Field

from understudy.distill.labelling.budget import Allowance, Budget, BudgetReached, Spend
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError, Limits, Stopped
from understudy.distill.labelling.pace import Pace
from understudy.distill.labelling.prices import price_per_million
from understudy.distill.labelling.troubles import trouble_of
from understudy.distill.runs import is_repeat
from understudy.examples.news.task import task
from understudy.store import Example, Store, example_id
from understudy.store.statements import UNREPORTED
from understudy.store.totals import run_totals, spent_by

PART = {"polaridade": "Neutro", "emocao": "Neutro"}
GOOD = {"raciocinio": "sem pista", "f1": PART, "f2": PART, "f3": PART}
DOLLAR_A_TOKEN = price_per_million("a test", input=1_000_000, output=1_000_000)


class Priced(BaseChatModel):
    """Answers every row, at 100 + 20 tokens; `fails` raises instead where it has something."""

    max_tokens: int | None = 50
    fails: list[Exception | None] = Field(default_factory=list)
    asked: list[str] = Field(default_factory=list)
    usage: bool = True
    pause: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "priced"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the engine asks asynchronously")

    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.asked.append(str(messages[-1].text))
        await asyncio.sleep(self.pause)
        failure = self.fails.pop(0) if self.fails else None
        if failure is not None:
            raise failure
        counts = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        message = AIMessage(
            content="",
            tool_calls=[{"name": "Noticia", "args": GOOD, "id": "1"}],
            usage_metadata=counts if self.usage else None,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


class HTTPFailure(Exception):
    """As an SDK raises it: a status and the response's headers."""

    def __init__(self, status: int, text: str = "no", **headers: str) -> None:
        super().__init__(text)
        self.status_code = status
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = httpx.Response(status, headers=named)


def rows(count: int) -> list[Example]:
    made = []
    for number in range(count):
        inputs = {"f1": "Sol.", "f2": "Chuva.", "f3": f"Dia {number}."}
        made.append(Example(id=example_id(inputs), task=task.name, split="train", inputs=inputs))
    return made


@pytest.fixture
def store() -> Any:
    with Store(":memory:") as opened:
        opened.add_examples(rows(40))
        yield opened


def test_a_sum_of_money_is_never_passed_and_the_run_resumes_where_it_stopped(store):
    model = Priced()
    with pytest.raises(Stopped, match=r"\$\d+\.\d+ of \$5000, .*raise max_usd") as stop:
        label(task, model, store, limits=Limits(max_usd=5_000), prices=[DOLLAR_A_TOKEN])
    assert stop.value.resume is None
    (run,) = store.runs(task.name)
    records = store.records(run.id)
    assert len(records) == len(model.asked)
    assert {record.cost for record in records} == {120.0}
    assert 0 < sum(record.cost for record in records) <= 5_000
    assert run.finished is None

    asked = list(model.asked)
    label(task, model, store, limits=Limits(max_usd=40_000), prices=[DOLLAR_A_TOKEN])
    assert len(model.asked) == 40
    assert not set(asked) & set(model.asked[len(asked) :])
    (totals,) = run_totals(store, task.name)
    assert (totals.cost, totals.attempts) == (40 * 120, 40)


def test_the_sum_counts_what_earlier_calls_spent(store):
    label(task, Priced(), store, limit=5, prices=[DOLLAR_A_TOKEN])
    model = Priced()
    with pytest.raises(Stopped, match=r"\$600\.0000 of \$700"):
        label(task, model, store, limits=Limits(max_usd=700), prices=[DOLLAR_A_TOKEN])
    assert model.asked == []


def test_the_sum_counts_rows_that_were_bought_before_a_price_was_known(store):
    label(task, Priced(), store, limit=5)
    model = Priced()
    with pytest.raises(Stopped, match=r"\$600\.0000 of \$700"):
        label(task, model, store, limits=Limits(max_usd=700), prices=[DOLLAR_A_TOKEN])
    assert model.asked == []


def test_another_output_cap_buys_nothing_again(store):
    label(task, Priced(), store)
    model = Priced(max_tokens=500)
    label(task, model, store)
    assert model.asked == []


def test_a_ceiling_of_tokens_stops_cleanly_too(store):
    with pytest.raises(Stopped, match=r"of 4,500 tokens.*raise max_tokens"):
        label(task, Priced(), store, limits=Limits(max_tokens=4_500))
    (run,) = store.runs(task.name)
    assert 0 < spent_by(store, run.id).tokens <= 4_500


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        # 5 samples, each of a prompt's bytes and a cap of 50: much more than 4,000 together
        (Limits(max_usd=4_000), r"\$0.0000 of \$4000, what comes next may cost \$(\d+)"),
        (Limits(max_usd=1e9, max_tokens=4_000), r"0 of 4,000 tokens, .* may take ([\d,]+);"),
    ],
)
def test_the_ceiling_that_is_in_the_way_is_named_with_what_a_whole_row_needs(store, limits, said):
    with pytest.raises(Stopped, match=said) as stop:
        label(
            task, Priced(), store, strategy="self_consistency", options={"samples": 5},
            limits=limits, prices=[DOLLAR_A_TOKEN],
        )  # fmt: skip
    needed = re.search(said, str(stop.value))
    assert needed
    assert int(needed[1].replace(",", "")) > 4_000


def test_a_ceiling_without_a_price_or_a_cap_is_refused(store):
    with pytest.raises(LabellingError, match=r"max_usd needs a price.*prices\.toml"):
        label(task, Priced(), store, limits=Limits(max_usd=1))
    with pytest.raises(LabellingError, match="need a cap on what priced may write"):
        label(task, Priced(max_tokens=None), store, limits=Limits(max_tokens=10_000))


def test_a_reply_that_reports_no_usage_counts_with_its_worst_case(store):
    with pytest.raises(Stopped):
        label(
            task, Priced(usage=False), store, limits=Limits(max_usd=4_500), prices=[DOLLAR_A_TOKEN]
        )
    (run,) = store.runs(task.name)
    records = store.records(run.id)
    assert records
    assert {record.cost for record in records} == {None}
    assert all((record.details or {})[UNREPORTED]["calls"] == 1 for record in records)
    assert 0 < spent_by(store, run.id).usd <= 4_500


@pytest.mark.parametrize("strategy", ["zero_shot", "self_consistency"])
def test_a_call_that_fails_on_its_way_is_sent_again_and_counted(store, strategy):
    busy = [HTTPFailure(503, retry_after_ms="1"), HTTPFailure(429, retry_after_ms="1"), None]
    options = {"samples": 2} if strategy == "self_consistency" else {}
    run = label(
        task, Priced(fails=list(busy)), store, strategy=strategy, options=options, limit=3,
        concurrency=1, prices=[DOLLAR_A_TOKEN],
    )  # fmt: skip
    records = store.records(run.id)
    calls = 2 if options else 1
    assert [record.attempts for record in records] == [calls + 2, calls, calls]
    assert all(record.answer for record in records)
    assert [record.cost for record in records] == [120.0 * calls] * 3


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (HTTPFailure(429, "daily limit reached", retry_after="7200"), r"takes no calls until 20"),
        (HTTPFailure(429, "tokens per day: please try again in 2h7m12.5s"), "takes no calls until"),
    ],
)
def test_a_provider_that_asks_for_hours_ends_the_run_with_the_time_to_resume(store, failure, told):
    model = Priced(fails=[None, None, failure])
    with pytest.raises(Stopped, match=told) as stop:
        label(task, model, store, concurrency=1)
    now = datetime.datetime.now(datetime.UTC)
    assert stop.value.resume is not None
    assert stop.value.resume - now > datetime.timedelta(hours=1, minutes=50)
    (run,) = store.runs(task.name)
    assert [record.answer is None for record in store.records(run.id)] == [False, False, True]

    label(task, model, store)
    assert all(record.answer for record in store.records(run.id))
    assert sum(record.attempts for record in store.records(run.id)) == len(model.asked) == 41


def test_no_vote_works_around_an_account_without_money(store):
    failure = HTTPFailure(429, "You exceeded your current quota: insufficient_quota")
    model = Priced(fails=[None, None, None, failure])
    with pytest.raises(LabellingError, match="refuses every call: HTTPFailure: You exceeded"):
        label(
            task, model, store, strategy="self_consistency", options={"samples": 3}, concurrency=1
        )
    (run,) = store.runs(task.name)
    first, second = store.records(run.id)
    assert (first.answer is None, second.answer) == (False, None)
    assert (second.raw, second.input_tokens is not None) == (None, True)  # paid, and asked again


def test_a_host_that_nobody_answers_ends_the_run_soon(store):
    model = Priced(fails=[ConnectionRefusedError(111, "Connection refused")] * 200)
    begun = time.monotonic()
    with pytest.raises(LabellingError, match=r"the last 20 calls of priced failed.*refused"):
        label(task, model, store)
    assert time.monotonic() - begun < 20
    assert len(model.asked) < 40


def test_a_call_that_hangs_is_given_up(store):
    run = label(task, Priced(pause=5), store, limit=1, limits=Limits(timeout=0.05, retries=1))
    (record,) = store.records(run.id)
    assert (record.answer, record.attempts) == (None, 2)
    assert "TimeoutError" in (record.error or "")
    assert (record.details or {})[UNREPORTED]["calls"] == 2


def test_calls_are_spaced_by_requests_a_minute(store):
    begun = time.monotonic()
    label(task, Priced(), store, limit=11, limits=Limits(requests_per_minute=1200))
    assert 0.5 <= time.monotonic() - begun < 2


def test_tokens_a_minute_hold_on_average():
    async def spent() -> float:
        pace = Pace(tokens_per_minute=60_000)
        begun = time.monotonic()
        for _ in range(10):
            guess = await pace.turn(10)
            pace.counted(guess, 100)
        await pace.turn(10)
        return time.monotonic() - begun

    assert 0.9 <= asyncio.run(spent()) < 2  # 1,000 tokens at 1,000 a second


def test_calls_that_wait_keep_their_spaces_over_a_pause():
    async def times() -> list[float]:
        pace, sent = Pace(requests_per_minute=600), [time.monotonic()]

        async def call() -> None:
            await pace.turn(1)
            sent.append(time.monotonic())

        waiting = [asyncio.create_task(call()) for _ in range(5)]
        await asyncio.sleep(0.01)
        pace.pause(0.5)
        await asyncio.gather(*waiting)
        return sent

    began, _, *rest = asyncio.run(times())  # a busy machine may be late, and never early
    assert [at - began >= 0.5 + 0.1 * place for place, at in enumerate(rest)] == [True] * 4


def test_labels_of_other_words_teach_only_when_somebody_says_so(store):
    first = label(task, Priced(), store, limit=4, prices=[DOLLAR_A_TOKEN])
    kept = {name: getattr(task, name) for name in ("name", "schema", "reasoning", "student_prompt")}
    said = ChatPromptTemplate.from_messages([*task.prompt.messages, ("human", "Seja breve.")])
    reworded = type(task)(**kept, prompt=said)
    model = Priced()
    run = label(reworded, model, store, limit=5, reuse_labels=first.words, prices=[DOLLAR_A_TOKEN])
    assert run.id != first.id
    assert len(model.asked) == 1
    records = store.records(run.id)
    assert [(r.attempts, r.cost) for r in records] == [(0, 0.0)] * 4 + [(1, 120.0)]
    assert {(r.details or {}).get("reused_from") for r in records} == {first.id, None}
    with pytest.raises(LabellingError, match=f"fingerprint nope; known words: .*{first.words}"):
        label(reworded, model, store, reuse_labels="nope")


def test_a_repeated_run_stands_beside_the_first_and_samples_the_same_rows(store):
    model = Priced()
    first = label(task, model, store, sample=7)
    again = label(task, model, store, sample=7, repeat=True)
    assert (is_repeat(first), is_repeat(again)) == (False, True)
    ids = [{record.example for record in store.records(run.id)} for run in (first, again)]
    assert ids[0] == ids[1]
    assert len(model.asked) == 14


@pytest.mark.parametrize(
    ("error", "kind", "wait", "billed"),
    [
        (HTTPFailure(429, retry_after="3"), "again", 3.0, False),
        (HTTPFailure(500), "again", None, False),
        (HTTPFailure(529, "overloaded"), "again", None, False),
        (HTTPFailure(401), "run", None, False),
        (HTTPFailure(400, "content policy"), "row", None, False),
        (HTTPFailure(404, "no such model"), "row", None, False),
        (HTTPFailure(429, "Please retry in 37.5s."), "again", 37.5, False),
        (HTTPFailure(429, "try again in 7m12s"), "again", 432.0, False),
        (httpx.ConnectError("no route"), "again", None, False),
        (httpx.ReadTimeout("slow"), "again", None, True),
        (ConnectionResetError(104, "reset"), "again", None, True),
        (PermissionError("a file"), "row", None, True),
        (ValueError("anything"), "row", None, True),
    ],
)
def test_what_a_failure_means(error, kind, wait, billed):
    trouble = trouble_of(error)
    assert (trouble.kind, trouble.billed) == (kind, billed)
    assert trouble.wait == (pytest.approx(wait) if wait is not None else None)


def test_a_date_to_come_back_at_is_a_wait():
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    wait = trouble_of(HTTPFailure(429, retry_after=f"{date:%a, %d %b %Y %H:%M:%S} GMT")).wait
    assert wait is not None
    assert 80 < wait <= 90


@given(
    seed=st.integers(0, 10**6),
    crowd=st.integers(1, 12),
    calls=st.integers(1, 4),
    limit=st.floats(1, 300),
)
@settings(max_examples=60, deadline=None)
def test_no_order_of_calls_passes_the_budget_or_hangs(seed, crowd, calls, limit):
    """Rows of several calls each, of random worst cases and costs, until the money is gone."""
    rng = random.Random(seed)
    budget = Budget(Limits(max_usd=limit), spent=Spend(), calls_per_row=calls)
    actual: list[float] = []

    async def row() -> bool:
        allowance = Allowance()
        try:
            for _ in range(calls + rng.randint(0, 1)):  # one more than was set aside
                worst = Spend(rng.uniform(0.1, 3))
                await budget.draw(allowance, worst)
                await asyncio.sleep(0)
                actual.append(rng.uniform(0, worst.usd))
                await budget.settle(worst, Spend(actual[-1]))
        except BudgetReached:
            return False
        finally:
            await budget.close(allowance)
        return True

    async def worker() -> None:
        while await row():
            pass

    async def all_of_them() -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*[worker() for _ in range(crowd)])

    asyncio.run(all_of_them())
    assert sum(actual) <= limit
    assert sum(actual) >= limit - 3 * (calls + 1) - 1e-9 or limit < 3 * (calls + 1)
