"""Chat history: a MessagesPlaceholder that a LangGraph checkpointer fills, turn after turn.

A student for it learns whole conversations. Command: python -m understudy.examples.apps.history
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda

from understudy.chains.offline import NewsTeacher
from understudy.examples.apps import Swapped, as_it_was
from understudy.examples.apps.parser import NEWS
from understudy.examples.news.task import Noticia, task

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Você conversa sobre notícias e classifica a última que lhe mostram."),
        MessagesPlaceholder("messages"),
    ]
)


def appended(before: list[AnyMessage], new: list[AnyMessage]) -> list[AnyMessage]:
    """The conversation, longer by what was said."""
    return [*before, *new]


class State(TypedDict, total=False):
    """The conversation so far, and the reading of its last message."""

    messages: Annotated[list[AnyMessage], appended]
    noticia: dict[str, Any]


def build(llm: BaseChatModel, swapped: Swapped = as_it_was) -> Any:
    """The compiled graph: a human message in, the Noticia and the reply out.

    The config says whose conversation it is: {"configurable": {"thread_id": "ana"}}.
    """
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, StateGraph

    reader = swapped(PROMPT | llm.with_structured_output(Noticia))

    def told(noticia: Noticia) -> State:
        words = (f"{name}: {getattr(noticia, name).emocao}" for name in task.inputs)
        return {"messages": [AIMessage("; ".join(words))], "noticia": noticia.model_dump()}

    def read(state: State) -> State:
        return told(reader.invoke({"messages": state["messages"]}))

    async def aread(state: State) -> State:
        return told(await reader.ainvoke({"messages": state["messages"]}))

    graph = StateGraph(State)
    graph.add_node("read", RunnableLambda(read, afunc=aread))
    graph.add_edge(START, "read")
    return graph.compile(checkpointer=InMemorySaver())


def said(news: dict[str, str]) -> dict[str, Any]:
    """The news as somebody writes it into a chat."""
    return {"messages": [HumanMessage("\n".join(f"{name}: {news[name]}" for name in news))]}


def main() -> None:
    """The embedded teacher, or the student in the run folder that is named."""
    llm: BaseChatModel = NewsTeacher()
    if len(sys.argv) > 1:
        from understudy.chains import ChatStudent

        llm = ChatStudent(model=sys.argv[1])
    app = build(llm)
    ana: Any = {"configurable": {"thread_id": "ana"}}
    for news in (NEWS, {**NEWS, "f1": "Bancos fecham na segunda."}):
        sys.stdout.write(f"{app.invoke(said(news), ana)['messages'][-1].text}\n")


if __name__ == "__main__":
    main()
