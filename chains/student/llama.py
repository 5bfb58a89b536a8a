"""Llama-shaped models: which ones the fast path knows, and their weights as it wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SHAPED = frozenset(("llama", "mistral", "qwen2", "qwen3"))
_FIXED_ROPE = frozenset(("default", "linear", "llama3", "yarn"))


def is_packable(model: Any) -> bool:
    """Whether this is a model whose forward `Packed` knows."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in _SHAPED
        and getattr(config, "hidden_act", None) == "silu"
        and rope.get("rope_type", "default") in _FIXED_ROPE
        and rope.get("partial_rotary_factor", 1.0) == 1.0
        and not _has_window(config)
        and model.get_output_embeddings().bias is None
        and _plain(model)
    )


def _has_window(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return set(kinds) != {"full_attention"}
    return getattr(config, "sliding_window", None) is not None


def _plain(model: Any) -> bool:
    """Only torch's own linear layers: what wraps them (quantised, adapted) has its own forward."""
    import torch

    kinds = {
        type(part) for name, part in model.named_modules() if name.endswith(("_proj", "lm_head"))
    }
    return kinds == {torch.nn.Linear}


@dataclass
class Layer:
    """A decoder layer's weights; those that read the same input lie in one matrix."""

    norm: Any
    into: Any
    into_bias: Any
    out: Any
    out_bias: Any
    query_norm: Any
    key_norm: Any
    mlp_norm: Any
    gate_up: Any
    gate_up_bias: Any
    down: Any
    down_bias: Any


def joined_layer(layer: Any) -> Layer:
    """The weights of a layer; its own modules become views of the joined ones: nothing is twice."""
    attention, mlp = layer.self_attn, layer.mlp
    into, into_bias = _joined([attention.q_proj, attention.k_proj, attention.v_proj])
    gate_up, gate_up_bias = _joined([mlp.gate_proj, mlp.up_proj])
    norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
    query_norm, key_norm = (norm.weight.detach() if norm is not None else None for norm in norms)
    return Layer(
        norm=layer.input_layernorm.weight.detach(),
        into=into,
        into_bias=into_bias,
        out=attention.o_proj.weight.detach(),
        out_bias=attention.o_proj.bias,
        query_norm=query_norm,
        key_norm=key_norm,
        mlp_norm=layer.post_attention_layernorm.weight.detach(),
        gate_up=gate_up,
        gate_up_bias=gate_up_bias,
        down=mlp.down_proj.weight.detach(),
        down_bias=mlp.down_proj.bias,
    )


def _joined(parts: Sequence[Any]) -> tuple[Any, Any]:
    import torch

    weight = torch.cat([part.weight.detach() for part in parts])
    row = 0
    for part in parts:
        rows = part.weight.shape[0]
        part.weight = torch.nn.Parameter(weight[row : row + rows], requires_grad=False)
        row += rows
    if parts[0].bias is None:
        return weight, None
    return weight, torch.cat([part.bias.detach() for part in parts])
