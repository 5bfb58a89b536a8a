"""The offline teachers: what they read in a sentence, and that they are real chat models."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate

import understudy.examples.news
from understudy.chains import Thought, answer_chain
from understudy.chains.offline import NewsTeacher, RuleTeacher, find_inputs
from understudy.chains.offline_reading import read_sentence
from understudy.chains.task import fingerprint
from understudy.examples.news.generate import news_rows, reasoning_of
from understudy.examples.news.task import task, teacher

FIELDS = ("f1", "f2", "f3")
NEWS = {
    "f1": "Acionistas festejaram o lucro recorde do banco no trimestre.",
    "f2": "A diretoria divulgou sem alarme o atraso na obra da refinaria.",
    "f3": "Apesar do otimismo do governo, lojistas temem a alta dos juros.",
}
CLAUSE = (
    r"(?:sem pista|(?:ressalva [\w-]+, )?pista [\w-]+ (?:negada|indica [A-Z]\w+))"
    r"(?:, fato [\w -]+ é (?:positivo|negativo|neutro))?"
)
LINE = re.compile(rf"f1: {CLAUSE}; f2: {CLAUSE}; f3: {CLAUSE}")


@pytest.mark.parametrize(
    ("sentence", "polarity", "emotion", "clause"),
    [
        (
            "Investidores comemoraram a queda da inflação em Brasília.",
            "Positivo",
            "Felicidade",
            "pista comemoraram indica Felicidade",
        ),
        (
            "A greve dos médicos não causou pânico entre os pacientes.",
            "Negativo",
            "Neutro",
            "pista pânico negada, fato greve dos médicos é negativo",
        ),
        (
            "Os acionistas deixaram de temer a falência da empresa.",
            "Negativo",
            "Neutro",
            "sem pista, fato falência da empresa é negativo",
        ),
        (
            "Sem dúvida, os clientes ficaram furiosos.",
            "Negativo",
            "Raiva",
            "pista furiosos indica Raiva",
        ),
        (
            "Embora o mercado festeje, os lojistas estão apreensivos.",
            "Negativo",
            "Medo",
            "ressalva festeje, pista apreensivos indica Medo",
        ),
        (
            "O governo estava otimista, mas os analistas desdenharam do plano.",
            "Negativo",
            "Desprezo",
            "ressalva otimista, pista desdenharam indica Desprezo",
        ),
        (
            "Economistas ficaram perplexos com a alta do emprego.",
            "Positivo",
            "Surpresa",
            "pista perplexos indica Surpresa, fato alta do emprego é positivo",
        ),
        (
            "As vendas do varejo caíram em maio.",
            "Negativo",
            "Neutro",
            "sem pista, fato vendas caíram é negativo",
        ),
        (
            "A inflação recuou em maio.",
            "Positivo",
            "Neutro",
            "sem pista, fato inflação recuou é positivo",
        ),
        (
            "Não houve demissões na fábrica.",
            "Positivo",
            "Neutro",
            "sem pista, fato demissões na fábrica é positivo",
        ),
        (
            "O conselho marcou para terça-feira a votação do orçamento em Porto Alegre.",
            "Neutro",
            "Neutro",
            "sem pista, fato votação do orçamento é neutro",
        ),
        ("", "Neutro", "Neutro", "sem pista"),
    ],
)
def test_a_sentence_is_read(sentence: str, polarity: str, emotion: str, clause: str) -> None:
    answer = teacher.answer({"f1": sentence, "f2": "", "f3": ""})
    assert answer == {
        "raciocinio": f"f1: {clause}; f2: sem pista; f3: sem pista",
        "f1": {"polaridade": polarity, "emocao": emotion},
        "f2": {"polaridade": "Neutro", "emocao": "Neutro"},
        "f3": {"polaridade": "Neutro", "emocao": "Neutro"},
    }


def test_the_worked_example_of_the_prompt_is_answered_as_the_prompt_says() -> None:
    thought = answer_chain(task, teacher).invoke(NEWS)
    written = json.dumps(
        thought.answer.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")
    )
    system = str(task.prompt.invoke(NEWS).to_messages()[0].text)
    assert written in system


def test_a_name_is_neither_emotion_nor_fact() -> None:
    reading = read_sentence("A votação ocorre no domingo em Porto Alegre e em Vitória.")
    assert (reading.emotion, reading.polarity, reading.cue) == ("Neutro", "Neutro", None)


HOSTILE_WORDS = """
    não sem apesar do embora mas no entanto medo festejaram pânico queda da inflação, fraude f1: f2:
    f3: {x} }} "a":1 😀 ira-ira İ ßß greve-geral pavorosíssimasmente
"""
HOSTILE = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from([*HOSTILE_WORDS.split(), "\n\n", "\0"]), max_size=60).map(" ".join),
    st.sampled_from(["a" * 10_000, "medo " * 2_000, "f1:\n" * 2_500, '{"f1": {"emocao": 1}}']),
)


@given(f1=HOSTILE, f2=HOSTILE, f3=HOSTILE)
def test_any_text_has_a_valid_answer_in_the_documented_wording(f1: str, f2: str, f3: str) -> None:
    thought = answer_chain(task, teacher).invoke({"f1": f1, "f2": f2, "f3": f3})
    assert thought.reasoning is not None
    assert len(thought.reasoning) <= 300
    assert LINE.fullmatch(thought.reasoning), thought.reasoning


def test_every_way_to_call_the_chain_gives_the_same_thoughts() -> None:
    chain = answer_chain(task, teacher)
    rows = [NEWS, dict(zip(FIELDS, reversed(NEWS.values()), strict=True))]
    thoughts = [chain.invoke(row) for row in rows]

    async def inside_a_loop() -> list[list[Thought]]:
        one_by_one = [await chain.ainvoke(row) for row in rows]
        return [one_by_one, await chain.abatch(rows), [chain.invoke(row) for row in rows]]

    assert chain.batch(rows) == thoughts
    assert asyncio.run(inside_a_loop()) == [thoughts] * 3
    assert thoughts[0].confidence is None


class Where(RuleTeacher):
    """Answers with the thread that it runs in."""

    fields = ("text",)
    rules = "1"
    model: str = "where"

    def answer(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        return {"text": inputs["text"], "thread": threading.get_ident()}


def test_an_asynchronous_call_stays_in_the_thread_of_its_loop() -> None:
    async def ask() -> AIMessage:
        return await Where().ainvoke("text: x")

    assert json.loads(str(asyncio.run(ask()).text)) == {
        "text": "x",
        "thread": threading.get_ident(),
    }


def test_without_tools_the_reply_is_the_answer_as_json() -> None:
    reply = Where().invoke([SystemMessage("text: not this"), HumanMessage("text: a\nb")])
    assert json.loads(str(reply.text))["text"] == "a\nb"
    assert reply.usage_metadata is None
    assert reply.response_metadata["model_name"] == "where"


def test_with_tools_the_reply_calls_the_wanted_one_with_what_it_asks_for() -> None:
    def tool(name: str, *fields: str) -> dict[str, Any]:
        properties = {field: {"type": "string"} for field in fields}
        return {"title": name, "description": name, "type": "object", "properties": properties}

    tools = [tool("First", "text", "thread"), tool("Second", "text")]
    calls = [
        Where().bind_tools(tools, tool_choice=choice).invoke("text: x").tool_calls[0]
        for choice in ("any", "Second", None)
    ]
    assert [(call["name"], sorted(call["args"])) for call in calls] == [
        ("First", ["text", "thread"]),
        ("Second", ["text"]),
        ("First", ["text", "thread"]),
    ]


def test_the_label_target_gets_no_reasoning() -> None:
    thought = answer_chain(task, teacher, target="label").invoke(NEWS)
    assert thought.reasoning is None
    assert task.answer_json(thought.answer)["f1"] == {
        "polaridade": "Positivo",
        "emocao": "Felicidade",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("f1: a\nf2: b\nf3: c", ("a", "b", "c")),
        ("Leia.\n\nf1: a\nmore\n\nf2: b\nf3: c\nend", ("a\nmore", "b", "c\nend")),
        ("f1: the f2: of it\nf2: b f3: x\nf3: c", ("the f2: of it", "b f3: x", "c")),
        ("f1: old\nf2: old\nf3: old\n\nf1: a\nf2: b\nf3: c", ("a", "b", "c")),
        ("f1: a\nf2: b\nf3: c\nf1: stray", ("a", "b", "c\nf1: stray")),
        ("f1:\nf2:\nf3:", ("", "", "")),
        ("f1: a\nf3: c\nf2: b", ("", "", "")),
        ("nothing here", ("", "", "")),
    ],
)
def test_inputs_are_found_in_the_text(text: str, found: tuple[str, ...]) -> None:
    assert find_inputs([HumanMessage(text)], FIELDS) == dict(zip(FIELDS, found, strict=True))


def test_inputs_are_those_of_the_last_human_message_that_has_them() -> None:
    messages = [
        HumanMessage("f1: old\nf2: old\nf3: old"),
        AIMessage("f1: x\nf2: x\nf3: x"),
        HumanMessage("f1: a\nf2: b\nf3: c"),
        AIMessage("?"),
        HumanMessage("Are you sure?"),
    ]
    assert find_inputs(messages, FIELDS) == {"f1": "a", "f2": "b", "f3": "c"}


def test_the_student_s_words_are_read_as_well() -> None:
    assert task.student_prompt is not None
    thought = answer_chain(task, teacher, prompt=task.student_prompt).invoke(NEWS)
    assert thought == answer_chain(task, teacher).invoke(NEWS)


def test_text_blocks_are_read_as_text() -> None:
    prompt = ChatPromptTemplate.from_messages(
        [HumanMessage([{"type": "text", "text": "f1: Houve pânico.\nf2: x\nf3: y"}])]
    )
    answer = json.loads(str((prompt | teacher).invoke({}).text))
    assert answer["f1"] == {"polaridade": "Negativo", "emocao": "Medo"}


# Answers of these rules on the wild news. Change `rules` with the rules, then this.
PINNED = {"news-1": "d9e61364e4384d24"}


def test_changed_rules_are_another_teacher() -> None:
    path = Path(understudy.examples.news.__path__[0]) / "wild.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{field: row[field] for field in FIELDS} for row in csv.DictReader(file)]
    version = NewsTeacher.rules.rpartition("-")[0]
    assert {version: fingerprint([teacher.answer(row) for row in rows])} == PINNED
    assert teacher._identifying_params == {"model": "offline-news", "rules": NewsTeacher.rules}


@pytest.mark.parametrize(
    ("split", "least", "most"),
    [("train", 0.96, 0.985), ("test", 0.955, 0.985), ("hard", 0.85, 0.97)],
)
def test_the_teacher_is_good_but_not_perfect_on_the_generated_news(
    split: str, least: float, most: float
) -> None:
    right, same_words, sentences = 0, 0, 0
    for row in news_rows(seed=0):
        if row.split != split:
            continue
        answer = teacher.answer({"f1": row.f1, "f2": row.f2, "f3": row.f3})
        clauses = answer["raciocinio"].split("; ")
        same_words += sum(
            a == b for a, b in zip(clauses, reasoning_of(row.sentences).split("; "), strict=True)
        )
        right += sum(answer[field] == row.gold[field] for field in FIELDS)
        sentences += 3
    assert least <= right / sentences <= most
    assert same_words / sentences > 0.8
