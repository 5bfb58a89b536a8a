"""One loaded student and the thread that writes its answers, many rows in one batch."""

from __future__ import annotations

import atexit
import queue
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from .card import StudentError
from .choosing import Chooser
from .chunks import Path
from .grammar import Compiler
from .lora import Adapter
from .opening import Openings
from .options import check_numbers
from .paths import path_for
from .row import Answer, Request, Row, token_limit

_LIVE: weakref.WeakSet[Engine] = weakref.WeakSet()
_LAST_STEP = 30.0  # seconds that the model's running call may take when the process ends
_IDLE = 5.0  # seconds without a row after which the memory of its slots is given back
_WAIT = 0.003  # seconds that the first request of an idle engine waits for company


class Engine:
    """Answers requests from any thread; its own daemon thread runs the model.

    Rows join and leave the running batch at any step. Greedy text does not depend on which rows
    share the batch as long as the weights are float32. `calls` counts batched steps, `rows` the
    rows they advanced: their ratio is the mean batch.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, max_batch: int = 64, path: Path | None = None
    ) -> None:
        self.path = path or path_for(model)
        self.asked_at = time.monotonic()  # when somebody last wanted it
        self.tokenizer, self.max_batch = tokenizer, max_batch
        config = model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", None) or 1 << 20)
        self._model = model
        self._end_tokens = _end_tokens(model, tokenizer)
        self._known = int(model.get_input_embeddings().weight.shape[0])
        self._compiler = Compiler(
            tokenizer,
            vocabulary=model.get_output_embeddings().weight.shape[0],
            end_tokens=sorted(self._end_tokens),
        )
        self._chooser = Chooser(self.path, self._compiler, self._end_tokens, spare=max_batch)
        self._openings = Openings(self.path)
        self._arriving: queue.SimpleQueue[Request | Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._heir: Engine | None = None
        self._handing = threading.Lock()
        self._handed_over = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="student-engine")
        _LIVE.add(self)
        self._thread.start()

    @property
    def calls(self) -> int:
        """Batched calls of the model so far, each a chosen token for every row that it took."""
        return self._chooser.calls

    @property
    def rows(self) -> int:
        """Rows that those calls took, all together."""
        return self._chooser.rows

    def submit(
        self,
        prompt: Sequence[int],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        timeout: float | None = None,
        on_text: Callable[[str], None] | None = None,
        confidence: bool = True,
        adapter: Adapter | None = None,
    ) -> Future[Answer]:
        """Queue one row of prompt token ids; the future holds its Answer.

        `stop` strings end the text; after `timeout` seconds the future fails with StudentTimeout;
        `on_text` is called from the engine's thread with each new part of the text and must return
        at once. To cancel the future ends the row, also while it is being written. `confidence` has
        the probability of every class looked up; the text is the same without.

        Raises StudentError at once where the prompt does not fit the context or the vocabulary,
        `max_tokens` is too small for the shortest answer that was found to the schema, an option is
        none that a row can have, or the schema cannot be enforced.
        """
        if self._closed:
            raise StudentError("this student is closed; load it again")
        check_numbers(max_tokens=max_tokens, temperature=temperature, seed=seed, timeout=timeout)
        if prompt and max(prompt) >= self._known:  # it would fail all the rows of its batch
            raise StudentError(
                f"the prompt holds token {max(prompt)}, and this model knows {self._known} tokens; "
                "leave out what its tokenizer takes for a special token"
            )
        grammar = self._compiler.compile(schema) if schema is not None else None
        limit = token_limit(grammar, asked=max_tokens, read=len(prompt), context=self.context)
        request = Request(
            prompt=tuple(prompt),
            grammar=grammar,
            max_tokens=limit,
            temperature=temperature,
            seed=random.getrandbits(63) if seed is None else seed,
            stop=tuple(end for end in stop if end),
            deadline=None if timeout is None else time.monotonic() + timeout,
            on_text=on_text,
            confidence=confidence,
            adapter=adapter,
        )
        self.take(request)
        return request.future

    def knows(self, schema: Mapping[str, Any]) -> bool:
        """Whether `submit` with this schema returns at once."""
        return self._compiler.knows(schema)

    def prepare(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema before rows are asked for it; may take seconds. Raises StudentError."""
        self._compiler.compile(schema)

    def take(self, request: Request) -> None:
        """Queue a request, at the engine that has taken over if one has."""
        with self._handing:
            heir = self._heir
            if heir is None:
                self._arriving.put(request)
        if heir is not None:
            heir.take(request)
        elif not self._thread.is_alive():  # it ended while this was written
            request.fail(StudentError("this student was closed; load it again"))

    def stop(self) -> None:
        """Have the thread end after its running step; rows that are not finished fail."""
        self._closed = True
        self._arriving.put(None)

    def close(self) -> None:
        """Stop the thread, wait for its end, and let the model go."""
        self.stop()
        self._thread.join(timeout=60)
        self._model = None

    def between(self, work: Callable[[], Any]) -> Future[Any]:
        """Have the engine's thread do something between two steps; the future holds its result."""
        done: Future[Any] = Future()

        def do() -> None:
            try:
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked for it
                done.set_exception(error)

        self._arriving.put(do)
        return done

    def hand_over(self, to: Engine) -> None:
        """Send later requests to another engine; this one ends after its last."""
        with self._handing:
            self._heir = to
            self._arriving.put(None)

    def _work(self) -> None:
        slots = self.path
        rows: list[Row] = []
        waiting: deque[Request] = deque()
        while not self._closed and (rows or waiting or not self._handed_over):
            self._collect(waiting, idle=not rows)
            try:
                if self._admit(slots, waiting, rows):
                    self._leave(slots, rows)
                if rows:
                    self._chooser.step(rows)
                self._leave(slots, rows)
            except BaseException as error:  # noqa: BLE001 - the rows' own; the thread lives on
                _fail([row.request for row in rows], error)
                rows.clear()
                self._forget()
        self._collect(waiting, idle=False)
        closed = StudentError("this student was closed before it had answered; load it again")
        _fail([*(row.request for row in rows), *waiting], closed)
        self._forget()

    def _collect(self, waiting: deque[Request], *, idle: bool) -> None:
        """Move what has arrived to `waiting`; an idle engine waits for it, and briefly for more."""
        deadline = 0.0
        while True:
            patience = max(0.0, deadline - time.monotonic())
            try:
                if idle and not waiting:
                    request = self._next()
                    deadline = time.monotonic() + _WAIT
                elif patience and len(waiting) < self.max_batch:
                    request = self._arriving.get(timeout=patience)
                else:
                    request = self._arriving.get_nowait()
            except queue.Empty:
                return
            if request is None:
                self._handed_over = self._heir is not None
                return
            if isinstance(request, Request):
                waiting.append(request)
            else:
                request()

    def _next(self) -> Request | Callable[[], None] | None:
        """The next request, however long it takes; meanwhile the memory is given back."""
        try:
            return self._arriving.get(timeout=_IDLE)
        except queue.Empty:
            self._forget()
            return self._arriving.get()

    def _forget(self) -> None:
        self.path.clear()
        self._openings.forget()

    def _admit(self, slots: Path, waiting: deque[Request], rows: list[Row]) -> bool:
        """Start waiting rows, several at a time: each joining costs a call of its own."""
        for request in [request for request in waiting if request.dropped()]:
            waiting.remove(request)
        running, free = len(rows), self.max_batch - len(rows)
        if not waiting or (rows and free < min(len(waiting), self.max_batch // 4)):
            return False
        while waiting and len(rows) < self.max_batch:
            request = waiting.popleft()
            try:
                rows.append(Row(request, len(rows), self._compiler))
            except BaseException as error:  # noqa: BLE001 - it is of this row alone
                _fail([request], error)
        self._openings.begin(rows[running:], rows[:running])
        return len(rows) > running

    def _leave(self, slots: Path, rows: list[Row]) -> None:
        """Resolve finished rows, drop those nobody waits for; the others fill the lowest slots."""
        for row in [row for row in rows if row.finish or row.dropped()]:
            rows.remove(row)
            try:
                if not row.request.future.done():
                    row.resolve()
            except BaseException as error:  # noqa: BLE001 - it is of this row alone
                _fail([row.request], error)
        taken = {row.slot for row in rows}
        free = [slot for slot in range(len(rows)) if slot not in taken]
        for row in rows:
            if row.slot >= len(rows):
                target = free.pop()
                slots.copy(row.slot, target, row.read)
                row.slot = target


@atexit.register
def _end_threads() -> None:
    """A thread within the model while the interpreter ends brings the whole process down."""
    engines = list(_LIVE)
    for engine in engines:
        engine.stop()
    until = time.monotonic() + _LAST_STEP
    for engine in engines:
        engine._thread.join(max(0.0, until - time.monotonic()))


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    also = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    more = also if isinstance(also, list) else [also]
    return frozenset(token for token in (tokenizer.eos_token_id, *more) if token is not None)


def _fail(requests: Sequence[Request], error: BaseException) -> None:
    """Tell every one why. A panic of the grammar library is no Exception, which callers expect."""
    if not isinstance(error, Exception):
        error = StudentError(f"the student failed ({type(error).__name__}: {error})")
    for request in requests:
        request.fail(error)
