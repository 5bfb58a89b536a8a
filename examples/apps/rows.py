"""Many rows in one call: numbered sentences in the prompt, a JSON list in the answer.

A student for it learns the task of this file, whose answer is such a list.
Command: python -m understudy.examples.apps.rows runs/rows
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, ConfigDict, Field

from understudy.chains import Task
from understudy.chains.offline import RuleTeacher
from understudy.chains.offline_reading import read_sentence
from understudy.examples.apps import Swapped, as_it_was
from understudy.examples.apps.parser import NEWS
from understudy.examples.news.task import Leitura

_ROW = re.compile(r"^(\d+)\. (.*)$", re.M)


class Row(Leitura):
    """One sentence's number and reading."""

    id: int = Field(ge=1, le=99)


class Rows(BaseModel):
    """The readings of all sentences, in any order."""

    model_config = ConfigDict(extra="forbid")

    rows: list[Row] = Field(max_length=99)


SYSTEM = """\
Você classifica frases de notícias financeiras. Responda somente com JSON, um item por frase:
{{"rows":[{{"polaridade":"Positivo","emocao":"Felicidade","id":1}}, ...]}}
polaridade: Positivo, Negativo ou Neutro. emocao: Felicidade, Tristeza, Raiva, Nojo, Medo, \
Surpresa, Desprezo ou Neutro."""

task = Task(
    name="rows",
    schema=Rows,
    prompt=ChatPromptTemplate.from_messages(
        [("system", SYSTEM), ("human", "sentences:\n{sentences}")]
    ),
)


class RowsTeacher(RuleTeacher):
    """The embedded teacher's rules, sentence by sentence."""

    fields = ("sentences",)
    rules = "rows-1"
    model: str = "offline-rows"

    def answer(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        """A reading for every numbered line."""
        rows = []
        for number, sentence in _ROW.findall(inputs["sentences"]):
            reading = read_sentence(sentence)
            labels = {"polaridade": reading.polarity, "emocao": reading.emotion}
            rows.append({**labels, "id": int(number)})
        return {"rows": rows}


def build(
    llm: BaseChatModel, swapped: Swapped = as_it_was
) -> Runnable[Sequence[str], list[Leitura | None]]:
    """The app over a chat model: sentences in, a reading for each, None where one is missing."""

    def numbered(sentences: Sequence[str]) -> dict[str, Any]:
        lines = (f"{number}. {text}" for number, text in enumerate(sentences, start=1))
        return {"sentences": "\n".join(lines)}

    ask = swapped(task.prompt | llm | JsonOutputParser())

    def read(sentences: Sequence[str]) -> list[Leitura | None]:
        rows = [Row.model_validate(row) for row in ask.invoke(numbered(sentences))["rows"]]
        found = {row.id: row for row in rows}
        return [found.get(number) for number in range(1, len(sentences) + 1)]

    return RunnableLambda(read)


def main() -> None:
    """The embedded teacher, or the student in the run folder that is named."""
    llm: BaseChatModel = RowsTeacher()
    if len(sys.argv) > 1:
        from understudy.chains import ChatStudent

        llm = ChatStudent(model=sys.argv[1])
    sentences = list(NEWS.values())
    for sentence, reading in zip(sentences, build(llm).invoke(sentences), strict=True):
        sys.stdout.write(f"{sentence} {reading}\n")


if __name__ == "__main__":
    main()
