"""ChatStudent: a run folder, or a bare base, as a LangChain chat model."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import get_config_list
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field

from .card import StudentCard, StudentError, read_card
from .confidence import confidences
from .engine import Engine
from .rendering import prompt_ids
from .row import Answer
from .schema import label_paths
from .weights import is_student, merged_model, untuned_model, weights_sha256

_ENGINES: dict[tuple[int, str, str], Engine] = {}
_LOCK = threading.RLock()
_OPTIONS = frozenset(("response_format", "temperature", "max_tokens", "seed"))


class ChatStudent(BaseChatModel):
    """A student that answers in this process, on the CPU or one GPU, many rows in a batch.

    `model` is a run folder, or a base without an adapter: "embedded", a folder or a hub id. The
    weights are loaded at the first answer and shared by all ChatStudents of this process that name
    them. `temperature` 0 is greedy; `seed` makes other temperatures repeatable. Without
    `max_tokens` an answer may take what its schema suggests and the context leaves.

    With a response format the answer is always valid JSON of that schema; the probability of each
    label is in `response_metadata["confidence"]`. Raises StudentError.
    """

    model: str
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)
    seed: int | None = None
    max_batch_size: int = Field(default=64, gt=0)

    @cached_property
    def card(self) -> StudentCard | None:
        """What the run folder says about the student; None for a bare base."""
        return read_card(Path(self.model).expanduser()) if is_student(self.model) else None

    @property
    def model_name(self) -> str:
        """What the student calls itself; a bare base is called as it was asked for."""
        return self.card.name if self.card is not None else self.model

    @cached_property
    def sha256(self) -> str:
        """What identifies the weights, base and adapter together."""
        return weights_sha256(self.model)

    @property
    def engine(self) -> Engine:
        """The loaded weights; loads them if nobody in this process has."""
        with _LOCK:
            if self._key not in _ENGINES:
                trained = self.card is not None
                loaded = merged_model(Path(self._key[1])) if trained else untuned_model(self.model)
                _ENGINES[self._key] = Engine(*loaded, max_batch=self.max_batch_size)
            return _ENGINES[self._key]

    def close(self) -> None:
        """Free the weights, for every ChatStudent that shares them; the next answer reloads."""
        with _LOCK:
            engine = _ENGINES.pop(self._key, None)
        if engine is not None:
            engine.close()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """False: nothing stored is ever loaded back through LangChain."""
        return False

    @property
    def _key(self) -> tuple[int, str, str]:
        """The process is part of it: a thread does not survive a fork."""
        folder = Path(self.model).expanduser()
        where = str(folder.resolve()) if folder.is_dir() else self.model
        return (os.getpid(), where, self.sha256)

    @property
    def _llm_type(self) -> str:
        return "understudy-student"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "sha256": self.sha256,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def _resolve_model_profile(self) -> ModelProfile | None:
        return {"structured_output": True, "tool_calling": False, "text_inputs": True}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._result(self._submit(messages, kwargs).result(), stop, kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = await asyncio.wrap_future(self._submit(messages, kwargs))
        return self._result(answer, stop, kwargs)

    def _submit(
        self, messages: Sequence[BaseMessage], options: Mapping[str, Any]
    ) -> Future[Answer]:
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise StudentError(
                f"a student does not take {', '.join(sorted(unknown))}; it knows "
                f"{', '.join(sorted(_OPTIONS))}"
            )
        engine = self.engine
        temperature = options.get("temperature")
        return engine.submit(
            prompt_ids(engine.tokenizer, messages),
            schema=_schema(options),
            max_tokens=options.get("max_tokens") or self.max_tokens,
            temperature=self.temperature if temperature is None else temperature,
            seed=self.seed if options.get("seed") is None else options["seed"],
        )

    def _result(
        self, answer: Answer, stop: Sequence[str] | None, options: Mapping[str, Any]
    ) -> ChatResult:
        schema = _schema(options)
        about: dict[str, Any] = {
            "model_name": self.model_name,
            "model_provider": "understudy",
            "finish_reason": answer.finish,
        }
        text = answer.text
        if schema is None:
            text = min((text.partition(end)[0] for end in stop or ()), key=len, default=text)
        else:
            about["confidence"] = confidences(
                text, answer.pieces, answer.probabilities, label_paths(schema)
            )
        message = AIMessage(
            content=text,
            response_metadata=about,
            usage_metadata={
                "input_tokens": answer.input_tokens,
                "output_tokens": answer.output_tokens,
                "total_tokens": answer.input_tokens + answer.output_tokens,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Like any chat model's; a list reaches the engine as one unless the caller limits it."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        if configs and configs[0].get("max_concurrency") is None:
            # LangChain waits in one thread a row, and its default is a handful of threads.
            configs[0]["max_concurrency"] = min(len(inputs), 4 * self.max_batch_size)
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: str = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers are instances of a pydantic class, or dicts for a JSON schema, and always valid.

        `include_raw` gives {"raw", "parsed", "parsing_error"}. The only method is "json_schema":
        the grammar enforces it. A trained student serves the schema it learnt and refuses others
        (see StudentCard.read_as); a bare base takes any.
        """
        if method != "json_schema" or kwargs.keys() - {"strict"}:
            extra = ", ".join(sorted(kwargs)) or f"method {method}"
            raise StudentError(f"a student does not take {extra}; use method='json_schema'")
        if self.card is None:
            shape = convert_to_json_schema(schema)
        else:
            schema, shape = self.card.read_as(schema), self.card.answer_schema
        named = {"name": shape.get("title", "answer"), "schema": shape}
        model = self.bind(
            response_format={"type": "json_schema", "json_schema": named},
            ls_structured_output_format={"kwargs": {"method": method}, "schema": shape},
        )
        parse = _parser(schema)
        # One step, not LangChain's parallel map: that one opens threads for every row.
        return model | RunnableLambda(_both(parse) if include_raw else parse, name="parse")


def load_student(folder: str | Path, **options: Any) -> ChatStudent:
    """The trained student in a run folder, its weights loaded. Raises StudentError.

    `options` are ChatStudent's fields.
    """
    read_card(Path(folder).expanduser())
    student = ChatStudent(model=str(folder), **options)
    _ = student.engine
    return student


def _schema(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema in an OpenAI-style response format."""
    form = options.get("response_format")
    if form is None or form.get("type") == "text":
        return None
    if form.get("type") == "json_object":
        return {"type": "object"}
    try:
        schema = form["json_schema"]["schema"]
    except (KeyError, TypeError) as error:
        raise StudentError(
            "response_format holds no schema; give {'type': 'json_schema', 'json_schema': "
            "{'name': ..., 'schema': ...}}"
        ) from error
    return dict(schema)


def _parser(schema: Any) -> Callable[[AIMessage], Any]:
    def parse(message: AIMessage) -> Any:
        try:
            data = json.loads(message.text)
            if isinstance(schema, type) and issubclass(schema, BaseModel):
                return schema.model_validate(data)
        except ValueError as error:  # a validation error is one too
            raise OutputParserException(str(error), llm_output=message.text) from error
        return data

    return parse


def _both(parse: Callable[[AIMessage], Any]) -> Callable[[AIMessage], dict[str, Any]]:
    def both(message: AIMessage) -> dict[str, Any]:
        try:
            return {"raw": message, "parsed": parse(message), "parsing_error": None}
        except OutputParserException as error:
            return {"raw": message, "parsed": None, "parsing_error": error}

    return both


def _after_fork() -> None:
    """A child process has the parent's engines but not their threads, and maybe a held lock."""
    global _LOCK
    _LOCK = threading.RLock()
    _ENGINES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
