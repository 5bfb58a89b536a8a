"""The money and the tokens of a run: set aside for the worst case before a call is sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from .limits import Limits


@dataclass(frozen=True)
class Spend:
    """US dollars and tokens, input and output together."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.usd + other.usd, self.tokens + other.tokens)

    def __sub__(self, other: Spend) -> Spend:
        return Spend(self.usd - other.usd, self.tokens - other.tokens)

    def times(self, count: int) -> Spend:
        """The same, that often."""
        return Spend(self.usd * count, self.tokens * count)


@dataclass
class Allowance:
    """What is set aside for the calls that one row has yet to make; none where it is over."""

    kept: Spend = Spend()
    opened: bool = False
    over: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class BudgetReached(Exception):
    """The worst case of the next call does not fit into what is left."""


class Budget:
    """Never spends more than its limits, as long as no call costs more than its worst case.

    The first call of a row sets aside the worst case of all the row's calls, so that no row is
    broken off half paid; it waits while other rows may yet give something back. All of this
    happens in one event loop.
    """

    def __init__(self, limits: Limits, *, spent: Spend, calls_per_row: int) -> None:
        self._limits, self._calls = limits, calls_per_row
        self.spent, self._aside = spent, Spend()
        self._open = self._stuck = 0
        self._changed = asyncio.Condition()
        self.lacking: Spend | None = None  # what did not fit when the budget was reached

    async def draw(self, allowance: Allowance, worst: Spend) -> None:
        """Set the worst case of one call aside. Raises BudgetReached."""
        async with allowance.lock:
            if allowance.over:  # a call beside others of the row, one of which has ended it
                raise BudgetReached
            if not allowance.opened:
                await self._open_row(allowance, worst.times(self._calls))
            lacking = Spend(
                max(0.0, worst.usd - allowance.kept.usd),
                max(0, worst.tokens - allowance.kept.tokens),
            )
            if lacking != Spend():
                await self._extend(allowance, lacking)
            allowance.kept += lacking - worst

    async def settle(self, worst: Spend, actual: Spend) -> None:
        """The call is over: what it really cost is spent, the rest is free again."""
        self.spent += actual
        self._aside -= worst
        await self._tell()

    def unspent(self, allowance: Allowance, worst: Spend) -> None:
        """The call cost nothing; the row may make another in its place."""
        allowance.kept += worst

    async def end(self, allowance: Allowance) -> None:
        """The row makes no more calls; those that wait for money give up."""
        allowance.over = True
        await self._tell()

    async def close(self, allowance: Allowance) -> None:
        """The row is over, and so are all its calls."""
        if allowance.opened:
            self._aside -= allowance.kept
            self._open -= 1
            await self._tell()

    async def _open_row(self, allowance: Allowance, wanted: Spend) -> None:
        async with self._changed:
            while not self._fits(wanted):
                if not self._open:
                    self.lacking = wanted
                    raise BudgetReached
                await self._changed.wait()
            self._aside += wanted
            self._open += 1
        allowance.opened, allowance.kept = True, wanted

    async def _extend(self, allowance: Allowance, lacking: Spend) -> None:
        """More than was set aside: a longer prompt, or an answer that has to be asked for again."""
        async with self._changed:
            self._stuck += 1
            try:
                while not self._fits(lacking):
                    if allowance.over or self._stuck >= self._open:  # nobody gives any back
                        self.lacking = self.lacking or lacking
                        raise BudgetReached
                    await self._changed.wait()
                self._aside += lacking
            finally:
                self._stuck -= 1

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _fits(self, more: Spend) -> bool:
        total = self.spent + self._aside + more
        usd, tokens = self._limits.max_usd, self._limits.max_tokens
        return (usd is None or total.usd <= usd) and (tokens is None or total.tokens <= tokens)
