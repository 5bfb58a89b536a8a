"""Recipes: what a preset, a TOML file and a flag mean, and what each machine makes of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains.student import weights
from understudy.distill.training.hardware import (
    Hardware,
    Shape,
    choose,
    found,
    memory_needed,
    shape_of,
)
from understudy.distill.training.preflight import TrainingError
from understudy.distill.training.recipes import RECIPES, Recipe, changed, changes_of, recipe_of
from understudy.distill.training.sweep import combinations, varied

SHAPE = Shape(
    parameters=1_236_000_000, layers=16, hidden=2048, intermediate=8192, vocabulary=128_256
)
GIB = 2**30
MACHINES = {
    "old CPU": Hardware(device="cpu", name="an old CPU", bf16=False, memory=16 * GIB),
    "new CPU": Hardware(device="cpu", name="a new CPU", bf16=True, memory=64 * GIB),
    "T4": Hardware(device="cuda", name="Tesla T4", bf16=False, memory=15 * GIB),
    "H100": Hardware(
        device="cuda", name="NVIDIA H100", bf16=True, memory=79 * GIB, flash_attention=True
    ),
    "MPS": Hardware(
        device="mps", name="Apple GPU", bf16=False, memory=16 * GIB, bitsandbytes=frozenset()
    ),
}


def chosen(machine: str, recipe: str = "default", **changes: object):
    asked = recipe_of(recipe, parameters=SHAPE.parameters, changes=changes)
    return choose(MACHINES[machine], asked, shape=SHAPE, longest=256)


def test_the_notebook_recipe_has_the_hyperparameters_of_the_notebook():
    recipe = RECIPES["notebook"].validated()
    assert dataclasses.asdict(recipe) | {"name": ""} == {
        "name": "",
        "adapter": "lora",
        "quantisation": "nf4",
        "rank": 16,
        "alpha": 64,
        "dropout": 0.1,
        "modules": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
        "epochs": 3.0,
        "learning_rate": 4e-4,
        "scheduler": "constant",
        "warmup": 0.03,
        "batch_size": 16,
        "rows_at_once": 4,
        "order": "length",
        "weight_decay": 0.0,
        "max_grad_norm": 0.3,
        "optimizer": "paged_adamw_32bit",
        "precision": "auto",
        "attention": "auto",
        "recompute": None,
        "keep": "last",
        "patience": None,
        "checkpoint_minutes": 10.0,
    }
    assert (recipe.at_once, recipe.accumulate) == (4, 4)


@pytest.mark.parametrize(
    ("machine", "line"),
    [
        ("old CPU", "an old CPU: fp32, NF4 base, attention sdpa, adamw_torch_fused"),
        ("new CPU", "a new CPU: bf16, NF4 base, attention sdpa, adamw_torch_fused"),
        ("T4", "Tesla T4: fp16, NF4 base, attention sdpa, adamw_torch_fused; it has no bf16"),
        ("H100", "NVIDIA H100: bf16, NF4 base, attention sdpa, adamw_torch_fused"),
        (
            "MPS",
            "Apple GPU: fp32, base not quantised, attention sdpa, adamw_torch; no nf4 on this "
            "Apple GPU: the base is not quantised",
        ),
    ],
)
def test_each_machine_says_how_it_trains_in_one_line(machine, line):
    assert chosen(machine).line.replace(", activations recomputed", "") == line


def test_what_a_machine_lacks_is_replaced_and_said():
    mac = chosen("MPS", "notebook")
    assert (mac.optimizer, mac.quantisation) == ("adamw_torch", "none")
    assert "no paged_adamw_32bit on this Apple GPU: adamw_torch instead" in mac.notes
    assert "nothing is paged on a CPU" in chosen("old CPU", "notebook").notes
    bare = dataclasses.replace(MACHINES["T4"], bitsandbytes=frozenset({"nf4"}))
    eight = choose(bare, RECIPES["int8"], shape=SHAPE, longest=256)
    assert eight.quantisation == "none"
    assert "no int8 on this GPU: the base is not quantised" in eight.notes
    asked = chosen("T4", precision="bf16", attention="flash_attention_2")
    assert (asked.precision, asked.attention) == ("fp16", "sdpa")
    assert asked.notes == (
        "it has no bf16: fp16 instead",
        "no flash_attention_2 here: sdpa instead",
    )
    assert chosen("H100", attention="flash_attention_2").attention == "flash_attention_2"
    assert chosen("old CPU", precision="fp16").precision == "fp32"
    slow = chosen("old CPU", precision="bf16")
    assert (slow.precision, slow.notes) == (
        "bf16",
        ("bf16 is slow on a CPU without units for it",),
    )


def test_the_tiny_recipe_is_computed_in_float32_on_every_machine():
    assert {chosen(machine, "tiny").precision for machine in MACHINES} == {"fp32"}


def test_activations_are_recomputed_only_where_they_would_not_fit():
    assert not chosen("H100").recompute
    assert chosen("old CPU", batch_size=64).recompute
    assert not chosen("old CPU", batch_size=64, rows_at_once=1).recompute
    assert chosen("H100", recompute=True).recompute
    assert not chosen("old CPU", batch_size=64, recompute=False).recompute


@given(tokens=st.integers(1, 100_000), more=st.integers(1, 100_000))
def test_more_tokens_take_more_memory_and_recomputing_takes_less(tokens, more):
    def needed(count: int, recompute: bool) -> int:
        return memory_needed(
            RECIPES["default"],
            SHAPE,
            precision="bf16",
            quantisation="nf4",
            tokens=count,
            recompute=recompute,
        )

    assert needed(tokens, False) < needed(tokens + more, False)
    assert needed(tokens, True) < needed(tokens, False)


@pytest.mark.parametrize(
    ("precision", "quantisation", "wide"), [("bf16", "nf4", 2), ("fp32", "int8", 4)]
)
def test_a_second_table_of_embeddings_is_not_quantised_either(precision, quantisation, wide):
    def needed(shape: Shape) -> int:
        return memory_needed(
            RECIPES["default"],
            shape,
            precision=precision,
            quantisation=quantisation,
            tokens=256,
            recompute=False,
        )

    table = SHAPE.vocabulary * SHAPE.hidden
    of_body = {"nf4": 0.56, "int8": 1.0}[quantisation]
    more = needed(dataclasses.replace(SHAPE, tied=False)) - needed(SHAPE)
    assert more == pytest.approx((wide - of_body) * table, abs=2)
    full = dataclasses.replace(SHAPE, tied=False)
    assert memory_needed(
        RECIPES["full"], full, precision="bf16", quantisation="none", tokens=1, recompute=False
    ) == memory_needed(
        RECIPES["full"], SHAPE, precision="bf16", quantisation="none", tokens=1, recompute=False
    )


def test_what_the_doctor_foresees_is_what_the_trainer_reckons_with():
    from understudy.distill.bases import BASES
    from understudy.distill.fits import fit

    (untied,) = [base for base in BASES if not base.tied]
    found = fit(untied, MACHINES["H100"], tokens=256)
    recipe = dataclasses.replace(RECIPES["default"], rows_at_once=found.rows_at_once)
    assert found.memory == memory_needed(
        recipe,
        dataclasses.replace(untied.shape, tied=False),
        precision=found.precision,
        quantisation=found.quantisation,
        tokens=256 * found.rows_at_once,
        recompute=found.recomputed,
    )


@pytest.mark.parametrize("told", [True, False, None])
def test_whether_a_base_has_a_second_table_is_read_from_its_files(tmp_path: Path, told):
    from safetensors.numpy import save_file

    config: dict[str, object] = {"vocab_size": 3, "hidden_size": 2}
    config |= {} if told is None else {"tie_word_embeddings": told}
    (tmp_path / "config.json").write_text(json.dumps(config))
    table = np.zeros((3, 2), np.float32)
    save_file({"model.embed_tokens.weight": table}, tmp_path / "model-1.safetensors")
    assert shape_of(tmp_path).tied is (told is not False)
    save_file({"lm_head.weight": table}, tmp_path / "model-2.safetensors")
    assert (shape_of(tmp_path).tied, shape_of(tmp_path).parameters) == (told is True, 12)


def test_this_machine_is_known_and_what_works_on_it_was_tried():
    hardware = found()
    assert hardware.memory > 2**28
    assert hardware.device in ("cpu", "cuda", "mps")
    assert hardware.bitsandbytes <= {"nf4", "int8", "optimizers"}


def test_a_toml_file_starts_from_a_preset_and_flags_win(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('like = "notebook"\nrank = 8\nlearning_rate = 1e-4\nrows_at_once = 16\n')
    recipe = recipe_of(path, parameters=1, changes={"rank": 4, "epochs": None})
    assert recipe == dataclasses.replace(
        RECIPES["notebook"], name="mine", rank=4, learning_rate=1e-4, rows_at_once=16
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rnak = 8", "mine.toml: a recipe has no field rnak; there are adapter, quantisation"),
        ("rank = 8.5", "mine.toml: rank is 8.5: it must be a whole number"),
        ("rank = true", "rank is True: it must be a whole number"),
        ('quantisation = "fp4"', "quantisation is fp4: take one of nf4, int8, none"),
        ('like = "mine"', "like is mine; take one of default, tiny"),
        ('name = "x"', "a recipe has no field name"),
        ("rank = ", "recipe .*mine.toml cannot be read"),
        ("rank = 0", "rank is 0: it must be above 0"),
        ("batch_size = 8\nrows_at_once = 3", "batch_size 8 is no multiple of it"),
        ("dropout = 1.0", r"dropout is 1.0: it must be from 0 to below 1"),
        ('adapter = "full"', "quantised weights cannot be tuned themselves"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_one_line(tmp_path: Path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message) as caught:
        recipe_of(path, parameters=1)
    assert "\n" not in str(caught.value).strip()


def test_a_recipe_that_is_not_there_is_one_line(tmp_path: Path):
    with pytest.raises(TrainingError, match="there is no recipe mine; take one of default, tiny"):
        recipe_of("mine", parameters=1)
    with pytest.raises(TrainingError, match=r"recipe .*none\.toml cannot be read"):
        recipe_of(tmp_path / "none.toml", parameters=1)


def test_flags_are_read_as_toml_reads_values():
    texts = ["rank=8", "learning_rate=1e-4", "recompute=true", "order=length", "rows_at_once=none"]
    assert changes_of(texts) == {
        "rank": 8,
        "learning_rate": 1e-4,
        "recompute": True,
        "order": "length",
        "rows_at_once": "none",
    }
    made = changed(RECIPES["notebook"], changes_of(texts))
    assert (made.rows_at_once, made.recompute, made.order) == (None, True, "length")
    with pytest.raises(TrainingError, match="'rank' is no NAME=VALUE"):
        changes_of(["rank"])


def test_a_sweep_is_every_combination_of_its_values():
    vary = varied(["lr=1e-3, 5e-4", "rank=8,16"])
    assert combinations(vary) == [
        {"learning_rate": 1e-3, "rank": 8},
        {"learning_rate": 1e-3, "rank": 16},
        {"learning_rate": 5e-4, "rank": 8},
        {"learning_rate": 5e-4, "rank": 16},
    ]
    with pytest.raises(TrainingError, match="is no FIELD=VALUE,VALUE"):
        varied(["rank=8"])


@given(
    st.sampled_from(sorted(RECIPES)),
    st.integers(1, 64),
    st.integers(1, 64),
)
def test_rows_at_once_always_divide_the_rows_of_a_step(name, batch_size, at_once):
    recipe: Recipe = dataclasses.replace(RECIPES[name], batch_size=batch_size, rows_at_once=at_once)
    if batch_size % at_once:
        with pytest.raises(TrainingError, match="no multiple"):
            recipe.validated()
    else:
        assert recipe.validated().accumulate * recipe.at_once == batch_size


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_students_are_trained_and_answer_on_cuda_else_mps_else_the_cpu(
    monkeypatch, cuda, mps, device
):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **asked: False)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=1)
    )
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert found.__wrapped__().device == device
    assert weights.device().partition(":")[0] == device
