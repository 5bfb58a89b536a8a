"""The command train: its recipe, its plan, its sweep, and the one line that every mistake gets."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.distill.cli import main

Run = Callable[..., tuple[int, str, str]]
SPLITS = ["train"] * 16 + ["validation"] * 4


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the offline teacher's answers to twenty news."""
    from understudy.chains.loading import load_task
    from understudy.chains.teachers import load_teacher
    from understudy.distill import label
    from understudy.distill.importing import import_examples
    from understudy.store import Store

    folder = tmp_path_factory.mktemp("labelled")
    name = "understudy.examples.news.task:task"
    with (folder / "news.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["f1", "f2", "f3", "split"])
        for number, split in enumerate(SPLITS):
            first = f"Moradores comemoraram a alta do emprego {number}."
            writer.writerow([first, "A enchente deixou vizinhos apavorados.", "Nada houve.", split])
    with Store(folder / "store.db") as store:
        import_examples(store, name, folder / "news.csv", split_column="split")
        label(load_task(name), load_teacher("offline", task=name), store)
    return folder / "store.db"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, labelled) -> Run:
    """`understudy train` in an empty folder: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any) -> tuple[int, str, str]:
        given = ["understudy", "train", "--store", str(labelled), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", given)
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_a_plan_is_printed_and_nothing_is_trained(run, tmp_path):
    status, out, _ = run("--plan", "--epochs", "1000")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("recipe tiny; ")
    assert lines[1].startswith("16 rows (4 for validation), 1000 epochs, 2,000 steps of 8 rows")
    assert lines[-1].startswith("3 steps timed: ")
    assert list(tmp_path.iterdir()) == []
    status, out, _ = run("--plan", "--json", "--recipe", "notebook", "--set", "epochs=2")
    plan = json.loads(out)
    assert (plan["recipe"], plan["steps"], plan["rows_at_once"]) == ("notebook", 2, 4)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_from_a_file_with_a_field_changed_is_followed_and_said(run, tmp_path):
    (tmp_path / "mine.toml").write_text('like = "tiny"\nrank = 8\nepochs = 1\n')
    status, out, error = run(
        "--recipe", "mine.toml", "--set", "rank=4", "--set", "keep=best", "--out", "mine"
    )
    assert status == 0, error
    said, student = out.splitlines()
    assert "fp32, NF4 base" in said
    assert student == "student mine"
    assert json.loads((tmp_path / "mine" / "adapter_config.json").read_text())["r"] == 4
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "| recipe | mine: LoRA of rank 4, alpha 64, over the NF4 base, fp32 |" in card
    assert "| agreement with the teacher on validation rows | " in card
    assert "tokens/s" in error
    assert "loss " in error


def test_a_sweep_leaves_one_student_and_its_table(run, tmp_path):
    status, out, error = run("--sweep", "learning_rate=1e-3,5e-4", "--epochs", "1")
    assert status == 0, error
    said, decided, first, second, student = out.splitlines()
    assert "fp32, NF4 base" in said
    assert decided == "decided by agreement on 4 validation rows:"
    assert first.startswith("  learning_rate 0.001: agreement ")
    assert [line.endswith(", kept") for line in (first, second)].count(True) == 1
    assert student == f"student {Path('runs/label')}"
    told = json.loads((tmp_path / "runs" / "label" / "sweep.json").read_text())
    assert [trial["learning_rate"] for trial in told["trials"]] == [1e-3, 5e-4]
    card = (tmp_path / "runs" / "label" / "README.md").read_text()
    assert "| chosen from | 2 trainings by that agreement (sweep.json) |" in card


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--recipe", "mine"], 1, "there is no recipe mine; take one of default, tiny, notebook"),
        (["--set", "rank"], 1, "'rank' is no NAME=VALUE, such as learning_rate=1e-4"),
        (["--set", "rnak=8"], 1, "a recipe has no field rnak; there are adapter"),
        (["--set", "rank=none"], 1, "rank is 'none': it must be a whole number"),
        (["--sweep", "rank=8"], 1, "'rank=8' is no FIELD=VALUE,VALUE"),
        (["--sweep", "rnak=4,8"], 1, "a recipe has no field rnak"),
        (["--log-to", "neptune"], 1, "there is no tracker neptune"),
        (["--plan", "--sweep", "rank=4,8"], 2, "--plan tells of one training"),
        (["--target", "labels"], 2, "target labels is unknown"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_no_folder(
    run, tmp_path, arguments, status, words
):
    ended, _, error = run(*arguments)
    assert ended == status
    assert len(error.strip().splitlines()) == 1, error
    assert error.startswith(f"understudy: {words}")
    assert list(tmp_path.iterdir()) == []
