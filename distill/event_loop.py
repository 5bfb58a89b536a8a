"""How a coroutine is run to its end: in a thread's own event loop, also inside of a notebook's."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import os
import threading
from collections.abc import Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

_IN_A_ROW = contextvars.ContextVar("in_a_row", default=False)


class EndsTheProgram(Exception):
    """Somebody's chain ended the program (sys.exit) while it answered a row."""


@contextlib.contextmanager
def exits_are_errors() -> Iterator[None]:
    """In the block a SystemExit is EndsTheProgram, an error as any other.

    Also where a task raises it that the block has started: an event loop that `run_coroutine` made
    would else stop at once, and leave the other rows' tasks for the next run to stumble over.
    """
    token = _IN_A_ROW.set(True)
    try:
        yield
    except SystemExit as end:
        raise _error_of(end) from end
    finally:
        _IN_A_ROW.reset(token)


def _error_of(end: SystemExit) -> EndsTheProgram:
    return EndsTheProgram(f"it ends the program (exit {end.code})")


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, also where an event loop is already running (a notebook).

    A thread's runs share one event loop: what integrations keep from one run to the next (a pool of
    connections) breaks in another loop only after a request has been sent, and paid for.
    """
    running = True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        running = False  # no more: what is raised below would else carry this error along
    return _run_in_a_thread(coroutine) if running else _run_here(coroutine)


def _run_here(coroutine: Coroutine[Any, Any, Any]) -> Any:
    runner = _KEPT.runners.get(os.getpid())  # a forked process must not use its parent's loop
    if runner is None:
        runner = _KEPT.runners[os.getpid()] = asyncio.Runner()
        runner.get_loop().set_task_factory(_new_task)
        atexit.register(runner.close)
    try:
        return runner.run(coroutine, context=contextvars.copy_context())
    finally:
        runner.run(_cancel_the_rest())


def _new_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: contextvars.Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """A task as any other, but for one of a row: its exits are errors."""
    in_a_row = _IN_A_ROW.get() if context is None else context.get(_IN_A_ROW, False)
    asked: Any = _without_exit(coroutine) if in_a_row else coroutine
    return asyncio.Task(asked, loop=loop, context=context, **options)


async def _without_exit(coroutine: Any) -> Any:
    try:
        return await coroutine
    except SystemExit as end:
        raise _error_of(end) from end


async def _cancel_the_rest() -> None:
    """Tasks that a run has left behind, e.g. at a second Ctrl-C."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _run_in_a_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """In a loop of its own; an interrupt here (a notebook's stop button) cancels it there."""
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def cancellable() -> Any:
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    result = _KEPT.aside.submit(_run_here, cancellable())
    try:
        return result.result()
    except KeyboardInterrupt:
        loop, task = running.result()
        loop.call_soon_threadsafe(task.cancel)
        wait([result])
        raise


class _Kept(threading.local):
    """What a thread keeps: its event loops by process, and a thread for when one is running."""

    def __init__(self) -> None:
        self.runners: dict[int, asyncio.Runner] = {}
        self.aside = ThreadPoolExecutor(max_workers=1)  # which starts no thread before it is used


_KEPT = _Kept()
