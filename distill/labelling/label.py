"""A teacher labels the rows of a task: by any strategy, within limits, and never pays twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...chains.strategies import build_strategy, calls_per_row
from ...chains.task import Task
from ...chains.teachers import model_name, output_cap
from ...store.rows import Run
from ...store.store import Store
from ...store.totals import spent_by
from ..event_loop import run_coroutine
from ..loop import Chain, Progress, Rows, answer_rows
from ..runs import ZERO_SHOT, start, teacher_run
from ..terms import note_terms
from .alone import alone
from .budget import Budget, Spend
from .calls import Caller
from .limits import LabellingError, Limits
from .prices import Price, find_price
from .reuse import reuse_labels as reuse
from .transport import own_clients

SCHEMA_RETRIES = 2


def label(
    task: Task,
    model: BaseChatModel | Sequence[BaseChatModel],
    store: Store,
    *,
    strategy: str = ZERO_SHOT,
    options: Mapping[str, Any] | None = None,
    split: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    retry_failed: bool = False,
    reuse_labels: str | None = None,
    repeat: bool = False,
    limits: Limits | None = None,
    prices: Sequence[Price | None] | None = None,
    schema_retries: int = SCHEMA_RETRIES,
    concurrency: int = 8,
    progress: Progress | None = None,
) -> Run:
    """The teacher answers the task's examples (of one split, or of all) into `store`.

    `strategy` is a name in `chains.strategies.STRATEGIES`, `options` are its keyword arguments;
    some strategies take several models. `limit` takes the first rows of each split, `sample` so
    many of all by chance, always the same ones.

    The same task, words, schema, models, strategy and parameters are the same run: asked again, it
    only answers what is missing. A failure that was paid for counts as answered unless
    `retry_failed`. `reuse_labels` lets labels teach that were bought with other words (their
    fingerprint or run id); `repeat` asks the teacher once more, into a run beside the first.

    An answer that does not fit the schema goes back to the model with the error, `schema_retries`
    times. `limits` caps money, tokens and speed; `prices` (one per model) defaults to `find_price`.

    Works inside a running event loop too. Raises LabellingError, Stopped where a limit ended the
    run cleanly, TaskError, StoreError. Whatever is raised, what was answered is stored.
    """
    models = [model] if isinstance(model, BaseChatModel) else list(model)
    asked, limits = dict(options or {}), limits or Limits()
    build_strategy(strategy, task, models, **asked)  # what is wrong with it is said at once
    known = [find_price(one) for one in models] if prices is None else list(prices)
    check_budget(models, known, limits)
    rows = Rows(
        splits=(split,) if split is not None else None,
        limit=limit,
        sample=sample,
        failed=retry_failed,
    )
    _check_rows(task, store, split)
    run = start(
        task, store, teacher_run(task, models, strategy=strategy, options=asked, repeat=repeat)
    )
    note_terms(store, models)

    def build(ready: Sequence[BaseChatModel]) -> Chain:
        return build_strategy(strategy, task, ready, **asked)

    with alone(store, run):
        if reuse_labels is not None:
            reuse(task, store, run, reuse_labels)
        run_coroutine(
            answer_within(
                build,
                task,
                store,
                run,
                rows,
                models=models,
                prices=known,
                calls=calls_per_row(strategy, models=len(models), **asked),
                limits=limits,
                schema_retries=schema_retries,
                concurrency=concurrency,
                progress=progress,
            )
        )
    return store.run(run.id)


async def answer_within(
    build: Callable[[Sequence[BaseChatModel]], Chain],
    task: Task,
    store: Store,
    run: Run,
    rows: Rows,
    *,
    models: Sequence[BaseChatModel],
    prices: Sequence[Price | None],
    calls: int,
    limits: Limits,
    schema_retries: int = SCHEMA_RETRIES,
    concurrency: int = 8,
    progress: Progress | None = None,
) -> None:
    """Answer what `run` has left with the chain that `build` makes of models held to `limits`.

    `calls` is the most that a row makes of them. Raises LabellingError, Stopped.
    """
    caller = Caller(limits, budget=_budget(store, run, limits, calls, prices), crowd=concurrency)
    async with own_clients(models) as ready:
        governed = [caller.governed(*pair) for pair in zip(ready, prices, strict=True)]
        await answer_rows(
            build(governed),
            task,
            store,
            run,
            rows,
            caller=caller,
            config={"configurable": {"schema_retries": schema_retries}},
            concurrency=concurrency,
            progress=progress,
        )


def _check_rows(task: Task, store: Store, split: str | None) -> None:
    found = store.splits(task.name)
    if not (found.get(split) if split else found):
        where = f"split {split!r}" if split else "the store"
        raise LabellingError(f"task {task.name} has no examples in {where}; import data first")


def check_budget(
    models: Sequence[BaseChatModel], prices: Sequence[Price | None], limits: Limits
) -> None:
    """A ceiling needs to know the worst case of a call before it is sent."""
    for model, price in zip(models, prices, strict=True):
        name = model_name(model)
        if limits.max_usd is not None and price is None:
            raise LabellingError(
                f"max_usd needs a price, and that of {name} is unknown; "
                "give one in prices.toml, or prices="
            )
        free = price is not None and price.worst(0, 1_000_000) == 0
        wanted = (limits.max_usd is not None and not free) or limits.max_tokens is not None
        if wanted and output_cap(model) is None:
            raise LabellingError(
                f"max_usd and max_tokens need a cap on what {name} may write in one call; "
                "give max_output_tokens"
            )


def _budget(
    store: Store, run: Run, limits: Limits, calls: int, prices: Sequence[Price | None]
) -> Budget | None:
    if limits.max_usd is None and limits.max_tokens is None:
        return None
    return Budget(limits, spent=spent_so_far(store, run, prices), calls_per_row=calls)


def spent_so_far(store: Store, run: Run, prices: Sequence[Price | None]) -> Spend:
    """What the run has spent at most; rows without a cost count at the dearest of the prices."""
    past = spent_by(store, run.id)
    dear = (price.worst(past.unpriced_input, past.unpriced_output) for price in prices if price)
    return Spend(past.usd + max(dear, default=0.0), past.tokens)
