"""Where in a compact JSON text one stands: followed byte by byte, as a row writes it."""

from __future__ import annotations

import json


class Cursor:
    """Reads compact JSON as it grows and knows which value comes next or is being written."""

    def __init__(self) -> None:
        self._stack: list[str | None] = []  # the key within each open object, None for a list
        self._next = "value"  # value, scalar, key, colon or after
        self._inside = self._escaped = False
        self._held = bytearray()  # the key or value being written

    def copy(self) -> Cursor:
        """Another one that stands here and goes its own way."""
        other = Cursor()
        other._stack, other._next = list(self._stack), self._next
        other._inside, other._escaped = self._inside, self._escaped
        other._held = bytearray(self._held)
        return other

    @property
    def path(self) -> str | None:
        """The dotted path of the value that comes or is written; None in a list, or elsewhere."""
        if self._next not in ("value", "scalar") or not self._stack or None in self._stack:
            return None
        return ".".join(key for key in self._stack if key is not None)

    @property
    def inside(self) -> bool:
        """Whether a string is open."""
        return self._inside

    @property
    def valued(self) -> bool:
        """Whether the open string, if any, is a value and no name."""
        return self._next == "value"

    @property
    def escaped(self) -> bool:
        """Whether the next character of a string is the other half of an escape."""
        return self._escaped

    @property
    def begun(self) -> bytes:
        """What is written of that value, its quote included; empty where it comes next."""
        return bytes(self._held) if self._inside or self._next == "scalar" else b""

    def feed(self, piece: bytes) -> None:
        """Go on over the next bytes."""
        place = 0
        while place < len(piece):
            place = self._string(piece, place) if self._inside else self._plain(piece, place)

    def _string(self, piece: bytes, place: int) -> int:
        if self._escaped:
            self._held += piece[place : place + 1]
            self._escaped = False
            return place + 1
        end = piece.find(b'"', place)
        end = len(piece) if end < 0 else end
        slash = piece.find(b"\\", place, end)
        end = end if slash < 0 else slash
        self._held += piece[place : end + 1]
        if end == len(piece):
            return end
        if piece[end : end + 1] == b"\\":
            self._escaped = True
            return end + 1
        self._inside = False
        if self._next == "key":
            self._stack[-1] = str(json.loads(bytes(self._held)))
            self._next = "colon"
        else:
            self._next = "after"
        return end + 1

    def _plain(self, piece: bytes, place: int) -> int:
        byte = piece[place : place + 1]
        if byte == b'"':
            self._inside, self._held = True, bytearray(byte)
        elif byte in (b"{", b"["):
            self._stack.append("" if byte == b"{" else None)
            self._next = "key" if byte == b"{" else "value"
        elif byte in (b"}", b"]"):
            if self._stack:
                self._stack.pop()
            self._next = "after"
        elif byte == b",":
            self._next = "value" if self._stack and self._stack[-1] is None else "key"
        elif byte == b":":
            self._next = "value"
        elif self._next == "scalar":
            self._held += byte
        else:
            self._next, self._held = "scalar", bytearray(byte)
        return place + 1
