"""The recipe: QLoRA (arXiv 2305.14314) on completions only, by trl's SFTTrainer, quietly."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chains.student.quiet import quiet as quiet_models
from .dataset import Encoded
from .preflight import TrainingError
from .run_folder import COMPLETE

Progress = Callable[[int, int, "float | None"], None]

# "LoRA Without Regret" (Schulman et al. 2025): adapters on every linear layer; the rank hardly
# matters for small data sets. Rank and alpha are what this project's measurements were made with.
RECIPE: dict[str, Any] = {"rank": 16, "alpha": 64, "dropout": 0.0, "quantisation": "nf4, double"}
WARMUP = 0.03  # share of the steps
# Above this many parameters activations are recomputed: memory matters more than ~20 % of speed.
RECOMPUTE_ABOVE = 300_000_000


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn; `epochs` may be a fraction."""

    epochs: float
    learning_rate: float
    batch_size: int
    seed: int


def default_schedule(parameters: int) -> tuple[float, float]:
    """(epochs, learning rate) for a base of so many parameters.

    2e-4 is about ten times what full fine-tuning takes, as "LoRA Without Regret" finds for LoRA;
    bases under 20 million parameters needed 1.5e-3 and a fourth epoch in this project's runs.
    """
    return (4.0, 1.5e-3) if parameters < 20_000_000 else (3.0, 2e-4)


def parameter_count(folder: Path) -> int:
    """How many numbers the folder's safetensors files hold, read from their headers alone."""
    from safetensors import safe_open

    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                size = 1
                for length in tensors.get_slice(name).get_shape():
                    size *= length
                count += size
    return count


def build_trainer(
    model: Any,
    tokenizer: Any,
    encoded: Sequence[Encoded],
    *,
    validation: Sequence[Encoded],
    schedule: Schedule,
    checkpoints: Path,
    watcher: Any,
) -> Any:
    """An SFTTrainer over the rows as they are: no packing, no cutting, loss on completions only.

    Raises TrainingError where trl's loss would look at other tokens than the rows say.
    """
    import torch
    import transformers
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTTrainer  # type: ignore[attr-defined] # trl loads its names late

    adapter = LoraConfig(
        r=RECIPE["rank"],
        lora_alpha=RECIPE["alpha"],
        lora_dropout=RECIPE["dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    steps = _steps(len(encoded), schedule)
    trainer: Any = SFTTrainer(
        model=model,
        args=_arguments(model, schedule, steps, checkpoints, validates=bool(validation)),
        train_dataset=Dataset.from_list(list(encoded)),
        eval_dataset=Dataset.from_list(list(validation)) if validation else None,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[watcher],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    # peft would write its empty form over a README.md that somebody put into the run folder.
    trainer.model.create_or_update_model_card = lambda *_: None
    # trl casts QLoRA adapters to bfloat16: slower on a CPU, and a resumed run would differ.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    _keep_gradients(trainer.model)
    _check_loss_mask(trainer, encoded)
    return trainer


def make_watcher(log: Path, *, spent: Mapping[str, float], progress: Progress | None) -> Any:
    """A callback that logs every step as a JSON line, marks whole checkpoints and stops at NaN.

    `spent` are the `seconds` and `cpu_seconds` of the same training before it was interrupted; a
    line's seconds are wall time and its `cpu_seconds` those of all threads, both since step 0.
    """
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.wall = time.monotonic() - spent.get("seconds", 0.0)
            self.processor = time.process_time() - spent.get("cpu_seconds", 0.0)

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            loss = (kwargs.get("logs") or {}).get("loss")
            if loss is None:
                return
            line = {
                "step": state.global_step,
                "total": state.max_steps,
                "loss": loss,
                "seconds": round(time.monotonic() - self.wall, 2),
                "cpu_seconds": round(time.process_time() - self.processor, 2),
            }
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
            if not math.isfinite(loss):
                shutil.rmtree(args.output_dir, ignore_errors=True)  # nothing to go on from
                raise TrainingError(
                    f"the loss is {loss} at step {state.global_step} of {state.max_steps}; give a "
                    f"lower learning rate than {args.learning_rate:g}"
                )
            if progress:
                progress(state.global_step, state.max_steps, loss)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / COMPLETE).touch()

    return Watcher()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, no warnings and no usage pings from the libraries below, while it lasts."""
    import datasets
    from huggingface_hub import constants

    bars, pings = datasets.is_progress_bar_enabled(), constants.HF_HUB_DISABLE_TELEMETRY
    datasets.disable_progress_bars()
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with quiet_models():
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = pings
        if bars:
            datasets.enable_progress_bars()


def _steps(rows: int, schedule: Schedule) -> int:
    return math.ceil(math.ceil(rows / schedule.batch_size) * schedule.epochs)


def _arguments(
    model: Any, schedule: Schedule, steps: int, checkpoints: Path, *, validates: bool
) -> Any:
    import torch
    from trl import SFTConfig  # type: ignore[attr-defined] # trl loads its names late

    cuda = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=schedule.batch_size,
        per_device_eval_batch_size=schedule.batch_size,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(WARMUP * steps),
        optim="adamw_torch_fused",
        seed=schedule.seed,
        # Without it trl drops the mask of rows that come tokenised, and learns the prompts too.
        completion_only_loss=True,
        max_length=None,
        packing=False,
        bf16=cuda and torch.cuda.is_bf16_supported(),
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        activation_checkpointing=model.num_parameters() > RECOMPUTE_ABOVE,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would hide a NaN behind an average
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        save_total_limit=2,
        report_to=[],
        push_to_hub=False,
        disable_tqdm=True,
    )


def _keep_gradients(model: Any) -> None:
    """Keep bitsandbytes from repacking the base at the first validation.

    On a CPU with AVX512-BF16 its 4-bit layers change their weights in place when they are first
    used outside training: scales rounded to bfloat16, and no gradient through them ever after.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _check_loss_mask(trainer: Any, encoded: Sequence[Encoded], *, at_most: int = 256) -> None:
    """What the collator gives to the loss must be what the rows' masks say."""
    rows = [trainer.train_dataset[place] for place in range(min(at_most, len(encoded)))]
    labels = trainer.data_collator(rows)["labels"]
    for row, ids in zip(labels.tolist(), encoded, strict=False):
        wanted = [
            i for i, mask in zip(ids["input_ids"], ids["completion_mask"], strict=True) if mask
        ]
        if [i for i in row if i != -100] != wanted:
            raise TrainingError(
                "this version of trl puts other tokens into the loss than the completions; "
                "install the version that understudy[train] names"
            )
