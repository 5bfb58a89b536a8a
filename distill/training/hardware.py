"""What this machine can do, and which precision, optimizer and kernels a training takes for it."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .probes import bitsandbytes_works, cpu_has_bf16, flash_attention_works, ram
from .recipes import Quantisation, Recipe

Device = Literal["cpu", "cuda", "mps"]
# Of the memory that a machine has; the rest is for what cannot be foreseen.
USABLE = 0.7


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """One device: `bf16` whether it has units for it, `memory` in bytes, what works on it.

    `bitsandbytes` holds which of "nf4", "int8" and "optimizers" work here.
    """

    device: Device
    name: str
    bf16: bool
    memory: int
    bitsandbytes: frozenset[str] = frozenset({"nf4", "int8", "optimizers"})
    flash_attention: bool = False


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a base is, as its files say; 0 where they do not.

    `tied`: one table of embeddings reads and writes; else a second one writes.
    """

    parameters: int
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    vocabulary: int = 0
    tied: bool = True


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a recipe is carried out here; `notes` say where that is not what the recipe names."""

    device: Device
    name: str
    precision: Literal["fp32", "bf16", "fp16"]
    quantisation: Quantisation
    attention: str
    optimizer: str
    recompute: bool
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The choice in one line."""
        base = {"nf4": "NF4 base", "int8": "8-bit base", "none": "base not quantised"}
        said = [
            self.precision,
            base[self.quantisation],
            f"attention {self.attention}",
            self.optimizer,
            *(["activations recomputed"] if self.recompute else []),
        ]
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{self.name}: {', '.join(said)}{notes}"


def choose(hardware: Hardware, recipe: Recipe, *, shape: Shape, longest: int = 0) -> Choice:
    """What the recipe means on this hardware; a pure function.

    `longest` is the longest row in tokens. Activations are recomputed where, by `memory_needed`,
    they would not fit: that costs about a third more time.
    """
    precision, notes = _precision(hardware, recipe)
    quantisation: Quantisation = recipe.quantisation
    if quantisation != "none" and quantisation not in hardware.bitsandbytes:
        notes.append(f"no {quantisation} on this {_kind(hardware)}: the base is not quantised")
        quantisation = "none"
    optimizer, said = _optimizer(hardware, recipe)
    attention, more = _attention(hardware, recipe, precision)
    recompute = recipe.recompute
    if recompute is None:
        tokens = recipe.at_once * longest
        options = {"precision": precision, "quantisation": quantisation, "tokens": tokens}
        needed = memory_needed(recipe, shape, recompute=False, **options)
        recompute = needed > USABLE * hardware.memory
    return Choice(
        device=hardware.device,
        name=hardware.name,
        precision=precision,
        quantisation=quantisation,
        attention=attention,
        optimizer=optimizer,
        recompute=recompute,
        notes=(*notes, *said, *more),
    )


def memory_needed(
    recipe: Recipe,
    shape: Shape,
    *,
    precision: str,
    quantisation: str,
    tokens: int,
    recompute: bool,
) -> int:
    """About how many bytes a training takes with `tokens` in one pass: a rough upper estimate.

    Tables of embeddings are never quantised.
    """
    wide = 4 if precision == "fp32" else 2
    embedded = (1 if shape.tied else 2) * shape.vocabulary * shape.hidden
    body = max(0, shape.parameters - embedded)
    if recipe.adapter == "full":
        weights = 16 * shape.parameters  # weights, gradients and two moments, in float32
    else:
        of_body = {"nf4": 0.56, "int8": 1.0, "none": float(wide)}[quantisation]
        widths = 8 * shape.hidden + 3 * (shape.hidden + shape.intermediate)
        weights = int(body * of_body) + wide * embedded + 16 * recipe.rank * shape.layers * widths
    # Inputs of every linear layer, norms and attention are kept for the backward pass.
    layer = 14 * shape.hidden + 5 * shape.intermediate
    kept = shape.layers * (shape.hidden if recompute else layer) + (layer if recompute else 0)
    head = 3 * 4 * min(tokens, 1024) * shape.vocabulary  # scores are built in pieces
    return weights + wide * tokens * kept + head


@functools.cache
def found() -> Hardware:
    """This machine: its first CUDA GPU, else Apple's, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return Hardware(
            device="cuda",
            name=torch.cuda.get_device_name(0),
            bf16=torch.cuda.is_bf16_supported(including_emulation=False),
            memory=torch.cuda.get_device_properties(0).total_memory,
            bitsandbytes=bitsandbytes_works("cuda"),
            flash_attention=flash_attention_works(),
        )
    if torch.backends.mps.is_available():
        return Hardware(
            device="mps", name="Apple GPU", bf16=False, memory=ram(), bitsandbytes=frozenset()
        )
    bf16 = cpu_has_bf16()
    name = "this CPU (bf16 units)" if bf16 else "this CPU"
    return Hardware(
        device="cpu", name=name, bf16=bf16, memory=ram(), bitsandbytes=bitsandbytes_works("cpu")
    )


def shape_of(folder: Path) -> Shape:
    """The shape of the base in `folder`, from its config and the headers of its weights."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config

    def number(name: str) -> int:
        value = config.get(name)
        return value if isinstance(value, int) else 0

    return Shape(
        parameters=parameter_count(folder),
        layers=number("num_hidden_layers"),
        hidden=number("hidden_size"),
        intermediate=number("intermediate_size"),
        vocabulary=number("vocab_size"),
        tied=_tied(folder, config),
    )


def parameter_count(folder: Path) -> int:
    """How many numbers the folder's safetensors files hold, read from their headers alone."""
    return sum(_sizes(folder).values())


def _tied(folder: Path, config: dict[str, Any]) -> bool:
    """As the config says; where it does not, whether the files hold no table that writes."""
    told = config.get("tie_word_embeddings")
    return told if isinstance(told, bool) else "lm_head.weight" not in _sizes(folder)


def _sizes(folder: Path) -> dict[str, int]:
    from safetensors import safe_open

    sizes = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                sizes[name] = math.prod(tensors.get_slice(name).get_shape())
    return sizes


def _precision(hardware: Hardware, recipe: Recipe) -> tuple[Any, list[str]]:
    if recipe.precision == "auto":
        if hardware.bf16:
            return "bf16", []
        return ("fp16", ["it has no bf16"]) if hardware.device == "cuda" else ("fp32", [])
    if recipe.precision == "fp16" and hardware.device != "cuda":
        return "fp32", [f"fp16 needs a CUDA GPU: fp32 on this {_kind(hardware)}"]
    if recipe.precision == "bf16" and not hardware.bf16 and hardware.device != "cpu":
        other = "fp16" if hardware.device == "cuda" else "fp32"
        return other, [f"it has no bf16: {other} instead"]
    slow = recipe.precision == "bf16" and not hardware.bf16
    return recipe.precision, ["bf16 is slow on a CPU without units for it"] if slow else []


def _optimizer(hardware: Hardware, recipe: Recipe) -> tuple[str, list[str]]:
    own = "adamw_torch" if hardware.device == "mps" else "adamw_torch_fused"
    if recipe.optimizer == "auto":
        return own, []
    needs = "bnb" in recipe.optimizer or "paged" in recipe.optimizer
    if needs and "optimizers" not in hardware.bitsandbytes:
        return own, [f"no {recipe.optimizer} on this {_kind(hardware)}: {own} instead"]
    paged = "paged" in recipe.optimizer and hardware.device == "cpu"
    return recipe.optimizer, ["nothing is paged on a CPU"] if paged else []


def _attention(hardware: Hardware, recipe: Recipe, precision: str) -> tuple[str, list[str]]:
    if recipe.attention == "auto":
        return "sdpa", []  # it has flash kernels of its own, and every model takes it
    usable = hardware.flash_attention and precision != "fp32"
    if recipe.attention == "flash_attention_2" and not usable:
        return "sdpa", ["no flash_attention_2 here: sdpa instead"]
    return recipe.attention, []


def _kind(hardware: Hardware) -> str:
    return {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}[hardware.device]
