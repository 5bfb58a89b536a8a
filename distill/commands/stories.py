"""What the store's commands print: stories, totals, findings. Text from data is shown as text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ...store.rows import Terms
    from ...store.search import Found

LONGEST = 2000  # characters of one text that a story shows; --json has all
# What `stats` shows at 80 columns; --json has all.
_WHO = ("run", "name", "role", "task", "model")
_TOOK = {
    "run": "run",
    "rows": "rows",
    "failed": "failed",
    "attempts": "asked",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "cost": "US$",
    "seconds": "seconds",
}
_TAUGHT = ("number", "name", "target", "run", "lessons", "created", "folder")
_SHORT = 10  # characters: a column of cells that are no longer is not broken
_JOINERS = "\u200c\u200d"  # writing and emoji need them


def visible(text: object, *, longest: int = LONGEST) -> str:
    """The text without power over a terminal: controls and direction marks as escapes."""
    shown = str(text)
    cut = f" … ({len(shown) - longest} characters more)" if len(shown) > longest else ""
    return "".join(map(_seen, shown[:longest])) + cut


def print_story(story: Mapping[str, Any]) -> None:
    """One record's story: what was answered, who and how, and what came of it."""
    record, example, run = story["record"], story["example"], story["run"]
    console = _console()
    facts = {
        "record": f"{record['number']}  {run['id']}:{example['id']}",
        "example": f"task {example['task']}, split {example['split']}",
        "inputs": _lines(example["inputs"]),
        "answer": _answer(record),
        "reasoning": record["reasoning"],
        "gold": _gold(example),
        "who": f"{run['role']} {run['name']}: {run['model']}"
        + (f" (calls itself {record['model']})" if record["model"] else ""),
        "how": f"strategy {run['strategy']}, target {run['target']}",
        "parameters": _json(run["parameters"]),
        "when": _when(record, run),
        "cost": _cost(record),
        "confidence": _json(record["confidence"]),
        "votes": _json(record["votes"]),
        "details": _json(record["details"]),
        "terms": _terms(run["model"], story["terms"]),
        "corrections": "\n".join(map(_correction, story["corrections"])) or "none",
        "flags": "\n".join(map(_flag, story["flags"])),
        "taught": "\n".join(
            f"{one['name']} ({one['target']}, seed {one['seed']}, {one['created']}) in "
            f"{one['folder']}"
            for one in story["trainings"]
        )
        or "no student yet",
        "others": "\n".join(
            f"{one['number']}  {one['role']} {one['name']} ({one['model']}): "
            + ((one["answer"] and _json(one["answer"])) or f"failed: {one['error']}")
            for one in story["others"]
        ),
        "versions": _json(run["versions"]),
        "prompt": _words(story["words"]["words"]),
        "schema": _words(story["words"]["answers"]),
    }
    table = _grid()
    for name, text in facts.items():
        if text:
            _row(table, name, text)
    console.print(table)
    console.print()


def print_overview(found: Mapping[str, Any]) -> None:
    """What `overview` found, as tables."""
    console = _console()
    table = _grid()
    _row(table, "store", found["path"])
    _row(table, "size", f"{found['bytes'] / 1e6:.1f} MB, schema {found['schema']}")
    console.print(table)
    splits = [
        {**split, "with gold": f"{split['gold'] / split['examples']:.0%}"}
        for split in found["examples"]
    ]
    _print_all(console, "examples", splits)
    runs = [{**run, "run": run["run"][:8]} for run in found["runs"]]  # as `why` takes it
    _print_all(console, "runs", [{name: run[name] for name in _WHO} for run in runs])
    _print_all(
        console, "what they took", [{_TOOK[name]: run[name] for name in _TOOK} for run in runs]
    )
    _print_all(console, "flags", found["flags"])
    _print_all(console, "reviews", found["reviews"])
    trainings = [
        {**one, "run": one["run"][:8], "created": one["created"][:10]} for one in found["trainings"]
    ]
    _print_all(console, "trainings", [{name: one[name] for name in _TAUGHT} for one in trainings])
    _print_all(console, "terms", [{**one, "noted": one["noted"][:10]} for one in found["terms"]])


def print_found(found: Sequence[Found]) -> None:
    """What a search found, a line each."""
    table = _grid(*("record", "where", "task", "example", "text"))
    for one in found:
        number = "" if one.number is None else str(one.number)
        _row(table, number, one.where, f"{one.task}/{one.split}", one.example, _line(one.snippet))
    console = _console()
    console.print(table if found else "nothing holds all these words")


def print_terms(found: Sequence[Terms], *, model: str | None) -> None:
    """What was noted of the terms of models."""
    from rich.text import Text

    table = _grid("model", "licence", "note", "source", "noted")
    for one in found:
        _row(table, one.model, one.licence or "", one.note, one.source or "", one.noted)
    whom = f" of {visible(model)}" if model else ""
    _console().print(table if found else Text(f"nothing is noted of the terms{whom}"))


def _print_all(console: Console, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.text import Text

    if not rows:
        console.print(Text(f"{title}: none"))
        return
    known = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    table = _grid(*known, title=title)
    cells = [[_cell(row[name]) for name in known] for row in rows]
    for column, texts in zip(table.columns, zip(*cells, strict=True), strict=True):
        column.no_wrap = max(map(len, texts)) <= _SHORT
    for line in cells:
        _row(table, *line)
    console.print(table)


def _console() -> Console:
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def _grid(*columns: str, title: str | None = None) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=None,
        show_header=bool(columns),
        padding=(0, 2, 0, 0),
    )
    for column in columns or ("", ""):
        table.add_column(Text(column.replace("_", " ")), overflow="fold")
    return table


def _row(table: Table, *texts: object) -> None:
    from rich.text import Text

    table.add_row(*(Text(visible(text)) for text in texts))


def _seen(sign: str) -> str:
    if sign in "\n\t" or sign in _JOINERS:
        return sign
    if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return sign.encode("unicode_escape").decode()
    return sign


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _line(text: str) -> str:
    return " ".join(text.split())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _lines(inputs: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {text}" for name, text in inputs.items())


def _answer(record: Mapping[str, Any]) -> str:
    if record["answer"] is not None:
        return json.dumps(record["answer"], ensure_ascii=False)
    raw = f"\nit wrote: {record['raw']}" if record["raw"] else ""
    return f"failed: {record['error']}{raw}"


def _gold(example: Mapping[str, Any]) -> str:
    if example["gold"] is None:
        return "none"
    by = f"by {example['gold_by']}" if example["gold_by"] else "came with a file"
    return f"{json.dumps(example['gold'], ensure_ascii=False)} ({by})"


def _when(record: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    if run["strategy"] == "recorded":
        return f"{record['created']} (recorded elsewhere, first imported {run['started']})"
    finished = f"finished {run['finished']}" if run["finished"] else "not finished"
    return f"{record['created']} (run started {run['started']}, {finished})"


def _cost(record: Mapping[str, Any]) -> str:
    attempts = record["attempts"]
    told = [f"{attempts} attempt{'s' if attempts != 1 else ''}", f"{record['seconds']:.2f} s"]
    for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
        if record[name] is not None:
            told.append(f"{record[name]} {name.replace('_', ' ')}")
    price = "price unknown" if record["cost"] is None else f"${record['cost']:.6f}"
    return ", ".join([*told, price])


def _words(words: Mapping[str, Any]) -> str:
    if not words["fingerprint"]:
        return "not known: the answer was recorded elsewhere"
    return f"{words['fingerprint']}\n{_spoken(words['text'])}"


def _spoken(text: str | None) -> str:
    if text is None:
        return "(its text was not kept)"
    data = json.loads(text)
    if isinstance(data, list):
        return "\n".join(f"{message['role']}: {message['text']}" for message in data)
    return json.dumps(data, ensure_ascii=False)


def _terms(model: str, terms: Mapping[str, Any] | None) -> str:
    if terms is None:
        return "none noted; understudy store terms MODEL --note ..."
    told = (terms["licence"], terms["note"], terms["source"], f"noted {terms['noted']}")
    return "; ".join(part for part in told if part)


def _correction(review: Mapping[str, Any]) -> str:
    undone = f", taken back {review['undone']}" if review["undone"] else ""
    answer = f" {_json(review['answer'])}" if review["verdict"] == "correct" else ""
    before = f" (before: {_json(review['gold_before'])})" if review["gold_before"] else ""
    return f"{review['created']} {review['reviewer']}: {review['verdict']}{answer}{before}{undone}"


def _flag(flag: Mapping[str, Any]) -> str:
    filtered = ", so the row does not teach" if flag["filtered"] else ""
    return f"{flag['rule']}: {_json(flag['detail'])}{filtered}"
