"""The commands that look into a store: why a label is what it is, what is there, search, terms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DEFAULT_STORE, JsonOption, StoreOption, open_store, say, tell

if TYPE_CHECKING:
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
) -> None:
    """Write what datasette needs to show the store usefully, and say how to start it."""
    import shlex

    from ...store.datasette import write_metadata

    path = database or store
    open_store(path, create=False).close()  # a file that is no store is said at once
    written = write_metadata(path)
    names = shlex.join(["datasette", str(path), "-m", str(written)])
    say(f"{names} --setting suggest_facets off")


def terms(
    model: Annotated[str | None, typer.Argument(help="as `stats` names it; none: show all")] = None,
    note: Annotated[str | None, typer.Option(help="what the terms say on training")] = None,
    licence: Annotated[str | None, typer.Option(help="the licence of its outputs")] = None,
    source: Annotated[str | None, typer.Option(help="where that stands")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Note what a teacher's provider says on training with its outputs, for the model card."""
    from ...store.provenance import all_terms, set_terms, terms_of
    from ...store.rows import Terms
    from ..runs import now
    from .stories import print_terms

    with open_store(store, create=False) as opened:
        if model is not None and (note, licence, source) != (None, None, None):
            known = terms_of(opened, model)
            given = {"note": note, "licence": licence, "source": source}
            kept = {"note": "", **(known.model_dump() if known else {})}
            told = kept | {name: text for name, text in given.items() if text is not None}
            set_terms(opened, Terms.model_validate(told | {"model": model, "noted": now()}))
        found = all_terms(opened)
    found = [one for one in found if model in (None, one.model)]
    if as_json:
        tell([one.model_dump() for one in found], as_json=True)
        return
    print_terms(found, model=model)


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
