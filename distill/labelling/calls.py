"""Every call of a run's models, whatever strategy makes it: paid for, paced, timed, sent again."""

from __future__ import annotations

import asyncio
import datetime
import functools
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ...chains.replies import completed_reply
from ...chains.teachers import model_name, named_error, output_cap
from ..redaction import line_of
from .bounds import prompt_bound
from .budget import Budget, BudgetReached, Spend
from .ledger import CallLedger
from .limits import EndOfRun, LabellingError, Limits, Stopped
from .pace import Pace
from .prices import Price, Usage, usage_of
from .troubles import Trouble, backoff, trouble_of

Send: TypeAlias = Callable[[], Awaitable[ChatResult]]
_BYTES_PER_TOKEN = 4  # of a first guess for the tokens a minute; later ones are what calls used
_ALL_FAILED = 20  # calls in a row that nobody answered, at the least, before a run gives up


@dataclass(frozen=True)
class Call:
    """One call of a model: whose it is, what it can cost, and the row that it is made for."""

    model: BaseChatModel
    price: Price | None
    bound: int
    worst: Spend
    ledger: CallLedger


class Caller:
    """What the calls of one run share: budget, pace, and how many failed in a row.

    `crowd` is how many rows are asked side by side.
    """

    def __init__(self, limits: Limits, *, budget: Budget | None = None, crowd: int = 1) -> None:
        self._limits, self.budget = limits, budget
        self._pace = Pace(
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
        )
        self._sized = budget is not None or limits.tokens_per_minute is not None
        self._failed, self._too_many = 0, max(_ALL_FAILED, 2 * crowd)
        self._priced = True
        self.ended: Callable[[], bool] = lambda: False  # no row should be begun any more

    def ledger(self) -> CallLedger:
        """The books of a new row."""
        return CallLedger(governed=True, priced=self._priced)

    def governed(self, model: BaseChatModel, price: Price | None) -> BaseChatModel:
        """The model as before, but each of its calls goes through this caller.

        A copy of a class of its own, so that whatever LangChain makes of a model (bound tools, a
        structured output, a warmer copy) keeps it. Only asynchronous calls are governed.
        """
        caller, cap = self, output_cap(model)
        self._priced = self._priced and price is not None
        kind: Any = type(model)

        class Governed(kind):  # type: ignore[misc]
            model_config = {"defer_build": True}  # noqa: RUF012 - how pydantic takes it

            async def _agenerate(
                self,
                messages: list[BaseMessage],
                stop: list[str] | None = None,
                run_manager: Any = None,
                **kwargs: Any,
            ) -> ChatResult:
                send = functools.partial(super()._agenerate, messages, stop, run_manager, **kwargs)
                call = caller._call(self, price, cap, messages, kwargs, _ledger(run_manager))
                return await caller.send(call, send)

        Governed.__name__, Governed.__qualname__ = kind.__name__, kind.__qualname__
        Governed.__module__ = kind.__module__
        copied = model.model_copy(update={"disable_streaming": True})
        object.__setattr__(copied, "__class__", Governed)
        return copied

    async def send(self, call: Call, send: Send) -> ChatResult:
        """The reply to one call. Raises what the provider raises, and EndOfRun."""
        with call.ledger.call():
            return await self._send(call, send)

    async def _send(self, call: Call, send: Send) -> ChatResult:
        for attempt in itertools.count():
            await self._draw(call)
            given_up = functools.partial(self._given_up, call.ledger)
            guess = await self._pace.turn(call.bound // _BYTES_PER_TOKEN, given_up)
            if given_up():
                if self.budget:
                    self.budget.unspent(call.ledger.allowance, call.worst)
                raise EndOfRun(LabellingError("the run ended before the call was sent"))
            call.ledger.requests += 1
            try:
                async with asyncio.timeout(self._limits.timeout):
                    result = await _answered(send)
            except Exception as error:
                trouble = trouble_of(error)
                call.ledger.failure = error
                call.ledger.failure_line = line_of(named_error(error, call.model))
                await self._failed_call(call, trouble)
                if not self._may_go_on(call, trouble, attempt):
                    raise
                await asyncio.sleep(0 if trouble.wait else backoff(attempt))
            else:
                self._failed = 0
                await self._paid(call, _usage(result), guess)
                return result
        raise AssertionError("unreachable")

    def _given_up(self, ledger: CallLedger) -> bool:
        """Whether the row is over, or the run is and nothing was sent for the row yet."""
        return ledger.allowance.over or (not ledger.requests and self.ended())

    async def close(self, ledger: CallLedger) -> None:
        """The ledger's row is over: calls of it that are still on their way belong to its cost."""
        ledger.allowance.over = True
        if self.budget:
            await self.budget.end(ledger.allowance)
        await ledger.idle()
        if self.budget:
            await self.budget.close(ledger.allowance)

    def _call(
        self,
        model: BaseChatModel,
        price: Price | None,
        cap: int | None,
        messages: Sequence[BaseMessage],
        kwargs: Mapping[str, Any],
        ledger: CallLedger,
    ) -> Call:
        bound = prompt_bound(messages, kwargs) if self._sized else 0
        usd = price.worst(bound, cap or 0) if price else 0.0
        return Call(model, price, bound, Spend(usd, bound + (cap or 0)), ledger)

    async def _draw(self, call: Call) -> None:
        if self.budget is None:
            return
        try:
            await self.budget.draw(call.ledger.allowance, call.worst)
        except BudgetReached as reached:
            raise EndOfRun(Stopped(_no_money(self._limits, self.budget, call.worst))) from reached

    async def _paid(self, call: Call, usage: Usage | None, guess: int) -> None:
        actual = call.worst
        if usage is None:
            free = call.price is not None and call.price.worst(1, 1) == 0
            call.ledger.bought(None, 0.0 if free else None)
            if actual.tokens or not free:
                call.ledger.maybe_bought(usd=actual.usd, tokens=actual.tokens)
        else:
            cost = call.price.cost(usage) if call.price else None
            actual = Spend(cost or 0.0, usage.input_tokens + usage.output_tokens)
            call.ledger.bought(usage, cost)
            self._pace.counted(guess, actual.tokens)
        if self.budget:
            await self.budget.settle(call.worst, actual)

    async def _failed_call(self, call: Call, trouble: Trouble) -> None:
        if trouble.billed:
            call.ledger.maybe_bought(usd=call.worst.usd, tokens=call.worst.tokens)
            if self.budget:
                await self.budget.settle(call.worst, call.worst)
        elif self.budget:
            self.budget.unspent(call.ledger.allowance, call.worst)

    def _may_go_on(self, call: Call, trouble: Trouble, attempt: int) -> bool:
        """Whether the call is sent again. Raises EndOfRun where no call should be."""
        name, said = model_name(call.model), call.ledger.failure_line
        if trouble.kind == "run":
            why = f"{name} refuses every call: {said}; mend that and run again"
            raise EndOfRun(LabellingError(why))
        if trouble.kind == "row":
            self._failed = 0
            return False
        if trouble.wait is not None and trouble.wait > self._limits.patience:
            raise EndOfRun(_come_back(name, trouble.wait, said))
        self._pace.pause(trouble.wait or 0)
        self._failed += trouble.wait is None
        if self._failed >= self._too_many:
            why = f"the last {self._failed} calls of {name} failed, the last: {said}"
            raise EndOfRun(LabellingError(f"{why}; mend that and run again"))
        return attempt < self._limits.retries


async def _answered(send: Send) -> ChatResult:
    """The reply, also where an SDK raises one as an error: a provider has billed it."""
    try:
        return await send()
    except Exception as error:
        reply = completed_reply(error)
        if reply is None:
            raise
        return ChatResult(generations=[ChatGeneration(message=reply)])


def _ledger(run_manager: Any) -> CallLedger:
    handlers = run_manager.handlers if run_manager else ()
    found = (handler for handler in handlers if isinstance(handler, CallLedger))
    return next(found, None) or CallLedger(governed=True)


def _usage(result: ChatResult) -> Usage | None:
    message = result.generations[0].message if result.generations else None
    return usage_of(message.usage_metadata) if isinstance(message, AIMessage) else None


def _no_money(limits: Limits, budget: Budget, worst: Spend) -> str:
    """At which ceiling, and what is needed: for a whole row where none is begun."""
    lacking, spent = budget.lacking or worst, budget.spent
    fits = limits.max_tokens is None or spent.tokens + lacking.tokens <= limits.max_tokens
    if limits.max_usd is not None and fits:
        said = f"${spent.usd:.4f} of ${limits.max_usd:g}, what comes next may cost "
        return f"stopped before the money ran out: {said}${lacking.usd:.4f}; raise max_usd to go on"
    said = f"{spent.tokens:,} of {limits.max_tokens:,} tokens, what comes next may take "
    return f"stopped before the tokens ran out: {said}{lacking.tokens:,}; raise max_tokens to go on"


def _come_back(model: str, wait: float, said: str) -> Stopped:
    now = datetime.datetime.now(datetime.UTC)
    when = (now + datetime.timedelta(seconds=wait)).replace(microsecond=0)
    return Stopped(
        f"{model} takes no calls until {when.isoformat()} ({said}); run again then, "
        "what is answered is not asked again",
        resume=when,
    )
