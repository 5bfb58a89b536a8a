"""How requests become answers: a bounded queue, a deadline, an end when nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .guard import Receive
from .limits import Limits, Refusal
from .metrics import Metrics
from .replies import Heading, closing, deltas, event, usage_of
from .requests import ChatRequest, chat_messages
from .schema import Rehearsal

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, BaseMessage

    from ...chains.student.chat import ChatStudent

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
_END = object()
_PART, _SEAM = 16_384, 16  # characters that are counted at once; tokens that a cut may add


class Desk:
    """Takes requests for the students, by the names they are served under."""

    def __init__(
        self, students: Mapping[str, ChatStudent], *, rehearsal: Rehearsal, limits: Limits
    ) -> None:
        self.students, self.rehearsal, self.limits = students, rehearsal, limits
        self.metrics = Metrics(students, self._taken)
        self._rows = 0
        self._counting = asyncio.Lock()  # one long prompt at a time

    def student(self, name: str) -> ChatStudent:
        """The student of that name. Raises Refusal."""
        if name not in self.students:
            known = ", ".join(self.students)
            raise Refusal(
                404,
                f"there is no model {name[:100]!r} here; there is {known}",
                code="model_not_found",
                param="model",
            )
        return self.students[name]

    async def answer(self, asked: ChatRequest) -> dict[str, Any]:
        """A whole completion. Raises Refusal, also where it takes too long."""
        with self._seats(asked.n), _refusing():
            async with asyncio.timeout(self.limits.seconds):
                model, messages = await self._prepared(asked)
                calls = [
                    model.ainvoke(messages, **_nth(asked, number)) for number in range(asked.n)
                ]
                answers = await _all(calls)
        self.metrics.used(asked.model, usage_of(answers))
        return self._heading(asked).completion(answers)

    async def stream(self, asked: ChatRequest) -> AsyncGenerator[bytes, None]:
        """The events of a streamed completion.

        What goes wrong before the first is raised as Refusal, later it is an event.
        """
        started = False
        with self._seats(1):
            try:
                with _refusing():
                    async for one in self._events(asked):
                        started = True
                        yield event(one)
            except Refusal as refusal:
                if not started:
                    raise
                yield event(refusal.body)
        yield event("[DONE]")

    async def _events(self, asked: ChatRequest) -> AsyncGenerator[dict[str, Any], None]:
        heading, metadata, called, last = self._heading(asked), {}, False, None
        begun = False
        async with contextlib.aclosing(self._chunks(asked)) as chunks:
            async for chunk in chunks:
                if not begun:
                    yield heading.chunk({"role": "assistant", "content": ""})
                    begun = True
                metadata.update(chunk.response_metadata)
                last = chunk if chunk.usage_metadata else last
                for delta in deltas(chunk):
                    called = called or "tool_calls" in delta
                    yield heading.chunk(delta)
        yield heading.chunk({}, **closing(metadata, called=called))
        usage = usage_of([last] if last is not None else [])
        self.metrics.used(asked.model, usage)
        if asked.stream_options is not None and asked.stream_options.include_usage:
            yield heading.usage(usage)

    async def _chunks(self, asked: ChatRequest) -> AsyncGenerator[Any, None]:
        """The model's chunks, from a task of its own: it ends when nobody listens, or too late."""
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def produce() -> None:
            try:
                async with asyncio.timeout(self.limits.seconds):
                    model, messages = await self._prepared(asked)
                    async for chunk in model.astream(messages, **_nth(asked, 0)):
                        queue.put_nowait(chunk)
                queue.put_nowait(_END)
            except Exception as error:  # noqa: BLE001 - it is raised where the chunks are taken
                queue.put_nowait(error)

        task = asyncio.create_task(produce())
        try:
            while (chunk := await queue.get()) is not _END:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            await _ended(task)

    async def _prepared(self, asked: ChatRequest) -> tuple[Any, list[BaseMessage]]:
        """The student, with the tools if there are any, and what it is asked. Raises Refusal."""
        student = self.student(asked.model)
        messages = chat_messages(asked)
        await self._check_length(student, [str(message.content) for message in messages], asked)
        for where, schema in asked.schemas.items():
            await self.rehearsal.check(asked.model, schema, where=where)
        if not asked.tools:
            return student, messages
        try:
            return student.bind_tools(**asked.tool_options), messages
        except NotImplementedError:
            raise Refusal(400, "tools: this student takes no tools", param="tools") from None

    async def _check_length(
        self, student: ChatStudent, texts: list[str], asked: ChatRequest
    ) -> None:
        """Raise Refusal where what is to be read is clearly longer than a prompt may be.

        The student's own check is exact, but reads everything first, and everybody waits for it.
        """
        most = min(self.limits.prompt_tokens, student.engine.context)
        texts.extend(tool.model_dump_json() for tool in asked.tools or ())
        if sum(len(text.encode("utf-8", "replace")) for text in texts) <= most:
            return  # no token is shorter than a byte
        async with self._counting:
            long = await asyncio.to_thread(_longer, student.engine.tokenizer, texts, most)
        if long:
            raise Refusal(
                400,
                f"the messages have more than the {most} tokens that can be read; shorten them",
                code="context_length_exceeded",
                param="messages",
            )

    @contextlib.contextmanager
    def _seats(self, rows: int) -> Iterator[None]:
        if self._rows + rows > self.limits.rows:
            raise Refusal(429, "too many requests wait; ask again", code="queue_full")
        self._rows += rows
        try:
            yield
        finally:
            self._rows -= rows

    def _taken(self) -> int:
        return self._rows

    def _heading(self, asked: ChatRequest) -> Heading:
        return Heading(asked.model, self.student(asked.model).sha256)


async def attended(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client goes away. Raises Refusal then."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_until_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refusal(499, "the client went away")
    finally:
        await _ended(task, gone)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _all(calls: list[Any]) -> list[AIMessage]:
    """The answers; where one fails the others are ended."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await _ended(*tasks)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _nth(asked: ChatRequest, number: int) -> dict[str, Any]:
    """The options of the nth choice: a seed that is given makes each another, and repeatable."""
    options = asked.options
    if number and "seed" in options:
        options["seed"] += number
    return options


def _longer(tokenizer: Any, texts: list[str], most: int) -> bool:
    """Whether the texts have more than `most` tokens; no more of them is read than tells it."""
    count = 0
    for text in texts:
        for start in range(0, len(text), _PART):
            part = text[start : start + _PART]
            count += len(tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"])
            count -= _SEAM  # cut in two, a word may have more tokens than it has
            if count > most:
                return True
    return False


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What a student raises, as what the client is told. A fault of ours is logged, not told."""
    from ...chains.student.card import StudentError

    try:
        yield
    except Refusal:
        raise
    except TimeoutError:  # a student's own timeout is one too
        raise Refusal(504, "this took too long; ask for less", code="timeout") from None
    except StudentError as error:
        raise Refusal(400, str(error)) from None
    except Exception:
        logger.exception("serve: an answer failed")
        raise Refusal(500, "the student failed; the server's log says why") from None
