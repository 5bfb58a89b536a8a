"""A student as a plain model folder that any engine loads, and proof that it answers the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...chains.student.card import StudentCard, StudentError
from ...chains.student.rendering import prefix_of, prompt_ids
from ...chains.student.weights import check_student, load_tokenizer, merged_model, weights_sha256
from .qlora import quiet

MERGED_FILE = "merged.json"
# How far logits may be from those that the student is served with, by the type of the weights.
# Half precision rounds each weight: logits move a little, and a greedy answer may change.
BOUNDS = {"float32": 1e-3, "bfloat16": 1.0, "float16": 0.25}
_LONGEST = 256  # tokens of an answer that is compared
# What stands in the prompt where no rows are given: plain words, accents, digits, signs, nothing.
_STOCK = (
    "The company said on Monday that profits rose by 12.5 % in the third quarter.",
    "Segundo a população, a decisão do órgão não é boa: “três anos de espera”.",
    '{"id": 7, "text": "1, 2, 3 — go!", "tags": ["a", "b"]}',
    "",
)


@dataclass(frozen=True)
class Parity:
    """How a merged folder answers beside its student: `largest` is over all logits compared.

    `same` of `prompts` have the same greedy answer, token by token; `tokens` were compared, of
    which `same_tokens` have the same first choice.
    """

    dtype: str
    prompts: int
    same: int
    tokens: int
    same_tokens: int
    largest: float
    bound: float

    @property
    def line(self) -> str:
        """The comparison in one line."""
        return (
            f"{self.dtype}: logits differ by at most {self.largest:.2g} (bound {self.bound:g}), "
            f"{self.same} of {self.prompts} greedy answers the same, "
            f"{self.same_tokens} of {self.tokens} tokens"
        )


def merge(
    student: Path,
    out: Path,
    *,
    inputs: Sequence[Mapping[str, Any]] = (),
    dtype: str = "float32",
    bound: float | None = None,
) -> Parity:
    """Write the student in `student` as a plain model into the new folder `out`.

    Safetensors, tokenizer, chat template, generation config, no quantization_config, and
    `merged.json`, which says what was merged. The folder is loaded again and compared with the
    student as it is served, on the prompts of `inputs` (rows of the task; without any, on stock
    sentences): a difference above `bound` (default by `dtype`), and in float32 any other greedy
    answer, is refused, and nothing is left in `out`.

    Raises StudentError.
    """
    if dtype not in BOUNDS:
        raise StudentError(f"dtype {dtype} is unknown; take one of {', '.join(BOUNDS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StudentError(f"{out} is not empty; give a new folder for the merged model")
    card = check_student(student)
    with quiet(), _whole(out) as part:
        model, tokenizer = merged_model(student)
        prefix = prefix_of(card.target)
        asked = _messages(card, inputs)
        prompts = [prompt_ids(tokenizer, messages, prefix=prefix) for messages in asked]
        wanted = [_answered(model, tokenizer, prompt) for prompt in prompts]
        _save(model, tokenizer, part, dtype)
        del model
        parity = _compared(part, wanted, dtype, BOUNDS[dtype] if bound is None else bound)
        _check(parity, student)
        _tell(part, student, card, parity)
    return parity


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` when the block ends well, else is deleted."""
    from safetensors import SafetensorError

    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        if out.is_dir():
            out.rmdir()  # empty, as was checked
        part.replace(out)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StudentError(
            f"{out} cannot be written: {why}; free space or give another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _messages(card: StudentCard, inputs: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    from langchain_core.prompts import ChatPromptTemplate

    words = [(words["role"], words["text"]) for words in card.prompt]
    template = ChatPromptTemplate.from_messages(words)
    names = template.input_variables
    for row in inputs or [dict.fromkeys(names, text) for text in _STOCK]:
        missing = [name for name in names if name not in row]
        if missing:
            raise StudentError(
                f"student {card.name} is told {', '.join(names)}, but a row lacks {missing[0]}; "
                "give rows of its own task"
            )
        yield template.invoke(dict(row)).to_messages()


def _answered(model: Any, tokenizer: Any, prompt: list[int]) -> dict[str, Any]:
    """The greedy answer to a prompt, and the logits at each of its tokens."""
    import torch

    room = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20
    ids = torch.tensor([prompt], device=model.device)
    with torch.inference_mode():
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max(1, min(_LONGEST, room - len(prompt))),
            do_sample=False,
            num_beams=1,
            pad_token_id=tokenizer.pad_token_id,
        )[0].tolist()
    return {"prompt": prompt, "written": written, "logits": _logits(model, prompt, written)}


def _logits(model: Any, prompt: list[int], written: list[int]) -> Any:
    import torch

    with torch.inference_mode():
        scores = model(torch.tensor([written], device=model.device), use_cache=False).logits[0]
    return scores[len(prompt) - 1 :].float().cpu()


def _save(model: Any, tokenizer: Any, folder: Path, dtype: str) -> None:
    import torch

    model = model.to(getattr(torch, dtype))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = _ends(model, tokenizer)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        raise StudentError(f"{folder.stem}: its weights are still quantised; train it again")


def _ends(model: Any, tokenizer: Any) -> Any:
    """The base's end tokens, with the one that the student learnt."""
    known = model.generation_config.eos_token_id
    known = [known] if isinstance(known, int) else list(known or [])
    ends = list(dict.fromkeys([tokenizer.eos_token_id, *known]))
    return ends[0] if len(ends) == 1 else ends


def _compared(
    folder: Path, wanted: Sequence[Mapping[str, Any]], dtype: str, bound: float
) -> Parity:
    """Load the folder as anybody would, and let it answer and score what the student wrote."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype="auto", use_safetensors=True, trust_remote_code=False
    )
    model.eval()
    tokenizer = load_tokenizer(folder, str(folder))
    largest, same, tokens, same_tokens = 0.0, 0, 0, 0
    for row in wanted:
        scores = _logits(model, row["prompt"], row["written"])
        difference = (scores - row["logits"]).abs().max()
        largest = max(largest, float(difference) if difference.isfinite() else float("inf"))
        same_tokens += int((scores.argmax(-1) == row["logits"].argmax(-1)).sum())
        tokens += len(scores)
        same += _answered(model, tokenizer, row["prompt"])["written"] == row["written"]
    return Parity(dtype, len(wanted), same, tokens, same_tokens, largest, bound)


def _check(parity: Parity, student: Path) -> None:
    exact = parity.dtype != "float32" or parity.same == parity.prompts
    if not parity.largest <= parity.bound or not exact:
        raise StudentError(
            f"{student}: the merged model answers otherwise than the student ({parity.line}); "
            "nothing was written, take another dtype or train it again"
        )


def _tell(folder: Path, student: Path, card: StudentCard, parity: Parity) -> None:
    facts = {
        "format": 1,
        "student": card.name,
        "task": card.task,
        "target": card.target,
        "base": card.base,
        "base_revision": card.base_revision,
        "base_sha256": card.base_sha256,
        "student_sha256": weights_sha256(str(student)),
        "prompt": card.prompt,
        "answer_schema": card.answer_schema,
        "parity": asdict(parity),
    }
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    (folder / MERGED_FILE).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_readme(student, card, parity), encoding="utf-8")


def _readme(student: Path, card: StudentCard, parity: Parity) -> str:
    """The student's own card for people, under what the merging has to say."""
    told = student / "README.md"
    text = told.read_text(encoding="utf-8") if told.is_file() else f"# {card.name}\n"
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    head = {
        "library_name": "transformers",
        "base_model": card.base,
        "base_model_relation": "merge",
        "tags": ["understudy", "distillation"],
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value)}" for name, value in head.items()),  # JSON is YAML
            "---",
            "",
            "A student merged into its base: a plain model. Beside the student it was compared: "
            f"{parity.line}. `{MERGED_FILE}` says what was merged, and holds the prompt and the "
            "answer schema. Of the student itself:",
            "",
            text.strip(),
            "",
        ]
    )
