"""The last resort: every row with a cache of transformers' own, one row a call. Slow, and right."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

from .chunks import Chunk
from .lora import Adapter

_OPENING = -1


class Apart:
    """Feeds each chunk in a call of its own, for models whose rows cannot share one.

    `stepwise` reads what follows the first call token by token: some running states (Mamba) go on
    only so.
    """

    rewinds = False

    def __init__(self, model: Any, *, stepwise: bool = False) -> None:
        self.model, self._stepwise = model, stepwise
        names = inspect.signature(model.forward).parameters
        self._cache_name = "cache_params" if "cache_params" in names else "past_key_values"
        self._caches: dict[int, Any] = {}

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        """The logits after each chunk's last token: float32, shape (chunks, vocabulary)."""
        import torch

        with torch.inference_mode():
            return torch.stack([self._read(chunk) for chunk in chunks]).float()

    def scores(self, states: Any, tokens: Sequence[int] | None = None) -> Any:
        """The logits of all tokens or these, shape (states, tokens)."""
        return states if tokens is None else states[:, list(tokens)]

    def open(self, tokens: Sequence[int], adapter: Adapter | None = None) -> None:
        """Read what prompts begin with."""
        self.feed([Chunk(_OPENING, 0, list(tokens), adapter)])

    def share(self, slots: Sequence[int], length: int) -> None:
        """Let rows in these slots go on after it."""
        for slot in slots:
            self.copy(_OPENING, slot, length)

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a slot hold what another has read, all of it."""
        self._caches[target] = copy.deepcopy(self._caches[source])

    def clear(self) -> None:
        """Give the memory back."""
        self._caches.clear()

    def _read(self, chunk: Chunk) -> Any:
        parts = [chunk.tokens]
        if self._stepwise and chunk.start:
            parts = [[token] for token in chunk.tokens]
        if not chunk.start:
            self._caches[chunk.slot] = None
        start, logits = chunk.start, None
        for part in parts:
            logits = self._call(chunk, start, part)
            start += len(part)
        return logits

    def _call(self, chunk: Chunk, start: int, tokens: list[int]) -> Any:
        import torch

        device = self.model.device
        options: dict[str, Any] = {self._cache_name: self._caches[chunk.slot], "use_cache": True}
        if self._cache_name == "past_key_values":
            positions = torch.arange(start, start + len(tokens), device=device)
            options["position_ids"] = positions[None]
        output = self.model(input_ids=torch.tensor([tokens], device=device), **options)
        self._caches[chunk.slot] = getattr(output, self._cache_name)
        return output.logits[0, -1]
