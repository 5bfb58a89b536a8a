"""The commands that look into a store: why a label is what it is, what is there, search, terms."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DEFAULT_STORE, JsonOption, StoreOption, open_for, open_store, tell

if TYPE_CHECKING:
    from ...store.rows import Terms
    from ...store.store import Store


def why(
    record: Annotated[
        str, typer.Argument(help="a record's number, RUN:EXAMPLE, or the beginning of an id")
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """The story of a label: who gave it, from which words, at what cost, and who learnt from it."""
    from ...store.story import find_records
    from ...store.story import why as story_of

    with _looked_into(store) as opened:
        stories = [story_of(opened, number) for number in find_records(opened, record)]
    if as_json:
        tell(stories, as_json=True)
        return
    from .stories import print_story

    for story in stories:
        print_story(story)


def stats(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """What is in the store: examples, runs and what they took, flags, reviews, trainings, terms."""
    from ...store.overview import overview

    with _looked_into(store) as opened:
        found = overview(opened)
    if as_json:
        tell(found, as_json=True)
        return
    from .stories import print_overview

    print_overview(found)


def search(
    text: Annotated[str, typer.Argument(help="words; one that ends in * stands for its beginning")],
    store: StoreOption = DEFAULT_STORE,
    task: Annotated[str | None, typer.Option(help="only the task of this name")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most this many")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The inputs and reasonings that hold all these words, best match first."""
    from ...store.search import search as search_in

    with _looked_into(store) as opened:
        found = search_in(opened, text, task=task, limit=limit)
    if as_json:
        tell([one.model_dump() for one in found], as_json=True)
        return
    from .stories import print_found

    print_found(found)


def datasette(
    database: Annotated[Path | None, typer.Argument(help="the store; default --store")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write what datasette needs to show the store usefully, and say how to start it."""
    from ...store.datasette import write_metadata

    path = database or store
    open_store(path, create=False).close()  # a file that is no store is said at once
    written = write_metadata(path)
    words = ["datasette", str(path), "-m", str(written), "--setting", "suggest_facets", "off"]
    line = subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
    tell({"metadata": written, "command": line, "words": words}, [line], as_json=as_json)


def terms(
    model: Annotated[str | None, typer.Argument(help="as `stats` names it; none: show all")] = None,
    note: Annotated[str | None, typer.Option(help="what the terms say on training")] = None,
    licence: Annotated[str | None, typer.Option(help="the licence of its outputs")] = None,
    source: Annotated[str | None, typer.Option(help="where that stands")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be replaced, and note nothing")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Note what a teacher's provider says on training with its outputs, for the model card."""
    from ...store.provenance import all_terms, set_terms, terms_of
    from .stories import print_terms

    told = {"note": note, "licence": licence, "source": source}
    given = {name: text for name, text in told.items() if text is not None}
    with open_for(store, dry_run=dry_run) as opened:
        if model is not None and given:
            known = terms_of(opened, model)
            noted = _noted(model, known, given)
            if dry_run:
                _tell_replaced(known, noted, as_json)
                return
            set_terms(opened, noted)
        found = all_terms(opened)
    found = [one for one in found if model in (None, one.model)]
    if as_json:
        tell([one.model_dump() for one in found], as_json=True)
        return
    print_terms(found, model=model)


def _noted(model: str, known: Terms | None, given: Mapping[str, str]) -> Terms:
    """What is noted of the model from now on: what was, where nothing else is given."""
    from ...store.rows import Terms
    from ..runs import now

    kept = {"note": "", **(known.model_dump() if known else {})}
    return Terms.model_validate(kept | dict(given) | {"model": model, "noted": now()})


def _tell_replaced(known: Terms | None, noted: Terms, as_json: bool) -> None:
    """Say what a note would put in the place of which other; nothing was written."""
    from .stories import visible

    before, after = (known.model_dump() if known else {}), noted.model_dump()
    lines = []
    for name in ("note", "licence", "source"):
        old, new = before.get(name), after[name]
        if old != new:
            over = f", in the place of: {old}" if old else ""
            lines.append(visible(f"{noted.model}: {name} would be: {new}{over}", longest=1000))
    data = {"now": before or None, "would": after, "written": False}
    tell(data, [*lines, "nothing was written"], as_json=as_json)


def _looked_into(path: Path) -> Store:
    """The store to read from, also where nothing may be written."""
    from ...store.store import Store

    return Store(path, create=False, read_only=not os.access(path, os.W_OK))


COMMANDS: dict[str, Any] = {"why": why}
STORE_COMMANDS: dict[str, Any] = {
    "stats": stats,
    "search": search,
    "datasette": datasette,
    "terms": terms,
}
