"""The rows of a report as data for the page's browser, within so many bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.results import Report, ShownRow
from .bounded import Bounds, clipped

PLAIN_ROWS = 10  # that can be read where no script runs
MOST_SYSTEMS = 40
MOST_PATHS = 200


@dataclass(frozen=True, kw_only=True)
class Browser:
    """`data` goes into the page as JSON; `plain` are rows for who runs no script."""

    data: dict[str, Any]
    plain: tuple[dict[str, Any], ...]
    said: str
    without_text: bool


def browser(result: Report, bounds: Bounds) -> Browser:
    """As many of the report's rows as fit, in their order."""
    rows = result.rows.rows
    names = list(dict.fromkeys(name for row in rows for name in _names(row)))[:MOST_SYSTEMS]
    roles = {system.name: system.role for system in result.systems}
    kept: list[dict[str, Any]] = []
    used = 0
    for row in rows:
        one = _row(row, names, bounds.row_text)
        used += len(island(one).encode("utf-8", "replace"))
        if used > bounds.rows:
            break
        kept.append(one)
    systems = [
        {"name": clipped(name, bounds.text), "role": roles.get(name, "other")} for name in names
    ]
    main = [n for n in (result.reference, *(v.student for v in result.verdicts)) if n in names]
    return Browser(
        data={
            "systems": systems,
            "main": [names.index(n) for n in dict.fromkeys(main)][:3],
            "rows": kept,
        },
        plain=tuple(_plain(row, systems) for row in kept[:PLAIN_ROWS]),
        said=_said(result, rows[: len(kept)]),
        without_text=bool(rows) and all(row.inputs is None for row in rows),
    )


def island(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in it ends one or begins markup."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def leaves(answer: Mapping[str, Any] | None, prefix: str = "") -> dict[str, str]:
    """Path and value of every leaf, as text: {"f1": {"x": 1}} -> {"f1.x": "1"}."""
    found: dict[str, str] = {}
    for key, value in (answer or {}).items():
        if isinstance(value, Mapping) and value:
            found.update(leaves(value, f"{prefix}{key}."))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[f"{prefix}{key}"] = text
    return found


def paths_of(row: ShownRow) -> list[str]:
    """Every path of the gold and of the answers of a row."""
    flat = [leaves(row.gold), *(leaves(answer) for answer in row.answers.values())]
    return list(dict.fromkeys(path for one in flat for path in one))


def _names(row: ShownRow) -> list[str]:
    return [*row.answers, *row.right, *(row.reasonings or {}), *row.errors]


def _row(row: ShownRow, names: Sequence[str], longest: int) -> dict[str, Any]:
    """One row; what is said of a system stands at its place among the names."""
    gold = leaves(row.gold)
    flat = {name: leaves(answer) for name, answer in row.answers.items()}
    paths = paths_of(row)[:MOST_PATHS]

    def cut(text: str | None) -> str | None:
        return None if text is None else clipped(text, longest)

    return {
        "split": clipped(row.split, 400),
        "id": clipped(row.example, 400),
        "why": row.why,
        "inputs": None
        if row.inputs is None
        else [[clipped(name, 400), cut(text)] for name, text in row.inputs.items()][:MOST_PATHS],
        "gold": row.gold is not None,
        "answers": [
            [
                clipped(path, 400),
                cut(gold.get(path)),
                *(cut(flat.get(name, {}).get(path)) for name in names),
            ]
            for path in paths
        ],
        "answered": [_answered(row, name) for name in names],
        "errors": [cut(row.errors.get(name)) for name in names],
        "reasonings": [cut((row.reasonings or {}).get(name)) for name in names],
        "right": [row.right.get(name) for name in names],
        "confidence": [row.confidence.get(name) for name in names],
    }


def _answered(row: ShownRow, name: str) -> int:
    """1 an answer, 0 none, -1 not asked."""
    if name not in row.answers:
        return -1
    return int(row.answers[name] is not None)


def _plain(row: dict[str, Any], systems: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A row for who runs no script: the texts, and what everybody answered in one line each."""
    names = [system["name"] for system in systems]
    said = [("gold", 1)]
    lines = []
    for at, (name, answered) in enumerate([*said, *zip(names, row["answered"], strict=True)]):
        if answered == 0:
            lines.append((name, row["errors"][at - 1] or "no answer"))
        elif answered == 1 and (at or row["gold"]):
            pairs = [f"{a[0]}: {a[1 + at]}" for a in row["answers"] if a[1 + at] is not None]
            lines.append((name, "; ".join(pairs)))
    reasonings = [(n, r) for n, r in zip(names, row["reasonings"], strict=True) if r]
    return {**row, "lines": lines, "reasoned": reasonings}


def _said(result: Report, shown: Sequence[ShownRow]) -> str:
    counts = dict.fromkeys(("disagreement", "error", "sample"), 0)
    for row in shown:
        counts[row.why] += 1
    of = result.rows.of
    parts = [
        f"{counts[why]:,} of {of.get(why, counts[why]):,} {words}"
        for why, words in (
            ("disagreement", "on which student and teacher part ways"),
            ("error", "that somebody else got wrong"),
            ("sample", "of the rest, drawn by chance"),
        )
        if of.get(why) or counts[why]
    ]
    inside = f": {'; '.join(parts)}" if parts else ""
    return f"{len(shown):,} of {result.rows.total:,} rows are in this file{inside}."
