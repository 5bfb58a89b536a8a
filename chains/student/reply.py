"""An answer's text, part by part, as what a chat message says: content and tool calls."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from .asked import Asked
from .written import Written

# What a JSON string holds: plain characters and escapes, pairs of surrogates kept together.
_CHARACTERS = re.compile(
    r"(?:[^\"\\]|\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?=[^\\]|\\[^u]))"
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*"
)
_HEAD = re.compile(r'(?:,"calls":\[|,)?\{"name":("(?:[^"\\]|\\.)*"),"arguments":')
_TEXT, _ANSWER = '{"text":"', '{"answer":'


class Reply:
    """Reads an answer's text as it comes; the same message whatever the parts are.

    `content` and `calls` (id, name, arguments as text) hold what has been read.
    """

    def __init__(self, asked: Asked, stop: Sequence[str] = ()) -> None:
        self.content = ""
        self.calls: list[dict[str, str]] = []
        self._fill = json.dumps(dict(asked.fill), ensure_ascii=False, separators=(",", ":"))
        self._chunks: list[AIMessageChunk] = []
        self._rest = ""
        self._value = _Value()
        self._said = Written(stop if asked.form == "turn" else (), self._say)
        self._read: Callable[[], bool] = self._begin
        if asked.form == "call":
            self._tool = asked.tool
        elif asked.form == "turn":
            self._read = self._turn
        self._asked = asked

    def read(self, part: str) -> list[AIMessageChunk]:
        """What the next part of the text adds to the message."""
        self._rest += part
        while self._rest and self._read():
            pass
        chunks, self._chunks = self._chunks, []
        return chunks

    def end(self) -> list[AIMessageChunk]:
        """What was held back: the end of a text that may have been the start of a stop string."""
        self._said.add(b"", last=True)
        return self.read("")

    def tool_calls(self) -> tuple[list[ToolCall], list[InvalidToolCall]]:
        """The calls whose arguments are a JSON object, and the others."""
        good: list[ToolCall] = []
        bad: list[InvalidToolCall] = []
        for call in self.calls:
            try:
                arguments = json.loads(call["args"])
                if not isinstance(arguments, dict):
                    raise TypeError("the arguments are no JSON object")
                good.append(tool_call(name=call["name"], args=arguments, id=call["id"]))
            except (ValueError, TypeError) as error:
                bad.append(invalid_tool_call(**call, error=str(error)))
        return good, bad

    def _begin(self) -> bool:
        """The first character of an answer: what is put in comes right behind it."""
        if self._asked.form == "call":
            self._open(self._tool)
        if self._asked.fill and self._rest.startswith("{"):
            self._rest = f"{self._fill[:-1]},{self._rest[1:]}"
        self._read = self._whole
        return True

    def _whole(self) -> bool:
        self._argue(self._rest) if self.calls else self._say(self._rest)
        self._rest = ""
        return False

    def _turn(self) -> bool:
        """How a turn begins tells what it is."""
        for start, read in ((_TEXT, self._text), (_ANSWER, self._answer)):
            if self._rest.startswith(start):
                self._rest, self._read = self._rest[len(start) :], read
                return True
        if any(start.startswith(self._rest) for start in (_TEXT, _ANSWER)):
            return False
        self._read = self._whole
        return True

    def _text(self) -> bool:
        found = _CHARACTERS.match(self._rest)
        end = found.end() if found else 0
        self._said.add(_unescaped(self._rest[:end]).encode(errors="replace"))
        self._rest = self._rest[end:]
        if self._rest.startswith('"'):
            self._rest, self._read = self._rest[1:], self._between
            self._said.add(b"", last=True)
            return True
        return False

    def _between(self) -> bool:
        """Before the first call, or behind one."""
        if self._said.stopped:  # the caller's stop string ends the turn, calls and all
            self._rest = ""
        self._rest = self._rest.removeprefix("}") if self.calls else self._rest
        head = _HEAD.match(self._rest)
        if head is None:
            return False
        self._open(json.loads(head[1]))
        self._rest, self._value = self._rest[head.end() :], _Value()
        self._read = self._arguments
        return True

    def _arguments(self) -> bool:
        end = self._value.read(self._rest)
        self._argue(self._rest[:end])
        self._rest = self._rest[end:]
        if self._value.over:
            self._read = self._between
        return self._value.over

    def _answer(self) -> bool:
        end = self._value.read(self._rest)
        self._say(self._rest[:end])
        self._rest = "" if self._value.over else self._rest[end:]
        return False

    def _say(self, text: str) -> None:
        if text:
            self.content += text
            self._chunks.append(AIMessageChunk(content=text))

    def _open(self, name: str) -> None:
        call = {"name": name, "args": "", "id": f"call_{uuid.uuid4().hex[:24]}"}
        self.calls.append(call)
        self._call_chunk(name=name, args="", id=call["id"])

    def _argue(self, text: str) -> None:
        if text:
            self.calls[-1]["args"] += text
            self._call_chunk(name=None, args=text, id=None)

    def _call_chunk(self, **call: Any) -> None:
        chunk = tool_call_chunk(index=len(self.calls) - 1, **call)
        self._chunks.append(AIMessageChunk(content="", tool_call_chunks=[chunk]))


class _Value:
    """Finds the end of a JSON object or list that comes in parts."""

    def __init__(self) -> None:
        self.over = False
        self._depth, self._inside, self._escaped = 0, False, False

    def read(self, text: str) -> int:
        """Characters of `text` that still belong to the value."""
        for place, character in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._inside:
                self._escaped = character == "\\"
                self._inside = character != '"'
            elif character == '"':
                self._inside = True
            else:
                self._depth += (character in "{[") - (character in "}]")
                self.over = self._depth == 0
                if self.over:
                    return place + 1
        return len(text)


def _unescaped(characters: str) -> str:
    text = json.loads(f'"{characters}"', strict=False)
    return str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
