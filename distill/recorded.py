"""A recorded teacher: outputs made elsewhere become a teacher run that students train on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from ..chains.task import Task, TaskError, value_at
from ..store.columns import class_of
from ..store.rows import Example, Record, Run
from ..store.store import Store
from .labelling import thought_fields
from .runs import describe_run, now, start

COUNTED = ("attempts", "input_tokens", "output_tokens", "cost", "seconds")


def record_labels(
    task: Task,
    store: Store,
    rows: Iterable[tuple[Example, Mapping[str, Any]]],
    *,
    model: str,
) -> Run:
    """Store what `model` said elsewhere as the task's teacher run; what is there already stays.

    Each row is an example and what was recorded for it: `answer` (JSON data, or None), `reasoning`
    and `raw` where there are any. An answer that does not fit the schema is a record with an error.
    """
    run = start(
        task,
        store,
        describe_run(task, role="teacher", name="teacher", model=model, target="reason_label"),
    )
    answered = store.answered(run.id)
    for example, output in rows:
        store.add_examples([example])
        if example.id not in answered:
            store.add_record(_recorded(task, run, example, output))
    store.finish_run(run.id, now())
    return store.run(run.id)


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
    fields: dict[str, Any] = {}
    answer, reasoning = output.get("answer"), output.get("reasoning")
    if answer is None:
        fields = {"error": str(output.get("error") or "the recorded output has no answer")}
    else:
        data = _in_the_tasks_words(task, answer)
        if reasoning and task.reasoning:
            data[task.reasoning] = reasoning
        try:
            fields = thought_fields(task, task.thought(data))
        except TaskError as error:
            fields = {"error": str(error)}
    return Record(
        run=run.id,
        example=example.id,
        raw=output.get("raw"),
        model=output.get("model") or run.model,
        created=now(),
        **{name: output[name] for name in COUNTED if output.get(name) is not None},
        **fields,
    )
