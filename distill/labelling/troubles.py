"""What went wrong on the way to a provider: whether the call is sent again, when, or never."""

from __future__ import annotations

import datetime
import email.utils
import random
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_FOR_ALL = {401, 402}  # a key, or an account without money: the next row would fare no better
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")
# Every SDK has its own classes; these are what they call a connection that failed, or a body
# that is no answer.
_ON_ITS_WAY = {
    "APIConnectionError",
    "APIResponseValidationError",
    "ClientError",
    "JSONDecodeError",
    "ProtocolError",
    "TransportError",
}
_NETWORK = (ConnectionError, TimeoutError, socket.gaierror)
_WORDS = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)(ms|s)?)?", re.I
)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0


@dataclass(frozen=True)
class Trouble:
    """`again` may be sent once more, `row` is this row's own, `run` would meet every row.

    `wait` is the seconds that the provider asks for, None where it does not say. `billed` says
    whether the call may have been answered and paid for although nothing came back.
    """

    kind: Literal["again", "row", "run"]
    wait: float | None = None
    billed: bool = False
    status: int | None = None


def trouble_of(error: BaseException) -> Trouble:
    """What an exception of any provider's client means, by its status, its class and its text."""
    for cause in _causes(error):  # from the outside: an HTTP library has numbers of its own
        status = _status(cause)
        if status is not None:
            return _of_status(status, cause)
        named = {kind.__name__ for kind in type(cause).__mro__}
        if named & _ON_ITS_WAY or isinstance(cause, _NETWORK):
            return Trouble("again", billed=not _never_connected(error))
    return Trouble("row", billed=True)  # an answer that an SDK could not read, for all we know


def backoff(attempt: int) -> float:
    """Seconds before call `attempt` + 1 is sent: exponential with jitter, 0.5 s to 60 s."""
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**attempt)
    return longest * random.uniform(0.5, 1)


def _of_status(status: int, error: BaseException) -> Trouble:
    text = str(error)
    if status in _FOR_ALL or (status == 429 and any(word in text for word in _NO_QUOTA)):
        return Trouble("run", status=status)
    if status in _AGAIN or status >= 500:
        return Trouble("again", wait=_asked_wait(error, text), status=status)
    return Trouble("row", status=status)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found and len(found) < 8:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for holder, name in ((error, "status_code"), (response, "status_code"), (error, "code")):
        value = getattr(holder, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _never_connected(error: BaseException) -> bool:
    """Where no connection was made nothing can have been paid.

    The openai package's transport over aiohttp calls every dropped connection a ConnectTimeout.
    """
    kinds = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    if "ClientConnectionError" in kinds:
        return "ClientConnectorError" in kinds
    return bool(kinds & {"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "gaierror"})


def _asked_wait(error: BaseException, text: str) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    told = _seconds(headers)
    if told is not None:
        return told
    found = _WORDS.search(text)
    if not found or not any(found.groups()[:3]):
        return None
    hours, minutes, seconds, unit = found.groups()
    return (
        3600 * int(hours or 0)
        + 60 * int(minutes or 0)
        + _number(seconds) * (0.001 if unit == "ms" else 1)
    )


def _seconds(headers: Mapping[str, Any]) -> float | None:
    """Retry-After in seconds or as a date (RFC 9110, 10.2.3), and its sibling in milliseconds."""
    milliseconds, told = headers.get("retry-after-ms"), headers.get("retry-after")
    if milliseconds is not None:
        return _number(milliseconds) / 1000
    if told is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", str(told)):
        return float(told)
    try:
        date = email.utils.parsedate_to_datetime(str(told))
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())


def _number(text: Any) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
