"""How a student is tuned: typed presets, each field of which a flag or a TOML file may change."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .preflight import TrainingError

Adapter = Literal["lora", "full"]
Quantisation = Literal["nf4", "int8", "none"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
SMALL = 20_000_000  # parameters: bases below it needed a higher rate and a fourth epoch


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that may be chosen about a tuning; `epochs` may be a fraction.

    `quantisation` "nf4" is QLoRA's with double quantisation (arXiv 2305.14314), "int8" LLM.int8
    (arXiv 2208.07339), "none" the base as it comes. `modules` is "all-linear" or names with commas.
    `batch_size` rows make a step, `rows_at_once` of them a pass (None: all); fewer at once take
    less memory and learn the same. `warmup` is a share of the steps. `order` "length" puts rows of
    like length into one batch. `keep` "best" keeps the adapter that agreed most with the teacher on
    the validation rows, and `patience` stops after so many validations without a better one.
    "auto" and `recompute` None are chosen from the hardware. Beside the checkpoint of every epoch
    one is written every `checkpoint_minutes`.
    """

    name: str
    adapter: Adapter = "lora"
    quantisation: Quantisation = "nf4"
    rank: int = 16
    alpha: int = 64
    dropout: float = 0.0
    modules: str = "all-linear"
    epochs: float = 3.0
    learning_rate: float = 2e-4
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup: float = 0.03
    batch_size: int = 8
    rows_at_once: int | None = None
    order: Literal["random", "length"] = "random"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    optimizer: Literal[
        "auto",
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_bnb_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
    ] = "auto"
    precision: Precision = "auto"
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    recompute: bool | None = None
    keep: Literal["last", "best"] = "last"
    patience: int | None = None
    checkpoint_minutes: float = 10.0

    @property
    def at_once(self) -> int:
        """Rows of one forward pass."""
        return self.rows_at_once or self.batch_size

    @property
    def accumulate(self) -> int:
        """Forward passes of one step."""
        return self.batch_size // self.at_once

    @property
    def adapted(self) -> str | list[str]:
        """The modules that learn, as peft names them."""
        if self.adapter == "full" or self.modules == "all-linear":
            return "all-linear"
        return [name.strip() for name in self.modules.split(",")]

    def validated(self) -> Recipe:
        """The recipe, if it can be followed. Raises TrainingError, naming the field."""
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainingError(f"{name} is {value}: it must be above 0")
        for name in ("dropout", "warmup", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(
                    f"{name} is {getattr(self, name)}: it must be from 0 to below 1"
                )
        if self.batch_size % self.at_once:
            raise TrainingError(
                f"rows_at_once is {self.at_once}: batch_size {self.batch_size} is no multiple of it"
            )
        if self.adapter == "full" and self.quantisation != "none":
            raise TrainingError(
                f"quantisation is {self.quantisation}: quantised weights cannot be tuned "
                'themselves; set it to "none", or adapter to "lora"'
            )
        return self


_POSITIVE = (
    "epochs",
    "learning_rate",
    "batch_size",
    "rows_at_once",
    "rank",
    "alpha",
    "max_grad_norm",
    "patience",
    "checkpoint_minutes",
)
_BASE = Recipe(name="default", keep="best", patience=2)
RECIPES: dict[str, Recipe] = {
    # "LoRA Without Regret" (Schulman et al. 2025): adapters on every linear layer, ten times the
    # rate of full fine-tuning; the rank hardly matters for small data sets.
    "default": _BASE,
    # What this project's bases under 20 million parameters needed; fp32, so that a run that is
    # taken up again ends bit for bit the same on any CPU.
    "tiny": Recipe(name="tiny", epochs=4.0, learning_rate=1.5e-3, precision="fp32"),
    # The hyperparameters of the notebook that this project grew from, under today's names.
    "notebook": Recipe(
        name="notebook",
        dropout=0.1,
        modules="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
        learning_rate=4e-4,
        scheduler="constant",
        batch_size=16,
        rows_at_once=4,
        order="length",
        max_grad_norm=0.3,
        optimizer="paged_adamw_32bit",
    ),
    "int8": dataclasses.replace(_BASE, name="int8", quantisation="int8"),
    "lora": dataclasses.replace(_BASE, name="lora", quantisation="none"),
    "full": dataclasses.replace(
        _BASE, name="full", adapter="full", quantisation="none", learning_rate=2e-5
    ),
}


def recipe_of(
    asked: str | Path | Recipe | None,
    *,
    parameters: int,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """A preset by name, a TOML file's recipe, or None: what fits a base of so many `parameters`.

    `changes` are fields by name; None among them leaves the recipe's own. Raises TrainingError.
    """
    if asked is None:
        asked = "tiny" if parameters < SMALL else "default"
    if not isinstance(asked, Recipe):
        asked = RECIPES[str(asked)] if str(asked) in RECIPES else _from_file(Path(asked))
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    return changed(asked, given).validated()


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other fields. Raises TrainingError for what it cannot hold."""
    kinds = typing.get_type_hints(Recipe)
    given = {}
    for name, value in changes.items():
        if name not in kinds or name == "name":
            fields = ", ".join(field for field in kinds if field != "name")
            raise TrainingError(f"a recipe has no field {name}; there are {fields}")
        given[name] = _fitting(name, value, kinds[name])
    return dataclasses.replace(recipe, **given)


def changes_of(texts: typing.Iterable[str]) -> dict[str, Any]:
    """What `--set NAME=VALUE` says, read as TOML reads it: numbers, true, false; else a text."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise TrainingError(f"{text!r} is no NAME=VALUE, such as learning_rate=1e-4")
        changes[field_named(name)] = read_value(value.strip())
    return changes


def field_named(text: str) -> str:
    """The field of a recipe that a person means: `lr` is learning_rate."""
    return "learning_rate" if text.strip() == "lr" else text.strip()


def read_value(text: str) -> Any:
    """A number, a bool or a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _from_file(path: Path) -> Recipe:
    if path.suffix != ".toml":
        raise TrainingError(
            f"there is no recipe {path}; take one of {', '.join(RECIPES)}, or give a .toml file"
        )
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        why = error.strerror if isinstance(error, OSError) else error
        raise TrainingError(f"recipe {path} cannot be read: {why}") from error
    like = fields.pop("like", "default")
    if like not in RECIPES:
        raise TrainingError(f"recipe {path}: like is {like}; take one of {', '.join(RECIPES)}")
    try:
        return dataclasses.replace(changed(RECIPES[like], fields), name=path.stem)
    except TrainingError as error:
        raise TrainingError(f"recipe {path}: {error}") from error


def _fitting(name: str, value: Any, kind: Any) -> Any:
    """The value as the field holds it."""
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
        if value is None or value in ("none", "auto"):
            return None
    if typing.get_origin(kind) is Literal:
        if value in typing.get_args(kind):
            return value
        raise TrainingError(f"{name} is {value}: take one of {', '.join(typing.get_args(kind))}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TrainingError(f"{name} is {value!r}: it must be a {_KINDS[kind]}")
    return value


_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}
