"""The floors of the house: who may import whom, and what must not be loaded to start."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("chains", "distill", "examples", "store")
# A room may import itself and what stands here.
BELOW = {
    "chains": set(),
    "store": set(),
    "examples": {"chains"},
    "distill": {"chains", "store", "examples"},
}
# What the extras bring: `pip install understudy` alone has none of it.
HEAVY = {
    "accelerate",
    "aiohttp",
    "bitsandbytes",
    "datasets",
    "datasketch",
    "fastapi",
    "genai_prices",
    "huggingface_hub",
    "jinja2",
    "langchain",
    "langchain_huggingface",
    "langchain_openai",
    "langgraph",
    "llguidance",
    "markupsafe",
    "matplotlib",
    "numpy",
    "openai",
    "pandas",
    "peft",
    "playwright",
    "prometheus_client",
    "psutil",
    "pyarrow",
    "safetensors",
    "sklearn",
    "starlette",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
    "uvicorn",
}
# Imported although another library is declared: the one named here cannot be without it.
COMES_WITH = {
    "accelerate": "peft",
    "httpx": "langchain-core",
    "langgraph": "langchain",
    "openai": "langchain-openai",
    "huggingface_hub": "transformers",
    "markupsafe": "jinja2",
    "safetensors": "transformers",
    "tokenizers": "transformers",
}
DISTRIBUTIONS = {"sklearn": "scikit-learn"}

FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("understudy", *(part for part in parts if part != "__init__")))


def imported(path: Path, node: ast.AST) -> Iterator[str]:
    """The absolute names that one import statement of `path` asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield node.module or ""
    elif isinstance(node, ast.ImportFrom):
        package = ["understudy", *path.relative_to(ROOT).parent.parts]
        base = ".".join(package[: len(package) - node.level + 1])
        module = f"{base}.{node.module}" if node.module else base
        yield from (f"{module}.{alias.name}" for alias in node.names)


def all_imports(path: Path) -> set[str]:
    return {
        name for node in ast.walk(ast.parse(path.read_bytes())) for name in imported(path, node)
    }


def statements_run_on_import(nodes: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every statement outside functions and outside `if TYPE_CHECKING`."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements_run_on_import(node.orelse)
            continue
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers"):
            yield from statements_run_on_import(getattr(node, inner, []))


def python(code: str) -> str:
    """What a fresh interpreter prints when it runs `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rooms_import_only_from_the_floors_below() -> None:
    wrong = []
    for path in FILES:
        room = path.relative_to(ROOT).parts[0]
        for name in all_imports(path):
            package, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if package == "understudy" and other not in BELOW[room] | {room}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_only_the_command_line_imports_its_own_parts() -> None:
    commands = ROOT / "distill" / "commands"
    callers = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        for name in all_imports(path)
        if name.startswith("understudy.distill.commands.")
        and path != ROOT / "distill" / "cli.py"
        and path.parent != commands
    ]
    assert callers == []
    assert len(list(commands.glob("*.py"))) > 10


def test_rooms_know_each_other_by_relative_imports_only() -> None:
    """A bare `import store` would find the folder, or somebody else's, and load it twice.

    The examples' tasks are written as a user writes them, `from understudy.chains import Task`.
    """
    bare = {*ROOMS, "tests", "benchmarks"}
    wrong = []
    for path in FILES:
        in_examples = path.is_relative_to(ROOT / "examples")
        forbidden = bare if in_examples else bare | {"understudy"}
        for node in ast.walk(ast.parse(path.read_bytes())):
            relative = isinstance(node, ast.ImportFrom) and node.level > 0
            if not relative and any(n.split(".")[0] in forbidden for n in imported(path, node)):
                wrong.append(f"{path.relative_to(ROOT)} has {ast.unparse(node)}")
    assert wrong == []


def test_heavy_libraries_are_imported_inside_functions_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        for node in statements_run_on_import(ast.parse(path.read_bytes()).body)
        for name in imported(path, node)
        if name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_every_module_imports_where_only_the_small_install_is() -> None:
    modules = sorted(module_name(path) for path in FILES)
    python(
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(HEAVY)!r}))\n"
        f"for name in {modules!r}: importlib.import_module(name)"
    )


def test_the_store_knows_no_langchain() -> None:
    loaded = python(
        "import understudy.store, sys\n"
        "print(*sorted(n for n in sys.modules if n.split('.')[0].startswith('langchain')))"
    )
    assert loaded.split() == []


def test_help_starts_without_models_or_langchain() -> None:
    loaded = python(
        "import sys\n"
        "from understudy.distill.cli import main\n"
        "sys.argv = ['understudy', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    shown, _, names = loaded.partition("LOADED")
    assert "distill" in shown
    assert HEAVY.union({"langchain_core", "sqlite_utils"}).intersection(names.split()) == set()


def test_every_imported_library_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    lines = [*project["dependencies"], *extras]
    declared = {re.split(r"[<>=\[]", line)[0].lower().replace("-", "_") for line in lines}
    used = {name.split(".")[0] for path in FILES for name in all_imports(path)}
    libraries = used - set(sys.stdlib_module_names) - {"understudy"}
    missing = {
        name
        for name in libraries
        if DISTRIBUTIONS.get(name, COMES_WITH.get(name, name)).replace("-", "_") not in declared
    }
    assert missing == set()


@pytest.mark.parametrize("room", ["chains", "chains.student", "distill", "store"])
def test_a_room_shows_exactly_its_sorted_public_names(room: str) -> None:
    module = importlib.import_module(f"understudy.{room}")
    tree = ast.parse(Path(str(module.__file__)).read_bytes())
    brought = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level and node.module
        for alias in node.names
    }
    assert module.__all__ == sorted(brought)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
