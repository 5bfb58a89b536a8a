"""Recording by a callback handler: each answer once, whatever way the chain is called."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel

from understudy.chains.task import Task, TaskError
from understudy.distill.standin.callback import RecordingHandler, recording
from understudy.store import Store


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


class Model(BaseChatModel):
    """Answers calm, or angry to what has a "!" in it; breaks at "break", mumbles at "mumble"."""

    model_name: str = "wise-1"

    @property
    def _llm_type(self) -> str:
        return "test"

    def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        text = messages[-1].content
        if "break" in text:
            raise ConnectionError("no route")
        mood = "angry" if "!" in text else "calm"
        said = "hm" if "mumble" in text else f'{{"mood": "{mood}"}}'
        usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
        reply = AIMessage(said, usage_metadata=usage, response_metadata={"model_name": "wise-1-x"})
        return ChatResult(generations=[ChatGeneration(message=reply)])


PROMPT = ChatPromptTemplate.from_messages([("human", "How does this feel? {text}")])
CHAIN = PROMPT | Model() | PydanticOutputParser(pydantic_object=Mood)


@pytest.fixture
def handler(tmp_path: Path):
    made = recording(CHAIN, store=tmp_path / "app.db")
    yield made
    made.recorder.close()


def kept(handler: RecordingHandler, path: Path) -> list[tuple[str, str | None]]:
    """Per recorded row its text, and its mood or its error."""
    assert handler.recorder.flush()
    assert handler._open == {}
    with Store(path / "app.db") as store:
        pairs = store.pairs(handler.recorder.teacher_run.id)
        return [(e.inputs["text"], r.answer["mood"] if r.answer else r.error) for e, r in pairs]


def test_every_way_of_calling_is_recorded_once(handler, tmp_path):
    config: Any = {"callbacks": [handler]}
    assert CHAIN.invoke({"text": "1"}, config) == Mood(mood="calm")
    assert asyncio.run(CHAIN.ainvoke({"text": "2!"}, config)) == Mood(mood="angry")
    assert list(CHAIN.stream({"text": "3"}, config)) == [Mood(mood="calm")]

    async def streamed() -> list[Any]:
        return [part async for part in CHAIN.astream({"text": "4"}, config)]

    assert asyncio.run(streamed()) == [Mood(mood="calm")]
    CHAIN.batch([{"text": "5"}, {"text": "6!"}], config)
    asyncio.run(CHAIN.abatch([{"text": "7"}, {"text": "8"}], config))
    found = kept(handler, tmp_path)
    assert sorted(found) == [
        *(("1", "calm"), ("2!", "angry"), ("3", "calm"), ("4", "calm")),
        *(("5", "calm"), ("6!", "angry"), ("7", "calm"), ("8", "calm")),
    ]
    assert handler.recorder.counts.written == 8


def test_tokens_text_and_the_models_own_name_are_kept(handler, tmp_path):
    CHAIN.invoke({"text": "x"}, {"callbacks": [handler]})
    handler.recorder.flush()
    with Store(tmp_path / "app.db") as store:
        (record,) = store.records(handler.recorder.teacher_run.id)
    assert (record.input_tokens, record.output_tokens) == (5, 2)
    assert (record.raw, record.model) == ('{"mood": "calm"}', "wise-1-x")
    assert 0 < record.seconds < 5


def test_a_chain_inside_an_app_of_other_types_is_found(handler, tmp_path):
    config: Any = {"callbacks": [handler]}
    asks: Any = RunnableLambda(lambda text: {"text": text})
    app = asks | CHAIN | RunnableLambda(lambda m: m.mood)
    assert app.invoke("meio!", config) == "angry"

    def twice(state: dict[str, Any], config: Any) -> dict[str, Any]:
        return {"moods": [CHAIN.invoke({"text": t}, config).mood for t in state["texts"]]}

    RunnableLambda(twice).invoke({"texts": ["um", "dois!"]}, config)

    @tool
    def mood_of(words: str, config: Any = None) -> str:
        """The mood."""
        return str(CHAIN.invoke({"text": words}).mood)

    mood_of.invoke({"words": "ferramenta"}, config)
    assert kept(handler, tmp_path) == [
        ("meio!", "angry"),
        ("um", "calm"),
        ("dois!", "angry"),
        ("ferramenta", "calm"),
    ]


def test_parts_called_one_after_the_other_in_one_step_are_each_a_question(handler, tmp_path):
    def by_hand(texts: list[str], config: Any) -> list[str]:
        parser = PydanticOutputParser(pydantic_object=Mood)
        return [
            parser.invoke(Model().invoke(PROMPT.invoke({"text": t}, config), config), config).mood
            for t in texts
        ]

    RunnableLambda(by_hand).invoke(["a", "b!"], {"callbacks": [handler]})
    assert kept(handler, tmp_path) == [("a", "calm"), ("b!", "angry")]
    with Store(tmp_path / "app.db") as store:
        records = store.records(handler.recorder.teacher_run.id)
    assert [record.input_tokens for record in records] == [5, 5]


def test_failures_are_recorded_and_raised_as_before(handler, tmp_path):
    config: Any = {"callbacks": [handler]}
    with pytest.raises(ConnectionError, match="no route"):
        CHAIN.invoke({"text": "break"}, config)
    with pytest.raises(Exception, match="Invalid json"):
        CHAIN.invoke({"text": "mumble"}, config)
    with pytest.raises(ConnectionError):
        list(CHAIN.stream({"text": "break too"}, config))
    found = dict(kept(handler, tmp_path))
    assert found["break"] == found["break too"] == "ConnectionError: no route"
    assert "Invalid json" in str(found["mumble"])


def test_with_retries_the_answer_takes_the_failures_place(handler, tmp_path):
    asked = []

    def unsteady(message: AIMessage) -> AIMessage:
        asked.append(message)
        if len(asked) == 1:
            raise ConnectionError("again")
        return message

    parser = PydanticOutputParser(pydantic_object=Mood)
    chain = (PROMPT | Model() | RunnableLambda(unsteady) | parser).with_retry(
        wait_exponential_jitter=False
    )
    chain.invoke({"text": "x"}, {"callbacks": [handler]})
    assert kept(handler, tmp_path) == [("x", "calm")]


def test_concurrent_runs_are_kept_apart(handler, tmp_path):
    async def many() -> None:
        config: Any = {"callbacks": [handler]}
        texts = [f"{number}{'!' if number % 3 else ''}" for number in range(60)]
        await asyncio.gather(*(CHAIN.ainvoke({"text": text}, config) for text in texts))

    asyncio.run(many())
    found = kept(handler, tmp_path)
    assert len(found) == 60
    assert all((mood == "angry") == text.endswith("!") for text, mood in found)


def test_a_stream_that_nobody_reads_to_its_end_leaves_nothing_open_for_ever(handler):
    stream = CHAIN.stream({"text": "x"}, {"callbacks": [handler]})
    next(stream)
    del stream
    gc.collect()
    assert handler._open == {}


def test_a_graph_that_pauses_has_not_failed(handler, tmp_path):
    class GraphBubbleUp(Exception):
        pass

    def pausing(_: Any) -> None:
        raise GraphBubbleUp

    with pytest.raises(GraphBubbleUp):
        (PROMPT | RunnableLambda(pausing)).invoke({"text": "x"}, {"callbacks": [handler]})
    assert kept(handler, tmp_path) == []


def test_a_task_takes_the_chains_place_where_the_teacher_is_named(tmp_path):
    task = Task(name="moods", schema=Mood, prompt=PROMPT)
    with pytest.raises(TaskError, match="give teacher="):
        recording(task, store=tmp_path / "app.db")
    handler = recording(task, store=tmp_path / "app.db", teacher="wise-1", name="feelings")
    CHAIN.invoke({"text": "oi!"}, {"callbacks": [handler]})
    assert kept(handler, tmp_path) == [("oi!", "angry")]
    assert (handler.recorder.name, handler.recorder.teacher_run.model) == ("feelings", "wise-1")
    handler.recorder.close()
