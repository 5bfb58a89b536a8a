"""How fast a student answers in LangChain, against the ways that LangChain has.

    python -m benchmarks.student [--quick]

Two models: the embedded base (tiny) and random weights of SmolLM2-135M's shape (smol) with a
tokenizer of their own. The sample task, labels only and with reasoning, each prompt with the long
instructions below. Ways: HuggingFacePipeline one row at a time, as notebooks do; the same with both
its batch sizes set to 16, the best that comes with LangChain; ChatStudent.batch. All in one
process on one thread, rows per second of processor time. What ChatStudent writes is given (random
weights would never end a text; the model's own choice is paid for), so every answer is as long as
its target; the pipelines write just as many tokens, held to nothing. Each way runs twice around the
others and the sums count. `*_x` is ChatStudent to the notebook's way, `*_vs_best_stock` to the
batched pipeline; `calls_per_label_row` are a row's forward passes, alone in its batch;
`confidence_overhead` is what the probabilities of all classes add to processor time; `valid` the
share of ChatStudent's answers that the task's pydantic class takes. OpenVINO and llama-server are
not installed here and not measured. The last line is one JSON object with exactly these keys.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.prompts import ChatPromptTemplate

from benchmarks.student_ways import compact, pipeline_of, scripted_student, smol_folder
from understudy.chains import ChatStudent
from understudy.chains.answer import answer_chain
from understudy.chains.offline import NewsTeacher
from understudy.chains.task import Target, TaskError
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task

INSTRUCTIONS = """\
Você é um analista de sentimentos de notícias em português do Brasil. Leia as três frases da \
notícia e classifique cada uma delas conforme a polaridade e a emoção universal de Ekman.
Polaridades possíveis: Positivo, Negativo, Neutro.
Emoções possíveis: Felicidade, Tristeza, Raiva, Nojo, Medo, Surpresa, Desprezo, Neutro.
Regras: considere apenas o conteúdo da frase; não use conhecimento externo; se a frase apenas \
relata um fato sem carga emocional, responda Neutro; a emoção deve ser coerente com a polaridade; \
ironia deve ser tratada pelo sentido pretendido. Pense passo a passo em poucas palavras antes de \
decidir, citando a expressão que motivou a decisão.
Responda somente com um objeto JSON, sem texto antes ou depois, com os campos raciocinio, f1, f2 e \
f3, em que cada frase tem os campos polaridade e emocao.
Exemplo: {{"raciocinio":"f1 celebra uma vitória; f2 relata perda; f3 é factual.","f1":\
{{"polaridade":"Positivo","emocao":"Felicidade"}},"f2":{{"polaridade":"Negativo","emocao":\
"Tristeza"}},"f3":{{"polaridade":"Neutro","emocao":"Neutro"}}}}
Texto:"""
LONG = ChatPromptTemplate.from_messages(
    [("human", INSTRUCTIONS + "\nf1: {f1}\nf2: {f2}\nf3: {f3}")]
)
KEYS = [
    "tiny_label_x",
    "tiny_reason_x",
    "smol_label_x",
    "smol_reason_x",
    "tiny_label_vs_best_stock",
    "smol_label_vs_best_stock",
    "calls_per_label_row",
    "confidence_overhead",
    "valid",
]


@dataclass(frozen=True)
class Sizes:
    """Rows that each way answers in one round."""

    student: int
    batched: int
    single: int
    rounds: int = 2


TURNS = 14
SIZES = {"tiny": Sizes(192, 64, 16), "smol": Sizes(32, 16, 1)}
QUICK = {"tiny": Sizes(32, 16, 2, 1), "smol": Sizes(16, 16, 1, 1)}


def main() -> None:
    """Parse, measure, print."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows; smol with 2 of 30 layers")
    parser.add_argument("--only", choices=["tiny", "smol"], help="one of the two models")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sizes = QUICK if chosen.quick else SIZES
    figures: dict[str, Any] = dict.fromkeys(KEYS)
    valid: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in (chosen.only,) if chosen.only else ("tiny", "smol"):
            base = "embedded" if name == "tiny" else smol_folder(Path(folder), quick=chosen.quick)
            for kind, target in (("label", "label"), ("reason", "reason_label")):
                speed, share = compared(base, target, sizes[name])  # type: ignore[arg-type]
                valid.append(share)
                figures[f"{name}_{kind}_x"] = round(speed["student"] / speed["notebook"], 2)
                if kind == "label":
                    best = speed["student"] / speed["batched"]
                    figures[f"{name}_label_vs_best_stock"] = round(best, 2)
                told = "  ".join(f"{way} {rows:8.3f}" for way, rows in speed.items())
                print(f"{name:5}{kind:7} rows per processor second:  {told}", flush=True)
            told = with_short_prompt(base, sizes[name].student)
            print(f"{name:5}label   ChatStudent with the student's own short prompt: {told:.3f}")
            if name == "tiny":
                figures["confidence_overhead"] = confidence_overhead(base, sizes[name].student)
            calls = calls_per_row(base, 8)
            print(f"{name:5}calls per labels-only row: {calls:.2f}", flush=True)
            figures["calls_per_label_row"] = max(figures["calls_per_label_row"] or 0, calls)
    figures["valid"] = min(valid)
    print(json.dumps(figures))


def compared(base: str, target: Target, sizes: Sizes) -> tuple[dict[str, float], float]:
    """Rows per processor second of the three ways, and the share of valid answers of ours."""
    rows, texts = rows_and_targets(target, sizes.student)
    student = scripted(base, rows, texts)
    tokenizer = student.engine.tokenizer
    lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    tokens = round(statistics.mean(lengths)) + 1
    notebook = pipeline_of(base, tokens=tokens, batch=None)
    batched = pipeline_of(base, tokens=tokens, batch=16)
    prompts = [rendered(student, row) for row in rows]
    ours = LONG | student.with_structured_output(task.json_schema(target))
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "notebook": (
            lambda: [notebook.invoke(one) for one in prompts[: sizes.single]],
            sizes.single,
        ),
        "batched": (lambda: batched.batch(prompts[: sizes.batched]), sizes.batched),
        "student": (lambda: ours.batch(rows), sizes.student),
    }
    if target != "label":
        del ways["batched"]
    notebook.invoke(prompts[0][-40:])
    answers = ours.batch(rows[:2])
    spent = dict.fromkeys(ways, 0.0)
    for _ in range(sizes.rounds):
        for way, (work, _) in ways.items():
            start = time.process_time()
            found = work()
            spent[way] += time.process_time() - start
            answers = found if way == "student" else answers
    assert [compact(answer) for answer in answers] == texts
    student.close()
    share = sum(map(_valid, answers)) / len(answers)
    return {way: sizes.rounds * count / spent[way] for way, (_, count) in ways.items()}, share


def with_short_prompt(base: str, count: int) -> float:
    """Rows per processor second, labels only, of a student that has learnt the instructions."""
    rows, texts = rows_and_targets("label", count)
    student = scripted(base, rows, texts, task.student_prompt)
    ours = task.student_prompt | student.with_structured_output(task.json_schema("label"))
    ours.batch(rows[:2])
    start = time.process_time()
    answers = ours.batch(rows)
    spent = time.process_time() - start
    assert [compact(answer) for answer in answers] == texts
    student.close()
    return count / spent


def scripted(
    base: str, rows: list[dict[str, str]], texts: list[str], prompt: ChatPromptTemplate = LONG
) -> ChatStudent:
    """A student that answers every row with its text."""
    plain = ChatStudent(model=base)
    prompts = [rendered(plain, row, prompt) for row in rows]
    plain.close()
    return scripted_student(base, dict(zip(prompts, texts, strict=True)))


def rendered(student: ChatStudent, row: dict[str, str], prompt: ChatPromptTemplate = LONG) -> str:
    """The text of a row's prompt, as the base's chat template has it."""
    messages = prompt.format_messages(**row)
    roles = {"human": "user", "system": "system"}
    said = [{"role": roles[one.type], "content": one.content} for one in messages]
    tokenizer = student.engine.tokenizer
    return str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))


def rows_and_targets(target: Target, count: int) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of the sample task, and for each what a student would write: the teacher's answer."""
    rows = [
        {"f1": row.f1, "f2": row.f2, "f3": row.f3} for row in news_rows(0) if row.split == "test"
    ]
    rows = (rows * (count // len(rows) + 1))[:count]
    thoughts = answer_chain(task, NewsTeacher()).batch(rows)
    data = [json.loads(thought.answer.model_dump_json()) for thought in thoughts]
    if target == "label":
        data = [{key: value for key, value in one.items() if key != "raciocinio"} for one in data]
    return rows, [compact(one) for one in data]


def calls_per_row(base: str, count: int) -> float:
    """Forward passes that a labels-only row takes part in, alone in its batch."""
    rows, texts = rows_and_targets("label", count)
    student = scripted(base, rows, texts)
    ours = LONG | student.with_structured_output(task.json_schema("label"))
    for row in rows:
        ours.invoke(row)
    calls = student.engine.calls / count
    student.close()
    return round(calls, 2)


def confidence_overhead(base: str, count: int) -> float:
    """Share of processor time that the probabilities of all classes add, labels only."""
    rows, texts = rows_and_targets("label", count)
    student = scripted(base, rows, texts)
    spent: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(TURNS):
        asked = student.model_copy(update={"confidence": turn % 2 == 0})
        ours = LONG | asked.with_structured_output(task.json_schema("label"))
        start = time.process_time()
        ours.batch(rows)
        spent[turn % 2 == 0].append(time.process_time() - start)
    student.close()
    return round(min(spent[True]) / min(spent[False]) - 1, 4)


def _valid(answer: dict[str, Any]) -> bool:
    try:
        task.thought(answer)
    except (ValueError, TaskError):
        return False
    return True


if __name__ == "__main__":
    main()
