"""A Report cut to size, so that a page of it never outgrows its limit; report.json stays whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..evaluation.results import Report


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """`text`: characters of one text, `many`: entries of one list, `rows`: bytes of the browser."""

    text: int
    many: int
    rows: int
    row_text: int


LADDER = (
    Bounds(text=2_000, many=5_000, rows=1_500_000, row_text=6_000),
    Bounds(text=600, many=400, rows=700_000, row_text=2_000),
    Bounds(text=160, many=24, rows=250_000, row_text=600),
    Bounds(text=60, many=8, rows=60_000, row_text=200),
)


def bounded(result: Report, bounds: Bounds) -> tuple[Report, bool]:
    """The report with long texts and lists cut, and whether anything was; its rows are left out."""
    whole = result.model_dump(exclude={"rows", "curves"})
    walk = _Walk(bounds)
    data = walk.cut(whole)
    rows = result.rows.model_dump(exclude={"rows"}) | {"rows": []}
    trainings = [
        one.model_copy(update={"name": walk.cut(one.name)}) for one in result.curves[: bounds.many]
    ]
    kept = Report.model_validate(data | {"rows": rows})
    return kept.model_copy(update={"curves": trainings}), walk.did


def clipped(text: str, longest: int) -> str:
    """The text, or its beginning and how much more there is."""
    if len(text) <= longest:
        return text
    return f"{text[: max(1, longest - 24)]}… [{len(text) - longest + 24:,} more]"


class _Walk:
    def __init__(self, bounds: Bounds) -> None:
        self.bounds, self.did = bounds, False

    def cut(self, data: Any) -> Any:
        if isinstance(data, str):
            self.did |= len(data) > self.bounds.text
            return clipped(data, self.bounds.text)
        if isinstance(data, list | tuple):
            self.did |= len(data) > self.bounds.many
            return [self.cut(item) for item in data[: self.bounds.many]]
        if isinstance(data, dict):
            self.did |= len(data) > self.bounds.many
            kept = list(data.items())[: max(self.bounds.many, 24)]
            return {self.cut(key): self.cut(value) for key, value in kept}
        return data
