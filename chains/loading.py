"""From a reference to the object it names: `path/to/task.py:task` or `package.module:task`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from .task import Task, TaskError, fingerprint


def load_task(reference: str) -> Task:
    """The task at "path/to/task.py:task" or "package.module:task" (":task" may be left out).

    Loading runs the file, as importing any Python file does; it can import the files beside it.
    Raises TaskError.
    """
    task = load_attribute(reference, default="task")
    if not isinstance(task, Task):
        kind = type(task).__name__
        raise TaskError(f"{reference} is a {kind}, not a Task; name the variable that holds one")
    return task


def load_attribute(reference: str, *, default: str) -> Any:
    """The object at "file.py:name" or "module:name"; `default` is the name when none is given."""
    where, _, name = reference.rpartition(":")
    if not where or name.endswith(".py"):  # no ":name" part (a Windows drive keeps its colon)
        where, name = reference, default
    module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    if not hasattr(module, name):
        raise TaskError(f"{where} has no {name!r}; define it there or name another after ':'")
    return getattr(module, name)


def _load_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise TaskError(f"there is no file {path}; give path/to/file.py:name")
    name = f"understudy_task_{fingerprint(str(path.resolve()))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    beside = str(path.resolve().parent)
    if beside not in sys.path:  # the app beside the task; last, so that it hides no library
        sys.path.append(beside)
    sys.modules[name] = module  # pydantic looks annotations up here
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, TaskError) or not isinstance(error, Exception):
            raise
        raise TaskError(_broken(str(path), error)) from error
    return module


def _load_module(name: str) -> types.ModuleType:
    if not name or name.startswith("."):
        raise TaskError(f"{name!r} is no module; give path/to/task.py:task or package.module:task")
    try:
        return importlib.import_module(name)
    except TaskError:
        raise
    except Exception as error:  # whatever the user's own lines raise
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            what = f"there is no module {error.name!r}; give path/to/task.py:task"
            raise TaskError(what) from error
        raise TaskError(_broken(name, error)) from error


def _broken(where: str, error: Exception) -> str:
    """One line: the line of the user's file that failed, and how."""
    message = str(error)
    if isinstance(error, SyntaxError):
        message, where = error.msg, f"{error.filename or where}:{error.lineno or 1}"
    else:
        machinery = ("<frozen ", __file__, importlib.__file__)
        for frame in traceback.extract_tb(error.__traceback__):
            if not frame.filename.startswith(machinery):
                where = f"{frame.filename}:{frame.lineno}"
                break
    what = f"{type(error).__name__}: {' '.join(message.split())}".rstrip(": ")
    return f"{where} cannot be loaded: {what[:300]}; mend that line"
