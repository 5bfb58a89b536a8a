"""What a model's tokens cost: the user's own table, else genai-prices, else unknown, never zero."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel

from ...chains.offline import RuleTeacher
from ...chains.teachers import model_name
from .limits import LabellingError

DEFAULT_TABLE = Path("prices.toml")
_UNIT = 10**18  # rates are whole numbers of 1e-18 dollars a token: sums and bounds are exact
KINDS = ("input", "output", "cached_input", "cache_write")
Number: TypeAlias = Decimal | int | float | str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one call or of several. Cached and cache-written ones are part of the input,
    reasoning is part of the output, as in LangChain's `usage_metadata`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Prices in 1e-18 US dollars a token, for calls with more than `above` input tokens."""

    above: int = -1
    input: int
    output: int
    cached_input: int
    cache_write: int


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a model's calls cost, and who says so. `rates` rise with the prompt's length."""

    source: str
    rates: tuple[Rates, ...]

    def cost(self, usage: Usage) -> float:
        """US dollars of one call. It never falls when input or output tokens are added.

        Where a provider counts cached tokens beside the input they are paid for as well.
        """
        special = usage.cached_tokens + usage.cache_write_tokens
        total = max(usage.input_tokens, special)
        rates = self._of(total)
        paid = (
            (total - special) * rates.input
            + usage.cached_tokens * rates.cached_input
            + usage.cache_write_tokens * rates.cache_write
            + usage.output_tokens * rates.output
        )
        return paid / _UNIT

    def worst(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars that a call of at most so many tokens can cost, however its input is cached.

        No `cost` of such a call is above it.
        """
        rates = self._of(input_tokens)
        dearest = max(rates.input, rates.cached_input, rates.cache_write)
        return (input_tokens * dearest + output_tokens * rates.output) / _UNIT

    def told(self) -> str:
        """One line: the price per million tokens, and its source."""
        first = self.rates[0]
        said = f"${_per_million(first.input)} in, ${_per_million(first.output)} out"
        tiers = ", more for long prompts" if len(self.rates) > 1 else ""
        return f"{said} per million tokens{tiers} ({self.source})"

    def _of(self, input_tokens: int) -> Rates:
        return next(rates for rates in reversed(self.rates) if input_tokens > rates.above)


def price_per_million(
    source: str,
    *,
    input: Number,
    output: Number,
    cached_input: Number | None = None,
    cache_write: Number | None = None,
) -> Price:
    """A price from US dollars per million tokens.

    Tokens read from a cache or written to it cost what other input does unless a price is given.
    Raises LabellingError where one is below 0 or no finite number.
    """
    prices = {"input": input, "output": output}
    prices |= {"cached_input": input if cached_input is None else cached_input}
    prices |= {"cache_write": input if cache_write is None else cache_write}
    return Price(source=source, rates=(Rates(**{k: rate_of(source, k, prices[k]) for k in KINDS}),))


def usage_of(usage_metadata: Mapping[str, Any] | None) -> Usage | None:
    """The tokens of a reply by its `usage_metadata`; None where the model does not say."""
    if not usage_metadata:
        return None
    read = usage_metadata.get("input_token_details") or {}
    written = usage_metadata.get("output_token_details") or {}
    return Usage(
        input_tokens=_count(usage_metadata.get("input_tokens")),
        output_tokens=_count(usage_metadata.get("output_tokens")),
        cached_tokens=_counted(read, ("cache_read",)),
        cache_write_tokens=_counted(
            read, ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
        ),
        reasoning_tokens=_counted(written, ("reasoning",)),
    )


def default_table() -> Path | None:
    """`prices.toml` in the working directory, where there is one."""
    return DEFAULT_TABLE if DEFAULT_TABLE.is_file() else None


def find_price(
    model: BaseChatModel, *, reference: str | None = None, table: Path | None = None
) -> Price | None:
    """What the model costs; None where nobody says: unknown is not free.

    The user's `table` comes first (by `reference`, by "provider:model", by the model's name), then
    the offline prices of genai-prices where that is installed, taken at their dearest within the
    next 24 hours. A teacher of rules in this process costs nothing. A model behind another server's
    `base_url` has that server's price, not its namesake's. Raises LabellingError for a bad table.
    """
    name, provider = model_name(model), provider_of(model)
    if table is not None:
        known = read_table(table)
        for key in (reference, f"{provider}:{name}", name):
            if key in known:
                return known[key]
    if isinstance(model, RuleTeacher):
        return price_per_million("runs in this process", input=0, output=0)
    if importlib.util.find_spec("genai_prices") is None:
        return None
    from .published_prices import published_price

    return published_price(model, name, provider)


def read_table(path: Path) -> dict[str, Price]:
    """The prices in a TOML file: a table per "model" or "provider:model", in USD per million.

        ["openai:gpt-6.1-terra"]
        input = 0.25
        output = 2
        cached_input = 0.025   # both of these are the price of input where they are left out
        cache_write = 0.25

    Raises LabellingError, which says what is wrong where.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise LabellingError(f"prices {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabellingError(f"prices {path} is no TOML: {error}") from error
    return {name: _entry(path, name, entry) for name, entry in data.items()}


def _entry(path: Path, name: str, entry: Any) -> Price:
    where = f"prices {path}, {name!r}"
    if not isinstance(entry, dict):
        raise LabellingError(f"{where} is no table; write [{name!r}] and input, output below it")
    for key, value in entry.items():
        if key not in KINDS:
            hint = f'; a name with a dot is quoted: ["{name}.{key}"]' if _is_table(value) else ""
            raise LabellingError(f"{where}: unknown {key!r}; give {', '.join(KINDS)}{hint}")
        rate_of(where, key, value)
    lacking = [key for key in ("input", "output") if key not in entry]
    if lacking:
        raise LabellingError(f"{where} lacks {' and '.join(lacking)}, in USD per million tokens")
    return price_per_million(path.name, **entry)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def rate_of(where: str, kind: str, value: Any) -> int:
    """USD per million tokens as 1e-18 USD a token, rounded up. Raises LabellingError."""
    try:
        number = None if isinstance(value, bool) else Decimal(str(value))
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite() or not 0 <= number <= 10**9:
        raise LabellingError(
            f"{where}: {kind} = {value!r} is no price; give USD per million tokens, 0 or more"
        )
    return int((number * (_UNIT // 10**6)).to_integral_value(ROUND_CEILING))


def _per_million(rate: int) -> str:
    return f"{Decimal(rate) / (_UNIT // 10**6):f}"


def _count(value: Any) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _counted(details: Mapping[str, Any], kinds: Sequence[str]) -> int:
    """The details of these kinds; a service tier may stand before, as in "flex_cache_read"."""
    return sum(_count(value) for key, value in details.items() if key.endswith(tuple(kinds)))


def provider_of(model: BaseChatModel) -> str:
    """The provider's name as LangChain traces it."""
    return str(model._get_ls_params().get("ls_provider") or "")
