"""The key-value cache of a running batch: one slot a row, rows of any length, no padding kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .card import StudentError

_COLUMNS = 128  # storage grows by this many positions
# What one more call of the model costs, in tokens of the same call: measured, and only a matter of
# speed. It decides whether rows with many and few tokens to feed share a call.
_CALL = 32
_TOKENS_A_CALL = 4096
_ATTENTION = {"full_attention", "sliding_attention"}


@dataclass
class Chunk:
    """Tokens to feed to the row in `slot`, whose cache already holds `start` tokens."""

    slot: int
    start: int
    tokens: list[int]


@dataclass
class Slots:
    """Feeds chunks of unequal length to any causal language model of transformers.

    A row's token at position p lies in column p + 1 of its slot. Chunks are padded on the left; the
    padding is written to column 0, which nothing ever looks at. The mask is given in full, so the
    model needs no idea of slots. Architectures that keep more than keys and values are refused.
    """

    model: Any
    _view: _View = field(default_factory=lambda: _View())
    _cache: Any = None

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        """The logits after each chunk's last token: float32, shape (chunks, vocabulary).

        Chunks longer than the others are read on in calls of their own.
        """
        import torch

        logits: dict[int, Any] = {}
        by_slot = sorted(chunks, key=lambda chunk: chunk.slot)
        with torch.inference_mode():
            for begin, end in _cuts([len(chunk.tokens) for chunk in chunks]):
                parts = [
                    Chunk(chunk.slot, chunk.start + begin, chunk.tokens[begin:end])
                    for chunk in by_slot
                    if len(chunk.tokens) > begin
                ]
                most = max(1, _TOKENS_A_CALL // (end - begin))
                for first in range(0, len(parts), most):
                    some = parts[first : first + most]
                    logits.update(zip((part.slot for part in some), self._call(some), strict=True))
            return torch.stack([logits[chunk.slot] for chunk in chunks]).float()

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the first `length` tokens of one slot be those of another too."""
        import torch

        with torch.inference_mode():
            for layer in self._cache.layers if self._cache is not None else ():
                layer.copy(source, target, length)

    def clear(self) -> None:
        """Give the memory back."""
        self._cache = None

    def _call(self, chunks: Sequence[Chunk]) -> Any:
        import torch
        from transformers.cache_utils import Cache

        if self._cache is None:
            self._cache = Cache(layer_class_to_replicate=lambda: _Layer(self._view))  # type: ignore[arg-type]
        tokens, positions, columns = _padded(chunks)
        device = self.model.device
        self._view.show([chunk.slot for chunk in chunks], torch.tensor(columns, device=device))
        position_ids = torch.tensor(positions, device=device)
        output = self.model(
            input_ids=torch.tensor(tokens, device=device),
            attention_mask=_masks(self.model, position_ids, self._view.width),
            position_ids=position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]


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


def check_architecture(model: Any) -> None:
    """Raise StudentError unless the model answers in ragged chunks as it does in one piece.

    Layers that keep a running state (Mamba, linear attention) would take padding into it. What the
    configuration does not tell, a short run of the model itself does.
    """
    import torch

    config = model.config.get_text_config()
    kind = config.model_type
    strange = set(getattr(config, "layer_types", None) or ()) - _ATTENTION
    if strange or getattr(model, "_is_stateful", False):
        layers = ", ".join(sorted(strange)) or "layers with a running state"
        raise StudentError(
            f"a {kind} model has {layers}, which cannot be batched; use another base"
        )
    size = int(config.vocab_size)
    tokens = [(37 * step + 11) % size for step in range(12)]
    slots = Slots(model)
    try:
        with torch.inference_mode():
            whole = model(torch.tensor([tokens], device=model.device)).logits[0, -1].float()
        slots.feed([Chunk(0, 0, tokens[:9]), Chunk(1, 0, tokens[:4])])
        slots.feed([Chunk(0, 9, tokens[9:11]), Chunk(1, 4, tokens[4:11])])
        pieces = slots.feed([Chunk(0, 11, tokens[11:]), Chunk(1, 11, tokens[11:])])
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise StudentError(
            f"a {kind} model cannot be batched ({error}); use another base"
        ) from error
    tolerance = 1e-3 if pieces.dtype == model.dtype else 0.1
    if not torch.allclose(
        pieces, whole.expand_as(pieces), rtol=tolerance, atol=tolerance * float(whole.abs().max())
    ):
        raise StudentError(f"a {kind} model answers differently in a batch; use another base")


def _grown(stored: Any, new: Any, height: int, width: int) -> Any:
    """Storage for at least these slots and columns of what is like `new`, holding what it held."""
    width = -(-width // _COLUMNS) * _COLUMNS
    if stored is not None:
        if stored.shape[0] >= height and stored.shape[2] >= width:
            return stored
        height, width = max(height, stored.shape[0]), max(width, stored.shape[2])
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


def _cuts(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Where to cut chunks of these lengths so that reading them, cut after cut, costs least.

    A call costs the rows that reach it times its width, and something in itself.
    """
    ends = sorted(set(lengths))
    best: dict[int, tuple[int, int]] = {0: (0, 0)}  # cut: (cost up to it, the cut before it)
    for end in ends:
        best[end] = min(
            (cost + _CALL + (end - begin) * sum(length > begin for length in lengths), begin)
            for begin, (cost, _) in best.items()
        )
    cuts: list[tuple[int, int]] = []
    end = ends[-1]
    while end:
        cuts.append((best[end][1], end))
        end = best[end][1]
    return cuts[::-1]
