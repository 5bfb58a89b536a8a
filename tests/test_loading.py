"""From a reference to the task it names, and one line where it names none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from understudy.chains import TaskError, load_task
from understudy.chains.teachers import load_teacher

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
        ("{folder}/none.py:task", "there is no file .*none.py; give path/to/file.py:name"),
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


@pytest.mark.parametrize(
    ("source", "says", "cause"),
    [
        (
            "x = 1\ntask = (\n",
            "broken.py:2 cannot be loaded: SyntaxError: .*never closed",
            SyntaxError,
        ),
        (
            "x = 1\n\nint('a\\nb')\n",
            "broken.py:3 cannot be loaded: ValueError: invalid",
            ValueError,
        ),
        (
            "def f():\n    raise KeyError\nf()\n",
            "broken.py:3 cannot be loaded: KeyError;",
            KeyError,
        ),
        ("import nowhere_at_all\n", "broken.py:1 .*No module named 'nowhere_at_all'", ImportError),
        ("x = '\\0'\n\0", "broken.* cannot be loaded: .*null bytes", Exception),
    ],
)
def test_a_file_that_does_not_load_is_one_line_that_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str, cause: type[Exception]
) -> None:
    (tmp_path / "broken.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "broken.py"
    for load in (
        lambda: load_task(f"{path}:task"),
        lambda: load_task("broken:task"),
        lambda: load_teacher(f"{path}:teacher", task="mood.py"),
    ):
        with pytest.raises(TaskError, match=says) as refusal:
            load()
        assert "\n" not in str(refusal.value)
        assert isinstance(refusal.value.__cause__, cause)


def test_what_a_task_says_about_itself_is_passed_on(task_file: Path) -> None:
    source = TASK_FILE.replace("schema=Mood", "schema=Mood, reasoning='why'")
    task_file.write_text(source, encoding="utf-8")
    with pytest.raises(TaskError, match=r"^task mood: the schema Mood has no field 'why'"):
        load_task(str(task_file))


def test_a_task_file_can_import_the_app_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "the_app_beside.py").write_text(TASK_FILE, encoding="utf-8")
    beside = tmp_path / "app_task.py"
    beside.write_text("from the_app_beside import task\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_task(f"{beside}:task").name == "mood"
    del sys.modules["the_app_beside"]
