"""Who else is asked: models under prompt strategies, models by name, anybody's Runnable."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from ...chains.answer import answer_chain
from ...chains.loading import load_attribute
from ...chains.shots import Shot
from ...chains.strategies import (
    STRATEGIES,
    build_strategy,
    calls_per_row,
    strategy_parameters,
)
from ...chains.task import Target, Task, TaskError
from ...chains.teachers import load_teacher, model_name
from ...store.rows import Run
from ...store.store import Store
from ..labelling.limits import LabellingError
from ..labelling.prices import Price, find_price
from ..labelling.teaching import NAMES
from ..loop import Chain
from ..runs import describe_run, teacher_run
from ..training.dataset import lesson_pairs
from ..training.selection import drawn
from .asked import Asker, as_thoughts
from .costs import AT_ONCE
from .failing import Failed

System: TypeAlias = "str | Named | BaseChatModel | Runnable[Any, Any]"
SHOTS = 6  # worked examples out of the teacher's labels, where nobody gives any
REASONED = ("cot", "self_consistency")  # strategies whose worked examples need a reasoning
_WARM = 0.7  # of a local model's samples, which would else all be the same
_LONGEST = 512  # tokens of a text that no schema ends


@dataclass(frozen=True, kw_only=True)
class Named:
    """A system by its reference, loaded when it is its turn, as `load_system` takes it."""

    reference: str
    task: str = ""
    served: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> BaseChatModel | Runnable[Any, Any]:
        """The chat model or Runnable. Raises TaskError, and whatever its own file raises."""
        return load_system(self.reference, task=self.task, **self.served)


@dataclass(frozen=True, kw_only=True)
class Prompting:
    """Prompt strategies, and the models of the teacher that are asked by them, beside the base.

    `given` holds options under their names in `chains.strategies` (shots, samples, personas,
    rounds, ...): each strategy takes those that it has. `prices` are those of `models`, by default
    what `find_price` says. Where some of the teacher's models are in `failed`, none of them is
    asked.
    """

    strategies: Sequence[str] = ()
    models: Sequence[BaseChatModel] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    prices: Sequence[Price | None] | None = None
    failed: Sequence[Failed] = ()

    def __post_init__(self) -> None:
        for name in self.strategies:
            if name not in NAMES:
                known = ", ".join(NAMES)
                raise LabellingError(f"there is no strategy {name} to ask by; take one of {known}")

    @property
    def known(self) -> list[Price | None]:
        """The models' prices."""
        if self.prices is None:
            return [find_price(model) for model in self.models]
        return list(self.prices)

    def options(self, strategy: str, shots: Sequence[Shot]) -> dict[str, Any]:
        """What of `given` the strategy takes; worked examples that it needs and lacks: `shots`."""
        parameters = inspect.signature(STRATEGIES[strategy]).parameters
        own = {name: value for name, value in self.given.items() if name in parameters}
        needs = parameters.get("shots")
        if needs is not None and needs.default is needs.empty and "shots" not in own:
            own["shots"] = list(shots)
        return own


def worked_examples(task: Task, store: Store, teacher: Run, *, reasoned: bool) -> list[Shot]:
    """SHOTS of the teacher's answers to split train, drawn by chance, always the same ones."""
    pairs, _ = lesson_pairs(store, task, teacher.id, split="train")
    able = [
        (example, record)
        for example, record in pairs
        if record.answer and (record.reasoning or not reasoned)
    ]
    able.sort(key=lambda pair: drawn(pair[0].id, 0))
    return [Shot(e.inputs, r.answer or {}, r.reasoning) for e, r in able[:SHOTS]]


def ask_teacher(asker: Asker, prompting: Prompting, teacher: Run) -> None:
    """The teacher's models under each strategy: the runs that `label` would fill, so that nothing
    that was bought there is bought again. What fails goes to `asker.failed`. Raises Stopped."""
    asker.failed.extend(prompting.failed)
    if not prompting.models or prompting.failed:
        return
    for strategy in prompting.strategies:
        with asker.trying(f"teacher {strategy}"):
            _ask_teacher(asker, prompting, strategy, teacher)


def _ask_teacher(asker: Asker, prompting: Prompting, strategy: str, teacher: Run) -> None:
    options = _options(asker, prompting, strategy, teacher)
    asked = _fitting(strategy, list(prompting.models))
    chain_of = _builder(strategy, asker.task, options)
    chain_of(asked)  # what is wrong with it is said at once
    asker.buy(
        teacher_run(asker.task, asked, strategy=strategy, options=options),
        asked,
        prompting.known[: len(asked)],
        chain_of,
        calls=calls_per_row(strategy, models=len(asked), **options),
    )


def ask_base(asker: Asker, prompting: Prompting, base: str, teacher: Run, at_once: int) -> None:
    """The untuned base under each strategy. What fails goes to `asker.failed`."""
    from ...chains.student import ChatStudent

    if not prompting.strategies:
        return
    untuned = ChatStudent(model=base, max_tokens=_LONGEST)
    try:
        for strategy in prompting.strategies:
            with asker.trying(f"base {strategy}"):
                options = _options(asker, prompting, strategy, teacher)
                warmth = options.pop("temperature", _WARM) if strategy == "self_consistency" else 0
                asked = untuned.model_copy(update={"temperature": float(warmth)})
                run = describe_run(
                    asker.task,
                    role="base",
                    name=f"base {strategy}",
                    model=asked,
                    target="reason_label",
                    strategy=strategy,
                    parameters={"base": base, **strategy_parameters(strategy, **options)},
                )
                chain = build_strategy(strategy, asker.task, [asked], **options)
                asker.ask(run, chain, at_once=at_once, gives_up=False)
    finally:
        untuned.close()


def ask_systems(
    asker: Asker, systems: Mapping[str, System], price_table: Path | None = None
) -> None:
    """Each of them in turn; what fails goes to `asker.failed`. Raises Stopped."""
    for name, system in systems.items():
        with asker.trying(name):
            ask_system(asker, name, system, price_table)


def ask_system(asker: Asker, name: str, system: System, table: Path | None = None) -> None:
    """A model by its name, a chat model, or a Runnable, as a baseline of this name.

    A chat model is asked in the teacher's words and within the limits; what a Runnable calls by
    itself is counted, and not held. Raises TaskError, LabellingError (also where it answered no
    row), Stopped, and whatever somebody's own file raises.
    """
    named = Named(reference=system) if isinstance(system, str) else system
    reference = named.reference if isinstance(named, Named) else name
    ready = named.load() if isinstance(named, Named) else named
    if hasattr(ready, "card"):  # a ChatStudent, which costs nothing
        _ask_local(asker, name, ready)
        return
    if isinstance(ready, BaseChatModel):
        run = describe_run(
            asker.task, role="baseline", name=name, model=ready, target="reason_label"
        )
        price = find_price(ready, reference=reference, table=table)
        run = asker.buy(run, [ready], [price], lambda models: answer_chain(asker.task, models[0]))
    else:
        run = describe_run(
            asker.task,
            role="baseline",
            name=name,
            model=f"{type(ready).__name__} {name}",
            target="reason_label",
            strategy="runnable",
        )
        run = asker.ask(run, as_thoughts(asker.task, ready), at_once=asker.concurrency)
    asker.check_answered(run)


def _ask_local(asker: Asker, name: str, model: Any) -> None:
    target: Target = model.card.target if model.card else "reason_label"
    role = "student" if model.card else "base"
    run = describe_run(asker.task, role=role, name=name, model=model, target=target)
    asker.ask(run, answer_chain(asker.task, model), at_once=AT_ONCE[role])


def load_system(
    reference: str, *, task: str = "", **served: Any
) -> BaseChatModel | Runnable[Any, Any]:
    """provider:model, path/to/file.py:name of a chat model or Runnable, or the task's "offline".

    `served` says where and how a provider's model is, as `load_teacher` takes it. Raises TaskError.
    """
    if re.search(r"\.py(:\w+)?$", reference):
        found = load_attribute(reference, default="chain")
        if isinstance(found, Runnable):
            return found
        kind = type(found).__name__
        raise TaskError(f"{reference} is a {kind}; define a chat model or a Runnable there")
    return load_teacher(reference, task=task, **({} if reference == "offline" else served))


def system_names(systems: Mapping[str, System] | Sequence[System]) -> dict[str, System]:
    """The systems by name: their own, the reference, the model's or the Runnable's; made unique."""
    if isinstance(systems, Mapping):
        return dict(systems)
    named: dict[str, System] = {}
    for system in systems:
        if isinstance(system, str | Named):
            name = system if isinstance(system, str) else system.reference
        elif isinstance(system, BaseChatModel):
            name = model_name(system)
        else:
            name = system.get_name()
        number = 2
        while name in named:
            name, number = f"{name.removesuffix(f' {number - 1}')} {number}", number + 1
        named[name] = system
    return named


def _builder(
    strategy: str, task: Task, options: Mapping[str, Any]
) -> Callable[[Sequence[BaseChatModel]], Chain]:
    def chain_of(models: Sequence[BaseChatModel]) -> Chain:
        return build_strategy(strategy, task, models, **options)

    return chain_of


def _options(asker: Asker, prompting: Prompting, strategy: str, teacher: Run) -> dict[str, Any]:
    shots: list[Shot] = []
    if "shots" not in prompting.given and strategy in ("few_shot", "cot"):
        reasoned = strategy in REASONED
        shots = worked_examples(asker.task, asker.store, teacher, reasoned=reasoned)
    return prompting.options(strategy, shots)


def _fitting(strategy: str, models: Sequence[BaseChatModel]) -> list[BaseChatModel]:
    """As many of the models as the strategy asks: all for vote, two for two_step, one for most."""
    parameters = list(inspect.signature(STRATEGIES[strategy]).parameters.values())
    takes = [one for one in parameters if one.kind is not one.KEYWORD_ONLY and one.name != "task"]
    many = any(one.kind is one.VAR_POSITIONAL for one in takes)
    return list(models if many else models[: len(takes)])
