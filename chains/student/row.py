"""One answer in the making: what was asked, what is written so far, and when it has to close."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .card import StudentError, StudentTimeout
from .grammar import Compiler, Grammar, finishes
from .labels import Prefix, Reader
from .lora import Adapter
from .written import Written

# A row about to reach its limit closes strings and lists this many tokens early, so that what comes
# after them (as a rule the labels) is still the model's own choice.
_SLACK = 16
_COLDEST = 1e-6  # as good as greedy; what is divided by less is soon infinite
_FREE_TEXT = 256  # max_tokens of an answer without a schema


@dataclass(frozen=True)
class Answer:
    """What the model wrote. `pieces` are the bytes of each token, in order.

    `probabilities` holds each token's share among the tokens that the grammar allowed there; it is
    1 for a token that was forced. `finish` is "length" where the limit on tokens made it close.
    Where a stop string ended the answer, `text` ends before it and the other fields do not.
    `classes` holds, for each label that was written, the probability of every class it might have;
    `sure` is what a server says of its labels' confidence, by answer path.
    """

    text: str
    pieces: tuple[bytes, ...]
    probabilities: tuple[float, ...]
    input_tokens: int
    output_tokens: int
    finish: str
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sure: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Request:
    """What one row is asked for: prompt token ids, how its tokens are chosen, and their limit.

    `deadline` is a `time.monotonic()`; `on_text` is called from the engine's thread with each new
    part of the text. A future that is cancelled ends the row at the next token. `confidence` asks
    for the probability of every class; `adapter` is the one among several that answers.
    """

    prompt: tuple[int, ...]
    grammar: Grammar | None
    max_tokens: int
    temperature: float
    seed: int
    stop: tuple[str, ...] = ()
    deadline: float | None = None
    on_text: Callable[[str], None] | None = None
    confidence: bool = True
    adapter: Adapter | None = None
    future: Future[Answer] = field(default_factory=Future)

    def dropped(self) -> bool:
        """Whether nobody waits any longer: cancelled, failed, or out of time just now."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.fail(StudentTimeout("the student did not answer in time; give a longer timeout"))
        return self.future.done()

    def succeed(self, answer: Answer) -> None:
        """Hand the answer to whoever waits for it."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Say why there is no answer."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def token_limit(grammar: Grammar | None, *, asked: int | None, read: int, context: int) -> int:
    """The tokens an answer may have, after a prompt of `read` tokens; no less than the shortest
    answer that `plans.shortened` finds has. Raises StudentError.
    """
    minimum = len(grammar.plan) if grammar is not None else 1
    if read + minimum > context:
        raise StudentError(
            f"the prompt has {read} tokens and its answer at least {minimum}, but the model takes "
            f"{context} together; shorten the input"
        )
    if asked is not None and asked < minimum:
        raise StudentError(
            f"max_tokens {asked} is too small: the shortest answer found for it has {minimum}"
        )
    wanted = asked or (grammar.room if grammar is not None else _FREE_TEXT)
    return min(wanted, context - read)


@dataclass(frozen=True, eq=False)
class Aside:
    """A fork of the label being written that `row` does not come by: `tokens` lead there."""

    row: Row
    prefix: Prefix
    tokens: Prefix
    options: tuple[int, ...]


class Row:
    """A request while it is written in `slot`; `pending` are the tokens the model has not read.

    `options` are the only tokens that may come where a label is written, empty anywhere else.
    """

    def __init__(self, request: Request, slot: int, compiler: Compiler) -> None:
        self.request, self.slot, self._compiler = request, slot, compiler
        self.pending = list(request.prompt)
        self.read = 0
        self.matcher = request.grammar.start.deep_copy() if request.grammar is not None else None
        self.finish: str | None = None
        self._written = Written(request.stop, request.on_text)
        self._followed = bool(request.stop or request.on_text)
        self._tokens: list[int] = []
        self._probabilities: list[float] = []
        self._plan = list(request.grammar.plan) if request.grammar is not None else None
        self._cut = False
        self._generator: Any = None
        labels = request.grammar.labels if request.grammar is not None else None
        self._reader = Reader(labels) if labels is not None and labels.classes else None
        self.options: tuple[int, ...] = ()
        gone = self._gone = threading.Event()
        request.future.add_done_callback(lambda _: gone.set())  # it outlives the row
        self._force()

    def dropped(self) -> bool:
        """Whether nobody waits for it any longer; asked at every token, so the answer is cheap."""
        return self._gone.is_set() or (self.request.deadline is not None and self.request.dropped())

    @property
    def left(self) -> int:
        """Tokens that may still be written."""
        return self.request.max_tokens - len(self._tokens)

    def skip(self, length: int) -> None:
        """The model has read the next `length` pending tokens."""
        self.read += length
        self.pending = self.pending[length:]

    def write(self, token: int, probability: float, *, end: bool) -> None:
        """Take the chosen token and all that it forces; `end` says it is an end-of-sequence."""
        if end:
            self.finish = "length" if self._cut else "stop"
            return
        self._append(token, probability)
        self._force()

    def saw(self, shares: Sequence[float], chosen: int) -> list[Aside]:
        """Note the log-shares of the options; the forks that the row does not come by."""
        assert self._reader is not None
        visit = self._reader.saw(shares)
        here = len(visit.tokens)
        return [
            Aside(self, prefix, prefix[here:], visit.choice.following[prefix])
            for prefix in (visit.unseen(chosen) if self.request.confidence else ())
        ]

    def saw_aside(self, prefix: Prefix, shares: Sequence[float]) -> None:
        """Note the log-shares at a fork of the label being written that the row passes by."""
        assert self._reader is not None
        self._reader.visits[-1].seen[prefix] = shares

    def sample(self, scores: Any) -> int:
        """A token drawn at the request's temperature: the same seed draws the same in any batch."""
        import torch

        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.request.seed)
        noise = torch.rand(scores.shape, generator=self._generator).clamp_min(1e-20)
        gumbel = -(-noise.log()).log()
        heat = max(self.request.temperature, _COLDEST)
        return int((scores.cpu() / heat + gumbel).argmax())

    def guard(self, token: int) -> int:
        """`token`, or one that leads out of the answer where nothing is left for `token`.

        That may be the end-of-sequence token.

        As long as each state's plan fits the tokens that are left, the answer can be finished.
        """
        grammar = self.request.grammar
        if (
            grammar is None
            or self.matcher is None
            or (grammar.caution is not None and self.left > grammar.caution)
        ):
            return token
        if self._plan is None:
            self._plan = self._compiler.plan(self.matcher, limit=self.left)
        if not self._plan:
            return self._going_on(token)
        late = self.left - len(self._plan) <= _SLACK
        if not late and finishes(self.matcher, [token, *self._plan]):
            # Inside a text the way out stays the same; to see that is cheap, to look anew is not.
            self._plan = [token, *self._plan]
            return token
        way_out = self._plan[0]
        after = self._compiler.plan_after(
            self.matcher, token, limit=self.left - 1, before=self._plan
        )
        late = late and self._compiler.closes(way_out)
        if after is None or (late and len(after) >= len(self._plan)):
            self._cut = self._cut or token != way_out
            return way_out
        self._plan = [token, *after]
        return token

    def _going_on(self, token: int) -> int:
        """`token` after what is a whole answer already, unless it could not be finished again."""
        after = self._compiler.plan_after(self.matcher, token, limit=self.left - 1)
        if after is None:
            self._cut = True
            return self._compiler.end
        self._plan = [token, *after]
        return token

    def resolve(self) -> None:
        """Hand the finished answer to whoever waits for it."""
        whole = self.matcher is None or self.matcher.is_accepting() or self._written.stopped
        if not whole:
            self.request.fail(
                StudentError(
                    f"the answer could not be finished within {self.request.max_tokens} tokens; "
                    "give a larger max_tokens"
                )
            )
            return
        pieces = tuple(self._compiler.piece(token) for token in self._tokens)
        self._tell(b"" if self._followed else b"".join(pieces), last=True)
        self.request.succeed(
            Answer(
                text=self._written.text,
                pieces=pieces,
                probabilities=tuple(self._probabilities),
                input_tokens=len(self.request.prompt),
                output_tokens=len(self._tokens),
                finish=self.finish or "stop",
                classes=self._classes(),
            )
        )

    def _classes(self) -> dict[str, dict[str, float]]:
        visits = self._reader.visits if self._reader and self.request.confidence else []
        shares = [(visit.choice.path, visit.shares()) for visit in reversed(visits)]
        return {path: found for path, found in reversed(shares) if found is not None}

    def _append(self, token: int, probability: float) -> None:
        self._tokens.append(token)
        self._probabilities.append(probability)
        self.pending.append(token)
        if self._plan is not None:
            self._plan = self._plan[1:] if self._plan[:1] == [token] else None
        if self.matcher is not None:
            self.matcher.consume_token(token)
        if self._reader is not None:
            self._reader.took(token, self._compiler.piece(token))
        if self._followed:
            self._tell(self._compiler.piece(token))

    def _tell(self, piece: bytes, *, last: bool = False) -> None:
        try:
            self._written.add(piece, last=last)
        except Exception as error:  # noqa: BLE001 - the listener's own: it ends this row alone
            self.request.fail(error)

    def _force(self) -> None:
        """Write what the grammar leaves no choice about, without asking the model."""
        while self.matcher is not None and not self._written.stopped:
            forced = self.matcher.compute_ff_tokens() or self._only()
            for token in forced[: max(self.left, 0)]:
                if not self._written.stopped:
                    self._append(token, 1.0)
            if not forced or self.left <= 0:
                break
        if self._written.stopped:
            self.finish = "stop"
        elif self.matcher is not None and self.matcher.is_stopped():
            self.finish = "length" if self._cut else "stop"
        elif self.left <= 0:
            self.finish = "length"

    def _only(self) -> list[int]:
        """The one token that a label's spelling leaves; looks what `options` there are."""
        self.options = ()
        if self._reader is not None and self.matcher is not None and not self.matcher.is_stopped():
            self.options = self._reader.options(self.matcher)
        return [self.guard(self.options[0])] if len(self.options) == 1 else []
