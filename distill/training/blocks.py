"""Which kinds of a base's blocks an adapter reaches: a hybrid model has more than one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .faults import TrainingError

ALL_LINEAR = "all-linear"
# Routers choose experts; adapters leave them alone, and so does whoever names projections.
_ROUTERS = frozenset(("gate", "router", "shared_expert_gate"))


def check_adapters(folder: Path, target_modules: str | Sequence[str] = ALL_LINEAR) -> None:
    """Raise TrainingError where a kind of block with linear layers would get no adapter.

    Looks at the base in `folder` as its config describes it, without loading its weights.
    """
    missed = untouched(outlined(folder), target_modules)
    if not missed:
        return
    kind, layers = next(iter(missed.items()))
    named = target_modules if isinstance(target_modules, str) else ", ".join(target_modules)
    raise TrainingError(
        f"{len(missed)} kinds of block get no adapter, such as {kind} with {', '.join(layers)}: "
        f"the target modules {named} reach none of its layers; "
        + ("take another base, or adapter full" if named == ALL_LINEAR else f"take {ALL_LINEAR}")
    )


def outlined(folder: Path) -> Any:
    """The base's modules without numbers in them. Raises TrainingError where it cannot be built."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        with torch.device("meta"):
            build: Any = AutoModelForCausalLM.from_config
            return build(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(
            f"the base in {folder.name} cannot be built from its config: {said[0][:200]}; "
            "take another base"
        ) from error


def untouched(model: Any, target_modules: str | Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The kinds of block of which no linear layer is a target, with those layers' names.

    A mixture's experts are one, where their weights are stacked in one tensor.

    A kind is a module's path with its numbers left out: `model.layers.*.linear_attn`. A name is
    matched as peft does: by its end, or a string as a pattern of the whole name.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    kinds: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for name, module in model.named_modules():
        parent, _, last = name.rpartition(".")
        linear = isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
        if linear and last not in _ROUTERS:
            reached = kinds[_kind(parent)].get(last, False) or _is_target(name, target_modules)
            kinds[_kind(parent)][last] = reached
        for stacked in _stacked(module):
            kinds[_kind(name)][stacked] = False
    return {kind: tuple(layers) for kind, layers in kinds.items() if not any(layers.values())}


def _kind(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


def _stacked(module: Any) -> list[str]:
    """Experts keep the matrices of all in one tensor, which is no layer that peft adapts."""
    import torch

    if isinstance(module, torch.nn.modules.conv._ConvNd):
        return []
    return [name for name, weight in module.named_parameters(recurse=False) if weight.ndim == 3]


def _is_target(name: str, target_modules: str | Sequence[str]) -> bool:
    if isinstance(target_modules, str):
        return target_modules == ALL_LINEAR or re.fullmatch(target_modules, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in target_modules)
