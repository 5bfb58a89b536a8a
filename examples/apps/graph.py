"""A LangGraph node that asks with `with_structured_output`, and an edge that reads the answer.

Command: python -m understudy.examples.apps.graph runs/news
"""

from __future__ import annotations

import sys
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel

from understudy.chains.offline import NewsTeacher
from understudy.examples.apps import Swapped, as_it_was
from understudy.examples.apps.parser import NEWS
from understudy.examples.news.task import Noticia, task


class State(TypedDict, total=False):
    """What goes through the graph: the three sentences, their reading, the alert."""

    f1: str
    f2: str
    f3: str
    noticia: Noticia
    alerta: str


def build(llm: BaseChatModel, swapped: Swapped = as_it_was) -> Any:
    """The compiled graph: it reads the news and writes an alert where one of them is bad."""
    from langgraph.graph import END, START, StateGraph

    reader = swapped(task.prompt | llm.with_structured_output(Noticia))

    def read(state: State) -> State:
        sentences = {name: str(state[name]) for name in task.inputs}  # type: ignore[literal-required]
        return {"noticia": reader.invoke(sentences)}

    def alert(state: State) -> State:
        noticia = state["noticia"]
        bad = [name for name in task.inputs if getattr(noticia, name).polaridade == "Negativo"]
        return {"alerta": f"Frases negativas: {', '.join(bad)}"}

    def worrying(state: State) -> str:
        noticia = state["noticia"]
        found = (getattr(noticia, name).polaridade for name in task.inputs)
        return "alert" if "Negativo" in found else END

    graph = StateGraph(State)
    graph.add_node("read", read)
    graph.add_node("alert", alert)
    graph.add_edge(START, "read")
    graph.add_conditional_edges("read", worrying, ["alert", END])
    graph.add_edge("alert", END)
    return graph.compile()


def main() -> None:
    """The embedded teacher, or the student in the run folder that is named."""
    llm: BaseChatModel = NewsTeacher()
    if len(sys.argv) > 1:
        from understudy.chains import ChatStudent

        llm = ChatStudent(model=sys.argv[1])
    state = build(llm).invoke(NEWS)
    sys.stdout.write(f"{state['noticia']}\n{state.get('alerta', 'Nada de negativo.')}\n")


if __name__ == "__main__":
    main()
