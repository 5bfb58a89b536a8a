"""A Runnable student is told from another of its name by its parts, in every process alike."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from pydantic import SecretStr

from tests.swap_samples import PROMPT, Keeping, Pupil, Scripted, Verdict, app, calibrate, sure
from understudy.distill import swap
from understudy.distill.guarantee.watching import calibration_of
from understudy.distill.standin.identity import runnable_identity
from understudy.distill.standin.student import SwapError
from understudy.store import Store
from understudy.store.stand_ins import stand_in


class Keyed(Scripted):
    """A model with a key, and with a setting that it does not call identifying."""

    api_key: SecretStr = SecretStr("a")
    openai_api_token: str = ""


def first(asked: Any) -> Any:
    return asked


def second(asked: Any) -> Any:
    return asked


OTHER = ChatPromptTemplate.from_messages([("system", "Judge well."), ("human", "{text}")])


def chain(prompt: Any = PROMPT, model: Any = None, **options: Any) -> Runnable[Any, Any]:
    asked = (model or Scripted()).bind(**options) if options else model or Scripted()
    whole: Runnable[Any, Any] = prompt | asked | Keeping(pydantic_object=Verdict)
    return whole.with_config(run_name="small")


DIFFERENT: dict[str, Runnable[Any, Any]] = {
    "as it is": chain(),
    "another prompt": chain(OTHER),
    "another model": chain(model=Scripted(model="scripted-2")),
    "another option": chain(stop=["."]),
    "a value of it": chain(stop=[","]),
    "a fallback": Scripted().with_fallbacks([Scripted(model="scripted-2")]),
    "another fallback": Scripted().with_fallbacks([Scripted(model="scripted-3")]),
    "a function": RunnableLambda(first, name="small"),
    "another function": RunnableLambda(second, name="small"),
    "a lambda": RunnableLambda(lambda asked: asked["text"], name="small"),
    "another lambda": RunnableLambda(lambda asked: asked["news"], name="small"),
    "half a function": RunnableLambda(partial(first, asked=1), name="small"),
    "the other half": RunnableLambda(partial(first, asked=2), name="small"),
    "in parallel": RunnableParallel(one=PROMPT, two=RunnableLambda(first)),
    "in parallel, the other": RunnableParallel(one=PROMPT, two=RunnableLambda(second)),
    "a class of one's own": Pupil(first),
    "with another function": Pupil(second),
}


def test_what_differs_in_a_part_that_can_be_told_is_another() -> None:
    assert len({runnable_identity(one) for one in DIFFERENT.values()}) == len(DIFFERENT)


def test_what_is_built_again_is_the_same_whatever_its_keys_and_its_state() -> None:
    assert runnable_identity(chain()) == runnable_identity(chain())
    again = RunnableLambda(
        lambda asked: asked[
            "text"  # laid out anew
        ],
        name="small",
    )
    assert runnable_identity(again) == runnable_identity(DIFFERENT["a lambda"])
    keys = [
        Keyed(api_key=SecretStr(key), openai_api_token=key).with_fallbacks([Scripted()])
        for key in "ab"
    ]
    assert runnable_identity(keys[0]) == runnable_identity(keys[1])
    pupil = Pupil(first)
    before = runnable_identity(pupil)
    pupil.batches.append(3)
    assert runnable_identity(pupil) == before


def test_a_runnable_that_holds_itself_is_told_all_the_same() -> None:
    pupil: Any = Pupil(first)
    pupil.outer = pupil.inner = RunnableParallel(one=pupil, two=pupil)
    assert len(runnable_identity(pupil)) == 16


PRINT = """
from tests.test_identity import DIFFERENT
from understudy.distill.standin.identity import runnable_identity
print(*map(runnable_identity, DIFFERENT.values()))
"""


def test_every_process_tells_the_same() -> None:
    root, said = Path(__file__).parents[1], []
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said.append(
            subprocess.run(
                [sys.executable, "-c", PRINT],
                cwd=root, env=environment, capture_output=True, text=True, check=True,
            ).stdout.split()
        )  # fmt: skip
    assert said[0] == said[1] == [runnable_identity(one) for one in DIFFERENT.values()]


def test_another_runnable_of_the_same_name_has_no_part_in_the_calibration(tmp_path: Path) -> None:
    path = tmp_path / "u.db"
    here = swap(app(), store=path, student=Pupil(sure))
    calibrate(path, here, agreement=0.9, threshold=0.5)
    here.close()
    options: dict[str, Any] = {"store": path, "mode": "cascade", "agreement": 0.9}
    chain = swap(app(), student=Pupil(sure), **options)
    assert chain.mode == "cascade"
    chain.invoke({"text": "fine"})
    assert chain.flush(10)
    chain.modes.look()
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
        assert row is not None
        assert calibration_of(opened, row) is not None
        other = row.model_copy(update={"student": "pupil#00000000"})
        assert calibration_of(opened, other) is None
    chain.close()
    with pytest.raises(SwapError, match=r"calibration of pupil for agreement 0\.9 is not there"):
        swap(app(), student=Pupil(first), **options)


@pytest.mark.parametrize("given", ["http://host:8000/v1#pupil", "runs/pupil", "pupil", "a/pupil/"])
def test_the_watch_finds_the_calibration_of_a_student_however_it_is_named(
    tmp_path: Path, given: str
) -> None:
    path = tmp_path / "u.db"
    here = swap(app(), store=path, student=Pupil(sure), mode="shadow")
    calibrate(path, here, agreement=0.9, threshold=0.5)
    here.invoke({"text": "fine"})
    assert here.flush(10)
    here.close()
    with Store(path) as opened:
        row = stand_in(opened, "verdict")
        assert row is not None
        named = row.model_copy(update={"student": given, "agreement": 0.9})
        assert calibration_of(opened, named) is not None
        nobody = row.model_copy(update={"student": f"{given.rstrip('/')}s", "agreement": 0.9})
        assert calibration_of(opened, nobody) is None
