"""A stranger's run folder is data: to load it, and to ask it, executes nothing from it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.chains import ChatStudent, StudentError


class Opens:
    """Whoever unpickles this opens a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return open, (str(self.mark), "w")


def pickled(folder: Path, mark: Path) -> None:
    """Pickles in the places of weights."""
    for name in ("adapter_model.safetensors", "adapter_model.bin", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Opens(mark)))


def pickled_only(folder: Path, mark: Path) -> None:
    """A pickle, and no other weights."""
    pickled(folder, mark)
    (folder / "adapter_model.safetensors").unlink()


def coded(folder: Path, mark: Path) -> None:
    """Code, and settings that point at it."""
    for name in ("tokenization_evil", "modeling_evil", "configuration_evil"):
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    mapped: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": {
            "tokenizer_class": "Evil",
            "auto_map": {"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]},
        },
        "adapter_config.json": {
            "auto_mapping": {"base_model_class": "Evil", "parent_library": "modeling_evil"}
        },
        "config.json": {
            "model_type": "evil",
            "auto_map": {
                "AutoConfig": "configuration_evil.Evil",
                "AutoModelForCausalLM": "modeling_evil.Evil",
            },
        },
    }
    for name, more in mapped.items():
        file = folder / name
        told = json.loads(file.read_text("utf-8")) if file.exists() else {}
        file.write_text(json.dumps({**told, **more}), encoding="utf-8")


def templated(folder: Path, mark: Path) -> None:
    """A chat template that reaches for Python."""
    reach = "cycler.__init__.__globals__.__builtins__"
    (folder / "chat_template.jinja").write_text(
        f"{{{{ {reach}.open({str(mark)!r}, 'w') }}}}", encoding="utf-8"
    )


@pytest.mark.parametrize("spoil", [pickled, pickled_only, coded, templated])
def test_nothing_in_a_run_folder_is_executed(
    tiny_student: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    folder, mark = tmp_path / "run", tmp_path / "executed"
    shutil.copytree(tiny_student, folder)
    spoil(folder, mark)

    with pytest.raises(StudentError) as told:
        ChatStudent(model=str(folder)).invoke("oi")

    assert not mark.exists()
    assert "\n" not in str(told.value)
