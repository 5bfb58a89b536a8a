"""Real QLoRA on a tiny base: what is learnt, resumed, refused and left in the run folder."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.chains import Task
from understudy.chains.student.card import read_card
from understudy.distill.training.hardware import parameter_count
from understudy.distill.training.recipes import recipe_of
from understudy.distill.training.run_folder import failures_told
from understudy.distill.training.train import TrainingError, prepare, train
from understudy.store import Store

SAMPLES = runpy.run_path(str(Path(__file__).with_name("training_samples.py")))
teach, log_of, losses_of, adapter_of = (
    SAMPLES[name] for name in ("teach", "log_of", "losses_of", "adapter_of")
)


@pytest.fixture
def store(tiny_task: Task):
    with Store(":memory:") as opened:
        teach(opened, tiny_task)
        yield opened


@pytest.fixture
def tune(tiny_task: Task, tiny_base: Path, store: Store, tmp_path: Path):
    """`train` on the tiny base: two steps per epoch unless told otherwise."""

    def call(out: str = "run", **options: Any) -> Path:
        options = {"epochs": 1, "learning_rate": 1e-2, "target": "reason_label", **options}
        return train(tiny_task, store, out=tmp_path / out, base=str(tiny_base), **options)

    return call


def test_a_run_folder_holds_the_adapter_its_card_and_no_pickle(tune, tiny_task, tiny_base):
    seen: list[Any] = []
    folder = tune(progress=lambda *step: seen.append(step))
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
        "training_curves.svg",
        "training_log.jsonl",
        "understudy.json",
        "validation_log.jsonl",
    ]
    card = read_card(folder)
    card.check(tiny_task)
    assert (card.name, card.target, card.base) == ("run", "reason_label", str(tiny_base))
    assert [s[:3] for s in seen] == [(s["step"], s["total"], s["loss"]) for s in log_of(folder)]
    assert all(step[3] > 0 for step in seen)  # tokens per second
    assert [step[:2] for step in seen] == [(1, 2), (2, 2)]
    facts = card.training
    expected = {
        "rows": 16,
        "left_out": {},
        "epochs": 1.0,
        "learning_rate": 0.01,
        "batch_size": 8,
        "seed": 0,
        "steps": 2,
        "teacher_run": "t1",
        "teacher_model": "wise",
        "quantised": True,
        "validation_rows": 4,
        "unseen": {},
        "first_loss": seen[0][2],
        "last_loss": seen[-1][2],
    }
    assert {name: facts[name] for name in expected} == expected
    assert len(facts["validation_losses"]) == 1
    assert set(facts["versions"]) == {"torch", "transformers", "trl", "peft", "bitsandbytes"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 64, 0.0)
    assert config["base_model_name_or_path"] == str(tiny_base)


def test_adapters_are_float32_and_change_what_the_base_says(tune, tiny_base):
    import torch
    from safetensors.torch import load_file

    from understudy.chains.student.weights import load_base, merged_model

    folder = tune(learning_rate=5e-2)
    weights = load_file(folder / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert len(weights) == 2 * 7 * 2  # two layers of seven linear maps, A and B
    assert all(weight.abs().max() > 0 for weight in weights.values())
    ids = torch.tensor([[5, 9, 33, 71]])
    merged, _ = merged_model(folder)
    base = load_base(str(tiny_base))[0].dequantize()
    with torch.no_grad():
        assert (merged(ids).logits - base(ids).logits).abs().max() > 0.1


def test_a_student_learns_eight_rows_by_heart(tune):
    losses = losses_of(tune(target="label", limit=8, batch_size=1, epochs=8))
    # The random base's frozen head bounds its logits, so the loss has a floor near 1.
    assert sum(losses[:8]) / 8 > 4.5
    assert sum(losses[-8:]) / 8 < 1.6


def test_the_same_seed_gives_the_same_student_and_another_seed_another(tune):
    first, again, other = tune("a"), tune("b"), tune("c", seed=1)
    assert losses_of(first) == losses_of(again) != losses_of(other)
    assert adapter_of(first) == adapter_of(again) != adapter_of(other)


def test_an_interrupted_training_goes_on_and_ends_bit_for_bit_the_same(tune, tmp_path):
    whole = tune("whole", epochs=3)

    def interrupt(step: int, *_: Any) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("cut", epochs=3, progress=interrupt)
    checkpoints = tmp_path / "cut" / "checkpoints"
    torn = checkpoints / "checkpoint-6"  # as a kill in the middle of a save leaves it
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"torn")
    steps: list[int] = []
    cut = tune("cut", epochs=3, progress=lambda step, *_: steps.append(step))
    assert steps == [5, 6]
    assert losses_of(cut) == losses_of(whole)
    assert adapter_of(cut) == adapter_of(whole)
    facts, expected = read_card(cut).training, read_card(whole).training
    assert facts["validation_losses"] == expected["validation_losses"]
    assert not checkpoints.exists()
    seconds = [line["seconds"] for line in log_of(cut)]
    assert seconds == sorted(seconds)


def test_a_training_stopped_after_its_last_step_only_writes_what_is_missing(tune, tmp_path):
    whole = tune("whole", epochs=2)
    in_the_way = tmp_path / "cut" / "understudy.json.part"
    with pytest.raises(TrainingError, match="cut cannot be written: Is a directory"):
        tune("cut", epochs=2, progress=lambda *_: in_the_way.mkdir(exist_ok=True))
    in_the_way.rmdir()
    cut = tune("cut", epochs=2, progress=lambda *_: pytest.fail("it trained again"))
    assert adapter_of(cut) == adapter_of(whole)
    assert losses_of(cut) == losses_of(whole)


def test_looking_at_the_validation_loss_changes_nothing(
    tune, store, tiny_task, tiny_base, tmp_path
):
    validated = tune(epochs=3)
    with Store(":memory:") as bare:
        bare.start_run(store.run("t1"))
        for example, record in store.pairs("t1", split="train"):
            bare.add_examples([example])
            bare.add_record(record)
        blind = train(
            tiny_task,
            bare,
            out=tmp_path / "blind",
            base=str(tiny_base),
            target="reason_label",
            epochs=3,
            learning_rate=1e-2,
        )
    facts = read_card(validated).training, read_card(blind).training
    assert [len(f["validation_losses"]) for f in facts] == [3, 0]
    assert losses_of(validated) == losses_of(blind)
    assert adapter_of(validated) == adapter_of(blind)


def test_a_finished_student_is_returned_without_a_step(tune):
    folder = tune()
    stamp = (folder / "adapter_model.safetensors").stat().st_mtime_ns
    assert tune(progress=lambda *_: pytest.fail("it trained again")) == folder
    assert (folder / "adapter_model.safetensors").stat().st_mtime_ns == stamp


def test_a_student_whose_weights_are_gone_is_trained_again(tune):
    folder = tune()
    weights = adapter_of(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(TrainingError, match="holds a student with seed 0, not 1"):
        tune(seed=1)
    assert adapter_of(tune()) == weights


def test_a_folder_with_another_student_is_left_alone(tune, store, tiny_task):
    tune()
    with pytest.raises(TrainingError, match="holds a student with seed 0, not 1; give another out"):
        tune(seed=1)
    teach(store, tiny_task, count=24)  # four rows more
    with pytest.raises(TrainingError, match="holds a student with rows 16, not 20"):
        tune()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.doc", "years of work"),
        ("settings.json", '{"mine": 1}'),
        ("training.json", '{"seed": 0}'),
        ("training.json", "[]"),
        ("training.json", "{"),
    ],
)
def test_a_folder_that_is_not_a_run_folder_is_left_alone(tune, tmp_path, name, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(text)
    with pytest.raises(TrainingError, match="is not empty and not a run folder"):
        tune()
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == [name]
    assert (tmp_path / "run" / name).read_text() == text


def test_a_readme_put_into_the_run_folder_stays_as_it_is(tune, tmp_path):
    readme = tmp_path / "run" / "README.md"
    folder = tune(progress=lambda *_: readme.write_text("my notes"))
    assert (folder / "README.md").read_text() == "my notes"


def test_a_second_training_into_the_folder_is_refused_and_the_first_goes_on(tune, tmp_path):
    refused: list[str] = []

    def try_another(step: int, *_: Any) -> None:
        torn = tmp_path / "run" / "checkpoints" / "checkpoint-99"  # as one that is being written
        if step == 1:
            torn.mkdir(parents=True)
            with pytest.raises(TrainingError, match="is being trained by another process") as said:
                tune()
            refused.append(str(said.value))
            assert torn.is_dir()
            torn.rmdir()

    folder = tune(progress=try_another)
    assert len(refused) == 1
    assert "\n" not in refused[0]
    assert not (folder / "training.lock").exists()
    assert adapter_of(folder) == adapter_of(tune("other"))


def test_the_lock_of_a_killed_process_is_taken_over_and_that_of_a_living_one_is_not(tune, tmp_path):
    import psutil

    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lock = f"{process.pid} {psutil.Process(process.pid).create_time()}"
        (folder / "training.lock").write_text(lock)
        with pytest.raises(TrainingError, match="is being trained by another process"):
            tune()
        assert (folder / "training.lock").read_text() == lock
        process.kill()
    assert len(losses_of(tune())) == 2
    reborn = tmp_path / "reborn"  # the same pid, given out again
    reborn.mkdir()
    (reborn / "training.lock").write_text(f"{os.getpid()} 12345.0")
    assert len(losses_of(tune("reborn"))) == 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "run cannot be written: No space left"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory: .*Cannot allocate"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory: CUDA"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you"), "out of memory: Default"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: Default"),
        (MemoryError(), "out of memory: MemoryError; take fewer rows_at_once"),
        (RuntimeError("[enforce fail at inline_container.cc] . unexpected pos 64"), "whole; free"),
    ],
)
def test_what_the_machine_lacks_is_one_line(tmp_path, error, message):
    with pytest.raises(TrainingError, match=message) as caught, failures_told(tmp_path / "run"):
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unsupported memory format option Preserve"),
        RuntimeError("an illegal memory access was encountered"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        TimeoutError("timed out"),
        OSError("no such model"),
    ],
)
def test_what_is_neither_disk_nor_memory_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as caught, failures_told(tmp_path):
        raise error
    assert caught.value is error


def test_settings_may_change_while_nothing_is_learnt_yet(tune):
    with pytest.raises(TrainingError, match="the loss is nan"):
        tune(learning_rate=1e30, epochs=4)
    assert len(losses_of(tune())) == 2


def test_a_file_where_the_folder_should_be_is_one_line(tune, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(TrainingError, match=r"taken.run cannot be written: .*(directory|exists)"):
        tune("taken/run")


def test_a_full_disk_is_one_line_and_the_training_goes_on_afterwards(tune):
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(TrainingError, match=r"cannot be written: .*; free space") as caught:
            tune()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert adapter_of(tune()) == adapter_of(tune("other"))


def test_without_a_teacher_it_says_how_to_get_one(tune, tiny_task, tiny_base, tmp_path):
    with Store(":memory:") as empty, pytest.raises(TrainingError) as caught:
        train(tiny_task, empty, out=tmp_path / "run", base=str(tiny_base))
    assert str(caught.value) == (
        "task tiny: no teacher has answered its split train under this answer schema; "
        "label it first (understudy distill), or name a teacher_run of an older schema"
    )


def test_both_targets_are_taught_the_same_rows_of_a_patchy_teacher(store, tiny_task, tiny_base):
    with Store(":memory:") as patchy:
        patchy.start_run(store.run("t1"))
        for i, (example, record) in enumerate(store.pairs("t1", split="train")):
            patchy.add_examples([example])
            odd = {3: None, 5: "fim </s>"}
            patchy.add_record(record.model_copy(update={"reasoning": odd.get(i, record.reasoning)}))
        label, reasoned = (
            prepare(tiny_task, patchy, base=str(tiny_base), target=target, limit=12).taught
            for target in ("label", "reason_label")
        )
    assert [row.example for row in label.rows] == [row.example for row in reasoned.rows]
    assert len(label.rows) == 12
    left_out = {"no reasoning": 1, "it holds the end token </s> as text": 1}
    assert label.left_out == reasoned.left_out == left_out


def test_a_teacher_without_any_reasoning_teaches_labels_and_says_it_has_none(
    store, tiny_task, tiny_base
):
    with Store(":memory:") as mute:
        mute.start_run(store.run("t1"))
        for example, record in store.pairs("t1", split="train"):
            mute.add_examples([example])
            mute.add_record(record.model_copy(update={"reasoning": None}))
        assert len(prepare(tiny_task, mute, base=str(tiny_base)).taught.rows) == 16
        with pytest.raises(TrainingError) as caught:
            prepare(tiny_task, mute, base=str(tiny_base), target="reason_label")
    assert str(caught.value) == (
        "no answer of teacher run t1 can teach reason_label: no reasoning (16)"
    )


def test_the_newest_teacher_with_records_of_this_schema_teaches(store, tiny_task, tiny_base):
    teach(store, tiny_task, run="t2", model="newer")
    teach(store, tiny_task, run="t3", answers="another schema")
    teach(store, tiny_task, run="t4", role="student")
    store.start_run(store.run("t2").model_copy(update={"id": "t5", "started": "2026-01-05"}))
    assert prepare(tiny_task, store, base=str(tiny_base)).teacher.id == "t2"
    named = prepare(tiny_task, store, base=str(tiny_base), teacher_run="t3")
    assert named.teacher.id == "t3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "labels"}, "there is no target labels; take one of label, "),
        ({"limit": 0}, "limit is 0"),
        ({"limit": 7}, "7 training rows, at least 8"),
        ({"epochs": 0}, "epochs is 0.0: it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_folder_exists(
    tune, tmp_path, options, message
):
    with pytest.raises(TrainingError, match=message):
        tune(**options)
    assert not (tmp_path / "run").exists()


def test_it_trains_inside_a_running_event_loop(tune):
    async def notebook() -> Any:
        return tune(limit=8)

    assert read_card(asyncio.run(notebook())).training["steps"] == 1


def test_it_is_silent_and_pings_nobody(tune, monkeypatch, capfd):
    from huggingface_hub import constants
    from huggingface_hub.utils import _telemetry

    pings: list[Any] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(_telemetry, "_start_telemetry_thread", lambda: None)
    monkeypatch.setattr(_telemetry._TELEMETRY_QUEUE, "put", pings.append)
    monkeypatch.delenv("CI", raising=False)
    capfd.readouterr()
    tune()
    assert capfd.readouterr() == ("", "")
    assert pings == []
    _telemetry.send_telemetry("ping")  # outside, the user's own choice holds
    assert len(pings) == 1


def test_small_bases_learn_faster_and_longer(tiny_base):
    assert parameter_count(tiny_base) < 100_000
    small = recipe_of(None, parameters=1_100_000)
    assert (small.name, small.epochs, small.learning_rate) == ("tiny", 4.0, 1.5e-3)
    large = recipe_of(None, parameters=1_200_000_000)
    assert (large.name, large.epochs, large.learning_rate) == ("default", 3.0, 2e-4)
