"""Apps written for a teacher run on a student: nothing but the model object changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException

from understudy.chains import ChatStudent, StudentError, Task
from understudy.chains.offline import NewsTeacher
from understudy.chains.student import StudentCard, write_card
from understudy.chains.student.weights import base_sha256, load_base
from understudy.chains.task import prompt_words
from understudy.examples.apps import graph, parser, rows
from understudy.examples.apps.parser import NEWS
from understudy.examples.news.task import Leitura, Noticia
from understudy.examples.news.task import task as news

MakeStudent = Callable[..., ChatStudent]


@pytest.fixture(scope="module")
def make_student(tmp_path_factory: pytest.TempPathFactory) -> MakeStudent:
    """Students of a task over the embedded base, with a random adapter."""
    import torch
    from peft import LoraConfig, get_peft_model

    def make(task: Task, *, target: Any = "reason_label") -> ChatStudent:
        folder = tmp_path_factory.mktemp("runs") / task.name
        model, tokenizer = load_base("embedded")
        torch.manual_seed(5)
        adapter = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        adapted = get_peft_model(model, adapter)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.05)
        adapted.save_pretrained(str(folder), safe_serialization=True)
        tokenizer.save_pretrained(folder)
        card = StudentCard(
            name=task.name,
            task=task.name,
            target=target,
            base="embedded",
            base_sha256=base_sha256("embedded"),
            words=task.student_words,
            answers=task.answers,
            prompt=prompt_words(task.student_prompt),
            answer_schema=task.json_schema(target),
            reasoning=task.reasoning,
        )
        write_card(folder, card)
        return ChatStudent(model=str(folder))

    return make


@pytest.fixture(scope="module")
def student(make_student: MakeStudent) -> ChatStudent:
    return make_student(news)


def test_a_chain_with_a_pydantic_parser(student: ChatStudent) -> None:
    for llm in (NewsTeacher(), student):
        answers = parser.build(llm).batch([NEWS, {**NEWS, "f1": "Bancos fecham na segunda."}])
        assert all(isinstance(answer, Noticia) for answer in answers)
    assert parser.build(NewsTeacher()).invoke(NEWS).f3.emocao == "Medo"


def test_a_node_of_a_graph_that_asks_for_structured_output(student: ChatStudent) -> None:
    for llm in (NewsTeacher(), student):
        state = graph.build(llm).invoke(NEWS)
        assert isinstance(state["noticia"], Noticia)
        polarities = {getattr(state["noticia"], name).polaridade for name in ("f1", "f2", "f3")}
        assert ("alerta" in state) == ("Negativo" in polarities)


def test_a_list_of_answers_for_many_rows_in_one_call(make_student: MakeStudent) -> None:
    taught = make_student(rows.task, target="label")
    sentences = [*NEWS.values(), "Bancos fecham na segunda."]
    teacher = rows.build(rows.RowsTeacher()).invoke(sentences)
    answer = rows.build(taught).invoke(sentences)

    assert [type(reading) for reading in teacher] == [rows.Row] * 4
    assert len(answer) == 4
    assert all(reading is None or isinstance(reading, Leitura) for reading in answer)
    assert rows.task.thought({"rows": [row.model_dump() for row in teacher if row]}).answer


def test_an_app_that_wants_a_reasoning_is_told_what_a_student_of_labels_lacks(
    make_student: MakeStudent,
) -> None:
    labels = make_student(news, target="label")

    with pytest.raises(StudentError, match="requires raciocinio; say with reasoning= what to put"):
        graph.build(labels)
    with pytest.raises(OutputParserException, match="raciocinio"):
        parser.build(labels).invoke(NEWS)
    told = ChatStudent(model=labels.model, reasoning="sem raciocínio")
    assert graph.build(told).invoke(NEWS)["noticia"].raciocinio == "sem raciocínio"
    assert parser.build(told).invoke(NEWS).raciocinio == "sem raciocínio"


@pytest.mark.parametrize("app", ["parser", "graph", "rows", "retrieval", "history"])
def test_an_app_runs_from_the_command_line(app: str) -> None:
    command = [sys.executable, "-m", f"understudy.examples.apps.{app}"]
    root = Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "Felicidade" in ended.stdout
