"""Which bases fit a machine, and about how long a training on it takes: estimates, not timings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .bases import Base
from .training.hardware import USABLE, Choice, Hardware, choose, memory_needed
from .training.recipes import RECIPES, Recipe

ROWS, TOKENS = 1000, 400
# A training's share of what bare products of matrices reach. CPU: 43 of 111 GFLOP/s, measured
# (docs/performance.md). GPUs: assumed, against the peak that their makers name; small bases in NF4
# leave most of it idle.
SHARE = {"cpu": 0.39, "cuda": 0.15, "mps": 0.3}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a training of `base` with the default recipe would take; sizes in bytes.

    `memory` is `memory_needed`'s rough upper estimate, `seconds` None where no rate is known,
    `download` the size of the weights on the hub, at two bytes a parameter.
    """

    base: str
    fits: bool
    memory: int
    memory_of: int
    seconds: float | None
    rows_at_once: int
    recomputed: bool
    precision: str
    quantisation: str
    download: int


def fit(
    base: Base,
    hardware: Hardware,
    *,
    rows: int = ROWS,
    tokens: int = TOKENS,
    rate: float | None = None,
) -> Fit:
    """The default recipe with as many rows at once as fit, or with one where none does.

    `rows` of `tokens` each; `rate` in operations a second of a product of matrices. Rows longer
    than the base's context do not fit.
    """
    recipe = RECIPES["default"]
    found = None
    for at_once in (n for n in range(recipe.batch_size, 0, -1) if recipe.batch_size % n == 0):
        found = _fit(base, hardware, replace(recipe, rows_at_once=at_once), rows, tokens, rate)
        if found.fits or tokens > base.context:
            return found
    assert found is not None  # a batch has at least one row
    return found


def _fit(
    base: Base, hardware: Hardware, recipe: Recipe, rows: int, tokens: int, rate: float | None
) -> Fit:
    shape = replace(base.shape, tied=base.tied)
    choice = choose(hardware, recipe, shape=shape, longest=tokens)
    memory = memory_needed(
        recipe,
        shape,
        precision=choice.precision,
        quantisation=choice.quantisation,
        tokens=recipe.at_once * tokens,
        recompute=choice.recompute,
    )
    return Fit(
        base=base.name,
        fits=memory <= USABLE * hardware.memory and tokens <= base.context,
        memory=memory,
        memory_of=hardware.memory,
        seconds=None if rate is None else _seconds(base, recipe, choice, rows * tokens, rate),
        rows_at_once=recipe.at_once,
        recomputed=choice.recompute,
        precision=choice.precision,
        quantisation=choice.quantisation,
        download=2 * base.shape.parameters,
    )


def _seconds(base: Base, recipe: Recipe, choice: Choice, tokens: int, rate: float) -> float:
    """Two operations a parameter and token forward, two back to the inputs of every layer; the
    adapters' own gradients are small. What is recomputed goes forward twice.
    """
    operations = (6 if choice.recompute else 4) * base.shape.parameters
    return recipe.epochs * tokens * operations / (rate * SHARE[choice.device])
