"""The Makefile takes the variables that it knows, and says which it does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> tuple[int, str, str]:
    """(status, standard output, standard error) of a make that no other make has started."""
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def variables() -> list[str]:
    (listed,) = re.findall(r"^VARIABLES = ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    return [*listed.replace("\\\n", " ").split(), "PYTEST_ARGS"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("TSK=x",), "TSK"),
        (("task=x",), "task"),
        (("CC=gcc", "TASK=mine.py:task"), "CC"),
        (("STORES=a b 'c' \"d\"", "A:=1"), "A STORES"),
        (("-j4", "PYTEST_ARG=-k store"), "PYTEST_ARG"),
    ],
)
@pytest.mark.parametrize("target", [(), ("help",), ("distill",), ("test", "check")])
def test_a_misspelt_variable_is_one_line_and_nothing_is_made(
    given: tuple[str, ...], named: str, target: tuple[str, ...]
) -> None:
    status, out, error = make(*target, *given)
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert f"not known here: {named}; the variables are TASK DATA STORE" in error
    assert all(re.search(rf"\b{name}\b", error) for name in variables())


def test_every_variable_that_a_recipe_reads_is_known_and_every_known_one_is_read() -> None:
    read = set(re.findall(r"\$\$\{?([A-Z_]+)", MAKEFILE)) | {"PYTEST_ARGS"}
    for script in (ROOT / "scripts").glob("*.sh"):  # these two ask for an interpreter
        read |= {"PYTHON", "UV"} & set(re.findall(r"\$\{([A-Z]+)", script.read_text()))
    assert sorted(variables()) == sorted(read)


def test_what_is_known_is_taken_with_any_value_and_with_jobs() -> None:
    status, out, error = make("-j2", "help", *(f"{name}=a 'b' \"c\" d" for name in variables()))
    assert (status, error) == (0, "")
    assert "make TARGET" in out


def test_the_environment_and_the_variables_of_a_make_above_are_nobodys_mistake(
    tmp_path: Path,
) -> None:
    (tmp_path / "Makefile").write_text(f"all:\n\t@$(MAKE) -C '{ROOT}' help OTHER=2\n")
    assert make("help", TSK="x", CC="gcc", MAKEFLAGS="-j2")[0] == 0
    status, out, error = make("-j2", "FLAGS=-O2", "CC=gcc", folder=tmp_path)
    assert (status, "make TARGET" in out, error) == (0, True, "")
