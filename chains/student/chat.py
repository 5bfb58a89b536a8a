"""ChatStudent: a run folder, or a bare base, as a LangChain chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import get_config_list

from .asked import Asked
from .card import StudentError, read_card
from .job import Job
from .model import StudentModel
from .options import stop_strings
from .rendering import merged_messages, prefix_of, prompt_ids
from .reply import Reply
from .streaming import afollowed, followed
from .structured import METHODS, TRACED, both, check_options, parser, structured_options
from .tools import callable_tools, openai_tools
from .turns import turn_messages
from .weights import student_folder


class ChatStudent(StudentModel):
    """A student that answers in this process, on the CPU or one GPU, many rows in a batch.

    `model` is a run folder, or a base without an adapter: "embedded", a folder or a hub id. The
    weights are loaded at the first answer and shared by all ChatStudents of this process that name
    them. `temperature` 0 is greedy; `seed` makes other temperatures repeatable. Without
    `max_tokens` an answer may take what its schema suggests and the context leaves. `timeout` is in
    seconds. `reasoning` is what a student of labels puts where a schema requires a reasoning. With
    `base_url` (and `api_key`) any OpenAI-compatible server that holds answers to a JSON schema
    answers in the place of this process, asked for the model's name or for NAME where `base_url`
    ends in #NAME; of servers, `understudy serve` alone tells confidences. `model` is still the run
    folder where one is at hand: from it the task chain knows which words and schema were learnt.

    A student of one task is always held to the schema it learnt, and any model to a response format
    or to the tools it may call. With `confidence` the probability of each label is in
    `response_metadata["confidence"]`. Raises StudentError.
    """

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
        job = await self._ajob(messages, stop, kwargs)
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
        job = await self._ajob(messages, stop, kwargs)
        async for part in afollowed(job.submit):
            for chunk in job.chunks(part):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _job(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> Job:
        model = self._called(options.get("model"))
        asked = model._asked({key: value for key, value in options.items() if value is not None})
        stops = stop_strings(stop if stop is not None else model.stop)
        engine = model._remote or model.engine
        prompt = model._prompt(messages, asked)

        def option(name: str) -> Any:
            given = options.get(name)
            return getattr(model, name) if given is None else given

        arguments = {
            name: option(name) for name in ("max_tokens", "temperature", "seed", "timeout")
        }
        if asked.grammar is None:
            arguments["stop"] = stops
        reply = Reply(asked, stops)
        return Job(model.model_name, model.confidence, asked, reply, engine, prompt, arguments)

    async def _ajob(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> Job:
        """The loop goes on while weights load and schemas compile; else a thread takes longer."""
        if self._called(options.get("model")).loaded:
            job = self._job(messages, stop, options)
        else:
            job = await asyncio.to_thread(self._job, messages, stop, options)
        if not job.ready:
            await asyncio.to_thread(job.prepare)
        return job

    def _prompt(self, messages: Sequence[BaseMessage], asked: Asked) -> list[Any]:
        """Token ids, or for a server the messages that its template gets."""
        if not messages:
            raise StudentError("there is no message to answer; give at least one")
        if (self._turns and not asked.own) or asked.tools:
            messages = turn_messages(self.card, messages, asked.tools)
        prefix = prefix_of(self.card.target) if self.card is not None else ""
        if self.base_url is not None:
            return merged_messages(messages, prefix=prefix)
        return prompt_ids(self.engine.tokenizer, messages, prefix=prefix)

    def get_token_ids(self, text: str) -> list[int]:
        """The text's token ids; LangChain would count with a tokenizer from the hub."""
        return list(self.engine.tokenizer(text, add_special_tokens=False)["input_ids"])

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of the prompt that these messages, and these tools, are for the model."""
        _ = self.engine  # a server's tokens cannot be counted here
        asked = self._asked({"tools": openai_tools(tools)} if tools else {})
        return len(self._prompt(messages, asked))

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
        if told:
            kwargs["tools"] = told
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self._bound(kwargs)

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
        options = structured_options(schema, method=method, strict=strict)
        if reasoning is not None:
            options["reasoning"] = reasoning
        model = self._bound(options)
        parse = parser(schema)
        return model | RunnableLambda(both(parse) if include_raw else parse, name="parse")

    def _bound(self, options: dict[str, Any]) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with options that have been checked, as far as they can be before a call."""
        plain = {key: value for key, value in options.items() if key != TRACED}
        if self.base_url is None:  # a server holds its answers by a grammar of its own
            check_options(plain)
        self._asked(plain)
        return self.bind(**options)


def load_student(folder: str | Path, **options: Any) -> ChatStudent:
    """The trained student in a run folder or a hub repository (user/name), its weights loaded.

    Raises StudentError. `options` are ChatStudent's fields.
    """
    read_card(student_folder(str(folder)) or Path(folder).expanduser())
    student = ChatStudent(model=str(folder), **options)
    _ = student.engine
    return student
