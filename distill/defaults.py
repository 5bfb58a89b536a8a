"""What the command line assumes where it is not told: data, students, their base, the extras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Which extra brings a package that the small install lacks.
EXTRAS = {
    "datasketch": "evaluate",
    "jinja2": "evaluate",
    "matplotlib": "evaluate",
    "numpy": "evaluate",
    "sklearn": "evaluate",
    "bitsandbytes": "student",
    "huggingface_hub": "student",
    "llguidance": "student",
    "peft": "student",
    "torch": "student",
    "transformers": "student",
    "datasets": "tables",
    "pandas": "tables",
    "pyarrow": "tables",
    "aiohttp": "teachers",
    "genai_prices": "prices",
    "fastapi": "serve",
    "prometheus_client": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "psutil": "train",
    "trl": "train",
}


def own_data(reference: str) -> Path | None:
    """The data file that the task's own module ships, where it does."""
    from ..chains.loading import load_attribute
    from ..chains.task import TaskError

    where = reference.rpartition(":")[0] or reference
    try:
        data = load_attribute(f"{where}:data", default="data")
    except TaskError:
        return None
    return Path(data) if isinstance(data, str | Path) else None


def finished_students(folder: Path, task: str) -> list[Path]:
    """The run folders of the task's students whose training has ended."""
    from ..chains.student.card import read_card

    found = [card.parent for card in sorted(folder.glob("*/understudy.json"))]
    return [run for run in found if read_card(run).task == task]


def base_of(students: Sequence[Path]) -> str | None:
    """The base that the first of the students grew from."""
    from ..chains.student.card import read_card

    return read_card(students[0]).base if students else None
