"""Worked examples for a prompt: fixed, the most similar ones, or with labels drawn at random."""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .task import Target, Task, TaskError
from .wording import question_of

_DRAWS = 100


@dataclass(frozen=True)
class Shot:
    """A worked example: the task's inputs, the answer as JSON data, the reasoning if there is one.

    `answer` has no reasoning field, as records and gold in a store have none.
    """

    inputs: Mapping[str, str]
    answer: Mapping[str, Any]
    reasoning: str | None = None


Choose = Callable[[Mapping[str, str]], Sequence[int]]


def shot_messages(task: Task, shot: Shot, target: Target) -> list[BaseMessage]:
    """The shot as the prompt's own question and the answer as compact JSON.

    Raises TaskError where an input is missing or the answer does not fit.
    """
    missing = [name for name in task.inputs if name not in shot.inputs]
    if missing:
        raise TaskError(f"a worked example has no {', '.join(missing)}; give all inputs")
    answer = task.completion(shot.answer, reasoning=shot.reasoning, target=target)
    return [*question_of(task.prompt).format_messages(**shot.inputs), AIMessage(answer)]


def fixed(shots: Sequence[Shot], k: int | None) -> Choose:
    """The first `k` shots (all for None) in their order, without the row's own."""

    def choose(inputs: Mapping[str, str]) -> Sequence[int]:
        return [n for n, shot in enumerate(shots) if not _is(shot, inputs)][:k]

    return choose


def nearest(shots: Sequence[Shot], k: int) -> Choose:
    """The `k` shots most similar to the row, without the row's own, the most similar one last.

    Similarity is the cosine of TF-IDF vectors over words, with scikit-learn's smoothed idf.
    """
    bags = [Counter(_words(shot.inputs)) for shot in shots]
    documents = Counter(word for bag in bags for word in bag)
    rarity = {word: math.log((1 + len(bags)) / (1 + n)) + 1 for word, n in documents.items()}
    postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, bag in enumerate(bags):
        weights = {word: n * rarity[word] for word, n in bag.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        for word, weight in weights.items():
            postings[word].append((number, weight / length))

    def choose(inputs: Mapping[str, str]) -> Sequence[int]:
        scores = dict.fromkeys(range(len(shots)), 0.0)
        for word, n in Counter(_words(inputs)).items():
            for number, weight in postings.get(word, ()):
                scores[number] += n * rarity[word] * weight
        ranked = sorted(scores, key=lambda number: (-scores[number], number))
        return [number for number in ranked if not _is(shots[number], inputs)][:k][::-1]

    return choose


def randomly_labelled(task: Task, shots: Sequence[Shot], *, seed: int) -> list[Shot]:
    """The shots with every label drawn uniformly from its classes; free values stay.

    What is left of few-shot prompting then is the format ("Rethinking the role of demonstrations",
    arXiv 2202.12837). Raises TaskError where the schema refuses 100 draws in a row.
    """
    rng = random.Random(seed)
    return [replace(shot, answer=_drawn(task, shot.answer, rng)) for shot in shots]


def _drawn(task: Task, answer: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    for _ in range(_DRAWS):
        drawn: dict[str, Any] = dict(answer)
        for path, classes in task.labels.items():
            drawn = _with_value(drawn, path.split("."), rng.choice(classes))
        try:
            return task.answer_json(task.thought(drawn).answer)
        except TaskError as error:
            refused = error
    raise TaskError(f"task {task.name}: random labels do not fit the schema: {refused}")


def _with_value(data: dict[str, Any], steps: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy with another value at the path; unchanged where the path is not there."""
    first, *rest = steps
    if first not in data or (rest and not isinstance(data[first], Mapping)):
        return data
    return {**data, first: _with_value(dict(data[first]), rest, value) if rest else value}


def _is(shot: Shot, inputs: Mapping[str, str]) -> bool:
    return all(inputs.get(name) == value for name, value in shot.inputs.items())


def _words(inputs: Mapping[str, str]) -> list[str]:
    return re.findall(r"\w+", " ".join(map(str, inputs.values())).casefold())
