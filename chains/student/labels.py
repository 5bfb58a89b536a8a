"""Labels: the one way to write each class, and how likely the student finds each of them.

Where a label is written only the tokens of its classes' canonical spellings are allowed, those of
the training text. A class's probability is the product, along its spelling, of each token's share
among the tokens that lead to some class there: what the student would write at temperature 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .cursor import Cursor
from .schema import alternatives, expanded

Prefix = tuple[int, ...]
_MARKS = frozenset(b'"\\')
_MOST_CLASSES = 512  # beyond, a label is written like any other text


class Tokens(Protocol):
    """What the labels ask of a tokenizer."""

    def spelled(self, text: bytes) -> list[int]:
        """The canonical tokens of a text."""
        ...

    def piece(self, token: int) -> bytes:
        """What a token stands for."""
        ...


@dataclass(frozen=True)
class Choice:
    """A label about to be written: its classes, their spellings as tokens, what may follow each."""

    path: str
    names: tuple[str, ...]
    routes: tuple[Prefix, ...]
    following: Mapping[Prefix, tuple[int, ...]]


@dataclass
class Visit:
    """A label being written: the tokens so far, and the log-shares that were seen at its forks."""

    choice: Choice
    tokens: list[int] = field(default_factory=list)
    seen: dict[Prefix, Sequence[float]] = field(default_factory=dict)

    def unseen(self, chosen: int) -> list[Prefix]:
        """The forks that the row does not come by once it takes `chosen` here."""
        here = tuple(self.tokens)
        return [
            prefix
            for prefix, options in self.choice.following.items()
            if len(options) > 1
            and len(prefix) > len(here)
            and prefix[: len(here)] == here
            and prefix[len(here)] != chosen
        ]

    def shares(self) -> dict[str, float] | None:
        """Each class's probability; None where a fork was not seen."""
        found = {}
        for name, route in zip(self.choice.names, self.choice.routes, strict=True):
            total = 0.0
            for end, token in enumerate(route):
                options = self.choice.following[route[:end]]
                if len(options) > 1:
                    if route[:end] not in self.seen:
                        return None
                    total += self.seen[route[:end]][options.index(token)]
            found[name] = math.exp(total)
        return found


class Labels:
    """The labels of a schema for one tokenizer. Choices are built once and shared by rows."""

    def __init__(self, schema: Mapping[str, Any], tokens: Tokens) -> None:
        self.classes = label_classes(schema)
        self._tokens = tokens
        self._choices: dict[tuple[str, bytes, bytes], Choice | None] = {}

    def choice(self, path: str, ahead: bytes, begun: bytes, matcher: Any) -> Choice | None:
        """The classes at `path`, `begun` of their text written and `ahead` forced before it."""
        values, sure = self.classes[path]
        key = (path, ahead, begun)
        if sure and key in self._choices:
            return self._choices[key]
        found = self._built(path, values, ahead, begun, matcher)
        if sure:
            self._choices[key] = found
        return found

    def _built(
        self, path: str, values: Sequence[bytes], ahead: bytes, begun: bytes, matcher: Any
    ) -> Choice | None:
        routes: dict[str, Prefix] = {}
        for value in (value for value in values if value.startswith(begun)):
            clash = any(other != value and _goes_on(value, other) for other in values)
            route = self._route(ahead + value[len(begun) :], value, clash, matcher)
            if route is not None:
                routes[_name(value)] = route
            elif clash:
                return None
        following: dict[Prefix, dict[int, None]] = {}
        for route in routes.values():
            for end, token in enumerate(route):
                following.setdefault(route[:end], {})[token] = None
        if not routes or any(route in following for route in routes.values()):
            return None  # one class ends where another goes on, and nothing tells them apart
        return Choice(
            path,
            tuple(routes),
            tuple(routes.values()),
            {prefix: tuple(options) for prefix, options in following.items()},
        )

    def _route(self, rest: bytes, value: bytes, clash: bool, matcher: Any) -> Prefix | None:
        """The tokens that write `rest`, up to its closing quote or, where classes `clash`, past it.

        None where the grammar takes no such tokens here.
        """
        behind = self._behind(rest, matcher)
        needed = len(rest) if clash or not value.endswith(b'"') else len(rest) - 1
        if clash and not value.endswith(b'"'):
            if not behind:
                return None
            needed += 1
        route, covered = [], 0
        for token in self._tokens.spelled(rest + behind):
            if covered >= needed:
                break
            route.append(token)
            covered += len(self._tokens.piece(token))
        if not route or matcher.validate_tokens(route) != len(route):
            return None
        return tuple(route)

    def _behind(self, rest: bytes, matcher: Any) -> bytes:
        """What the grammar forces behind a class, as far as it does."""
        state = matcher.deep_copy()
        tokens = self._tokens.spelled(rest)
        if state.try_consume_tokens(tokens) != len(tokens):
            return b""
        ends = [mark for mark in (b",", b"}", b"]") if _takes(state, self._tokens.spelled(mark))]
        if len(ends) != 1:
            return b""
        state.consume_tokens(self._tokens.spelled(ends[0]))
        return ends[0] + bytes(state.compute_ff_bytes())


class Reader:
    """Follows one row: which label it stands at, which tokens may come, what was seen."""

    def __init__(self, labels: Labels) -> None:
        self.visits: list[Visit] = []
        self._labels = labels
        self._cursor = Cursor()
        self._visit: Visit | None = None
        self._in_text = False  # within a text that is no label

    def took(self, token: int, piece: bytes) -> None:
        """The row has written `token`, which stands for `piece`."""
        if self._in_text and not self._cursor.escaped and not _MARKS & set(piece):
            return  # a text goes on, and its characters are nothing to a label
        self._in_text = False
        self._cursor.feed(piece)
        if self._visit is not None:
            self._visit.tokens.append(token)

    def options(self, matcher: Any) -> tuple[int, ...]:
        """The tokens that lead to some class from here; none where no label is being written."""
        if self._in_text:
            return ()
        if self._visit is not None:
            options = self._visit.choice.following.get(tuple(self._visit.tokens))
            if options is not None:
                return options
        self._visit = self._begun(matcher)
        if self._visit is None:
            return ()
        self.visits.append(self._visit)
        return self._visit.choice.following[()]

    def saw(self, shares: Sequence[float]) -> Visit:
        """Note the log-shares of the options here."""
        assert self._visit is not None
        self._visit.seen[tuple(self._visit.tokens)] = shares
        return self._visit

    def _begun(self, matcher: Any) -> Visit | None:
        cursor, ahead = self._cursor, b""
        if not cursor.inside:
            ahead = bytes(matcher.compute_ff_bytes())
            if ahead:
                cursor = cursor.copy()
                cursor.feed(ahead)
        path = cursor.path
        if path is None or path not in self._labels.classes:
            self._in_text = self._cursor.inside and self._cursor.valued
            return None
        begun = self._cursor.begun if cursor is self._cursor else b""
        if cursor is not self._cursor:
            # What is forced of the value itself is part of every class's rest.
            ahead = ahead[: len(ahead) - len(cursor.begun)]
        choice = self._labels.choice(path, ahead, begun, matcher)
        return Visit(choice) if choice is not None else None


def label_classes(schema: Mapping[str, Any]) -> dict[str, tuple[tuple[bytes, ...], bool]]:
    """Dotted path -> the classes of every label as JSON, and whether they are sure.

    They are not where the schema has alternatives with other classes at the same path: then the
    grammar says which of them a row may still write. Labels inside lists are left out.
    """
    found: dict[str, dict[bytes, None]] = {}
    unsure: set[str] = set()

    def visit(shape: Mapping[str, Any], path: str, sure: bool) -> None:
        parts = alternatives(shape)
        values = [value for part in parts for value in _values(part)]
        if values and any(_is_label(part) for part in parts):
            if not sure or path in found or not all(map(_values, parts)):
                unsure.add(path)
            found.setdefault(path, {}).update(dict.fromkeys(values))
        for part in parts:
            for name, inner in part.get("properties", {}).items():
                visit(inner, f"{path}.{name}" if path else name, sure and len(parts) == 1)

    visit(expanded(schema), "", True)
    found.pop("", None)
    return {
        path: (tuple(values), path not in unsure)
        for path, values in found.items()
        if 1 < len(values) <= _MOST_CLASSES
    }


def _is_label(part: Mapping[str, Any]) -> bool:
    return "enum" in part or part.get("type") == "boolean"


def _values(part: Mapping[str, Any]) -> list[bytes]:
    """The classes of a shape as JSON; none where it has other values than classes."""
    values: list[Any] = []
    if "enum" in part:
        values = list(part["enum"])
    elif "const" in part:
        values = [part["const"]]
    elif part.get("type") in ("boolean", "null"):
        values = [True, False] if part["type"] == "boolean" else [None]
    if any(isinstance(value, (dict, list, float)) for value in values):
        return []
    return [json.dumps(value, ensure_ascii=False).encode() for value in values]


def _name(value: bytes) -> str:
    """What a class is called: a text itself, anything else its JSON."""
    read = json.loads(value)
    return read if isinstance(read, str) else value.decode()


def _goes_on(one: bytes, other: bytes) -> bool:
    """Whether either class's text is the beginning of the other's."""
    short, long = sorted((one.removesuffix(b'"'), other.removesuffix(b'"')), key=len)
    return long.startswith(short)


def _takes(state: Any, tokens: Sequence[int]) -> bool:
    return bool(state.validate_tokens(list(tokens)) == len(tokens))
