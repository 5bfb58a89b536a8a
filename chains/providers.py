"""A provider's chat model by name: built with the right key and address, without repeats."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr, ValidationError

from .task import TaskError

_KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")
CAPS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict"),
    *("max_tokens_to_sample", "max_new_tokens"),
)


def provided(
    reference: str,
    *,
    base_url: str | None = None,
    key_variable: str | None = None,
    keyless: bool = False,
) -> BaseChatModel:
    """The model "provider:model" of LangChain's init_chat_model, its SDK's own retries off.

    Raises TaskError: see `load_teacher`.
    """
    if importlib.util.find_spec("langchain") is None:
        raise TaskError(f'teacher {reference} needs: pip install "understudy[teachers]"')
    if reference.endswith(":") or reference.startswith(":"):
        raise TaskError(f"teacher {reference!r} is no provider:model, e.g. openai:gpt-6.1-terra")
    served = _served(reference, base_url, None if keyless else key_variable)
    if keyless and _missing_key(reference, served):
        served["api_key"] = "none"
    model = _built(reference, served)
    if "max_retries" in type(model).model_fields:  # read when it is built, so it is built anew
        model = _built(reference, {**served, "max_retries": first_attempt(model)})
    if not keyless:
        _check_key(model, reference)
    return model


def key_variables(model: BaseChatModel) -> dict[str, str]:
    """The variables that the integration reads a key from, and the fields it is kept in."""
    found = {variable: field for field, variable in model.lc_secrets.items()}
    return {name: field for name, field in found.items() if name.endswith("API_KEY")}


def _served(reference: str, base_url: str | None, key_variable: str | None) -> dict[str, Any]:
    """The options that say where a model is served, and with whose key."""
    served: dict[str, Any] = {}
    local = False
    if base_url is not None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise TaskError(
                f"the base URL of teacher {reference} is no http(s) address; "
                "give one such as http://127.0.0.1:8000/v1"
            )
        if parts.username or parts.password:
            raise TaskError(
                f"teacher {reference}: the base URL holds a user or password; "
                "put the key into OPENAI_API_KEY or give key_variable"
            )
        served["base_url"] = base_url
        local = bool(_LOOPBACK.fullmatch(parts.hostname))
    if key_variable is not None:
        served["api_key"] = _key_in(key_variable, reference)
    elif local and reference.startswith("openai:") and not os.environ.get("OPENAI_API_KEY"):
        served["api_key"] = "no-key-needed"
    return served


def _key_in(variable: str, reference: str) -> str:
    if not _KEY_VARIABLE.fullmatch(variable) or not re.search("KEY|TOKEN|SECRET", variable):
        raise TaskError(
            f"teacher {reference}: key_variable is the name of an environment variable with KEY, "
            "TOKEN or SECRET in it, such as GROQ_API_KEY; never the key itself"
        )
    key = os.environ.get(variable)
    if not key:
        raise TaskError(f"teacher {reference} needs its key in {variable}, which is not set")
    return key


def _built(reference: str, options: Mapping[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    try:
        return chat_model(init_chat_model(reference, **options), reference)
    except ImportError as error:
        package = re.search(r"pip install [\w-]+", str(error))
        what = f"needs: {package[0]}" if package else f"cannot be made: {_first_line(error)}"
        raise TaskError(f"teacher {reference} {what}") from error
    except TaskError:
        raise
    except Exception as error:  # every provider has errors of its own for a missing key
        if known := re.search(r"[Ss]upported \D*providers(?: are)?: (.+)", str(error)):
            provider = reference.partition(":")[0]
            what = f"there is no provider {provider!r}; known are {known.group(1)}"
            raise TaskError(f"teacher {reference}: {what}") from error
        if variables := _missing_key(reference, options):
            raise TaskError(_no_key(reference, variables)) from error
        raise TaskError(
            f"teacher {reference} cannot be made: {_first_line(error)}; give "
            "offline, provider:model, or file.py:name, and set the provider's key"
        ) from error


def _missing_key(reference: str, options: Mapping[str, Any]) -> list[str]:
    """The variables for the key of a model that can be built with any key, but not without."""
    from langchain.chat_models import init_chat_model

    if "api_key" in options:
        return []
    try:
        return list(key_variables(init_chat_model(reference, **options, api_key="any")))
    except Exception:  # noqa: BLE001 - then it is not the key, and the first error says what
        return []


def _check_key(model: BaseChatModel, reference: str) -> None:
    """Some integrations miss their key only when they are asked."""
    variables = key_variables(model)
    if "credentials" in type(model).model_fields:  # Google's: it looks for both by itself
        return
    held = [getattr(model, field, None) for field in model.lc_secrets]
    keys = [one.get_secret_value() if isinstance(one, SecretStr) else one for one in held]
    if variables and not any(keys) and not any(map(os.environ.get, model.lc_secrets.values())):
        raise TaskError(_no_key(reference, list(variables)))


def _no_key(reference: str, variables: list[str]) -> str:
    return (
        f"teacher {reference} needs a key: set {' or '.join(variables)}, "
        "or give key_variable, the name of the variable that holds it"
    )


def first_attempt(model: BaseChatModel) -> int:
    """What `max_retries` is for no retries: Google's counts the first attempt, 0 is its default."""
    kinds = type(model).__mro__
    return int(any(kind.__module__.startswith("langchain_google_genai") for kind in kinds))


def with_options(
    model: BaseChatModel, reference: str, max_output_tokens: int | None, temperature: float | None
) -> BaseChatModel:
    """The model with a cap and a temperature, which every integration reads when it is called.

    Raises TaskError where it has no field for what is given.
    """
    update: dict[str, Any] = {}
    if max_output_tokens is not None:
        if max_output_tokens < 1:
            raise TaskError(f"max_output_tokens={max_output_tokens} is no cap; give 1 or more")
        update[_field(model, CAPS, reference)] = max_output_tokens
    if temperature is not None:
        update[_field(model, ("temperature",), reference)] = temperature
    return model.model_copy(update=update) if update else model


def _field(model: BaseChatModel, names: tuple[str, ...], reference: str) -> str:
    for name in names:
        if name in type(model).model_fields:
            return name
    kind = type(model).__name__
    raise TaskError(f"teacher {reference}: a {kind} has no field for {names[0]}; do not set it")


def _first_line(error: Exception) -> str:
    """What went wrong, without the input, which pydantic repeats and which can hold a key."""
    said = str(error)
    if isinstance(error, ValidationError):
        said = error.errors(include_input=False, include_url=False)[0]["msg"]
        said = said.removeprefix("Value error, ")
    return next(iter(said.strip().splitlines()), type(error).__name__)


def chat_model(teacher: Any, reference: str) -> BaseChatModel:
    """The teacher, which is one. Raises TaskError where it is something else."""
    if not isinstance(teacher, BaseChatModel):
        raise TaskError(f"{reference} is a {type(teacher).__name__}, not a LangChain chat model")
    return teacher
