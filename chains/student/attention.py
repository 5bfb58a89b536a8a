"""Attention of packed rows: each query sees its own slot, rows of like length in one operation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Group:
    """Rows whose attention is one operation: `width` queries each, over `reach` columns.

    `rows` picks their slots; `gather` the queries out of the packed tokens, `keep` the answers that
    belong to a token, `where` these go; None where that is all of them in order.
    """

    rows: Any
    width: int
    reach: int
    mask: Any
    gather: Any
    keep: Any
    where: Any


def attend(queries: Any, keys: Any, values: Any, groups: Sequence[Group]) -> Any:
    """What every query sees, shape (queries, heads, size).

    `keys` and `values` have shape (slots, key heads, columns, size); heads that share a key head
    are asked together.
    """
    import torch
    from torch.nn import functional

    _, heads, size = queries.shape
    key_heads = keys.shape[1]
    of = heads // key_heads
    found = None
    for group in groups:
        some = queries if group.gather is None else queries[group.gather]
        asked = some.reshape(-1, group.width, key_heads, of, size).permute(0, 2, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(
            asked.reshape(-1, key_heads, of * group.width, size),
            keys[group.rows, :, : group.reach],
            values[group.rows, :, : group.reach],
            attn_mask=group.mask,
        )
        seen = seen.view(-1, key_heads, of, group.width, size).permute(0, 3, 1, 2, 4)
        seen = seen.reshape(-1, heads, size)
        seen = seen if group.keep is None else seen[group.keep]
        if group.where is None:
            return seen
        found = torch.empty_like(queries) if found is None else found
        found[group.where] = seen
    return found


def grouped(
    slots: Any, starts: Any, lengths: Any, offsets: Any, *, of: int, like: Any
) -> list[Group]:
    """Rows of similar length together: their attention alone is padded.

    The arrays give each row's slot, what it has read, its new tokens and where those begin in the
    packed ones; `of` is the number of heads to a key head, masks are `like` a tensor in type and
    device.
    """
    import numpy

    # Lengths up to 8 share a group, longer ones those within a factor of 1.5.
    kinds = numpy.ceil(numpy.log(numpy.maximum(lengths, 8) / 8) / math.log(1.5) - 1e-9)
    parts = [numpy.flatnonzero(kinds == kind) for kind in numpy.unique(kinds)]
    groups = []
    for some in parts:
        group = _group(
            slots[some], starts[some], lengths[some], offsets[some], len(parts) == 1, like
        )
        if group.width > 1:
            group.mask = group.mask.repeat(1, 1, of, 1)
        groups.append(group)
    return groups


def _group(slots: Any, starts: Any, lengths: Any, offsets: Any, whole: bool, like: Any) -> Group:
    import numpy
    import torch

    width, reach = int(lengths.max()), int((starts + lengths).max())
    even = bool((lengths == width).all())
    # A shorter row repeats its last token: something finite, and dropped by `keep`.
    steps = numpy.minimum(numpy.arange(width), lengths[:, None] - 1)
    own = (numpy.arange(width) < lengths[:, None]).ravel()
    gather = (offsets[:, None] + steps).ravel()
    low, high = int(slots[0]), int(slots[-1]) + 1
    in_line = high - low == len(slots) and bool((numpy.diff(slots) > 0).all())

    def index(array: Any) -> Any:
        return torch.from_numpy(array).to(like.device)

    return Group(
        rows=slice(low, high) if in_line else index(slots),
        width=width,
        reach=reach,
        mask=_mask(starts[:, None] + steps, reach, like),
        gather=None if even and whole else index(gather),
        keep=None if even else index(numpy.flatnonzero(own)),
        where=None if whole else index(gather[own]),
    )


def _mask(positions: Any, reach: int, like: Any) -> Any:
    """Additive, shape (rows, 1, queries, columns): a query sees the columns up to its position."""
    import numpy
    import torch

    unseen = torch.from_numpy(numpy.arange(reach) > positions[:, :, None])
    mask = torch.zeros(unseen.shape, dtype=like.dtype).masked_fill_(unseen, -math.inf)
    return mask.to(like.device)[:, None]
