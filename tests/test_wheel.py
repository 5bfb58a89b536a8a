"""What people install: the sdist and the wheel hold everything, and harm nobody's own folders."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("chains", "distill", "examples", "store")

pytestmark = pytest.mark.slow


def tree() -> list[str]:
    """The files of a clean checkout: what git tracks, and what it would if it were added."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def build(hook: str, source: Path, out: Path) -> Path:
    """Call one of setuptools' PEP 517 hooks, as pip would, but without asking an index."""
    out.mkdir(exist_ok=True)
    code = f"import sys; from setuptools import build_meta; build_meta.{hook}(sys.argv[1])"
    command = [sys.executable, "-c", code, str(out)]
    subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    for name in tree():
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "checkout" / name)
    return build("build_sdist", folder / "checkout", folder / "sdist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("build_wheel", next(folder.iterdir()), folder / "dist")


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed, alone."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True, timeout=60)
    return folder


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Somebody's application, which has rooms of the same names."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(f"OWNER = 'app {room}'\n")
    return tmp_path


def run_beside(app: Path, site: Path, *arguments: str) -> str:
    """Run Python in the app's folder with the wheel's copy of understudy.

    `-S` leaves out .pth files, and with them the editable install: a file that the wheel lacks
    cannot be found in the checkout instead.
    """
    paths = [str(site), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=app,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    wanted = [f"understudy/{name}" for name in tree() if name.split("/")[0] in ROOMS]
    assert sorted(names) == sorted(wanted)


def test_the_wheel_holds_what_a_demo_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    weights = {
        f"understudy/examples/base/weights/{name}"
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    typed = {f"understudy/{room}/py.typed" for room in ROOMS}
    assert weights | typed | {"understudy/examples/news/wild.csv"} <= names


def test_the_wheel_carries_its_licence_and_its_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA")).split("/")[0]
    assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert b"understudy = understudy.distill.cli:main" in archive.read(f"{info}/entry_points.txt")


def test_the_sdist_can_be_checked_by_whoever_unpacks_it(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "constraints.txt", "scripts/setup.sh"} <= names
    assert {name for name in tree() if name.startswith("tests/")} <= names
    assert [name for name in names if name.startswith("typings")] == []


def test_an_app_with_folders_of_the_same_names_keeps_its_own(app: Path, site: Path) -> None:
    code = (
        "import chains, distill, examples, store\n"
        "import understudy.chains, understudy.distill, understudy.examples, understudy.store\n"
        "from understudy.distill.labelling import limits\n"
        "print(chains.OWNER, distill.OWNER, examples.OWNER, store.OWNER, sep='\\n')\n"
        "print(understudy.chains.__file__, understudy.store.__file__, limits.__file__, sep='\\n')"
    )
    assert run_beside(app, site, "-c", code).splitlines() == [
        *(f"app {room}" for room in ROOMS),
        str(site / "understudy" / "chains" / "__init__.py"),
        str(site / "understudy" / "store" / "__init__.py"),
        str(site / "understudy" / "distill" / "labelling" / "limits.py"),
    ]


def test_the_wheels_copy_wins_over_a_checkout_that_is_installed_too(app: Path, site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import understudy.store as s; print(s.__file__)"],
        cwd=app,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert Path(done.stdout.strip()) == site / "understudy" / "store" / "__init__.py"


def test_the_command_line_runs_from_any_folder(app: Path, site: Path) -> None:
    assert "distill" in run_beside(app, site, "-m", "understudy.distill.cli", "--help")


def test_the_embedded_base_and_the_templates_are_found_in_the_wheel(app: Path, site: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "from understudy.chains.student.weights import base_folder\n"
        "print(base_folder('embedded'))\n"
        "print(*sorted(f.name for f in files('understudy.distill.templates').iterdir()))"
    )
    folder, templates = run_beside(app, site, "-c", code).splitlines()
    assert Path(folder) == site / "understudy" / "examples" / "base" / "weights"
    mine = {path.name for path in (ROOT / "distill" / "templates").glob("*.jinja")}
    assert mine
    assert mine <= set(templates.split())


@pytest.mark.needs_posix
def test_the_wheels_demo_labels_trains_and_stops_cleanly_in_somebodys_app(
    app: Path, site: Path
) -> None:
    """As far as the first training steps of both students, then Ctrl-C; `make demo` does it all."""
    paths = [str(site), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    demo = subprocess.Popen(
        [sys.executable, "-S", "-m", "understudy.distill.cli", "demo"],
        cwd=app,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    logs = [app / "demo" / "runs" / t / "training_log.jsonl" for t in ("label", "reason_label")]
    deadline = time.monotonic() + 200
    while not all(log.is_file() and log.stat().st_size for log in logs):
        assert demo.poll() is None, demo.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    os.killpg(demo.pid, signal.SIGINT)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert said.strip().splitlines()[-1].startswith("understudy: stopped")
    assert "Traceback" not in said
    store = sqlite3.connect(app / "demo" / "demo.db")
    examples, labels = (
        store.execute(f"select count(*) from {table}").fetchone()[0]
        for table in ("examples", "records")
    )
    store.close()
    assert examples == labels > 2000
