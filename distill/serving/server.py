"""An OpenAI-compatible server around students: `base_url` is all that an existing app changes."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .limits import Limits, ServeError

if TYPE_CHECKING:
    from ...chains.student.chat import ChatStudent

SHORTEST_KEY = 16  # characters
_LIKE_A_KEY = re.compile(rf"[!-~]{{{SHORTEST_KEY},}}")


def load_served(
    references: Sequence[str], *, reasoning: str | None = None
) -> dict[str, ChatStudent]:
    """The students to serve, their weights loaded, by the names they are served under.

    A reference is a run folder or a base without an adapter; NAME=REFERENCE serves it under that
    name, for example the teacher's, which an app already asks for. `reasoning` is what students of
    labels put where an app's schema requires a reasoning. Raises ServeError where two have one
    name, StudentError.
    """
    from ...chains.student.chat import ChatStudent

    served: dict[str, ChatStudent] = {}
    for reference in references:
        name, equals, model = reference.partition("=")
        if not equals or Path(reference).expanduser().exists():
            name, model = "", reference
        student = ChatStudent(model=model, reasoning=reasoning)
        name = name or student.model_name
        if name in served:
            raise ServeError(f"two students are called {name}; give one another name: NAME={model}")
        served[name] = student
    for student in served.values():
        _ = student.engine
    return served


def listen(host: str, port: int, *, key: str | None) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    Raises ServeError where the address is taken or none of this machine's, and where it can be
    reached from other machines while there is no key, or one that is easily guessed.
    """
    if not is_loopback(host) and key is None:
        raise ServeError(
            f"other machines reach {host}: set an API key first, in the environment variable "
            "UNDERSTUDY_API_KEY or the one that --api-key-env names"
        )
    if key is not None and not _LIKE_A_KEY.fullmatch(key):
        raise ServeError(
            f"an API key has at least {SHORTEST_KEY} characters, ASCII and no spaces; set another"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(f"{host} port {port}: {reason}; give another --port or --host") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def student_server(
    students: Mapping[str, ChatStudent],
    listening: socket.socket,
    *,
    key: str | None = None,
    limits: Limits | None = None,
) -> Any:
    """The uvicorn server of these students on a bound socket, not yet serving.

    Call `server.run(sockets=[listening])`, or `run` from the main thread; `server.should_exit =
    True` ends it once what it has begun is finished.
    """
    import uvicorn

    from .app import build_app
    from .connections import connections
    from .desk import Desk
    from .guard import Guard
    from .schema import Rehearsal

    limits = limits or Limits()
    tokenizers = {name: student.engine.tokenizer for name, student in students.items()}
    desk = Desk(students, rehearsal=Rehearsal(tokenizers, limits), limits=limits)
    guard = Guard(
        build_app(desk),
        hosts=_hosts(listening),
        key=key,
        limits=limits,
        seen=desk.metrics.saw,
    )
    config = uvicorn.Config(
        guard,
        http=connections(limits.silence),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    return uvicorn.Server(config)


def run(server: Any, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, finish what has begun, return. The second SIGINT ends all."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _once_more)  # uvicorn raises the signal again when it has ended
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of clients that have left
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.serve(sockets=[listening]))


def _once_more(number: int, frame: Any) -> None:
    """Nothing is left to do."""


def address(listening: socket.socket) -> str:
    """What a client's base_url is."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _hosts(listening: socket.socket) -> frozenset[str] | None:
    """The Host headers of a server that only this machine reaches: a name that was pointed at it
    by somebody else's name server is none of them. Elsewhere the key keeps strangers out.
    """
    host, port = listening.getsockname()[:2]
    if not is_loopback(host):
        return None
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
    bare = names if port == 80 else set()
    return frozenset({f"{name}:{port}" for name in names} | bare)
