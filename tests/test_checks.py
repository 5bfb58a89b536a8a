"""The checks behind the preflight, one at a time: templates, tokenizers, grammar, blocks, leaks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.prompts import ChatPromptTemplate

from understudy.chains import Task
from understudy.chains.student.rendering import completion_ids, settled
from understudy.chains.student.weights import load_tokenizer
from understudy.chains.task import Target
from understudy.distill.training.blocks import check_adapters, outlined, untouched
from understudy.distill.training.chat_templates import check_clock, check_template
from understudy.distill.training.checks import check_held, check_lines
from understudy.distill.training.dataset import sequences, tokenised, training_rows
from understudy.distill.training.faults import TrainingError, tokens_shown
from understudy.distill.training.leaks import check_leaks, leaking
from understudy.distill.training.preflight import segments
from understudy.store import Example, Record, example_id

TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
QWEN3 = (  # as it treats thoughts, in short
    "{% for m in messages %}<|{{ m['role'] }}|>\n{% set said = m['content'] %}"
    "{% if m['role'] == 'assistant' %}{% set said = said.split('</think>')[-1] %}"
    "{{ '<think>\n\n</think>\n\n' + said }}{% else %}{{ said }}{% endif %}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
LLAMA3 = (  # as it tells the date
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today is {{ date_string }}.\n" + TURNS
)


def row_of(task: Task, sentence: str = "a", *, reasoning: str = "treme", **options: Any) -> Any:
    inputs = {"sentence": sentence}
    example = Example(id=example_id(inputs), task="tiny", split="train", inputs=inputs)
    answer = {"mood": "Emoção", "urgent": True}
    record = Record(run="r", example=example.id, answer=answer, reasoning=reasoning, created="now")
    options = {"target": "label_reason", **options}
    [row] = training_rows(task, [(example, record)], **options).rows
    return row


@pytest.fixture
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base, "tiny")


@pytest.fixture(scope="module")
def shared_tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(tiny_base, "tiny")


def checked(tokenizer: Any, template: str, row: Any) -> None:
    tokenizer.chat_template = template
    for line in sequences([row]):
        check_clock(tokenizer, line)
        check_template(tokenizer, line)


@pytest.mark.parametrize("template", [TURNS, settled(QWEN3), settled(LLAMA3)])
def test_sound_templates_pass_and_those_that_may_think_pass_once_settled(
    tokenizer, tiny_task, template
):
    checked(tokenizer, template, row_of(tiny_task))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (QWEN3, "inserts reasoning or other words before an answer"),
        (LLAMA3, "it says the date"),
        (TURNS.replace("<|assistant|>\n", "<|assistant|>\n<think>\n"), "it opens <think>"),
        (TURNS.replace("m['content']", "m['content'][:3]"), "does not say what the user says"),
        (TURNS.replace("<|{{", "<|im|{{") + "{# x #}", None),
    ],
)
def test_templates_that_serve_something_else_are_refused(tokenizer, tiny_task, template, message):
    if message is None:
        checked(tokenizer, template, row_of(tiny_task))
        return
    with pytest.raises(TrainingError, match=message):
        checked(tokenizer, template, row_of(tiny_task))


def test_a_rationale_that_a_template_would_strip_is_refused(tokenizer, tiny_task):
    row = row_of(tiny_task, reasoning="<think>a</think> b")
    with pytest.raises(TrainingError, match=f"{row.example}: .* strips a part of the answer"):
        checked(tokenizer, settled(QWEN3), row)


@given(reasoning=st.text(min_size=1, max_size=40), sentence=st.text(max_size=40))
def test_no_text_of_a_teacher_is_a_false_alarm(tiny_task, shared_tokenizer, reasoning, sentence):
    targets: tuple[Target, ...] = ("reason_label", "multitask")
    for target in targets:
        rows = [row_of(tiny_task, sentence, reasoning=reasoning, target=target)]
        lines = sequences(rows)
        written = []
        for line, ids in zip(lines, tokenised(shared_tokenizer, rows), strict=True):
            prompt = check_template(shared_tokenizer, line)
            written.append(
                check_lines(tiny_task, shared_tokenizer, line, ids, target, prompt=prompt)
            )
        check_held(tiny_task, shared_tokenizer, lines, written, target)


def test_a_tokenizer_that_drops_accents_is_refused_with_what_it_drops(tokenizer, tiny_task):
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents()]
    )
    row = row_of(tiny_task)
    [line] = sequences([row])
    with pytest.raises(TrainingError, match=f"{row.example}: the tokenizer cannot write") as caught:
        check_lines(tiny_task, tokenizer, line, {}, "label_reason", prompt="")
    assert "it loses 'çã'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_goes_on_without_the_space_that_a_tokenizer_begins_texts_with():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(special_tokens=["<pad>", "</s>"], show_progress=False)
    backend.train_from_iterator(['\n{"mood":"Medo mesmo"}', '{"mood":"Medo"}\na:'], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>"
    )
    text = '{"mood":"Medo mesmo"}'
    alone = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    written = tokenizer.convert_ids_to_tokens(completion_ids(tokenizer, text))
    assert alone[0].startswith("▁")
    assert "".join(written) == text.replace(" ", "▁") + "</s>"


def test_a_schema_that_only_the_grammar_enforces_refuses_the_row(tokenizer, tiny_task):
    from pydantic import BaseModel, Field

    class Code(BaseModel):
        code: str = Field(json_schema_extra={"maxLength": 3})

    task = Task(name="c", schema=Code, prompt=ChatPromptTemplate.from_messages(["{sentence}"]))
    inputs = {"sentence": "a"}
    example = Example(id=example_id(inputs), task="c", split="train", inputs=inputs)
    for code, sound in (("abc", True), ("abcd", False)):
        record = Record(run="r", example=example.id, answer={"code": code}, created="now")
        lines = sequences(training_rows(task, [(example, record)], target="label").rows)
        ids = [tuple(tuple(completion_ids(tokenizer, text)) for text in lines[0].texts)]
        if sound:
            check_held(task, tokenizer, lines, ids, "label")
            continue
        with pytest.raises(TrainingError, match=f"{example.id}: the grammar .* forbids its answer"):
            check_held(task, tokenizer, lines, ids, "label")


def qwen3_next(folder, **layers):
    """The config of a hybrid model, whose MLPs are mixtures of experts unless told otherwise."""
    from transformers import AutoConfig

    AutoConfig.for_model(
        "qwen3_next",
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        num_experts=2,
        num_experts_per_tok=1,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
        **layers,
    ).save_pretrained(folder)


def test_a_hybrid_base_needs_more_than_the_seven_projections(tmp_path, tiny_base):
    seven = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    qwen3_next(tmp_path, mlp_only_layers=[0, 1])
    check_adapters(tmp_path)
    assert untouched(outlined(tmp_path), seven) == {
        "model.layers.*.linear_attn": ("in_proj_qkvz", "in_proj_ba", "out_proj")
    }
    with pytest.raises(TrainingError, match=r"such as model\.layers\.\*\.linear_attn with in_proj"):
        check_adapters(tmp_path, seven)
    check_adapters(tiny_base, seven)
    assert set(untouched(outlined(tiny_base), r".*mlp\..*")) == {"model.layers.*.self_attn"}


def test_experts_that_no_adapter_reaches_are_refused(tmp_path):
    qwen3_next(tmp_path)
    with pytest.raises(TrainingError, match=r"mlp\.experts with gate_up_proj, down_proj: .*full"):
        check_adapters(tmp_path)


def test_a_base_that_cannot_be_built_is_said(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(TrainingError, match="cannot be built from its config"):
        check_adapters(tmp_path)


def test_a_row_leaks_by_its_text_or_its_group():
    def example(text: str, split: str, group: str | None = None) -> Example:
        inputs = {"text": text}
        return Example(id=example_id(inputs), task="t", split=split, inputs=inputs, group=group)

    train = [example("Um", "train"), example("Dois", "train", "g"), example("Três", "train", "h")]
    test = [example(" um ", "test"), example("Quatro", "validation", "g")]
    taught = [row.id for row in train]
    found = [(row.id, other.id, by) for row, other, by in leaking([*train, *test], taught)]
    assert found == [(train[0].id, test[0].id, "text"), (train[1].id, test[1].id, "group")]
    with pytest.raises(TrainingError, match=r"the split test has the same text .* \(2 rows leak\)"):
        check_leaks([*train, *test], taught)
    check_leaks([*train, *test], taught[2:])


def test_a_validation_row_leaks_into_what_tests_and_not_into_training():
    def example(text: str, split: str) -> Example:
        inputs = {"text": text}
        return Example(id=example_id(inputs), task="t", split=split, inputs=inputs)

    rows = [example("Um", "train"), example("um ", "validation"), example("Dois", "validation")]
    rows.append(example("dois", "test"))
    chosen_by = [row.id for row in rows if row.split == "validation"]
    found = leaking(rows, chosen_by, split="validation")
    assert [(row.id, other.id) for row, other, _ in found] == [(rows[2].id, rows[3].id)]
    with pytest.raises(TrainingError, match="the split test has the same text"):
        check_leaks(rows, chosen_by, split="validation")


def test_tokens_are_shown_on_one_line_with_what_cannot_be_seen_spelled(tokenizer):
    ids = tokenizer("a\nb" + "c d" * 30)["input_ids"]
    shown = tokens_shown(tokenizer, ids, at=1)
    assert shown.startswith("·a·\\n·b")
    assert shown.endswith("·…")


def test_a_row_is_shown_in_pieces_of_what_the_loss_sees(tokenizer, tiny_task):
    [ids] = tokenised(tokenizer, [row_of(tiny_task)])
    assert segments(tokenizer, ids) == (
        ("<|user|>\nFrase: a</s>\n<|assistant|>\n", False),
        ('{"mood":"Emoção","urgent":true}</s>', True),
        ('{"reasoning":"treme"}</s>', True),
    )


def test_a_cut_row_is_named_with_the_part_it_loses(tokenizer, tiny_task):
    row = row_of(tiny_task)
    [line] = sequences([row])
    [whole] = tokenised(tokenizer, [row])
    prompt = check_template(tokenizer, line)
    answer = len(completion_ids(tokenizer, row.completion))
    rationale = len(completion_ids(tokenizer, str(row.rationale)))
    for gone, part in ((2, "rationale"), (rationale + 2, "label"), (answer + rationale, "label")):
        ids = {name: values[:-gone] for name, values in whole.items()}
        with pytest.raises(TrainingError, match=f"{row.example}: its {part} is cut off after"):
            check_lines(tiny_task, tokenizer, line, ids, "label_reason", prompt=prompt)


def test_both_targets_with_a_rationale_need_a_reasoning_in_the_task(tiny_task):
    silent = dataclasses.replace(tiny_task, reasoning=None)
    assert silent.json_schema("multitask") == tiny_task.json_schema("reason_label")
