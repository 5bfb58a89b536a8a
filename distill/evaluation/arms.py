"""The arms of a dividend: of each target the students that are held against those of `label`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...chains.task import TARGETS
from .answered import Answering, Marks
from .trained import differences

_Seeds: TypeAlias = dict[int, Answering]
_Tuned: TypeAlias = tuple[Mapping[str, Any], _Seeds]


@dataclass(frozen=True)
class Arm:
    """The students of one target and recipe by seed, with what they answered.

    `otherwise`: fields of the recipe that are not as those of `label`.
    """

    target: str
    otherwise: Mapping[str, str]
    seeds: tuple[int, ...]
    systems: tuple[Answering, ...]
    marks: tuple[Marks, ...]


def arms_of(
    students: Sequence[Answering], split: str, recipes: Mapping[str, Mapping[str, Any]]
) -> list[Arm]:
    """By target, `label` first: of several recipes of a target the one that is like the others',
    of these the one with the most seeds."""
    able = _by_recipe(students, recipes)
    if "label" not in able:
        return []

    def alike(target: str, recipe: Mapping[str, Any]) -> bool:
        return any(not differences(other, recipe) for other, _ in able[target])

    others = [target for target in TARGETS if target in able and target != "label"]
    recipe, seeds = max(
        able["label"], key=lambda of: (sum(alike(one, of[0]) for one in others), len(of[1]))
    )
    arms = [_arm("label", split, seeds, {})]
    for target in others:
        tuned, found = max(
            able[target], key=lambda of: (not differences(of[0], recipe), len(of[1]))
        )
        arms.append(_arm(target, split, found, differences(tuned, recipe)))
    return arms


def _by_recipe(
    students: Sequence[Answering], recipes: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[_Tuned]]:
    """By target, the seeds of one name and recipe; one of which it is not known goes with them."""
    known: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in students:
        if one.run.id in recipes:
            known.setdefault((one.run.target, one.arm), recipes[one.run.id])
    groups: dict[tuple[str, str, str], _Tuned] = {}
    for one in students:
        target, arm = one.run.target, one.arm
        recipe = recipes.get(one.run.id, known.get((target, arm), {}))
        told = json.dumps(recipe, sort_keys=True)
        _, seeds = groups.setdefault((target, arm, told), (recipe, {}))
        seeds.setdefault(one.seed if one.seed is not None else len(seeds), one)
    able: dict[str, list[_Tuned]] = {}
    for (target, _, _), group in groups.items():
        able.setdefault(target, []).append(group)
    return able


def _arm(
    target: str,
    split: str,
    seeds: _Seeds,
    apart: Mapping[str, tuple[Any, Any]],
) -> Arm:
    return Arm(
        target,
        {name: f"{mine}, label {theirs}" for name, (mine, theirs) in apart.items()},
        tuple(sorted(seeds)),
        tuple(seeds[seed] for seed in sorted(seeds)),
        tuple(seeds[seed].sheets[split] for seed in sorted(seeds)),
    )
