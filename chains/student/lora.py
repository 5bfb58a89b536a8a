"""Several adapters over one base in one batch: each token gets its own adapter's small change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .card import StudentError

_PARTS = {
    "into": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
Place = tuple[int, str]


class Deltas:
    """LoRA adapters (arXiv 2106.09685) by name, unmerged: y += x A' B' scale for their tokens."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[Place, tuple[Any, Any]]] = {}

    def put(self, name: str, adapted: Any) -> None:
        """Take the adapter `name` of a peft model. Raises StudentError unless it is plain LoRA."""
        layers = adapted.get_base_model().model.layers
        found = {}
        for index, layer in enumerate(layers):
            for place, parts in _PARTS.items():
                pair = _joined([layer.get_submodule(part) for part in parts], name)
                if pair is not None:
                    found[index, place] = pair
        self._by_name[name] = found

    def drop(self, name: str) -> None:
        """Forget an adapter."""
        self._by_name.pop(name, None)

    def add(
        self, y: Any, x: Any, place: Place, spans: Sequence[tuple[str | None, int, int]]
    ) -> None:
        """Change `y` in place for the tokens of each span (adapter, first, end)."""
        for name, first, end in spans:
            pair = self._by_name[name].get(place) if name is not None else None
            if pair is not None:
                down, up = pair
                y[first:end].addmm_(x[first:end] @ down, up)


def _joined(parts: Sequence[Any], name: str) -> tuple[Any, Any] | None:
    """The A and B of modules that read one input, as one pair; None where none is adapted."""
    import torch

    pairs = [_pair(part, name) for part in parts]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return None
    down = torch.cat([a for a, _ in known], dim=1)
    up = down.new_zeros((down.shape[1], sum(part.weight.shape[0] for part in parts)))
    row = column = 0
    for part, pair in zip(parts, pairs, strict=True):
        width = part.weight.shape[0]
        if pair is not None:
            rank = pair[1].shape[0]
            up[row : row + rank, column : column + width] = pair[1]
            row += rank
        column += width
    return down.contiguous(), up


def _pair(part: Any, name: str) -> tuple[Any, Any] | None:
    downs: Mapping[str, Any] = getattr(part, "lora_A", {})
    if name not in downs:
        return None
    if getattr(part, "use_dora", {}).get(name) or part.lora_B[name].bias is not None:
        raise StudentError(f"adapter {name} is no plain LoRA; serve it in a process of its own")
    a, b = downs[name].weight.detach(), part.lora_B[name].weight.detach()
    return a.T.contiguous(), (b.T * part.scaling[name]).contiguous()
