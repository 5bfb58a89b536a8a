"""Pretrain the embedded base student from nothing: tokenizer, tiny Llama, one pass over the corpus.

Command: python -m understudy.examples.base.pretrain --out DIR --seed 0   (CPU or GPU)
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..news.lexicon import EMOTIONS, POLARITIES
from .corpus import LAYOUT_WORDS, Document, document
from .wiring import Wiring, wire

VOCABULARY = 2048
PADDING, BEGIN, END = 0, 1, 2
IGNORED = -100

# Newlines are written as expressions: Jinja's trim_blocks eats one that follows a block tag.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if not loop.first %}{{ '\\n\\n' }}{% endif %}{{ message['content'] }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nResultado:\\n' }}{% endif %}"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a pretraining run is made of."""

    steps: int = 3600
    batch: int = 20
    rehearsals: int = 260  # steps of copying random tokens, before the corpus
    rehearsal_batch: int = 32
    rehearsed_share: float = 0.15  # of the rows in the first quarter of the corpus
    learning_rate: float = 2.5e-3
    warm_up: int = 60
    decay_from: float = 0.55
    weight_decay: float = 0.05
    tokenizer_documents: int = 12_000


def train_tokenizer(rng: random.Random, documents: int) -> Any:
    """A byte-level BPE tokenizer and the chat template; digits stand alone, so numbers copy."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    drawn = (document(rng, 1.0) for _ in range(documents))
    texts = (part.prompt + part.completion for part in drawn)
    tokenizer.train_from_iterator(chain(texts, _names() * (documents // 60)), trainer)
    wrap: Any = PreTrainedTokenizerFast  # its constructor has no annotations
    return wrap(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="right",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _names() -> list[str]:
    """Keys and labels alone, with and without a space: each shall become one token."""
    words = [*EMOTIONS, *POLARITIES, *LAYOUT_WORDS, "emoção"]
    return [form for word in words for form in (word, f" {word}")]


def new_model() -> Any:
    """An untrained LlamaForCausalLM of 1.1 million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
            bos_token_id=BEGIN,
            eos_token_id=END,
        )
    )


def encode(tokenizer: Any, part: Document) -> tuple[list[int], list[int]]:
    """Token ids and labels of one document; only the completion and its end are learnt."""
    prompt = tokenizer(part.prompt)["input_ids"] if part.prompt else []
    completion = [*tokenizer(part.completion)["input_ids"], END]
    return prompt + completion, [IGNORED] * len(prompt) + completion


def rehearsal(rng: random.Random) -> tuple[list[int], list[int]]:
    """Random tokens, some of which come again; what comes again is to be foretold.

    Copying is learnt here first, where nothing but copying helps.
    """
    passage = _random_tokens(rng, rng.randint(3, 20))
    before, between = (_random_tokens(rng, rng.randint(0, most)) for most in (8, 6))
    again = passage[rng.randrange(max(1, len(passage) - 3)) :]
    ids = [*before, *passage, *between, *again]
    # The first repeated token cannot be known: nothing tells where the copy starts.
    return ids, [IGNORED] * (len(ids) - len(again) + 1) + again[1:]


def _random_tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(END + 1, VOCABULARY) for _ in range(count)]


def _batches(seed: int, tokenizer: Any, recipe: Recipe) -> Iterator[tuple[int, Any, Any]]:
    """Step, inputs and labels: the rehearsals at step 0, then the corpus.

    Sixteen batches are drawn at once and sorted by length, which halves the padding.
    """
    aside, corpus = random.Random(f"{seed}:rehearsal"), random.Random(f"{seed}:corpus")
    for _ in range(recipe.rehearsals):
        yield 0, *_padded([rehearsal(aside) for _ in range(recipe.rehearsal_batch)])
    for step in range(0, recipe.steps, 16):
        progress = step / recipe.steps
        share = recipe.rehearsed_share if progress < 0.25 else 0.0
        rows = [
            rehearsal(aside)
            if aside.random() < share
            else encode(tokenizer, document(corpus, progress))
            for _ in range(min(16, recipe.steps - step) * recipe.batch)
        ]
        rows.sort(key=lambda row: len(row[0]))
        groups = [rows[start : start + recipe.batch] for start in range(0, len(rows), recipe.batch)]
        corpus.shuffle(groups)
        for offset, group in enumerate(groups):
            yield step + offset, *_padded(group)


def _padded(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
    import torch

    longest = max(len(ids) for ids, _ in rows)
    inputs = [ids + [PADDING] * (longest - len(ids)) for ids, _ in rows]
    labels = [targets + [IGNORED] * (longest - len(targets)) for _, targets in rows]
    return torch.tensor(inputs), torch.tensor(labels)


def learning_rate(recipe: Recipe, updates: int, step: int) -> float:
    """Linear warm-up over the first updates, constant, then a linear fall to 2 % of the peak."""
    warm = min(1.0, (updates + 1) / recipe.warm_up)
    left = (1 - step / recipe.steps) / (1 - recipe.decay_from)
    return recipe.learning_rate * warm * min(1.0, max(0.02, left))


def _optimizer(model: Any, recipe: Recipe) -> Any:
    import torch

    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def pretrain(out: Path, seed: int, recipe: Recipe) -> None:
    """Train tokenizer and model from the seed and save both, safetensors, into `out`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = train_tokenizer(random.Random(f"{seed}:tokenizer"), recipe.tokenizer_documents)
    model = new_model()
    wire(model, Wiring())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    optimizer = _optimizer(model, recipe)
    started, tokens, smooth = time.process_time(), 0, 0.0
    for updates, (step, inputs, labels) in enumerate(_batches(seed, tokenizer, recipe)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, updates, step)
        loss = model(input_ids=inputs.to(device), labels=labels.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += inputs.numel()
        smooth = 0.98 * smooth + 0.02 * loss.item() if updates else loss.item()
        if (updates + 1) % 100 == 0:
            spent = time.process_time() - started
            log.info("update %d loss %.3f tokens %d cpu-s %.0f", updates + 1, smooth, tokens, spent)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: --out, --seed and, for a quick try, --steps."""
    parser = argparse.ArgumentParser(description="Pretrain the embedded base student.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pretrain(options.out, options.seed, Recipe(steps=options.steps))
    digest = hashlib.sha256((options.out / "model.safetensors").read_bytes()).hexdigest()
    log.info("%s: model.safetensors sha256 %s", options.out, digest)


if __name__ == "__main__":
    main()
