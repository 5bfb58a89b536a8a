"""Where the packed tokens of a call belong: slots, columns, what each may see, whose adapter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .attention import Group, grouped
from .chunks import Chunk
from .lora import Adapter

Span = tuple[Adapter | None, int, int]  # an adapter, and its first and end packed token


@dataclass(frozen=True)
class Layout:
    """Arrays over the packed tokens of a call; `last` are the places of the chunks' last tokens.

    `sharers` are the tokens that see the opening: a slice for all, an index, or None for none of
    them; `hidden` masks what some of them do not share of it.
    """

    slots: Any
    columns: Any
    positions: Any
    furthest: int
    last: Any
    groups: list[Group]
    sharers: Any
    hidden: Any
    spans: list[Span]


def layout_of(
    chunks: Sequence[Chunk],
    shared: Sequence[int],
    *,
    opening: int,
    of: int,
    like: Any,
    ends: bool = False,
) -> Layout:
    """The layout of chunks in which `shared` tokens of an opening of this length come first.

    `of` is the number of heads to a key head, masks are `like` a tensor in type and device. With
    `ends` only the last token of each chunk is there.
    """
    import numpy
    import torch

    def index(array: Any) -> Any:
        return torch.from_numpy(array).to(like.device)

    before = numpy.array(shared)
    lengths = numpy.array([len(chunk.tokens) for chunk in chunks])
    starts = numpy.array([chunk.start for chunk in chunks]) - before
    slots = numpy.array([chunk.slot for chunk in chunks])
    if ends:
        starts, lengths = starts + lengths - 1, numpy.ones_like(lengths)
    offsets = numpy.concatenate([[0], numpy.cumsum(lengths)])
    columns = numpy.arange(offsets[-1]) + numpy.repeat(starts - offsets[:-1], lengths)
    each = numpy.repeat(before, lengths)
    sharers, hidden = _sharing(each, opening, of, like)
    return Layout(
        slots=index(numpy.repeat(slots, lengths)),
        columns=index(columns),
        positions=index(columns + each),
        furthest=int((columns + each).max()),
        last=index(offsets[1:] - 1),
        groups=grouped(slots, starts, lengths, offsets, of=of, like=like),
        sharers=sharers,
        hidden=hidden,
        spans=_spans(chunks, offsets),
    )


def _sharing(each: Any, opening: int, of: int, like: Any) -> tuple[Any, Any]:
    """Which tokens see the opening, and what is hidden of it: (1, 1, tokens * of, columns)."""
    import numpy
    import torch

    if not each.any():
        return None, None
    some = numpy.flatnonzero(each)
    sharers = slice(None) if len(some) == len(each) else torch.from_numpy(some).to(like.device)
    if (each[some] == opening).all():
        return sharers, None
    unseen = torch.from_numpy(numpy.arange(opening) >= numpy.repeat(each[some], of)[:, None])
    mask = torch.zeros(unseen.shape, dtype=like.dtype).masked_fill_(unseen, -math.inf)
    return sharers, mask.to(like.device)[None, None]


def _spans(chunks: Sequence[Chunk], offsets: Any) -> list[Span]:
    """The packed tokens of each adapter; the chunks come sorted by it."""
    spans: list[Span] = []
    for place, chunk in enumerate(chunks):
        first, end = int(offsets[place]), int(offsets[place + 1])
        if spans and spans[-1][0] is chunk.adapter:
            spans[-1] = (chunk.adapter, spans[-1][1], end)
        else:
            spans.append((chunk.adapter, first, end))
    return spans
