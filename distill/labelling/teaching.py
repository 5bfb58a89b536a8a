"""From the words of a command line to a way of asking: teachers, strategy, worked examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from ...chains.loading import load_attribute
from ...chains.shots import Shot
from ...chains.strategies import STRATEGIES
from ...chains.task import Task, TaskError
from ...chains.teachers import load_teacher
from ...store.columns import RefusedRow
from ...store.connection import StoreError
from ...store.exchange import examples_from
from ...store.exported import recorded_row
from ...store.files import read_objects, read_rows

# A strategy's option and the word for it. `rationalise` is none to label with: it needs answers.
FLAGS = {
    "shots": "--shots",
    "k": "--shots-k",
    "by_similarity": "--similar",
    "random_labels": "--random-labels",
    "samples": "--samples",
    "temperature": "--temperature",
    "personas": "--persona",
    "mend": "--mend",
    "rounds": "--rounds",
    "tools": "--tools",
    "max_calls": "--max-calls",
}
NAMES = tuple(name for name in STRATEGIES if name != "rationalise")
_FLAGS = {
    "max_usd": "--max-usd",
    "max_tokens": "--max-tokens",
    "max_output_tokens": "--max-output-tokens",
    "requests_per_minute": "--rpm",
    "tokens_per_minute": "--tpm",
    "key_variable": "--key-variable",
    "base_url": "--base-url",
}


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How rows are asked: the models as `build_strategy` takes them, the strategy, its options.

    `references` are the words that named the models, in the same order.
    """

    models: tuple[BaseChatModel, ...]
    references: tuple[str, ...]
    strategy: str
    options: Mapping[str, Any]


def asked_for(
    task: Task,
    reference: str,
    *,
    teachers: Sequence[str] = ("offline",),
    base_urls: Sequence[str] = (),
    key_variables: Sequence[str] = (),
    strategy: str = "zero_shot",
    given: Mapping[str, Any] | None = None,
    max_output_tokens: int | None = None,
    keyless: bool = False,
) -> Asking:
    """The way of asking that the words choose; `reference` is the word that named the task.

    `given` holds a strategy's options under their names in FLAGS: `shots` as a file that import
    reads, `tools` as file.py:name, the others as they are; None, False and empty are not given.
    One of `base_urls` and of `key_variables` holds for all teachers, several are theirs in order.
    A temperature is the teachers' own where the strategy has none. `keyless` teachers are planned
    with, and never asked.

    Raises TaskError for a strategy that is not there, an option that it does not have or that it
    lacks, or the wrong number of teachers; StoreError where the shots cannot be read.
    """
    options = {  # a temperature of 0 is given, though it equals False
        name: value
        for name, value in (given or {}).items()
        if value is not None and value is not False and value not in ([], ())
    }
    own = inspect.signature(_strategy(strategy)).parameters
    warmth = options.pop("temperature", None) if "temperature" not in own else None
    _check(strategy, options, len(teachers))
    if warmth is not None and set(teachers) == {"offline"}:
        raise TaskError("the offline teacher has no --temperature; leave it out")
    models = _loaded(
        teachers,
        task=[reference] * len(teachers),
        base_url=_each("--base-url", base_urls, len(teachers)),
        key_variable=_each("--key-variable", key_variables, len(teachers)),
        max_output_tokens=[max_output_tokens] * len(teachers),
        temperature=[warmth] * len(teachers),
        keyless=[keyless] * len(teachers),
    )
    if "shots" in options:
        reasoned = strategy in ("cot", "self_consistency")
        options["shots"] = read_shots(task, options["shots"], reasoned=reasoned)
    if "tools" in options:
        options["tools"] = read_tools(options["tools"])
    return Asking(
        models=tuple(models), references=tuple(teachers), strategy=strategy, options=options
    )


def read_shots(task: Task, path: str | Path, *, reasoned: bool = False) -> list[Shot]:
    """The worked examples in a file: any that import reads, or one that export wrote.

    A row holds the task's inputs, a whole answer and, where `reasoned`, a reasoning: in a column of
    the task's own name for it, or `reasoning`. Raises StoreError, naming the row.
    """
    shots = []
    first = next(iter(read_rows(path)), None)
    exported = first is not None and "answer" in first and "answer" not in task.paths
    for number, shot in _recorded(task, path) if exported else _with_gold(task, path):
        try:
            task.completion(shot.answer, reasoning=None, target="label")
        except (TaskError, ValueError) as error:
            raise StoreError(f"{path}, row {number}: {error}") from error
        if reasoned and not shot.reasoning:
            column = task.reasoning or "reasoning"
            raise StoreError(f"{path}, row {number} has no reasoning; give a column {column}")
        shots.append(shot)
    if not shots:
        raise StoreError(f"{path} has no row; worked examples need one or more")
    return shots


def read_tools(reference: str) -> list[Any]:
    """The agent's tools: a list in somebody's Python file. Raises TaskError."""
    tools = load_attribute(reference, default="tools")
    if not isinstance(tools, list | tuple) or not tools:
        raise TaskError(f"--tools {reference} is no list of tools; define one there")
    for tool in tools:
        if not (isinstance(tool, BaseTool) or callable(tool)):
            raise TaskError(f"--tools {reference} holds a {type(tool).__name__}, which is no tool")
    return list(tools)


def in_flags(text: str) -> str:
    """An error in the words of the command line: max_usd is --max-usd there.

    A word in quotes is a provider's: its "'max_tokens' is not supported" stays as it is.
    """
    ours = r"(?<![\w'\"`.])\w+(?![\w'\"`])"
    return re.sub(ours, lambda found: _FLAGS.get(found.group(), found.group()), text)


def _each(flag: str, values: Sequence[str], teachers: int) -> Sequence[str | None]:
    """One value per teacher: the only one for all, theirs in order, or none."""
    if len(values) > 1 and len(values) != teachers:
        raise TaskError(f"{len(values)} {flag} for {teachers} --teacher; give one, or one each")
    return values if len(values) > 1 else [*values, None][:1] * teachers


def _loaded(teachers: Sequence[str], **each: Sequence[Any]) -> list[BaseChatModel]:
    models = []
    for number, name in enumerate(teachers):
        given = {option: values[number] for option, values in each.items()}
        try:
            models.append(load_teacher(name, **given))
        except TaskError as error:
            raise TaskError(in_flags(str(error))) from error
    return models


def _strategy(name: str) -> Any:
    if name not in NAMES:
        raise TaskError(f"there is no strategy {name}; take one of {', '.join(NAMES)}")
    return STRATEGIES[name]


def _check(strategy: str, options: Mapping[str, Any], teachers: int) -> None:
    parameters = inspect.signature(STRATEGIES[strategy]).parameters.values()
    own = [one for one in parameters if one.name in FLAGS and one.kind is one.KEYWORD_ONLY]
    names = [one.name for one in own]
    for name in options:
        if name not in names:
            has = f"has {', '.join(FLAGS[one] for one in names)}" if names else "has no options"
            owners = [one for one in NAMES if name in inspect.signature(STRATEGIES[one]).parameters]
            raise TaskError(
                f"strategy {strategy} takes no {FLAGS[name]}, it {has}; {FLAGS[name]} is of "
                f"{', '.join(owners)}"
            )
    for one in own:
        if one.default is one.empty and one.name not in options:
            raise TaskError(f"strategy {strategy} needs {FLAGS[one.name]}")
    models = [p for p in parameters if p.kind is not p.KEYWORD_ONLY and p.name != "task"]
    if teachers > len(models) and all(p.kind is not p.VAR_POSITIONAL for p in models):
        raise TaskError(
            f"strategy {strategy} asks at most {len(models)} --teacher, {teachers} were given; "
            "vote asks any number"
        )


def _with_gold(task: Task, path: str | Path) -> Any:
    for number, row in enumerate(read_rows(path), start=1):
        found = examples_from(
            [row],
            task=task.name,
            inputs=task.inputs,
            gold_paths=task.paths,
            columns=task.columns,
            aliases=task.aliases,
            labels=task.labels,
            source=str(path),
        )
        example = next(iter(found.examples), None)
        if example is None or example.gold is None:
            why = found.refused[0][1] if found.refused else "has no answer"
            raise StoreError(f"{path}, row {number}: {why}")
        told = row.get(task.reasoning or "", "") or row.get("reasoning", "")
        yield number, Shot(example.inputs, example.gold, told.strip() or None)


def _recorded(task: Task, path: str | Path) -> Any:
    for number, row in read_objects(path):
        try:
            example, fields = recorded_row(row, task=task.name, inputs=task.inputs)
        except RefusedRow as error:
            raise StoreError(f"{path}, row {number}: {error}") from error
        if fields.get("answer") is None:
            raise StoreError(f"{path}, row {number} has no answer")
        yield number, Shot(example.inputs, fields["answer"], fields.get("reasoning"))
