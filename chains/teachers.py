"""Who teaches: a chat model by name, and the facts that tell one teacher from another."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from .loading import load_attribute
from .task import TaskError, fingerprint

_SECRET = re.compile(r"key|token$|secret|password|header|auth", re.IGNORECASE)
_URL = re.compile(r"^(\w[\w+.-]*://)(?:[^/?#]*@)?([^?#]*)")


def load_teacher(
    reference: str,
    *,
    task: str,
    base_url: str | None = None,
) -> BaseChatModel:
    """The chat model that `reference` names.

    "offline": the teacher that the task's own module ships (`teacher` in the file of `task`).
    "provider:model": LangChain's init_chat_model, e.g. "openai:gpt-5-mini"; `base_url` points it at
    any OpenAI-compatible server. "path/to/file.py:name": a chat model that you built yourself.

    Raises TaskError where there is no such teacher or its package is not installed.
    """
    if not reference:
        raise TaskError("no teacher is named; give offline, provider:model, or file.py:name")
    if reference == "offline":
        where = task.rpartition(":")[0] or task
        return _chat_model(load_attribute(f"{where}:teacher", default="teacher"), reference)
    if re.search(r"\.py(:\w+)?$", reference):
        return _chat_model(load_attribute(reference, default="teacher"), reference)
    if importlib.util.find_spec("langchain") is None:
        raise TaskError(f"teacher {reference} needs: pip install 'understudy[teachers]'")
    from langchain.chat_models import init_chat_model

    options: dict[str, Any] = {} if base_url is None else {"base_url": base_url}
    try:
        return _chat_model(init_chat_model(reference, **options), reference)
    except ImportError as error:
        raise TaskError(f"teacher {reference}: {_first_line(error)}") from error
    except Exception as error:  # every provider has errors of its own for a missing key
        raise TaskError(
            f"teacher {reference} cannot be made: {_first_line(error)}; give "
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
    """What decides the model's answers, as JSON scalars without secrets; identifies a run.

    A URL is kept without user, password and query. Parameters that are not scalars, such as
    reasoning={"effort": "high"}, are told apart by one fingerprint, "nested".
    """
    parameters = {"kind": model._llm_type, **model._identifying_params}
    if hasattr(model, "openai_api_base"):  # the client reads the variable where nothing is given
        base_url = model.openai_api_base or os.environ.get("OPENAI_BASE_URL")
        parameters |= {"base_url": base_url.rstrip("/")} if base_url else {}
    public = _public(parameters)
    scalars = {key: value for key, value in public.items() if not isinstance(value, dict | list)}
    nested = {key: value for key, value in public.items() if isinstance(value, dict | list)}
    return scalars | ({"nested": fingerprint(nested)} if nested else {})


def _public(value: Any) -> Any:
    """The JSON in `value` without secrets and empty parts; None where nothing is left."""
    if isinstance(value, Mapping):
        named = {str(key): _public(part) for key, part in value.items()}
        return {
            key: part
            for key, part in sorted(named.items())
            if part not in (None, {}, []) and not _SECRET.search(key)
        }
    if isinstance(value, list | tuple):
        return [_public(part) for part in value]
    if isinstance(value, str):
        url = _URL.match(value)
        return "".join(url.groups()) if url else value
    return value if isinstance(value, int | float) else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _chat_model(teacher: Any, reference: str) -> BaseChatModel:
    if not isinstance(teacher, BaseChatModel):
        raise TaskError(f"{reference} is a {type(teacher).__name__}, not a LangChain chat model")
    return teacher
