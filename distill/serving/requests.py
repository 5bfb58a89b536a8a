"""What a client may ask: OpenAI's chat completion request, read strictly, as LangChain's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .limits import Limits, Refusal

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_NAME = r"^[a-zA-Z0-9_-]{1,64}$"


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TextPart(_Said):
    """A part of a message; a student reads text alone."""

    type: Literal["text"]
    text: str


class CalledFunction(_Said):
    """Which function, with which arguments, as JSON text."""

    name: str
    arguments: str = "{}"


class ToolCall(_Said):
    """A tool call that an assistant made earlier."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(_Said):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(_Said):
    """A function that may be called: its parameters are a JSON schema."""

    name: str = Field(pattern=_NAME)
    description: str = ""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}


class Tool(_Said):
    """A tool on offer."""

    type: Literal["function"]
    function: Function


class NamedFunction(_Said):
    """A function by name."""

    name: str


class NamedTool(_Said):
    """The tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class NamedSchema(_Said):
    """A JSON schema and what it is called. It is enforced, whether `strict` or not."""

    name: str = Field(default="answer", pattern=_NAME)
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(_Said):
    """What the answer has to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("type json_schema goes with a json_schema, the others do not")
        return self


class StreamOptions(_Said):
    """What a stream holds beside its chunks."""

    include_usage: bool = False


Ignored = Annotated[Any, Field(description="accepted, and without effect")]


class ChatRequest(BaseModel):
    """The body of /v1/chat/completions. A field that is not here is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    max_tokens: int | None = Field(default=None, gt=0)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    stop: (
        Annotated[str, Field(max_length=256)]
        | Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=16)]
        | None
    ) = None
    n: int = Field(default=1, ge=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: bool = False
    # What a student does not do is refused unless it is asked for what it does anyway.
    top_logprobs: int | None = None
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    # What is about the hosted service, or about how long a model thinks.
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
    prediction: Ignored = None
    reasoning_effort: Ignored = None
    verbosity: Ignored = None

    @property
    def schemas(self) -> dict[str, dict[str, Any]]:
        """Every JSON schema in it, by the name of the parameter that holds it."""
        found = {}
        if self.response_format is not None and self.response_format.json_schema is not None:
            found["response_format"] = self.response_format.json_schema.schema_
        for place, tool in enumerate(self.tools or ()):
            found[f"tools.{place}"] = tool.function.parameters
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of a ChatStudent's call, tools apart; what was not asked for is not in."""
        asked: dict[str, Any] = {
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop,
            "logprobs": self.logprobs or None,
        }
        if self.response_format is not None and self.response_format.type != "text":
            asked["response_format"] = self.response_format.model_dump(
                by_alias=True, exclude_none=True
            )
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def tool_options(self) -> dict[str, Any]:
        """The arguments of bind_tools."""
        choice = self.tool_choice
        asked = {
            "tools": [tool.model_dump() for tool in self.tools or ()],
            "tool_choice": choice.model_dump() if isinstance(choice, NamedTool) else choice,
            "parallel_tool_calls": self.parallel_tool_calls,
        }
        return {name: value for name, value in asked.items() if value is not None}


def read_request(body: bytes, limits: Limits) -> ChatRequest:
    """The request in a body. Raises Refusal, which names the field."""
    try:
        asked = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(step)[:40] for step in first["loc"]) or "body"
        raise Refusal(400, f"{where}: {first['msg'][:300]}", param=where) from None
    for name, count, most in (
        ("messages", len(asked.messages), limits.messages),
        ("tools", len(asked.tools or ()), limits.tools),
        ("n", asked.n, limits.choices),
    ):
        if count > most:
            raise Refusal(400, f"{name}: at most {most}, not {count}", param=name)
    if asked.top_p not in (None, 1.0) and asked.temperature not in (None, 0.0):
        raise Refusal(400, "top_p: a student samples from all tokens; leave it out", param="top_p")
    if asked.top_logprobs:
        told = "top_logprobs: a student tells the log probability of what it wrote alone; leave it"
        raise Refusal(400, f"{told} out, or give 0", param="top_logprobs")
    if asked.stream and asked.n > 1:
        raise Refusal(400, "n: a stream has one choice; ask several times", param="n")
    if asked.tool_choice not in (None, "none", "auto") and not asked.tools:
        raise Refusal(400, "tool_choice: there are no tools to choose from", param="tool_choice")
    return asked


def chat_messages(asked: ChatRequest) -> list[BaseMessage]:
    """The conversation in LangChain's words. Raises Refusal."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    found: list[BaseMessage] = []
    for place, message in enumerate(asked.messages):
        text = _text(message)
        if message.role in ("system", "developer"):
            found.append(SystemMessage(text))
        elif message.role == "user":
            found.append(HumanMessage(text))
        elif message.role == "assistant":
            found.append(AIMessage(text, tool_calls=_calls(message, place)))
        else:
            found.append(ToolMessage(text, tool_call_id=message.tool_call_id or ""))
    return found


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, list):
        return "".join(part.text for part in message.content)
    return message.content or ""


def _calls(message: ChatMessage, place: int) -> list[Any]:
    calls = []
    for call in message.tool_calls or ():
        try:
            arguments = json.loads(call.function.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            where = f"messages.{place}.tool_calls"
            raise Refusal(400, f"{where}: the arguments are no JSON object", param=where)
        calls.append({"name": call.function.name, "args": arguments, "id": call.id})
    return calls
