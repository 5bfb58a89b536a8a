"""From a reference to the task it names, and one line where it names none."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.chains import TaskError, load_task

TASK_FILE = """
from typing import Literal
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from understudy.chains import Task

class Mood(BaseModel):
    mood: Literal["good", "bad"]

task = Task(name="mood", schema=Mood, prompt=ChatPromptTemplate.from_messages(["{text}"]))
number = 3
"""


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "mood.py"
    path.write_text(TASK_FILE, encoding="utf-8")
    return path


def test_a_task_is_loaded_from_its_file_once(task_file: Path) -> None:
    task = load_task(f"{task_file}:task")
    assert (task.name, task.labels) == ("mood", {"mood": ("good", "bad")})
    assert load_task(str(task_file)) is task


def test_a_task_is_loaded_from_its_module() -> None:
    from understudy.examples.extraction.task import task

    assert load_task("understudy.examples.extraction.task:task") is task
    assert load_task("understudy.examples.extraction.task") is task


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("{folder}/none.py:task", "there is no task file .*none.py; give path/to/task.py:task"),
        ("{folder}/mood.py:job", "mood.py has no 'job'"),
        ("{folder}/mood.py:number", "mood.py:number is a int, not a Task"),
        ("understudy.nowhere:task", "there is no module 'understudy.nowhere'"),
        ("./mood", "'./mood' is no module"),
        ("", "'' is no module"),
    ],
)
def test_a_reference_to_no_task_is_refused_in_one_line(
    reference: str, says: str, task_file: Path
) -> None:
    with pytest.raises(TaskError, match=says) as refusal:
        load_task(reference.format(folder=task_file.parent))
    assert "\n" not in str(refusal.value)
