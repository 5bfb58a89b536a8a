"""An answer while it is written: the parts of its text, then the answer, for threads and loops."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any

from .row import Answer

Submit = Callable[[Callable[[str], None]], Future[Answer]]


def followed(submit: Submit) -> Iterator[str | Answer]:
    """The text part by part, at last the answer. Who stops listening cancels the row."""
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    future = submit(heard.put)
    future.add_done_callback(heard.put)
    try:
        while not isinstance(part := heard.get(), Future):
            yield part
        yield part.result()
    finally:
        future.cancel()


async def afollowed(submit: Submit) -> AsyncIterator[str | Answer]:
    """`followed` for an event loop; no thread waits."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Any] = asyncio.Queue()

    def hear(part: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            loop.call_soon_threadsafe(heard.put_nowait, part)

    future = submit(hear)
    future.add_done_callback(hear)
    try:
        while not isinstance(part := await heard.get(), Future):
            yield part
        yield part.result()
    finally:
        future.cancel()
