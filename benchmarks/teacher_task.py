"""The small task that the teacher server answers, its rows, and the model that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from understudy.chains.task import Task
from understudy.store import Example, Store, example_id

KEY = "sk-local-0123456789abcdef"
MODEL = "gpt-4o-mini"  # its profile knows json_schema
SENTENCE = "The plot kept me awake, the acting did not, and the music is another matter. "


class Sentiment(BaseModel):
    """How the author feels."""

    reasoning: str
    label: Literal["positive", "negative", "neutral"]


task = Task(
    name="sentiment",
    schema=Sentiment,
    reasoning="reasoning",
    prompt=ChatPromptTemplate.from_messages(
        [
            ("system", "Classify the text. Say first, in a sentence or two, what speaks for it."),
            ("human", "{text}"),
        ]
    ),
)


def inputs(rows: int, *, first: int = 0) -> Iterator[dict[str, str]]:
    """The rows; the server finds the number in the text."""
    return ({"text": f"row-{number}: {SENTENCE * 3}"} for number in range(first, first + rows))


def add_rows(store: Store, rows: int, *, first: int = 0) -> None:
    """The rows as examples of the split train."""
    store.add_examples(
        Example(id=example_id(one), task=task.name, split="train", inputs=one)
        for one in inputs(rows, first=first)
    )


def new_store(path: Path, rows: int) -> Store:
    """A store that holds the rows."""
    store = Store(path)
    add_rows(store, rows)
    return store


def row_of(example: Example) -> str:
    """The number in its text, as the server's books name it."""
    return example.inputs["text"].split(":")[0].removeprefix("row-")


def teacher(url: str, *, model: str = MODEL, **options: Any) -> BaseChatModel:
    """LangChain's own client of an OpenAI-compatible server, pointed at `url`."""
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(model=model, base_url=url, api_key=SecretStr(KEY), **options)
