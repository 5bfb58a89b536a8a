"""Training on a CUDA GPU: this project's recipe beside the notebook's, on Llama-3.2-1B's shape.

    python -m benchmarks.train_gpu [--out benchmarks/results/train_gpu.md]

Random weights, random rows of 512 tokens of which the last 128 are completion; both recipes in one
run, the notebook's (train_notebook.py) and ours as `understudy train` takes it for this base on
this GPU, each in its own batches, 12 steps
after 2 untimed ones. Told are tokens per second (all,
and useful: those of completions), the peak of allocated memory, and model-FLOPs utilisation: the
FLOPs that the model itself needs (a frozen base needs no weight gradients; what is recomputed, or
logits where no loss looks, do not count) over the GPU's dense bfloat16 peak. Without a CUDA GPU it
says so, in the table too, and the figures are null. The last line is one JSON object: {"device",
"useful_x", "memory_x", "notebook", "ours"}, the last two {"tokens_per_s", "useful_per_s",
"peak_gb", "mfu"}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.train_notebook import ACCUMULATION, BATCH, RANK, notebook_model, notebook_trainer
from understudy.chains.student.weights import base_folder, load_tokenizer
from understudy.distill.training.hardware import choose, found, shape_of
from understudy.distill.training.qlora import build_trainer, load_for_training, quiet
from understudy.distill.training.recipes import recipe_of

OUT = Path(__file__).parent / "results" / "train_gpu.md"
LLAMA_1B: dict[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LENGTH, COMPLETION = 512, 128
WARM, STEPS = 2, 12
NOTEBOOK_STEP = BATCH * ACCUMULATION
# Dense bfloat16 (fp16 where there is none) FLOP/s by a part of the device's name: data sheets.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "T4": 65e12,
}
NONE: dict[str, float | None] = dict.fromkeys(("tokens_per_s", "useful_per_s", "peak_gb", "mfu"))


@dataclass(frozen=True)
class Sizes:
    """What the FLOPs of a Llama depend on."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def maps(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the seven linear maps of a block."""
        narrow = self.hidden // self.heads * self.kv_heads
        wide = self.intermediate
        attention = [(self.hidden, self.hidden), (self.hidden, narrow), (self.hidden, narrow)]
        return [
            *attention,
            (self.hidden, self.hidden),
            *[(self.hidden, wide), (self.hidden, wide), (wide, self.hidden)],
        ]


def sizes_of(config: Mapping[str, Any]) -> Sizes:
    """The sizes in a Llama's config."""
    return Sizes(
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        vocabulary=config["vocab_size"],
    )


def model_flops(sizes: Sizes, *, length: int, scored: int, rank: int = RANK) -> float:
    """FLOPs of one forward and backward pass over a row under LoRA, a multiply-add being two.

    Frozen maps: forward and the gradient of their input, 4 per weight and token; adapters also
    that of their weights, 6. Attention: scores and values, each once forward and twice backward,
    over half of the pairs (causal). The head: 4 per weight for each of the `scored` tokens.
    """
    frozen = sum(inputs * outputs for inputs, outputs in sizes.maps) * sizes.layers
    adapters = sum(rank * (inputs + outputs) for inputs, outputs in sizes.maps) * sizes.layers
    attention = sizes.layers * 3 * 2 * 2 * sizes.hidden * length * length / 2
    head = 4 * sizes.vocabulary * sizes.hidden * scored
    return length * (4.0 * frozen + 6.0 * adapters) + attention + head


def peak_of(device: str) -> float | None:
    """The device's dense peak in FLOP/s, None where its name is not known."""
    return next((peak for name, peak in PEAKS.items() if name in device), None)


def rows_of(count: int, *, length: int, completion: int, highest: int) -> list[dict[str, Any]]:
    """Random rows, the last tokens of which are completion."""
    import torch

    drawn = torch.randint(3, highest, (count, length), generator=torch.Generator().manual_seed(0))
    mask = [0] * (length - completion) + [1] * completion
    return [{"input_ids": ids, "completion_mask": mask} for ids in drawn.tolist()]


def figures(
    spent: float, rows: int, *, sizes: Sizes, length: int, completion: int, device: str
) -> dict[str, float | None]:
    """What an arm that took `spent` seconds for so many rows has reached."""
    peak = peak_of(device)
    flops = model_flops(sizes, length=length, scored=completion) * rows / spent
    return {
        "tokens_per_s": round(rows * length / spent, 1),
        "useful_per_s": round(rows * completion / spent, 1),
        "peak_gb": _peak_gb(),
        "mfu": None if peak is None else round(flops / peak, 4),
    }


def measured(
    config: Mapping[str, Any], *, length: int, completion: int, warm: int, steps: int
) -> dict[str, dict[str, float | None]]:
    """Both recipes on a random model of this shape, on the device that is there."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    name = found().name
    told: dict[str, dict[str, float | None]] = {}
    with tempfile.TemporaryDirectory() as out:
        base = Path(out) / "base"
        torch.manual_seed(0)
        with quiet():
            model = LlamaForCausalLM(LlamaConfig(**config))
            model.to(torch.bfloat16).save_pretrained(base)
            del model
            load_tokenizer(base_folder("embedded"), "embedded").save_pretrained(base)
        for arm in ("notebook", "ours"):
            _reset_peak()
            trainer, step = _arm(
                arm, base, length=length, completion=completion, steps=warm + steps
            )
            told[arm] = figures(
                _timed(trainer, warm),
                steps * step,
                sizes=sizes_of(config),
                length=length,
                completion=completion,
                device=name,
            )
            del trainer
    return told


def _arm(arm: str, base: Path, *, length: int, completion: int, steps: int) -> tuple[Any, int]:
    """A trainer, and how many rows it takes in one step."""
    rows = rows_of(64, length=length, completion=completion, highest=2000)
    tokenizer = load_tokenizer(base, str(base))
    with quiet():
        if arm == "notebook":
            model = notebook_model(base)
            trainer = notebook_trainer(model, tokenizer, rows, folder=base, steps=steps)
            return trainer, NOTEBOOK_STEP
        recipe = recipe_of("default", parameters=0)
        choice = choose(found(), recipe, shape=shape_of(base), longest=length)
        print(f"ours: {choice.line}")
        model, own = load_for_training(str(base), recipe, choice)
        options: dict[str, Any] = {"recipe": recipe, "choice": choice, "checkpoints": base}
        return build_trainer(model, own, rows, steps=steps, **options), recipe.batch_size


def _timed(trainer: Any, warm: int) -> float:
    """Seconds of the training's steps after the first `warm`."""
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        """When each step has ended on the device."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            _wait()
            ends.append(time.perf_counter())

    trainer.add_callback(Clock())
    with quiet():
        trainer.train()
    return ends[-1] - ends[warm - 1]


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _reset_peak() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_gb() -> float | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return round(torch.cuda.max_memory_allocated() / 2**30, 2)


def table(device: str | None, told: Mapping[str, Mapping[str, float | None]]) -> str:
    """The results as Markdown."""
    lines = ["# Training on a GPU: Llama-3.2-1B's shape, random weights", ""]
    if device is None:
        said = "Not measured: there was no CUDA GPU. Run `python -m benchmarks.train_gpu` on one."
        return "\n".join([*lines, said, ""])
    lines += [f"{device}; rows of {LENGTH} tokens, {COMPLETION} of them completion.", ""]
    lines += ["| recipe | tokens/s | useful tokens/s | peak GB | MFU |", "|---|---|---|---|---|"]
    for name, arm in told.items():
        cells = [name, *(str(value) for value in arm.values())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def ratio(told: Mapping[str, Mapping[str, float | None]], name: str) -> float | None:
    """Ours over the notebook's."""
    ours, theirs = told["ours"][name], told["notebook"][name]
    return None if not ours or not theirs else round(ours / theirs, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure where there is a GPU; write the table; end with one JSON object."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--quick", action="store_true", help="4 steps")
    options = parser.parse_args(arguments)
    device, told = None, {"notebook": NONE, "ours": NONE}
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name(0)
        steps = 4 if options.quick else STEPS
        told = measured(LLAMA_1B, length=LENGTH, completion=COMPLETION, warm=WARM, steps=steps)
    else:
        print("there is no CUDA GPU: nothing is measured")
    text = table(device, told)
    print(text)
    if device is not None or not options.out.exists():  # what a GPU gave is not written over
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
    ratios = {"useful_x": ratio(told, "useful_per_s"), "memory_x": ratio(told, "peak_gb")}
    print(json.dumps({"device": device, **ratios, **told}))


if __name__ == "__main__":
    main()
