"""What the benchmarks of training compute beside the clock: FLOPs, rows, tables, the notebook."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TINY: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.train_gpu")


def test_the_flops_are_those_that_torch_counts(gpu: Any) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaConfig, LlamaForCausalLM

    length, scored, rank = 96, 24, 16
    eager: dict[str, Any] = {**TINY, "attn_implementation": "eager"}
    model = LlamaForCausalLM(LlamaConfig(**eager))
    lora = LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(model, lora)
    adapted.get_input_embeddings().weight.requires_grad_(False)
    inner: Any = adapted.get_base_model()
    with FlopCounterMode(display=False) as counter:
        hidden = inner.model(torch.randint(3, 2000, (1, length)), use_cache=False)[0]
        inner.lm_head(hidden[:, -scored:]).square().mean().backward()
    sizes = gpu.sizes_of(TINY)
    counted = float(counter.get_total_flops())
    mine = gpu.model_flops(sizes, length=length, scored=scored, rank=rank)
    # Eager attention multiplies the pairs that causality forbids too, and nothing needs the
    # gradient of what goes into the first block.
    mine += sizes.layers * 3 * 2 * 2 * sizes.hidden * length * length / 2
    first = 2 * length * (sizes.hidden * (sizes.hidden + 2 * sizes.hidden // 2))
    assert mine - first <= counted * 1.02
    assert counted <= mine * 1.001


def test_the_shape_is_that_of_llama_3_2_1b(gpu: Any) -> None:
    sizes = gpu.sizes_of(gpu.LLAMA_1B)
    body = sum(inputs * outputs for inputs, outputs in sizes.maps) * sizes.layers
    assert body == 973_078_528
    assert body + sizes.vocabulary * sizes.hidden == 1_235_746_816  # but for 67,584 of norms
    per_token = gpu.model_flops(sizes, length=512, scored=512) / 512
    assert 4 * 1.23e9 < per_token < 5.5e9


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("Tesla T4", 65e12),
        ("NVIDIA L40S", 362e12),
        ("some other card", None),
    ],
)
def test_a_device_has_the_peak_of_its_data_sheet(gpu: Any, device: str, peak: Any) -> None:
    assert gpu.peak_of(device) == peak


def test_both_recipes_run_on_a_tiny_shape(gpu: Any) -> None:
    told = gpu.measured(TINY, length=48, completion=12, warm=1, steps=2)
    for arm in told.values():
        assert arm["tokens_per_s"] == pytest.approx(4 * arm["useful_per_s"], rel=0.01)
        assert arm["useful_per_s"] > 0
    assert gpu.ratio(told, "useful_per_s") > 0


def test_without_a_gpu_it_says_so_and_the_figures_are_null(
    gpu: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    gpu.main(["--out", str(tmp_path / "table.md")])
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["device"] is None
    assert last["useful_x"] is None
    assert last["ours"] == dict.fromkeys(("tokens_per_s", "useful_per_s", "peak_gb", "mfu"))
    assert "there was no CUDA GPU" in (tmp_path / "table.md").read_text()
    (tmp_path / "table.md").write_text("measured on a GPU")
    gpu.main(["--out", str(tmp_path / "table.md")])
    assert (tmp_path / "table.md").read_text() == "measured on a GPU"


def test_the_notebooks_recipe_looks_at_the_full_text(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    notebook = importlib.import_module("benchmarks.train_notebook")
    from understudy.chains.student.weights import load_tokenizer

    tokenizer = load_tokenizer(tiny_base, str(tiny_base))
    rows = [{"input_ids": [5, 6, 7, 8, 2], "completion_mask": [0, 0, 0, 1, 1]}] * 16
    trainer = notebook.notebook_trainer(
        notebook.notebook_model(tiny_base), tokenizer, rows, folder=tmp_path, steps=1
    )
    labels = trainer.data_collator([trainer.train_dataset[0]])["labels"]
    assert labels.tolist() == [[5, 6, 7, 8, 2]]
    arguments = trainer.args
    assert (arguments.optim, arguments.learning_rate) == ("paged_adamw_32bit", 4e-4)
    assert arguments.train_sampling_strategy == "group_by_length"
    assert arguments.bf16
    assert arguments.gradient_checkpointing
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (4, 4)
    trainer.train()
    assert trainer.state.global_step == 1


@pytest.mark.parametrize("weights", [False, True])
def test_logits_only_where_the_loss_looks_change_no_loss_and_no_gradient(
    tiny_base: Path, tmp_path: Path, weights: bool
) -> None:
    import torch

    from understudy.chains.student.weights import load_base
    from understudy.distill.training.hardware import choose, found, shape_of
    from understudy.distill.training.qlora import build_trainer
    from understudy.distill.training.recipes import RECIPES

    rows: list[dict[str, Any]] = [
        {"input_ids": [5, 6, 7, 8, 9, 2], "completion_mask": [0, 0, 0, 1, 1, 1]},
        {"input_ids": [11, 12, 13, 2], "completion_mask": [0, 0, 1, 1]},
    ] * 4
    if weights:
        rows = [{**row, "loss_weights": [0.5 * m for m in row["completion_mask"]]} for row in rows]
    recipe, shape = RECIPES["tiny"], shape_of(tiny_base)
    choice = choose(found(), recipe, shape=shape, longest=6)
    found_losses, gradients = [], []
    for theirs in (False, True):  # with trl's own forward the second time
        model, tokenizer = load_base(str(tiny_base))
        torch.manual_seed(0)
        options: dict[str, Any] = {"recipe": recipe, "choice": choice, "checkpoints": tmp_path}
        trainer = build_trainer(model, tokenizer, rows, **options)
        if theirs:
            inner = trainer.model.get_base_model()
            inner.forward = inner.forward.__wrapped__
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(weight, 0.01)
        batch = trainer.data_collator([trainer.train_dataset[place] for place in (0, 1)])
        loss = trainer.compute_loss(trainer.model.train(), batch)
        loss.backward()
        found_losses.append(float(loss))
        weights_of = [w for w in trainer.model.parameters() if w.requires_grad]
        gradients.append(torch.cat([w.grad.flatten() for w in weights_of]))
    assert found_losses[0] == pytest.approx(found_losses[1], rel=1e-6)
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-6 * gradients[1].abs().max()
