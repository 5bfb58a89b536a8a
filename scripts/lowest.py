"""Print the lowest versions that pyproject.toml allows, as pip takes them. `make test-lowest` asks.

    python scripts/lowest.py teachers prices evaluate

The core's dependencies and those of the extras named, one a line: `pydantic>=2.10,<3` becomes
`pydantic~=2.10.0`, the newest repair of the lowest minor version.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def lowest(extras: list[str]) -> list[str]:
    """One requirement for each dependency, at the lower end of its range."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    asked = list(project["dependencies"])
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    return [_floor(one) for one in asked]


def _floor(requirement: str) -> str:
    found = re.fullmatch(r"([\w.-]+)>=(\d+(?:\.\d+)*),<[\w.]+", requirement)
    if found is None:
        raise SystemExit(f"{requirement}: no range like NAME>=LOW,<HIGH")
    name, version = found.groups()
    parts = version.count(".")
    return f"{name}=={version}.*" if parts == 0 else f"{name}~={version}{'.0' if parts < 2 else ''}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest(sys.argv[1:])) + "\n")
