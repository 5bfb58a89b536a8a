"""What every test may ask for: tracing off, no network, and a tiny base model and student."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys

os.environ.update(  # before anything imports langsmith, huggingface_hub or tokenizers
    LANGSMITH_TRACING_V2="false",
    LANGSMITH_TRACING="false",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import settings
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from understudy.chains.task import Task

NEEDS = {
    "needs_posix": (os.name == "posix", "signals, modes or open files as POSIX has them"),
    "needs_fork": (
        hasattr(os, "fork") and sys.platform != "darwin",
        "a fork that the system's own libraries survive",
    ),
    "needs_plain_user": (
        hasattr(os, "geteuid") and os.geteuid() != 0,
        "files that are closed to this user: not on Windows, not for root",
    ),
}

settings.register_profile("steady", deadline=None, max_examples=50)  # machines are shared
settings.load_profile("steady")

# Without them (`make test-lowest`) a test that needs one is skipped, and says which.
OPTIONAL = [
    "accelerate",
    "bitsandbytes",
    "datasets",
    "datasette",
    "fastapi",
    "langchain_tests",
    "llguidance",
    "pandas",
    "peft",
    "playwright",
    "prometheus_client",
    "psutil",
    "pyarrow",
    "safetensors",
    "starlette",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
    "uvicorn",
]
WITHOUT_EXTRAS = importlib.util.find_spec("torch") is None
IMPORTS_ONE = re.compile(rf"^(?:import|from) (?:{'|'.join(OPTIONAL)})\b", re.MULTILINE)

PlainLoop = Callable[..., tuple[tuple[bytes, ...], list[float]]]
TEXTS = [
    "Notícia: o mercado subiu hoje e os investidores ficaram felizes com o resultado do trimestre.",
    "Opinião: a decisão do governo causou medo, raiva e tristeza em toda a população da cidade.",
    "The quick brown fox reads the news and says whether it is good, bad or neutral for everyone.",
    '{"raciocinio":"A frase relata uma queda","f1":{"polaridade":"Negativo","emocao":"Medo"}}',
    '{"kind":"question","items":[{"name":"azul","count":3},{"name":"verde","count":12}],"ok":true}',
    "<|user|>\nFrase: as vendas caíram.\n<|assistant|>\n",
]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def pytest_configure(config: pytest.Config) -> None:
    """The marks of tests that not every system can run."""
    for name, (_, what) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: needs {what}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skipped where the system has not what the test is marked with."""
    for name, (there, what) in NEEDS.items():
        if item.get_closest_marker(name) and not there:
            pytest.skip(f"needs {what}")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Files that import an extra at their top, or start programs that do, are left out."""
    if not WITHOUT_EXTRAS or collection_path.suffix != ".py":
        return None
    whole = ("test_benchmarks.py", "test_conformance.py", "test_wheel.py")
    needs_all = collection_path.name in whole
    return needs_all or bool(IMPORTS_ONE.search(collection_path.read_text("utf-8"))) or None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    lacking = _lacking(call.excinfo.value) if call.excinfo and WITHOUT_EXTRAS else None
    if lacking and report.failed:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1], f"Skipped: needs {lacking}")
    return report


def _lacking(error: BaseException | None) -> str | None:
    """The extra that is not installed and that this error comes of."""
    while error is not None:
        name = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        if name.split(".")[0] in OPTIONAL:
            return name
        error = error.__cause__ or error.__context__
    return None


class Mood(BaseModel):
    """The answer of the tiny task."""

    reasoning: str = Field(max_length=40)
    mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
    urgent: bool


@pytest.fixture(scope="session")
def tiny_task() -> Task:
    """A task with a reasoning, a label and a flag."""
    return Task(
        name="tiny",
        schema=Mood,
        reasoning="reasoning",
        prompt=ChatPromptTemplate.from_messages(
            [("system", "Say how the sentence feels, reasoning first."), ("human", "{sentence}")]
        ),
        student_prompt=ChatPromptTemplate.from_messages([("human", "Frase: {sentence}")]),
    )


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama and a byte-level tokenizer of its own."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny") / "base"
    tokenizer = _tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        initializer_range=0.2,  # sharp enough that its choices differ from row to row
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(7)
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_student(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_task: Task
) -> Path:
    """A run folder over `tiny_base` for `tiny_task`: a random adapter that changes its answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from understudy.chains.student.card import StudentCard, write_card
    from understudy.chains.student.weights import base_sha256, load_base
    from understudy.chains.task import prompt_words

    folder = tmp_path_factory.mktemp("runs") / "tiny-student"
    model, tokenizer = load_base(str(tiny_base))
    torch.manual_seed(11)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    adapted.save_pretrained(str(folder), safe_serialization=True)
    tokenizer.save_pretrained(folder)
    assert tiny_task.student_prompt is not None
    write_card(
        folder,
        StudentCard(
            name="tiny-student",
            task=tiny_task.name,
            target="reason_label",
            base=str(tiny_base),
            base_sha256=base_sha256(str(tiny_base)),
            words=tiny_task.student_words,
            answers=tiny_task.answers,
            prompt=prompt_words(tiny_task.student_prompt),
            answer_schema=tiny_task.json_schema("reason_label"),
        ),
    )
    return folder


@pytest.fixture(scope="session")
def plain_loop() -> PlainLoop:
    """Greedy decoding one token at a time, the whole text through the model each time.

    (model, tokenizer, prompt, schema) -> the bytes of each token and its share of the probability
    that the grammar leaves there.
    """
    return _plain_loop


def _plain_loop(
    model: Any, tokenizer: Any, prompt: list[int], schema: dict[str, Any]
) -> tuple[tuple[bytes, ...], list[float]]:
    import torch

    from understudy.chains.student.grammar import Compiler

    ends = [tokenizer.eos_token_id]
    compiler = Compiler(tokenizer, vocabulary=len(tokenizer), end_tokens=ends)
    state = compiler.compile(schema).start.deep_copy()
    written: list[int] = []
    shares: list[float] = []
    while not state.is_stopped():
        forced = state.compute_ff_tokens()
        token, share = (forced or [0])[0], 1.0
        if not forced:
            with torch.inference_mode():
                scores = model(torch.tensor([prompt + written])).logits[0, -1]
            allowed = torch.from_numpy(compiler.masks([state])[0])
            spelled = _spelled(tokenizer, schema, b"".join(map(_bytes(compiler), written)))
            if spelled:
                allowed = torch.zeros_like(allowed).index_fill(0, torch.tensor(spelled), True)
            chances = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
            token = int(chances.argmax())
            share = float(chances[token])
        state.consume_token(token)
        written.append(token)
        shares.append(share)
    return tuple(compiler.text([token]) for token in written), shares


def _bytes(compiler: Any) -> Callable[[int], bytes]:
    return lambda token: compiler.text([token])


def _spelled(tokenizer: Any, schema: dict[str, Any], text: bytes) -> list[int]:
    """The tokens that go on with some class in its own spelling, where `text` ends in a label."""
    found: dict[int, None] = {}
    for name, shape in schema.get("properties", {}).items():
        values = shape.get("enum") or ([True, False] if shape.get("type") == "boolean" else [])
        _, mark, begun = text.rpartition(f'"{name}":'.encode())
        for value in values if mark else ():
            whole = json.dumps(value, ensure_ascii=False)
            quote = '"' if whole.startswith('"') and begun.startswith(b'"') else ""
            done = begun.removeprefix(b'"') if quote else begun
            rest = whole.removeprefix(quote).removesuffix('"')
            ids = tokenizer(rest, add_special_tokens=False)["input_ids"]
            for end, token in enumerate(ids):
                if tokenizer.decode(ids[:end]).encode() == done:
                    found[token] = None
    return list(found)


def _tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        min_frequency=1,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
