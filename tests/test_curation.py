"""The curation rules: what each finds, what it leaves in peace, and what training makes of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chains import Task
from understudy.distill.commands.curate import curate_
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.reviewing.curation import RULES, class_counts, curate
from understudy.distill.reviewing.duplicates import SIMILAR, exact_duplicates, near_duplicates
from understudy.distill.reviewing.suspects import confident_errors, suspects
from understudy.distill.training.dataset import lesson_pairs, lesson_rows
from understudy.distill.training.rationales import copies, strays
from understudy.distill.training.train import prepare
from understudy.examples.news.generate import news_rows, reasoning_of
from understudy.examples.news.task import task as news
from understudy.store import Example, Record, Run, Store, StoreError, example_id
from understudy.store.flags import filtered, filters, flag_counts, flags, set_filter
from understudy.store.reviews import add_review, undo_review
from understudy.store.rows import Review

MOODS = ("Medo", "Alegria")
LONG = "As ações da empresa subiram muito depois do anúncio do resultado do trimestre"


def row(
    sentence: str,
    mood: str = "Medo",
    *,
    reasoning: str | None = "treme",
    split: str = "train",
    group: str | None = None,
) -> tuple[Example, Record]:
    inputs = {"sentence": sentence}
    made = Example(id=example_id(inputs), task="tiny", split=split, inputs=inputs, group=group)
    answer = {"mood": mood, "urgent": True}
    return made, Record(
        run="r", example=made.id, answer=answer, reasoning=reasoning, created="2026"
    )


def fill(store: Store, task: Task, rows: Iterable[tuple[Example, Record]]) -> Store:
    facts: dict[str, Any] = {
        "model": "wise",
        "strategy": "answer",
        "target": "reason_label",
        "words": "w",
    }
    store.start_run(
        Run(
            id="r",
            name="teacher",
            task=task.name,
            role="teacher",
            answers=task.answers,
            started="2026",
            **facts,
        )
    )
    for example, record in rows:
        store.add_examples([example])
        store.add_record(record)
    return store


@pytest.fixture
def filled(tiny_task: Task):
    with Store(":memory:") as store:
        yield lambda *rows: fill(store, tiny_task, rows)


def found(store: Store, task: Task, rule: str) -> dict[str, dict[str, Any]]:
    """What a rule flags, by the sentence, after a fresh look."""
    curate(task, store, [rule])
    sentences = {e.id: e.inputs["sentence"] for e in store.examples(task.name)}
    return {sentences[flag.example]: flag.detail for flag in flags(store, task.name, rule)}


def correct(store: Store, example: Example, mood: str, **fields: Any) -> Review:
    answer = {"mood": mood, "urgent": True}
    said = {"verdict": "correct", "reviewer": "Ana", "answer": answer, "created": "2026", **fields}
    return add_review(store, "tiny", Review(example=example.id, **said))


def test_rows_that_differ_in_case_spacing_or_unicode_form_are_exact_duplicates(filled, tiny_task):
    rows = ["Ela está feliz.", "ela  esta\u0301 feliz. ", "Ela está feliz!", "Não."]
    store = filled(*map(row, rows), row("ELA ESTÁ FELIZ.", split="test"))
    first = store.examples("tiny")[0].id
    assert found(store, tiny_task, "exact_duplicate") == {rows[1]: {"of": first}}


def test_nearly_the_same_text_is_a_near_duplicate_and_an_exact_one_is_not(filled, tiny_task):
    store = filled(row(LONG), row(f"{LONG}!"), row(LONG.upper()), row("Outra coisa bem diferente"))
    assert list(found(store, tiny_task, "near_duplicate")) == [f"{LONG}!"]


def test_a_chain_of_near_duplicates_keeps_what_is_new_at_its_end():
    words = [f"palavra{i}" for i in range(12)]
    chain = [" ".join([*words[: 12 - n], *(f"outra{i}" for i in range(n))]) for n in range(5)]
    rows = [row(text)[0] for text in chain]
    kept = {e.id for e in rows} - {later.id for _, later, _ in near_duplicates(rows)}
    assert rows[0].id in kept
    assert 1 < len(kept) < len(rows)  # one step is near, four are not
    assert all(earlier.id in kept for earlier, _, _ in near_duplicates(rows))


@given(st.lists(st.text("abc é", max_size=40), max_size=12, unique=True))
def test_near_duplicates_are_as_similar_as_they_say_and_never_exact(sentences):
    rows = [row(sentence)[0] for sentence in sentences]
    exact = {e.id: i for i, group in enumerate(exact_duplicates(rows)) for e in group}
    for earlier, later, similarity in near_duplicates(rows):
        assert similarity >= SIMILAR
        assert sentences.index(earlier.inputs["sentence"]) < sentences.index(
            later.inputs["sentence"]
        )
        assert exact.get(earlier.id, -1) != exact.get(later.id, -2)


def test_duplicates_with_different_labels_are_a_conflict_with_each_other(filled, tiny_task):
    store = filled(
        row(LONG, "Alegria"),
        row(f"{LONG}!", "Medo"),
        row("Nada mudou hoje", "Neutro"),
        row("nada mudou hoje", "Neutro"),
    )
    conflicts = found(store, tiny_task, "label_conflict")
    assert set(conflicts) == {LONG, f"{LONG}!"}
    assert conflicts[LONG] == {"paths": ["mood"], "others": [row(f"{LONG}!")[0].id]}


def test_a_row_that_teaches_or_chooses_leaks_by_its_group_or_by_its_text(filled, tiny_task):
    store = filled(
        row("um", group="g"),
        row("dois", group="before", split="test"),
        row("três", group="h"),
        row(LONG),
        row(f"{LONG}!", split="validation"),
        row("quatro"),
        row("Cinco", split="validation"),
        row("cinco", split="test"),
    )
    with store.connection.writing() as connection:  # as older stores have it
        connection.execute("""update examples set "group" = 'g' where "group" = 'before'""")
    leaks = found(store, tiny_task, "split_leak")
    assert {name: (leak["by"], leak["split"]) for name, leak in leaks.items()} == {
        "um": ("group", "test"),
        LONG: ("text", "validation"),
        "Cinco": ("text", "test"),
    }


def test_a_reasoning_that_names_another_label_than_the_answer(filled, tiny_task):
    store = filled(
        row("a", "Medo", reasoning="soa a ALEGRIA"),
        row("b", "Medo", reasoning="não é Alegria, é medo"),
        row("c", "Medo", reasoning="treme"),
        row("d", "Emoção", reasoning="É neutro"),
        row("e", "Medo", reasoning="neutros e alegrias"),
        row("Sem alegria, partiu", "Medo", reasoning="a pista alegria é negada"),
    )
    strange = found(store, tiny_task, "rationale_names_other_label")
    assert strange == {
        "a": {"path": "mood", "given": "Medo", "named": "Alegria"},
        "d": {"path": "mood", "given": "Emoção", "named": "Neutro"},
    }


def test_a_reasoning_that_goes_through_the_parts_is_read_part_by_part():
    [sample] = [r for r in news_rows(0) if r.split == "train"][:1]
    told = {"f1": "Felicidade", "f2": "Surpresa", "f3": "Felicidade"}
    reasoning = "; ".join(f"{part}: indica {emotion}" for part, emotion in told.items())
    assert strays(news, sample.gold, reasoning, "") == []
    swapped = "f1: indica Surpresa; f2: indica Felicidade; f3: indica Felicidade"
    assert strays(news, sample.gold, swapped, "") == [
        ("f1.emocao", "Felicidade", "Surpresa"),
        ("f2.emocao", "Surpresa", "Felicidade"),
    ]


def test_the_sample_teachers_own_reasonings_name_their_own_labels():
    for sample in news_rows(0)[:600]:
        text = f"{sample.f1} {sample.f2} {sample.f3}"
        assert strays(news, sample.gold, reasoning_of(sample.sentences), text) == []


def test_empty_and_copied_reasonings(filled, tiny_task):
    store = filled(
        row("a", reasoning=None),
        row("b", reasoning=" … "),
        row(LONG, reasoning="subiram  MUITO depois"),
        row("c", reasoning="a palavra c decide"),
    )
    assert set(found(store, tiny_task, "rationale_empty")) == {"a", "b"}
    assert set(found(store, tiny_task, "rationale_copies_input")) == {LONG}
    assert copies("as ações da empresa subiram", LONG.casefold()) == 1.0
    assert copies("a empresa diz que as ações subiram", LONG.casefold()) is None


def test_rows_of_a_rare_class_are_named_and_those_of_a_frequent_one_are_not(filled, tiny_task):
    store = filled(*(row(f"frase {i}") for i in range(59)), row("rara", "Neutro"))
    assert found(store, tiny_task, "class_balance") == {
        "rara": {"path": "mood", "class": "Neutro", "rows": 1}
    }
    counts = class_counts(tiny_task, store.pairs("r"))["mood"]
    assert counts == {"Alegria": 0, "Medo": 59, "Neutro": 1, "Emoção": 0}


def test_confident_errors_are_the_off_diagonal_of_the_confident_joint():
    """The definition of Northcutt et al., by hand: thresholds are .75 and .5."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.8, 0.2], [0.55, 0.45]])
    errors = list(confident_errors(probabilities, [0, 0, 1, 1, 1]))
    assert [(row, likely) for row, likely, _ in errors] == [(3, 0)]
    assert errors[0][2] == pytest.approx((1 + 0.8 - 0.2) / 2)


def noisy_news(wrong: int, rows: int = 400) -> tuple[list[tuple[Example, Record]], set[str]]:
    """Sample rows of which the first ones have a wrong polarity in f1."""
    pairs, bad = [], set()
    for i, sample in enumerate([r for r in news_rows(0) if r.split == "train"][:rows]):
        inputs = {"f1": sample.f1, "f2": sample.f2, "f3": sample.f3}
        made = Example(id=example_id(inputs), task=news.name, split="train", inputs=inputs)
        answer = {part: dict(values) for part, values in sample.gold.items()}
        if i < wrong:
            bad.add(made.id)
            classes = [c for c in news.labels["f1.emocao"] if c != answer["f1"]["emocao"]]
            answer["f1"]["emocao"] = random.Random(i).choice(classes)
        pairs.append((made, Record(run="r", example=made.id, answer=answer, created="2026")))
    return pairs, bad


def test_suspected_errors_are_mostly_the_labels_that_were_made_wrong():
    pairs, bad = noisy_news(24, rows=240)
    suspected = suspects(news, pairs)
    named = [suspect for suspect in suspected if suspect.path == "f1.emocao"][:15]
    assert sum(suspect.example in bad for suspect in named) >= 9  # 24 of 240 by chance: 1.5
    assert [s.score for s in suspected] == sorted((s.score for s in suspected), reverse=True)


def test_suspects_are_the_same_each_time_and_none_in_too_few_groups(tiny_task):
    pairs = [row(f"{'ri' if i % 2 else 'cai'} {i}", MOODS[i % 2 ^ (i == 6)]) for i in range(30)]
    first = suspects(tiny_task, pairs)
    assert [(s.example, s.path, s.given, s.likely) for s in first] == [
        (pairs[6][0].id, "mood", "Alegria", "Medo")
    ]
    assert suspects(tiny_task, pairs) == first
    grouped = [(e.model_copy(update={"group": str(i % 4)}), r) for i, (e, r) in enumerate(pairs)]
    assert suspects(tiny_task, grouped) == []


def test_nothing_is_deleted_and_looking_twice_finds_the_same(filled, tiny_task):
    store = filled(*(row(f"{LONG} {i % 4}", "Medo" if i % 3 else "Neutro") for i in range(4)))
    before = store.pairs("r")
    first = curate(tiny_task, store)
    assert list(first) == list(RULES)
    assert curate(tiny_task, store) == first
    assert store.pairs("r") == before
    assert flag_counts(store, "tiny") == {rule: n for rule, n in sorted(first.items()) if n}


def test_an_unknown_rule_and_a_task_without_a_teacher_are_one_line(filled, tiny_task):
    with pytest.raises(StoreError, match="no curation rule odd; the rules: exact_duplicate"):
        curate(tiny_task, filled(), ["odd"])
    with pytest.raises(LabellingError, match="no teacher"):
        curate(tiny_task, filled())


def test_filtered_rows_do_not_teach_and_are_counted_until_the_filter_is_off(
    filled, tiny_task, tiny_base
):
    store = filled(
        *(row(f"frase {i} diz", "Medo" if i % 2 else "Neutro") for i in range(8)),
        row("FRASE 0 DIZ"),
        row("vazia", reasoning=None),
    )
    curate(tiny_task, store, ["exact_duplicate"])
    set_filter(store, "tiny", "exact_duplicate", True)
    taught = prepare(tiny_task, store, base=str(tiny_base)).taught
    assert len(taught.rows) == 8
    assert taught.left_out == {"filter exact_duplicate": 1, "no reasoning": 1}
    set_filter(store, "tiny", "exact_duplicate", False)
    assert len(prepare(tiny_task, store, base=str(tiny_base)).taught.rows) == 9


def test_a_correction_teaches_in_the_teachers_place_until_it_is_undone(filled, tiny_task):
    store = filled(row("a"), row("b"), row("c"))
    a, b, _ = store.examples("tiny")
    correct(store, a, "Alegria", reasoning="ri")
    correct(store, b, "Alegria")  # without a reasoning: the teacher's was for another answer
    taught = lesson_rows(tiny_task, store, "r", split="train", target="reason_label")
    assert [r.answer["mood"] for r in taught.rows] == ["Alegria", "Medo"]
    assert '"reasoning":"ri"' in taught.rows[0].completion
    assert taught.left_out == {"no reasoning": 1}
    undo_review(store, "tiny", "Ana")
    undo_review(store, "tiny", "Ana")
    assert lesson_pairs(store, tiny_task, "r", split="train") == (store.pairs("r"), {})


def test_an_accepted_answer_keeps_the_teachers_reasoning(filled, tiny_task):
    store = filled(row("a"))
    correct(store, store.examples("tiny")[0], "Medo", verdict="accept")
    [(_, record)], _ = lesson_pairs(store, tiny_task, "r", split="train")
    assert record.reasoning == "treme"


def test_a_persons_word_ends_a_doubt_about_the_label_but_not_a_duplicate(filled, tiny_task):
    store = filled(row(LONG, "Medo"), row(LONG.upper(), "Neutro"))
    rules = ["label_conflict", "exact_duplicate"]
    curate(tiny_task, store, rules)
    for rule in rules:
        set_filter(store, "tiny", rule, True)
    assert lesson_pairs(store, tiny_task, "r", split="train") == (
        [],
        {"filter label_conflict": 1, "filter exact_duplicate": 1},
    )
    for example in store.examples("tiny"):
        correct(store, example, "Medo", reasoning="cai")
    pairs, left_out = lesson_pairs(store, tiny_task, "r", split="train")
    assert [example.inputs["sentence"] for example, _ in pairs] == [LONG]
    assert left_out == {"filter exact_duplicate": 1}
    assert curate(tiny_task, store, rules) == {"label_conflict": 0, "exact_duplicate": 1}


def test_a_finding_in_one_teachers_labels_does_not_filter_anothers(filled, tiny_task):
    store = filled(row("a", reasoning=None), row("A", reasoning=None))
    rules = ["rationale_empty", "exact_duplicate"]
    curate(tiny_task, store, rules)
    for rule in rules:
        set_filter(store, "tiny", rule, True)
    newer = store.run("r").model_copy(update={"id": "r2", "started": "2027"})
    store.start_run(newer)
    for example, record in store.pairs("r"):
        told = {"run": "r2", "reasoning": "treme", "example": example.id}
        store.add_record(record.model_copy(update=told))
    assert lesson_pairs(store, tiny_task, "r", split="train")[0] == []
    pairs, left_out = lesson_pairs(store, tiny_task, "r2", split="train")
    assert [example.inputs["sentence"] for example, _ in pairs] == ["a"]
    assert left_out == {"filter exact_duplicate": 1}


def test_the_baselines_learn_the_corrected_rows_and_not_the_filtered_ones(filled, tiny_task):
    rows = [row(f"frase {i}") for i in range(6)] + [row(f"FRASE {i}") for i in range(3)]
    store = filled(*rows, row("teste", split="test"))
    for example in store.examples("tiny", split="train")[:4]:
        correct(store, example, "Neutro", reasoning="cai")

    def majority() -> str:
        evaluate(tiny_task, store)
        run = next(r for r in store.runs("tiny", "baseline") if r.name == "majority")
        [record] = store.records(run.id)
        return str((record.answer or {})["mood"])

    assert majority() == "Medo"  # 4 of 9 rows are corrected
    curate(tiny_task, store, ["exact_duplicate"])
    set_filter(store, "tiny", "exact_duplicate", True)
    assert majority() == "Neutro"


def test_filters_that_leave_nothing_are_said_before_anything_is_evaluated(filled, tiny_task):
    store = filled(row("a", reasoning=None), row("b", reasoning=None, split="test"))
    curate(tiny_task, store, ["rationale_empty"])
    set_filter(store, "tiny", "rationale_empty", True)
    with pytest.raises(LabellingError, match="curate --include"):
        evaluate(tiny_task, store)


@pytest.fixture
def news_store(tmp_path: Path) -> Path:
    path = tmp_path / "news.db"
    pairs, _ = noisy_news(6, rows=60)
    with Store(path) as store:
        fill(store, news, pairs)
    return path


def test_the_command_prints_a_table_and_turns_filters_on_and_off(news_store, capsys):
    curate_(store=news_store)
    shown = capsys.readouterr().out
    assert all(rule in shown for rule in RULES)
    assert [line.split()[3] for line in shown.splitlines() if "rationale_empty" in line] == ["60"]
    assert "60 rows of split train teach, filters leave out 0" in shown
    curate_(store=news_store, rule=["rationale_empty"], exclude=["rationale_empty"])
    assert "0 rows of split train teach, filters leave out 60" in capsys.readouterr().out
    curate_(store=news_store, include=["rationale_empty"])
    assert "60 rows of split train teach, filters leave out 0" in capsys.readouterr().out
    curate_(store=news_store, clear=["rationale_empty"])
    assert "rationale_empty: 60 findings forgotten" in capsys.readouterr().out
    with Store(news_store) as store:
        assert filters(store, news.name) == []
        assert filtered(store, news.name) == {}
        assert "rationale_empty" not in flag_counts(store, news.name)


@pytest.mark.needs_posix
def test_ctrl_c_during_curate_is_one_line(news_store):
    source = news_store.with_name("task.py")
    source.write_text("from understudy.examples.news.task import task\nprint('read', flush=True)\n")
    command = ["curate", "--task", f"{source}:task", "--store", str(news_store)]
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy.distill.cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "read\n"
    process.send_signal(signal.SIGINT)  # the rules' libraries alone take longer to load
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "")
    assert errors.startswith("understudy: stopped; ")
    assert len(errors.splitlines()) == 1


def test_the_command_refuses_an_unknown_rule_and_changes_nothing(news_store):
    with pytest.raises(StoreError, match="no curation rule odd"):
        curate_(store=news_store, exclude=["rationale_empty", "odd"])
    with Store(news_store) as store:
        assert filters(store, news.name) == []


def test_curation_is_imported_without_heavy_libraries():
    heavy = ("numpy", "sklearn", "datasketch", "torch")
    code = (
        "import sys, understudy.distill.reviewing.curation, understudy.distill.reviewing.queue, "
        f"understudy.distill.commands.curate; print([m for m in {heavy!r} if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
