"""What the command line assumes: the data of a task that ships some, the extra of a package."""

from __future__ import annotations

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
