"""The next token of every row: any that the grammar allows, or in a label one of its classes'."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from .chunks import Chunk, Path
from .grammar import Compiler
from .row import Aside, Row

Chosen = tuple[Row, int, float]  # a row, its token, and that one's share among those allowed


class Chooser:
    """Chooses and writes. `calls` counts the batched calls of the model, `rows` those they took.

    Slots from `spare` on are free to use.
    """

    def __init__(
        self, path: Path, compiler: Compiler, ends: Collection[int], *, spare: int
    ) -> None:
        self._path, self._compiler, self._ends, self._spare = path, compiler, ends, spare
        self.calls = self.rows = 0

    def step(self, rows: Sequence[Row]) -> None:
        """One chosen token for every row, and all that it forces."""
        states = self._feed(
            [Chunk(row.slot, row.read, row.pending, row.request.adapter) for row in rows]
        )
        for row in rows:
            row.skip(len(row.pending))
        chosen: list[Chosen] = []
        asides: list[Aside] = []
        for options, indexes in _alike([row.options for row in rows]):
            some = [rows[index] for index in indexes]
            known = states if len(some) == len(rows) else states[indexes]
            if options:
                for row, token, shares in self._at_fork(some, known, options):
                    asides += row.saw(shares, token)
                    share = shares[options.index(token)] if token in options else -math.inf
                    chosen.append((row, token, math.exp(share)))
            else:
                chosen += self._freely(some, known)
        self._look(asides)
        for row, token, share in chosen:
            row.write(token, share, end=token in self._ends)

    def _feed(self, chunks: Sequence[Chunk]) -> Any:
        self.calls += 1
        self.rows += len(chunks)
        return self._path.feed(chunks)

    def _freely(self, rows: Sequence[Row], states: Any) -> Iterator[Chosen]:
        """The best or a drawn token among all that the grammar allows."""
        import torch

        with torch.inference_mode():
            yield from self._best(rows, self._path.scores(states))

    def _best(self, rows: Sequence[Row], logits: Any) -> Iterator[Chosen]:
        import torch

        allowed = torch.from_numpy(self._compiler.masks([row.matcher for row in rows]))
        logits = logits.masked_fill_(~allowed.to(logits.device), -math.inf)
        highest, best = logits.max(-1)
        tokens = best.tolist()
        for index, row in enumerate(rows):
            if row.request.temperature > 0:
                tokens[index] = row.sample(logits[index])
            if tokens[index] not in self._ends:
                tokens[index] = row.guard(tokens[index])
        picked = torch.tensor(tokens, device=logits.device)[:, None]
        taken = logits.gather(1, picked)[:, 0] - highest
        shares = (taken.exp() / logits.sub_(highest[:, None]).exp_().sum(-1)).tolist()
        yield from zip(rows, tokens, shares, strict=True)

    def _at_fork(
        self, rows: Sequence[Row], states: Any, options: Sequence[int]
    ) -> Iterator[tuple[Row, int, list[float]]]:
        """The best or a drawn token among these, and the log-share of each."""
        logits = self._path.scores(states, options)
        best = logits.argmax(-1).tolist()
        shares = logits.log_softmax(-1).tolist()
        for index, row in enumerate(rows):
            drawn = row.request.temperature > 0
            at = row.sample(logits[index]) if drawn else best[index]
            yield row, row.guard(options[at]), shares[index]

    def _look(self, asides: list[Aside]) -> None:
        """Score the forks that rows pass by, one of each row at a time, and forget them again."""
        while asides:
            now: dict[int, Aside] = {}
            later = []
            for aside in asides:
                if now.setdefault(aside.row.slot, aside) is not aside:
                    later.append(aside)
            some = list(now.values())
            states = self._feed([self._aside(aside) for aside in some])
            for options, indexes in _alike([aside.options for aside in some]):
                shares = self._path.scores(states[indexes], options).log_softmax(-1).tolist()
                for index, found in zip(indexes, shares, strict=True):
                    some[index].row.saw_aside(some[index].prefix, found)
            asides = later

    def _aside(self, aside: Aside) -> Chunk:
        """A look ahead in the row's own slot, where the next chunk writes over it, or in a copy."""
        row = aside.row
        slot = row.slot
        if not self._path.rewinds:
            slot = self._spare + row.slot
            self._path.copy(row.slot, slot, row.read)
        return Chunk(slot, row.read, list(aside.tokens), row.request.adapter)


def _alike(keys: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], list[int]]]:
    """Each key with the places where it stands."""
    found: dict[tuple[int, ...], list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return list(found.items())
