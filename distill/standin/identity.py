"""Which Runnable a student is: what can be told of its parts, so that two of one name are two."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretBytes, SecretStr

from ...chains.task import fingerprint
from ...chains.teachers import model_name, model_parameters

# Fields that decide no answer, or that differ from process to process.
_ASIDE = {
    "cache",
    "callbacks",
    "config",
    "config_factories",
    "custom_input_type",
    "custom_output_type",
    "input_types",
    "metadata",
    "rate_limiter",
    "tags",
    "verbose",
}
_SECRET = re.compile(r"key|token$|secret|password|header|auth", re.IGNORECASE)
_DEEPEST = 30
Above: TypeAlias = tuple[int, ...]  # the parts around a part, which it may hold itself


def runnable_identity(student: Runnable[Any, Any]) -> str:
    """16 hex digits of the student's parts, the same in every process.

    Told are the classes of a chain's steps, their declared settings, the words of prompts, models
    with their parameters, functions by their names, and lambdas by the names and constants in
    them. Not told: what a function's body does, the state of a class of one's own, and secrets; a
    student that changes in these needs another name.
    """
    return fingerprint(_told(student, ()))


def _told(value: Any, above: Above) -> Any:
    """JSON data of the value; its type where nothing more is known of it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if id(value) in above or len(above) > _DEEPEST:
        return _kind(type(value))
    for kinds, tell in _BY_KIND:
        if isinstance(value, kinds):
            return tell(value, (*above, id(value)))
    return _kind(type(value))


def _model(model: BaseChatModel, _: Above) -> Any:
    return [_kind(type(model)), model_name(model), model_parameters(model)]


def _declared(part: BaseModel, above: Above) -> Any:
    """A part that declares its settings, as most of LangChain's do."""
    names = [
        name for name in type(part).model_fields if name not in _ASIDE and not _SECRET.search(name)
    ]
    return [_kind(type(part)), {name: _told(getattr(part, name), above) for name in names}]


def _plain(part: Runnable[Any, Any], above: Above) -> Any:
    """A class of somebody's own: the steps and functions that it holds; the rest may be state."""
    held = {
        name: _told(value, above)
        for name, value in sorted(vars(part).items())
        if isinstance(value, (Runnable, FunctionType, MethodType, partial))
    }
    return [_kind(type(part)), part.get_name(), held]


def _function(function: FunctionType, _: Above) -> Any:
    """Its name; a lambda, which has none, by the names and constants in it: its source can be read
    in some places and not in others."""
    if function.__name__ != "<lambda>":
        return _kind(function)
    code = function.__code__
    constants = [repr(one) for one in code.co_consts if isinstance(one, bool | int | float | str)]
    return ["lambda", *code.co_varnames, *code.co_names, *sorted(constants)]


def _method(method: MethodType, above: Above) -> Any:
    return [_kind(method.__func__), _told(method.__self__, above)]


def _partial(function: partial[Any], above: Above) -> Any:
    said = [function.func, list(function.args), function.keywords]
    return [_told(part, above) for part in said]


def _mapping(parts: Mapping[Any, Any], above: Above) -> Any:
    named = {str(name): part for name, part in parts.items() if not _SECRET.search(str(name))}
    return {name: _told(named[name], above) for name in sorted(named)}


def _kind(thing: Any) -> str:
    """The name of a class or function, and its file's: a script is __main__ only where it runs."""
    module = thing.__module__ or ""
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", None) or "").stem
    return f"{module.rpartition('.')[2]}.{thing.__qualname__}"


_BY_KIND: tuple[tuple[Any, Callable[[Any, Above], Any]], ...] = (
    ((SecretStr, SecretBytes), lambda *_: None),
    (type, lambda value, _: _kind(value)),
    (BaseChatModel, _model),
    (BaseModel, _declared),
    (Runnable, _plain),
    (FunctionType, _function),
    (MethodType, _method),
    (partial, _partial),
    (Mapping, _mapping),
    ((list, tuple), lambda value, above: [_told(part, above) for part in value]),
    ((set, frozenset), lambda value, _: sorted(map(str, value))),
)
