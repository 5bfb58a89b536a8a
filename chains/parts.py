"""An app's chain taken apart: its prompt, its model, the schema of its answer, and its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.output_parsers import (
    BaseOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
    StrOutputParser,
)
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableAssign,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from pydantic import BaseModel

from .task import TaskError

_TRACED = "ls_structured_output_format"  # the option in which models tell tracers their schema
_SHAPES = "prompt | model.with_structured_output(Schema), or prompt | model | PydanticOutputParser"


@dataclass(frozen=True)
class ChainParts:
    """What stands in a chain: `prompt` None where it is a structured model alone.

    `schema` is the app's own: a pydantic class (v2 or v1), a TypedDict or a JSON schema. `raw`: the
    answer is `{"raw", "parsed", "parsing_error"}`. `data`: the answer is JSON data, not an object.
    """

    prompt: BasePromptTemplate[Any] | None
    model: BaseLanguageModel[Any]
    schema: Any
    raw: bool = False
    data: bool = False


def take_apart(chain: Any, *, schema: Any = None) -> ChainParts:
    """The parts of `prompt | model.with_structured_output(S)`, `prompt | model | parser`, or of a
    structured model alone; `schema` is the answer's where the chain does not say it.

    Seen through: bound options, with_config, with_retry, with_fallbacks (the first chain counts),
    nested sequences, include_raw. Raises TaskError, one line, naming the part that is none of this.
    """
    steps = list(_steps(chain))
    prompt = steps.pop(0) if steps and isinstance(steps[0], BasePromptTemplate) else None
    if not steps:
        raise TaskError(f"{_name(chain)} asks no model; give {_SHAPES}")
    model, options, raw = _model(steps.pop(0), first=prompt is None)
    rest = [step for step in steps if not isinstance(step, StrOutputParser)]
    if raw and rest and isinstance(rest[0], RunnableWithFallbacks):
        parser = _assigned(rest.pop(0))
    else:
        parser = rest.pop(0) if rest else None
    if rest:
        raise TaskError(
            f"{_name(rest[0])} stands behind the answer; wrap what is before it: "
            f"swap(...) | {_name(rest[0])}"
        )
    traced = (options.get(_TRACED) or {}).get("schema")
    found = _schema(parser, traced, schema)
    return ChainParts(prompt, model, found, raw, _is_data(parser, found))


def _steps(chain: Any) -> Any:
    """The chain's steps, flat; what only carries a config, retries or has fallbacks is opened."""
    if isinstance(chain, RunnableSequence):
        for step in chain.steps:
            yield from _steps(step)
    elif isinstance(chain, RunnableBindingBase) and not _is_bound_model(chain):
        yield from _steps(chain.bound)
    elif isinstance(chain, RunnableWithFallbacks) and not isinstance(
        chain.runnable, RunnableAssign
    ):
        yield from _steps(chain.runnable)
    elif isinstance(chain, Runnable):
        yield chain
    else:
        raise TaskError(f"a {type(chain).__name__} is no chain; give {_SHAPES}")


def _is_bound_model(chain: RunnableBindingBase[Any, Any]) -> bool:
    inner: Any = chain
    while isinstance(inner, RunnableBindingBase):
        inner = inner.bound
    return isinstance(inner, BaseLanguageModel)


def _model(step: Any, *, first: bool) -> tuple[BaseLanguageModel[Any], dict[str, Any], bool]:
    """The model, what it is bound to, and whether its raw reply is handed on."""
    raw = isinstance(step, RunnableParallel) and set(step.steps__) == {"raw"}
    inner: Any = step.steps__["raw"] if raw else step
    options: dict[str, Any] = {}
    while isinstance(inner, RunnableBindingBase):
        options = {**inner.kwargs, **options}
        inner = inner.bound
    if isinstance(inner, BaseLanguageModel):
        return inner, options, raw
    if first:
        raise TaskError(
            f"{_name(step)} stands before the prompt or is none; wrap what follows it: "
            f"{_name(step)} | swap({_SHAPES.partition(',')[0]})"
        )
    raise TaskError(
        f"{_name(step)} stands where the model should; a task sees through bound chat models, "
        f"retries and fallbacks only: give {_SHAPES}"
    )


def _assigned(step: RunnableWithFallbacks[Any, Any]) -> Any:
    """The parser inside LangChain's include_raw: assign(parsed=itemgetter("raw") | parser)."""
    mapper = step.runnable.mapper if isinstance(step.runnable, RunnableAssign) else None
    parsed = mapper.steps__.get("parsed") if mapper is not None else None
    if isinstance(parsed, RunnableSequence):
        return list(_steps(parsed))[-1]
    raise TaskError(f"{_name(step)} reads the raw reply in a way of its own; leave include_raw out")


def _schema(parser: Any, traced: Any, given: Any) -> Any:
    """What the answer is: as the parser knows it, else as the model was told, else as given."""
    known = isinstance(parser, RunnableLambda | BaseOutputParser)
    if parser is not None and not known:
        raise TaskError(f"{_name(parser)} reads the answer; a task sees through parsers only")
    told = _of_parser(parser) or traced or given
    if told is None:
        what = f"{_name(parser)} names no schema" if parser is not None else "no parser follows"
        raise TaskError(f"{what}, so what the answer must be is not known; give schema=, or a task")
    return told


def _of_parser(parser: Any) -> Any:
    if isinstance(parser, PydanticToolsParser):
        if len(parser.tools) != 1 or not parser.first_tool_only:
            raise TaskError(f"{_name(parser)} reads several tools or calls; a task has one schema")
        return parser.tools[0]
    if isinstance(parser, JsonOutputKeyToolsParser) and not parser.first_tool_only:
        raise TaskError(f"{_name(parser)} gives a list of calls; set first_tool_only")
    if isinstance(parser, RunnableLambda):  # OpenAI's reader is a partial that holds the class
        function = getattr(parser, "func", None)
        return function.keywords.get("schema") if isinstance(function, partial) else None
    return getattr(parser, "pydantic_object", None)


def _is_data(parser: Any, schema: Any) -> bool:
    """Whether the app gets JSON data; JSON parsers give it whatever class they were told."""
    if isinstance(parser, JsonOutputParser) and not isinstance(parser, PydanticOutputParser):
        return not isinstance(parser, PydanticToolsParser)
    return not (isinstance(schema, type) and _is_model_class(schema))


def _is_model_class(schema: type) -> bool:
    return issubclass(schema, BaseModel) or hasattr(schema, "parse_obj")


def _name(part: Any) -> str:
    if isinstance(part, RunnableLambda):
        return f"{type(part).__name__}({part.get_name()})"
    return type(part).__name__ if not isinstance(part, Sequence) else "a list"
