"""How other people's servers want to be asked, and what their refusals mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .card import StudentError

MOST_TOLD = 200  # characters of a server's complaint
_MOST_NAMED = 100  # characters of a model's name; those of Hugging Face have up to 96
_FIELD_REFUSED = (400, 422, 501)  # HTTP's for a request that would fail again
_BLANKS = 16  # characters of whitespace in a row that no answer has
_HOLDERS = "vLLM, llama-server, Ollama, SGLang or understudy serve"


class Refused(StudentError):
    """A server says no; `status` is HTTP's, `told` its words in one line."""

    def __init__(self, address: str, status: int, told: str, advice: str = "") -> None:
        super().__init__(f"{address} refuses ({status}): {told}{advice}")
        self.status, self.told = status, told

    def names(self, field: str) -> bool:
        """Whether it is `field` of the request that is refused, for good: not for being busy."""
        return self.status in _FIELD_REFUSED and field in self.told


def check_address(base_url: str, name: str) -> None:
    """Raise StudentError unless `base_url`, of model `name`, is an address that may be shown."""
    try:
        parts = urlsplit(base_url)
        proper = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, perhaps half a password
        proper = False
    if not proper:
        raise StudentError(
            f"the base URL of student {name} is no http(s) address; "
            "give one such as http://127.0.0.1:8000/v1"
        )
    if parts.username or parts.password:
        raise StudentError(
            f"student {name}: the base URL holds a user or password; give the key as api_key"
        )


def refusal(address: str, status: int, content: bytes, key: str | None) -> Refused:
    """The refusal in `content`, in OpenAI's form or FastAPI's or none; `key` is taken out."""
    try:
        said = json.loads(content)
        told = said.get("error") or said.get("detail") or said.get("message") or content.decode()
        message = str(told["message"] if isinstance(told, dict) else told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = content.decode(errors="replace")
    return Refused(address, status, _shown(message, key, MOST_TOLD))


def _shown(text: str, key: str | None, most: int) -> str:
    """A server's words as one line of at most `most` characters that any terminal may show.

    The key is taken out before anything is cut: half a key is one, too.
    """
    struck = text.replace(key, "***") if key else text
    printable = (one if one.isprintable() else " " for one in struck[: 50 * most])
    return " ".join("".join(printable).split())[:most]


def schema_forms(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ways to ask for an answer held to `schema`: OpenAI's, then llama-cpp-python's."""
    form = {"name": "answer", "schema": dict(schema), "strict": True}
    return [
        {"type": "json_schema", "json_schema": form},
        {"type": "json_object", "schema": dict(schema)},
    ]


def cannot_hold(address: str, refused: Refused) -> StudentError:
    """The error for a server that takes a schema in no form."""
    return StudentError(
        f"{address} holds no answer to a JSON schema ({refused.status}: {refused.told}); "
        f"serve the student with one that does: {_HOLDERS}"
    )


def only_blanks(address: str, text: str, finish: str) -> StudentError | None:
    """The error for an answer that was cut while the grammar let it write whitespace for ever."""
    if finish != "length" or len(text) - len(text.rstrip()) < _BLANKS:
        return None
    return StudentError(
        f"{address} wrote whitespace up to its budget: its grammar allows any; start vLLM with "
        '--structured-outputs-config \'{"backend": "guidance", "disable_any_whitespace": true}\''
    )


def model_names(content: bytes, key: str | None) -> list[str]:
    """The names in an answer to GET /models, fit to be shown; empty where it is something else."""
    try:
        names = [str(one["id"]) for one in json.loads(content)["data"][:8]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [shown for name in names if (shown := _shown(name, key, _MOST_NAMED))]


async def event_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines of an event stream, without their ends; chunks may cut one anywhere.

    Only line feeds end one, before or without a carriage return: what else Unicode calls the end of
    a line (U+2028, U+2029, U+0085) stands as it is in other people's JSON.
    """
    begun: list[bytes] = []
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            yield b"".join((*begun, end)).removesuffix(b"\r")
            begun = []
        begun.append(rest)
    yield b"".join(begun).removesuffix(b"\r")
