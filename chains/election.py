"""Counting votes: several answers to one example become one, the majority per answer path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.exceptions import OutputParserException

from .task import Task, TaskError, Thought, value_at

Ballot = Thought | Exception  # an answer, or why there is none: an abstention
SAME = 0.8  # from this score of the path's comparator on, two free values are one


@dataclass(frozen=True)
class Opinion:
    """One value of a path and the ballots that gave it, by number, the earliest first."""

    value: Any
    voters: tuple[int, ...]


def elect(
    task: Task, ballots: Sequence[Ballot], *, settled: Mapping[str, int] | None = None
) -> Thought:
    """The answer that has the majority on each path, with the reasoning of a ballot that gave it.

    Free values are the same where the path's comparator gives SAME or more. Of opinions with as
    many votes, the one that was given first wins. `settled` names, by number among the answers, the
    one whose value stands on a path whatever the votes say.
    Where no ballot gave the winning answer as a whole, the reasoning is of the ballot that agrees
    with most of it, the earliest of equals, and `details["unsupported"]` lists the paths on which
    it said otherwise; where the schema refuses the combination, that ballot's own answer wins.

    `votes` counts the ballots per path and value; `confidence` is the winner's share of all
    ballots, abstentions included; `details["abstentions"]` says why these failed.

    Raises OutputParserException, from the first failure of another kind if there is one, where all
    ballots abstain.
    """
    thoughts = [ballot for ballot in ballots if isinstance(ballot, Thought)]
    failures = [ballot for ballot in ballots if isinstance(ballot, Exception)]
    if not thoughts:
        raise _nobody(failures) from _telling(failures)
    answers = [task.answer_json(thought.answer) for thought in thoughts]
    opinions = {
        path: count(task, path, [value_at(answer, path) for answer in answers])
        for path in task.paths
    }
    settled = settled or {}
    winners = {path: _winner(said, settled.get(path)) for path, said in opinions.items()}
    best = max(
        range(len(thoughts)), key=lambda number: sum(number in w.voters for w in winners.values())
    )
    thought, unsupported = _combined(task, thoughts[best], answers[best], winners, best)
    if unsupported is None:
        winners = {path: _of(best, said) for path, said in opinions.items()}
    return replace(
        thought,
        confidence={path: len(won.voters) / len(ballots) for path, won in winners.items()},
        votes={path: _split(said) for path, said in opinions.items()},
        details=_details(thoughts[best], failures, unsupported),
    )


def count(task: Task, path: str, values: Sequence[Any]) -> list[Opinion]:
    """The different values among `values`, in the order in which each was first given."""
    opinions: list[Opinion] = []
    for number, value in enumerate(values):
        for place, opinion in enumerate(opinions):
            if same(task, path, opinion.value, value):
                opinions[place] = replace(opinion, voters=(*opinion.voters, number))
                break
        else:
            opinions.append(Opinion(value, (number,)))
    return opinions


def same(task: Task, path: str, one: Any, other: Any) -> bool:
    """Whether two JSON values of a path are one vote: a class exactly, the rest by comparator."""
    if one == other or path in task.labels:
        return bool(one == other)
    return task.comparator(path)(one, other) >= SAME


def _winner(opinions: Sequence[Opinion], settled: int | None) -> Opinion:
    if settled is not None:
        return _of(settled, opinions)
    return max(opinions, key=lambda opinion: len(opinion.voters))  # max: the earliest of equals


def _of(number: int, opinions: Sequence[Opinion]) -> Opinion:
    return next(opinion for opinion in opinions if number in opinion.voters)


def _combined(
    task: Task,
    best: Thought,
    answer: Mapping[str, Any],
    winners: Mapping[str, Opinion],
    number: int,
) -> tuple[Thought, list[str] | None]:
    """The winners' answer with the best ballot's reasoning, and the paths that it does not support.

    None for the paths where the schema refuses the combination: the answer is the ballot's own.
    """
    differing = [path for path, winner in winners.items() if number not in winner.voters]
    if not differing:
        return best, []
    data = json.loads(json.dumps(answer))
    try:
        for path in differing:
            _put(data, path, winners[path].value)
        if task.reasoning and best.reasoning is not None:
            data[task.reasoning] = best.reasoning
        return task.thought(data), differing
    except TaskError:
        return best, None


def _details(
    best: Thought, failures: Sequence[Exception], unsupported: list[str] | None
) -> dict[str, Any] | None:
    """The best ballot's details with what the count adds; None where there is nothing to say."""
    abstentions = [_line(failure) for failure in failures]
    told = {**(best.details or {}), "abstentions": abstentions, "unsupported": unsupported}
    return {name: value for name, value in told.items() if value} or None


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *heads, last = path.split(".")
    for head in heads:
        if not isinstance(data.get(head), dict):
            data[head] = {}
        data = data[head]
    data[last] = value


def _split(opinions: Sequence[Opinion]) -> dict[str, int]:
    return {
        json.dumps(opinion.value, ensure_ascii=False, sort_keys=True): len(opinion.voters)
        for opinion in opinions
    }


def _telling(failures: Sequence[Exception]) -> Exception | None:
    """The failure that says most: one of the model's service, else the first."""
    others = [f for f in failures if not isinstance(f, OutputParserException)]
    return next(iter([*others, *failures]), None)


def _nobody(failures: Sequence[Exception]) -> OutputParserException:
    telling = _telling(failures)
    why = f", the first: {_line(telling)}" if telling else ""
    return OutputParserException(
        f"none of {len(failures)} samples gave an answer{why}",
        llm_output=getattr(telling, "llm_output", None),
    )


def _line(failure: Exception) -> str:
    text = str(failure.args[0]) if failure.args else ""
    first = next(iter(text.strip().splitlines()), "")
    return f"{type(failure).__name__}: {first}"[:300]
