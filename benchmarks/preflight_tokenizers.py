"""Bases with tokenizers of several kinds, trained here: small folders that `prepare` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SPECIALS = ["<pad>", "<s>", "</s>", "<unk>"]
KINDS = ("byte-level BPE", "BPE with byte fallback", "the same, with a space before every text")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
HYBRID = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "head_dim": 16,
}


def trained_tokenizer(kind: str, texts: Iterable[str], *, size: int = 2048) -> Any:
    """A tokenizer of this kind, trained on the texts.

    The KINDS write every text. "drops accents" is one of them before which letters lose their
    marks; "drops braces" knows the letters of the texts but no braces, and skips what it does not
    know.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = list(texts)
    special = SPECIALS
    alphabet: list[str] = []
    if kind in ("byte-level BPE", "drops accents"):
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        if kind == "drops accents":
            marks = [normalizers.NFD(), normalizers.StripAccents()]
            backend.normalizer = normalizers.Sequence(marks)
    else:
        fallback = kind != "drops braces"
        backend = Tokenizer(models.BPE(byte_fallback=fallback, fuse_unk=fallback, unk_token=None))
        first = kind == "the same, with a space before every text"
        scheme: Any = "first" if first else "never"
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        backend.decoder = decoders.Sequence(parts + [decoders.Strip(" ", 1, 0)] * first)
        if fallback:
            special = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
        else:
            texts = [text.replace("{", "").replace("}", "") for text in texts]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=1,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=_bytes_plain(backend),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=TEMPLATE,
    )


def write_base(folder: Path, tokenizer: Any, *, context: int = 4096, hybrid: bool = False) -> Path:
    """A base of random weights with this tokenizer: one Llama layer, or two of a hybrid model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2 if hybrid else 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": context,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    extra: Mapping[str, Any] = HYBRID if hybrid else {}
    config = AutoConfig.for_model("qwen3_next" if hybrid else "llama", **shape, **extra)
    torch.manual_seed(0)
    build: Any = AutoModelForCausalLM.from_config
    build(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bytes_plain(backend: Any) -> Any:
    """The tokens of single bytes as ordinary ones: as special ones they would not be decoded."""
    import json

    from tokenizers import Tokenizer

    data = json.loads(backend.to_str())
    data["added_tokens"] = [
        token for token in data["added_tokens"] if not token["content"].startswith("<0x")
    ]
    return Tokenizer.from_str(json.dumps(data))
