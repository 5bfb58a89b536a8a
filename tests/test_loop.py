"""How the loop is run: models keep their connections from one run to the next."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from benchmarks.teacher_server import Served, serving
from benchmarks.teacher_task import new_store, task
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError, Limits
from understudy.store import Record, Store

ROWS = 8


class Keeping(BaseChatModel):
    """A client that keeps one pool of connections, as those of Mistral, Ollama and Groq do."""

    url: str
    profile: ModelProfile | None = ModelProfile(structured_output=False, tool_calling=False)
    _client: httpx.AsyncClient = PrivateAttr(default_factory=httpx.AsyncClient)

    @property
    def _llm_type(self) -> str:
        return "keeping"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the engine asks asynchronously")

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        said = [{"role": "user", "content": str(message.text)} for message in messages]
        asked = {"model": "keeping", "messages": said}
        answer = await self._client.post(f"{self.url}/chat/completions", json=asked)
        text = answer.json()["choices"][0]["message"]["content"]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def label_twice(model: BaseChatModel, folder: Path) -> list[Record]:
    """The same rows in two runs, the second a repetition."""
    store = new_store(folder / "twice.db", ROWS)
    found = []
    for repeat in (False, True):
        run = label(task, model, store, repeat=repeat, concurrency=4, limits=Limits(retries=0))
        found += store.records(run.id)
    return found


def twice_in_a_notebook(model: BaseChatModel, folder: Path) -> list[Record]:
    async def cells() -> list[Record]:
        return label_twice(model, folder)

    return asyncio.run(cells())


def test_a_run_is_filled_by_one_process_at_a_time(server: Served, tmp_path: Path) -> None:
    server.reset(latency=[0.05, 0.05])
    store = new_store(tmp_path / "one.db", ROWS)
    model = Keeping(url=server.url)
    refused: list[str] = []

    def second(*_: Any) -> None:  # as another process does it, with a connection of its own
        with Store(store.path) as own, pytest.raises(LabellingError) as caught:
            label(task, model, own)
        refused.append(str(caught.value))

    run = label(task, model, store, concurrency=2, progress=second)
    assert len(refused) == ROWS
    assert f"run {run.id} of {store.path} is being labelled by another process" in refused[0]
    assert server.requests() == ROWS
    label(task, model, store)  # the file is given back, and nothing is left of the lock
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.needs_posix
def test_an_interrupt_sends_nothing_for_rows_that_wait_for_their_turn(
    server: Served, tmp_path: Path
) -> None:
    server.reset()
    store = new_store(tmp_path / "paced.db", ROWS)
    at: list[float] = []

    def interrupt(*_: Any) -> None:
        at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        label(
            task,
            Keeping(url=server.url),
            store,
            limits=Limits(requests_per_minute=20),
            progress=interrupt,
        )
    assert time.monotonic() - at[0] < 2  # the second call's turn comes after 3 s
    (run,) = store.runs(task.name)
    assert len(store.records(run.id)) == server.requests() == 1


@pytest.mark.parametrize("way", [label_twice, twice_in_a_notebook])
def test_a_second_run_in_one_process_sends_each_row_once_over_the_same_connections(
    way: Callable[[BaseChatModel, Path], list[Record]], server: Served, tmp_path: Path
) -> None:
    server.reset()
    records = way(Keeping(url=server.url), tmp_path)
    assert [record.error for record in records] == [None] * 2 * ROWS
    assert server.requests() == 2 * ROWS
