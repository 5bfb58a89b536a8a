"""What the small install costs: processor time to import it and to show its help, and its size.

    python -m benchmarks.start [--quick]

`pip install .` of the core alone goes into a new environment in a temporary folder, and that one is
measured; where pip cannot install it (no registry in reach) the line above the figures says so and
the present environment is measured, of which only what the core brings counts. Each program starts
several times in a process of its own; the least processor time counts. The size is that of all
files as installed, with their compiled ones, without pip, which every environment has. `--quick`
measures the present environment. The last line is one JSON object {"import_cpu_s",
"help_cpu_s", "installed_mb"}.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("chains", "distill", "examples", "store", "scripts", "pyproject.toml", "README.md")
ROOMS = "import understudy.chains, understudy.distill, understudy.store"
HELP = (
    "import sys; from understudy.distill.cli import main; "
    "sys.argv = ['understudy', '--help']; main()"
)
AT_THE_END = (
    "import atexit, sys, time; "
    "atexit.register(lambda: print(time.process_time(), file=sys.stderr)); "
)


def main() -> None:
    """Measure, print, and end with one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="the present environment, each program twice"
    )
    quick = parser.parse_args().quick
    if quick:
        measure(*present(), times=2)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        refused = small_install(Path(folder) / "small")
        if refused is None:
            measure(*clean(Path(folder) / "small"), times=9)
        else:
            print(f"pip cannot install the core by itself: {refused}")
            measure(*present(), times=9)


def measure(python: Path, sizes: dict[str, float], where: str, *, times: int) -> None:
    """Start the programs, and print all figures."""
    imported, shown = (cpu_seconds(python, code, times=times) for code in (ROOMS, HELP))
    print(f"measured in {where}, Python {sys.version.split()[0]}")
    print(f"import of the three rooms   {imported:6.2f} CPU-s")
    print(f"understudy --help           {shown:6.2f} CPU-s")
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1])[:8]:
        print(f"  {name:25} {size:6.1f} MB")
    print(f"  {f'all {len(sizes)}':25} {sum(sizes.values()):6.1f} MB")
    figures = {
        "import_cpu_s": round(imported, 3),
        "help_cpu_s": round(shown, 3),
        "installed_mb": round(sum(sizes.values()), 1),
    }
    print(json.dumps(figures))


def cpu_seconds(python: Path, code: str, *, times: int) -> float:
    """The least processor time, user and system, that a new interpreter takes for the code."""
    found = []
    for _ in range(times):
        before = _of_children()
        ended = subprocess.run(
            [python, "-I", "-c", AT_THE_END + code],  # what lies beside it is no package
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        at_the_end = float(ended.stderr.splitlines()[-1])
        found.append(at_the_end if before is None else (_of_children() or 0.0) - before)
    return min(found)


def _of_children() -> float | None:
    """Processor seconds of the children that have ended; None on Windows, which keeps no sum."""
    if sys.platform == "win32":
        return None
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def small_install(folder: Path) -> str | None:
    """`pip install .` of a copy of this package into a new environment; why not, where not."""
    source = folder.with_name("source")
    source.mkdir()
    for name in SOURCES:
        here, there = ROOT / name, source / name
        if here.is_dir():
            shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(here, there)
    shutil.copy(ROOT / "LICENSE", source)
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", python_of(folder)]
    ended = subprocess.run(
        [*pip, "--disable-pip-version-check", "--no-input", "install", "--quiet", source],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = map(str.strip, ended.stderr.splitlines())
    errors = [line for line in lines if line.startswith("ERROR")]
    return None if ended.returncode == 0 else (errors or ["it says nothing"])[-1]


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def clean(folder: Path) -> tuple[Path, dict[str, float], str]:
    """The new environment: its interpreter, and the size of each distribution in it."""
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    told = subprocess.run(
        [python_of(folder), "-c", asked], capture_output=True, text=True, check=True
    )
    found = importlib.metadata.distributions(path=[told.stdout.strip()])
    sizes = {one.name: _size(one.files or []) for one in found if one.name != "pip"}
    return python_of(folder), sizes, "a new environment of the core alone"


def present() -> tuple[Path, dict[str, float], str]:
    """This environment: its interpreter, and the sizes of what the core brings."""
    sizes = {name: _size(importlib.metadata.files(name) or []) for name in brought()}
    rooms = [
        file
        for room in ("chains", "distill", "examples", "store")
        for file in (ROOT / room).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    sizes["understudy"] = sum(file.stat().st_size for file in rooms) / 1e6
    return Path(sys.executable), sizes, "the present environment"


def brought() -> set[str]:
    """The names of the core's dependencies and of all that these bring, in their plain form."""
    names, waiting = set(), {"understudy"}
    while waiting:
        name = waiting.pop()
        names.add(name)
        for line in importlib.metadata.requires(name) or []:
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                plain = re.sub(r"[-_.]+", "-", asked.name).lower()
                waiting |= {plain} - names
    return names - {"understudy", "pip"}


def _size(files: Iterable[importlib.metadata.PackagePath]) -> float:
    """Megabytes of the files that are there."""
    return sum(os.path.getsize(f.locate()) for f in files if Path(str(f.locate())).is_file()) / 1e6


if __name__ == "__main__":
    main()
