"""What a student may write: a JSON schema compiled to token masks, and the way out of any answer.

A mask alone does not make an answer valid: a string that never ends is cut off by the token limit.
So every state of a grammar has a plan, tokens that finish the answer from there, and a row takes no
token whose plan does not fit the tokens it has left.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from .card import StudentError
from .labels import Labels
from .plans import searched, shortened
from .schema import canonical, closed, dated, longest_way_out, read_as_schema, room
from .sound import check_size, enforceable

_LONGEST_PLAN = 4096
_MOST_KEPT = 256  # compiled grammars; a server is asked for any number of them
_STRUCTURE = frozenset(b'\\{}[]":,-.')


@dataclass(frozen=True)
class Grammar:
    """A schema compiled for one tokenizer; `start` is copied for each row.

    `plan` is the plan from the start, `room` a max_tokens that a sensible answer fits. With more
    than `caution` tokens left nobody needs a plan; None: always. `labels` are those of a schema.
    """

    start: Any
    plan: tuple[int, ...]
    room: int
    caution: int | None
    labels: Labels | None


class Compiler:
    """Compiles schemas for one tokenizer, finds plans. `vocabulary` is the width of the logits."""

    def __init__(self, tokenizer: Any, *, vocabulary: int, end_tokens: Sequence[int]) -> None:
        import llguidance.hf

        self._tokens = llguidance.hf.from_tokenizer(
            tokenizer, n_vocab=vocabulary, eos_token=list(end_tokens)
        )
        self._vocabulary = vocabulary
        self.end = end_tokens[0]
        self._texts = [self._meaning(token) for token in range(vocabulary)]
        self._preference = _preferences(self._texts)
        self._grammars: dict[bytes, Future[Grammar]] = {}
        self._lock = threading.Lock()

    def compile(self, schema: Mapping[str, Any]) -> Grammar:
        """The schema's grammar, compiled once, however many threads ask; others do not wait for it.

        Raises StudentError where it cannot be enforced.
        """
        check_size(schema)
        key = _key(schema)
        with self._lock:
            found = self._grammars.pop(key, None)
            compiling: Future[Grammar] = found or Future()
            self._grammars[key] = compiling  # the last is the freshest
            if len(self._grammars) > _MOST_KEPT:
                del self._grammars[next(iter(self._grammars))]
        if found is None:
            try:
                with read_as_schema():
                    compiling.set_result(self._compiled(closed(schema)))
            except BaseException as error:  # whoever waits for it is told, too
                with self._lock:
                    self._grammars.pop(key, None)
                stopped = StudentError("compiling this schema was broken off; ask again")
                compiling.set_exception(error if isinstance(error, Exception) else stopped)
                raise
        return compiling.result()

    def knows(self, schema: Mapping[str, Any]) -> bool:
        """Whether the schema's grammar is there: to compile one may take seconds."""
        check_size(schema)
        with self._lock:
            compiling = self._grammars.get(_key(schema))
        return compiling is not None and compiling.done()

    def masks(self, matchers: Sequence[Any]) -> Any:
        """The tokens each matcher allows: a boolean array of shape (matchers, vocabulary).

        None in the place of a matcher allows every token.
        """
        import numpy
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        words = allocate_token_bitmask(len(matchers), self._vocabulary)
        for index, matcher in enumerate(matchers):
            if matcher is not None:
                fill_next_token_bitmask(matcher, words, index)
        bits = numpy.unpackbits(words.view(numpy.uint8), axis=1, bitorder="little")
        return bits[:, : self._vocabulary].view(bool)

    def plan(self, matcher: Any, *, limit: int) -> list[int] | None:
        """Tokens that finish the answer from here on, None where it takes more than `limit`."""
        state = matcher.deep_copy()
        plan: list[int] = []
        while not state.is_accepting():
            ahead = state.compute_ff_tokens() or [self._way_out(state)]
            plan.extend(ahead)
            if len(plan) > limit or not state.consume_tokens(ahead):
                return None
        return plan

    def plan_after(
        self, matcher: Any, token: int, *, limit: int, before: Sequence[int] = ()
    ) -> list[int] | None:
        """The plan from the state in which `token` has been written.

        `before` is the plan from here: where no way is seen at once, its end may be one.
        """
        state = matcher.deep_copy()
        if not state.consume_token(token):
            return None
        plan = self.plan(state, limit=limit)
        ends = (before[start:] for start in range(len(before))) if plan is None else ()
        return next((list(end) for end in ends if len(end) <= limit and finishes(state, end)), plan)

    def closes(self, token: int) -> bool:
        """Whether the token begins by ending a string, a list, an object or a number."""
        return self._texts[token][:1] in (b'"', b"]", b"}", b",")

    def text(self, tokens: Sequence[int]) -> bytes:
        """What these tokens stand for; special tokens stand for nothing."""
        return b"".join(self._texts[token] for token in tokens)

    def piece(self, token: int) -> bytes:
        """What one token stands for."""
        return self._texts[token]

    def spelled(self, text: bytes) -> list[int]:
        """The canonical tokens of a text: those that the tokenizer makes of it."""
        return list(self._tokens.tokenize_bytes(text))

    def _compiled(self, schema: dict[str, Any]) -> Grammar:
        start, plan = self._started(json_grammar(schema))
        worst = longest_way_out(schema)
        # Between two looks a row takes one token and what that forces, at most `worst`.
        caution = None if worst is None else 2 * worst + 32
        return Grammar(
            start=start,
            plan=tuple(plan),
            room=max(room(schema), 2 * len(plan)) + (caution or 0),
            caution=caution,
            labels=Labels(schema, self),
        )

    def _started(self, text: str) -> tuple[Any, list[int]]:
        """A matcher at the start of this grammar and the plan from there."""
        from llguidance import LLMatcher

        start = LLMatcher(self._tokens, text)
        if start.is_error():
            raise _unenforceable(start.get_error())
        _, told = LLMatcher.validate_grammar_with_warnings(text, self._tokens)
        if told:  # it goes on without what it does not know
            raise _unenforceable(told[0])
        plan = self.plan(start, limit=_LONGEST_PLAN) or searched(start, self, self._texts)
        if plan is None:
            raise StudentError("no short answer fits this schema; simplify its patterns")
        return start, shortened(start, plan, self, self._texts)

    def _meaning(self, token: int) -> bytes:
        if self._tokens.is_special_token(token):
            return b""
        return bytes(self._tokens.decode_bytes([token]))

    def _way_out(self, state: Any) -> int:
        allowed = self.masks([state])[0].nonzero()[0]
        return int(allowed[self._preference[allowed].argmax()])


def finishes(state: Any, plan: Sequence[int]) -> bool:
    """Whether these tokens may be written here and end with a whole answer."""
    if state.validate_tokens(list(plan)) != len(plan):
        return False
    end = state.deep_copy()
    end.consume_tokens(list(plan))
    return bool(end.is_accepting())


def json_grammar(schema: Mapping[str, Any]) -> str:
    """The grammar of compact JSON of this closed schema, as llguidance reads it.

    Raises StudentError for what no grammar holds.
    """
    from llguidance import LLMatcher

    return str(
        LLMatcher.grammar_from_json_schema(
            dated(enforceable(schema)), overrides={"whitespace_flexible": False}
        )
    )


def _key(schema: Mapping[str, Any]) -> bytes:
    """What tells schemas apart; as text many of them would fill the memory."""
    with read_as_schema():
        return hashlib.sha256(canonical(schema).encode()).digest()


def _unenforceable(told: str) -> StudentError:
    lines = told.strip().splitlines()
    reason = lines[-1] if lines[0].endswith(":") else lines[0]
    return StudentError(f"this answer schema cannot be enforced: {reason}")


def _preferences(texts: Sequence[bytes]) -> Any:
    """How well each token leads out of an answer, compared among those that a mask allows."""
    import numpy

    return numpy.array([_preference(text) for text in texts], dtype=numpy.float32)


def _preference(text: bytes) -> float:
    """Closing beats going on, going on beats opening; the longer of two closings is the better."""
    length = min(len(text), 20)
    if not text:
        return -1.0
    if not text.strip(b'"}]'):
        return 5000.0 + length
    if text[:2] in (b"[]", b"{}"):
        return 4000.0 + length
    if text[:1] in b'}]",':
        return {b"}": 3000.0, b"]": 3000.0, b'"': 2500.0, b",": 2000.0}[text[:1]] - length
    if length > 1 and text.isalpha():
        return 1600.0 + length
    if text.isdigit():
        return 1500.0 - length
    if text.isascii() and not _STRUCTURE & set(text):
        return 1000.0 + length
    return {b"[": 400.0, b"{": 300.0, b"-": 200.0}.get(text[:1], 100.0)
