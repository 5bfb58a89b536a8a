"""Which answered rows teach, chosen by rule: each rule counts what it leaves out, and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...chains.task import Task, value_at
from ...store.rows import Example, Record
from ..reviewing.duplicates import plain
from .faults import TrainingError
from .rationales import strays

Pairs = list[tuple[Example, Record]]
Length = Callable[[Example, Record], int]
Rule = Callable[[Pairs], Pairs]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The rules. What is left out by default: only what cannot be taught at all.

    `agreeing` keeps rows whose answer is the gold, or the one with the most votes on every path;
    `confidence` those whose least sure value has at least this confidence or share of the votes.
    `unduplicated` keeps the first of rows that differ in Unicode form, case or spacing only;
    `consistent` leaves out reasonings that name a class other than the one given; `longest` is in
    tokens, prompt, answer and reasoning together. `per_source` caps the rows of one group;
    `balanced` is a label path whose classes shall have as many rows as the rarest of them. `most`
    is how many rows are kept in the end, drawn: fewer of them are among more.
    `rationale_share` is the share of rows whose reasoning is taught (label_reason and multitask;
    the others teach their label alone). What is drawn is drawn by `seed` and the row's content: the
    same rows, the same draw.
    """

    agreeing: Literal["gold", "vote"] | None = None
    confidence: float = 0.0
    unduplicated: bool = False
    consistent: bool = False
    longest: int | None = None
    per_source: int | None = None
    balanced: str | None = None
    most: int | None = None
    rationale_share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.agreeing not in (None, "gold", "vote"):
            raise TrainingError(f"rows agree with gold or vote, not with {self.agreeing}")
        for name in ("confidence", "rationale_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")
        for name in ("longest", "per_source", "most"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name} is {value}: give at least 1, or none for all")

    def facts(self) -> dict[str, Any]:
        """The rules that were asked for, as data."""
        default = asdict(Selection())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


def selected(
    task: Task, pairs: Pairs, selection: Selection, *, length: Length | None = None
) -> tuple[Pairs, dict[str, int]]:
    """The pairs that every rule keeps, in their order, and the others counted by reason.

    `length` gives a row's tokens; `longest` needs it. Raises TrainingError where `balanced` is no
    label of the task.
    """
    if selection.balanced is not None and selection.balanced not in task.labels:
        raise TrainingError(
            f"task {task.name} has no label {selection.balanced} to balance; it has "
            f"{', '.join(task.labels) or 'none'}"
        )
    left_out: Counter[str] = Counter()
    for why in (_agreeing, _confident, _consistent, _short):
        kept = []
        for pair in pairs:
            if reason := why(task, selection, pair, length):
                left_out[reason] += 1
            else:
                kept.append(pair)
        pairs = kept
    for reason, rule in _over_all(task, selection).items():
        kept = rule(pairs)
        left_out[reason] += len(pairs) - len(kept)
        pairs = kept
    return pairs, {reason: rows for reason, rows in left_out.items() if rows}


def explained(examples: list[str], selection: Selection) -> frozenset[str]:
    """The examples whose reasoning is taught: `rationale_share` of them, to the row."""
    wanted = round(selection.rationale_share * len(examples))
    return frozenset(sorted(examples, key=lambda one: drawn(one, selection.seed))[:wanted])


def drawn(example: str, seed: int) -> str:
    """A place in a random order that depends on nothing but the example and the seed."""
    return hashlib.sha256(f"{seed} {example}".encode()).hexdigest()


def _agreeing(
    task: Task, selection: Selection, pair: tuple[Example, Record], _: Length | None
) -> str | None:
    example, record = pair
    if selection.agreeing == "gold":
        if example.gold is None:
            return "no gold to agree with"
        return None if _right(task, example.gold, record.answer) else "it disagrees with the gold"
    if selection.agreeing == "vote":
        if not record.votes:
            return "no votes to agree with"
        won = all(_won(record.answer, path, votes) for path, votes in record.votes.items())
        return None if won else "it disagrees with the vote"
    return None


def _confident(
    task: Task, selection: Selection, pair: tuple[Example, Record], _: Length | None
) -> str | None:
    if not selection.confidence:
        return None
    sure = sureness(pair[1])
    if sure is None:
        return "its confidence is not known"
    return None if sure >= selection.confidence else f"confidence below {selection.confidence:g}"


def _consistent(
    task: Task, selection: Selection, pair: tuple[Example, Record], _: Length | None
) -> str | None:
    example, record = pair
    if not selection.consistent or not record.reasoning:
        return None
    found = strays(task, record.answer or {}, record.reasoning, plain(example))
    return "the reasoning names another label" if found else None


def _short(
    task: Task, selection: Selection, pair: tuple[Example, Record], length: Length | None
) -> str | None:
    if selection.longest is None or length is None:
        return None
    return f"longer than {selection.longest} tokens" if length(*pair) > selection.longest else None


def sureness(record: Record) -> float | None:
    """The confidence of the least sure value, else its share of the votes; None if neither."""
    if record.confidence:
        return min(record.confidence.values())
    if not record.votes:
        return None
    return min(
        votes.get(_written(record.answer, path), 0) / max(1, sum(votes.values()))
        for path, votes in record.votes.items()
    )


def _over_all(task: Task, selection: Selection) -> dict[str, Rule]:
    """The rules that look at the rows together, by what they say of a row that they leave out."""
    rules: dict[str, Rule] = {}
    if selection.unduplicated:
        rules["it repeats an earlier row"] = _first_of_each
    if (most := selection.per_source) is not None:
        rules[f"more than {most} rows of its source"] = lambda pairs: _capped(
            pairs, {e.id: e.group for e, _ in pairs if e.group is not None}, most, selection.seed
        )
    if (path := selection.balanced) is not None:
        rules[f"more rows of its class than of the rarest, by {path}"] = lambda pairs: _balanced(
            pairs, path, selection.seed
        )
    if (wanted := selection.most) is not None:
        rules[f"more than the {wanted} rows asked for"] = lambda pairs: _capped(
            pairs, {example.id: "" for example, _ in pairs}, wanted, selection.seed
        )
    return rules


def _first_of_each(pairs: Pairs) -> Pairs:
    first: dict[str, str] = {}
    for example, _ in pairs:
        first.setdefault(plain(example), example.id)
    firsts = set(first.values())
    return [pair for pair in pairs if pair[0].id in firsts]


def _balanced(pairs: Pairs, path: str, seed: int) -> Pairs:
    classes = {example.id: _written(record.answer, path) for example, record in pairs}
    fewest = min(Counter(classes.values()).values(), default=0)
    return _capped(pairs, classes, fewest, seed)


def _capped(pairs: Pairs, kinds: Mapping[str, str], most: int, seed: int) -> Pairs:
    """At most so many rows of each kind, drawn; rows without a kind stay."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for example, kind in kinds.items():
        groups[kind].append(example)
    kept = {
        example
        for examples in groups.values()
        for example in sorted(examples, key=lambda one: drawn(one, seed))[:most]
    }
    return [pair for pair in pairs if pair[0].id in kept or pair[0].id not in kinds]


def _right(task: Task, gold: Mapping[str, Any], answer: Mapping[str, Any] | None) -> bool:
    return all(
        task.comparator(path)(value_at(gold, path), value_at(answer, path)) == 1.0
        for path in task.paths
        if value_at(gold, path) is not None
    )


def _won(answer: Mapping[str, Any] | None, path: str, votes: Mapping[str, int]) -> bool:
    return votes.get(_written(answer, path), 0) == max(votes.values(), default=0) > 0


def _written(answer: Mapping[str, Any] | None, path: str) -> str:
    return json.dumps(value_at(answer, path), ensure_ascii=False, sort_keys=True)
