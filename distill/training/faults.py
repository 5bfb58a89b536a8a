"""What a training is refused for, said with the row it was found in and its tokens as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHOWN = 12  # tokens beside a fault


class TrainingError(Exception):
    """A training that cannot start or go on: what, which one, what to do."""


def wrong_row(example: str, what: str, remedy: str = "") -> TrainingError:
    """The error for one training row."""
    remedy = remedy or "label it again or take another base"
    return TrainingError(f"training row of example {example}: {what}; {remedy}")


def decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """The ids as text, special tokens included, nothing tidied up."""
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )


def tokens_shown(tokenizer: Any, ids: Sequence[int], *, at: int = 0) -> str:
    """The tokens around place `at`, each decoded by itself, between dots, on one line."""
    start = max(0, min(at, len(ids)) - SHOWN)
    some = ids[start : at + SHOWN]
    texts = [_readable(decoded(tokenizer, [token])) for token in some]
    left, right = "…" if start else "", "…" if at + SHOWN < len(ids) else ""
    return f"{left}·{'·'.join(texts)}·{right}"


def _readable(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
