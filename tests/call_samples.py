"""Calls for the tests of what is made of them: stored as an app's recorder stores its own."""

from __future__ import annotations

from collections.abc import Iterable

from understudy.store import Store
from understudy.store.rows import Call, StandIn
from understudy.store.stand_ins import Remembered, add_remembered, stand_in

NOW = "2026-11-25T00:00:00+00:00"


def add_calls(store: Store, calls: Iterable[Call]) -> int:
    """Calls of the first one's stand-in, which is there; how many."""
    rows = [Remembered(call) for call in calls]
    here = stand_in(store, rows[0].call.stand_in)
    assert isinstance(here, StandIn)
    add_remembered(store, here, [], rows, now=NOW)
    return len(rows)
