"""What is in a store, as data: `understudy store stats`. SQLite sums up; no row is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import provenance, schema
from .store import Store
from .totals import run_totals, split_totals

_FLAGS = """
select e.task, f.rule, count(*) as rows, exists
(select 1 from filters t where t.task = e.task and t.rule = f.rule) as filtered
from flags f join examples e on e.position = f.example group by e.task, f.rule
"""
_REVIEWS = """
select e.task, v.reviewer, sum(v.verdict = 'accept' and v.undone is null) as accepted,
sum(v.verdict = 'correct' and v.undone is null) as corrected,
sum(v.verdict = 'skip' and v.undone is null) as skipped, sum(v.undone is not null) as undone
from reviews v join examples e on e.position = v.example group by e.task, v.reviewer
"""
_TRAININGS = """
select t.number, t.name, t.task, t.target, t.base, t.folder, t.created, u.id as run, u.model,
(select count(*) from lessons l where l.training = t.number) as lessons
from trainings t join runs u on u.position = t.run order by t.number
"""


def overview(store: Store) -> dict[str, Any]:
    """What the store holds, as JSON data.

    `path`, `bytes` of the file, `schema` (the newest migration); and lists of dicts: `examples` per
    task and split, `runs` with what they took (tokens and US dollars are null where no record says;
    seconds are wall time), `flags` per task and rule, `reviews` per task and reviewer, `trainings`,
    `terms`.
    """
    path = Path(store.path)
    asked = {"flags": _FLAGS, "reviews": _REVIEWS, "trainings": _TRAININGS}
    return {
        "path": store.path,
        "bytes": path.stat().st_size if path.is_file() else 0,
        "schema": schema.STEPS[-1].__name__,
        "examples": [split.model_dump() for split in split_totals(store)],
        "runs": [run.model_dump() for run in run_totals(store)],
        **{
            name: [dict(row) for row in store.connection.read(statement)]
            for name, statement in asked.items()
        },
        "terms": [terms.model_dump() for terms in provenance.all_terms(store)],
    }
