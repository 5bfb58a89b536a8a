"""Typed tables: Parquet, datasets folders and pandas frames come in as they are."""

from __future__ import annotations

import datetime
import importlib
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.store import Store, StoreError, example_id, files
from understudy.store.exchange import examples_from, read_rows
from understudy.store.files import read_objects
from understudy.store.splits import split_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
USABLE = TEXT.filter(lambda text: text.strip() and "\0" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | USABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(USABLE, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(
    st.tuples(USABLE, st.dictionaries(USABLE, JSON, min_size=1, max_size=3)), min_size=1, max_size=5
)


def save_frame(path: Path, rows: list[dict[str, Any]]) -> Any:
    return pandas.DataFrame(rows)


def save_parquet(path: Path, rows: list[dict[str, Any]]) -> Any:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def save_folder(path: Path, rows: list[dict[str, Any]]) -> Any:
    datasets.Dataset.from_list(rows).save_to_disk(str(path))
    return path


@pytest.fixture(autouse=True)
def silent():
    datasets.disable_progress_bars()


@pytest.mark.parametrize("save", [save_frame, save_parquet, save_folder])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(rows=ROWS)
def test_text_and_nested_gold_come_in_as_they_were(tmp_path_factory, save, rows):
    data = [
        {"text": text, "gold": json.dumps({"answer": gold}, ensure_ascii=False)}
        for text, gold in rows
    ]
    source = save(tmp_path_factory.mktemp("any") / "any", data)
    found = examples_from(read_rows(source), task="t", inputs=("text",), gold_paths=("answer",))
    assert [(e.inputs["text"], e.gold) for e in found.examples] == [
        (text, {"answer": gold}) for text, gold in rows
    ]


@pytest.mark.parametrize("save", [save_frame, save_parquet, save_folder])
def test_nested_columns_become_json_text_and_nulls_empty_cells(tmp_path, save):
    rows = [
        {"text": "olá", "n": 1, "gold": {"f": {"x": ["é", None]}}, "nothing": "a"},
        {"text": "b", "n": 2, "gold": {"f": {"x": []}}, "nothing": None},
    ]
    found = list(read_rows(save(tmp_path / "data", rows)))
    assert [row | {"gold": json.loads(row["gold"])} for row in found] == [
        {"text": "olá", "n": "1", "gold": {"f": {"x": ["é", None]}}, "nothing": "a"},
        {"text": "b", "n": "2", "gold": {"f": {"x": []}}, "nothing": ""},
    ]


def test_every_kind_of_value_is_json_data():
    day = datetime.datetime(2024, 5, 31, 12, tzinfo=datetime.UTC)
    frame = pandas.DataFrame(
        {
            "when": [day, None],
            "price": [Decimal("1.50"), None],
            "n": [1.5, float("nan")],
            "big": [float("inf"), 2.0],
            "vector": [numpy.array([1, 2]), numpy.int64(3)],
            "bytes": [b"caf\xc3\xa9", b"\xff"],
            7: [True, None],
        }
    )
    first, second = (row for _, row in read_objects(frame))
    assert first == {
        "when": "2024-05-31T12:00:00+00:00",
        "price": "1.50",
        "n": 1.5,
        "big": "inf",
        "vector": [1, 2],
        "bytes": "café",
        "7": True,
    }
    assert second == dict.fromkeys(first) | {"big": 2.0, "vector": 3}


def test_the_splits_of_a_dataset_dict_are_the_rows_splits_and_class_labels_are_names(tmp_path):
    features = datasets.Features(
        {"text": datasets.Value("string"), "mood": datasets.ClassLabel(names=["bad", "good"])}
    )
    parts = {
        name: datasets.Dataset.from_dict({"text": [f"{name} text"], "mood": [mood]}, features)
        for name, mood in (("train", 1), ("test", 0), ("validation", -1))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    assert list(read_rows(tmp_path / "saved")) == [
        {"text": "train text", "mood": "good", "split": "train"},
        {"text": "test text", "mood": "bad", "split": "test"},
        {"text": "validation text", "mood": "", "split": "validation"},
    ]


def test_a_table_that_cannot_be_read_is_one_line(tmp_path):
    good = save_parquet(tmp_path / "good", [{"text": "a" * 500} for _ in range(50)])
    data = good.read_bytes()
    for cut in (0, 3, 40, len(data) // 2, len(data) - 1):
        broken = tmp_path / "broken.parquet"
        broken.write_bytes(data[:cut])
        with pytest.raises(StoreError, match=r"broken\.parquet: is no readable Parquet") as caught:
            list(read_rows(broken))
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="no such file"):
        list(read_rows(tmp_path / "none.parquet"))
    folder = save_folder(tmp_path / "folder", [{"text": "a"}])
    (folder / "state.json").write_text("{")
    with pytest.raises(StoreError, match="is no readable datasets folder"):
        list(read_rows(folder))
    with pytest.raises(StoreError, match="none that datasets saved"):
        list(read_rows(tmp_path))
    empty = save_parquet(tmp_path / "empty", [{"text": "a"}])
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(empty).slice(0, 0), empty)
    with pytest.raises(StoreError, match="there is no row"):
        list(read_rows(empty))
    with pytest.raises(StoreError, match="has no row"):
        list(read_rows(pandas.DataFrame({"text": []})))
    with pytest.raises(StoreError, match="'a' stands twice"):
        list(read_rows(pandas.DataFrame([[1, 2]], columns=["a", "a"])))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path, kind):
    path = tmp_path / f"long.{kind}"
    rows = ({"text": f"{number} " + "x" * 1000} for number in range(20_000))
    if kind == "parquet":
        save_parquet(tmp_path / "long", list(rows))
    else:
        with path.open("w") as file:
            file.write("text\n" if kind == "csv" else "")
            file.writelines(
                (row["text"] if kind == "csv" else json.dumps(row)) + "\n" for row in rows
            )
    tracemalloc.start()
    try:
        found = examples_from(read_rows(path), task="t", inputs=("text",), gold_paths=())
        assert sum(1 for _ in found.examples) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000  # the file has 20 MB


def test_by_age_the_file_is_read_twice_and_gold_is_counted_once(tmp_path):
    path = tmp_path / "aged.csv"
    days = [f"2024-01-{day:02}" for day in range(1, 11)]
    path.write_text("text,day,mood\n" + "".join(f"{day},{day},odd\n" for day in reversed(days)))
    found = examples_from(
        read_rows(path),
        task="t",
        inputs=("text",),
        gold_paths=("mood",),
        labels={"mood": ("good",)},
        time_column="day",
    )
    splits = {example.inputs["text"]: example.split for example in found.examples}
    assert [splits[day] for day in days] == ["train"] * 7 + ["validation", "calibration", "test"]
    assert found.notes == [
        "mood: 10 gold values are none of its labels and were left out, most often 'odd'"
    ]


def test_a_chosen_column_counts_alone_and_must_be_there():
    options: dict[str, Any] = {"task": "t", "inputs": ("text",), "gold_paths": ("mood",)}
    rows = [{"text": "raw", "clean": "a", "label": "good", "mood": "bad"}]
    chosen = {"clean": "text", "label": "mood"}
    found = examples_from(rows, chosen=chosen, **options)
    (example,) = found.examples
    assert (example.inputs, example.gold) == ({"text": "a"}, {"mood": "good"})
    assert example.split == split_of(example_id({"text": "a"}))
    with pytest.raises(StoreError, match="no column sentence; it has text"):
        examples_from([{"text": "a"}], chosen={"sentence": "text"}, **options)


@pytest.fixture
def fuzz(monkeypatch):
    """The benchmark's function, which stands beside the package."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    return importlib.import_module("benchmarks.import_fuzz").fuzz


def test_broken_files_are_never_a_traceback_nor_half_an_import(fuzz, tmp_path):
    tally = fuzz(tmp_path, files=120, seed=7)
    assert (tally.files, tally.faults) == (120, [])
    assert tally.accepted > 20
    assert tally.refusals.total() > 20


def test_the_fuzz_sees_half_an_import_and_a_traceback(fuzz, tmp_path, monkeypatch):
    """The check can fail: a store that keeps what came before an error, a reader that raises."""

    def one_by_one(self: Store, examples: Any) -> Any:
        for example in examples:
            added = whole(self, [example])
        return added

    whole = Store.add_examples
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_examples", one_by_one)
        assert fuzz(tmp_path, files=60, seed=7).half_imports > 0
    (tmp_path / "fuzz.db").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(files, "_refuse_bytes", lambda path: 1 / 0)
        assert fuzz(tmp_path, files=60, seed=7).tracebacks > 0
