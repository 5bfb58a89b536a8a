"""Who teaches: a chat model by name, and the facts that tell one teacher from another."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from .loading import load_attribute
from .providers import CAPS, chat_model, first_attempt, key_variables, provided, with_options
from .task import TaskError, fingerprint

_SECRET = re.compile(r"key|token$|secret|password|header|auth", re.IGNORECASE)
_SAMPLING = ("temperature", "top_p", "top_k", "seed", "random_seed", "reasoning_effort")
_TRANSPORT = re.compile(r"retries$|timeout$", re.IGNORECASE)  # decides no answer
_ON_ITS_WAY = re.compile(r"Connect|Timeout|Network|Transport")
_CAUSES = 10
_URL = re.compile(r"^(\w[\w+.-]*://)(?:[^/?#]*@)?([^?#]*)")


def load_teacher(
    reference: str,
    *,
    task: str,
    base_url: str | None = None,
    key_variable: str | None = None,
    max_output_tokens: int | None = None,
    temperature: float | None = None,
    keyless: bool = False,
) -> BaseChatModel:
    """The chat model that `reference` names.

    "offline": the teacher that the task's own module ships (`teacher` in the file of `task`).
    "provider:model": LangChain's init_chat_model, e.g. "openai:gpt-6.1-terra".
    "path/to/file.py:name": a chat model that you built yourself.

    `base_url` points a provider at another server that speaks its protocol; on this machine it
    needs no key. `key_variable` names the environment variable with the key, where it is not the
    provider's own (GROQ_API_KEY for openai:... at Groq). `max_output_tokens` caps the output of a
    call and `temperature` sets it, whatever the integration calls them. The offline teacher has
    none of these. A provider's SDK does not repeat calls by itself: whoever asks repeats, and
    counts. `keyless` looks for no key: the model is described, and never asked.

    Raises TaskError, one line, where there is no such teacher, its package is not installed, or its
    key is missing.
    """
    reference = reference.strip()
    if not reference:
        raise TaskError("no teacher is named; give offline, provider:model, or file.py:name")
    if reference == "offline":
        where = task.rpartition(":")[0] or task
        try:
            own = load_attribute(f"{where}:teacher", default="teacher")
        except TaskError as error:
            raise TaskError(
                f"there is no offline teacher: {error}; "
                "give another teacher, such as openai:gpt-6.1-terra"
            ) from error
        return chat_model(own, reference)
    if re.search(r"\.py(:\w+)?$", reference):
        if base_url or key_variable:
            raise TaskError(f"teacher {reference} is built in that file; set URL and key there")
        own = chat_model(load_attribute(reference, default="teacher"), reference)
        return with_options(own, reference, max_output_tokens, temperature)
    model = provided(reference, base_url=base_url, key_variable=key_variable, keyless=keyless)
    return with_options(model, reference, max_output_tokens, temperature)


def output_cap(model: BaseChatModel) -> int | None:
    """The model's own cap on the output tokens of one call, whatever its field is called.

    None where it has none: then only the provider's own limit ends a reply.
    """
    given: list[Any] = [getattr(model, name, None) for name in CAPS]
    for more in (getattr(model, "model_kwargs", None), getattr(model, "extra_body", None)):
        given += [more.get(name) for name in CAPS] if isinstance(more, Mapping) else []
    # Of several, which one a server heeds is its own affair; Ollama's -1 is none.
    return max((cap for cap in given if isinstance(cap, int) and cap > 0), default=None)


def retries_of_its_own(model: BaseChatModel) -> int:
    """How often the SDK behind the model repeats a failed call by itself, unseen; 0 if unknown."""
    clients = (getattr(model, name, None) for name in ("root_async_client", "root_client"))
    for owner in (*clients, model):  # openai's clients have a number where the model says None
        retries = getattr(owner, "max_retries", None)
        if isinstance(retries, int):
            return max(0, retries - first_attempt(model))
    return 0


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
    reasoning={"effort": "high"}, are told apart by one fingerprint, "nested". Retries and timeouts
    decide no answer, nor does a teacher's cap on output tokens: a reply that reaches it is no
    answer (a student's is, closed by its grammar). Sampling counts where an integration leaves it
    out of what it says of itself (Groq, Ollama, Mistral).
    """
    parameters = {"kind": model._llm_type, **model._identifying_params}
    for name in _SAMPLING:
        if parameters.get(name) is None:
            parameters[name] = getattr(model, name, None)
    if not hasattr(model, "card"):
        parameters = {name: value for name, value in parameters.items() if name not in CAPS}
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
            if part not in (None, {}, []) and not _SECRET.search(key) and not _TRANSPORT.search(key)
        }
    if isinstance(value, list | tuple):
        return [_public(part) for part in value]
    if isinstance(value, str):
        url = _URL.match(value)
        return "".join(url.groups()) if url else value
    return value if isinstance(value, int | float) else None


def named_error(error: BaseException, model: BaseChatModel) -> str:
    """A failed call as "Type: what to look at: message": which host, which variable, which model.

    What the provider says is left as it is, keys included; whoever stores it strikes them out.
    """
    kind, message = type(error).__name__, " ".join(str(error).split())
    hint = _hint(error, model)
    return ": ".join(part for part in (kind, hint, message) if part)


def _hint(error: BaseException, model: BaseChatModel) -> str:
    host, kinds = _host(error, model), _kinds(error)
    status = getattr(error, "status_code", None)
    if status in {401, 403}:
        return f"the key in {variable} is refused" if (variable := _key_of(model)) else ""
    if status == 404 and host:
        return f"{host} has no model {model_name(model)}, or nothing at this path"
    if status is not None or not host or not _ON_ITS_WAY.search(kinds):
        return ""
    broken = _broken(error)
    if broken is None and "Timeout" in kinds:
        return f"no answer in time from {host}"
    said = " ".join(str(broken or "").split())
    return f"the connection to {host} failed" + (f" ({said})" if said else "")


def _kinds(error: BaseException) -> str:
    return " ".join(kind.__name__ for kind in type(error).__mro__)


def _broken(error: BaseException) -> BaseException | None:
    """What the operating system, or else aiohttp, says of a connection: the first of the causes.

    openai's transport over aiohttp calls it a timeout whatever it was.
    """
    found, cause = None, error.__cause__ or error.__context__
    for _ in range(_CAUSES):
        if cause is None:
            break
        broken = isinstance(cause, OSError) or "ClientConnectionError" in _kinds(cause)
        found = cause if broken and not isinstance(cause, TimeoutError) else found
        cause = cause.__cause__ or cause.__context__
    return found


def _host(error: BaseException, model: BaseChatModel) -> str:
    """scheme://host:port, without user and password, that the call went to; '' if unknown."""
    try:
        asked = str(error.request.url)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # httpx raises where there is no request
        asked = next(iter(_urls(model)), "")
    parts = urlsplit(asked)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def _urls(model: BaseChatModel) -> list[str]:
    values = [
        getattr(model, name, None)
        for name in type(model).model_fields
        if re.search(r"base|url|endpoint", name)
    ]
    return [value for value in values if isinstance(value, str) and value.startswith("http")]


def _key_of(model: BaseChatModel) -> str:
    """The environment variable that holds the model's key; its provider's own if none does."""
    variables = key_variables(model)
    for field in variables.values():
        value = getattr(model, field, None)
        secret = value.get_secret_value() if isinstance(value, SecretStr) else ""
        for name, held in os.environ.items():
            if secret and held == secret:
                return name
    return " or ".join(variables)
