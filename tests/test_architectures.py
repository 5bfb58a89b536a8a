"""Any causal language model of transformers answers in a batch what it answers alone."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from understudy.chains.student import paths
from understudy.chains.student.chunks import Chunk, cuts
from understudy.chains.student.engine import Engine
from understudy.chains.student.paths import path_for
from understudy.chains.student.slots import Slots
from understudy.chains.student.weights import load_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 480,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "head_dim": 16,
    "initializer_range": 0.2,
}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("Llama", {}, "Packed"),
    ("Llama", {"tie_word_embeddings": True, "attention_bias": True}, "Packed"),
    ("Llama", {"rope_parameters": LLAMA3}, "Packed"),
    ("Qwen2", {}, "Packed"),
    ("Qwen3", {}, "Packed"),
    ("Mistral", {"sliding_window": None}, "Packed"),
    ("SmolLM3", {"no_rope_layers": [1, 0]}, "Slots"),
    ("Mistral", {"sliding_window": 5}, "Slots"),
    ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}, "Slots"),
    ("Gemma2", {"sliding_window": 4}, "Slots"),
    ("Gemma3Text", {"sliding_window": 4, "query_pre_attn_scalar": 16}, "Slots"),
    ("Phi3", {}, "Slots"),
    ("Qwen3_5Text", LINEAR, "Slots"),
    ("Qwen3Next", {**LINEAR, "num_experts": 0}, "Slots"),
    ("Mamba", {"state_size": 4}, "Apart"),
]
NAMES = [f"{kind}-{index}" for index, (kind, _, _) in enumerate(KINDS)]


class Answer(BaseModel):
    reasoning: str = Field(max_length=12)
    sure: bool
    count: int = Field(ge=0, le=500)


def tiny(kind: str, **options: Any) -> Any:
    import torch
    import transformers

    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **options})
    make: Any = transformers.AutoModelForCausalLM.from_config
    return make(config).eval()


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base, "tiny")


def prompts(count: int) -> list[list[int]]:
    chance = random.Random(5)
    start = [chance.randrange(3, 470) for _ in range(24)]
    return [
        start + [chance.randrange(3, 470) for _ in range(chance.randint(1, 30))]
        for _ in range(count)
    ]


@pytest.mark.parametrize(("kind", "options", "way"), KINDS, ids=NAMES)
def test_every_architecture_writes_valid_answers_in_batches_as_alone(
    kind: str, options: dict[str, Any], way: str, tokenizer: Any, plain_loop: Any
) -> None:
    model = tiny(kind, **options)
    asked, schema = prompts(5), Answer.model_json_schema()
    wanted = [plain_loop(model, tokenizer, prompt, schema)[0] for prompt in asked]
    engine = Engine(model, tokenizer, max_batch=4)
    assert type(engine.path).__name__ == way
    futures = [engine.submit(prompt, schema=schema) for prompt in asked]
    answers = [future.result(120) for future in futures]
    engine.close()

    assert [answer.pieces for answer in answers] == wanted
    for answer in answers:
        Answer.model_validate_json(answer.text)


@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
def test_the_fast_path_has_the_logits_of_the_general_one(kind: str) -> None:
    import torch

    model = tiny(kind)
    fast, general = path_for(model), Slots(model)
    chance, rows, read = random.Random(1), prompts(6), [0] * 6
    while any(read[slot] < len(row) for slot, row in enumerate(rows)):
        steps = [chance.choice([1, 1, 2, 9, 30]) for _ in rows]
        chunks = [
            Chunk(slot, read[slot], row[read[slot] : read[slot] + steps[slot]])
            for slot, row in enumerate(rows)
            if read[slot] < len(row)
        ]
        chance.shuffle(chunks)
        found = fast.scores(fast.feed(chunks))
        torch.testing.assert_close(found, general.feed(chunks), atol=1e-4, rtol=1e-4)
        some = fast.scores(fast.feed(chunks), [7, 3, 99])
        torch.testing.assert_close(some, found[:, [7, 3, 99]], atol=1e-4, rtol=1e-4)
        for chunk in chunks:
            read[chunk.slot] += len(chunk.tokens)


@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
def test_rows_that_share_more_or_less_of_an_opening_have_the_logits_of_the_whole(kind: str) -> None:
    import torch

    model = tiny(kind)
    fast, general = path_for(model), Slots(model)
    start, *rows = prompts(5)
    shared = [len(start), 20, 0, len(start), 7]
    texts = [start[:size] + row for size, row in zip(shared, [*rows, rows[0]], strict=True)]
    for path in (fast, general):
        path.open(start)
        for slot, size in enumerate(shared):
            if size:
                path.share([slot], size)
    read = list(shared)
    for _ in range(6):
        chunks = [
            Chunk(slot, read[slot], text[read[slot] : read[slot] + 1 + 7 * (slot % 2)])
            for slot, text in enumerate(texts)
            if read[slot] < len(text)
        ]
        found = fast.scores(fast.feed(chunks))
        torch.testing.assert_close(found, general.feed(chunks), atol=1e-4, rtol=1e-4)
        for chunk, logits in zip(chunks, found, strict=True):
            read[chunk.slot] += len(chunk.tokens)
            with torch.inference_mode():
                whole = model(torch.tensor([texts[chunk.slot][: read[chunk.slot]]])).logits[0, -1]
            torch.testing.assert_close(logits, whole, atol=1e-3, rtol=1e-3)
    fast.copy(1, 7, read[1])
    moved = fast.scores(fast.feed([Chunk(7, read[1], [5]), Chunk(1, read[1], [5])]))
    torch.testing.assert_close(moved[0], moved[1], atol=1e-5, rtol=1e-5)


def test_the_fast_path_keeps_no_second_copy_of_the_weights() -> None:
    model = tiny("Llama")
    path: Any = path_for(model)
    held = {part.untyped_storage().data_ptr() for part in model.parameters()}
    for layer in path._layers:
        for weight in (layer.into, layer.out, layer.gate_up, layer.down):
            assert weight.untyped_storage().data_ptr() in held


def test_no_fast_path_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    paths._SAID.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            path_for(tiny("Phi3"))
            path_for(tiny("Llama"))

    told = [record.getMessage() for record in caplog.records if record.name == paths.__name__]
    assert told == [
        "a phi3 model has no fast path here; it is run through transformers' own forward"
    ]


def test_cuts_read_the_long_rest_of_few_rows_on_their_own() -> None:
    assert cuts([1] * 8) == [(0, 1)]
    assert cuts([1] * 63 + [40]) == [(0, 1), (1, 40)]
    assert cuts([30, 31, 32]) == [(0, 32)]
    assert cuts([30, 31, 32, 30], call=0) == [(0, 30), (30, 31), (31, 32)]
