"""What only some systems have is asked for where it is used, by tests that say they need it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("chains", "store", "distill", "examples", "benchmarks", "scripts", "tests")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
# Not on Windows: importing them, or only naming them, fails there.
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
OF_OS = {"fork", "getpgid", "geteuid", "getuid", "killpg", "mkfifo", "openpty", "setsid", "setuid"}
OF_SIGNAL = {"SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2"}
NEEDS = {"needs_posix", "needs_fork", "needs_plain_user"}  # tests/conftest.py
GUARDS = ("sys.platform", "os.name", "hasattr", "importorskip")


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: none of a function's body."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = node.args
            waiting += [*arguments.defaults, *filter(None, arguments.kw_defaults)]
            waiting += getattr(node, "decorator_list", [])
        else:
            waiting += ast.iter_child_nodes(node)


def posix_names(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Modules and attributes among the nodes that Windows does not have."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES and not node.level:
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            known = {"os": OF_OS, "signal": OF_SIGNAL}.get(node.value.id, set())
            if node.attr in known:
                yield f"{node.value.id}.{node.attr}"


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_no_module_needs_posix_to_be_imported() -> None:
    found = {}
    for file in FILES:
        names = {
            name
            for name in posix_names(at_import(parsed(file)))
            if f'hasattr(os, "{name[3:]}")' not in file.read_text(encoding="utf-8")
        }
        if names:
            found[file.relative_to(ROOT).as_posix()] = names
    assert found == {}


def test_a_test_that_uses_posix_wears_a_mark_or_looks_first() -> None:
    found = []
    for file in FILES:
        if not file.is_relative_to(ROOT / "tests"):
            continue
        for node in ast.walk(parsed(file)):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            marks = {
                one.attr
                for at in node.decorator_list
                for one in ast.walk(at)
                if isinstance(one, ast.Attribute)
            }
            names = [*posix_names(ast.walk(node)), *_signals_sent(node), *_modes(node)]
            looks = names and any(guard in ast.unparse(node) for guard in GUARDS)
            if names and not marks & NEEDS and not looks:
                found.append(f"{file.name} {node.name}: {', '.join(sorted(set(names)))}")
    assert found == []


def _signals_sent(node: ast.AST) -> Iterator[str]:
    """Windows ends a process for any signal but those of its console, and knows no SIGTERM."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            said = ast.unparse(call)
            if call.func.attr == "send_signal" or said.startswith("os.kill("):
                yield said


def _modes(node: ast.AST) -> Iterator[str]:
    """A file's mode is not kept there: 0o600 is read back as 0o666."""
    compared = (ast.unparse(one) for one in ast.walk(node) if isinstance(one, ast.Compare))
    yield from (one for one in compared if "st_mode" in one)


def test_a_text_that_is_read_or_written_names_its_encoding_in_the_rooms() -> None:
    """Windows' own would be another one; the suite runs under PYTHONUTF8=1."""
    found = []
    for file in FILES:
        if file.relative_to(ROOT).parts[0] in ("tests", "benchmarks"):
            continue
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Call) and (bad := _without_encoding(node)):
                found.append(f"{file.relative_to(ROOT).as_posix()}:{node.lineno}: {bad}")
    assert found == []


def _without_encoding(call: ast.Call) -> str | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    named = any(one.arg in ("encoding", "errors") for one in call.keywords)
    if name == "read_text" and not named and not call.args:
        return ast.unparse(call)
    if name == "write_text" and not named and len(call.args) == 1:
        return ast.unparse(call)
    if isinstance(call.func, ast.Name) and name == "open" and not named:
        mode = ast.unparse(call.args[1]) if len(call.args) > 1 else "'r'"
        return None if "b" in mode else ast.unparse(call)
    return None


def test_what_only_posix_has_is_found_where_a_module_is_imported_and_not_in_a_function() -> None:
    source = """
import resource, os
from fcntl import flock
MOST = os.getuid() if here else signal.SIGKILL
@mark(os.fork)
def one(at=os.geteuid()):
    import pty
    os.killpg(1, 2)
class Two:
    kind = signal.SIGHUP
"""
    assert set(posix_names(at_import(ast.parse(source)))) == {
        *("fcntl", "resource", "os.fork", "os.getuid", "os.geteuid"),
        *("signal.SIGHUP", "signal.SIGKILL"),
    }
