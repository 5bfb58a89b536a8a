"""Write docs/reference/ from docstrings and help texts: `python scripts/reference.py`."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
ROOMS = ("chains", "distill", "store")
MADE = "<!-- Written by `python scripts/reference.py`; change the code, not this page. -->"


def pages() -> dict[str, str]:
    """File name to text, for every page of the reference."""
    return {"cli.md": cli_page(), **{f"{room}.md": room_page(room) for room in ROOMS}}


def cli_page() -> str:
    """Every command with its help, arguments, options and examples."""
    root = root_command()
    options = [(_flags(p), _told(p)) for p in root.params if not p.hidden]
    head = [
        "# The command line",
        MADE,
        "Every command prints its own page with `--help`.",
        root.epilog or "",
        "Before the command:",
        _table("option", options),
    ]
    told = "\n\n".join(part for part in head if part) + "\n"
    return "\n".join((told, *(_command(name, command) for name, command in commands())))


def root_command() -> Any:
    """The command line as a whole."""
    import typer

    from understudy.distill.cli import app

    return typer.main.get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    """("store stats", the command) and so on, sorted by name."""
    yield from sorted(_leaves(root_command(), ()), key=lambda pair: pair[0])


def _leaves(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(names), command
        return
    for name, below in inner.items():
        yield from _leaves(below, (*names, name))


def _command(name: str, command: Any) -> str:
    from understudy.distill.commands.examples import EXAMPLES

    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(["understudy", name, *map(_placed, arguments)])
    parts = [f"## understudy {name}", inspect.cleandoc(command.help or "")]
    parts.append(f"```text\n{usage}{' [OPTIONS]' if options else ''}\n```")
    if arguments:
        parts.append(_table("argument", [(_named(p), _told(p)) for p in arguments]))
    if options:
        parts.append(_table("option", [(_flags(p), _told(p)) for p in options]))
    if lines := EXAMPLES.get(name):
        parts.append("```bash\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts) + "\n"


def _placed(argument: Any) -> str:
    name = _named(argument)
    return name if argument.required else f"[{name.strip('[]')}]"


def _named(argument: Any) -> str:
    name: str = argument.metavar or argument.name.upper().rstrip("_")
    return name if argument.nargs == 1 or name.endswith("...") else f"{name}..."


def _flags(option: Any) -> str:
    return "`" + "` / `".join([*option.opts, *option.secondary_opts]) + "`"


def _told(param: Any) -> str:
    """The help, and the default where there is one to tell."""
    told = [" ".join((param.help or "").split())]
    default = param.default
    if isinstance(default, (int, float, str, Path)) and not isinstance(default, bool):
        told.append(f"Default: `{default}`.")
    if getattr(param, "multiple", False) and "repeat" not in told[0]:
        told.append("May be given several times.")
    head, *rest = told
    return "; ".join(
        [head, *(part.rstrip(".")[:1].lower() + part.rstrip(".")[1:] for part in rest)]
    )


def _table(head: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head} | meaning |", "|---|---|"]
    cells = ((name.replace("|", "\\|"), told.replace("|", "\\|")) for name, told in rows)
    return "\n".join([*lines, *(f"| {name} | {told} |" for name, told in cells)])


def room_page(room: str) -> str:
    """Every public name of understudy.ROOM: signature, and docstring as it stands."""
    module = importlib.import_module(f"understudy.{room}")
    intro = inspect.getdoc(module) or ""
    parts = [f"# understudy.{room}", MADE, intro]
    for name in module.__all__:
        parts.append(_entry(name, getattr(module, name)))
    return "\n\n".join(parts) + "\n"


def _entry(name: str, thing: Any) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    if isinstance(tree, ast.ClassDef):
        return _class(name, tree)
    assert isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)), name
    return "\n\n".join((f"## {name}", _code(_signature(tree, name)), _doc(tree)))


def _class(name: str, tree: ast.ClassDef) -> str:
    bases = ", ".join(map(ast.unparse, tree.bases))
    fields = [ast.unparse(node) for node in tree.body if _is_field(node)]
    body = "".join(f"\n    {line}" for line in fields)
    head = f"class {name}({bases})" if bases else f"class {name}"
    parts = [f"## {name}", _code(head + (f":{body}" if body else "")), _doc(tree)]
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name == "__init__":
            parts.append(_code(_signature(node, name, skip=1)))
        elif not node.name.startswith("_") and ast.get_docstring(node):
            parts += [f"### {name}.{node.name}", _code(_member(node)), _doc(node)]
    return "\n\n".join(part for part in parts if part)


def _member(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A property is read, a method called; what decorates it is said."""
    said = "".join(f"@{ast.unparse(one)}\n" for one in node.decorator_list)
    free = any(ast.unparse(one) == "staticmethod" for one in node.decorator_list)
    return said + _signature(node, node.name, skip=0 if free else 1)


def _is_field(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
    )


def _signature(
    node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, *, skip: int = 0, width: int = 88
) -> str:
    """`name(a: int, *, b: str = 'x') -> T`, one parameter a line where it is long."""
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    parameters = list(_parameters(node.args))[skip:]
    end = f" -> {ast.unparse(node.returns)}" if node.returns and name[:1].islower() else ""
    line = f"{start}{name}({', '.join(parameters)}){end}"
    if len(line) <= width:
        return line
    inside = "".join(f"    {one},\n" for one in parameters)
    return f"{start}{name}(\n{inside}){end}"


def _parameters(given: ast.arguments) -> Iterator[str]:
    placed = [*given.posonlyargs, *given.args]
    bare = len(placed) - len(given.defaults)
    for place, one in enumerate(placed):
        yield _parameter(one, given.defaults[place - bare] if place >= bare else None)
        if given.posonlyargs and place == len(given.posonlyargs) - 1:
            yield "/"
    if given.vararg:
        yield f"*{_parameter(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(one, default)
    if given.kwarg:
        yield f"**{_parameter(given.kwarg, None)}"


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    told = f"{one.arg}: {ast.unparse(one.annotation)}" if one.annotation else one.arg
    if default is None:
        return told
    return (
        f"{told} = {ast.unparse(default)}" if one.annotation else f"{told}={ast.unparse(default)}"
    )


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _doc(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """The docstring as Markdown; an indented block stays the code that it is."""
    text = ast.get_docstring(node) or ""
    return re.sub(r"(?<!`)<(?=\w)", "\\<", text)


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()
