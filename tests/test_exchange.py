"""Import and export: files as people have them, and what of them is refused."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.store import Example, Record, Run, Store, StoreError, example_id
from understudy.store.exchange import examples_from, export_jsonl, read_rows, recorded_rows
from understudy.store.splits import split_of, splits_by_time

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
EMOTIONS = ("Felicidade", "Surpresa", "Medo", "Neutro")
NEWS: dict[str, Any] = {
    "task": "noticias",
    "inputs": ("f1", "f2", "f3"),
    "gold_paths": ("f1.polaridade", "f1.emocao", "f2.polaridade", "f2.emocao"),
    "columns": {
        "sentence1_polarity": "f1.polaridade",
        "sentence1_sentiment": "f1.emocao",
        "sentence2_polarity": "f2.polaridade",
        "sentence2_sentiment": "f2.emocao",
    },
    "labels": {
        "f1.polaridade": ("Positivo", "Negativo"),
        "f1.emocao": EMOTIONS,
        "f2.polaridade": ("Positivo", "Negativo"),
        "f2.emocao": EMOTIONS,
    },
    "aliases": {"Surpreza": "Surpresa", "Alegria": "Felicidade", "Azul": "no label"},
}


class Taken(NamedTuple):
    examples: list[Example]
    refused: list[tuple[int, str]]
    notes: list[str]


def taken(rows: Iterable[Mapping[str, str]], **options: Any) -> Taken:
    """All of an import at once."""
    found = examples_from(rows, **options)
    return Taken(list(found.examples), found.refused, found.notes)


SIMPLE: dict[str, Any] = {"task": "t", "inputs": ("text",), "gold_paths": ()}


@pytest.fixture
def file(tmp_path):
    """Writes bytes or text to a file of the given name and returns its path."""

    def write(content: bytes | str, name: str = "data.csv") -> Path:
        path = Path(tmp_path, name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# Reading files


def test_the_course_file_with_mark_index_column_and_misspelt_label(file):
    path = file(
        "\ufeff,news_id,f1,f2,f3,sentence1_polarity,sentence1_sentiment,"
        "sentence2_polarity,sentence2_sentiment\r\n"
        '0,17,"O lucro, enfim, subiu.","Disse: ""não"".\nE saiu.",Fim.,Positivo,Surpreza,'
        " negativo ,MEDO\r\n"
        "1,18,Caiu.,Subiu.,Fim.,Positivo,,Ótimo,alegria\r\n"
    )
    found = taken(read_rows(path), group_column="news_id", **NEWS)
    first = {"f1": "O lucro, enfim, subiu.", "f2": 'Disse: "não".\nE saiu.', "f3": "Fim."}
    second = {"f1": "Caiu.", "f2": "Subiu.", "f3": "Fim."}
    assert found.examples == [
        Example(
            id=example_id(first),
            task="noticias",
            split=split_of("17"),
            inputs=first,
            gold={
                "f1": {"polaridade": "Positivo", "emocao": "Surpresa"},
                "f2": {"polaridade": "Negativo", "emocao": "Medo"},
            },
            group="17",
        ),
        Example(
            id=example_id(second),
            task="noticias",
            split=split_of("18"),
            inputs=second,
            gold={"f1": {"polaridade": "Positivo"}, "f2": {"emocao": "Felicidade"}},
            group="18",
        ),
    ]
    assert found.refused == []
    assert found.notes == [
        "f2.polaridade: 1 gold values are none of its labels and were left out, most often 'Ótimo'"
    ]


@pytest.mark.parametrize(
    "content",
    [
        'id,text\n1,"a;b"\n2,c\n',
        'id;text\n1;"a;b"\n2;c\n',
        "id\ttext\r\n1\ta;b\r\n\r\n2\tc",
        "id,text\r1,a;b\r2,c\r",
        "\ufeffUnnamed: 0, id ,text,\n0,1,a;b,\n1,2,c\n",
    ],
)
def test_delimiters_line_ends_and_nameless_columns(file, content):
    assert list(read_rows(file(content))) == [
        {"id": "1", "text": "a;b"},
        {"id": "2", "text": "c"},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "data.jsonl",
            '{"text": "a\u2028b", "n": 1, "ok": true, "g": {"x": [1]}}\n\n{"text": null}',
        ),
        (
            "data.json",
            '[{"text": "a\u2028b", "n": 1, "ok": true, "g": {"x": [1]}}, {"text": null}]',
        ),
    ],
)
def test_json_lines_and_a_json_list(file, name, content):
    assert list(read_rows(file(content, name))) == [
        {"text": "a\u2028b", "n": "1", "ok": "true", "g": '{"x": [1]}'},
        {"text": ""},
    ]


def test_a_short_row_has_empty_cells(file):
    assert list(read_rows(file("a,b\n1\n"))) == [{"a": "1", "b": ""}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.csv", b"", "is empty"),
        ("data.csv", b"\xef\xbb\xbf \n", "is empty"),
        ("data.csv", b"a,b\n", "no row below the header"),
        ("data.csv", b",\n1,2\n", "names no column"),
        ("data.csv", b"a,b,a\n1,2,3\n", "'a' stands twice"),
        ("data.csv", b"a,b\n1,2\n1,2,3\n", "line 3: has 3 cells, the header has 2; put quotes"),
        ("data.csv", b'a,b\n1,"2\n3,4\n', "line 3: is broken CSV"),
        ("data.csv", b"a,b\n1,2\nx,\xe9\n", r"line 3, byte 3: 0xe9 is no UTF-8"),
        ("data.csv", b"\xef\xbb\xbfa,b\n1,\xe9\n", r"line 2, byte 3: 0xe9 is no UTF-8"),
        ("data.csv", b"\xff\xfea\x00,\x00", "line 1, byte 1: 0xff is no UTF-8"),
        ("data.jsonl", b'{"a": 1}\n\n{"a": \n', "line 3: is broken JSON"),
        ("data.jsonl", b'{"a": 1}\n[1]\n', "line 2: is no JSON object"),
        ("data.jsonl", b'{"a": NaN}\n', "line 1: is broken JSON: NaN"),
        ("data.json", b'[{"a": 1},\n {"a": }]', "line 2: is broken JSON"),
        ("data.json", b'[{"a": 1}, 2]', "item 2: is no JSON object"),
        ("data.json", b"[]", "list is empty"),
        ("data.json", b"[" * 100_000, "is broken JSON"),
        ("data.json", b'{"a": ' + b"9" * 5000 + b"}", "is broken JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_that_says_where(file, name, content, said):
    path = file(content, name)
    with pytest.raises(StoreError, match=said) as caught:
        list(read_rows(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_and_a_folder_are_said(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        list(read_rows(tmp_path / "no.csv"))
    with pytest.raises(StoreError, match="cannot be read"):
        list(read_rows(tmp_path))
    with pytest.raises(StoreError, match="cannot be read"):
        list(read_rows("nul\0.csv"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    content=st.binary(max_size=60)
    | st.text(alphabet='a,;\t"\n\r[]{}:1 \ufeff\0', max_size=40).map(str.encode),
    suffix=st.sampled_from(["csv", "jsonl", "json"]),
)
def test_any_bytes_are_rows_or_one_line(tmp_path, content, suffix):
    path = tmp_path / f"any.{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(StoreError):
        rows = list(read_rows(path))
        assert all(isinstance(cell, str) for row in rows for pair in row.items() for cell in pair)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1), delimiter=st.sampled_from(",;\t"))
def test_any_csv_that_python_writes_is_read_as_it_was(tmp_path, rows, delimiter):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    path = tmp_path / "any.csv"
    path.write_bytes(text.getvalue().encode())
    assert list(read_rows(path)) == [{"a": a, "b": b} for a, b in rows]


# Rows to examples


def test_missing_columns_are_named_beside_the_present_ones():
    with pytest.raises(StoreError, match="no column f2, f3; it has id, f1"):
        examples_from([{"id": "1", "f1": "a"}], **NEWS)
    with pytest.raises(StoreError, match="no column fold; it has text"):
        examples_from([{"text": "a"}], split_column="fold", **SIMPLE)


def test_a_row_that_cannot_be_used_is_refused_and_the_import_goes_on():
    texts = ["good", "", " \n", "x" * 20_000, "x" * 200_000, "a\0b", "\ud83d", "fine"]
    found = taken(({"text": text} for text in texts), **SIMPLE)
    assert [e.inputs["text"] for e in found.examples] == ["good", "x" * 20_000, "fine"]
    assert found.refused == [
        (2, "text is empty"),
        (3, "text is empty"),
        (5, "text has 200000 characters, the most is 20000"),
        (6, "text holds a NUL character"),
        (7, "text holds half a character (a lone surrogate)"),
    ]


def test_a_giant_cell_is_its_row_s_fault_not_the_file_s(file):
    path = file("text\ngood\n" + "x" * 200_000 + "\nfine\n")
    found = taken(read_rows(path), **SIMPLE)
    assert [e.inputs["text"] for e in found.examples] == ["good", "fine"]
    assert [number for number, _ in found.refused] == [2]


def test_an_input_under_another_name():
    rows = [{"sentence": "a", "text": ""}, {"sentence": "b", "text": "own name first"}]
    found = taken(rows, columns={"sentence": "text"}, **SIMPLE)
    assert [e.inputs for e in found.examples] == [{"text": "a"}, {"text": "own name first"}]


def test_gold_that_is_no_label_is_text_or_json():
    found = taken(
        [
            {"text": "1", "n": "12", "items": '["a", 2]', "who": "Ana", "day": "2024-05-31"},
            {"text": "2", "n": "", "items": "[broken", "who": "NaN", "day": " "},
            {"text": "3", "n": "", "items": "", "who": "", "day": ""},
        ],
        task="t",
        inputs=("text",),
        gold_paths=("n", "items", "who", "when.day"),
        columns={"day": "when.day"},
    )
    assert [e.gold for e in found.examples] == [
        {"n": 12, "items": ["a", 2], "who": "Ana", "when": {"day": "2024-05-31"}},
        {"items": "[broken", "who": "NaN"},
        None,
    ]


def test_gold_as_one_json_object(file):
    gold = {"f1": {"polaridade": "positivo"}, "n": "12", "day": None, "stranger": 1}
    rows = read_rows(file(json.dumps({"text": "a", "n": "", "gold": gold}), "data.jsonl"))
    found = taken(
        rows,
        task="t",
        inputs=("text",),
        gold_paths=("f1.polaridade", "f1.emocao", "n", "day"),
        labels={"f1.polaridade": ("Positivo",)},
    )
    assert found.examples[0].gold == {"f1": {"polaridade": "Positivo"}, "n": "12", "day": None}


def test_labels_that_are_no_text_and_labels_that_differ_in_case_only():
    found = taken(
        [
            {"text": str(n), "yes": yes, "case": case}
            for n, (yes, case) in enumerate(
                [("true", "a"), ("False", "A"), ("1", " A "), ("", "other")]
            )
        ],
        task="t",
        inputs=("text",),
        gold_paths=("yes", "case"),
        labels={"yes": (True, False), "case": ("A", "a")},
        aliases={"a": "A", "Other": "a"},
    )
    assert [e.gold for e in found.examples] == [
        {"yes": True, "case": "a"},
        {"yes": False, "case": "A"},
        {"case": "A"},
        {"case": "a"},
    ]
    assert len(found.notes) == 1


def test_rows_that_repeat_are_said():
    found = taken([{"text": "a"}, {"text": "b"}, {"text": "a"}], **SIMPLE)
    assert found.notes == ["1 rows repeat the inputs of an earlier row"]


# Splits


def test_the_split_by_hash_is_the_same_for_ever():
    pinned = {"a": "train", "é": "validation", "f": "calibration", "t": "test", "": "train"}
    assert {key: split_of(key) for key in pinned} == pinned
    counts = dict.fromkeys(("train", "validation", "calibration", "test"), 0)
    for number in range(10_000):
        counts[split_of(str(number))] += 1
    assert counts["train"] == pytest.approx(7000, abs=150)
    assert all(counts[name] == pytest.approx(1000, abs=100) for name in list(counts)[1:])


def test_a_group_never_stands_on_both_sides():
    rows = [{"text": str(n), "who": str(n % 40) if n % 5 else ""} for n in range(400)]
    found = taken(rows, group_column="who", **SIMPLE)
    sides: dict[str, set[str]] = {}
    for example in found.examples:
        assert example.split == split_of(example.group or example.id)
        sides.setdefault(example.group or example.id, set()).add(example.split)
    assert {len(splits) for splits in sides.values()} == {1}
    assert len({split for splits in sides.values() for split in splits}) == 4


def test_the_split_of_the_file_or_of_the_caller_wins():
    rows = [{"text": "a", "fold": " Test "}, {"text": "b", "fold": ""}]
    found = taken(rows, split_column="fold", **SIMPLE)
    assert [e.split for e in found.examples] == ["test", split_of(example_id({"text": "b"}))]
    found = taken(rows, split_column="fold", split="wild", **SIMPLE)
    assert [e.split for e in found.examples] == ["wild", "wild"]


def test_the_newest_rows_are_the_test_rows():
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 11) for day in range(1, 11)]
    rows = [{"text": day, "day": day} for day in reversed(days)]
    found = taken([*rows, {"text": "x", "day": "soon"}], time_column="day", **SIMPLE)
    order = sorted(found.examples, key=lambda e: e.inputs["text"])
    assert [e.split for e in order] == (
        ["train"] * 70 + ["validation"] * 10 + ["calibration"] * 10 + ["test"] * 10
    )
    assert found.refused == [(101, "'soon' is no ISO 8601 time such as 2024-05-31")]


def test_by_time_neither_a_group_nor_a_moment_is_parted():
    rows = [{"text": str(n), "at": f"2024-01-01T00:{n:02}:00", "who": ""} for n in range(20)]
    rows[0]["who"] = rows[19]["who"] = "same"
    rows += [{"text": f"now {n}", "at": "2024-01-01T00:10:00+00:00", "who": ""} for n in range(20)]
    found = taken(rows, time_column="at", group_column="who", **SIMPLE)
    splits = {e.inputs["text"]: e.split for e in found.examples}
    assert splits["0"] == splits["19"] == "test"
    assert {splits[f"now {n}"] for n in range(20)} == {splits["10"]} == {"train"}


def test_by_age_many_rows_take_no_longer_each_than_few():
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    rows = [(str(n), start + datetime.timedelta(seconds=n)) for n in range(50_000)]
    before = time.process_time()
    splits = splits_by_time(rows)
    assert time.process_time() - before < 2
    assert Counter(splits.values()) == {
        "train": 35_000,
        "validation": 5000,
        "calibration": 5000,
        "test": 5000,
    }


def test_ever_new_values_that_are_no_label_are_counted_in_little_memory():
    rows = ({"text": str(n), "mood": f"odd {n} " + "x" * 100} for n in range(3000))
    found = taken(
        rows, task="t", inputs=("text",), gold_paths=("mood",), labels={"mood": ("good",)}
    )
    assert found.notes == [
        "mood: 3000 gold values are none of its labels and were left out, most often '...'"
    ]


def test_a_providers_file_without_the_columns_is_told_from_a_table():
    with pytest.raises(StoreError, match="it has messages; a provider's file is read by --format"):
        taken([{"messages": "[]"}], **SIMPLE)


def test_a_header_with_control_characters_is_shown_without_them():
    with pytest.raises(StoreError) as caught:
        taken([{"\x1b[31mred": "1", "\u202ebidi": "2"}], **SIMPLE)
    told = r"the data has no column text; it has \x1b[31mred, \u202ebidi; say which"
    assert str(caught.value).startswith(told)


# A run to a file and back


def run() -> Run:
    facts: dict[str, Any] = dict.fromkeys(("strategy", "target", "words", "answers"), "same")
    return Run(
        **{
            "id": "r",
            "model": "m",
            "name": "n",
            "task": "t",
            "role": "teacher",
            "started": "1",
            **facts,
        }
    )


def filled(store: Store, pairs: list[tuple[Example, Record]]) -> Store:
    store.start_run(run())
    store.add_examples(example for example, _ in pairs)
    for _, record in pairs:
        store.add_record(record)
    return store


def pair(text: str, *, split: str = "train", **fields: Any) -> tuple[Example, Record]:
    inputs = {"text": text}
    number = example_id(inputs)
    example = Example(id=number, task="t", split=split, inputs=inputs, gold={"f": {"x": text}})
    return example, Record(**{"run": "r", "example": number, "created": "2026", **fields})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=TEXT.filter(lambda t: t.strip() and "\0" not in t),
    reasoning=TEXT,
    seconds=st.floats(0, 1e6),
)
def test_an_exported_run_is_imported_as_it_was(tmp_path, text, reasoning, seconds):
    said = pair(
        text,
        answer={"f": {"x": reasoning}, "list": [1, None, 2.5]},
        reasoning=reasoning,
        raw=reasoning * 2,
        model="m-1",
        attempts=2,
        input_tokens=5,
        output_tokens=7,
        cost=0.25,
        seconds=seconds,
        confidence={"f.x": 0.5},
    )
    failed = pair(text + "!", split="test", error="not in the schema", raw=reasoning)
    path = tmp_path / "run.jsonl"
    with Store(":memory:") as store:
        assert export_jsonl(filled(store, [said, failed]), "r", path) == 2
    back = [
        (example, Record(run="r", example=example.id, **fields))
        for example, fields in recorded_rows(path, task="t", inputs=("text",))
    ]
    assert back == [said, failed]


def test_an_exported_file_is_plain_lines_and_appears_whole(tmp_path):
    path = tmp_path / "run.jsonl"
    with Store(":memory:") as store:
        filled(store, [pair("olá", answer={"x": 1}), pair("b", split="test", error="no")])
        assert export_jsonl(store, "r", path, split="train") == 1
        (line,) = path.read_text(encoding="utf-8").splitlines()
        row = json.loads(line)
        assert (row["inputs"], row["gold"], row["answer"]) == (
            {"text": "olá"},
            {"f": {"x": "olá"}},
            {"x": 1},
        )
        assert "olá" in line
        with pytest.raises(StoreError, match="has no run nope"):
            export_jsonl(store, "nope", tmp_path / "no.jsonl")
        with pytest.raises(StoreError, match="cannot be written"):
            export_jsonl(store, "r", tmp_path / "no" / "run.jsonl")
        with pytest.raises(StoreError, match="cannot be written"):
            export_jsonl(store, "r", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.jsonl"]


def test_outputs_recorded_by_others_need_only_inputs_and_an_answer(file):
    path = file(
        '{"premise": "a", "text": "b", "answer": {"label": "yes"}, "reasoning": "so", "id": 7}\n'
        '{"inputs": {"text": "c"}, "answer": null, "raw": "dunno", "group": "g"}\n',
        "said.jsonl",
    )
    first, second = recorded_rows(path, task="t", inputs=("text",))
    assert first[0].inputs == {"text": "b"}
    assert first[0].split == split_of(first[0].id)
    assert first[1] == {"answer": {"label": "yes"}, "reasoning": "so"}
    assert (second[0].split, second[1]) == (split_of("g"), {"raw": "dunno"})
    assert [e.split for e, _ in recorded_rows(path, task="t", inputs=("text",), split="x")] == [
        "x",
        "x",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"answer": {}}', "has no text text"),
        ('{"text": 5, "answer": {}}', "has no text text"),
        ('{"text": " ", "answer": {}}', "text is empty"),
        ('{"text": "\\ud83d", "answer": {}}', "lone surrogate"),
        ('{"text": "a", "answer": "yes"}', "answer: Input should be a valid dictionary"),
        ('{"text": "a", "answer": {}, "raw": 5}', "raw: Input should be a valid string"),
        ('{"text": "a", "answer": {}, "split": 5}', "split: Input should be a valid string"),
    ],
)
def test_a_recorded_row_that_cannot_be_used_is_said_with_its_place(file, line, said):
    path = file('{"text": "fine", "answer": {}}\n' + line + "\n", "said.jsonl")
    with pytest.raises(StoreError, match=said) as caught:
        list(recorded_rows(path, task="t", inputs=("text",)))
    assert f"{path}, row 2: " in str(caught.value)
    assert "\n" not in str(caught.value)
