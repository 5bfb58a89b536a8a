"""Money, tokens and rows in words, as the command line and its bars say them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..store.columns import printable

if TYPE_CHECKING:
    from ..store.rows import Record
    from ..store.totals import RunTotals


SPLITS = ("train", "validation", "calibration", "test")
MOST_SPLITS = 8  # that are named; somebody's column of splits may hold anything


def rows_in(splits: Mapping[str, int]) -> str:
    """Rows by split in words, the four of every task first: 22 train, 2 validation, 5 test."""
    first = [name for name in SPLITS if name in splits]
    names = [*first, *(name for name in splits if name not in first)]
    told = [f"{splits[name]:,} {printable(name[:40])}" for name in names[:MOST_SPLITS]]
    more = names[MOST_SPLITS:]
    told += [f"{sum(splits[name] for name in more):,} in {len(more):,} more"] if more else []
    return ", ".join(told)


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
