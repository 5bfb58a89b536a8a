"""An agent as a teacher: it may use tools before it answers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel

from .replies import native_reasoning, without_thinking
from .task import Task, TaskError, Thought


def agent(
    task: Task,
    model: BaseChatModel,
    *,
    tools: Sequence[BaseTool | Callable[..., Any]],
    max_calls: int = 8,
) -> Runnable[dict[str, Any], Thought]:
    """LangChain's `create_agent` with your tools, held to the task's schema at its end.

    At most `max_calls` calls of the model per row. `details["tool_calls"]` keeps every call of a
    tool in order: name, args, result. Needs the package langchain.

    Raises TaskError where that is missing, where a tool raises, or where the model takes no tools;
    OutputParserException where there is no answer after `max_calls` calls or it does not fit.
    """
    if importlib.util.find_spec("langchain") is None:
        raise TaskError('the strategy agent needs: pip install "understudy[teachers]"')
    if not tools or max_calls < 1:
        raise TaskError("the strategy agent needs tools=[...] and max_calls of 1 or more")
    formed = [one if isinstance(one, BaseTool) else tool(one) for one in tools]
    names = {one.name for one in formed}

    def start(said: PromptValue) -> dict[str, Any]:
        return {"messages": said.to_messages()}

    def end(state: dict[str, Any]) -> Thought:
        return _thought(task, state, names, max_calls)

    work = _work(task, model, formed, max_calls)
    chain = task.prompt | RunnableLambda(start) | work | RunnableLambda(end, name="thought")
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def _work(
    task: Task, model: BaseChatModel, tools: Sequence[BaseTool], max_calls: int
) -> Runnable[Any, Any]:
    """LangChain's graph, its limit on steps given with each call: one that is bound gets lost."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelCallLimitMiddleware

    graph: Runnable[Any, Any] = create_agent(
        model,
        tools,
        response_format=task.schema,
        middleware=[
            ModelCallLimitMiddleware(run_limit=max_calls, exit_behavior="end"),
            _naming_the_tool(),
        ],
    )
    steps = 8 * max_calls + 16  # more steps of the graph than so many calls can take

    def run(said: dict[str, Any], config: RunnableConfig) -> Any:
        return graph.invoke(said, {**config, "recursion_limit": steps})

    async def arun(said: dict[str, Any], config: RunnableConfig) -> Any:
        return await graph.ainvoke(said, {**config, "recursion_limit": steps})

    return RunnableLambda(run, afunc=arun, name="work")


def _naming_the_tool() -> Any:
    """Middleware that turns what goes wrong inside an agent into one clear line."""
    from langchain.agents.middleware import AgentMiddleware

    class NamingTheTool(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            with _clearly(request):
                return handler(request)

        async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            with _clearly(request):
                return await handler(request)

        def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            with _clearly(request):
                return handler(request)

        async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            with _clearly(request):
                return await handler(request)

    return NamingTheTool()


@contextmanager
def _clearly(request: Any) -> Iterator[None]:
    call = getattr(request, "tool_call", None)
    try:
        yield
    except Exception as error:
        if call is not None:
            what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise TaskError(f"the tool {call['name']} raised {what}; mend the tool") from error
        if isinstance(error, NotImplementedError):
            kind = type(request.model).__name__
            what = f"{kind} takes no tools, which the strategy agent needs; take another model"
            raise TaskError(what) from error
        raise


def _thought(task: Task, state: Mapping[str, Any], tools: set[str], max_calls: int) -> Thought:
    messages: list[BaseMessage] = state["messages"]
    answer = state.get("structured_response")
    text = str(messages[-1].text) if messages else ""
    if not isinstance(answer, BaseModel):
        calls = sum(isinstance(message, AIMessage) for message in messages)
        why = f" in {max_calls} calls" if calls > max_calls else ""
        raise OutputParserException(f"the agent gave no answer{why}", llm_output=text)
    data = answer.model_dump(mode="json")
    native = [native_reasoning(m)[1] for m in messages if isinstance(m, AIMessage)]
    if task.reasoning and isinstance(data.get(task.reasoning), str):
        data[task.reasoning], inside = without_thinking(data[task.reasoning])
        native.append(inside)
    try:
        thought = task.thought(data)
    except TaskError as mismatch:
        raise OutputParserException(str(mismatch), llm_output=text) from mismatch
    details: dict[str, Any] = {"tool_calls": _tool_calls(messages, tools)}
    if any(native):
        details["native_reasoning"] = "\n".join(filter(None, native))
    return replace(thought, details=details)


def _tool_calls(messages: Sequence[BaseMessage], tools: set[str]) -> list[dict[str, Any]]:
    """Calls of the user's own tools; the call that carries the answer is none of them."""
    results = {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
    return [
        {"name": call["name"], "args": call["args"]}
        | ({"result": str(results[call["id"]].text)} if call["id"] in results else {})
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
        if call["name"] in tools
    ]
