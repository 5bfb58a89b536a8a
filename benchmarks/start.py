"""What the small install costs: processor time to import it and to show its help, and its size.

    python -m benchmarks.start [--quick]

Each program starts several times in a process of its own; the least processor time counts. The size
is that of this package and of all that its core dependencies bring, as installed, without pip.
The last line is one JSON object {"import_cpu_s", "help_cpu_s", "installed_mb"}.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
ROOMS = "import understudy.chains, understudy.distill, understudy.store"
HELP = (
    "import sys; from understudy.distill.cli import main; "
    "sys.argv = ['understudy', '--help']; main()"
)


def cpu_seconds(code: str, *, times: int) -> float:
    """The least processor time, user and system, that a new interpreter takes for the code."""
    found = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


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


def megabytes(names: set[str]) -> dict[str, float]:
    """The size of the files of each distribution; this package's are those of its rooms."""
    sizes = {}
    for name in names:
        files = importlib.metadata.files(name) or []
        sizes[name] = sum(os.path.getsize(f.locate()) for f in files if f.locate().is_file()) / 1e6
    rooms = [
        file
        for room in ("chains", "store", "distill", "examples")
        for file in (ROOT / room).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    return sizes | {"understudy": sum(file.stat().st_size for file in rooms) / 1e6}


def main() -> None:
    """Measure, print, and end with one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="start each program twice")
    times = 2 if parser.parse_args().quick else 9
    imported, shown = cpu_seconds(ROOMS, times=times), cpu_seconds(HELP, times=times)
    sizes = megabytes(brought())
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


if __name__ == "__main__":
    main()
