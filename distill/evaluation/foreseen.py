"""What an evaluation would still ask of everybody, and what that would cost: nobody is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...chains.task import Task
from ...chains.teachers import model_name, output_cap
from ...store.rows import Run
from ...store.store import Store
from ...store.totals import run_totals
from ..amounts import dollars
from ..labelling.estimate import Amount, Work
from ..labelling.label import check_budget
from ..labelling.limits import Limits
from ..labelling.planning import render_by, sampled, slots
from ..labelling.prices import Price
from ..loop import Chain
from ..runs import NOTEBOOK
from .asked import Asker
from .notebook import notebook_run
from .prompted import Prompting, System, ask_base, ask_systems, ask_teacher, system_names
from .systems import STUDENT_CONCURRENCY, baselines, local_models, rows_of, taught_pairs
from .systems import teaching_run as teaching

_NOTHING = Amount()


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """The rows that one system has left. `models` are asked for money: `expected` and `at_most` say
    calls, tokens and US dollars (None is unknown, and `unknown` says why); without any the system
    costs nothing here, and what a Runnable calls by itself nobody knows. `failed` says why it
    cannot be asked at all.
    """

    name: str
    role: str
    rows: int
    models: tuple[str, ...] = ()
    expected: Amount = _NOTHING
    at_most: Amount = _NOTHING
    unknown: tuple[str, ...] = ()
    failed: str | None = None

    def told(self) -> str:
        """One line for a person."""
        if self.failed is not None:
            return f"{self.name}: cannot be asked: {self.failed}"
        if not self.models or not self.rows:
            return f"{self.name}: {self.rows:,} rows left"
        calls = f"{self.expected.calls:,} calls expected, {self.at_most.calls:,} at most"
        costs = f"{_usd(self.expected.usd)} expected, {_usd(self.at_most.usd)} at most"
        why = f" ({'; '.join(self.unknown)})" if self.unknown else ""
        return f"{self.name}: {self.rows:,} rows left, {calls}; {costs}{why}"


@dataclass(frozen=True, kw_only=True)
class Foresight(Asker):
    """An Asker that asks nobody: it notes what each system has left to answer."""

    found: list[Foreseen] = field(default_factory=list)

    def ask(self, run: Run, chain: Chain, *, at_once: int, gives_up: bool = True) -> Run:
        """A system that costs nothing."""
        self.note(run)
        return run

    def check_answered(self, run: Run) -> None:
        """Nobody has been asked."""

    def note(self, run: Run) -> None:
        """Remember how many rows a system has left that costs nothing."""
        self.found.append(Foreseen(name=run.name, role=run.role, rows=self.left(run)))

    def buy(
        self,
        run: Run,
        models: Sequence[BaseChatModel],
        prices: Sequence[Price | None],
        build: Callable[[Sequence[BaseChatModel]], Chain],
        *,
        calls: int = 1,
    ) -> Run:
        """A system of paid models: its prompts are rendered and sent to nobody."""
        left = sampled(self.rows.pending(self.store, run))
        if left.rows:
            check_budget(models, prices, self.limits)
        work = Work(
            models=models,
            prices=prices,
            left=left,
            slots=slots(left.examples, render_by(build, models, left.examples)),
            calls=calls,
            most=calls,
            tries=1 + self.schema_retries,
            totals=run_totals(self.store, self.task.name),
            run=run,
        )
        self.found.append(
            Foreseen(
                name=run.name,
                role=run.role,
                rows=left.rows,
                models=tuple(map(model_name, models)),
                expected=work.expected(),
                at_most=work.at_most(),
                unknown=tuple(_unknown(models, prices)),
            )
        )
        return run


def foresee(
    task: Task,
    store: Store,
    *,
    students: Sequence[Path | str] = (),
    base: str | None = None,
    notebook: Path | None = None,
    systems: Mapping[str, System] | Sequence[System] = (),
    prompting: Prompting | None = None,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
    limits: Limits | None = None,
    price_table: Path | None = None,
    **_: Any,
) -> list[Foreseen]:
    """What `evaluate` would ask with the same arguments: no model is loaded or called, nothing is
    written. The students that a learning curve trains, and rationales alone, are not in it: they
    cost nothing here. A system that cannot be built is one with `failed`. Raises what `evaluate`
    raises before it asks anybody.
    """
    teacher = teaching(store, task)
    asker = Foresight(
        task=task, store=store, rows=rows_of(task, store, splits, limit), limits=limits or Limits()
    )
    for run, _make in baselines(task, teacher, taught_pairs(store, task, teacher)):
        asker.note(run)
    if notebook is not None:
        with asker.trying(NOTEBOOK):
            asker.note(notebook_run(task, notebook))
    for one in local_models(task, students, base, failed=asker.failed):
        asker.note(one.run)
        one.model.close()
    prompting = prompting or Prompting()
    if base is not None:
        ask_base(asker, prompting, base, teacher, STUDENT_CONCURRENCY)
    ask_systems(asker, system_names(systems), price_table)
    ask_teacher(asker, prompting, teacher)
    lacking = [
        Foreseen(name=one.name, role="unknown", rows=0, failed=one.reason) for one in asker.failed
    ]
    return [*asker.found, *lacking]


def in_all(found: Sequence[Foreseen]) -> str:
    """The sum over the systems that cost money, as one line."""
    paid = [one for one in found if one.models and one.rows]
    if not paid:
        return "no model that costs money has anything left to answer; nobody was asked"
    sums = []
    for amounts in ([one.expected.usd for one in paid], [one.at_most.usd for one in paid]):
        known = [usd for usd in amounts if usd is not None]
        sums.append(_usd(sum(known)) if len(known) == len(amounts) else "an unknown sum")
    return f"in all {sums[0]} expected, {sums[1]} at most; nobody was asked"


def _usd(value: float | None) -> str:
    return "unknown cost" if value is None else dollars(value)


def _unknown(models: Sequence[BaseChatModel], prices: Sequence[Price | None]) -> list[str]:
    why = []
    for model, price in zip(models, prices, strict=True):
        if price is None:
            why.append(f"no price is known of {model_name(model)}: give --prices FILE")
        elif output_cap(model) is None and price.worst(0, 10**6) > 0:
            why.append(f"{model_name(model)} has no cap: give --max-output-tokens")
    return list(dict.fromkeys(why))
