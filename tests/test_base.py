"""The embedded base as it is shipped: what its README says of it is true."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

BASE = Path(__file__).parents[1] / "examples" / "base"
WEIGHTS = BASE / "weights"


def test_the_readme_tells_of_the_weights_that_are_shipped():
    digest = hashlib.sha256((WEIGHTS / "model.safetensors").read_bytes()).hexdigest()
    assert digest in (BASE / "README.md").read_text(encoding="utf-8")


def test_it_is_small_and_holds_no_pickle():
    files = list(WEIGHTS.iterdir())
    assert sum(file.stat().st_size for file in files) < 10 * 2**20
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".jinja"}


def test_it_is_a_tiny_llama_whose_padding_does_not_end_answers():
    pytest.importorskip("transformers")
    from understudy.chains.student.weights import base_folder, load_tokenizer
    from understudy.distill.training.hardware import parameter_count

    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert 1_000_000 <= parameter_count(base_folder("embedded")) <= 4_000_000
    tokenizer = load_tokenizer(base_folder("embedded"), "embedded")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_its_chat_template_asks_as_its_corpus_did():
    pytest.importorskip("transformers")
    from langchain_core.messages import HumanMessage

    from understudy.chains.student.rendering import prompt_ids
    from understudy.chains.student.weights import base_folder, load_tokenizer
    from understudy.examples.base.corpus import PROMPT_END

    tokenizer = load_tokenizer(base_folder("embedded"), "embedded")
    asked = prompt_ids(tokenizer, [HumanMessage("Copie a frase f1.")])
    assert tokenizer.decode(asked) == f"Copie a frase f1.{PROMPT_END}"
