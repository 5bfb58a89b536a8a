"""The fast path: a Llama-shaped model run over one packed row of tokens, keys and values in slots.

Same weights, same answers as transformers' own forward; it saves padding, the copies of the keys
and values, and the last layer's work on tokens whose successor is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .attention import Group, attend, grouped
from .chunks import TOKENS_A_CALL, Chunk
from .llama import joined_layer
from .lora import Deltas

_COLUMNS = 128  # storage grows by this many positions


class Packed:
    """Feeds chunks of unequal length to a Llama-shaped model without padding them.

    A row's token at position p lies in column p of its slot. `deltas` are the adapters that rows
    may name.
    """

    rewinds = True

    def __init__(self, model: Any, deltas: Deltas | None = None) -> None:
        config = model.config
        self._model, self._deltas = model, deltas
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

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        """The last hidden state after each chunk, shape (chunks, hidden size)."""
        import torch

        order = sorted(
            range(len(chunks)), key=lambda index: (chunks[index].adapter or "", chunks[index].slot)
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

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the first `length` tokens of one slot be those of another too."""
        import torch

        if not self._keys:
            return
        with torch.inference_mode():
            self._grow(target + 1, length)
            for stored in (*self._keys, *self._values):
                stored[target, :, :length] = stored[source, :, :length]

    def clear(self) -> None:
        """Give the memory back."""
        self._keys, self._values = [], []

    def _call(self, chunks: Sequence[Chunk]) -> Any:
        import numpy
        import torch
        from torch.nn import functional

        device = self._embed.device
        lengths = numpy.array([len(chunk.tokens) for chunk in chunks])
        starts = numpy.array([chunk.start for chunk in chunks])
        slots = numpy.array([chunk.slot for chunk in chunks])
        offsets = numpy.concatenate([[0], numpy.cumsum(lengths)])
        packed = numpy.arange(offsets[-1])
        places = packed + numpy.repeat(starts - offsets[:-1], lengths)
        self._grow(int(slots.max()) + 1, int((starts + lengths).max()))
        tokens = [token for chunk in chunks for token in chunk.tokens]
        x = functional.embedding(torch.tensor(tokens, device=device), self._embed)
        positions = torch.from_numpy(places).to(device)
        at = torch.from_numpy(numpy.repeat(slots, lengths)).to(device)
        turns = tuple(turn[positions][:, None] for turn in self._turning())
        spans = _spans(chunks, offsets)
        last = torch.from_numpy(offsets[1:] - 1).to(device)
        groups = grouped(
            slots, starts, lengths, offsets, of=self._heads // self._key_heads, like=self._embed
        )
        for index in range(len(self._layers)):
            if index == len(self._layers) - 1 and len(tokens) > len(chunks):
                ones = numpy.ones_like(lengths)
                alone = grouped(
                    slots,
                    starts + lengths - 1,
                    ones,
                    numpy.arange(len(ones)),
                    of=self._heads // self._key_heads,
                    like=self._embed,
                )
                ends = [(adapter, *_rows(chunks, adapter)) for adapter, _, _ in spans]
                x = self._layer(index, x, turns, at, positions, alone, spans, last, ends)
            else:
                x = self._layer(index, x, turns, at, positions, groups, spans)
        x = x if x.shape[0] == len(chunks) else x[last]
        return functional.rms_norm(x, x.shape[-1:], self._norm, self._epsilon)

    def _layer(
        self,
        index: int,
        x: Any,
        turns: Any,
        at: Any,
        positions: Any,
        groups: Sequence[Group],
        spans: Any,
        last: Any = None,
        ends: Any = None,
    ) -> Any:
        """One decoder layer; where `last` is given, only these tokens go on from here."""
        import torch
        from torch.nn import functional

        layer, heads, size = self._layers[index], self._heads, self._size
        both = heads + self._key_heads
        y = functional.rms_norm(x, x.shape[-1:], layer.norm, self._epsilon)
        y = self._linear(y, layer.into, layer.into_bias, (index, "into"), spans)
        y = y.view(-1, both + self._key_heads, size)
        turned = y[:, :both]
        if layer.query_norm is not None:
            turned = torch.cat(
                [
                    functional.rms_norm(y[:, :heads], (size,), layer.query_norm, self._epsilon),
                    functional.rms_norm(y[:, heads:both], (size,), layer.key_norm, self._epsilon),
                ],
                dim=1,
            )
        cos, sin = turns
        half = size // 2
        swapped = torch.cat([turned[..., half:], turned[..., :half]], dim=-1)
        turned = turned * cos + swapped * sin
        self._keys[index][at, :, positions] = turned[:, heads:]
        self._values[index][at, :, positions] = y[:, both:]
        queries = turned[:, :heads]
        if last is not None:
            queries, x, spans = queries[last], x[last], ends
        seen = self._attend(index, queries, groups)
        x = x + self._linear(seen, layer.out, layer.out_bias, (index, "out"), spans)
        y = functional.rms_norm(x, x.shape[-1:], layer.mlp_norm, self._epsilon)
        y = self._linear(y, layer.gate_up, layer.gate_up_bias, (index, "gate_up"), spans)
        gate, up = y.chunk(2, dim=-1)
        y = functional.silu(gate).mul_(up)
        return x + self._linear(y, layer.down, layer.down_bias, (index, "down"), spans)

    def _linear(self, x: Any, weight: Any, bias: Any, place: tuple[int, str], spans: Any) -> Any:
        from torch.nn import functional

        y = functional.linear(x, weight, bias)
        if self._deltas is not None:
            self._deltas.add(y, x, place, spans)
        return y

    def _attend(self, index: int, queries: Any, groups: Sequence[Group]) -> Any:
        """What every query sees in its own slot, shape (queries, heads * size)."""
        seen = attend(queries, self._keys[index], self._values[index], groups)
        return seen.reshape(-1, self._heads * self._size)

    def _grow(self, height: int, width: int) -> None:
        """Storage for at least these slots and columns, holding what it held."""
        if self._keys:
            stored = self._keys[0].shape
            if stored[0] >= height and stored[2] >= width:
                return
            height, width = max(height, stored[0]), max(width, stored[2])
        width = -(-width // _COLUMNS) * _COLUMNS
        shape = (height, self._key_heads, width, self._size)
        for name in ("_keys", "_values"):
            held = getattr(self, name)
            grown = [self._embed.new_zeros(shape) for _ in self._layers]
            for old, new in zip(held, grown, strict=False):
                new[: old.shape[0], :, : old.shape[2]] = old
            setattr(self, name, grown)

    def _turning(self) -> tuple[Any, Any]:
        """The rotation of every position that the storage has, the sign of the sine folded in."""
        import torch

        width = self._keys[0].shape[2]
        if self._turns is None or self._turns[0].shape[0] < width:
            positions = torch.arange(width, device=self._embed.device)[None]
            cos, sin = self._model.model.rotary_emb(self._embed[:1][None], positions)
            sign = torch.ones_like(sin[0])
            sign[:, : self._size // 2] = -1
            self._turns = (cos[0].clone(), sin[0] * sign)
        return self._turns


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


def _rows(chunks: Sequence[Chunk], adapter: str | None) -> tuple[int, int]:
    mine = [index for index, chunk in enumerate(chunks) if chunk.adapter == adapter]
    return mine[0], mine[-1] + 1


def _spans(chunks: Sequence[Chunk], offsets: Any) -> list[tuple[str | None, int, int]]:
    """Which packed tokens each adapter answers: (adapter, first, end)."""
    names = dict.fromkeys(chunk.adapter for chunk in chunks)
    spans = [(name, *_rows(chunks, name)) for name in names]
    return [(name, int(offsets[first]), int(offsets[end])) for name, first, end in spans]
