"""The weighted loss of a real trl trainer is the one that the rows' weights say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from understudy.chains.student.weights import load_base
from understudy.distill.training.dataset import tokenised, training_rows
from understudy.distill.training.weighting import weighted
from understudy.store import Example, Record, example_id

REASONS = ("curta", "uma razão bem mais longa do que ela", "média assim", "x")


def rows_of(task: Any) -> Any:
    pairs = []
    for i, reasoning in enumerate(REASONS):
        inputs = {"sentence": f"frase {i}"}
        example = Example(id=example_id(inputs), task="tiny", split="train", inputs=inputs)
        answer = {"mood": ("Medo", "Neutro")[i % 2], "urgent": i > 1}
        record = Record(
            run="r", example=example.id, answer=answer, reasoning=reasoning, created="now"
        )
        pairs.append((example, record))
    return training_rows(task, pairs, target="multitask").rows


@pytest.fixture
def trainer_of(tiny_base: Path, tmp_path: Path):
    def make(encoded: Any, *, batch: int, accumulated: int = 1, validation: Any = None) -> Any:
        import transformers
        from datasets import Dataset
        from peft import LoraConfig
        from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined] # loaded late

        transformers.set_seed(3)
        model, tokenizer = load_base(str(tiny_base), quantised=False)
        return weighted(SFTTrainer)(
            model=model,
            args=SFTConfig(
                output_dir=str(tmp_path),
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=accumulated,
                learning_rate=1e-2,
                max_steps=1,
                max_grad_norm=0.0,
                completion_only_loss=True,
                max_length=None,
                bf16=False,
                use_cpu=True,
                activation_checkpointing=False,
                optim="sgd",
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                logging_steps=1,
            ),
            train_dataset=Dataset.from_list(encoded),
            eval_dataset=Dataset.from_list(validation or encoded),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
        )

    return make


def by_hand(model: Any, encoded: Any) -> Any:
    """The mean over sequences of the weighted sum of each token's loss."""
    import torch

    total = torch.zeros(())
    for row in encoded:
        ids = torch.tensor([row["input_ids"]])
        losses = torch.nn.functional.cross_entropy(
            model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="none"
        )
        total = total + (losses * torch.tensor(row["loss_weights"][1:])).sum()
    return total / len(encoded)


def trained(trainer: Any) -> dict[str, Any]:
    trainer.train()
    return {
        name: value.detach().clone()
        for name, value in trainer.model.named_parameters()
        if value.requires_grad
    }


@pytest.fixture
def encoded_of(tiny_task, tiny_base):
    from understudy.chains.student.weights import load_tokenizer

    tokenizer = load_tokenizer(tiny_base, "tiny")
    return lambda alpha: tokenised(tokenizer, rows_of(tiny_task), alpha=alpha)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_the_loss_is_that_of_each_task_by_its_weight(trainer_of, encoded_of, alpha):
    encoded = encoded_of(alpha)
    trainer = trainer_of(encoded, batch=8)
    trainer.model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    loss, _ = trainer.compute_loss(trainer.model, batch, return_outputs=True)
    assert float(loss) == pytest.approx(float(by_hand(trainer.model, encoded)), rel=1e-5)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize(("batch", "accumulated"), [(2, 4), (3, 3)])  # 3, 3 and 2 sequences
def test_accumulated_batches_step_as_one_batch_does(trainer_of, encoded_of, batch, accumulated):
    import torch

    whole = trained(trainer_of(encoded_of(0.5), batch=8))
    parts = trained(trainer_of(encoded_of(0.5), batch=batch, accumulated=accumulated))
    assert whole.keys() == parts.keys()
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)


def test_a_weight_of_nearly_nothing_teaches_as_the_answers_alone_do(trainer_of, encoded_of):
    import torch

    nothing = trained(trainer_of(encoded_of(1e-9), batch=8))
    one = trained(trainer_of(encoded_of(1.0), batch=8))
    answers = [row for place, row in enumerate(encoded_of(1.0)) if place % 2 == 0]
    halved = [{**row, "loss_weights": [w / 2 for w in row["loss_weights"]]} for row in answers]
    alone = trained(trainer_of(halved, batch=4))
    assert all(torch.allclose(nothing[name], alone[name], atol=1e-6) for name in alone)
    assert any(not torch.allclose(one[name], alone[name], atol=1e-4) for name in alone)
