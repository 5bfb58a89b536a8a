"""The options of `train` that choose rows, its preflight, and several targets in one command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.distill.cli import main
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task, teacher
from understudy.store import Example, Store, example_id

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the offline teacher's answers to twenty-four news."""
    from understudy.distill import label

    path = tmp_path_factory.mktemp("rows") / "store.db"
    with Store(path) as store:
        for split, rows in (("train", 16), ("validation", 8)):
            some = [row for row in news_rows(0) if row.split == split][:rows]
            inputs = [{"f1": row.f1, "f2": row.f2, "f3": row.f3} for row in some]
            store.add_examples(
                Example(id=example_id(i), task=task.name, split=split, inputs=i, gold=row.gold)
                for i, row in zip(inputs, some, strict=True)
            )
        label(task, teacher, store)
    return path


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, labelled) -> Run:
    """`understudy train` in an empty folder: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

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


def test_the_preflight_alone_shows_a_row_with_its_mask_and_trains_nothing(run, tmp_path):
    status, out, err = run("--preflight-only", "--target", "multitask")
    assert status == 0, err
    assert "rows: 16 of teacher run" in out
    assert "in 32 sequences" in out
    assert out.count("⟦") == 3  # the line that explains it, predict and explain
    assert "predict: Classifique" in out
    assert "explain: Classifique" in out
    assert '⟦{"raciocinio":"' in out
    assert "no row shows" in out
    assert list(tmp_path.iterdir()) == []


def test_rows_are_chosen_by_rule_and_what_was_left_out_is_said(run):
    status, out, err = run("--preflight-only", "--max-tokens", "150", "--agreeing", "gold")
    assert status == 0, err
    assert "(longer than 150 tokens)" in out
    status, _, err = run("--preflight-only", "--min-confidence", "0.9")
    assert status == 1
    assert "its confidence is not known (16)" in err
    status, _, err = run("--preflight-only", "--balanced", "humor")
    assert (status, "no label humor to balance" in err) == (1, True)
    status, _, err = run("--preflight-only", "--target", "reason_label", "--rationale-share", "0.5")
    assert (status, "a rationale_share of 0.5 goes with label_reason" in err) == (1, True)
    status, _, err = run("--preflight-only", "--target", "label_reason", "--alpha", "0")
    assert (status, "alpha is 0.0: it must be above 0" in err) == (1, True)


@pytest.mark.slow
def test_several_targets_learn_the_same_rows_in_one_command(run, tmp_path):
    targets = ("label", "label_reason", "multitask")
    chosen = [word for target in targets for word in ("--target", target)]
    share = ("--rationale-share", "0.5", "--alpha", "0.5")
    status, out, err = run("--epochs", "1", "--out", tmp_path / "runs", *chosen, *share)
    assert status == 0, err
    cards = {}
    for target in targets:
        assert f"student {tmp_path / 'runs' / target}" in out.replace("\n", "")
        cards[target] = json.loads((tmp_path / "runs" / target / "understudy.json").read_text())
    facts = {target: card["training"] for target, card in cards.items()}
    assert len({fact["examples_sha256"] for fact in facts.values()}) == 1
    assert [facts[target]["rationales_apart"] for target in targets] == [0, 8, 8]
    assert facts["multitask"]["selection"] == {"rationale_share": 0.5}
    told = {target: (tmp_path / "runs" / target / "README.md").read_text() for target in targets}
    assert ['with "predict: " before' in text for text in told.values()] == [False, False, True]
    schemas = {json.dumps(card["answer_schema"]) for card in cards.values()}
    assert len(schemas) == 1
