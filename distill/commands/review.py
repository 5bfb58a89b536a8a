"""The command `review`: a page on this machine where a person accepts and corrects labels."""

from __future__ import annotations

import contextlib
import getpass
from collections import Counter
from typing import Annotated

import typer

from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    SplitOption,
    StoreOption,
    TaskOption,
    fail,
    open_store,
    say,
    stoppable,
)

LONGEST_NAME = 100


def review_(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    reviewer: Annotated[
        str | None, typer.Option(help="your name, kept with the gold; default: the login name")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 0,
    split: SplitOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most this many rows")] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="print the address, open no browser")
    ] = False,
) -> None:
    """Look at the rows that are worth it, in a browser: accept, correct, skip, undo."""
    from ...chains.loading import load_task
    from ...store.flags import flag_counts
    from ..reviewing.queue import review_queue
    from ..reviewing.server import serve_review

    name = _name(reviewer)
    with open_store(store, create=False) as opened:
        loaded = load_task(task)
        known = opened.splits(loaded.name)
        if split is not None and split not in known:
            fail(f"task {loaded.name} has no split {split} in {store}; it has {', '.join(known)}")
        with stoppable():
            entries = review_queue(loaded, opened, split=split, limit=limit)
        if not entries:
            fail(f"no row of task {loaded.name} waits for review in {store}; run distill first")
        queue = [(entry.example, entry.reasons) for entry in entries]
        try:
            server = serve_review(loaded, opened, queue, reviewer=name, port=port)
        except OSError as error:
            fail(f"port {port}: {error.strerror or error}; give another --port")
        with server:
            found = flag_counts(opened, loaded.name)
            hint = "" if found else "; understudy curate would put suspected errors first"
            say(f"review {len(queue)} rows at {server.url} (Ctrl-C stops){hint}")
            with contextlib.suppress(KeyboardInterrupt):
                if not no_open:
                    _open(server.url)
                server.serve_forever()
        say(_summary(server.desk.counts, name))


def _open(url: str) -> None:
    import webbrowser

    with contextlib.suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:  # that is one in this terminal
            browser.open(url)


def _summary(counts: Counter[str], name: str) -> str:
    told = {"accept": "accepted", "correct": "corrected", "skip": "skipped"}
    parts = ", ".join(f"{counts[verdict]} {said}" for verdict, said in told.items())
    return f"{counts.total()} rows reviewed by {name}: {parts}"


def _name(reviewer: str | None) -> str:
    if reviewer is None:
        try:
            reviewer = getpass.getuser()
        except (OSError, KeyError, ImportError):
            fail("this login has no name; give --reviewer NAME", status=2)
    name = reviewer.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        fail(f"--reviewer is a name of 1 to {LONGEST_NAME} printable characters", status=2)
    return name


COMMANDS = {"review": review_}
