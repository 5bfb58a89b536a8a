"""Several processes: one student, written once, with the losses of one process; and who says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.distill.training.parallel import agreed, claimed, leads, processes, share
from understudy.distill.training.preflight import TrainingError
from understudy.distill.training.recipes import RECIPES, changed
from understudy.store import Example, Record, Run, Store, example_id

LAUNCH = Path(__file__).parents[1] / "distill" / "launch"
TASK = """
from typing import Literal
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field
from understudy.chains.task import Task

class Mood(BaseModel):
    reasoning: str = Field(max_length=40)
    mood: Literal["Alegria", "Medo"]

task = Task(
    name="pair",
    schema=Mood,
    reasoning="reasoning",
    prompt=ChatPromptTemplate.from_messages([("human", "{sentence}")]),
    student_prompt=ChatPromptTemplate.from_messages([("human", "Frase: {sentence}")]),
)
"""


def prepared(folder: Path) -> None:
    """A task and a store with what its teacher said."""
    from understudy.chains.loading import load_task

    (folder / "task.py").write_text(TASK)
    task = load_task(f"{folder / 'task.py'}:task")
    with Store(folder / "s.db") as store:
        store.start_run(
            Run(
                id="t1",
                name="teacher",
                task=task.name,
                role="teacher",
                model="wise",
                strategy="answer",
                target="label",
                words=task.teacher_words,
                answers=task.answers,
                started="2026-01-01",
            )
        )
        for i in range(36):
            mood = ("Alegria", "Medo")[i % 2]
            inputs = {"sentence": f"a frase {i * i} diz {mood} " + "e diz " * (i % 3)}
            split = "train" if i < 32 else "validation"
            example = Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs)
            store.add_examples([example])
            store.add_record(
                Record(
                    run="t1",
                    example=example.id,
                    answer={"mood": mood},
                    reasoning=f"diz {i}",
                    created="2026",
                )
            )


def train(
    folder: Path, base: Path, out: str, *options: str, launcher: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same command, as a person types it, in one process or behind a launcher."""
    command = ["-m", "understudy.distill.cli", "train", "--task", f"{folder / 'task.py'}:task"]
    command += ["--store", "s.db", "--student", str(base), "--out", out, *options]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *(launcher or []), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def launched(config: Path) -> list[str]:
    return ["-m", "accelerate.commands.launch", "--config_file", str(config)]


def losses_of(folder: Path) -> list[float]:
    lines = (folder / "training_log.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.slow
def test_two_processes_teach_the_student_of_one(tmp_path: Path, tiny_base: Path) -> None:
    prepared(tmp_path)
    options = ("--epochs", "2", "--batch-size", "8", "--learning-rate", "0.01")
    one = train(tmp_path, tiny_base, "one", *options)
    two = train(tmp_path, tiny_base, "two", *options, launcher=launched(LAUNCH / "cpu.yaml"))
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert losses_of(tmp_path / "one") == pytest.approx(losses_of(tmp_path / "two"), abs=1e-4)
    assert len(losses_of(tmp_path / "two")) == 8
    said = "2 processes: data-parallel (DDP, gloo), each with the whole base"
    assert two.stdout.splitlines().count(said) == 1
    assert two.stdout.splitlines()[-1] == "student two"
    assert "processes" not in one.stdout
    told = json.loads((tmp_path / "two" / "training.json").read_text())
    assert told["strategy"] == said
    assert json.loads((tmp_path / "one" / "training.json").read_text())["strategy"] is None
    names = [sorted(entry.name for entry in (tmp_path / n).iterdir()) for n in ("one", "two")]
    assert names[0] == names[1]
    assert "training.lock" not in names[1]


@pytest.mark.slow
def test_a_launcher_that_does_not_shard_or_start_what_was_asked_is_told_on(
    tmp_path: Path, tiny_base: Path
) -> None:
    prepared(tmp_path)
    text = (LAUNCH / "fsdp_qlora.yaml").read_text().replace("use_cpu: false", "use_cpu: true")
    text = text.replace("mixed_precision: bf16", "mixed_precision: 'no'")
    (tmp_path / "one.yaml").write_text(text)
    refused = train(tmp_path, tiny_base, "r", launcher=launched(tmp_path / "one.yaml"))
    assert refused.returncode != 0
    assert "FSDP was asked for, and there is no GPU to shard over" in refused.stderr, refused.stderr
    alone = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    alone += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    said = train(tmp_path, tiny_base, "a", "--epochs", "0.25", launcher=alone).stdout
    assert "1 process: several were asked for, and accelerate started one" in said


def test_one_process_leads_and_agrees_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (processes(), leads(), agreed([1, "é"])) == (1, True, [1, "é"])
    with claimed(tmp_path / "run", {"seed": 1}) as finished:
        assert not finished
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), claimed(tmp_path / "file", {"seed": 1}):  # noqa: PT011
        pass


@pytest.mark.parametrize(
    ("count", "batch", "at_once", "shared"),
    [
        (1, 8, None, (8, 1)),
        (1, 16, 4, (4, 4)),
        (2, 8, None, (4, 1)),
        (2, 16, 4, (4, 2)),
        (4, 16, 4, (4, 1)),
        (8, 16, 4, (2, 1)),
        (3, 12, 4, (4, 1)),
    ],
)
def test_a_step_has_the_same_rows_however_many_share_it(
    monkeypatch: pytest.MonkeyPatch, count: int, batch: int, at_once: int | None, shared: Any
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(count))
    monkeypatch.setenv("RANK", "0")
    recipe = changed(RECIPES["tiny"], {"batch_size": batch, "rows_at_once": at_once})
    assert share(recipe) == shared
    assert count * shared[0] * shared[1] == batch


def test_rows_that_cannot_be_shared_evenly_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    assert not leads()
    with pytest.raises(TrainingError, match="3 processes cannot share evenly"):
        share(RECIPES["tiny"])


@pytest.mark.parametrize("name", ["fsdp_qlora", "cpu"])
def test_the_shipped_configurations_are_what_accelerate_reads(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    path = str(LAUNCH / f"{name}.yaml")
    assert load_config_from_file(path).num_processes == 2  # it raises for keys that it lacks
    asked = launch_command_parser().parse_args(["--config_file", path, "train.py"])
    arguments, _, _ = _validate_launch_command(asked)
    environment = prepare_multi_gpu_env(arguments)
    if name == "cpu":
        assert (arguments.use_cpu, arguments.multi_gpu) == (True, True)
        assert "ACCELERATE_USE_FSDP" not in environment
        return
    wanted = {
        "ACCELERATE_USE_FSDP": "true",
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "FSDP_VERSION": "1",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
        "FSDP_SYNC_MODULE_STATES": "true",
        "FSDP_USE_ORIG_PARAMS": "false",
    }
    assert {key: environment.get(key) for key in wanted} == wanted
