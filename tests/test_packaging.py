"""The folders at the root, the installed package, the pins and the make targets agree."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("chains", "distill", "examples", "store")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("room", ROOMS)
def test_the_installed_room_is_the_folder_at_the_root(room: str) -> None:
    spec = importlib.util.find_spec(f"understudy.{room}")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == ROOT / room / "__init__.py"


@pytest.mark.parametrize("room", ROOMS)
def test_the_type_checkers_link_leads_to_the_room(room: str) -> None:
    link = ROOT / "typings" / "understudy" / room
    if not link.is_symlink():
        pytest.skip("this checkout has no symbolic links")
    assert link.resolve() == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_marked_as_typed(room: str) -> None:
    assert (ROOT / room / "py.typed").is_file()


def test_every_folder_with_modules_is_a_listed_package() -> None:
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    names = {".".join(("understudy", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert sorted(names) == sorted(PYPROJECT["tool"]["setuptools"]["packages"])


def test_every_declared_dependency_is_pinned_within_its_range() -> None:
    project = PYPROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    requirements = [Requirement(line) for line in [*project["dependencies"], *extras]]
    pinned = {name.lower().replace("_", "-"): version for name, version in pins().items()}
    loose = {
        f"{wanted} is pinned to {pinned.get(wanted.name)}"
        for wanted in requirements
        if wanted.name != "understudy"
        and not wanted.specifier.contains(pinned.get(wanted.name, "0"))
    }
    assert loose == set()


def test_pins_are_exact_and_sorted_so_that_a_diff_shows_one_line() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    paragraphs = "\n".join(line for line in lines if not line.startswith("#")).split("\n\n")
    for paragraph in paragraphs:
        names = paragraph.split()
        assert [n for n in names if not re.fullmatch(r"[\w.-]+==[\w.]+", n)] == []
        assert names == sorted(names, key=str.lower)


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A folder with the Makefile and an `understudy` that prints its arguments as JSON."""
    folder = tmp_path / "a folder, isn't it"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup.sh", ".venv/ready"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0) if name != ".venv/ready" else None)
    script = folder / ".venv" / "bin" / "understudy"
    script.write_text("#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    script.chmod(0o755)
    return folder


def make(folder: Path, *arguments: str) -> list[str]:
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said: list[str] = json.loads(done.stdout)
    return said


@pytest.mark.needs_posix
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_passes_spaces_and_quotes_and_only_what_was_given(stage: Path) -> None:
    assert make(stage, "distill") == ["distill"]
    assert make(stage, "distill", 'TASK=my "own" task\'s.py:task', "DATA=a b.csv") == [
        "distill",
        *("--task", 'my "own" task\'s.py:task'),
        *("--data", "a b.csv"),
    ]
    assert make(stage, "distill", "SPLIT_COLUMN=my split", "BASE_URL=http://[::1]:8080/v1") == [
        *("distill", "--split-column", "my split"),
        *("--base-url", "http://[::1]:8080/v1"),
    ]
    assert make(stage, "distill", "PLAN=1", "STRATEGY=cot", "SHOTS=a b.csv", "MAX_USD=2") == [
        *("distill", "--strategy", "cot", "--shots", "a b.csv"),
        *("--plan", "--max-usd", "2"),
    ]
    assert make(stage, "train", "STUDENT=embedded", "TARGET=label", "RUN=runs/a b", "SEED=3") == [
        *("train", "--student", "embedded", "--target", "label"),
        *("--out", "runs/a b", "--seed", "3"),
    ]


@pytest.mark.needs_posix
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_evaluate_takes_several_runs_or_one_with_a_space(stage: Path) -> None:
    two = make(stage, "evaluate", "RUN=runs/a runs/b")
    assert two == ["evaluate", "--run", "runs/a", "--run", "runs/b"]
    (stage / "runs" / "a b").mkdir(parents=True)
    assert make(stage, "evaluate", "RUN=runs/a b") == ["evaluate", "--run", "runs/a b"]


def test_every_marker_is_worn_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py"))
    markers = [line.split(":")[0] for line in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    assert [marker for marker in markers if f"pytest.mark.{marker}" not in tests] == []


@pytest.mark.needs_posix
@pytest.mark.skipif(not (ROOT / ".ci" / "run").is_file(), reason="an sdist carries no .ci")
@pytest.mark.parametrize(
    ("failing", "status", "asked"),
    [
        ("nothing", 0, ["check", "demo", "promises", "demo", "promises --resumed"]),
        ("check", 1, ["check", "demo", "promises", "demo", "promises --resumed"]),
        ("promises", 1, ["check", "demo", "promises"]),
        ("promises --resumed", 1, ["check", "demo", "promises", "demo", "promises --resumed"]),
    ],
)
def test_ci_checks_the_code_and_the_promises_of_two_demos(
    tmp_path: Path, failing: str, status: int, asked: list[str]
) -> None:
    """With a `make`, a Python and a browser that only write down what they are asked."""
    log = tmp_path / "asked"
    for name in (".ci", "bin", ".venv/bin", "demo"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    told = f'echo "$asked" >>"{log}"; [ "$asked" != "{failing}" ]\n'
    look = f'[ "$CI $UNDERSTUDY_CHROMIUM" = "true {tmp_path}/bin/chromium" ] || exit 9\n'
    commands = {
        "bin/make": f'#!/bin/sh\n{look}asked="$*"; {told}',
        "bin/chromium": "#!/bin/sh\n",
        ".venv/bin/python": f'#!/bin/sh\nset -- $*; shift 3; asked="promises${{*:+ $*}}"; {told}',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        [tmp_path / ".ci" / "run"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, log.read_text().splitlines()) == (status, asked)
    assert not (tmp_path / "demo").exists()
