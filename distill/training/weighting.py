"""A loss in which tokens weigh what their row says: a trainer's class made from trl's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

WEIGHTS = "loss_weights"


def weighted(trainer: Any) -> Any:
    """A subclass of trl's SFTTrainer whose loss weighs each token by the rows' `loss_weights`.

    The loss of a step is the sum of weight times negative log-likelihood over its tokens, by its
    number of sequences, in however many passes and processes it is computed. With the weights of
    `dataset.tokenised` that is the mean over sequences of (mean over the answer's tokens + alpha x
    mean over the rationale's): the multi-task loss of distilling step by step (arXiv 2305.02301,
    eq. 4) in expectation over batches, whatever the texts' lengths. A row drawn twice, or a batch
    with more of one task, is not the same thing.
    """

    class Weighted(trainer):  # type: ignore[misc] # a class given at run time
        loss_is_scaled_for_ga = True  # by the step's sequences: its passes may differ in them

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.data_collator: Any = collated(self.data_collator)

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            self._signature_columns: Any = list({*self._signature_columns, WEIGHTS})

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
            import torch

            count = sum(len(batch[WEIGHTS]) for batch in batch_samples)
            return self.accelerator.gather(torch.tensor(count, device=device)).sum()

        def compute_loss(
            self,
            model: Any,
            inputs: Mapping[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            given = {name: value for name, value in inputs.items() if name != WEIGHTS}
            outputs = model(**given, use_cache=False, fused_lm_head=True)
            weights = inputs[WEIGHTS][:, 1:].to(outputs.log_probs)
            loss = -(outputs.log_probs * weights).sum()
            if num_items_in_batch is None:
                loss = loss / len(weights)
            else:  # those of all processes, over which gradients are then averaged
                loss = loss * self.accelerator.num_processes / num_items_in_batch
            return (loss, outputs) if return_outputs else loss

    return Weighted


def collated(collator: Callable[..., Any]) -> Callable[[Sequence[Mapping[str, Any]]], Any]:
    """trl's collator of rows, and the rows' weights padded with nothing beside it."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> Any:
        import torch

        batch = collator([{k: v for k, v in row.items() if k != WEIGHTS} for row in rows])
        weights = torch.zeros(batch["input_ids"].shape, dtype=torch.float32)
        for place, row in enumerate(rows):
            weights[place, : len(row[WEIGHTS])] = torch.tensor(row[WEIGHTS])
        batch[WEIGHTS] = weights
        return batch

    return collate
