"""The ways to ask a teacher: each a function (task, models, options) -> Runnable[dict, Thought].

    chain = self_consistency(task, model, samples=5)
    chain = build_strategy("vote", task, [first, second, third], personas=["You are a trader."])

Each is a LangChain runnable like any other: invoke, ainvoke, batch, callbacks. `calls_per_row` says
before a run how many model calls a row costs at most, `strategy_parameters` what tells its labels
from another strategy's. A new strategy is one function, one line in STRATEGIES and one in _CALLS.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate

from .agent import agent
from .asking import Chain, cot, few_shot, rationalise, two_step, zero_shot, zero_shot_cot
from .negotiation import negotiate
from .shots import Shot
from .task import Task, TaskError, fingerprint, prompt_words
from .voting import self_consistency, vote
from .wording import DEFAULT_WORDS

STRATEGIES: dict[str, Callable[..., Chain]] = {
    "zero_shot": zero_shot,
    "few_shot": few_shot,
    "cot": cot,
    "zero_shot_cot": zero_shot_cot,
    "two_step": two_step,
    "self_consistency": self_consistency,
    "vote": vote,
    "negotiate": negotiate,
    "agent": agent,
    "rationalise": rationalise,
}
_CALLS: dict[str, Callable[[int, Mapping[str, Any]], int]] = {
    "two_step": lambda models, options: 2,
    "self_consistency": lambda models, options: int(options["samples"]) + bool(options["mend"]),
    "vote": lambda models, options: (
        models * max(1, len(options["prompts"])) * max(1, len(options["personas"]))
        + bool(options["mend"])
    ),
    "negotiate": lambda models, options: 2 * int(options["rounds"]),
    "agent": lambda models, options: int(options["max_calls"]),
}


def build_strategy(name: str, task: Task, models: Sequence[BaseChatModel], **options: Any) -> Chain:
    """The strategy by its name. Raises TaskError for a name, a number of models, or an option."""
    function = _strategy(name)
    try:
        inspect.signature(function).bind(task, *models, **options)
    except TypeError as error:
        raise TaskError(
            f"strategy {name} with {len(models)} model(s): {error}; "
            f"its form is {name}{_form(function)}"
        ) from error
    return function(task, *models, **options)


def calls_per_row(name: str, *, models: int = 1, **options: Any) -> int:
    """The most model calls that one row can cost, where every reply fits and arrives.

    A reply that does not fit the schema is asked for again, up to `schema_retries` times a call
    (`answer_chain`), so that (1 + schema_retries) times as many is the most; the plain analysis of
    `two_step` is asked for once, and `agent` counts what it asks again among its own. Calls that
    are lost on the way and sent again by an engine come on top.
    """
    function = _strategy(name)
    counted = _CALLS.get(name)
    return 1 if counted is None else counted(models, _defaults(function) | options)


def strategy_parameters(name: str, **options: Any) -> dict[str, Any]:
    """What decides a strategy's labels beside task and models, as JSON scalars: for a run's key.

    Shots, prompts, personas and words count by their fingerprint, tools by name; `words` is the
    fingerprint of this module's own words.
    """
    known = _defaults(_strategy(name)) | options
    scalars = {key: _scalar(value) for key, value in sorted(known.items())}
    return {"strategy": name, **scalars, "default_words": DEFAULT_WORDS}


def _strategy(name: str) -> Callable[..., Chain]:
    if name not in STRATEGIES:
        raise TaskError(f"there is no strategy {name!r}; take one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def _defaults(function: Callable[..., Chain]) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    }


def _form(function: Callable[..., Chain]) -> str:
    return "(" + ", ".join(map(str, _names(function))) + ")"


def _names(function: Callable[..., Chain]) -> list[str]:
    return [
        f"{parameter.name}=" if parameter.kind is parameter.KEYWORD_ONLY else parameter.name
        for parameter in inspect.signature(function).parameters.values()
    ]


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) and len(value) < 32 else fingerprint(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, ChatPromptTemplate):
        return prompt_words(value)
    if isinstance(value, Shot):
        return asdict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, str):
        return value
    return str(getattr(value, "name", None) or getattr(value, "__name__", type(value).__name__))
