"""What makes a step cheaper and changes no number: no logits without a loss, NF4 read once."""

from __future__ import annotations

import functools
import os
from typing import Any

# Above so many logits (tokens in the loss times vocabulary) trl's loss in tiles takes less memory.
MOST_LOGITS = 1 << 26
_SCALED = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
)
# Below this many parameters the base's weights take less than 1 GB, also in float32.
SMALL = 200_000_000


def written_out(model: Any) -> Any:
    """A small quantised base on a CPU with its NF4 weights as the numbers that they stand for.

    bitsandbytes writes them out again in every pass, forward and backward, and multiplies with
    them: the results are the same bits. A large base, a base on a GPU, and one that several
    processes of a machine hold each for itself stays as it is.
    """
    import torch

    small = model.num_parameters() < SMALL and int(os.environ.get("WORLD_SIZE", "1")) == 1
    if not small or torch.cuda.is_available() or not getattr(model, "is_loaded_in_4bit", False):
        return model
    return model.dequantize()


def score_completions_only(trainer: Any) -> None:
    """Make an SFTTrainer's model project only the positions whose next token is in the loss.

    trl 1.16 does so where Triton is; elsewhere it projects every position of every row, twice. The
    loss is the same mean over the same tokens. Models that scale or cap their logits or add losses
    of their own keep trl's way.
    """
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    model = getattr(model, "get_base_model", lambda: model)()
    config = model.config.get_text_config()
    plain = not any(getattr(config, name, None) for name in (*_SCALED, "output_router_logits"))
    if torch.cuda.is_available() or not plain:
        return
    whole = model.forward

    @functools.wraps(whole)  # what a caller may pass is read from the signature
    def forward(*args: Any, labels: Any = None, **options: Any) -> Any:
        counted = 0 if labels is None else int((labels != -100).sum()) * config.vocab_size
        if not options.get("fused_lm_head") or not 0 < counted <= MOST_LOGITS:
            return whole(*args, labels=labels, **options)
        options.pop("fused_lm_head")
        items = options.pop("num_items_in_batch", None)
        return _scored(model, labels[:, 1:], items, *args, **options)

    model.forward = forward


def _scored(model: Any, labels: Any, items: Any, *args: Any, **options: Any) -> Any:
    """The model's output as trl's loss reads it, from the positions in the loss alone."""
    import torch
    from trl.trainer.utils import FusedCausalLMOutput

    options["use_cache"] = False
    hidden = model.base_model(*args, **options).last_hidden_state[:, :-1]
    mask = labels != -100
    logits = model.get_output_embeddings()(hidden[mask]).float()
    wanted = labels[mask]
    losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
    nothing = losses.new_zeros(mask.shape)
    top = (logits.detach().argmax(-1) == wanted).to(losses.dtype)
    return FusedCausalLMOutput(
        loss=losses.sum() / (mask.sum() if items is None else items),
        log_probs=nothing.masked_scatter(mask, -losses),
        entropy=nothing,
        is_top1=nothing.masked_scatter(mask, top),
        label_mask=mask,
    )
