"""What is asked, and who answers: tasks, chains, teachers and students. Knows no SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answer import answer_chain
from .loading import load_task
from .task import Task, TaskError, Thought

if TYPE_CHECKING:
    from .student import ChatStudent, StudentError, load_student

__all__ = [
    "ChatStudent",
    "StudentError",
    "Task",
    "TaskError",
    "Thought",
    "answer_chain",
    "load_student",
    "load_task",
]


def __getattr__(name: str) -> Any:
    """The student's names are looked up late: most users of a Task never load one."""
    if name in {"ChatStudent", "StudentError", "load_student"}:
        from . import student

        return getattr(student, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
