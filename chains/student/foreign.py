"""How other people's servers want to be asked, and what their refusals mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

from .card import StudentError

MOST_TOLD = 200  # characters of a server's complaint
_BLANKS = 16  # characters of whitespace in a row that no answer has
_HOLDERS = "vLLM, llama-server, Ollama, SGLang or understudy serve"


class Refused(StudentError):
    """A server says no; `status` is HTTP's, `told` its words in one line."""

    def __init__(self, address: str, status: int, told: str, advice: str = "") -> None:
        super().__init__(f"{address} refuses ({status}): {told}{advice}")
        self.status, self.told = status, told


def refusal(address: str, status: int, content: bytes, key: str | None) -> Refused:
    """The refusal in `content`, in OpenAI's form or FastAPI's or none; `key` is taken out."""
    try:
        said = json.loads(content)
        told = said.get("error") or said.get("detail") or said.get("message") or content.decode()
        message = told["message"] if isinstance(told, dict) else told
    except (ValueError, KeyError, TypeError, AttributeError):
        message = content[: 2 * MOST_TOLD].decode(errors="replace")
    line = " ".join(str(message).split())[:MOST_TOLD]
    return Refused(address, status, line.replace(key, "***") if key else line)


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


def model_names(content: bytes) -> list[str]:
    """The names in an answer to GET /models; empty where it is something else."""
    try:
        names = [str(one["id"])[:MOST_TOLD] for one in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        return []
    return names[:8]


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
