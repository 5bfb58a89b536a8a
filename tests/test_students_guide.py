"""docs/students.md and docs/curso.md: every command, option, name and table in them is real."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import runpy
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from understudy.chains.strategies import STRATEGIES
from understudy.chains.task import TARGETS
from understudy.distill.bases import BASES
from understudy.distill.cli import app, main
from understudy.distill.training.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("curso.md", "students.md")
TABLES: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "students_table.py")))


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def commands_of(page: str) -> list[list[str]]:
    """Every `understudy ...` with its arguments, out of blocks and running text."""
    text = text_of(page)
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    typed = "\n".join(blocks).replace("\\\n", " ").splitlines()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    typed += re.findall(r"`(understudy [^`]+)`", prose)
    return [shlex.split(line, comments=True) for line in typed if line.startswith("understudy ")]


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)


def command_line() -> Any:
    return typer.main.get_command(app)


COMMANDS = [words for page in PAGES for words in commands_of(page)]


def parse(words: list[str]) -> None:
    """Parse the command as the command line does; raises a UsageError of click's."""
    command, rest = command_line(), words[1:]
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, f"there is no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    if rest and "--help" not in rest:  # a command alone is a mention, not a call
        command.make_context(words[1], list(rest))


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[1] != "..."], ids=" ".join)
def test_every_command_of_the_pages_is_parsed(words):
    parse(words)


def test_the_pages_have_their_commands():
    named = {words[1] for words in COMMANDS}
    assert len(COMMANDS) > 30
    assert {"doctor", "distill", "train", "evaluate", "report", "import", "demo"} <= named


@pytest.mark.parametrize(
    ("typed", "lack"),
    [
        ("train --moon 1", "No such option"),
        ("train --epochs many", "valid"),
        ("import --preview", "Missing"),
        ("distill --shots", "requires an argument"),
    ],
)
def test_a_command_that_is_not_so_would_be_found(typed, lack):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - typer has a click of its own
        parse(["understudy", *typed.split()])
    assert lack in f"{raised.value} {type(raised.value).__name__}"


def test_a_command_that_does_not_exist_would_be_found():
    with pytest.raises(AssertionError, match="there is no command dance"):
        parse(["understudy", "dance"])


def values(option: str) -> set[str]:
    return {
        words[place + 1]
        for words in COMMANDS
        for place, word in enumerate(words)
        if word == option and place + 1 < len(words)
    }


def test_strategies_targets_recipes_and_students_that_are_named_exist():
    assert values("--strategy") <= set(STRATEGIES)
    assert values("--target") <= set(TARGETS)
    assert values("--recipe") <= set(RECIPES)
    assert values("--student") <= {base.name for base in BASES} | {"NAME"}


def test_the_course_page_has_every_strategy_of_the_command_line():
    assert set(STRATEGIES) - {"rationalise"} <= values("--strategy")


def test_the_tables_of_the_students_page_are_what_the_code_says():
    text = text_of("students.md")
    assert text == TABLES.page(text), "run python scripts/students_table.py"


def test_a_table_that_has_drifted_is_found():
    text = text_of("students.md")
    assert TABLES.page(text.replace("596,049,920", "596,049,921")) == text
    with pytest.raises(ValueError, match="0 places for machines"):
        TABLES.page(text.replace("<!-- machines:", "<!-- engines:"))


def test_every_student_that_the_page_recommends_is_in_its_tables():
    named = set(re.findall(r"`([\w.-]+/[\w.-]+)`", text_of("students.md")))
    files = {name for name in named if (ROOT / name).exists()}
    assert named - files == {base.name for base in BASES}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        if not link.startswith("https://"):
            assert (ROOT / "docs" / link.partition("#")[0]).is_file(), link


def test_the_python_of_the_course_page_runs_on_the_offline_teacher():
    blocks = [block for block in blocks_of("curso.md") if "runs/label" not in block]
    assert len(blocks) >= 5
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile("\n".join(blocks), "docs/curso.md", "exec"), {})
    assert "Felicidade" in said.getvalue()


def test_the_first_commands_of_the_course_page_work_in_an_empty_folder(
    tmp_path, monkeypatch, capsys
):
    """Those that need neither key nor shots: rows in, a few of them labelled and shown."""
    monkeypatch.chdir(tmp_path)
    block = re.findall(r"```bash\n(.*?)```", text_of("curso.md"), re.DOTALL)[0]
    typed = [line for line in block.splitlines() if line != "understudy doctor"]
    assert len(typed) == 3
    for line in typed:
        words = shlex.split(line)
        if words[0] == "python":
            monkeypatch.setattr(sys, "argv", ["generate", *words[3:]])
            runpy.run_module(words[2], run_name="__main__")
            continue
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    said = capsys.readouterr().out
    assert "2130 new examples" in said
    assert "16 rows in understudy.db, 0 failed" in said


def test_every_name_that_the_course_page_imports_exists():
    for block in blocks_of("curso.md"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                if "load_student" not in {one.name for one in node.names}:
                    assert all(hasattr(module, one.name) for one in node.names)
