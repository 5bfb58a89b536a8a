"""The ways to run a small model in LangChain that benchmarks.student compares, and their models."""

from __future__ import annotations

import json
import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy.chains import ChatStudent
from understudy.chains.student.chunks import Chunk
from understudy.chains.student.chunks import Path as Way
from understudy.chains.student.engine import Engine
from understudy.chains.student.engines import _ENGINES, engine_key
from understudy.chains.student.paths import path_for
from understudy.chains.student.weights import base_folder, untuned_model

# SmolLM2-135M (arXiv 2502.02737); only the numbers, no weights.
SMOL = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}\nResultado:\n{% endif %}"
)


class Scripted:
    """A path that pays for the model's own choice and then says the script's next token.

    `scripts` gives what is written after each prompt. Random weights would never end a text.
    """

    def __init__(self, inner: Way, scripts: dict[tuple[int, ...], bytes], tokens: Any) -> None:
        self.rewinds = inner.rewinds
        self._inner, self._scripts, self._tokens = inner, scripts, tokens
        self._lengths = sorted({len(prompt) for prompt in scripts})
        self._read: dict[int, list[int]] = {}
        self._known: dict[int, tuple[int, bytes]] = {}
        self._nexts: dict[bytes, dict[int, int]] = {}
        self._opening: list[int] = []

    def feed(self, chunks: Sequence[Chunk]) -> Any:
        import torch

        states = self._inner.feed(chunks)
        said = [self._said(chunk) for chunk in chunks]
        with torch.inference_mode():
            column = torch.tensor(said, dtype=states.dtype)[:, None]
            return torch.cat([states, column], dim=1)

    def scores(self, states: Any, tokens: Sequence[int] | None = None) -> Any:
        import torch

        logits = self._inner.scores(states[:, :-1], tokens)
        said = states[:, -1].int().tolist()
        places = said if tokens is None else [_place(tokens, token) for token in said]
        rows = [row for row, place in enumerate(places) if place >= 0]
        with torch.inference_mode():
            logits[rows, [places[row] for row in rows]] = 60.0  # beyond any of these models' own
        return logits

    def open(self, tokens: Sequence[int], adapter: str | None = None) -> None:
        self._opening = list(tokens)
        self._inner.open(tokens, adapter)

    def share(self, slots: Sequence[int], length: int) -> None:
        for slot in slots:
            self._read[slot] = self._opening[:length]
            self._known.pop(slot, None)
        self._inner.share(slots, length)

    def copy(self, source: int, target: int, length: int) -> None:
        self._read[target] = self._read[source][:length]
        self._known.pop(target, None)
        self._inner.copy(source, target, length)

    def clear(self) -> None:
        self._read.clear()
        self._known.clear()
        self._inner.clear()

    def _said(self, chunk: Chunk) -> int:
        """The script's next token after what the slot has read, -1 where it has none."""
        read = self._read.setdefault(chunk.slot, [])
        if chunk.start < len(read):
            del read[chunk.start :]
            self._known.pop(chunk.slot, None)
        read += chunk.tokens
        if chunk.slot not in self._known:
            lengths = [size for size in self._lengths if tuple(read[:size]) in self._scripts]
            if not lengths:
                return -1
            script = self._scripts[tuple(read[: lengths[0]])]
            if script not in self._nexts:
                self._nexts[script] = self._by_place(script)
            self._known[chunk.slot] = (len(self._tokens.text(read[lengths[0] :])), script)
        else:
            written, script = self._known[chunk.slot]
            self._known[chunk.slot] = (written + len(self._tokens.text(chunk.tokens)), script)
        written, script = self._known[chunk.slot]
        known = self._nexts[script]
        if written not in known:  # in the midst of a token that the whole text has
            rest = script[written:]
            known[written] = self._tokens.spelled(rest)[0] if rest else self._tokens.end
        return known[written]

    def _by_place(self, script: bytes) -> dict[int, int]:
        """The token that begins at each byte of a script where one does."""
        found: dict[int, int] = {}
        place = 0
        for token in self._tokens.spelled(script):
            found[place] = token
            place += len(self._tokens.text([token]))
        return found


def _place(tokens: Sequence[int], token: int) -> int:
    return tokens.index(token) if token in tokens else -1


def smol_folder(folder: Path, *, quick: bool) -> str:
    """A random model of SmolLM2-135M's shape with a tokenizer of its own, written to `folder`.

    Its 49k byte-level BPE learns from the Python sources that are installed and some rows of the
    sample data: like the original's, it knows code and English better than Portuguese. The quick
    form has 2 of the 30 layers and a smaller vocabulary.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    steps: Any = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192 if quick else 49152,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_sources(1 if quick else 30), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    shape: dict[str, Any] = {**SMOL, "vocab_size": len(tokenizer)}
    if quick:
        shape["num_hidden_layers"] = 2
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _sources(megabytes: int) -> list[str]:
    from understudy.examples.news.generate import news_rows

    files = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    random.Random(0).shuffle(files)
    texts = [f"f1: {row.f1}\nf2: {row.f2}\nf3: {row.f3}\n" for row in news_rows(0)[:100]]
    size = 0
    for file in files:
        if size > megabytes * 1_000_000:
            break
        texts.append(file.read_text(encoding="utf-8", errors="ignore")[:20_000])
        size += len(texts[-1])
    return texts


def pipeline_of(base: str, *, tokens: int, batch: int | None) -> Any:
    """HuggingFacePipeline as notebooks build it; with `batch`, both of its batch sizes are set."""
    from langchain_huggingface import HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    folder = str(base_folder(base))
    generate = pipeline(
        "text-generation",
        model=AutoModelForCausalLM.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder, padding_side="left"),
        return_full_text=False,
        do_sample=False,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        **({"batch_size": batch} if batch else {}),
    )
    return HuggingFacePipeline(pipeline=generate, **({"batch_size": batch} if batch else {}))


def scripted_student(
    base: str, scripts: dict[str, str], *, max_batch: int = 64, **options: Any
) -> ChatStudent:
    """A ChatStudent that writes after each prompt text what `scripts` says."""
    model, tokenizer = untuned_model(base)
    way = path_for(model)
    engine = Engine(model, tokenizer, max_batch=max_batch, path=way)
    tokens = engine._compiler
    engine.close()
    ids = {
        tuple(tokenizer(prompt, add_special_tokens=False)["input_ids"]): text.encode()
        for prompt, text in scripts.items()
    }
    student = ChatStudent(model=base, max_batch_size=max_batch, **options)
    engine = Engine(model, tokenizer, max_batch=max_batch, path=Scripted(way, ids, tokens))
    _ENGINES[engine_key(base, student.sha256)] = engine
    return student


def compact(value: Any) -> str:
    """JSON as a student writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
