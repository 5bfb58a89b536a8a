"""ChatStudent: a run folder, or a bare base, as a LangChain chat model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import get_config_list
from pydantic import AliasChoices, ConfigDict, Field

from .asked import UNHELD, Asked, asked_of
from .card import StudentCard, StudentError, read_card
from .engine import Engine
from .engines import another, close_engine, context_of, shared_engine, template_sha256
from .job import Job
from .rendering import prefix_of, prompt_ids
from .reply import Reply
from .streaming import afollowed, followed
from .structured import METHODS, both, check_enforceable, parser
from .tools import callable_tools, openai_tools, parameters, tool_name, whole_schema
from .turns import learnt_turns, turn_messages
from .weights import student_folder, weights_sha256

_MOST_KEPT = 64  # kinds of calls that a model remembers


class ChatStudent(BaseChatModel):
    """A student that answers in this process, on the CPU or one GPU, many rows in a batch.

    `model` is a run folder, or a base without an adapter: "embedded", a folder or a hub id. The
    weights are loaded at the first answer and shared by all ChatStudents of this process that name
    them. `temperature` 0 is greedy; `seed` makes other temperatures repeatable. Without
    `max_tokens` an answer may take what its schema suggests and the context leaves. `timeout` is in
    seconds. `reasoning` is what a student of labels puts where a schema requires a reasoning.

    A student of one task is always held to the schema it learnt, and any model to a response format
    or to the tools it may call. With `confidence` the probability of each label is in
    `response_metadata["confidence"]`. Raises StudentError.
    """

    model_config = ConfigDict(populate_by_name=True)

    model: str = Field(validation_alias=AliasChoices("model", "model_name"))
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)
    stop: list[str] | None = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    seed: int | None = None
    timeout: float | None = Field(default=None, gt=0)
    reasoning: str | None = None
    confidence: bool = True
    max_batch_size: int = Field(default=64, gt=0)

    @cached_property
    def card(self) -> StudentCard | None:
        """What the run folder says about the student; None for a bare base."""
        folder = student_folder(self.model)
        return None if folder is None else read_card(folder)

    @property
    def model_name(self) -> str:
        """What the student calls itself; a bare base is called as it was asked for."""
        return self.card.name if self.card is not None else self.model

    @cached_property
    def sha256(self) -> str:
        """What identifies the weights, base and adapter together."""
        return weights_sha256(self.model)

    @cached_property
    def _template_sha256(self) -> str:
        return template_sha256(self.model)

    @cached_property
    def _turns(self) -> bool:
        return learnt_turns(self.card)

    @property
    def engine(self) -> Engine:
        """The loaded weights; loads them if nobody in this process has."""
        return shared_engine(self.model, self.sha256, max_batch=self.max_batch_size)

    def close(self) -> None:
        """Free the weights, for every ChatStudent that shares them; the next answer reloads."""
        close_engine(self.model, self.sha256)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """False: nothing stored is ever loaded back through LangChain."""
        return False

    @property
    def _llm_type(self) -> str:
        return "understudy-student"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What an answer depends on: the key of LangChain's caches."""
        return {
            "model": self.model_name,
            "sha256": self.sha256,
            "template": self._template_sha256,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop_sequences": self.stop,
            "seed": self.seed,
            "reasoning": self.reasoning,
            "confidence": self.confidence,
        }

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        other = self._called(kwargs.get("model"))
        if other is not self:
            rest = {name: value for name, value in kwargs.items() if name != "model"}
            return other._get_invocation_params(stop, **rest)
        return super()._get_invocation_params(stop, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **kwargs)
        name = str(kwargs.get("model") or self.model_name)
        return LangSmithParams(**{**params, "ls_provider": "understudy", "ls_model_name": name})

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = ModelProfile(
            name=Path(self.model).name,
            open_weights=True,
            text_inputs=True,
            text_outputs=True,
            structured_output=True,
            tool_calling=True,
            tool_choice=True,
            tool_call_streaming=True,
        )
        context = context_of(self.model)
        if context is not None:
            profile["max_input_tokens"] = context
            profile["max_output_tokens"] = min(self.max_tokens or context, context)
        return profile

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        job = self._job(messages, stop, kwargs)
        future = job.submit()
        try:
            return job.result(future.result())
        except BaseException:  # an interrupted caller waits no longer, so the row ends
            future.cancel()
            raise

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        job = self._job(messages, stop, kwargs)
        return job.result(await asyncio.wrap_future(job.submit()))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        job = self._job(messages, stop, kwargs)
        for part in followed(job.submit):
            for chunk in job.chunks(part):
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        job = self._job(messages, stop, kwargs)
        async for part in afollowed(job.submit):
            for chunk in job.chunks(part):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _called(self, name: str | None) -> ChatStudent:
        """This model, or the one of that name that answers in its place."""
        if name is None or name in (self.model, self.model_name):
            return self
        other = self.model_copy(update={"model": another(self.model, name)})
        for remembered in ("card", "sha256", "_template_sha256", "_turns", "_kept"):
            other.__dict__.pop(remembered, None)
        return other

    @cached_property
    def _kept(self) -> dict[str, Asked]:
        return {}

    def _asked(self, options: Mapping[str, Any]) -> Asked:
        """`asked_of` this model; the same for every row of a batch, so it is kept."""
        given = {"reasoning": self.reasoning} if self.reasoning is not None else {}
        asked = {**given, **options}
        held = {name: asked[name] for name in asked if name not in UNHELD}
        try:
            key = json.dumps(held)
        except (TypeError, ValueError):  # tools and formats given as classes
            return asked_of(self.card, asked, turns=self._turns)
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = asked_of(self.card, asked, turns=self._turns)
        return self._kept[key]

    def _job(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> Job:
        model = self._called(options.get("model"))
        asked = model._asked({key: value for key, value in options.items() if value is not None})
        stops = tuple(end for end in (stop if stop is not None else model.stop) or () if end)
        engine = model.engine
        if model._turns or asked.tools:
            messages = turn_messages(model.card, messages, asked.tools)

        def option(name: str) -> Any:
            given = options.get(name)
            return getattr(model, name) if given is None else given

        arguments = {
            name: option(name) for name in ("max_tokens", "temperature", "seed", "timeout")
        }
        if asked.grammar is None:
            arguments["stop"] = stops
        prefix = prefix_of(model.card.target) if model.card is not None else ""
        prompt = prompt_ids(engine.tokenizer, messages, prefix=prefix)
        reply = Reply(asked, stops)
        return Job(model.model_name, model.confidence, asked, reply, engine, prompt, arguments)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Like any chat model's; a list reaches the engine as one unless the caller limits it."""
        configs = self._wide(config, len(inputs))
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def batch_as_completed(  # type: ignore[override]
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, AIMessage | Exception]]:
        """Like any chat model's, and like `batch` in how many rows the engine sees."""
        configs: Any = self._wide(config, len(inputs))
        return super().batch_as_completed(  # type: ignore[call-overload,no-any-return]
            inputs, configs, return_exceptions=return_exceptions, **kwargs
        )

    def _wide(self, config: Any, count: int) -> list[RunnableConfig]:
        """LangChain waits in one thread a row, and its default is a handful of threads."""
        configs = get_config_list(config, count) if count else []
        if configs and configs[0].get("max_concurrency") is None:
            configs[0]["max_concurrency"] = min(count, 4 * self.max_batch_size)
        return configs

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may call; a call's arguments always fit the tool's schema.

        `tool_choice` is "auto" (None), "none", "any" (or "required", True), a tool's name, or a
        dict in OpenAI's form. `parallel_tool_calls` allows several calls in one turn: without it a
        bare base makes one, a student of turns as many as it learnt. `strict` is what always holds.
        Raises StudentError for tools that this student, or the grammar, cannot do.
        """
        told = openai_tools(tools)
        callable_tools(told, tool_choice)
        for tool in told:
            check_enforceable(parameters(tool), f"tool {tool_name(tool)}")
        if told:
            kwargs["tools"] = told
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        self._asked(_without_tracing(kwargs))
        return self.bind(**kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: str = "json_schema",
        strict: bool | None = None,
        reasoning: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers are instances of a pydantic class (v2 or v1), else dicts, and always valid.

        `method` is "json_schema", "function_calling" or "json_mode": the grammar enforces the
        schema in each. `include_raw` gives {"raw", "parsed", "parsing_error"}. A student of one
        task serves the schema it learnt and refuses others; a student of labels puts `reasoning`
        where the schema requires one (see StudentCard.read_as). Raises StudentError, also for what
        no grammar can hold.
        """
        if method not in METHODS or kwargs:
            extra = ", ".join(sorted(kwargs)) or f"method {method}"
            raise StudentError(f"a student does not take {extra}; methods are {', '.join(METHODS)}")
        options: dict[str, Any] = {} if reasoning is None else {"reasoning": reasoning}
        options["ls_structured_output_format"] = {
            "kwargs": {"method": method, "strict": strict},
            "schema": schema,
        }
        if method == "function_calling":
            name = tool_name(openai_tools([schema])[0])
            model = self.bind_tools([schema], tool_choice=name, **options)
        else:
            shape = whole_schema(schema)
            check_enforceable(shape, shape.get("title", "this schema"))
            form = {"name": shape.get("title", "answer"), "schema": shape}
            options["response_format"] = {"type": "json_schema", "json_schema": form}
            self._asked(_without_tracing(options))
            model = self.bind(**options)
        parse = parser(schema)
        return model | RunnableLambda(both(parse) if include_raw else parse, name="parse")


def load_student(folder: str | Path, **options: Any) -> ChatStudent:
    """The trained student in a run folder or a hub repository (user/name), its weights loaded.

    Raises StudentError. `options` are ChatStudent's fields.
    """
    read_card(student_folder(str(folder)) or Path(folder).expanduser())
    student = ChatStudent(model=str(folder), **options)
    _ = student.engine
    return student


def _without_tracing(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "ls_structured_output_format"}
