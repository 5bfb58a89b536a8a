"""A student that somebody serves stands in without torch; recording needs the core alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel

from tests.swap_samples import calibrate
from understudy.chains import ChatStudent, Task
from understudy.chains.offline import RuleTeacher
from understudy.distill import swap
from understudy.distill.serving.limits import Limits
from understudy.distill.serving.server import address, listen, student_server
from understudy.store import Store
from understudy.store.stand_ins import iter_calls

TEXTS = ["as vendas caíram", "o banco abriu", "medo de juros", "alegria geral", "nada mudou"]


class MoodTeacher(RuleTeacher):
    """Every sentence is neutral."""

    fields = ("sentence",)
    rules = "mood-1"
    model: str = "mood"

    def answer(self, inputs: Any) -> dict[str, Any]:
        return {"reasoning": "nothing says more", "mood": "Neutro", "urgent": False}


@pytest.fixture(scope="module")
def url(tiny_student: Path) -> Iterator[str]:
    student = ChatStudent(model=str(tiny_student))
    _ = student.engine
    listening = listen("127.0.0.1", 0, key=None)
    server = student_server({"tiny-student": student}, listening, key=None, limits=Limits())
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield address(listening)
    server.should_exit = True
    thread.join(timeout=60)


def test_a_served_student_cascades_by_the_confidences_that_its_server_tells(
    url: str, tmp_path: Path, tiny_task: Task
) -> None:
    store = tmp_path / "u.db"
    model: BaseChatModel = MoodTeacher()
    chain = tiny_task.prompt | model.with_structured_output(tiny_task.schema)
    served = f"{url}#tiny-student"
    shadowed = swap(chain, store=store, task=tiny_task, student=served, mode="shadow")
    asked = [{"sentence": text} for text in TEXTS]
    assert shadowed.batch(asked) == chain.batch(asked)
    assert shadowed.flush(60)
    with Store(store) as opened:
        sure = sorted(call.confidence or 0.0 for call in iter_calls(opened, "tiny"))
    assert 0 < sure[0] < sure[-1] <= 1
    middle = sum(sure[1:3]) / 2
    calibrate(store, shadowed, agreement=0.9, threshold=middle)
    shadowed.close()

    cascade = swap(
        chain, store=store, task=tiny_task, student=served, mode="cascade", agreement=0.9, check=0
    )
    answers = cascade.batch(asked)
    assert cascade.flush(60)
    assert cascade.counts["answered_by_student"] == 3
    assert cascade.counts["escalated"] == 2
    by_teacher = [answer for answer in answers if answer.reasoning == "nothing says more"]
    assert len(by_teacher) == 2


BARE = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from tests.swap_samples import Pupil, app, calibrate, sure
from understudy.distill import swap

store = {store!r}
chain = swap(app(), store=store)
chain.batch([{{"text": f"number {{n}}"}} for n in range(20)])
assert chain.flush() and chain.counts["recorded"] == 20, chain.counts
shadowed = swap(app(), store=store, student=Pupil(sure), mode="shadow")
calibrate(__import__("pathlib").Path(store), shadowed, agreement=0.9, threshold=0.9)
assert shadowed.invoke({{"text": "x"}}).rationale == "it says x"
cascade = swap(app(), store=store, student=Pupil(sure), mode="cascade", agreement=0.9)
assert cascade.invoke({{"text": "x"}}).rationale == "a pupil's"
assert cascade.invoke({{"text": "x?"}}).rationale == "it says x?"
for one in (shadowed, cascade):
    assert one.flush() and not one.counts["failed"], one.counts
"""
HEAVY = (
    *("torch", "transformers", "peft", "llguidance", "langchain", "langchain_openai", "openai"),
    *("numpy", "scipy", "sklearn", "aiohttp", "fastapi", "jinja2", "datasets", "pandas"),
)


def run(script: str) -> None:
    root = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_recording_and_a_cascade_over_a_runnable_need_the_core_alone(tmp_path: Path) -> None:
    run(BARE.format(blocked=HEAVY, store=str(tmp_path / "u.db")))


SERVED = """
import sys
for name in ("torch", "transformers", "peft", "llguidance"):
    sys.modules[name] = None
from tests.swap_samples import PROMPT, Scripted, Verdict
from understudy.chains import Task
from understudy.distill import swap
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel
from typing import Literal

class Mood(BaseModel):
    reasoning: str
    mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
    urgent: bool

prompt = ChatPromptTemplate.from_messages([("human", "Frase: {{sentence}}")])
chain = swap(
    prompt | Scripted().with_structured_output(Mood),
    store={store!r},
    student={url!r},
    mode="student",
    check=0,
)
answers = chain.batch([{{"sentence": "um"}}, {{"sentence": "dois"}}])
assert all(isinstance(answer, Mood) for answer in answers), answers
assert chain.counts["answered_by_student"] == 2, chain.counts
assert chain.flush()
"""


def test_a_served_student_stands_in_without_torch(url: str, tmp_path: Path) -> None:
    run(SERVED.format(store=str(tmp_path / "u.db"), url=f"{url}#tiny-student"))


def test_a_server_that_is_gone_costs_little_and_the_teacher_answers(
    tmp_path: Path, tiny_task: Task
) -> None:
    chain = tiny_task.prompt | MoodTeacher().with_structured_output(tiny_task.schema)
    gone = swap(
        chain,
        store=tmp_path / "u.db",
        task=tiny_task,
        student="http://127.0.0.1:9/v1#tiny-student",
        mode="student",
    )
    for text in TEXTS * 2:
        assert gone.invoke({"sentence": text}) == chain.invoke({"sentence": text})
    assert gone.counts["answered_by_student"] == 0
    assert gone.counts["student_failed"] >= 5
