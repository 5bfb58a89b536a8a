"""The benchmark of the small install measures a new environment, or says which one it measured."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.start")


@pytest.fixture
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that reads no settings and reaches nothing."""
    for name, value in {
        "PIP_CONFIG_FILE": "/nowhere" if sys.platform != "win32" else "NUL",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)


def test_without_a_registry_the_reason_is_one_line_and_names_what_was_not_found(
    start: Any, no_registry: None, tmp_path: Path
) -> None:
    reason = start.small_install(tmp_path / "small")
    assert reason.startswith("ERROR: ")
    assert "\n" not in reason
    assert "setuptools" in reason


def test_a_new_environment_is_measured_by_its_own_files_and_interpreter(
    start: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    start.venv.create(folder, with_pip=False)
    site = Path(
        subprocess.run(
            [
                start.python_of(folder),
                "-c",
                "import sysconfig; print(sysconfig.get_path('purelib'))",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    for name in ("one", "pip"):
        (site / f"{name}.py").write_text("x = 1\n" * 100_000, encoding="utf-8", newline="\n")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{name}.py,,\n{name}-gone.py,,\n")
    python, sizes, where = start.clean(folder)
    assert sizes == {"one": 0.6}
    assert where == "a new environment of the core alone"
    assert 0 < start.cpu_seconds(python, "import one", times=1) < 30
    with pytest.raises(subprocess.CalledProcessError):
        start.cpu_seconds(python, "import understudy", times=1)


def test_the_figures_are_the_last_line(
    start: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "ROOMS", "pass")
    monkeypatch.setattr(start, "HELP", "pass")
    start.measure(Path(sys.executable), {"a": 1.26, "b": 2.0}, "a place", times=1)
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("measured in a place, Python 3.")
    assert json.loads(last)["installed_mb"] == 3.3
