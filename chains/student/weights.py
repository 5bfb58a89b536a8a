"""A student's weights: the base from the package, a folder or the hub, and the adapter upon it."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .card import CARD_FILE, StudentCard, StudentError, read_card
from .hub import download, hub_card
from .lora import check_all_loaded
from .padding import pad_token
from .quiet import quiet
from .rendering import PLAIN_TEMPLATE, settled

EMBEDDED = "embedded"
ADAPTER_FILE = "adapter_model.safetensors"


@quiet()
def load_base(
    base: str,
    *,
    revision: str | None = None,
    quantised: bool = True,
    eight_bit: bool = False,
    dtype: str | None = None,
    attention: str | None = None,
) -> tuple[Any, Any]:
    """The base model, ready to be trained or served, and its tokenizer.

    `base` is "embedded", a folder, or a hub id. `quantised` loads NF4 with double quantisation, as
    QLoRA does (arXiv 2305.14314), `eight_bit` LLM.int8 instead (arXiv 2208.07339). `dtype` is
    "float32", "bfloat16" or "float16"; None computes in float32 on a CPU and bfloat16 on a GPU that
    has it. The tokenizer's padding token is never its end-of-sequence token. Raises StudentError.
    """
    folder = base_folder(base, revision=revision)
    options = _quantisation(dtype, eight_bit=eight_bit) if quantised else {}
    if attention is not None:
        options["attn_implementation"] = attention
    model = _load_model(folder, base, dtype=dtype, options=options)
    return model, load_tokenizer(folder, base)


def base_folder(base: str, *, revision: str | None = None) -> Path:
    """The folder that holds `base`, downloaded if it is a hub id that is not cached yet."""
    if base == EMBEDDED:
        folder = Path(str(importlib.resources.files("understudy.examples.base"))) / "weights"
    elif _is_path(base):
        folder = Path(base).expanduser()
    else:
        folder = download(base, revision)
    if not folder.is_dir():
        raise StudentError(f"base {base}: there is no such folder; give a model's folder or hub id")
    if not (folder / "config.json").is_file():
        raise StudentError(f"base {base}: {folder} has no config.json; is it a model's folder?")
    if not any(folder.glob("*.safetensors")):
        raise StudentError(
            f"base {base}: {folder} has no safetensors weights; other formats are not loaded"
        )
    return folder


def base_sha256(base: str, *, revision: str | None = None) -> str:
    """SHA-256 over the contents of the base's safetensors files, in the order of their names."""
    files = sorted(base_folder(base, revision=revision).glob("*.safetensors"))
    return _sha256(tuple((str(file), file.stat().st_mtime_ns) for file in files))


@quiet()
def merged_model(folder: Path) -> tuple[Any, Any]:
    """A trained student's model in float32 (bfloat16 on a GPU) and the tokenizer of its run folder.

    The adapter learnt on top of the quantised base, so it is merged into what that base stands for:
    NF4 or 8-bit, dequantised. Merged into the original weights it would give other answers. A
    student all of whose weights were tuned is its own base. Raises StudentError, also where the
    base is not the one that the card names.
    """
    card = check_student(folder)
    if _is_whole(card):
        return _ready(_load_model(folder, str(folder))), load_tokenizer(folder, str(folder))
    from peft import PeftModel
    from safetensors import SafetensorError

    tokenizer = load_tokenizer(folder, str(folder))
    try:
        adapted = PeftModel.from_pretrained(_learnt_on(card), str(folder))
    except (OSError, RuntimeError, SafetensorError, TypeError, ValueError, KeyError) as error:
        raise StudentError(
            f"{folder}: its adapter does not fit its base: {_line(error)}"
        ) from error
    check_all_loaded(adapted, folder)
    return _ready(adapted.merge_and_unload()), tokenizer


@quiet()
def bare_base(folder: Path) -> tuple[Any, Any]:
    """What a student's adapter stands on, as `merged_model` has it, and its run's tokenizer.

    Raises StudentError for a student that is its own base.
    """
    card = check_student(folder)
    if _is_whole(card):
        raise StudentError(f"{folder}: all its weights were tuned; there is no adapter to share")
    return _ready(_learnt_on(card)), load_tokenizer(folder, str(folder))


def base_key(folder: Path) -> tuple[str, str]:
    """What tells the bases apart that students' adapters stand on; their own folder if whole."""
    card = read_card(folder)
    if _is_whole(card):
        return str(folder.resolve()), "whole"
    quantised = str(card.training.get("quantised", True))
    return card.base_sha256, f"{quantised} {card.training.get('quantisation')}"


def _learnt_on(card: StudentCard) -> Any:
    """The base as its adapter knew it, in float32: what the quantised weights stand for."""
    quantised = bool(card.training.get("quantised", True))
    eight_bit = card.training.get("quantisation") == "int8"
    model, _ = load_base(
        card.base, revision=card.base_revision, quantised=quantised, eight_bit=eight_bit
    )
    return (model.dequantize() if quantised else model).float()


@quiet()
def untuned_model(base: str) -> tuple[Any, Any]:
    """A base model as it comes, in float32 (bfloat16 on a GPU), and its tokenizer."""
    model, tokenizer = load_base(base, quantised=False)
    return _ready(model), tokenizer


def check_student(folder: Path) -> StudentCard:
    """The card of a run folder whose adapter is there and whose base is the one it learnt on."""
    card = read_card(folder)
    if _is_whole(card):
        if not any(folder.glob("model*.safetensors")):
            raise StudentError(f"student {card.name}: {folder} has no weights; train it again")
        return card
    if not (folder / ADAPTER_FILE).is_file():
        raise StudentError(f"student {card.name}: {folder} has no {ADAPTER_FILE}; train it again")
    found = base_sha256(card.base, revision=card.base_revision)
    if found != card.base_sha256:
        raise StudentError(
            f"student {card.name} learnt on a base {card.base} with sha256 "
            f"{card.base_sha256[:12]}, but this one has {found[:12]}; restore that base or train "
            "it again"
        )
    return card


def weights_sha256(model: str) -> str:
    """What identifies the weights that `model` serves: its base's, with an adapter's if any."""
    folder = student_folder(model)
    if folder is None:
        return base_sha256(model)
    card = check_student(folder)
    pattern = "model*.safetensors" if _is_whole(card) else ADAPTER_FILE
    own = tuple((str(file), file.stat().st_mtime_ns) for file in sorted(folder.glob(pattern)))
    return hashlib.sha256((card.base_sha256 + _sha256(own)).encode()).hexdigest()


def is_student(model: str) -> bool:
    """Whether `model` is a run folder, here or on the hub; all else is taken for a bare base."""
    return student_folder(model) is not None


def student_folder(model: str) -> Path | None:
    """The run folder that `model` names: a folder, or a hub id, then downloaded. None for a base.

    Raises StudentError where the hub has the student and its files cannot be had.
    """
    if model == EMBEDDED:
        return None
    folder = Path(model).expanduser()
    if (folder / CARD_FILE).is_file():
        return folder
    on_hub = not _is_path(model) and hub_card(model) is not None
    return download(model, None) if on_hub else None


def load_tokenizer(folder: Path, name: str) -> Any:
    """The folder's tokenizer with a chat template and a padding token that is not its end token."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StudentError(f"{name}: its tokenizer cannot be loaded: {_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise StudentError(f"{name}: its tokenizer has no tokenizer.json; use a base that has one")
    if tokenizer.eos_token_id is None:
        raise StudentError(f"{name}: its tokenizer has no end-of-sequence token; use another base")
    tokenizer.chat_template = tokenizer.chat_template or PLAIN_TEMPLATE
    if isinstance(tokenizer.chat_template, str) and not (folder / CARD_FILE).is_file():
        tokenizer.chat_template = settled(tokenizer.chat_template)  # a run folder keeps its own
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.pad_token = pad_token(tokenizer)
    return tokenizer


def _is_whole(card: StudentCard) -> bool:
    """Whether all weights were tuned, so that the folder holds them instead of an adapter."""
    return card.training.get("adapter") == "full"


def _quantisation(dtype: str | None, *, eight_bit: bool) -> dict[str, Any]:
    import torch
    from transformers import BitsAndBytesConfig

    four_bit = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": _dtype(dtype),
    }
    cuda = torch.cuda.is_available()
    sharded = cuda and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if sharded:  # it shards tensors of one type only, and places them itself
        four_bit["bnb_4bit_quant_storage"] = _dtype(dtype)
    how = {"load_in_8bit": True} if eight_bit else four_bit
    config = BitsAndBytesConfig(**how)  # type: ignore[no-untyped-call]
    place = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu"
    return {"quantization_config": config, **({} if sharded else {"device_map": {"": place}})}


def _load_model(
    folder: Path,
    base: str,
    *,
    dtype: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=_dtype(dtype),
            use_safetensors=True,
            trust_remote_code=False,
            **(options or {}),
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise StudentError(f"base {base} cannot be loaded: {_line(error)}") from error
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _dtype(name: str | None = None) -> Any:
    import torch

    if name is not None:
        return getattr(torch, name)
    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def _ready(model: Any) -> Any:
    model = model.to(device=device(), dtype=_dtype()).eval()
    return model.requires_grad_(False)


def device() -> str:
    """Where a student answers: the first CUDA GPU, else Apple's, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _is_path(base: str) -> bool:
    """Whether it is a place on this disk: also a run that is not there, beside others that are."""
    looks = base.startswith((".", "~", "/")) or base.count("/") > 1 or "\\" in base
    path = Path(base).expanduser()
    return looks or path.exists() or ("/" in base and any(path.parent.glob(f"*/{CARD_FILE}")))


@functools.lru_cache(maxsize=64)
def _sha256(files: tuple[tuple[str, int], ...]) -> str:
    """The modification times are part of the argument so that a changed file is read again."""
    digest = hashlib.sha256()
    for file, _ in files:
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
