"""Text from providers as it may be stored: without keys, on one line, storable as UTF-8."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..store.columns import printable

_KEY = re.compile(
    r"\b(?:sk|pk|hf|gsk|xai|key)[-_][A-Za-z0-9_\-*]{8,}"
    r"|\bAIza[A-Za-z0-9_\-]{8,}|\bA[KS]IA[A-Z0-9]{8,}"
    r"|(?i:(?<=\bbearer ))(?=\S*\d)[A-Za-z0-9._~+/=*\-]{8,}"  # not "Bearer authentication"
)
# One of them stands in whatever _KEY finds, "bearer " apart; to look for them first is quicker.
_MARKS = (
    *(f"{name}{sign}" for name in ("sk", "pk", "hf", "xai", "key") for sign in "-_"),
    *("AIza", "AKIA", "ASIA"),
)


def storable(text: str) -> str:
    """The text with half a surrogate pair, which a cut-off reply can hold, as a question mark."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def one_line(error: BaseException) -> str:
    """An exception as one line of at most 300 characters, without what looks like a key."""
    return line_of(f"{type(error).__name__}: {error}")


def line_of(text: str) -> str:
    """A text as one printable line of at most 300 characters, without what looks like a key."""
    return printable(_hidden(" ".join(storable(text).split()))[:300])


def without_keys(value: Any) -> Any:
    """JSON data as it may be stored: providers' errors and tools' results can hold keys."""
    if isinstance(value, str):
        return _hidden(storable(value))
    if isinstance(value, Mapping):
        return {storable(str(key)): without_keys(part) for key, part in value.items()}
    return [without_keys(part) for part in value] if isinstance(value, list | tuple) else value


def key_redactor() -> Callable[[str], str]:
    """What strikes keys out of a text: what looks like one, and those that the environment holds
    now. Made once where many texts are to be read."""
    secrets = sorted(_secrets(), key=len, reverse=True)

    def without(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        if any(mark in text for mark in _MARKS) or "bearer " in text.lower():
            return _KEY.sub("***", text)
        return text

    return without


def _hidden(text: str) -> str:
    for value in _secrets():
        text = text.replace(value, "***")
    return _KEY.sub("***", text)


def _secrets() -> list[str]:
    named = re.compile(r"KEY|TOKEN|SECRET", re.IGNORECASE)
    return [value for name, value in os.environ.items() if named.search(name) and len(value) >= 8]
