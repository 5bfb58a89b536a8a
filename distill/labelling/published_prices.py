"""Published prices: what genai-prices knows of a model, from the snapshot that it came with."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...chains.teachers import model_parameters
from .prices import KINDS, Price, Rates, rate_of

# LangChain's names of providers where genai-prices has another.
_PUBLISHED_AS = {
    "google_genai": "google",
    "google_vertexai": "google",
    "google_anthropic_vertex": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
    "amazon_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
}
# What a call with text alone is charged for beside its tokens, or for tokens we do not count apart.
_NOT_BY_TOKENS = (
    "requests_kcount",
    "input_mchars",
    "output_reasoning_mtok",
    "output_citation_mtok",
)
_HALF_HOURS = [datetime.timedelta(minutes=30 * n) for n in range(48)]


def published_price(model: BaseChatModel, name: str, provider: str) -> Price | None:
    """The price in the snapshot that genai-prices was released with; it is never updated here."""
    import genai_prices
    from genai_prices.data_snapshot import get_snapshot

    url = model_parameters(model).get("base_url")
    known_as = _PUBLISHED_AS.get(provider, provider)
    tier = getattr(model, "service_tier", None)
    context = {"service_tier": tier} if isinstance(tier, str) else None
    if not url and not known_as:
        return None
    snapshot = get_snapshot()
    try:
        _, found = snapshot.find_provider_model(
            name, None, None if url else known_as, f"{url}/" if url else None
        )
    except LookupError:
        return None
    now = datetime.datetime.now(datetime.UTC)
    prices = [vars(found.get_prices(now + later, context)) for later in _HALF_HOURS]
    if any(price.get(key) is not None for price in prices for key in _NOT_BY_TOKENS):
        return None
    if any(price.get(key) is None for price in prices for key in ("input_mtok", "output_mtok")):
        return None
    return Price(source=f"genai-prices {genai_prices.__version__}", rates=_tiers(prices))


def _tiers(prices: Sequence[Mapping[str, Any]]) -> tuple[Rates, ...]:
    """The dearest of these prices per length of prompt; a longer prompt is never cheaper."""
    starts = {tier.start for price in prices for p in price.values() for tier in _steps(p)}
    rates: list[Rates] = []
    for above in (-1, *sorted(starts)):
        at = functools.partial(_dearest, prices, above)
        dear_input = at(("input_mtok",))
        new = Rates(
            above=above,
            input=dear_input,
            output=at(("output_mtok",)),
            cached_input=at(("cache_read_mtok",), dear_input),
            cache_write=at(("cache_write_mtok", "cache_write_1h_mtok"), dear_input),
        )
        rates.append(_at_least(new, rates[-1]) if rates else new)
    return tuple(rates)


def _at_least(new: Rates, before: Rates) -> Rates:
    return Rates(
        above=new.above, **{kind: max(getattr(new, kind), getattr(before, kind)) for kind in KINDS}
    )


def _dearest(
    prices: Sequence[Mapping[str, Any]], above: int, keys: Iterable[str], default: int = 0
) -> int:
    found = [
        rate_of("genai-prices", key, value)
        for price in prices
        for key in keys
        if (value := _price_above(price.get(key), above)) is not None
    ]
    return max(found, default=default)


def _price_above(price: Any, above: int) -> Any:
    """The price of a prompt with more than `above` tokens: the last step that it is over."""
    passed = [tier.price for tier in _steps(price) if tier.start <= above]
    return passed[-1] if passed else getattr(price, "base", price)


def _steps(price: Any) -> Sequence[Any]:
    return getattr(price, "tiers", ())
