"""Students of one base share it in memory and answer as each does alone."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest

from understudy.chains.answer import answer_chain
from understudy.chains.student import ChatStudent, engines
from understudy.chains.student.card import StudentError, read_card
from understudy.chains.student.chunks import Chunk
from understudy.chains.student.engine import Engine
from understudy.chains.student.lora import Adapter, adapter_for, read_pairs
from understudy.chains.student.packed import Packed
from understudy.chains.student.paths import path_for
from understudy.chains.student.sharing import Base, Seat
from understudy.chains.student.slots import Slots
from understudy.chains.student.weights import bare_base, merged_model
from understudy.chains.task import Task

ROWS = [{"sentence": f"as vendas {word} muito"} for word in ("caíram", "subiram", "pararam", "são")]


@pytest.fixture(scope="module")
def others(tiny_student: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two more students of the same base, each with weights of its own."""
    return [other(tiny_student, tmp_path_factory.mktemp("runs") / f"s{n}", n) for n in (1, 2)]


def other(student: Path, folder: Path, seed: int) -> Path:
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(student, folder)
    file = folder / "adapter_model.safetensors"
    torch.manual_seed(seed)
    tensors = {name: torch.randn_like(one) * 0.2 for name, one in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@pytest.fixture(autouse=True)
def nothing_loaded() -> Any:
    unload()
    yield
    unload()


def unload() -> None:
    for engine in list(engines._ENGINES.values()):
        engine.close()
    engines._ENGINES.clear()
    engines._STUDENTS.clear()
    engines._BASES.clear()


def test_several_students_answer_as_each_does_alone(
    tiny_student: Path, others: list[Path], tiny_task: Task
) -> None:
    folders = [tiny_student, *others]
    alone = []
    for folder in folders:
        student = ChatStudent(model=str(folder))
        alone.append(answer_chain(tiny_task, student).batch(ROWS))
        assert not isinstance(student.engine, Seat)
        student.close()
    assert len({str(answers) for answers in alone}) == 3  # each has something of its own to say

    students = [ChatStudent(model=str(folder)) for folder in folders]
    chains = [answer_chain(tiny_task, student) for student in students]
    together = [chain.batch(ROWS) for chain in chains]
    again = [chain.batch(ROWS) for chain in chains]

    for some, few in zip([*together, *again], alone * 2, strict=True):
        for one, two in zip(some, few, strict=True):
            assert (one.reasoning, one.answer) == (two.reasoning, two.answer)
            assert one.confidence == pytest.approx(two.confidence, abs=1e-4)
    assert all(isinstance(student.engine, Seat) for student in students)


def test_rows_of_several_students_share_calls(
    tiny_student: Path, others: list[Path], tiny_task: Task
) -> None:
    students = [ChatStudent(model=str(folder)) for folder in (tiny_student, *others)]
    seats = [student.engine for student in students][::-1]
    seats = [student.engine for student in students]
    calls, rows = seats[0].calls, seats[0].rows
    schema = read_card(tiny_student).answer_schema
    prompt = students[0].engine.tokenizer("Frase: as vendas", add_special_tokens=False)["input_ids"]
    futures = [seat.submit(prompt, schema=schema) for seat in seats for _ in range(5)]
    texts = [future.result(60).text for future in futures]
    calls, rows = seats[0].calls - calls, seats[0].rows - rows

    assert rows / calls > 5
    assert len(set(texts)) == 3


def test_the_base_is_in_memory_once(
    tiny_student: Path, others: list[Path], tiny_task: Task
) -> None:
    import torch

    def embeddings() -> dict[int, torch.nn.Embedding]:
        gc.collect()
        found = (part for part in gc.get_objects() if isinstance(part, torch.nn.Embedding))
        return {id(part): part for part in found if part.weight.shape[1] == 32}

    before = embeddings()  # other tests of this process may hold some
    students = [ChatStudent(model=str(folder)) for folder in (tiny_student, *others)]
    for student in students:
        answer_chain(tiny_task, student).invoke(ROWS[0])
    seats = [student.engine for student in students]
    assert len({id(seat.path) for seat in seats}) == 1
    assert len(embeddings().keys() - before.keys()) == 1


def test_a_request_on_its_way_when_students_come_together_is_answered(
    tiny_student: Path, others: list[Path], tiny_task: Task
) -> None:
    first = ChatStudent(model=str(tiny_student))
    merged: Engine = first.engine
    schema = read_card(tiny_student).answer_schema
    prompt = merged.tokenizer("Frase: as vendas", add_special_tokens=False)["input_ids"]
    before = [merged.submit(prompt, schema=schema) for _ in range(20)]
    assert isinstance(ChatStudent(model=str(others[0])).engine, Seat)
    after = merged.submit(prompt, schema=schema)

    texts = {future.result(60).text for future in [*before, after]}
    assert len(texts) == 1
    merged._thread.join(30)
    assert not merged._thread.is_alive()


def test_the_last_student_that_leaves_ends_the_engine(
    tiny_student: Path, others: list[Path]
) -> None:
    students = [ChatStudent(model=str(folder)) for folder in (tiny_student, others[0])]
    seats = [student.engine for student in students][::-1]
    shared = engines._BASES[next(iter(engines._BASES))].engine
    assert len(seats) == 2
    students[0].close()
    assert shared._thread.is_alive()
    students[1].close()
    assert not shared._thread.is_alive()
    assert ChatStudent(model=str(others[1])).engine._thread.is_alive()


def test_the_general_path_mixes_adapters_too(
    tiny_student: Path, others: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.chains.student.paths.is_packable", lambda model: False)
    schema = read_card(tiny_student).answer_schema
    folders = [tiny_student, *others]
    wanted = []
    for folder in folders:
        engine = Engine(*merged_model(folder))
        prompt = engine.tokenizer("Frase: as vendas", add_special_tokens=False)["input_ids"]
        wanted.append(engine.submit(prompt, schema=schema).result(60).text)
        engine.close()
    base = Base(tiny_student, max_batch=8)
    assert isinstance(base.engine.path, Slots)
    seats = [base.seat(folder) for folder in folders]
    futures = [seat.submit(prompt, schema=schema) for seat in seats for _ in range(2)]
    base_only = base.engine.submit(prompt, schema=schema).result(60).text

    found = [future.result(60).text for future in futures]
    assert found == [text for text in wanted for _ in range(2)]
    assert base_only not in wanted
    base.engine.close()


def test_deltas_are_the_merged_weights(tiny_student: Path) -> None:
    import torch

    model, tokenizer = bare_base(tiny_student)
    path = path_for(model)
    assert isinstance(path, Packed)
    one = adapter_for(model, "one", read_pairs(tiny_student))
    merged, _ = merged_model(tiny_student)
    ids = tokenizer("Frase: as vendas caíram hoje", add_special_tokens=False)["input_ids"]
    chunks = [Chunk(0, 0, ids, one), Chunk(1, 0, ids), Chunk(2, 0, ids[:5], one)]
    found = path.scores(path.feed(chunks))
    with torch.inference_mode():
        for place, (reader, read) in enumerate([(merged, ids), (model, ids), (merged, ids[:5])]):
            whole = reader(torch.tensor([read])).logits[0, -1]
            torch.testing.assert_close(found[place], whole, atol=1e-3, rtol=1e-3)


def test_an_adapter_that_is_more_than_a_and_b_is_not_shared(
    others: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(others[0], folder)
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace('"use_dora": false', '"use_dora": true'))

    with pytest.raises(StudentError, match="use_dora that cannot be shared"):
        read_pairs(folder)


def test_two_folders_with_the_same_adapter_come_and_go_on_their_own(
    tiny_student: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(tiny_student, twin)
    one, two = ChatStudent(model=str(tiny_student)), ChatStudent(model=str(twin))
    assert one.engine is not two.engine
    expected = one.invoke("Frase: hoje").content
    two.close()

    assert one.invoke("Frase: hoje").content == expected


def test_an_adapter_that_was_cut_off_is_one_error_beside_a_sound_one(
    tiny_student: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(tiny_student, folder)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    sound = ChatStudent(model=str(tiny_student))
    assert sound.invoke("oi").content
    with pytest.raises(StudentError, match="adapter"):
        ChatStudent(model=str(folder)).invoke("oi")
    assert sound.invoke("oi").content


def adapters() -> list[Adapter]:
    gc.collect()
    return [part for part in gc.get_objects() if isinstance(part, Adapter)]


def test_students_that_come_and_go_leave_no_adapters_behind(
    tiny_student: Path, others: list[Path]
) -> None:
    stays = ChatStudent(model=str(tiny_student))
    expected = stays.invoke("Frase: hoje").content
    counts = []
    for _ in range(6):
        for folder in others:
            passing = ChatStudent(model=str(folder))
            passing.invoke("Frase: hoje")
            passing.close()
        counts.append(len(adapters()))

    assert max(counts) <= 3  # that of who stays; what a prompt began with, and the prompt before
    assert stays.invoke("Frase: hoje").content == expected


def test_the_general_path_forgets_the_adapter_of_who_has_left(
    tiny_student: Path, others: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.chains.student.paths.is_packable", lambda model: False)
    schema = read_card(tiny_student).answer_schema
    base = Base(tiny_student, max_batch=4)
    stays = base.seat(tiny_student)
    prompt = stays.tokenizer("Frase: as vendas", add_special_tokens=False)["input_ids"]
    expected = stays.submit(prompt, schema=schema).result(60).text
    path: Any = base.engine.path
    for folder in (*others, *others):
        seat = base.seat(folder)
        assert seat.submit(prompt, schema=schema).result(60).text != expected
        seat.close()
    del seat
    for _ in range(2):  # what a prompt began with, and the one before, have an adapter too
        assert stays.submit(prompt, schema=schema).result(60).text == expected
    gc.collect()
    base.engine.between(lambda: None).result(60)

    assert len(path.model.peft_config) <= 2
    base.engine.close()


def test_of_many_students_the_latest_stay_and_the_others_come_back(
    tiny_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_MOST_SEATS", 4)
    folders = [other(tiny_student, tmp_path / f"s{n}", n) for n in range(9)]
    model = ChatStudent(model=str(folders[0]))
    expected = [str(model.invoke("Frase: hoje", model=folder.name).content) for folder in folders]
    assert len(set(expected)) == 9
    assert len(engines._ENGINES) == len(engines._STUDENTS) == 4
    assert len(adapters()) <= 6

    again = [str(model.invoke("Frase: hoje", model=folder.name).content) for folder in folders]
    assert again == expected


def test_a_row_on_its_way_is_answered_though_its_student_has_to_leave(
    tiny_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_MOST_SEATS", 2)
    folders = [other(tiny_student, tmp_path / f"s{n}", n) for n in range(4)]
    seats = [ChatStudent(model=str(folder)).engine for folder in folders[:2]][::-1]
    seat = ChatStudent(model=str(folders[0])).engine
    schema = read_card(folders[0]).answer_schema
    prompt = seat.tokenizer("Frase: as vendas", add_special_tokens=False)["input_ids"]
    expected = seat.submit(prompt, schema=schema).result(60).text
    under_way = [seat.submit(prompt, schema=schema) for _ in range(20)]
    for folder in folders[1:]:
        _ = ChatStudent(model=str(folder)).engine
    late = seat.submit(prompt, schema=schema)  # whoever still holds it may ask

    assert seat not in engines._ENGINES.values()
    assert {one.result(60).text for one in [*under_way, late]} == {expected}
    assert len(seats) == 2


def test_a_base_that_nobody_uses_is_freed(tiny_student: Path, others: list[Path]) -> None:
    students = [ChatStudent(model=str(folder)) for folder in (tiny_student, *others)]
    for student in students:
        student.invoke("Frase: hoje")
    for student in students:
        student.close()

    assert not engines._BASES
    assert not engines._STUDENTS
    assert not adapters()
