"""A recipe carried out: QLoRA (arXiv 2305.14314) and its kin by trl's SFTTrainer, quietly."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.quiet import quiet as quiet_models
from ...chains.student.weights import load_base
from .dataset import Encoded
from .hardware import Choice
from .parallel import share
from .preflight import TrainingError
from .recipes import Recipe
from .speed import score_completions_only, written_out
from .weighting import WEIGHTS, weighted

# Where the steps may be told beside the run folder, and the package that each needs.
TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def load_for_training(base: str, recipe: Recipe, choice: Choice) -> tuple[Any, Any]:
    """The base as the recipe tunes it here, and its tokenizer. Raises StudentError.

    Weights that are tuned themselves are float32, whatever they are computed in.
    """
    dtype = "float32" if recipe.adapter == "full" else _DTYPES[choice.precision]
    return load_base(
        base,
        quantised=choice.quantisation != "none",
        eight_bit=choice.quantisation == "int8",
        dtype=dtype,
        # None leaves it to the model: not all have every kernel.
        attention=None if choice.attention == "sdpa" else choice.attention,
    )


def build_trainer(
    model: Any,
    tokenizer: Any,
    encoded: Sequence[Encoded],
    *,
    recipe: Recipe,
    choice: Choice,
    checkpoints: Path,
    validation: Sequence[Encoded] = (),
    seed: int = 0,
    watchers: Sequence[Any] = (),
    log_to: Sequence[str] = (),
    steps: int | None = None,
) -> Any:
    """An SFTTrainer over the rows as they are: no packing, no cutting, loss on completions only.

    `steps` None trains the recipe's epochs; a number trains so many steps over the rows in their
    order and writes nothing. Raises TrainingError where trl's loss would look at other tokens than
    the rows say.
    """
    import torch
    import transformers
    from datasets import Dataset
    from trl import SFTTrainer  # type: ignore[attr-defined] # trl loads its names late

    arguments = _arguments(recipe, choice, len(encoded), checkpoints, seed=seed, steps=steps)
    arguments |= {"eval_strategy": "epoch" if validation else "no", "report_to": list(log_to)}
    kind: Any = weighted(SFTTrainer) if WEIGHTS in encoded[0] else SFTTrainer
    trainer: Any = kind(
        model=written_out(model),
        args=_config(arguments),
        train_dataset=Dataset.from_list(list(encoded)),
        eval_dataset=Dataset.from_list(list(validation)) if validation else None,
        processing_class=tokenizer,
        peft_config=_adapter(recipe) if recipe.adapter == "lora" else None,
        callbacks=list(watchers),
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
    score_completions_only(trainer)
    if steps is not None:
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(encoded)
    elif recipe.order == "length":
        order = _by_length(encoded, recipe.batch_size, seed)
        trainer._get_train_sampler = lambda *_: order
    return trainer


def check_trackers(log_to: Sequence[str]) -> None:
    """Raise TrainingError for a tracker that there is not, or whose package is missing."""
    for name in log_to:
        if name not in TRACKERS:
            raise TrainingError(f"there is no tracker {name}; take one of {', '.join(TRACKERS)}")
        if importlib.util.find_spec(TRACKERS[name]) is None:
            raise TrainingError(
                f"log_to {name} needs a package that is not installed: pip install {TRACKERS[name]}"
            )


@contextlib.contextmanager
def tracked(folder: Path, log_to: Sequence[str]) -> Iterator[None]:
    """Trackers find their place in the run folder, and its name, while the block lasts."""
    wanted = {
        "TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard"),
        "WANDB_DIR": str(folder),
        "WANDB_PROJECT": "understudy",
        "TRACKIO_PROJECT": "understudy",
    }
    added = [name for name in wanted if log_to and name not in os.environ]
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


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


def steps_of(rows: int, recipe: Recipe) -> int:
    """How many steps the recipe takes over so many rows."""
    return math.ceil(math.ceil(rows / recipe.batch_size) * recipe.epochs)


def _adapter(recipe: Recipe) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=recipe.adapted,
        task_type="CAUSAL_LM",
    )


def _config(arguments: dict[str, Any]) -> Any:
    from trl import SFTConfig  # type: ignore[attr-defined] # trl loads its names late

    return SFTConfig(**arguments)


def _arguments(
    recipe: Recipe, choice: Choice, rows: int, checkpoints: Path, *, seed: int, steps: int | None
) -> dict[str, Any]:
    at_once, accumulate = share(recipe)
    return {
        "output_dir": str(checkpoints),
        "num_train_epochs": recipe.epochs,
        "max_steps": -1 if steps is None else steps,
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": at_once,
        "gradient_accumulation_steps": accumulate,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.scheduler,
        "warmup_steps": math.ceil(recipe.warmup * (steps or steps_of(rows, recipe))),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "optim": choice.optimizer,
        "seed": seed,
        # Without it trl drops the mask of rows that come tokenised, and learns the prompts too.
        "completion_only_loss": True,
        "max_length": None,
        "packing": False,
        "bf16": choice.precision == "bf16",
        "fp16": choice.precision == "fp16",
        "use_cpu": choice.device == "cpu",
        "dataloader_pin_memory": choice.device == "cuda",
        "activation_checkpointing": choice.recompute,
        "ddp_find_unused_parameters": False,
        "logging_steps": 1,
        "include_num_input_tokens_seen": "non_padding",
        "logging_nan_inf_filter": False,  # it would hide a NaN behind an average
        "save_strategy": "epoch" if steps is None else "no",
        "save_total_limit": 2,
        "push_to_hub": False,
        "disable_tqdm": True,
    }


def _by_length(encoded: Sequence[Encoded], batch_size: int, seed: int) -> Any:
    """Rows of like length together, shuffled anew each epoch, from the seed alone.

    transformers' own sampler draws from the global random state, which a resumed run has lost.
    """
    import torch
    from transformers import trainer_pt_utils

    grouped: Any = trainer_pt_utils.get_length_grouped_indices

    lengths = [len(ids["input_ids"]) for ids in encoded]

    class ByLength(torch.utils.data.Sampler[int]):
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return len(lengths)

        def __iter__(self) -> Iterator[int]:
            drawn = torch.Generator().manual_seed(seed * 1_000_003 + self.epoch)
            return iter(grouped(lengths, batch_size, generator=drawn))

    return ByLength()


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
