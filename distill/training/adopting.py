"""An adapter that was trained elsewhere, checked as a training's rows are, gets its card here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.card import CARD_FILE, StudentCard, StudentError, read_card, write_card
from ...chains.student.weights import (
    ADAPTER_FILE,
    base_folder,
    base_sha256,
    load_base,
    load_tokenizer,
    merged_model,
)
from ...chains.task import Target, Task
from ...store.store import Store
from .cards import MODEL_CARD, student_card
from .dataset import Encoded, tokenised
from .lesson import Lesson, prepare
from .preflight import TrainingError, preflight
from .qlora import quiet

CONFIG_FILE = "adapter_config.json"
_MORE = ("auto_mapping", "modules_to_save", "trainable_token_indices")
_COMPARED = 8  # rows whose loss tells which base the adapter was trained on
_UNKNOWN = (
    "teacher",
    "teacher_terms",
    "rows",
    "epochs",
    "learning_rate",
    "seed",
    "losses",
    "versions",
)


def adopt(
    task: Task,
    store: Store,
    folder: Path,
    *,
    target: Target = "label",
    base: str | None = None,
    teacher_run: str | None = None,
    quantised: bool | None = None,
) -> dict[str, Any]:
    """Make the PEFT folder `folder` a student of `task`: our card is written beside its adapter.

    The adapter must be LoRA in safetensors with linear target modules that the base has; `base`
    None takes the one its config names. The task's rows pass the same preflight as for a training,
    with the folder's own tokenizer where it has one; which blocks the adapter reaches is taken as
    it is (many adapt q_proj and v_proj alone). peft does not keep whether the base was
    quantised: `quantised` None takes the form of the base, NF4 or as it comes, on which the adapter
    has the lower loss on a few of those rows. Returns the card's facts, in which `unknown` names
    what nobody here can know. Nothing of the folder is changed or executed.

    Raises TrainingError and StudentError.
    """
    config = checked_config(folder)
    if (folder / CARD_FILE).is_file():
        raise TrainingError(f"{folder} is a student already: {read_card(folder).name}")
    base = base or _named_base(config, folder)
    lesson = prepare(task, store, base=base, target=target, teacher_run=teacher_run)
    encoded = _own_tokens(task, lesson, folder, base, target)
    _check_modules(config, base_folder(base))
    losses = {}
    if quantised is None:
        losses = _losses(folder, base, encoded)
        quantised = losses["nf4"] < losses["as it comes"]
    facts = {
        "adopted": True,
        "quantised": quantised,
        "quantised_told": not losses,
        "base_losses": losses,
        "base_sha256": base_sha256(base),
        "checked_rows": len(lesson.taught.rows),
        "checked_run": lesson.teacher.id,
        "adapter_config": _kept(config),
        "unknown": list(_UNKNOWN),
    }
    _write(task, folder, base, target, facts)
    return facts


def checked_config(folder: Path) -> dict[str, Any]:
    """The adapter's config, if it is one that a student can be. Raises TrainingError."""
    path = folder / CONFIG_FILE
    config = _read_config(path)
    if not (folder / ADAPTER_FILE).is_file():
        pickled = " (its .bin is a pickle, which may execute anything)" if _pickled(folder) else ""
        raise TrainingError(
            f"{folder} has no {ADAPTER_FILE}{pickled}; save the adapter as safetensors"
        )
    for name, allowed in {"peft_type": ("LORA",), "task_type": ("CAUSAL_LM", None)}.items():
        if config.get(name) not in allowed:
            raise TrainingError(f"{path}: {name} is {config.get(name)}; only {allowed[0]} serves")
    more = [name for name in _MORE if config.get(name)]
    if more:
        raise TrainingError(
            f"{path}: it has {more[0]}, more than an adapter on linear layers; merge it into its "
            "base there, and serve the merged model"
        )
    if not config.get("target_modules"):
        raise TrainingError(f"{path} names no target_modules; it adapts nothing")
    return config


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TrainingError(f"{path.parent} has no {path.name}; is it a PEFT folder?") from error
    except (ValueError, OSError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise TrainingError(f"{path} is no adapter's config: it holds {type(config).__name__}")
    return config


def _pickled(folder: Path) -> bool:
    return any(folder.glob("*.bin")) or any(folder.glob("*.pt"))


def _named_base(config: Mapping[str, Any], folder: Path) -> str:
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise TrainingError(f"{folder}: its config names no base model; give one (--student)")
    return named


def _own_tokens(
    task: Task, lesson: Lesson, folder: Path, base: str, target: Target
) -> Sequence[Encoded]:
    """The rows as the folder's own tokenizer has them, preflighted again where it has another."""
    if not (folder / "tokenizer.json").is_file():
        return lesson.encoded
    tokenizer = load_tokenizer(folder, str(folder))
    encoded = tokenised(tokenizer, lesson.taught.rows)
    largest = max(max(row["input_ids"]) for row in encoded)
    rows = _vocabulary(base_folder(base))
    if rows is not None and largest >= rows:
        raise TrainingError(
            f"{folder}: its tokenizer writes token {largest}, and the base {base} has {rows}; "
            "give the base that it was trained on"
        )
    if encoded != lesson.encoded:
        context = lesson.preflight.context
        preflight(task, tokenizer, lesson.taught.rows, encoded, target=target, context=context)
    return encoded


def _vocabulary(folder: Path) -> int | None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rows = (config.get("text_config") or config).get("vocab_size")
    return rows if isinstance(rows, int) else None


def _check_modules(config: Mapping[str, Any], folder: Path) -> None:
    """Every target module is the name of a layer of the base, as its weights are called."""
    from safetensors import safe_open

    wanted = config["target_modules"]
    if isinstance(wanted, str):  # a pattern, or all-linear: peft finds the layers itself
        return
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(str(file), framework="pt") as tensors:
            names.update(name.removesuffix(".weight") for name in tensors.keys())  # noqa: SIM118
    for module in sorted(wanted):
        if not any(name == module or name.endswith(f".{module}") for name in names):
            raise TrainingError(
                f"the adapter's target module {module} is not in this base; give the base that it "
                "was trained on (--student)"
            )


def _losses(folder: Path, base: str, encoded: Sequence[Encoded]) -> dict[str, float]:
    """The adapter's mean loss on the completions of a few rows, by the form of its base."""
    import torch
    from safetensors import SafetensorError

    with quiet():
        from peft import PeftModel  # it loads bitsandbytes, which tells of what it lacks

    misfits = (OSError, RuntimeError, SafetensorError, TypeError, ValueError, KeyError)
    losses = {}
    for name, quantised in (("nf4", True), ("as it comes", False)):
        with quiet(), torch.inference_mode():
            model, _ = load_base(base, quantised=quantised)
            model = model.dequantize() if quantised else model
            try:
                model = PeftModel.from_pretrained(model.float(), str(folder)).eval()
            except misfits as error:
                line = str(error).strip().splitlines()[0][:200]
                raise TrainingError(
                    f"{folder}: its adapter does not fit its base: {line}"
                ) from error
            losses[name] = _loss(model, encoded[:_COMPARED])
    return losses


def _loss(model: Any, rows: Sequence[Encoded]) -> float:
    import torch

    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row["input_ids"]], device=model.device)
        mask = torch.tensor(row["completion_mask"][1:], dtype=torch.bool)
        scores = model(ids, use_cache=False).logits[0, :-1][mask].float()
        wanted = ids[0, 1:][mask]
        total += float(torch.nn.functional.cross_entropy(scores, wanted, reduction="sum"))
        count += len(wanted)
    return total / count


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "use_rslora")
    return {name: config[name] for name in names if name in config}


def _write(task: Task, folder: Path, base: str, target: Target, facts: dict[str, Any]) -> None:
    """Write the cards; where the student then does not load, they are taken back."""
    card = student_card(task, folder, base=base, target=target, training=facts)
    added = []
    if not (folder / "tokenizer.json").is_file():
        files = load_tokenizer(base_folder(base), base).save_pretrained(folder)
        added = [Path(file) for file in files]
    write_card(folder, card)
    try:
        merged_model(folder)
    except StudentError:
        for path in (folder / CARD_FILE, *added):
            path.unlink(missing_ok=True)
        raise
    if not (folder / MODEL_CARD).exists():
        (folder / MODEL_CARD).write_text(_readme(card), encoding="utf-8")


def _readme(card: StudentCard) -> str:
    """What is known of the student, as a block of JSON: nothing in it is read as Markdown."""
    head = {"library_name": "peft", "base_model": card.base, "tags": ["understudy", "distillation"]}
    known = {"name": card.name, "task": card.task, "target": card.target, "base": card.base}
    known |= {"base_sha256": card.base_sha256, **card.training}
    block = json.dumps(known, indent=2, ensure_ascii=False).splitlines()
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value)}" for name, value in head.items()),  # JSON is YAML
            "---",
            "",
            "# An adopted student",
            "",
            "This adapter was trained elsewhere. Who taught it, on which rows and how is not known "
            "here: look that up, and the terms of its teacher, before you pass it on. Known is:",
            "",
            *(f"    {line}" for line in block),
            "",
        ]
    )
