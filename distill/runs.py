"""Which run this is: everything that decides what is asked and who answers."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from ..chains.strategies import strategy_parameters
from ..chains.task import Target, Task, fingerprint, prompt_words
from ..chains.teachers import model_name, model_parameters
from ..store.provenance import save_words
from ..store.rows import Run, run_id
from ..store.store import Store

ZERO_SHOT = "zero_shot"
REPEAT = "repeat"
NOTEBOOK = "notebook"  # the system whose valid share is the figure, be it 0
RECORDED = "recorded"  # the strategy of answers from elsewhere: their words are not known


def describe_run(
    task: Task,
    *,
    role: Any,
    name: str,
    model: BaseChatModel | str,
    target: Target,
    strategy: str = "answer",
    parameters: Mapping[str, Any] | None = None,
) -> Run:
    """The Run of `model` answering `task`; its id is the content address of all that decides it."""
    said = task.student_words if role == "student" else task.teacher_words
    named = model if isinstance(model, str) else model_name(model)
    facts = dict(parameters or {})
    if not isinstance(model, str):
        facts |= model_parameters(model)
    identity = {
        "task": task.name,
        "role": role,
        "model": named,
        "strategy": strategy,
        "target": target,
        "words": "" if strategy == RECORDED else said,
        "answers": task.answers,
        "parameters": facts,
    }
    asked_by = {} if strategy == RECORDED else versions()
    return Run(id=run_id(**identity), name=name, **identity, versions=asked_by, started=now())


def teacher_run(
    task: Task,
    models: Sequence[BaseChatModel],
    *,
    strategy: str = ZERO_SHOT,
    options: Mapping[str, Any] | None = None,
    repeat: bool = False,
) -> Run:
    """The Run of a teacher: its models, how they are asked, and whether it is asked once more."""
    asked = dict(options or {})
    parameters = {} if strategy == ZERO_SHOT else strategy_parameters(strategy, **asked)
    for number, model in enumerate(models[1:], 2):
        parameters[f"model_{number}"] = model_name(model)
        parameters[f"parameters_{number}"] = fingerprint(model_parameters(model))
    return describe_run(
        task,
        role="teacher",
        name="teacher",
        model=models[0],
        target="reason_label",
        strategy=strategy,
        parameters=parameters | ({REPEAT: True} if repeat else {}),
    )


def is_repeat(run: Run) -> bool:
    """Whether the run asks rows a second time, to see how far a teacher agrees with itself."""
    return bool(run.parameters.get(REPEAT))


def start(task: Task, store: Store, run: Run) -> Run:
    """Remember the run as `Store.start_run` does, and once the texts behind the fingerprints."""
    for words, prompt in (
        (task.teacher_words, task.prompt),
        (task.student_words, task.student_prompt),
    ):
        messages = [{**message, "format": "f-string"} for message in prompt_words(prompt)]
        text = json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        save_words(store, words, "prompt", text)
    save_words(store, task.answers, "schema", json.dumps(task.json_schema("reason_label")))
    return store.start_run(run)


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions of this package and of LangChain, as stored with each run."""
    found = {}
    for name in ("understudy", "langchain-core"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
