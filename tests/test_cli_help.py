"""Every command explains itself: an example that can be typed, and a word on every option."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.distill.cli import app
from understudy.distill.commands.examples import EXAMPLES, epilog

ROOT = Path(__file__).parents[1]
reference: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "reference.py")))
COMMANDS: dict[str, Any] = dict(reference.commands())
LINES = [(name, line) for name, lines in EXAMPLES.items() for line in lines]
WIDEST = 80  # columns of a terminal; what is wider is broken where it is copied from


def test_every_command_has_an_example_and_every_example_a_command():
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line for _, line in LINES])
def test_an_example_can_be_typed_as_it_stands(name, line):
    words = shlex.split(line.partition(" > ")[0])
    given = words[1 + len(name.split()) :]
    assert words == ["understudy", *name.split(), *given]
    assert len(line) <= WIDEST
    COMMANDS[name].make_context(name, given)  # raises where a word is not understood


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_argument_and_option_says_what_it_is(name):
    assert (COMMANDS[name].help or "").strip()
    silent = [p.name for p in COMMANDS[name].params if not (p.help or "").strip()]
    assert silent == []


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_help_of_a_command_ends_with_its_examples(name, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.setenv("COLUMNS", "120")
    said = CliRunner().invoke(app, [*name.split(), "--help"])
    assert said.exit_code == 0
    shown = re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", said.output))
    for line in EXAMPLES[name]:
        assert line in shown


def test_a_command_without_an_example_has_no_epilog():
    assert epilog("nothing") is None
    assert epilog("why") == "Example:\n\nunderstudy why 17 --store app.db"


def test_the_reference_is_what_the_code_says():
    for file, text in reference.pages().items():
        page = ROOT / "docs" / "reference" / file
        assert page.read_text(encoding="utf-8") == text, "run python scripts/reference.py"


def test_the_shell_completes_commands(monkeypatch):
    from typer.testing import CliRunner

    said = CliRunner().invoke(app, ["--help"])
    assert "--install-completion" in said.output
