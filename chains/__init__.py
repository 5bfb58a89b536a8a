"""What is asked, and who answers: tasks, chains, teachers and students. Knows no SQL."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answer import answer_chain
    from .loading import load_task
    from .student import ChatStudent, StudentError, load_student
    from .task import Task, TaskError, Thought

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

_MODULES = {
    "ChatStudent": "student",
    "StudentError": "student",
    "Task": "task",
    "TaskError": "task",
    "Thought": "task",
    "answer_chain": "answer",
    "load_student": "student",
    "load_task": "loading",
}


def __getattr__(name: str) -> Any:
    """Names are looked up late: LangChain's models alone take most of a second."""
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
