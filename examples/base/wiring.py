"""A start for the tiny Llama's weights from which copying is learnt in minutes instead of hours.

Copying a word from the prompt takes two attention heads that work together (an induction head,
Olsson et al. 2022, "In-context learning and induction heads"): one finds the token before, the
other what followed the same token earlier. From random weights a model of this size found that
pair in none of our short runs; here it starts near it, in the manner of mimetic initialisation
(Trockman & Kolter 2023, arXiv:2305.09828). Nothing is frozen: training shapes all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wiring:
    """How strongly the start is wired."""

    embedding: float = 0.088  # spread of the token embeddings, about 1 / sqrt(width)
    shared: float = 0.5  # size of the direction that all embeddings share, relative to the rest
    previous: float = 12.0  # sharpness of "look at the token before"
    matching: float = 28.0  # sharpness of "look at what followed this token"
    copying: float = 1.5  # how loudly an attended token is written out
    noise: float = 0.3  # of the weights that are left random
    wired_heads: int = 2  # per wired layer; the others start random


def wire(model: Any, wiring: Wiring) -> None:
    """Set the start weights of an untrained LlamaForCausalLM of three layers or more, in place."""
    import torch

    _randomise(model, wiring)
    width = model.config.hidden_size
    size = width // model.config.num_attention_heads
    shared = _share_a_direction(model.model.embed_tokens.weight, wiring)
    elsewhere = torch.linalg.qr(torch.randn(width, width))[0]
    off_shared = torch.eye(width) - torch.outer(shared, shared)
    codes = torch.linalg.qr(off_shared @ torch.randn(width, wiring.wired_heads * size))[0].T
    first, *later = [layer.self_attn for layer in model.model.layers[:3]]
    frequencies = model.model.rotary_emb.inv_freq
    for head in range(wiring.wired_heads):
        rows = slice(head * size, (head + 1) * size)
        _look_one_back(first, rows, frequencies, shared, wiring)
        first.v_proj.weight.data[rows] = 2 * codes[rows]
        first.o_proj.weight.data[:, rows] = elsewhere @ codes[rows].T * wiring.embedding
        for attention in later:
            _look_after_same(attention, rows, frequencies, codes[rows], elsewhere, wiring)
    for attention in later:
        _write_what_is_seen(attention, size, wiring)


def _randomise(model: Any, wiring: Wiring) -> None:
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        spread = 1 / math.sqrt(weight.shape[1])
        if "o_proj" in name or "down_proj" in name:
            spread *= wiring.embedding * wiring.noise
        if "embed" in name:
            spread = wiring.embedding
        weight.data.normal_(0, spread)


def _share_a_direction(embeddings: Any, wiring: Wiring) -> Any:
    """Give all tokens one common component (it moves every logit alike); return its direction."""
    import torch

    width = embeddings.shape[1]
    direction = torch.randn(width)
    direction /= direction.norm()
    embeddings.data -= torch.outer(embeddings.data @ direction, direction)
    embeddings.data += wiring.shared * wiring.embedding * math.sqrt(width) * direction
    return direction


def _look_one_back(
    attention: Any, rows: slice, frequencies: Any, shared: Any, wiring: Wiring
) -> None:
    """Query and key see only the shared direction; rotary phases put the peak one token back."""
    size = rows.stop - rows.start
    seen = wiring.shared / math.sqrt(1 + wiring.shared**2) * math.sqrt(len(shared))
    strength = math.sqrt(wiring.previous * math.sqrt(size)) / seen
    query, key = attention.q_proj.weight.data[rows], attention.k_proj.weight.data[rows]
    query.zero_()
    key.zero_()
    for pair in range(4):  # the four fastest rotations tell neighbours apart best
        angle = float(frequencies[pair])
        query[pair] = strength * shared
        key[pair] = strength * math.cos(angle) * shared
        key[pair + size // 2] = strength * math.sin(angle) * shared


def _look_after_same(
    attention: Any, rows: slice, frequencies: Any, codes: Any, elsewhere: Any, wiring: Wiring
) -> None:
    """Match this token's code with the code of the token before, which layer one wrote down."""
    size = rows.stop - rows.start
    strength = math.sqrt(wiring.matching * math.sqrt(size) / size)
    query, key = attention.q_proj.weight.data[rows], attention.k_proj.weight.data[rows]
    query.zero_()
    key.zero_()
    # Slow rotations only: a match must count the same at any distance.
    slow = [pair for pair in range(size // 2) if float(frequencies[pair]) < 0.05]
    for number, row in enumerate(row for pair in slow for row in (pair, pair + size // 2)):
        query[row] = strength * codes[number]
        key[row] = strength * (elsewhere @ codes[number])


def _write_what_is_seen(attention: Any, size: int, wiring: Wiring) -> None:
    """Each head passes its part of the attended token on unchanged, the random heads at half."""
    import torch

    width = attention.o_proj.weight.shape[0]
    for head in range(width // size):
        rows = slice(head * size, (head + 1) * size)
        part = torch.linalg.qr(torch.randn(width, size))[0].T
        loudness = wiring.copying * wiring.embedding / (1 if head < wiring.wired_heads else 2)
        attention.v_proj.weight.data[rows] = part
        attention.o_proj.weight.data[:, rows] = loudness * part.T
