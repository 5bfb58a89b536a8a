"""Money and tokens in words, as the command line and its bars say them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..store.rows import Record
    from ..store.totals import RunTotals


def tokens(of: RunTotals | Record) -> str:
    """The tokens in words; empty where the model does not say."""
    if of.input_tokens is None:
        return ""
    cached = f" ({of.cached_tokens:,} cached)" if of.cached_tokens else ""
    thought = f" ({of.reasoning_tokens:,} reasoning)" if of.reasoning_tokens else ""
    return f"{of.input_tokens:,} tokens in{cached}, {of.output_tokens or 0:,} out{thought}"


def dollars(cost: float) -> str:
    """A sum of money, small ones to two digits: $12.40, $0.0012."""
    if 0 < cost < 0.1:
        return f"${cost:.{1 - math.floor(math.log10(cost))}f}"
    return f"${cost:,.2f}"
