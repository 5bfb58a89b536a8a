"""The fast path: a Llama-shaped model run over one packed row of tokens, keys and values in slots.

Same weights, same answers as transformers' own forward; it saves padding, the copies of the keys
and values, reading what prompts begin with more than once, and the last layer's work on tokens
whose successor is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .attention import Opening, attend
from .chunks import TOKENS_A_CALL, Chunk
from .layout import Layout, layout_of
from .llama import joined_layer
from .lora import Adapter, add_deltas

_COLUMNS = 128  # storage grows by this many positions


class Packed:
    """Feeds chunks of unequal length to a Llama-shaped model without padding them.

    A row's token at position p lies in column p of its slot, less what its row shares with the
    others: that lies apart, once.
    """

    rewinds = True

    def __init__(self, model: Any) -> None:
        config = model.config
        self._model = model
        self._head = model.get_output_embeddings().weight.detach()
        self._embed = model.get_input_embeddings().weight.detach()
        self._heads = config.num_attention_heads
        self._key_heads = config.num_key_value_heads
        self._size = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._epsilon = config.rms_norm_eps
        self._norm = model.model.norm.weight.detach()
        self._layers = [joined_layer(layer) for layer in model.model.layers]
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._turns: tuple[Any, Any] | None = None
        self._opening: list[tuple[Any, Any]] = []
        self._shared: dict[int, int] = {}  # slot: tokens of the opening that its row goes on after

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        """The last hidden state after each chunk, shape (chunks, hidden size)."""
        import torch

        order = sorted(
            range(len(chunks)), key=lambda index: (_name(chunks[index]), chunks[index].slot)
        )
        states = torch.empty(
            (len(chunks), self._embed.shape[1]), dtype=self._embed.dtype, device=self._embed.device
        )
        with torch.inference_mode():
            for some in _calls(chunks, order):
                states[some] = self._call([chunks[index] for index in some])
        return states

    def scores(self, states: Any, tokens: Sequence[int] | None = None) -> Any:
        """Logits in float32 of all tokens or these, shape (states, tokens)."""
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            head = self._head if tokens is None else self._head[list(tokens)]
            return functional.linear(states, head).float()

    def open(self, tokens: Sequence[int], adapter: Adapter | None = None) -> None:
        """Read what prompts begin with, in the place of an earlier one that no row shares."""
        import torch

        held = self._keys, self._values, self._shared
        self._keys, self._values, self._shared = [], [], {}
        with torch.inference_mode():
            self._call([Chunk(0, 0, list(tokens), adapter)])
            self._opening = [
                (keys[0, :, : len(tokens)].clone(), values[0, :, : len(tokens)].clone())
                for keys, values in zip(self._keys, self._values, strict=True)
            ]
        self._keys, self._values, self._shared = held

    def share(self, slots: Sequence[int], length: int) -> None:
        """Let rows in these slots go on after the first `length` tokens of the opening."""
        self._shared.update(dict.fromkeys(slots, length))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the first `length` tokens of one slot be those of another too."""
        import torch

        shared = self._shared.get(source, 0)
        self._shared[target] = shared
        if self._keys and length > shared:
            with torch.inference_mode():
                self._grow(target + 1, length - shared)
                for stored in (*self._keys, *self._values):
                    stored[target, :, : length - shared] = stored[source, :, : length - shared]

    def clear(self) -> None:
        """Give the memory back, the opening's too."""
        self._keys, self._values, self._opening, self._shared = [], [], [], {}

    def _call(self, chunks: Sequence[Chunk]) -> Any:
        import torch
        from torch.nn import functional

        for chunk in chunks:
            if not chunk.start:
                self._shared.pop(chunk.slot, None)
        shared = [self._shared.get(chunk.slot, 0) for chunk in chunks]
        self._grow(
            max(chunk.slot for chunk in chunks) + 1,
            max(
                chunk.start + len(chunk.tokens) - skipped
                for chunk, skipped in zip(chunks, shared, strict=True)
            ),
        )
        length = self._opening[0][0].shape[1] if self._opening else 0
        of = self._heads // self._key_heads
        layout = layout_of(chunks, shared, opening=length, of=of, like=self._embed)
        ends = None
        if len(layout.last) < len(layout.positions):
            ends = layout_of(chunks, shared, opening=length, of=of, like=self._embed, ends=True)
        tokens = [token for chunk in chunks for token in chunk.tokens]
        x = functional.embedding(torch.tensor(tokens, device=self._embed.device), self._embed)
        turns = tuple(turn[layout.positions][:, None] for turn in self._turning(layout))
        for index in range(len(self._layers) - 1):
            x = self._layer(index, x, turns, layout, None)
        x = self._layer(len(self._layers) - 1, x, turns, layout, ends)
        return functional.rms_norm(x, x.shape[-1:], self._norm, self._epsilon)

    def _layer(self, index: int, x: Any, turns: Any, layout: Layout, ends: Layout | None) -> Any:
        """One decoder layer; where `ends` is given, only the chunks' last tokens go on from it."""
        from torch.nn import functional

        layer, heads = self._layers[index], self._heads
        both = heads + self._key_heads
        y = functional.rms_norm(x, x.shape[-1:], layer.norm, self._epsilon)
        y = self._linear(y, layer.into, layer.into_bias, (index, "into"), layout)
        y = y.view(-1, both + self._key_heads, self._size)
        turned = self._turned(y[:, :both], layer, turns)
        self._keys[index][layout.slots, :, layout.columns] = turned[:, heads:]
        self._values[index][layout.slots, :, layout.columns] = y[:, both:]
        queries = turned[:, :heads]
        if ends is not None:
            queries, x, layout = queries[layout.last], x[layout.last], ends
        opening = None
        if layout.sharers is not None:
            opening = Opening(*self._opening[index], layout.sharers, layout.hidden)
        seen = attend(queries, self._keys[index], self._values[index], layout.groups, opening)
        seen = seen.reshape(len(queries), -1)
        x = x + self._linear(seen, layer.out, layer.out_bias, (index, "out"), layout)
        y = functional.rms_norm(x, x.shape[-1:], layer.mlp_norm, self._epsilon)
        y = self._linear(y, layer.gate_up, layer.gate_up_bias, (index, "gate_up"), layout)
        gate, up = y.chunk(2, dim=-1)
        y = functional.silu(gate).mul_(up)
        return x + self._linear(y, layer.down, layer.down_bias, (index, "down"), layout)

    def _turned(self, y: Any, layer: Any, turns: Any) -> Any:
        """Queries and keys, turned by their positions."""
        import torch
        from torch.nn import functional

        if layer.query_norm is not None:
            queries, keys = y[:, : self._heads], y[:, self._heads :]
            queries = functional.rms_norm(queries, (self._size,), layer.query_norm, self._epsilon)
            keys = functional.rms_norm(keys, (self._size,), layer.key_norm, self._epsilon)
            y = torch.cat([queries, keys], dim=1)
        cos, sin = turns
        half = self._size // 2
        return y * cos + torch.cat([y[..., half:], y[..., :half]], dim=-1) * sin

    def _linear(self, x: Any, weight: Any, bias: Any, place: Any, layout: Layout) -> Any:
        from torch.nn import functional

        y = functional.linear(x, weight, bias)
        add_deltas(y, x, place, layout.spans)
        return y

    def _grow(self, height: int, width: int) -> None:
        """Storage for at least these slots and columns, holding what it held."""
        if self._keys:
            stored = self._keys[0].shape
            if stored[0] >= height and stored[2] >= width:
                return
            height, width = max(height, stored[0]), max(width, stored[2])
        # Twice the slots at a time: to grow is to copy all that is held.
        height = 1 << (height - 1).bit_length()
        width = -(-width // _COLUMNS) * _COLUMNS
        shape = (height, self._key_heads, width, self._size)
        for name in ("_keys", "_values"):
            held = getattr(self, name)
            grown = [self._embed.new_zeros(shape) for _ in self._layers]
            for old, new in zip(held, grown, strict=False):
                new[: old.shape[0], :, : old.shape[2]] = old
            setattr(self, name, grown)

    def _turning(self, layout: Layout) -> tuple[Any, Any]:
        """The rotation of every position up to the last, the sign of the sine folded in."""
        import torch

        width = layout.furthest + 1
        if self._turns is None or self._turns[0].shape[0] < width:
            positions = torch.arange(2 * width, device=self._embed.device)[None]
            cos, sin = self._model.model.rotary_emb(self._embed[:1][None], positions)
            sign = torch.ones_like(sin[0])
            sign[:, : self._size // 2] = -1
            self._turns = (cos[0].clone(), sin[0] * sign)
        return self._turns


def _name(chunk: Chunk) -> str:
    return chunk.adapter.name if chunk.adapter is not None else ""


def _calls(chunks: Sequence[Chunk], order: Sequence[int]) -> list[list[int]]:
    """The chunks' indexes in `order`, cut where a call would have too many tokens."""
    calls: list[list[int]] = [[]]
    size = 0
    for index in order:
        length = len(chunks[index].tokens)
        if calls[-1] and size + length > TOKENS_A_CALL:
            calls.append([])
            size = 0
        calls[-1].append(index)
        size += length
    return calls
