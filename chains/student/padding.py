"""The token that fills up short rows: one that is never the end of a text."""

from __future__ import annotations

from typing import Any

from .card import StudentError

_PAD_NAMES = ("<pad>", "<|pad|>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")


def pad_token(tokenizer: Any) -> str:
    """The name of the token to pad with. Raises StudentError where there is none."""
    vocabulary = tokenizer.get_vocab()
    reserved = [name for name in vocabulary if "reserved" in name and name.startswith("<")]
    first = tokenizer.convert_ids_to_tokens(0)
    for name in (*_PAD_NAMES, *sorted(reserved), tokenizer.bos_token, first):
        if name in vocabulary and name != tokenizer.eos_token:
            return str(name)
    raise StudentError("the tokenizer has no token to pad with; use another base")
