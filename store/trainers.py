"""What trl and LLaMA-Factory train on, as the messages of OpenAI's fine-tuning files.

Shapes: trl docs, "Dataset formats", conversational prompt-completion; LLaMA-Factory docs, "Data
preparation", sharegpt and alpaca.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .columns import RefusedRow

_SPEAKERS = {"human": "user", "gpt": "assistant"}


def as_fine_tune(row: Mapping[str, Any], format: str) -> dict[str, Any]:
    """The row with `messages`; `format` is one of TRAINERS. Raises RefusedRow."""
    return {"messages": TRAINERS[format](row)}


def _trl(row: Mapping[str, Any]) -> list[Any]:
    return [*_listed(row, "prompt"), *_listed(row, "completion")]


def _sharegpt(row: Mapping[str, Any]) -> list[Any]:
    turns = [turn for turn in _listed(row, "conversations") if isinstance(turn, dict)]
    told = ((_SPEAKERS.get(str(t.get("from")), t.get("from")), t.get("value")) for t in turns)
    return [*_system(row), *(_message(role, text) for role, text in told)]


def _alpaca(row: Mapping[str, Any]) -> list[Any]:
    told = row.get("history")
    history = [turn for turn in told if isinstance(turn, list)] if isinstance(told, list) else []
    asked = [row.get("instruction"), row.get("input")]
    turns = [*history, ["\n".join(map(str, filter(None, asked))), row.get("output")]]
    roles = ("user", "assistant")
    pairs = (pair for turn in turns for pair in zip(roles, turn, strict=False))
    return [*_system(row), *(_message(role, text) for role, text in pairs)]


def _listed(row: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(row.get(name), list):
        raise RefusedRow(f"has no list {name}")
    return list(row[name])


def _system(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_message("system", row["system"])] if row.get("system") else []


def _message(role: Any, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


TRAINERS: dict[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "trl": _trl,
    "llamafactory": _sharegpt,
    "alpaca": _alpaca,
}
