"""Trainings beyond the usual one: best checkpoint, other recipes, plan, sweep, kills, trackers."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from understudy.chains import Task
from understudy.chains.student.card import StudentError, read_card
from understudy.chains.student.chat import ChatStudent
from understudy.distill.evaluation.results import Curves
from understudy.distill.reporting.curves import drawn, thinned
from understudy.distill.reporting.pages import render_html, render_markdown
from understudy.distill.training.curves import trained_curves
from understudy.distill.training.plan import training_plan
from understudy.distill.training.recipes import RECIPES
from understudy.distill.training.run_folder import failures_told, read_lines, rewind
from understudy.distill.training.sweep import sweep
from understudy.distill.training.train import TrainingError, train
from understudy.distill.training.watching import better, patience_ended
from understudy.store import Store
from understudy.store.provenance import trainings

REPORTS = runpy.run_path(str(Path(__file__).with_name("report_samples.py")))["REPORTS"]
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
        options = {"epochs": 1, "learning_rate": 1e-2, **options}
        return train(tiny_task, store, out=tmp_path / out, base=str(tiny_base), **options)

    return call


def answers(task: Task, folder: Path) -> list[Any]:
    """What the student in the folder says to three rows."""
    from understudy.chains import answer_chain

    student = ChatStudent(model=str(folder))
    try:
        rows = [{"sentence": f"a frase {i} diz {mood}"} for i, mood in enumerate(("Medo", "x", ""))]
        return [task.answer_json(said.answer) for said in answer_chain(task, student).batch(rows)]
    finally:
        student.close()


def test_the_adapter_that_agreed_most_is_kept_and_looking_changes_nothing(tune, tiny_task):
    best = tune("best", epochs=4, changes={"keep": "best"})
    last = tune("last", epochs=4)
    assert losses_of(best) == losses_of(last)  # measuring drew no random number of theirs
    checks = read_lines(best / "validation_log.jsonl")
    assert [check["step"] for check in checks] == [2, 4, 6, 8]
    agreements = [check["agreement"] for check in checks]
    assert all(0 <= agreed <= 1 for agreed in agreements)
    facts = read_card(best).training
    first_best = checks[agreements.index(max(agreements))]["step"]
    assert facts["best_step"] == first_best
    assert facts["validation_agreements"] == agreements
    assert first_best < checks[-1]["step"]
    kept_loss = next(check["loss"] for check in checks if check["step"] == first_best)
    assert f"| validation loss | {kept_loss:.4f} (4 rows) |" in (best / "README.md").read_text()
    assert answers(tiny_task, best)
    assert not (best / "checkpoints").exists()
    assert read_card(last).training["best_step"] is None


def test_a_training_that_gets_no_better_stops_early(tune):
    folder = tune(epochs=8, learning_rate=1e-8, changes={"patience": 2, "keep": "best"})
    assert len(log_of(folder)) == 2 * 3  # no better than the first validation, twice
    assert read_card(folder).training["steps"] == 6


def test_patience_counts_validations_and_losses_where_no_agreement_is_known(tmp_path):
    def after(*checks: tuple[float, float | None]) -> bool:
        lines = [
            json.dumps({"step": step, "loss": loss, "agreement": agreed})
            for step, (loss, agreed) in enumerate(checks, 1)
        ]
        (tmp_path / "validation_log.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return patience_ended(tmp_path, 2)

    assert not after((3.0, 0.5), (2.0, 0.5))
    assert after((3.0, 0.5), (2.0, 0.5), (1.0, 0.5))
    assert not after((3.0, 0.5), (2.0, 0.4), (1.0, 0.6))
    assert after((1.0, None), (2.0, None), (3.0, None))
    assert not after((3.0, None), (4.0, None), (2.0, None))


def test_of_equal_agreements_the_earlier_adapter_is_kept(tmp_path):
    assert better(0.0, tmp_path)
    line = {"step": 2, "loss": 1.0, "agreement": 0.5}
    (tmp_path / "validation_log.jsonl").write_text(f"{json.dumps(line)}\n")
    assert not better(0.5, tmp_path)
    assert better(0.6, tmp_path)


@pytest.mark.parametrize("name", ["int8", "lora", "full"])
def test_other_recipes_train_and_their_students_serve_what_they_learnt(tune, tiny_task, name):
    rate = {"full": 1e-3}.get(name, 1e-2)
    folder = tune(epochs=4, learning_rate=rate, recipe=name, changes={"precision": "fp32"})
    losses = losses_of(folder)
    assert losses[-1] < losses[0]
    facts = read_card(folder).training
    assert facts["adapter"] == ("full" if name == "full" else "lora")
    assert facts["quantisation"] == ("int8" if name == "int8" else "none")
    assert (folder / "model.safetensors").is_file() == (name == "full")
    assert (folder / "adapter_model.safetensors").is_file() == (name != "full")
    checks = read_lines(folder / "validation_log.jsonl")
    assert all(check["agreement"] is not None for check in checks)
    said = answers(tiny_task, folder)
    assert len(said) == 3
    identity = ChatStudent(model=str(folder)).sha256
    weights = folder / ("model.safetensors" if name == "full" else "adapter_model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert ChatStudent(model=str(folder)).sha256 != identity


def test_bfloat16_learns_as_float32_does(tune):
    options: dict[str, Any] = {"epochs": 4, "recipe": "default", "learning_rate": 5e-3}
    rough = losses_of(tune("rough", changes={"precision": "bf16"}, **options))
    fine = losses_of(tune("fine", changes={"precision": "fp32"}, **options))
    assert rough == pytest.approx(fine, rel=0.03)
    assert rough != fine


def test_a_student_tuned_in_full_without_its_weights_is_one_line(tune):
    folder = tune(learning_rate=1e-3, recipe="full", changes={"precision": "fp32"})
    (folder / "model.safetensors").unlink()
    with pytest.raises(StudentError, match="has no weights; train it again"):
        _ = ChatStudent(model=str(folder)).sha256


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 1.5},
        {"epochs": 8, "learning_rate": 0.5, "changes": {"patience": 1, "keep": "last"}},
    ],
    ids=["a part of an epoch", "stopped early"],
)
def test_a_training_cut_after_its_last_checkpoint_ends_bit_for_bit_the_same(
    tune, tmp_path, options
):
    whole = tune("whole", **options)

    cut = tmp_path / "cut"
    in_the_way = cut / "adapter_model.safetensors"
    with pytest.raises(TrainingError, match="cut cannot be written"):
        tune("cut", progress=lambda *_: in_the_way.mkdir(exist_ok=True), **options)
    in_the_way.rmdir()
    tune("cut", progress=lambda *_: pytest.fail("it trained again"), **options)
    assert losses_of(cut) == losses_of(whole)
    assert adapter_of(cut) == adapter_of(whole)


def test_a_damaged_checkpoint_is_left_out_and_the_one_before_it_taken(tune, tmp_path, caplog):
    changes: dict[str, Any] = {"checkpoint_minutes": 1e-9}
    options = {"epochs": 4, "batch_size": 4, "changes": changes}
    whole = tune("whole", **options)

    def interrupt(step: int, *_: Any) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("cut", progress=interrupt, **options)
    newest = tmp_path / "cut" / "checkpoints" / "checkpoint-6"
    weights = newest / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    steps: list[int] = []
    cut = tune("cut", progress=lambda step, *_: steps.append(step), **options)
    assert steps[0] == 6  # from step 5
    assert "checkpoint-6 is damaged" in caplog.text
    assert adapter_of(cut) == adapter_of(whole)


@pytest.mark.parametrize("order", ["random", "length"])
def test_a_training_taken_up_within_an_epoch_ends_bit_for_bit_the_same(tune, tmp_path, order):
    changes: dict[str, Any] = {"order": order, "keep": "best"}
    changes |= {"dropout": 0.1, "checkpoint_minutes": 1e-9, "rows_at_once": 2}
    options = {"epochs": 3, "batch_size": 4, "changes": changes}
    whole = tune("whole", **options)

    def interrupt(step: int, *_: Any) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("cut", progress=interrupt, **options)
    steps: list[int] = []
    cut = tune("cut", progress=lambda step, *_: steps.append(step), **options)
    assert steps == [7, 8, 9, 10, 11, 12]  # from step 6, in the middle of the second epoch
    assert losses_of(cut) == losses_of(whole)
    assert adapter_of(cut) == adapter_of(whole)
    checks = [read_lines(folder / "validation_log.jsonl") for folder in (cut, whole)]
    assert checks[0] == checks[1]
    assert len(checks[0]) == 3
    assert [line["tokens"] for line in log_of(cut)] == [line["tokens"] for line in log_of(whole)]


def test_fewer_rows_at_once_learn_the_same_and_may_go_on_where_more_did_not_fit(tune, tmp_path):
    options = {"epochs": 2, "batch_size": 8}
    whole = tune("whole", **options)

    def interrupt(step: int, *_: Any) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("cut", progress=interrupt, **options)
    cut = tune("cut", changes={"rows_at_once": 2}, **options)
    assert losses_of(cut) == pytest.approx(losses_of(whole), rel=1e-4)


def test_a_training_begun_in_another_precision_is_not_mixed(tune):
    def interrupt(step: int, *_: Any) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(epochs=2, progress=interrupt)
    with pytest.raises(TrainingError, match="with precision fp32, not bf16; give another out"):
        tune(epochs=2, changes={"precision": "bf16"})


TASK_SOURCE = textwrap.dedent(
    """
    from typing import Literal
    from langchain_core.prompts import ChatPromptTemplate
    from pydantic import BaseModel, Field
    from understudy.chains.task import Task

    class Mood(BaseModel):
        '''The answer of the tiny task.'''

        reasoning: str = Field(max_length=40)
        mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
        urgent: bool

    TASK = Task(
        name="tiny",
        schema=Mood,
        reasoning="reasoning",
        prompt=ChatPromptTemplate.from_messages(
            [("system", "Say how the sentence feels, reasoning first."), ("human", "{sentence}")]
        ),
        student_prompt=ChatPromptTemplate.from_messages([("human", "Frase: {sentence}")]),
    )
    """
)
TRAINING = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from understudy.distill import train
    from understudy.distill.commands.options import stoppable
    from understudy.store import Store

    store, base, out = sys.argv[1:]
    with Store(store) as opened, stoppable():
        train(TASK, opened, out=out, base=base, epochs=200,
              learning_rate=1e-2, progress=lambda *_: time.sleep(0.02))
    """
)


@pytest.mark.needs_posix
def test_ctrl_c_ends_after_a_step_with_its_checkpoint(tiny_task, tiny_base, tmp_path):
    with Store(tmp_path / "store.db") as opened:
        teach(opened, tiny_task)
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-c",
        TASK_SOURCE + TRAINING,
        str(tmp_path / "store.db"),
        str(tiny_base),
        str(out),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        log = out / "training_log.jsonl"
        while not log.is_file() or log.read_bytes().count(b"\n") < 3:
            assert process.poll() is None, process.stderr and process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines() == [
        "stopping after this step; Ctrl-C again stops without its checkpoint",
        "understudy: stopped; what was done is kept, run the same command again to go on",
    ]
    steps = len(read_lines(log))
    newest = max(int(c.parent.name[11:]) for c in out.glob("checkpoints/*/complete"))
    assert newest == steps


def test_a_plan_tells_tokens_memory_disk_and_hours_and_leaves_nothing_behind(
    tiny_task, store, tiny_base, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    out = tmp_path / "runs" / "label"
    plan = training_plan(tiny_task, store, out=out, base=str(tiny_base), changes={"epochs": 500})
    assert list(tmp_path.iterdir()) == []
    assert (plan.rows, plan.validation_rows, plan.steps) == (16, 4, 1000)
    assert plan.tokens > plan.completion_tokens > 0
    assert plan.trained_parameters < plan.parameters
    assert 0 < plan.step_seconds < 10
    assert plan.seconds > 900 * plan.step_seconds
    assert plan.memory > 2**26
    assert plan.disk > 2**24
    lines = plan.lines()
    assert lines[0].startswith("recipe tiny; ")
    assert lines[1] == ("16 rows (4 for validation), 500 epochs, 1,000 steps of 8 rows, 8 at once")
    assert "about" in lines[-1]
    assert json.loads(json.dumps(plan.data()))["steps"] == 1000


def test_a_sweep_keeps_what_agrees_most_and_its_whole_table(tiny_task, store, tiny_base, tmp_path):
    out = tmp_path / "run"
    options: dict[str, Any] = {"out": out, "base": str(tiny_base), "target": "label"}
    options["vary"] = {"learning_rate": [1e-8, 3e-2], "epochs": [1.0, 6.0]}
    seen: list[str] = []

    def shown(name: str) -> Any:
        seen.append(name)
        return lambda *_: None

    assert sweep(tiny_task, store, progress=shown, **options) == out
    assert seen[0] == "learning_rate-1e-08_epochs-1.0"
    told = json.loads((out / "sweep.json").read_text())
    assert told["decided_by"] == "agreement on 4 validation rows"
    trials = told["trials"]
    assert [(t["learning_rate"], t["epochs"]) for t in trials] == [
        (1e-8, 1.0),
        (1e-8, 6.0),
        (3e-2, 1.0),
        (3e-2, 6.0),
    ]
    best = min(trials, key=lambda t: (-t["agreement"], t["validation_loss"]))
    card = read_card(out)
    assert card.name == "run"
    assert card.training["learning_rate"] == best["learning_rate"] == 3e-2
    assert card.training["epochs"] == best["epochs"]
    assert card.training["sweep"] == trials
    assert not (out / "sweep").exists()
    assert answers(tiny_task, out)
    seen.clear()
    sweep(tiny_task, store, progress=shown, **options)  # finished: nothing is trained again
    assert seen == []
    assert [training.folder for training in trainings(store)] == [str(out)]


def test_a_sweep_says_on_how_many_of_the_validation_rows_it_was_decided(
    tiny_task, store, tiny_base, tmp_path, monkeypatch
):
    """Agreement is measured on the first VALIDATION_ROWS of them, in this test on two of four."""
    for module in ("lesson", "train", "sweep"):
        monkeypatch.setattr(f"understudy.distill.training.{module}.VALIDATION_ROWS", 2)
    vary = {"learning_rate": [1e-3, 1e-2]}
    changes = {"epochs": 1}
    out = tmp_path / "run"
    sweep(tiny_task, store, out=out, base=str(tiny_base), vary=vary, changes=changes)
    told = json.loads((out / "sweep.json").read_text())
    assert told["decided_by"] == "agreement on 2 of the 4 validation rows"
    assert read_card(out).training["validation_rows"] == 2


def test_a_sweep_over_modules_is_checked_as_each_of_its_trainings_would_be(
    tiny_task, store, tiny_base, tmp_path
):
    vary = {"modules": ["q_proj", "k_proj"]}
    with pytest.raises(TrainingError, match=r"kinds of block get no adapter, such as .*mlp"):
        sweep(tiny_task, store, out=tmp_path / "run", base=str(tiny_base), vary=vary)
    assert not (tmp_path / "run").exists()


def test_a_sweep_without_validation_rows_is_one_line(tiny_task, store, tiny_base, tmp_path):
    with Store(":memory:") as bare:
        bare.start_run(store.run("t1"))
        for example, record in store.pairs("t1", split="train"):
            bare.add_examples([example])
            bare.add_record(record)
        with pytest.raises(TrainingError, match="a sweep is decided by validation rows"):
            sweep(
                tiny_task,
                bare,
                out=tmp_path / "run",
                base=str(tiny_base),
                vary={"rank": [4, 8]},
            )
    assert not (tmp_path / "run").exists()


def test_training_json_tells_everything_that_a_repetition_needs(tune, tiny_base):
    folder = tune(seed=3)
    told = json.loads((folder / "training.json").read_text())
    assert told["format"] == 1
    fields = {field.name for field in dataclasses.fields(RECIPES["tiny"])}
    costs = {"name", "rows_at_once", "recompute", "checkpoint_minutes"}
    costs |= {"attention", "precision", "optimizer"}
    assert fields - costs <= told["settings"].keys()
    assert told["settings"]["seed"] == 3
    assert told["settings"]["base"] == str(tiny_base)
    assert len(told["settings"]["rows_sha256"]) == len(told["settings"]["base_sha256"]) == 64
    assert told["chosen"]["precision"] == "fp32"
    assert told["chosen"]["said"].endswith("fp32, NF4 base, attention sdpa, adamw_torch_fused")
    assert set(told["versions"]) == {"torch", "transformers", "trl", "peft", "bitsandbytes"}
    assert told["result"]["steps"] == 2


def test_a_run_folder_of_a_newer_version_is_left_alone(tune):
    folder = tune()
    told = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps(told | {"format": 2}))
    with pytest.raises(TrainingError, match=r"has a training\.json of format 2, and this version"):
        tune()


def test_the_curves_are_a_picture_with_every_validation(tune):
    folder = tune(epochs=3, changes={"keep": "best"})
    root = ElementTree.fromstring((folder / "training_curves.svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    marks = [use.get("fill", "") for use in root.iter(f"{space}use")]
    for colour in ("var(--warn", "var(--student"):  # losses and agreements
        assert sum(fill.startswith(colour) for fill in marks) >= 3
    said = root.find(f"{space}desc")
    assert said is not None
    assert (said.text or "").startswith("training loss from ")


def test_curves_of_a_long_training_stay_small_and_within_the_picture():
    losses = thinned([(step, 5 / step) for step in range(1, 20_001)])
    assert len(losses) <= 300
    empty: dict[str, Any] = {"losses": [], "validation_losses": [], "agreements": []}
    svg = drawn(Curves(**empty | {"name": "long", "losses": losses}))
    assert len(svg) < 20_000
    lines = [path.get("d", "") for path in ElementTree.fromstring(svg).findall(".//{*}path")]
    points = re.findall(r"[\d.]+ ([\d.]+)", max(lines, key=len))
    assert len(points) == len(losses)
    assert all(0 <= float(height) <= 226 for height in points)
    nothing = ElementTree.fromstring(drawn(Curves(name="none", **empty)))
    assert nothing.findtext("{*}desc") == "no step was logged"


def test_the_report_draws_the_trainings_whose_folders_are_still_there(tune, store, tiny_task):
    import shutil

    folder = tune("run-<b>", changes={"keep": "best"})
    (found,) = trained_curves(store, tiny_task.name)
    assert [step for step, _ in found.losses] == [1, 2]
    assert (found.name, len(found.agreements)) == ("run-<b>", 1)
    assert trained_curves(store, "another") == []
    report = REPORTS["news"]().model_copy(update={"curves": [found]})
    page, text = render_html(report), render_markdown(report)
    assert page.count('id="training-1-title"') == 1
    assert "run-&lt;b&gt;" in page
    assert "<b>" not in page
    assert "\\<b\\>: training loss from" in text
    assert 'id="training"' not in render_html(REPORTS["extraction"]())
    shutil.rmtree(folder)
    assert trained_curves(store, tiny_task.name) == []


def test_log_to_tensorboard_writes_into_the_run_folder_alone(tune):
    pytest.importorskip("tensorboard")
    folder = tune(log_to=["tensorboard"])
    assert list((folder / "tensorboard").glob("events.*"))
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ


def test_a_tracker_that_is_not_there_is_one_line_before_the_folder_exists(tune, tmp_path):
    with pytest.raises(TrainingError, match="there is no tracker neptune; take one of tensorboard"):
        tune(log_to=["neptune"])
    with pytest.raises(TrainingError, match=r"log_to wandb needs a package .* pip install wandb"):
        tune(log_to=["wandb"])
    assert not (tmp_path / "run").exists()


def test_how_this_hardware_is_used_is_said_in_one_line(tune):
    said: list[str] = []
    tune(announce=said.append)
    assert len(said) == 1
    assert "fp32, NF4 base" in said[0]


def test_a_lack_of_memory_names_the_last_good_checkpoint(tmp_path):
    for step, whole in ((4, True), (6, False)):
        checkpoint = tmp_path / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        if whole:
            (checkpoint / "complete").touch()
    goes_on = "the last good checkpoint is checkpoint-4: run again, it goes on from there"
    for error, what in (
        (MemoryError(), "out of memory: MemoryError"),
        (OSError(28, "No space left on device"), "cannot be written: No space left on device"),
    ):
        with pytest.raises(TrainingError) as caught, failures_told(tmp_path):
            raise error
        assert what in str(caught.value)
        assert str(caught.value).endswith(goes_on)


def test_a_rewound_run_forgets_what_came_after_its_checkpoint(tmp_path):
    (tmp_path / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    for step in (1, 2, 3):
        (tmp_path / "checkpoints" / f"best-{step}").mkdir()
    lines = [{"step": s, "seconds": s, "cpu_seconds": s, "tokens": 9 * s} for s in (1, 2, 3)]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (tmp_path / "training_log.jsonl").write_text(text + '{"step": 4, "sec')
    (tmp_path / "validation_log.jsonl").write_text(text)
    spent = rewind(tmp_path, tmp_path / "checkpoints" / "checkpoint-2")
    assert spent == {"seconds": 2, "cpu_seconds": 2}
    for name in ("training_log.jsonl", "validation_log.jsonl"):
        assert [line["step"] for line in read_lines(tmp_path / name)] == [1, 2]
    kept = sorted(folder.name for folder in (tmp_path / "checkpoints").glob("best-*"))
    assert kept == ["best-1", "best-2"]


SHORT_OF_MEMORY = textwrap.dedent(
    """
    import resource, sys
    import psutil, torch
    from understudy.chains.student.weights import load_tokenizer
    from understudy.distill.training.fitting import steps_or_advice
    from understudy.distill.training.hardware import Choice
    from understudy.distill.training.preflight import TrainingError
    from understudy.distill.training.qlora import build_trainer, load_for_training, quiet
    from understudy.distill.training.recipes import RECIPES
    import dataclasses
    from pathlib import Path

    base, folder = sys.argv[1:]
    torch.set_num_threads(1)
    recipe = dataclasses.replace(RECIPES["tiny"], batch_size=64)
    choice = Choice(device="cpu", name="a CPU", precision="fp32", quantisation="nf4",
                    attention="sdpa", optimizer="adamw_torch_fused", recompute=False)
    rows = [{"input_ids": [5] * 1000, "completion_mask": [0] * 900 + [1] * 100}] * 64
    with quiet():
        model, tokenizer = load_for_training(base, recipe, choice)
        trainer = build_trainer(model, tokenizer, rows, recipe=recipe, choice=choice,
                                checkpoints=Path(folder) / "checkpoints")
        held = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (held + 350 * 2**20, resource.RLIM_INFINITY))
        try:
            steps_or_advice(trainer, rows, 64, folder=Path(folder))
        except TrainingError as error:
            print(error)
    """
)


def test_out_of_memory_says_how_many_rows_fit(tiny_base, tmp_path):
    pytest.importorskip("resource")  # not on Windows
    if sys.platform != "linux":
        pytest.skip("only Linux holds a process to an address space")
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(tiny_base), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    line = ended.stdout.strip()
    assert line.startswith("out of memory with 64 rows at once; "), line
    fits = int(line.split("; ")[1].split()[0])
    assert 1 <= fits <= 32
    assert f"run again with rows_at_once={fits}, it learns the same" in line
    assert line.endswith("no checkpoint had been written: run again, it begins anew")
