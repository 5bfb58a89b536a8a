"""Training: this project's recipe beside the notebook's, on one CPU core, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.train [--quick]

Speed is useful tokens (those of completions, which a student must learn to write) per CPU-second
over the same 400 rows of the news task, the embedded base and its label target: the notebook's
recipe (train_notebook.py) in bfloat16, as it was, and in float32; ours as `understudy train` takes
it. Median of three alternating runs of 25 steps of 16 rows, or 50 of 8. `tiny_x` is against the
notebook as it was, `tiny_same_dtype_x` against the faster of its two: what is left when each has
the dtype that this hardware is fast in. `smol_x` is one forward and backward pass of one 256-token
row (64 of them completion) through a random model of SmolLM2-135M's shape, the median of three.

Accuracy at equal CPU time: from each of three seeds both recipes learn for the same CPU-seconds and
answer the same held-out rows; `*_exact` is the mean share of rows with all six labels right.
`ddp_max_loss_diff`: the largest difference of a step's loss between one process and two under
`accelerate launch` (gloo, NF4, dropout 0, the same rows per step). The last line is one JSON object
{"tiny_x", "tiny_same_dtype_x", "smol_x", "notebook_exact", "default_exact", "ddp_max_loss_diff"}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.train_arms import NOTEBOOK_STEP, accuracies, cpu_seconds, labelled, ours
from benchmarks.train_gpu import model_flops, sizes_of
from benchmarks.train_notebook import notebook_model, notebook_trainer
from understudy.chains.student.weights import base_folder, load_tokenizer
from understudy.distill.training.hardware import Choice, found
from understudy.distill.training.lesson import Lesson, prepare
from understudy.distill.training.qlora import build_trainer, load_for_training, quiet
from understudy.distill.training.train import train
from understudy.examples.news.generate import NewsRow, news_rows
from understudy.examples.news.task import task
from understudy.store import Store

CONFIG = Path(__file__).parents[1] / "distill" / "launch" / "cpu.yaml"
FULL = {"rows": 400, "runs": 3, "learnt": 960, "asked": 150, "seconds": 60.0, "seeds": 3}
QUICK = {"rows": 48, "runs": 1, "learnt": 96, "asked": 12, "seconds": 1.5, "seeds": 1}
BASE = sizes_of(json.loads((base_folder("embedded") / "config.json").read_bytes()))
SMOL = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def speeds(lesson: Lesson, sizes: Mapping[str, Any]) -> dict[str, float]:
    """Useful tokens per CPU-second of each arm, over the same rows."""
    encoded = list(lesson.encoded[: sizes["rows"]])
    useful = sum(sum(row["completion_mask"]) for row in encoded)
    folder = base_folder("embedded")
    tokenizer = load_tokenizer(folder, "embedded")
    recipe, choice = ours("embedded", lesson.preflight.longest)
    times: dict[str, list[float]] = {"notebook bfloat16": [], "notebook float32": [], "ours": []}
    for seed in range(sizes["runs"]):
        with tempfile.TemporaryDirectory() as out, quiet():
            for dtype in ("bfloat16", "float32"):
                trainer = notebook_trainer(
                    notebook_model(folder, dtype=dtype),
                    tokenizer,
                    encoded,
                    folder=Path(out),
                    dtype=dtype,
                    steps=len(encoded) // NOTEBOOK_STEP,
                    seed=seed,
                )
                times[f"notebook {dtype}"].append(cpu_seconds(trainer.train))
            model, own = load_for_training("embedded", recipe, choice)
            trainer = build_trainer(
                model,
                own,
                encoded,
                recipe=recipe,
                choice=choice,
                checkpoints=Path(out),
                seed=seed,
                steps=len(encoded) // recipe.batch_size,
            )
            times["ours"].append(cpu_seconds(trainer.train))
    return {name: useful / statistics.median(spent) for name, spent in times.items()}


def without_units(rows: int) -> None:
    """Print the same speeds on this CPU held to AVX2: one of those without units for bfloat16."""
    held = {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    held |= {"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.train", "--speeds", str(rows)]
    environment = {**os.environ, **held}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rates = json.loads(ended.stdout.splitlines()[-1])
    told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    print(
        f"  This CPU has units for bfloat16, so that dtype costs the notebook nothing. Held to\n"
        f"  AVX2, once over {rows} rows: {told}: "
        f"{rates['ours'] / rates['notebook bfloat16']:.2f}x"
    )


def taught_rows(count: int) -> tuple[list[NewsRow], Lesson]:
    """So many rows of the train split, and what they teach."""
    rows = [row for row in news_rows(0) if row.split == "train"][:count]
    with Store(":memory:") as store:
        labelled(store, rows)
        return rows, prepare(task, store, target="label")


def smol_seconds(sizes: Mapping[str, Any], *, layers: int, length: int) -> dict[str, float]:
    """CPU-seconds of one forward and backward pass of one row, by arm."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with tempfile.TemporaryDirectory() as out, quiet():
        base = Path(out) / "base"
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **SMOL)).save_pretrained(base)
        load_tokenizer(base_folder("embedded"), "embedded").save_pretrained(base)
        tokenizer = load_tokenizer(base, str(base))
        ids = torch.randint(3, 2000, (length,)).tolist()
        row = {
            "input_ids": ids,
            "completion_mask": [0] * (length - length // 4) + [1] * (length // 4),
        }
        recipe, choice = ours(str(base), length)
        model, own = load_for_training(str(base), recipe, choice)
        trainers = {
            "notebook": notebook_trainer(
                notebook_model(base), tokenizer, [row] * 16, folder=Path(out)
            ),
            "ours": build_trainer(
                model, own, [row] * 16, recipe=recipe, choice=choice, checkpoints=Path(out), steps=1
            ),
        }
        models = {name: _prepared(trainer) for name, trainer in trainers.items()}
        spent: dict[str, list[float]] = {name: [] for name in trainers}
        for _ in range(sizes["runs"]):
            for name, trainer in trainers.items():
                spent[name].append(_one_pass(trainer, models[name]))
    print(f"  135M shape, ours: {choice.line}")
    return {name: statistics.median(times) for name, times in spent.items()}


def _one_pass(trainer: Any, model: Any) -> float:
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trainer.model.zero_grad(set_to_none=True)
    start = time.process_time()
    with quiet():
        trainer.training_step(model, batch)
    return time.process_time() - start


def _prepared(trainer: Any) -> Any:
    """The model as a training has it: under autocast where the recipe computes so."""
    trainer.current_gradient_accumulation_steps = 1
    return trainer.accelerator.prepare_model(trainer.model.train())


def ddp_difference(rows: Sequence[NewsRow], *, epochs: float) -> float:
    """The largest difference of a step's loss: one process, and two over the same rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(folder / "s.db") as store:
            labelled(store, rows)
            train(task, store, out=folder / "one", epochs=epochs)
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)]
        command += ["-m", "understudy.distill.cli", "train", "--store", "s.db", "--out", "two"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        ended = subprocess.run(
            [*command, "--epochs", str(epochs)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        said = [line for line in ended.stdout.splitlines() if "processes" in line]
        print(f"  {said[0]}")
        one, two = (_losses(folder / which) for which in ("one", "two"))
    assert len(one) == len(two) > 1
    return max(abs(a - b) for a, b in zip(one, two, strict=True))


def _losses(folder: Path) -> list[float]:
    lines = (folder / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def matmul_flops() -> float:
    """What one core reaches in float32 products of the size of a step, in FLOP/s."""
    import torch

    torch.set_num_threads(1)
    rows, inside = torch.randn(1024, BASE.hidden), torch.randn(BASE.hidden, BASE.intermediate)
    best = 0.0
    for _ in range(20):
        start = time.process_time()
        for _ in range(50):
            rows @ inside
        spent = time.process_time() - start
        best = max(best, 50 * 2.0 * 1024 * BASE.hidden * BASE.intermediate / spent)
    return best


def _print_speeds(
    rates: Mapping[str, float], choice: Choice, *, length: float, useful: float
) -> tuple[float, float]:
    was = rates["notebook bfloat16"]
    faster = max(was, rates["notebook float32"])
    print(f"embedded base, useful tokens per CPU-second ({choice.line})")
    for name, rate in rates.items():
        print(f"  {name:18} {rate:8.0f}   ours is {rates['ours'] / rate:5.2f}x")
    peak = matmul_flops()
    done = rates["ours"] / useful * model_flops(BASE, length=round(length), scored=round(useful))
    print(
        f"  what limits it: ours computes {done / 1e9:.0f} GFLOP/s, and one core reaches\n"
        f"  {peak / 1e9:.0f} in bare float32 products of this size: {peak / done:.1f}x is left."
    )
    return rates["ours"] / was, rates["ours"] / faster


def main() -> None:
    """Measure, print, and end with one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows: does it run at all")
    parser.add_argument("--speeds", type=int, help="only the speeds, once over so many rows")
    options = parser.parse_args()
    if options.speeds:
        _, lesson = taught_rows(options.speeds)
        print(json.dumps(speeds(lesson, {"rows": options.speeds, "runs": 1})))
        return
    quick = options.quick
    sizes = QUICK if quick else FULL
    taught, lesson = taught_rows(sizes["learnt"])
    held_out = [row for row in news_rows(0) if row.split == "test"][: sizes["asked"]]
    rates = speeds(lesson, sizes)
    _, choice = ours("embedded", lesson.preflight.longest)
    each = {"length": lesson.preflight.tokens, "useful": lesson.preflight.completion_tokens}
    mean = {name: tokens / lesson.preflight.rows for name, tokens in each.items()}
    tiny_x, same_x = _print_speeds(rates, choice, **mean)
    if found().bf16 and not quick:
        without_units(96)
    shape = {"layers": 2, "length": 64} if quick else {"layers": 30, "length": 256}
    smol = smol_seconds(sizes, **shape)
    smol_x = smol["notebook"] / smol["ours"]
    told = ", ".join(f"{name} {spent:.2f} CPU-s" for name, spent in smol.items())
    print(f"  one row of {shape['length']} tokens: {told}: {smol_x:.2f}x")
    print(f"exact accuracy on {len(held_out)} held-out rows at equal CPU time")
    scores = accuracies(lesson, held_out, rates, sizes)
    print("two processes beside one")
    difference = ddp_difference(taught[: 32 if quick else 64], epochs=0.5 if quick else 2)
    figures = {
        "tiny_x": round(tiny_x, 2),
        "tiny_same_dtype_x": round(same_x, 2),
        "smol_x": round(smol_x, 2),
        "notebook_exact": round(statistics.mean(scores["notebook"]), 4),
        "default_exact": round(statistics.mean(scores["ours"]), 4),
        "ddp_max_loss_diff": difference,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
