"""Who teaches: a chat model by name, and the facts that tell one teacher from another."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

from langchain_core.language_models import BaseChatModel

from .loading import load_attribute
from .task import TaskError

_SECRET = re.compile(r"key|token$|secret|password|header|auth", re.IGNORECASE)


def load_teacher(
    reference: str,
    *,
    task: str,
    base_url: str | None = None,
    temperature: float | None = None,
) -> BaseChatModel:
    """The chat model that `reference` names.

    "offline": the teacher that the task's own module ships (`teacher` in the file of `task`).
    "provider:model": LangChain's init_chat_model, e.g. "openai:gpt-5-mini"; `base_url` points it at
    any OpenAI-compatible server. "path/to/file.py:name": a chat model that you built yourself.

    Raises TaskError where there is no such teacher or its package is not installed.
    """
    if reference == "offline":
        where = task.rpartition(":")[0] or task
        return _chat_model(load_attribute(f"{where}:teacher", default="teacher"), reference)
    if re.search(r"\.py(:\w+)?$", reference):
        return _chat_model(load_attribute(reference, default="teacher"), reference)
    if importlib.util.find_spec("langchain") is None:
        raise TaskError(f"teacher {reference} needs: pip install 'understudy[teachers]'")
    from langchain.chat_models import init_chat_model

    options: dict[str, Any] = {"base_url": base_url, "temperature": temperature}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        model: BaseChatModel = init_chat_model(reference, **given)
        return model
    except ImportError as error:
        raise TaskError(f"teacher {reference}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # every provider has errors of its own for a missing key
        raise TaskError(
            f"teacher {reference} cannot be made: {str(error).strip().splitlines()[0]}; give "
            "offline, provider:model, or file.py:name, and set the provider's key"
        ) from error


def model_name(model: BaseChatModel) -> str:
    """The model's name as its provider calls it, else its kind."""
    for attribute in ("model_name", "model"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return model._llm_type


def model_parameters(model: BaseChatModel) -> dict[str, Any]:
    """What decides the model's answers, as JSON scalars without secrets; identifies a run."""
    parameters = {"kind": model._llm_type, **model._identifying_params}
    base_url = getattr(model, "openai_api_base", None)
    if base_url:
        parameters["base_url"] = base_url
    return {
        key: value
        for key, value in sorted(parameters.items())
        if isinstance(value, str | int | float | bool) and not _SECRET.search(key)
    }


def _chat_model(teacher: Any, reference: str) -> BaseChatModel:
    if not isinstance(teacher, BaseChatModel):
        raise TaskError(f"{reference} is a {type(teacher).__name__}, not a LangChain chat model")
    return teacher
