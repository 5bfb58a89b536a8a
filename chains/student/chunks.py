"""What a running batch is fed: runs of tokens for slots, and how unequal runs share calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .lora import Adapter

# What one more call of the model costs, in tokens of the same call: measured, and only a matter of
# speed. It decides whether rows with many and few tokens to feed share a call.
_CALL = 32
TOKENS_A_CALL = 4096


@dataclass
class Chunk:
    """Tokens to feed to the row in `slot`, whose cache already holds `start` tokens.

    `adapter` is the one among several that answers this row; None is the model as it is.
    """

    slot: int
    start: int
    tokens: list[int]
    adapter: Adapter | None = None


class Path(Protocol):
    """A way to run a causal language model over slots, rows of any length beside each other.

    `rewinds` says that a slot forgets: a chunk may start anywhere before its end, and the first
    tokens of a slot, or of what was opened, may be taken on their own. A running state (linear
    attention) is taken whole.
    """

    rewinds: bool

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        """Read the chunks, one a slot; what is known after each, for `scores`, one row a chunk."""
        ...

    def scores(self, states: Any, tokens: Sequence[int] | None = None) -> Any:
        """Logits in float32 of all tokens or these, shape (states, tokens)."""
        ...

    def open(self, tokens: Sequence[int], adapter: Adapter | None = None) -> None:
        """Read what prompts begin with, in the place of an earlier one that no row shares."""
        ...

    def share(self, slots: Sequence[int], length: int) -> None:
        """Let rows in these slots go on after the first `length` tokens of it."""
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the first `length` tokens of one slot be those of another too."""
        ...

    def clear(self) -> None:
        """Give the memory back; what was opened is forgotten."""
        ...


def cuts(lengths: Sequence[int], *, call: int = _CALL) -> list[tuple[int, int]]:
    """Where to cut chunks of these lengths so that reading them, cut after cut, costs least.

    A call costs the rows that reach it times its width, and `call` in itself. With 0 nothing is
    ever padded.
    """
    ends = sorted(set(lengths))
    best: dict[int, tuple[int, int]] = {0: (0, 0)}  # cut: (cost up to it, the cut before it)
    for end in ends:
        best[end] = min(
            (cost + call + (end - begin) * sum(length > begin for length in lengths), begin)
            for begin, (cost, _) in best.items()
        )
    found: list[tuple[int, int]] = []
    end = ends[-1]
    while end:
        found.append((best[end][1], end))
        end = best[end][1]
    return found[::-1]
