"""The command `serve`: students behind an OpenAI-compatible address."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from .options import fail, say

KEY = "UNDERSTUDY_API_KEY"


def serve_(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="run folders; NAME=RUN serves one under another name, e.g. its teacher's",
        ),
    ],
    host: Annotated[str, typer.Option(help="other machines reach any but a loopback one")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    api_key_env: Annotated[
        str, typer.Option(help="the environment variable that holds the key clients must send")
    ] = KEY,
    timeout: Annotated[float, typer.Option(min=1, help="seconds that a request may take")] = 120,
    reasoning: Annotated[
        str | None,
        typer.Option(help="what a student of labels puts where a schema requires a reasoning"),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="answers in work or waiting; then 429")] = 256,
) -> None:
    """Serve students to any app that speaks OpenAI's API: it changes its base_url alone."""
    from langsmith.utils import tracing_is_enabled

    from ..serving.limits import Limits, ServeError
    from ..serving.server import address, listen, load_served, run, student_server

    key = os.environ.get(api_key_env) or None
    if key is None and api_key_env != KEY:
        fail(f"{api_key_env} is not set; it is to hold the API key")
    try:
        with listen(host, port, key=key) as listening:
            students = load_served(runs, reasoning=reasoning)
            limits = Limits(seconds=timeout, rows=queue)
            server = student_server(students, listening, key=key, limits=limits)
            if tracing_is_enabled():
                say("LangSmith tracing is on: prompts and answers leave this machine for it, too")
            names = ", ".join(students)
            locked = f", key in {api_key_env}" if key else ""
            say(f"serving {names} at {address(listening)}{locked} (Ctrl-C stops)")
            run(server, listening)
    except ServeError as error:
        fail(str(error))
    say("stopped; what had begun was finished")


COMMANDS = {"serve": serve_}
