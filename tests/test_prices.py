"""Prices: the user's table first, published ones next, unknown is None; sums and bounds hold."""

from __future__ import annotations

import datetime
import random
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from understudy.chains.offline import NewsTeacher
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.labelling.prices import (
    Price,
    Rates,
    Usage,
    default_table,
    find_price,
    price_per_million,
    read_table,
    usage_of,
)

COUNT = st.integers(0, 2_000_000)
RATE = st.decimals(0, 1000, places=6)
TOKENS = st.builds(
    Usage,
    input_tokens=COUNT,
    output_tokens=COUNT,
    cached_tokens=st.integers(0, 1000),
    cache_write_tokens=st.integers(0, 1000),
)


@st.composite
def tiered(draw: st.DrawFn) -> Price:
    """A price whose rates rise at up to two lengths of the prompt."""
    starts = [-1, *sorted(draw(st.sets(st.integers(1, 500_000), max_size=2)))]
    kinds = ("input", "output", "cached_input", "cache_write")
    rises = {kind: sorted(draw(st.integers(0, 10**15)) for _ in starts) for kind in kinds}
    rates = [
        Rates(above=start, **{kind: rises[kind][number] for kind in kinds})
        for number, start in enumerate(starts)
    ]
    return Price(source="drawn", rates=tuple(rates))


def openai(**facts: object) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "gpt-5-mini", "api_key": "sk-none", **facts})  # type: ignore[arg-type]


@given(tiered(), TOKENS, COUNT, COUNT)
def test_the_cost_never_falls_when_tokens_are_added(
    price: Price, usage: Usage, more_in: int, more_out: int
) -> None:
    more = Usage(input_tokens=more_in, output_tokens=more_out)
    assert price.cost(usage) <= price.cost(usage + more)


@given(tiered(), TOKENS, COUNT, COUNT)
def test_the_worst_case_is_never_below_a_cost_within_it(
    price: Price, usage: Usage, more_in: int, more_out: int
) -> None:
    sent = max(usage.input_tokens, usage.cached_tokens + usage.cache_write_tokens)
    assert price.cost(usage) <= price.worst(sent + more_in, usage.output_tokens + more_out)


@given(RATE, RATE, RATE, RATE, TOKENS)
def test_a_cost_is_the_sum_of_its_tokens_at_their_prices(
    dear: Decimal, out: Decimal, cached: Decimal, write: Decimal, usage: Usage
) -> None:
    price = price_per_million("t", input=dear, output=out, cached_input=cached, cache_write=write)
    special = usage.cached_tokens + usage.cache_write_tokens
    plain = max(usage.input_tokens, special) - special
    exact = (
        plain * Fraction(dear)
        + usage.cached_tokens * Fraction(cached)
        + usage.cache_write_tokens * Fraction(write)
        + usage.output_tokens * Fraction(out)
    ) / 10**6
    assert price.cost(usage) == float(exact)


def test_the_rows_costs_add_up_to_the_runs_cost() -> None:
    dice = random.Random(3)
    price = price_per_million("t", input="0.25", output="2", cached_input="0.025")
    rows = [
        Usage(
            input_tokens=dice.randrange(100, 4000),
            output_tokens=dice.randrange(500),
            cached_tokens=dice.randrange(100),
        )
        for _ in range(200_000)
    ]
    total = sum(map(price.cost, rows))
    nano_dollars = sum(
        (row.input_tokens - row.cached_tokens) * 250
        + row.cached_tokens * 25
        + row.output_tokens * 2000
        for row in rows
    )
    assert total == pytest.approx(nano_dollars / 10**9, rel=1e-9, abs=0)


def test_cached_tokens_counted_beside_the_input_are_paid_for() -> None:
    price = price_per_million("t", input=1, output=1, cached_input="0.5")
    assert price.cost(Usage(input_tokens=10, cached_tokens=1_000_000)) == 0.5


def test_tokens_of_a_cache_cost_what_input_does_where_no_price_is_given() -> None:
    price = price_per_million("t", input=3, output=1)
    usage = Usage(input_tokens=1_000_000, cached_tokens=400_000, cache_write_tokens=100_000)
    assert price.cost(usage) == 3


def test_usage_counts_details_of_service_tiers_and_of_both_cache_times() -> None:
    usage = usage_of(
        {
            "input_tokens": 100,
            "output_tokens": 30,
            "total_tokens": 130,
            "input_token_details": {
                "flex": 80,
                "flex_cache_read": 20,
                "cache_creation": 0,
                "ephemeral_1h_input_tokens": 7,
                "ephemeral_5m_input_tokens": 3,
                "audio": None,
            },
            "output_token_details": {"flex_reasoning": 11},
        }
    )
    assert usage == Usage(
        input_tokens=100,
        output_tokens=30,
        cached_tokens=20,
        cache_write_tokens=10,
        reasoning_tokens=11,
    )


def test_a_model_that_says_nothing_of_its_tokens_has_no_usage() -> None:
    assert usage_of(None) is None
    assert usage_of({}) is None


def test_the_users_table_comes_first_and_its_closest_name_wins(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(
        '["gpt-5-mini"]\ninput = 1\noutput = 2\n'
        '["openai:gpt-5-mini"]\ninput = 3\noutput = 4.5\n'
        '["cheap.py:model"]\ninput = 0\noutput = 0\n'
    )
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    found = [
        find_price(openai(), table=table),
        find_price(openai(), table=table, reference="cheap.py:model"),
        find_price(FakeListChatModel(responses=[], name="x"), table=table),
    ]
    assert [price and price.cost(usage) for price in found] == [7.5, 0.0, None]
    assert found[0] is not None
    assert found[0].told() == "$3 in, $4.5 out per million tokens (prices.toml)"


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    table = tmp_path / "mine.toml"
    table.write_text("[a]\ninput = 1\noutput = 2\n", "utf-8-sig")
    assert list(read_table(table)) == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\ninput = 1\n", "'a' lacks output"),
        ("[a]\ninput = 1\noutput = 2\nin_put = 3\n", "unknown 'in_put'; give input, output"),
        ("[a]\ninput = -1\noutput = 2\n", "input = "),
        ("[a]\ninput = nan\noutput = 2\n", "is no price"),
        ("[a]\ninput = inf\noutput = 2\n", "is no price"),
        ("[a]\ninput = 1e40\noutput = 2\n", "is no price"),
        ("[a]\ninput = true\noutput = 2\n", "input = True is no price"),
        ('[a]\ninput = "cheap"\noutput = 2\n', "input = 'cheap' is no price"),
        ("[a]\ninput = [1]\noutput = 2\n", "input = [1] is no price"),
        ("[gpt-4.1]\ninput = 1\noutput = 2\n", 'a name with a dot is quoted: ["gpt-4.1"]'),
        ("a = 1\n", "'a' is no table"),
        ("[a\n", "is no TOML"),
        ("[a]\ninput = 1\n[a]\ninput = 2\n", "is no TOML"),
    ],
)
def test_a_bad_table_is_one_line_that_says_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    table = tmp_path / "mine.toml"
    table.write_text(text)
    with pytest.raises(LabellingError) as caught:
        read_table(table)
    assert said in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_no_file_or_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "bytes.toml"):
        with pytest.raises(LabellingError, match="prices"):
            read_table(path)


@given(RATE, RATE)
def test_prices_are_read_as_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, dear: Decimal, out: Decimal
) -> None:
    table = tmp_path_factory.mktemp("prices") / "prices.toml"
    table.write_text(f'["m"]\ninput = {dear:f}\noutput = {out:f}\n')
    assert read_table(table)["m"].rates == price_per_million("t", input=dear, output=out).rates


def test_prices_in_the_working_directory_are_the_default_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_table() is None
    Path("prices.toml").write_text("")
    assert default_table() == Path("prices.toml")


def test_the_rules_in_this_process_cost_nothing() -> None:
    price = find_price(NewsTeacher())
    assert price is not None
    assert price.source == "runs in this process"
    assert price.worst(10**9, 10**9) == 0


def test_an_unknown_model_has_no_price_and_none_is_guessed() -> None:
    assert find_price(openai(model="a-model-of-ours")) is None
    assert find_price(FakeListChatModel(responses=[])) is None


def test_a_namesake_on_another_server_does_not_have_the_price_of_the_original() -> None:
    pytest.importorskip("genai_prices")
    assert find_price(openai()) is not None
    assert find_price(openai(base_url="http://127.0.0.1:9/v1")) is None


def test_a_known_server_behind_a_base_url_has_its_own_price() -> None:
    pytest.importorskip("genai_prices")
    price = find_price(
        openai(model="llama-3.1-8b-instant", base_url="https://api.groq.com/openai/v1")
    )
    assert price is not None
    assert price.source.startswith("genai-prices ")


def test_without_genai_prices_a_price_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert find_price(openai()) is None


@given(
    st.sampled_from(["gpt-5-mini", "gpt-4o", "gpt-4.1-nano", "gpt-5.4"]),
    st.integers(0, 600_000),
    st.integers(0, 100_000),
    st.integers(0, 100),
)
def test_published_prices_are_those_of_genai_prices(
    model: str, sent: int, written: int, cached: int
) -> None:
    genai_prices = pytest.importorskip("genai_prices")
    price = find_price(openai(model=model))
    assert price is not None
    now = datetime.datetime.now(datetime.UTC)
    theirs = max(
        genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=sent + cached, output_tokens=written, cache_read_tokens=cached
            ),
            model,
            provider_id="openai",
            genai_request_timestamp=now + datetime.timedelta(hours=hours),
        ).total_price
        for hours in range(24)
    )
    ours = price.cost(
        Usage(input_tokens=sent + cached, output_tokens=written, cached_tokens=cached)
    )
    assert ours == pytest.approx(float(theirs), rel=1e-12, abs=0)


def test_long_prompts_cost_what_the_published_tier_says() -> None:
    pytest.importorskip("genai_prices")
    gemini = openai(model="google/gemini-2.5-pro", base_url="https://openrouter.ai/api/v1")
    price = find_price(gemini)
    assert price is not None
    below, above = (price.cost(Usage(input_tokens=n)) for n in (200_000, 200_001))
    assert above > 1.9 * below


def test_a_dearer_service_tier_has_its_price() -> None:
    pytest.importorskip("genai_prices")
    plain, priority = find_price(openai()), find_price(openai(service_tier="priority"))
    assert plain is not None
    assert priority is not None
    assert priority.worst(1000, 1000) > plain.worst(1000, 1000)


def test_a_model_that_is_not_charged_by_tokens_alone_has_no_price() -> None:
    pytest.importorskip("genai_prices")
    assert find_price(openai(model="sonar", base_url="https://api.perplexity.ai")) is None
