"""A recorded teacher: outputs made elsewhere become a teacher run that students train on."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..chains.task import Task, TaskError, value_at
from ..store.columns import class_of
from ..store.recording import add_recordings
from ..store.rows import Example, Record, Run
from ..store.statements import SUMMED
from ..store.store import Store
from .loop import thought_fields
from .redaction import without_keys
from .runs import RECORDED, describe_run, now, start

KEPT = (*SUMMED, "confidence", "votes", "details")


def record_labels(
    task: Task,
    store: Store,
    rows: Iterable[tuple[Example, Mapping[str, Any]]],
    *,
    model: str,
    added: Counter[str] | None = None,
) -> Run:
    """Store what `model` said elsewhere as the task's teacher run; what is there already stays.

    Each row is an example and what was recorded for it: `answer` (JSON data, or None), `reasoning`
    and `raw` where there are any; `native_reasoning`, what the model thought by itself, is the
    reasoning where there is no other and it fits. An answer that does not fit the schema is a
    record with an error. In errors and details, keys are struck out. `created` is the row's own,
    or else now. The run says that it was recorded; with which words is not known. All rows are
    stored or, where anything is raised, none; `added` counts their examples, as `add_recordings`
    does.
    """
    facts: dict[str, Any] = {"role": "teacher", "name": "teacher", "target": "reason_label"}
    run = describe_run(task, model=model, strategy=RECORDED, **facts)
    pairs = ((example, _recorded(task, run, example, output)) for example, output in rows)
    add_recordings(store, run, pairs, finished=now(), added=added)
    return start(task, store, run)


def _in_the_tasks_words(task: Task, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with other writings of a label (case, aliases) as the schema writes it."""
    data: dict[str, Any] = copy.deepcopy(dict(answer))
    for path, classes in task.labels.items():
        head, _, last = path.rpartition(".")
        node = value_at(data, head) if head else data
        if isinstance(node, dict) and node.get(last) is not None:
            node[last] = class_of(node[last], classes, task.aliases)
    return data


def _recorded(task: Task, run: Run, example: Example, output: Mapping[str, Any]) -> Record:
    told = {name: output[name] for name in KEPT if output.get(name) is not None}
    if "details" in told:
        told["details"] = without_keys(told["details"])
    raw = output.get("raw")
    answered = {name: v for name, v in _answered(task, output).items() if v is not None}
    return Record(
        run=run.id,
        example=example.id,
        raw=without_keys(raw) if raw and raw == output.get("error") else raw,
        model=output.get("model") or run.model,
        created=output.get("created") or now(),
        **{**told, **answered},
    )


def _answered(task: Task, output: Mapping[str, Any]) -> dict[str, Any]:
    """The Record fields that say what was answered, or why nothing was."""
    answer = output.get("answer")
    if answer is None:
        error = str(output.get("error") or "the recorded output has no answer")
        return {"error": without_keys(error), "reasoning": output.get("reasoning")}
    data = _in_the_tasks_words(task, answer)
    reasoning, native = output.get("reasoning"), output.get("native_reasoning")
    if reasoning and task.reasoning:
        data[task.reasoning] = reasoning
    if native and task.reasoning and not data.get(task.reasoning):
        with contextlib.suppress(TaskError):
            return thought_fields(task, task.thought({**data, task.reasoning: native}))
    try:
        return thought_fields(task, task.thought(data))
    except TaskError as error:
        return {"error": without_keys(str(error))}
