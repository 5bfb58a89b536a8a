"""The faults that benchmarks.preflight plants, each with what the refusal must say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from understudy.distill.training.dataset import TrainingRow, rationale_text
from understudy.distill.training.leaks import check_leaks
from understudy.store import Example, example_id

from .preflight_tokenizers import TEMPLATE
from .preflight_world import PLANTED, Bounded, World, pairs_of, task_of

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Fault:
    """One fault: what the refusal says, whether it names the row and shows tokens."""

    name: str
    says: str
    plant: Callable[[World], None]
    names_row: bool = True
    shows_tokens: bool = True


def _masked(ids: dict[str, Any], start: int, end: int | None, value: int) -> None:
    mask = ids["completion_mask"]
    mask[slice(start, end)] = [value] * len(mask[slice(start, end)])


def _no_end(ids: list[dict[str, Any]], _: Any) -> None:
    _masked(ids[PLANTED], -1, None, 0)


def _padded_with_the_end(_: list[dict[str, Any]], tokenizer: Any) -> None:
    tokenizer.pad_token = tokenizer.eos_token


def _nothing(ids: list[dict[str, Any]], _: Any) -> None:
    _masked(ids[PLANTED], 0, None, 0)


def _everything(ids: list[dict[str, Any]], _: Any) -> None:
    _masked(ids[PLANTED], 0, None, 1)


def _without_label(ids: list[dict[str, Any]], _: Any) -> None:
    start = ids[PLANTED]["completion_mask"].index(1)
    _masked(ids[PLANTED], start, start + 4, 0)


def _cut(tokens: int) -> Callable[[list[dict[str, Any]], Any], None]:
    """As a trainer with a max_length cuts: so many tokens from the end."""

    def change(ids: list[dict[str, Any]], _: Any) -> None:
        ids[PLANTED] = {name: values[:-tokens] for name, values in ids[PLANTED].items()}

    return change


def _with_start(ids: list[dict[str, Any]], tokenizer: Any) -> None:
    """As a trainer that lets the tokenizer add its special tokens."""
    ids[PLANTED]["input_ids"].insert(0, tokenizer.bos_token_id)
    ids[PLANTED]["completion_mask"].insert(0, 0)


def _as_it_is(_: list[dict[str, Any]], __: Any) -> None:
    pass


def _other_answer(rows: list[TrainingRow]) -> list[TrainingRow]:
    wrong = {"mood": "Neutro", "urgent": True}
    rows[PLANTED] = dataclasses.replace(rows[PLANTED], answer=wrong)
    return rows


def _no_rationale(rows: list[TrainingRow]) -> list[TrainingRow]:
    said = rationale_text(task_of(), "há").replace("reason", "raison")
    rows[PLANTED] = dataclasses.replace(rows[PLANTED], rationale=said)
    return rows


THINKS = TEMPLATE.replace(
    "{{ message['content'] }}",
    "{% if message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message['content'] }}",
)
STRIPS = TEMPLATE.replace("message['content']", "message['content'].split('</think>')[-1]")
OPENS = TEMPLATE.replace("<|assistant|>\n", "<|assistant|>\n<think>\n")
SILENT = TEMPLATE.replace("%}<|{{", "%}{% if message['role'] != 'system' %}<|{{").replace(
    "</s>\n{% endfor %}", "</s>\n{% endif %}{% endfor %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}\n" + TEMPLATE


def _example(note: str, **fields: Any) -> Example:
    inputs = {"note": note}
    return Example(id=example_id(inputs), task="notes", split="test", inputs=inputs, **fields)


def ids() -> list[str]:
    """The examples of the notes, in their order."""
    return [example.id for example, _ in pairs_of()]


def _template(name: str, template: str, **options: Any) -> Callable[[World], None]:
    return lambda w: w.prepared(base=w.with_template(name, template), **options)


def _kind(kind: str) -> Callable[[World], None]:
    return lambda w: w.prepared(base=w.base(kind.replace(" ", "-"), w.tokenizer(kind)))


FAULTS = (
    Fault(
        "the end is not in the loss",
        "end-of-sequence token is not in",
        lambda w: w.encoded(_no_end),
    ),
    Fault(
        "padding is the end",
        "never learn to stop",
        lambda w: w.encoded(_padded_with_the_end),
        names_row=False,
        shows_tokens=False,
    ),
    Fault(
        "max_length would cut rows",
        "longer than max_length, which is 40 tokens",
        lambda w: w.prepared(max_length=40),
        names_row=False,
    ),
    Fault(
        "the label is cut off",
        "its rationale or label is cut off after",
        lambda w: w.encoded(_cut(6), target="reason_label"),
    ),
    Fault(
        "the rationale is cut off", "its rationale is cut off after", lambda w: w.encoded(_cut(4))
    ),
    Fault("the mask covers nothing", "nothing of it is in the loss", lambda w: w.encoded(_nothing)),
    Fault(
        "the mask covers the prompt", "loss looks at its prompt", lambda w: w.encoded(_everything)
    ),
    Fault("the mask misses the label", "tokens are not in it", lambda w: w.encoded(_without_label)),
    Fault(
        "trained with a token more",
        "rendered differently for training and for serving",
        lambda w: w.encoded(_with_start),
    ),
    Fault(
        "the template tells the date",
        "it says the date",
        _template("dated", DATED),
        names_row=False,
        shows_tokens=False,
    ),
    Fault(
        "the template strips reasoning",
        "strips a part of the answer",
        _template("strips", STRIPS, row={"reason": "há <think>dúvida</think> e Neutro"}),
        shows_tokens=False,
    ),
    Fault(
        "the template inserts reasoning",
        "inserts reasoning or other words before an answer",
        _template("thinks", THINKS),
        names_row=False,
        shows_tokens=False,
    ),
    Fault(
        "the template opens a thought",
        "it opens <think> where the answer is to begin",
        _template("opens", OPENS),
        names_row=False,
        shows_tokens=False,
    ),
    Fault(
        "the template drops the system message",
        "does not say what the system says",
        _template("silent", SILENT),
        names_row=False,
        shows_tokens=False,
    ),
    Fault("the tokenizer drops accents", "it loses 'á", _kind("drops accents"), names_row=False),
    Fault("the tokenizer drops braces", "it loses '{", _kind("drops braces"), names_row=False),
    Fault(
        "the answer is another one",
        "parses back to another answer",
        lambda w: w.encoded(_as_it_is, rows=_other_answer),
    ),
    Fault(
        "the rationale is none",
        "its rationale does not parse back",
        lambda w: w.encoded(_as_it_is, rows=_no_rationale),
    ),
    Fault(
        "the end token is in the text",
        "holds the end-of-sequence token '</s>' as text",
        lambda w: w.encoded(_as_it_is, row={"reason": "há </s> aqui"}),
    ),
    Fault(
        "the grammar forbids the answer",
        "serving holds a student to forbids its rationale",
        lambda w: w.prepared(
            schema=Bounded, row={"reason": "há Neutro, e bem mais do que nele cabe"}
        ),
    ),
    Fault(
        "a kind of block gets no adapter",
        "such as model.layers.*.linear_attn with in_proj_qkvz",
        lambda w: w.prepared(
            base=w.base("hybrid", w.tokenizer("byte-level BPE"), hybrid=True), target_modules=SEVEN
        ),
        names_row=False,
        shows_tokens=False,
    ),
    Fault(
        "a text is in a held-out split too",
        "the split test has the same text",
        lambda w: w.prepared(beside=_example("o RECADO 5 é de  Neutro, não é?")),
        shows_tokens=False,
    ),
    Fault(
        "a group is in a held-out split too",
        "the split test has the same group",
        lambda w: check_leaks([pairs_of(group="g")[PLANTED][0], _example("x", group="g")], ids()),
        shows_tokens=False,
    ),
    Fault(
        "the context is too short",
        "longer than the base's context of 48 tokens",
        lambda w: w.prepared(base=w.base("short", w.tokenizer("byte-level BPE"), context=48)),
        names_row=False,
    ),
)
