"""What this machine has, what it lacks and which command adds it: for `understudy doctor`.

Of the environment only the names in `KEYS` are told, and whether they are set: never a value.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..store.file_systems import shared_drive
from ..store.schema import sqlite_lack
from .bases import BASES, DEFAULT_BASE
from .defaults import EXTRAS
from .fits import ROWS, TOKENS, fit
from .training.hardware import Hardware, choose, found
from .training.recipes import RECIPES

# What the extra `teachers` brings besides: no command asks for them by name.
PACKAGES = {**EXTRAS, "langchain": "teachers", "langchain_openai": "teachers"}
KEYS = (
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY"),
    *("DEEPSEEK_API_KEY", "COHERE_API_KEY", "TOGETHER_API_KEY", "FIREWORKS_API_KEY"),
    *("XAI_API_KEY", "PPLX_API_KEY", "OPENROUTER_API_KEY", "NVIDIA_API_KEY", "UPSTAGE_API_KEY"),
    *("AZURE_OPENAI_API_KEY", "HUGGINGFACEHUB_API_TOKEN"),
    *("HF_TOKEN", "LANGSMITH_API_KEY", "UNDERSTUDY_API_KEY"),
)
PYTHONS = ((3, 11), (3, 14))  # from the first to below the second


def diagnosis(store: Path, *, rows: int = ROWS, tokens: int = TOKENS) -> dict[str, Any]:
    """Everything as JSON data; sizes in bytes. `problems` are what nothing works with.

    `students` are estimates for a training on `rows` of `tokens` each, with this machine's rate as
    a short product of matrices shows it. Writes and removes a small file beside `store`.
    """
    sqlite, place, extras = _sqlite(), _store(store), _extras()
    missing = sorted(name for name, lacking in extras.items() if lacking)
    device, hardware, rate = _device()
    return {
        "understudy": importlib.metadata.version("understudy"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "sqlite": sqlite,
        "store": place,
        "memory": memory(),
        "device": device,
        "extras": extras,
        "install": install_command(missing) if missing else None,
        "keys": {name: bool(os.environ.get(name)) for name in KEYS},
        "tracing": _traced(),
        "students": _students(hardware, rate, rows, tokens) if hardware else [],
        "rows": rows,
        "tokens": tokens,
        "problems": list(filter(None, (_python_lack(), sqlite["lack"], place["lack"]))),
    }


def install_command(extras: list[str]) -> str:
    """The command that adds these extras; uv's where the environment has no pip."""
    own = importlib.util.find_spec("pip") is not None or shutil.which("uv") is None
    return f'{"pip" if own else "uv pip"} install "understudy[{",".join(extras)}]"'


def memory() -> int | None:
    """Bytes of memory, a container's limit where there is one; None where nothing tells."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    elif importlib.util.find_spec("psutil"):
        import psutil

        total = int(psutil.virtual_memory().total)
    else:
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def rate_of(device: str, precision: str) -> float:
    """Operations a second of a product of matrices on `device`, the best of a few."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    size = 1024 if device == "cpu" else 4096
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)
    taken = []
    for _ in range(4):
        wait()
        begun = time.perf_counter()
        torch.mm(matrix, matrix)
        wait()
        taken.append(time.perf_counter() - begun)
    return float(2 * size**3 / min(taken))


def _device() -> tuple[dict[str, Any], Hardware | None, float | None]:
    """What a training would run on; without torch a CPU is assumed, and nothing timed."""
    recipe = RECIPES["default"]
    shape = next(base.shape for base in BASES if base.name == DEFAULT_BASE)
    lacking = [name for name in ("torch", "psutil") if importlib.util.find_spec(name) is None]
    if lacking:
        total = memory()
        assumed = None
        if total is not None:
            assumed = Hardware(device="cpu", name="a CPU", bf16=False, memory=total)
        return {"lack": f"no {' and no '.join(lacking)}: no GPU was looked for"}, assumed, None
    hardware = found()
    choice = choose(hardware, recipe, shape=shape, longest=TOKENS)
    paged = choose(hardware, RECIPES["notebook"], shape=shape, longest=TOKENS)
    rate = rate_of(hardware.device, choice.precision)
    told = {
        "lack": None,
        "device": hardware.device,
        "name": hardware.name,
        "memory": hardware.memory,
        "bitsandbytes": sorted(hardware.bitsandbytes),
        "flash_attention": hardware.flash_attention,
        "choice": choice.line,
        "fallbacks": list(dict.fromkeys((*choice.notes, *paged.notes))),
        "operations_per_second": round(rate),
    }
    return told, hardware, rate


def _students(
    hardware: Hardware, rate: float | None, rows: int, tokens: int
) -> list[dict[str, Any]]:
    return [
        asdict(fit(base, hardware, rows=rows, tokens=tokens, rate=rate))
        | {"licence": base.licence, "gated": base.gated, "page": base.page}
        for base in BASES
    ]


def _extras() -> dict[str, list[str]]:
    """Which packages each extra lacks."""
    lacking: dict[str, list[str]] = {name: [] for name in sorted(set(PACKAGES.values()))}
    for package, extra in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            lacking[extra].append(package)
    return lacking


def _python_lack() -> str | None:
    first, beyond = PYTHONS
    if first <= sys.version_info[:2] < beyond:
        return None
    return (
        f"this is Python {platform.python_version()}; understudy takes 3.{first[1]} to "
        f"3.{beyond[1] - 1}: make an environment with one of those"
    )


def _sqlite() -> dict[str, Any]:
    lack = sqlite_lack(sqlite3.sqlite_version_info)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("create virtual table found using fts5(text)")
        except sqlite3.OperationalError:
            lack = lack or "this Python's SQLite has no full-text search (FTS5); use another Python"
    return {"version": sqlite3.sqlite_version, "lack": lack}


def _store(path: Path) -> dict[str, Any]:
    """Whether the place of the store can be written, and takes a write-ahead log: it is tried."""
    path = path.absolute()
    folder = next(one for one in path.parents if one.is_dir())
    drive = shared_drive(path)
    mode, lack = None, None
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".understudy-doctor-") as place,
            contextlib.closing(sqlite3.connect(Path(place) / "tried.db")) as connection,
        ):
            (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
            connection.execute("create table tried (number integer)")
    except (OSError, sqlite3.Error):
        lack = f"{folder} cannot be written; give --store a path in another folder"
    return {
        "path": str(path),
        "exists": path.is_file(),
        "write_ahead_log": mode == "wal" and drive is None,
        "shared_drive": drive,
        "disk_free": shutil.disk_usage(folder).free,
        "lack": lack,
    }


def _traced() -> bool:
    if importlib.util.find_spec("langsmith") is None:
        return False
    from langsmith.utils import tracing_is_enabled

    return bool(tracing_is_enabled())
