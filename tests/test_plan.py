"""The plan of a labelling run: from real prompts, no call, nothing written, bounds that hold."""

from __future__ import annotations

import itertools
import json
import random
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI

from understudy.chains.task import Task
from understudy.distill.labelling.bounds import PER_MESSAGE, PER_PROMPT, prompt_bound
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import Limits
from understudy.distill.labelling.plan import Plan, plan
from understudy.distill.labelling.planning import SAMPLE, render, row_bytes, sampled
from understudy.distill.labelling.prices import price_per_million
from understudy.store import Example, Store, example_id

PRICE = price_per_million("test", input=1, output=4)
CAP = 50
MOODS: dict[str, Iterator[str]] = defaultdict(lambda: itertools.cycle(["Medo", "Alegria"]))


class Counting(BaseChatModel):
    """Answers by a tool call; every byte of its prompt is a token: the worst there is."""

    model: str = "counting"
    max_tokens: int | None = CAP
    written: int = 40
    misfits: bool = False
    contrary: bool = False  # never says twice the same

    @property
    def _llm_type(self) -> str:
        return "counting"

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        mood = "Raiva" if self.misfits else "Medo"
        if self.contrary:  # each row's talk by itself: rows are asked side by side
            row = re.search(r"\d+: maçã", str(messages))
            assert row
            mood = next(MOODS[row.group()])
        answer = {"reasoning": "so", "mood": mood, "urgent": False}
        message = AIMessage(content="x" * self.written)
        if tools := kwargs.get("tools"):
            call = {"name": tools[0]["function"]["name"], "args": answer, "id": "call_1"}
            message = AIMessage(content="", tool_calls=[call])
        read = prompt_bound(messages, kwargs) - PER_PROMPT - PER_MESSAGE * len(messages)
        message.usage_metadata = {
            "input_tokens": read,
            "output_tokens": self.written,
            "total_tokens": read + self.written,
        }
        return ChatResult(generations=[ChatGeneration(message=message)])


def filled(path: Path | str, rows: int, *, words: int = 5) -> Store:
    """A store of rows of many lengths, the longest 40 times the shortest."""
    store, dice = Store(path), random.Random(rows)
    texts = [f"{n}: {'maçã ' * dice.randint(1, words)}" for n in range(rows)]
    store.add_examples(
        Example(id=example_id(one), task="tiny", split="train", inputs=one)
        for one in ({"sentence": text} for text in texts)
    )
    return store


@pytest.fixture
def silent_server() -> Iterator[tuple[str, list[Any]]]:
    """A port of the loopback that counts who knocks, and never answers."""
    knocked: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def count() -> None:
            while True:
                try:
                    knocked.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=count, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", knocked


@pytest.mark.parametrize(
    ("strategy", "options", "calls"),
    [
        ("zero_shot", {}, 1),
        ("zero_shot_cot", {}, 1),
        ("self_consistency", {"samples": 3}, 3),
        ("vote", {"personas": ["You are calm.", "You are not."]}, 2),
        ("two_step", {}, 2),
        ("negotiate", {"rounds": 2}, 2),
    ],
)
def test_a_plan_makes_no_call_and_writes_nothing(
    tiny_task: Task,
    tmp_path: Path,
    silent_server: tuple[str, list[Any]],
    strategy: str,
    options: dict[str, Any],
    calls: int,
) -> None:
    url, knocked = silent_server
    model = ChatOpenAI(
        model="gpt-4o-mini",
        base_url=url,
        api_key="sk-none",  # type: ignore[arg-type]
        temperature=0.7,
        timeout=5,
        streaming=True,
    )
    filled(tmp_path / "a.db", 5).close()
    before = (tmp_path / "a.db").read_bytes()
    store = Store(tmp_path / "a.db", read_only=True)
    made = plan(tiny_task, model, store, strategy=strategy, options=options)
    store.close()
    assert (made.rows, made.expected.calls) == (5, 5 * calls)
    assert knocked == []
    assert (tmp_path / "a.db").read_bytes() == before


def test_the_prompts_are_those_that_the_strategy_sends(tiny_task: Task) -> None:
    store = filled(":memory:", 3)
    (zero,) = render(
        tiny_task, [Counting()], store.examples("tiny")[:1], strategy="zero_shot", options={}
    )
    first, second = render(
        tiny_task,
        [Counting(), Counting(model="other")],
        store.examples("tiny")[:2],
        strategy="two_step",
        options={},
    )
    assert len(zero) == 1
    assert [prompt.model for prompt in first] == [prompt.model for prompt in second] == [0, 1]
    assert [prompt.after for prompt in first] == [0, 1]
    assert first[1].bytes > zero[0].bytes  # it holds the first one's text as well


@pytest.mark.parametrize(
    ("strategy", "options", "models"),
    [
        ("zero_shot", {}, 1),
        ("self_consistency", {"samples": 3, "mend": True}, 1),
        ("vote", {}, 2),
        ("two_step", {}, 1),
        ("negotiate", {"rounds": 2}, 1),
    ],
)
@pytest.mark.parametrize("misfits", [False, True])
def test_a_run_never_uses_more_than_the_plans_most(
    tiny_task: Task, strategy: str, options: dict[str, Any], models: int, misfits: bool
) -> None:
    store = filled(":memory:", 12)
    asked = [Counting(written=CAP, misfits=misfits, model=f"c{n}") for n in range(models)]
    prices = [PRICE] * models
    made = plan(tiny_task, asked, store, strategy=strategy, options=options, prices=prices)
    run = label(tiny_task, asked, store, strategy=strategy, options=options, prices=prices)
    records = store.records(run.id)
    most = made.at_most
    assert len(records) == made.rows == 12
    assert sum(record.attempts for record in records) <= (most.calls or 0)
    assert 0 < sum(record.input_tokens or 0 for record in records) <= (most.input_tokens or 0)
    assert 0 < sum(record.output_tokens or 0 for record in records) <= (most.output_tokens or 0)
    assert 0 < sum(record.cost or 0 for record in records) <= (most.usd or 0)
    assert made.run == run.id


@pytest.mark.parametrize("strategy", ["two_step", "negotiate"])
def test_the_most_holds_where_a_prompt_holds_what_was_said_before(
    tiny_task: Task, strategy: str
) -> None:
    store, model = filled(":memory:", 3), Counting(max_tokens=5000, written=5000, contrary=True)
    made = plan(tiny_task, model, store, strategy=strategy, prices=[PRICE], schema_retries=0)
    run = label(tiny_task, model, store, strategy=strategy, prices=[PRICE], schema_retries=0)
    records = store.records(run.id)
    assert sum(record.attempts for record in records) == made.at_most.calls
    assert made.at_most.input_tokens is not None
    assert sum(record.input_tokens or 0 for record in records) <= made.at_most.input_tokens


def test_the_most_holds_for_rows_that_were_not_sampled(tiny_task: Task) -> None:
    store = filled(":memory:", 3 * SAMPLE, words=40)
    made = plan(tiny_task, Counting(), store, prices=[PRICE], schema_retries=0)
    every = store.examples("tiny")
    prompts = render(tiny_task, [Counting()], every, strategy="zero_shot", options={})
    exact = sum(prompt.bound for row in prompts for prompt in row)
    assert SAMPLE <= made.sampled <= SAMPLE + 1
    assert made.at_most.input_tokens is not None
    assert exact <= made.at_most.input_tokens <= exact + 16 * len(every)
    mean = sum(prompt.bytes for row in prompts for prompt in row) / 4
    assert made.expected.input_tokens == pytest.approx(mean, rel=0.01)


def test_after_a_smoke_run_the_plan_is_what_was_measured(tiny_task: Task) -> None:
    store, model = filled(":memory:", 60), Counting()
    before = plan(tiny_task, model, store, prices=[PRICE])
    label(tiny_task, model, store, prices=[PRICE], sample=16)
    after = plan(tiny_task, model, store, prices=[PRICE])
    assert (before.rows, before.answered, after.rows, after.answered) == (60, 0, 44, 16)
    assert any("are assumed" in note for note in before.notes)
    assert not any("are assumed" in note for note in after.notes)
    assert after.expected.output_tokens == 44 * 40
    run = label(tiny_task, model, store, prices=[PRICE])
    records = store.records(run.id)
    assert len(records) == 60
    spent = sum(record.cost or 0 for record in records)
    assert after.spent_usd + (after.expected.usd or 0) == pytest.approx(spent, rel=0.02)
    assert after.hours is not None
    assert after.hours_by == "measured"
    nothing = plan(tiny_task, model, store, prices=[PRICE])
    assert (nothing.rows, nothing.expected.usd, nothing.at_most.usd) == (0, 0.0, 0.0)


def test_a_price_that_changed_since_the_smoke_run_is_the_one_that_counts(tiny_task: Task) -> None:
    store, model = filled(":memory:", 40), Counting()
    label(tiny_task, model, store, prices=[PRICE], sample=10)
    dearer = price_per_million("test", input=10, output=40)
    before, after = (plan(tiny_task, model, store, prices=[one]) for one in (PRICE, dearer))
    assert after.expected.usd == pytest.approx(10 * (before.expected.usd or 0))


def test_an_unknown_price_is_said_and_is_not_zero(tiny_task: Task) -> None:
    made = plan(tiny_task, Counting(), filled(":memory:", 3), prices=[None])
    assert made.expected.usd is None
    assert made.at_most.usd is None
    told = "\n".join(made.lines())
    assert "cost in US dollars: unknown expected, unknown at most" in told
    assert "the price of counting is unknown, which is not free" in told
    assert "terms of counting: not known to us" in told


def test_what_an_agents_tools_return_is_said_to_be_in_no_figure(tiny_task: Task) -> None:
    pytest.importorskip("langchain")

    def look_up(word: str) -> str:
        """Look a word up."""
        raise AssertionError("a plan uses no tool")

    made = plan(
        tiny_task,
        Counting(),
        filled(":memory:", 2),
        strategy="agent",
        options={"tools": [look_up], "max_calls": 4},
        prices=[PRICE],
    )
    assert (made.expected.calls, made.at_most.calls) == (4, 24)
    assert any("in no figure" in note for note in made.notes)


def test_a_row_that_cannot_be_asked_is_an_error_before_any_call(tiny_task: Task) -> None:
    store = Store(":memory:")
    wrong = {"other": "text"}
    store.add_examples([Example(id=example_id(wrong), task="tiny", split="train", inputs=wrong)])
    with pytest.raises(KeyError, match="sentence"):
        plan(tiny_task, Counting(), store, prices=[PRICE])


def test_without_a_cap_the_most_is_unknown_and_said(tiny_task: Task) -> None:
    made = plan(tiny_task, Counting(max_tokens=None), filled(":memory:", 3), prices=[PRICE])
    assert made.expected.usd is not None
    assert made.at_most.usd is None
    assert any("no cap" in note and "max_output_tokens" in note for note in made.notes)


def test_one_unknown_price_of_two_makes_the_sum_unknown(tiny_task: Task) -> None:
    voters = [Counting(model="a"), Counting(model="b")]
    made = plan(tiny_task, voters, filled(":memory:", 3), strategy="vote", prices=[PRICE, None])
    assert made.expected.usd is None
    assert made.at_most.usd is None


def test_a_sum_that_does_not_last_is_said_in_rows(tiny_task: Task) -> None:
    store = filled(":memory:", 100)
    whole = plan(tiny_task, Counting(), store, prices=[PRICE]).expected.usd
    assert whole is not None
    half = plan(tiny_task, Counting(), store, prices=[PRICE], limits=Limits(max_usd=whole / 2))
    assert any("after about 50 rows" in note or "about 49 rows" in note for note in half.notes)
    enough = plan(tiny_task, Counting(), store, prices=[PRICE], limits=Limits(max_usd=2 * whole))
    assert not any("max_usd" in note for note in enough.notes)


def test_limits_a_minute_say_how_long_it_takes_at_least(tiny_task: Task) -> None:
    made = plan(
        tiny_task,
        Counting(),
        filled(":memory:", 120),
        prices=[PRICE],
        limits=Limits(requests_per_minute=1),
    )
    assert (made.hours, made.hours_by) == (2.0, "limits")
    assert "hours: at least 2 (limits)" in made.lines()


def test_only_the_rows_that_are_asked_for_are_planned(tiny_task: Task) -> None:
    store = filled(":memory:", 30)
    assert plan(tiny_task, Counting(), store, prices=[PRICE], limit=7).rows == 7
    assert plan(tiny_task, Counting(), store, prices=[PRICE], sample=9).rows == 9
    assert plan(tiny_task, Counting(), store, prices=[PRICE], split="test").rows == 0


def test_a_plan_is_json_and_the_same_every_time(tiny_task: Task) -> None:
    store = filled(":memory:", SAMPLE + 50)
    made = [plan(tiny_task, Counting(), store, prices=[PRICE]) for _ in range(2)]
    assert made[0] == made[1]
    assert isinstance(made[0], Plan)
    assert json.loads(json.dumps(made[0].data()))["expected"]["calls"] == SAMPLE + 50


@given(st.lists(st.text(max_size=300), max_size=600))
def test_a_sample_counts_every_row_and_holds_the_longest(texts: list[str]) -> None:
    rows = [
        Example(id=str(number), task="tiny", split="train", inputs={"sentence": text})
        for number, text in enumerate(texts)
    ]
    found = sampled(iter(rows))
    assert found.rows == len(rows)
    assert found.bytes == sum(map(row_bytes, rows))
    assert min(SAMPLE, len(rows)) <= len(found.examples) <= SAMPLE + 1
    assert max(map(row_bytes, rows), default=0) == max(map(row_bytes, found.examples), default=0)


@pytest.mark.parametrize("place", [0, 1, 500, 998, 999])
def test_the_longest_of_many_rows_is_in_the_sample(place: int) -> None:
    rows = [
        Example(
            id=str(n), task="tiny", split="train", inputs={"sentence": "x" * (1 + (n == place))}
        )
        for n in range(1000)
    ]
    assert rows[place] in sampled(iter(rows)).examples


def test_every_row_is_as_likely_to_be_sampled() -> None:
    rows = [
        Example(id=str(n), task="tiny", split="train", inputs={"sentence": "same"})
        for n in range(2 * SAMPLE)
    ]
    seen = [0] * len(rows)
    for seed in range(200):
        for example in sampled(rows, seed=seed).examples:
            seen[int(example.id)] += 1
    assert 60 < min(seen) <= max(seen) < 140 + 61  # 100 +- 5.7 standard deviations; row 0 is kept


@given(st.lists(st.text(max_size=200), min_size=1, max_size=5), st.text(max_size=100))
def test_a_byte_level_tokenizer_makes_no_more_tokens_than_the_bound(
    tiny_base: Path, texts: list[str], description: str
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    messages = [SystemMessage(texts[0]), *map(HumanMessage, texts[1:])]
    tool = {"type": "function", "function": {"name": "f", "description": description}}
    said = "".join(f"<|{m.type}|>\n{m.content}</s>\n" for m in messages)
    tokens = tokenizer(said + json.dumps(tool, ensure_ascii=False))["input_ids"]
    assert len(tokens) <= prompt_bound(
        messages, {"tools": [tool], "ls_structured_output_format": 1}
    )


def test_what_goes_back_to_a_model_counts_in_the_bound() -> None:
    call = {"name": "f", "args": {"text": "ã" * 100}, "id": "1"}
    plain = prompt_bound([HumanMessage("x"), AIMessage("")], {})
    assert prompt_bound([HumanMessage("x"), AIMessage("", tool_calls=[call])], {}) > plain + 200
    assert prompt_bound([HumanMessage("x"), AIMessage("\ud83d")], {}) == plain + 3
    more = AIMessage("", additional_kwargs={"refusal": "z" * 400})
    assert prompt_bound([HumanMessage("x"), more], {}) > plain + 400
    blocks = AIMessage([{"type": "text", "text": "y" * 500}])
    assert prompt_bound([HumanMessage("x"), blocks], {}) > plain + 500
