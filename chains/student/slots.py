"""The general path: transformers' own forward, what a running batch remembers held in slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .chunks import TOKENS_A_CALL, Chunk, cuts
from .lora import Adapter

_COLUMNS = 128  # storage grows by this many positions


@dataclass
class Slots:
    """Feeds chunks of unequal length to any causal language model of transformers.

    A row's token at position p lies in column p + 1 of its slot. Chunks are padded on the left; the
    padding is written to column 0, which nothing ever looks at. The mask is given in full, so the
    model needs no idea of slots. Where layers keep a running state (linear attention) nothing is
    padded: only chunks of one length share a call, and every slot has its own state. A peft model
    is told the adapter of every row.
    """

    model: Any
    _view: _View = field(default_factory=lambda: _View())
    _cache: Any = None
    _states: dict[int, dict[int, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._running = _running_layers(self.model)
        self.rewinds = not self._running

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        """The logits after each chunk's last token: float32, shape (chunks, vocabulary).

        Chunks longer than the others are read on in calls of their own.
        """
        import torch

        logits: dict[int, Any] = {}
        by_slot = sorted(chunks, key=lambda chunk: chunk.slot)
        lengths = [len(chunk.tokens) for chunk in chunks]
        with torch.inference_mode():
            for begin, end in cuts(lengths) if self.rewinds else cuts(lengths, call=0):
                parts = [
                    Chunk(chunk.slot, chunk.start + begin, chunk.tokens[begin:end], chunk.adapter)
                    for chunk in by_slot
                    if len(chunk.tokens) > begin
                ]
                for some in self._shared(parts, end - begin):
                    logits.update(zip((part.slot for part in some), self._call(some), strict=True))
            return torch.stack([logits[chunk.slot] for chunk in chunks]).float()

    def scores(self, states: Any, tokens: Sequence[int] | None = None) -> Any:
        """The logits of all tokens or these, shape (states, tokens)."""
        return states if tokens is None else states[:, list(tokens)]

    def open(self, tokens: Sequence[int], adapter: Adapter | None = None) -> None:
        """Read what prompts begin with, into a slot of its own before all others."""
        self.feed([Chunk(-1, 0, list(tokens), adapter)])

    def share(self, slots: Sequence[int], length: int) -> None:
        """Let rows in these slots go on after the first `length` tokens of it."""
        for slot in slots:
            self.copy(-1, slot, length)

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the first `length` tokens of one slot be those of another too.

        A running state is copied whole: there `length` is all that the slot has read.
        """
        import torch

        source, target = source + 1, target + 1
        with torch.inference_mode():
            for index, layer in enumerate(self._cache.layers if self._cache is not None else ()):
                if index in self._running:
                    self._states[index][target] = self._states[index][source]
                else:
                    layer.copy(source, target, length)

    def clear(self) -> None:
        """Give the memory back."""
        self._cache = None
        self._states = {index: {} for index in self._running}

    def _shared(self, parts: list[Chunk], width: int) -> list[list[Chunk]]:
        """The chunks that one call takes: bounded, and with a running state all begun or none."""
        most = max(1, TOKENS_A_CALL // width)
        kinds = [parts]
        if self._running:
            kinds = [
                [part for part in parts if bool(part.start) is begun] for begun in (False, True)
            ]
        return [kind[at : at + most] for kind in kinds for at in range(0, len(kind), most)]

    def _call(self, chunks: Sequence[Chunk]) -> Any:
        import torch

        if self._cache is None:
            self.clear()
            self._cache = self._new_cache()
        tokens, positions, columns = _padded(chunks)
        device = self.model.device
        slots = [chunk.slot + 1 for chunk in chunks]
        self._view.show(slots, torch.tensor(columns, device=device))
        for index in self._running:
            before = [self._states[index].get(slot) for slot in slots] if chunks[0].start else None
            _restore(self._cache.layers, index, before)
        position_ids = torch.tensor(positions, device=device)
        named: dict[str, Any] = {}
        if hasattr(self.model, "peft_config"):
            named["adapter_names"] = [
                chunk.adapter.name if chunk.adapter else "__base__" for chunk in chunks
            ]
        output = self.model(
            input_ids=torch.tensor(tokens, device=device),
            attention_mask=_masks(self.model, position_ids, self._view.width),
            position_ids=position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **named,
        )
        for index in self._running:
            states = _kept(self._cache.layers[index], len(slots))
            self._states[index].update(zip(slots, states, strict=True))
        return output.logits[:, -1]

    def _new_cache(self) -> Any:
        from transformers.cache_utils import Cache, DynamicCache

        if not self._running:
            return Cache(layer_class_to_replicate=lambda: _Layer(self._view))  # type: ignore[arg-type]
        layers: list[Any] = DynamicCache(config=self.model.config).layers
        return Cache(
            layers=[
                layer if index in self._running else _Layer(self._view)  # type: ignore[misc]
                for index, layer in enumerate(layers)
            ]
        )


def _running_layers(model: Any) -> frozenset[int]:
    """The layers that keep a running state instead of keys and values."""
    from transformers.cache_utils import DynamicCache, LinearAttentionCacheLayerMixin

    try:
        layers = DynamicCache(config=model.config).layers
    except (AttributeError, KeyError, TypeError, ValueError):
        return frozenset()
    linear = (i for i, one in enumerate(layers) if isinstance(one, LinearAttentionCacheLayerMixin))
    return frozenset(linear)


def _restore(layers: list[Any], index: int, states: list[Any] | None) -> None:
    """A layer that holds these rows' states, one a row, or nothing yet."""
    import torch

    old = layers[index]
    new = type(old)(number_of_states=old.number_of_states)
    for name in ("conv", "recurrent") if states else ():
        for key in range(new.number_of_states):
            rows = [state[name, key] for state in states or ()]
            if rows[0] is not None:
                getattr(new, f"{name}_states")[key] = torch.stack(rows)
                getattr(new, f"is_{name}_states_initialized")[key] = True
            new.has_previous_state[key] = True
    new.conv_kernel_size = old.conv_kernel_size
    new.device, new.dtype = old.device, old.dtype
    layers[index] = new


def _kept(layer: Any, count: int) -> list[dict[tuple[str, int], Any]]:
    """Each row's own states of a layer, as `_restore` takes them."""
    held = {
        (name, key): getattr(layer, f"{name}_states")[key]
        for name in ("conv", "recurrent")
        for key in range(layer.number_of_states)
    }
    return [
        {key: None if state is None else state[row].clone() for key, state in held.items()}
        for row in range(count)
    ]


class _View:
    """The slots and columns that the call now running writes and sees."""

    def show(self, slots: list[int], columns: Any) -> None:
        import torch

        first, last = slots[0], slots[-1] + 1
        self.rows: Any = torch.tensor(slots, device=columns.device)
        # Neighbouring slots are read in place, others are gathered into a copy.
        self.read: Any = slice(first, last) if last - first == len(slots) else self.rows
        self.columns = columns
        self.height = last
        self.width = int(columns.max()) + 1


class _Layer:
    """A layer's keys and values, shape (slots, heads, columns, size), as transformers asks."""

    is_sliding = False
    is_compileable = False

    def __init__(self, view: _View) -> None:
        self._view = view
        self._keys: Any = None
        self._values: Any = None

    def update(self, keys: Any, values: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Store (batch, heads, tokens, size) at the view's columns; return all that is visible."""
        view = self._view
        self._keys = _grown(self._keys, keys, view.height, view.width)
        self._values = _grown(self._values, values, view.height, view.width)
        self._keys[view.rows[:, None], :, view.columns] = keys.transpose(1, 2)
        self._values[view.rows[:, None], :, view.columns] = values.transpose(1, 2)
        return self._keys[view.read, :, : view.width], self._values[view.read, :, : view.width]

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the first `length` tokens of one slot be those of another too."""
        self._keys = _grown(self._keys, self._keys, target + 1, length + 1)
        self._values = _grown(self._values, self._values, target + 1, length + 1)
        for stored in (self._keys, self._values):
            stored[target, :, 1 : length + 1] = stored[source, :, 1 : length + 1]

    def get_seq_length(self, *_: Any) -> int:
        """Never needed: positions and masks are always given."""
        return 0


def _grown(stored: Any, new: Any, height: int, width: int) -> Any:
    """Storage for at least these slots and columns of what is like `new`, holding what it held."""
    width = -(-width // _COLUMNS) * _COLUMNS
    if stored is not None:
        if stored.shape[0] >= height and stored.shape[2] >= width:
            return stored
        height, width = max(height, stored.shape[0]), max(width, stored.shape[2])
    height = 1 << (height - 1).bit_length()  # twice the slots at a time: to grow is to copy
    grown = new.new_zeros((height, new.shape[1], width, new.shape[3]))
    if stored is not None:
        grown[: stored.shape[0], :, : stored.shape[2]] = stored
    return grown


def _padded(chunks: Sequence[Chunk]) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Tokens, positions and columns, each of shape (chunks, longest chunk)."""
    longest = max(len(chunk.tokens) for chunk in chunks)
    tokens, positions, columns = [], [], []
    for chunk in chunks:
        padding = [0] * (longest - len(chunk.tokens))
        end = chunk.start + len(chunk.tokens)
        tokens.append(padding + chunk.tokens)
        positions.append([*padding, *range(chunk.start, end)])
        columns.append([*padding, *range(chunk.start + 1, end + 1)])
    return tokens, positions, columns


def _masks(model: Any, positions: Any, width: int) -> Any:
    """Additive masks (chunks, 1, tokens, columns), by layer type where the model has several.

    Padding looks at column 1 only, as position 0 does: something finite, used by nobody.
    """
    import torch

    columns = torch.arange(width, device=positions.device) - 1
    ahead = positions[:, None, :, None] - columns
    seen = (columns >= 0) & (ahead >= 0)
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    near = seen & (ahead < window) if window else seen
    blank = torch.zeros((), dtype=model.dtype, device=positions.device)
    full, sliding = (torch.where(mask, blank, float("-inf")) for mask in (seen, near))
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return sliding
    return {"full_attention": full, "sliding_attention": sliding} if _slides(kinds) else full


def _slides(kinds: Sequence[str]) -> bool:
    return "sliding_attention" in kinds
