"""The text of an answer as it grows: handed on in whole characters, cut where a stop begins."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence


class Written:
    """Collects an answer's bytes. `text` is what stands so far, without a stop string.

    `on_text` is called with each new part as soon as no stop string can begin in it.
    """

    def __init__(self, stop: Sequence[str] = (), on_text: Callable[[str], None] | None = None):
        self.text = ""
        self.stopped = False
        self._stop, self._on_text = stop, on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sent = 0

    def add(self, piece: bytes, *, last: bool = False) -> bool:
        """Take the next bytes; True once a stop string has been reached."""
        if not self.stopped:
            before = len(self.text)
            self.text += self._decoder.decode(piece, last)
            self._cut(before)
            self._send(len(self.text) if last or self.stopped else len(self.text) - self._held())
        return self.stopped

    def _cut(self, before: int) -> None:
        places = [self.text.find(end, max(0, before - len(end) + 1)) for end in self._stop]
        found = [place for place in places if place >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True

    def _held(self) -> int:
        """Characters at the end that may turn out to be the beginning of a stop string."""
        return max(
            (
                size
                for end in self._stop
                for size in range(1, len(end))
                if self.text.endswith(end[:size])
            ),
            default=0,
        )

    def _send(self, upto: int) -> None:
        if self._on_text is not None and upto > self._sent:
            part, self._sent = self.text[self._sent : upto], upto
            self._on_text(part)
