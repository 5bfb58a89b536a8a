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


@dataclass
class Opening:
    """What prompts begin with, seen by all that share it: keys and values (key heads, size, ...).

    `tokens` are the packed tokens that see it, a slice for all; `mask` hides from a row the part
    that it does not share, None where all share the whole.
    """

    keys: Any
    values: Any
    tokens: Any
    mask: Any


def attend(
    queries: Any, keys: Any, values: Any, groups: Sequence[Group], opening: Opening | None
) -> Any:
    """What every query sees, shape (queries, heads, size).

    `keys` and `values` have shape (slots, key heads, columns, size); heads that share a key head
    are asked together. The two parts, a slot's own and the opening, are weighed by their sums of
    exponents, so that the result is that of one softmax.
    """
    import torch

    own, weights = _own(queries, keys, values, groups)
    if opening is None:
        return own
    shared, shared_weights = _opened(queries[opening.tokens], opening)
    share = torch.sigmoid(shared_weights - weights[opening.tokens])[..., None].to(own.dtype)
    mixed = torch.lerp(own[opening.tokens], shared, share)
    if isinstance(opening.tokens, slice):
        return mixed
    own[opening.tokens] = mixed
    return own


def _own(queries: Any, keys: Any, values: Any, groups: Sequence[Group]) -> tuple[Any, Any]:
    """What every query sees in its slot, and the logarithm of its sum of exponents."""
    import torch

    _, heads, size = queries.shape
    key_heads = keys.shape[1]
    of = heads // key_heads
    found: Any = None
    weights: Any = None
    for group in groups:
        some = queries if group.gather is None else queries[group.gather]
        asked = some.reshape(-1, group.width, key_heads, of, size).permute(0, 2, 3, 1, 4)
        seen, weight = _softmax(
            asked.reshape(-1, key_heads, of * group.width, size),
            keys[group.rows, :, : group.reach],
            values[group.rows, :, : group.reach],
            group.mask,
        )
        seen = seen.reshape(-1, key_heads, of, group.width, size).permute(0, 3, 1, 2, 4)
        weight = weight.reshape(-1, key_heads, of, group.width).permute(0, 3, 1, 2)
        seen, weight = seen.reshape(-1, heads, size), weight.reshape(-1, heads)
        if group.keep is not None:
            seen, weight = seen[group.keep], weight[group.keep]
        if group.where is None:
            return seen, weight
        if found is None:
            found, weights = torch.empty_like(queries), queries.new_empty(queries.shape[:2])
        found[group.where], weights[group.where] = seen, weight.to(queries.dtype)
    return found, weights


def _opened(queries: Any, opening: Opening) -> tuple[Any, Any]:
    """The same for what is shared: all queries in one operation, nothing padded."""
    count, heads, size = queries.shape
    key_heads = opening.keys.shape[0]
    asked = queries.reshape(count, key_heads, -1, size).permute(1, 0, 2, 3)
    seen, weight = _softmax(
        asked.reshape(1, key_heads, -1, size),
        opening.keys[None],
        opening.values[None],
        opening.mask,
    )
    of = heads // key_heads
    seen = seen.reshape(key_heads, count, of, size).permute(1, 0, 2, 3)
    weight = weight.reshape(key_heads, count, of).permute(1, 0, 2)
    return seen.reshape(count, heads, size), weight.reshape(count, heads)


def _softmax(queries: Any, keys: Any, values: Any, mask: Any) -> tuple[Any, Any]:
    """Attention, and the logarithm of each query's sum of exponents."""
    import torch

    if queries.device.type == "cpu":
        flash: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        seen, weights = flash(queries, keys, values, attn_mask=mask)
        return seen, weights
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    scores = scores if mask is None else scores + mask
    return scores.softmax(-1) @ values, scores.logsumexp(-1)


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
