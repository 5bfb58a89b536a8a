"""Several adapters over one base in one batch: each token gets its own adapter's small change."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .card import StudentError

_PARTS = {
    "into": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
# What an adapter may set beside rank, scale and modules without becoming more than A and B.
_MORE = (
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "lora_bias",
    "fan_in_fan_out",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
)
Place = tuple[int, str]
Pairs = Mapping[Place, tuple[Any, Any]]


def read_pairs(folder: Path) -> Pairs:
    """The A (input size, rank) and scaled B (rank, output size) of each layer's module.

    Raises StudentError unless the adapter in this run folder is plain LoRA on a decoder's layers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_bytes())
    more = next((name for name in _MORE if config.get(name)), None)
    if config.get("peft_type") != "LORA" or more or config.get("bias", "none") != "none":
        raise StudentError(f"{folder}: its adapter has {more or 'a form'} that cannot be shared")
    rank = int(config["r"])
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    try:
        tensors = load_file(str(folder / "adapter_model.safetensors"))
    except (OSError, SafetensorError) as error:
        raise StudentError(f"{folder}: its adapter cannot be read: {error}") from error
    found: dict[Place, tuple[Any, Any]] = {}
    for name, down in tensors.items():
        before, _, part = name.removesuffix(".lora_A.weight").partition(".layers.")
        index, _, module = part.partition(".")
        if name.endswith(".lora_B.weight"):
            continue
        if not name.endswith(".lora_A.weight") or not index.isdigit():
            raise StudentError(f"{folder}: its adapter changes {name}, which cannot be shared")
        up = tensors.get(f"{before}.layers.{part}.lora_B.weight")
        if up is None:
            raise StudentError(f"{folder}: its adapter has one half of {name}")
        pair = down.float().T.contiguous(), (up.float() * scale).T.contiguous()
        found[int(index), module] = pair
    return found


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter (arXiv 2106.09685) beside its base, unmerged: y += x A B for its tokens.

    It lives as long as a student or a row on its way holds it. `pairs` are A and B for each joint
    projection of the fast path; the general one knows adapters by their `name`.
    """

    name: str
    pairs: Pairs = field(default_factory=dict, repr=False)


def adapter_for(model: Any, name: str, pairs: Pairs) -> Adapter:
    """An adapter for the fast path of this model. Raises StudentError where it has no place."""
    layers = model.model.layers
    known = {part for parts in _PARTS.values() for part in parts}
    odd = [place for place in pairs if place[1] not in known or place[0] >= len(layers)]
    if odd:
        raise StudentError(f"adapter {name} changes {odd[0][1]}, which cannot be shared")
    found = {}
    for index, layer in enumerate(layers):
        for place, parts in _PARTS.items():
            widths = [layer.get_submodule(part).weight.shape[0] for part in parts]
            pair = _joined([pairs.get((index, part)) for part in parts], widths)
            if pair is not None:
                to = layer.self_attn.q_proj.weight
                found[index, place] = pair[0].to(to), pair[1].to(to)
    return Adapter(name, found)


def add_deltas(
    y: Any, x: Any, place: Place, spans: Sequence[tuple[Adapter | None, int, int]]
) -> None:
    """Change `y` in place for the tokens of each span (adapter, first, end)."""
    for adapter, first, end in spans:
        pair = adapter.pairs.get(place) if adapter is not None else None
        if pair is not None:
            down, up = pair
            y[first:end].addmm_(x[first:end] @ down, up)


def check_all_loaded(adapted: Any, folder: Path) -> None:
    """peft only warns where a tensor has no place in the model; the bare base would serve."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(str(folder / "adapter_model.safetensors"), framework="pt") as tensors:
        found = set(tensors.keys())
    wanted = set(get_peft_model_state_dict(adapted))
    if found != wanted:
        odd = sorted(found ^ wanted)[0]
        raise StudentError(
            f"{folder}: its adapter does not fit its base: {len(found ^ wanted)} tensors are on "
            f"one side only, such as {odd}; restore the adapter or train it again"
        )


def _joined(
    pairs: Sequence[tuple[Any, Any] | None], widths: Sequence[int]
) -> tuple[Any, Any] | None:
    """The A and B of modules that read one input, as one pair; None where none is adapted."""
    import torch

    known = [pair for pair in pairs if pair is not None]
    if not known:
        return None
    down = torch.cat([a for a, _ in known], dim=1)
    up = down.new_zeros((down.shape[1], sum(widths)))
    row = column = 0
    for width, pair in zip(widths, pairs, strict=True):
        if pair is not None:
            rank = pair[1].shape[0]
            up[row : row + rank, column : column + width] = pair[1]
            row += rank
        column += width
    return down.contiguous(), up
