"""The notebook's recipe under today's names: the arm that `train` and `train_gpu` measure against.

QLoRA as the notebook that this project began with has it: NF4 with double quantisation and bfloat16
compute, rank 16, alpha 64, dropout 0.1 on the seven projections, loss over the full text, batches
of 4 times 4, activation checkpointing, rows grouped by length, paged_adamw_32bit, learning rate
4e-4 held constant, gradients clipped at 0.3, warmup 3 %. Its own names of 2024 no longer start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA, DROPOUT = 16, 64, 0.1
BATCH, ACCUMULATION, EPOCHS = 4, 4, 3
RATE, CLIP, WARMUP = 4e-4, 0.3, 0.03


def notebook_model(folder: Path, *, dtype: str = "bfloat16") -> Any:
    """The base quantised as the notebook has it, computing in `dtype`."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    wanted = getattr(torch, dtype)
    quantised = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=wanted,
    )
    return AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=wanted,
        quantization_config=quantised,
        device_map={"": "cuda:0" if torch.cuda.is_available() else "cpu"},
    )


def notebook_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, list[int]]],
    *,
    folder: Path,
    dtype: str = "bfloat16",
    steps: int = -1,
    seed: int = 0,
) -> Any:
    """The notebook's SFTTrainer over whole rows; `steps` -1 trains its 3 epochs.

    In bfloat16 trl casts the adapters to bfloat16 and computes under autocast. In float32 neither:
    the same recipe in the dtype that some hardware is faster in.
    """
    import torch
    import transformers
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTTrainer

    adapter = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=PROJECTIONS,
        task_type="CAUSAL_LM",
    )
    trainer: Any = SFTTrainer(
        model=model,
        args=_arguments(folder, dtype=dtype, steps=steps, seed=seed),
        train_dataset=Dataset.from_list([{"input_ids": row["input_ids"]} for row in rows]),
        processing_class=tokenizer,
        peft_config=adapter,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    if dtype == "float32":
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
    return trainer


def _arguments(folder: Path, *, dtype: str, steps: int, seed: int) -> Any:
    import torch
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=EPOCHS,
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATION,
        optim="paged_adamw_32bit",
        learning_rate=RATE,
        lr_scheduler_type="constant",
        warmup_steps=WARMUP,
        max_grad_norm=CLIP,
        activation_checkpointing=True,
        train_sampling_strategy="group_by_length",
        completion_only_loss=False,
        max_length=None,
        packing=False,
        bf16=dtype == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=seed,
        save_strategy="no",
        logging_steps=1,
        report_to=[],
        push_to_hub=False,
        disable_tqdm=True,
    )
