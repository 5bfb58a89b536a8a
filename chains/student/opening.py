"""What prompts begin with, the instructions of their task: read once, and kept between batches."""

from __future__ import annotations

from collections.abc import Sequence

from .chunks import Path
from .lora import Adapter
from .row import Row

_LEAST = 16  # tokens from which on sharing a beginning beats reading it again


class Openings:
    """Gives new rows the beginning of their prompt where the path has read it already.

    One is held at a time. It is learnt from rows that start together, or from one row and the one
    before it, and replaced when none that runs shares it and another would save more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: tuple[int, ...] = ()
        self._adapter: Adapter | None = None
        self._before: tuple[Adapter | None, tuple[int, ...]] = (None, ())
        self.sharing: set[int] = set()  # ids of the rows that share it

    def forget(self) -> None:
        """The path has been cleared."""
        self._held, self._adapter, self._before = (), None, (None, ())
        self.sharing.clear()

    def begin(self, new: Sequence[Row], running: Sequence[Row]) -> None:
        """Let new rows skip what is held of their prompts, after reading it if that is worth it."""
        if not new:
            return
        self.sharing &= {id(row) for row in running}
        adapter = new[0].request.adapter
        prompts = [row.request.prompt[:-1] for row in new if row.request.adapter == adapter]
        before = [self._before[1]] if len(prompts) == 1 and self._before[0] == adapter else []
        wanted = _in_common([*prompts, *before]) if len(prompts) + len(before) > 1 else 0
        held = _in_common([prompts[0], self._held]) if adapter == self._adapter else 0
        if wanted >= max(_LEAST, held + _LEAST) and not self.sharing:
            self._held, self._adapter = prompts[0][:wanted], adapter
            self._path.open(self._held, adapter)
        self._before = adapter, prompts[-1]
        self._share(new)

    def _share(self, new: Sequence[Row]) -> None:
        by_length: dict[int, list[Row]] = {}
        for row in new:
            if row.request.adapter == self._adapter and not row.read:
                length = _in_common([row.request.prompt[:-1], self._held])
                if length >= _LEAST and (self._path.rewinds or length == len(self._held)):
                    by_length.setdefault(length, []).append(row)
        for length, rows in by_length.items():
            self._path.share([row.slot for row in rows], length)
            for row in rows:
                row.skip(length)
                self.sharing.add(id(row))


def _in_common(texts: Sequence[tuple[int, ...]]) -> int:
    """Tokens that all of them begin with."""
    first = min(texts, key=len)
    low, high = 0, len(first)
    while low < high:  # whole parts are compared faster than tokens
        middle = (low + high + 1) // 2
        alike = all(text[low:middle] == first[low:middle] for text in texts)
        low, high = (middle, high) if alike else (low, middle - 1)
    return low
