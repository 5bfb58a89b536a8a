"""The prompts that a strategy would send, rendered by its own chain and sent to nobody."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from ...chains.strategies import build_strategy
from ...chains.task import Task
from ...store.rows import Example
from ..event_loop import run_coroutine
from .bounds import prompt_bound, prompt_bytes

SAMPLE = 200  # rows whose prompts are rendered
ASSUMED_OUTPUT = 150  # tokens of an answer, where none has been seen
_BYTES_PER_TOKEN = 4
_HELD = ("tools", "functions", "response_format", "format", "tool_choice")  # to a schema


@dataclass(frozen=True)
class Prompt:
    """One call that a row makes: the number of its model, and the size of what is sent.

    `after` counts the texts of assumed length that the row was given before.
    """

    model: int
    bytes: int
    bound: int
    after: int = 0


@dataclass(frozen=True)
class Sampled:
    """What a pass over the rows that are left has found; the longest row is among `examples`."""

    rows: int
    bytes: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One call of every row: bytes that it adds to the row's own, on average and at most."""

    model: int
    mean: float
    most: int
    longest: int
    after: int


class _Rendered(Exception):
    """The prompt is known, and nothing was sent."""


@dataclass
class _Desk:
    """Where the models of a chain leave their prompts."""

    prompts: list[Prompt] = field(default_factory=list)
    texts: int = 0

    def take(self, model: int, messages: Sequence[BaseMessage], sent: Mapping[str, Any]) -> Any:
        """A model that is asked for text gets one, so that the next prompt is seen, too."""
        size = prompt_bytes(messages, sent)
        self.prompts.append(Prompt(model, size, prompt_bound(messages, sent), self.texts))
        if any(sent.get(name) for name in _HELD):
            raise _Rendered
        self.texts += 1
        text = AIMessage("x" * ASSUMED_OUTPUT * _BYTES_PER_TOKEN)
        return ChatResult(generations=[ChatGeneration(message=text)])


def row_bytes(example: Example) -> int:
    """The UTF-8 bytes of the row's own text, which stands in every prompt of it."""
    return sum(len(value.encode("utf-8", "surrogatepass")) for value in example.inputs.values())


def sampled(examples: Iterable[Example], *, seed: int = 0) -> Sampled:
    """One pass over any number of rows: their count, their bytes, SAMPLE of them and the longest.

    Reservoir sampling (Vitter's algorithm R).
    """
    dice, kept = random.Random(seed), []
    rows = total = most = 0
    longest: Example | None = None
    for rows, example in enumerate(examples, 1):
        size = row_bytes(example)
        total += size
        if longest is None or size > most:
            longest, most = example, size
        place = rows - 1 if rows <= SAMPLE else dice.randrange(rows)
        if rows <= SAMPLE:
            kept.append(example)
        elif place < SAMPLE:
            kept[place] = example
    if longest is not None and longest not in kept:
        kept.append(longest)
    return Sampled(rows, total, tuple(kept))


def render(
    task: Task,
    models: Sequence[BaseChatModel],
    examples: Sequence[Example],
    *,
    strategy: str,
    options: Mapping[str, Any],
) -> list[list[Prompt]]:
    """Per example the prompts of the calls that come before a model's first answer to the schema.

    No call is made: the models are copies whose class keeps the prompt. Tracing is off meanwhile.
    Raises what the chain raises where it fails before any prompt.
    """

    def build(asked: Sequence[BaseChatModel]) -> Runnable[Any, Any]:
        return build_strategy(strategy, task, asked, **options)

    return render_by(build, models, examples)


def render_by(
    build: Callable[[Sequence[BaseChatModel]], Runnable[Any, Any]],
    models: Sequence[BaseChatModel],
    examples: Sequence[Example],
) -> list[list[Prompt]]:
    """The same of any chain: `build` makes it of the copies."""
    desk = _Desk()
    chain = build([_silent(model, number, desk) for number, model in enumerate(models)])

    async def all_of_them() -> list[list[Prompt]]:
        found = []
        for example in examples:
            desk.prompts, desk.texts = [], 0
            try:
                await chain.ainvoke(dict(example.inputs), {"configurable": {"schema_retries": 0}})
            except Exception:
                if not desk.prompts:
                    raise
            found.append(desk.prompts)
        return found

    from langsmith import tracing_context

    with tracing_context(enabled=False):
        rendered: list[list[Prompt]] = run_coroutine(all_of_them())
    return rendered


def slots(examples: Sequence[Example], rendered: Sequence[Sequence[Prompt]]) -> list[Slot]:
    """The calls that every row makes: the nth of each model is the same one in all rows."""
    found: dict[tuple[int, int], list[tuple[int, Prompt]]] = {}
    for example, prompts in zip(examples, rendered, strict=True):
        seen: Counter[int] = Counter()
        for prompt in prompts:
            found.setdefault((prompt.model, seen[prompt.model]), []).append(
                (row_bytes(example), prompt)
            )
            seen[prompt.model] += 1
    return [
        Slot(
            model=model,
            mean=sum(prompt.bytes - own for own, prompt in calls) / len(calls),
            most=max(prompt.bound - own for own, prompt in calls),
            longest=max(prompt.bound for _, prompt in calls),
            after=max(prompt.after for _, prompt in calls),
        )
        for (model, _), calls in sorted(found.items())
    ]


def _silent(model: BaseChatModel, number: int, desk: _Desk) -> BaseChatModel:
    """A copy of the model that leaves its prompts at the desk."""
    kind: Any = type(model)

    class Silent(kind):  # type: ignore[misc]
        model_config = {"defer_build": True}  # noqa: RUF012 - how pydantic takes it

        def _generate(
            self, messages: list[BaseMessage], *_: Any, stop: Any = None, **kwargs: Any
        ) -> ChatResult:
            kwargs.pop("run_manager", None)
            result: ChatResult = desk.take(number, messages, kwargs)
            return result

        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return self._generate(*args, **kwargs)

    Silent.__name__, Silent.__qualname__ = kind.__name__, kind.__qualname__
    Silent.__module__ = kind.__module__
    copied = model.model_copy(
        update={"disable_streaming": True, "cache": False, "rate_limiter": None, "callbacks": None}
    )
    object.__setattr__(copied, "__class__", Silent)
    return copied
