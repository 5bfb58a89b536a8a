"""What a trained student leaves: its lessons in the store, its teacher's terms, a model card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from understudy.chains import Task
from understudy.chains.student.card import StudentCard, read_card
from understudy.distill.recorded import record_labels
from understudy.distill.training.cards import model_card
from understudy.distill.training.train import train
from understudy.store import Example, Store, example_id
from understudy.store.provenance import set_terms, trainings, trainings_of
from understudy.store.rows import Terms
from understudy.store.story import why

HOSTILE = "<script>alert(1)</script> | [x](javascript:y) *a* `b` \n# heading"


def taught(tiny_task: Task, store: Store, *, model: str = "wise-1") -> str:
    """A teacher's run over 12 train rows, one of them without an answer; its id."""
    rows: list[tuple[Example, dict[str, Any]]] = []
    for number in range(12):
        inputs = {"sentence": f"a frase {number} diz Medo"}
        answer = {"mood": "Medo" if number % 2 else "Neutro", "urgent": False}
        row = Example(id=example_id(inputs), task="tiny", split="train", inputs=inputs)
        rows.append((row, {"answer": answer if number else None, "reasoning": f"diz {number}"}))
    return record_labels(tiny_task, store, rows, model=model).id


@pytest.fixture(scope="module")
def trained(tiny_task: Task, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory):
    """(store, run folder) of a student whose training was asked for twice."""
    out = tmp_path_factory.mktemp("cards") / "small"
    with Store(":memory:") as store:
        taught(tiny_task, store)
        set_terms(
            store, Terms(model="wise-1", licence="CC0", note="may be trained on", noted="2026")
        )
        for _ in range(2):
            train(tiny_task, store, out=out, base=str(tiny_base), epochs=1, learning_rate=1e-3)
        yield store, out


def test_a_training_leaves_its_lessons_in_the_store_once(trained):
    store, folder = trained
    (training,) = trainings(store)
    card = read_card(folder)
    assert training.folder == str(folder.resolve())
    assert (training.name, training.task, training.target) == ("small", "tiny", "label")
    assert (training.base, training.seed) == (card.base, 0)
    assert (training.run, training.rows_sha256) == (
        card.training["teacher_run"],
        card.training["rows_sha256"],
    )
    taught = [row["record"] for row in store.connection.read("select record from lessons")]
    assert taught == list(range(2, 13))  # the first has no answer
    assert trainings_of(store, 1) == []


def test_the_story_of_a_label_names_the_student_and_the_schema(trained, tiny_task):
    story = why(trained[0], 2)
    assert [one["name"] for one in story["trainings"]] == ["small"]
    assert json.loads(story["words"]["answers"]["text"]) == tiny_task.json_schema("reason_label")
    assert story["words"]["words"] == {"fingerprint": "", "text": None}  # recorded elsewhere


def test_the_teachers_terms_are_on_the_card_and_in_the_readme(trained):
    _, folder = trained
    terms = read_card(folder).training["teacher_terms"]
    assert terms == {
        "model": "wise-1",
        "licence": "CC0",
        "note": "may be trained on",
        "source": None,
        "noted": "2026",
    }
    readme = (folder / "README.md").read_text(encoding="utf-8")
    facts = read_card(folder).training
    for words in (
        "# small",
        "may be trained on",
        "- licence: CC0",
        "| rows taught | 11 (left out: 1) |",
        f"{facts['first_loss']:.4f}, {facts['last_loss']:.4f}",
    ):
        assert words in readme, words


def test_a_readme_that_somebody_wrote_stays(tiny_task, tiny_base, tmp_path):
    folder = tmp_path / "own"
    with Store(":memory:") as store:
        taught(tiny_task, store)
        options: dict[str, Any] = {"base": str(tiny_base), "epochs": 1, "learning_rate": 1e-3}
        train(tiny_task, store, out=folder, **options)
        (folder / "README.md").write_text("mine")
        (folder / "understudy.json").unlink()
        train(tiny_task, store, out=folder, **options)
    assert (folder / "README.md").read_text() == "mine"


@pytest.fixture
def card(trained) -> StudentCard:
    found: StudentCard = read_card(trained[1])
    return found


def test_without_a_note_the_card_says_that_nobody_looked(card):
    facts = {**card.training, "teacher_terms": None}
    told = model_card(card.model_copy(update={"training": facts}))
    assert "Nobody had noted what the provider of wise-1 says" in told


def test_hostile_text_in_a_card_is_text(card):
    note = {"model": HOSTILE, "licence": HOSTILE, "note": HOSTILE, "source": None, "noted": "2026"}
    facts = {**card.training, "teacher_model": HOSTILE, "teacher_terms": note}
    hostile = {"name": HOSTILE, "task": HOSTILE, "base": HOSTILE, "training": facts}
    text = model_card(card.model_copy(update=hostile))
    head, _, body = text.removeprefix("---\n").partition("---")
    assert json.loads(head.splitlines()[1].removeprefix("base_model: ")) == HOSTILE
    page = MarkdownIt("commonmark").enable("table").render(body)
    for power in ("<script", "<a ", "<em", "<code>b"):
        assert power not in page
    assert page.count("<h1") == page.count("<h2") == 1
    assert page.count("<td>") == 2 * len(re.findall("^[|] [a-z]", body, re.MULTILINE)) == 18
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; | [x](javascript:y) *a* `b`") >= 7
