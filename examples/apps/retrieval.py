"""Retrieval: `retriever | prompt | llm.with_structured_output`, where a student learns the last.

It reads the news beside others like it, as they are rendered into the prompt.
Command: python -m understudy.examples.apps.retrieval runs/reading
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from understudy.chains.offline import NewsTeacher
from understudy.examples.apps import Swapped, as_it_was
from understudy.examples.apps.parser import NEWS
from understudy.examples.news.task import Noticia

ARCHIVE = (
    "Investidores comemoraram o dividendo extraordinário do banco.",
    "O conselho adiou a entrega da obra do porto.",
    "Comerciantes temem nova alta dos juros no semestre.",
    "A seguradora divulgou a agenda da assembleia.",
    "Moradores protestaram contra o reajuste da energia.",
)

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Classifique a polaridade e a emoção de cada frase.\nParecidas:\n{parecidas}"),
        ("human", "f1: {f1}\nf2: {f2}\nf3: {f3}"),
    ]
)


class Archive(BaseRetriever):
    """Sentences that share most words with the question, at most `k`."""

    sentences: Sequence[str] = ARCHIVE
    k: int = 2

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        asked = _words(query)
        ranked = sorted(self.sentences, key=lambda text: -len(asked & _words(text)))
        return [Document(text) for text in ranked[: self.k]]


def build(llm: BaseChatModel, swapped: Swapped = as_it_was) -> Runnable[dict[str, str], Noticia]:
    """The app over a chat model: three sentences in, a Noticia out."""

    def question(news: dict[str, str]) -> str:
        return " ".join(news.values())

    def listed(found: list[Document]) -> str:
        return "\n".join(f"- {document.page_content}" for document in found)

    similar = RunnableLambda(question) | Archive() | RunnableLambda(listed)
    structured = llm.with_structured_output(Noticia)
    return RunnablePassthrough.assign(parecidas=similar) | PROMPT | swapped(structured)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def main() -> None:
    """The embedded teacher, or the student in the run folder that is named."""
    llm: BaseChatModel = NewsTeacher()
    if len(sys.argv) > 1:
        from understudy.chains import ChatStudent

        llm = ChatStudent(model=sys.argv[1])
    sys.stdout.write(build(llm).invoke(NEWS).model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main()
