"""The teacher's agreement with itself, and that it stands beside every agreement."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from understudy.distill.evaluation.ceiling import repeat_of, self_agreement
from understudy.distill.evaluation.comparing import compare
from understudy.distill.evaluation.systems import teaching_run
from understudy.distill.labelling.label import label
from understudy.distill.reporting.pages import render_markdown
from understudy.examples.news.task import task
from understudy.store import Example, Store, example_id

NEUTRAL = {"polaridade": "Neutro", "emocao": "Neutro"}
GLAD = {"polaridade": "Positivo", "emocao": "Felicidade"}


class Fickle(BaseChatModel):
    """Says the same of every row, but of the third headline of some something else next time."""

    times: dict[str, int] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "fickle"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        text = str(messages[-1].text)
        self.times[text] = self.times.get(text, 0) + 1
        changed = " par " in text and self.times[text] > 1
        answer = {
            "raciocinio": "x",
            "f1": NEUTRAL,
            "f2": NEUTRAL,
            "f3": GLAD if changed else NEUTRAL,
        }
        call = {"name": "Noticia", "args": answer, "id": "1"}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=[call]))])


@pytest.fixture
def store() -> Any:
    with Store(":memory:") as opened:
        rows = [
            {"f1": "Sol.", "f2": "Chuva.", "f3": f"Dia {'ímpar' if n % 4 else 'par'} {n}."}
            for n in range(60)
        ]
        opened.add_examples(
            Example(
                id=example_id(row),
                task=task.name,
                split="train" if n < 40 else "test",
                inputs=row,
                gold={"f1": NEUTRAL, "f2": NEUTRAL, "f3": NEUTRAL},
            )
            for n, row in enumerate(rows)
        )
        yield opened


def test_asked_twice_the_share_of_equal_parts_is_the_ceiling(store):
    model = Fickle(times={})
    run = label(task, model, store)
    assert self_agreement(task, store, run) is None
    again = label(task, model, store, sample=48, repeat=True)
    assert repeat_of(store, run) == again
    inputs = {example.id: example.inputs["f3"] for example in store.examples(task.name)}
    texts = [inputs[record.example] for record in store.records(again.id)]
    changed = sum(" par " in text for text in texts)
    score = self_agreement(task, store, run)
    assert score is not None
    assert score.n == 48 * 3
    assert score.value == pytest.approx(1 - changed / (48 * 3))
    assert score.low is not None
    assert changed > 0
    assert score.low < (score.value or 0) < (score.high or 0)


def test_a_repeated_run_teaches_nobody_and_is_no_system_but_shows_in_the_report(store):
    model = Fickle(times={})
    run = label(task, model, store)
    before = compare(task, store)
    label(task, model, store, sample=30, repeat=True)
    assert teaching_run(store, task) == run
    report = compare(task, store)
    assert [system.run for system in report.systems] == [run.id]
    assert (before.ceiling, report.ceiling) == (None, self_agreement(task, store, run))
    assert any("--repeat 200" in note for note in before.notes)
    assert report.ceiling is not None
    assert f"{100 * (report.ceiling.value or 0):.1f}" in render_markdown(report)
