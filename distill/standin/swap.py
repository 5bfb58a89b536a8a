"""`swap`: one line that puts a stand-in in the place of a chain in somebody's app."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from ...chains.from_chain import AUTO, app_chain
from ...chains.task import Task
from ...store.rows import Mode
from ..labelling.prices import Price, find_price
from .desk import Desk
from .modes import Modes
from .recorder import BOUND, Recorder
from .redactors import Redactor, without_personal
from .runnable import StandIn
from .student import Student, SwapError

CHECK = 0.05


def swap(
    chain: Runnable[Any, Any],
    *,
    store: str | Path = "understudy.db",
    student: Any = None,
    mode: Mode | None = None,
    agreement: float | None = None,
    name: str | None = None,
    task: Task | None = None,
    schema: Any = None,
    reasoning: str | None = None,
    rendered: bool = False,
    sampling: float = 1.0,
    check: float = CHECK,
    redact: Redactor | None = without_personal,
    store_text: bool = True,
    bound: int = BOUND,
    on_alarm: Callable[[str], None] | None = None,
) -> StandIn:
    """The app's chain as it was, recorded, and step by step replaced by a student.

    `chain` is `prompt | model.with_structured_output(S)`, `prompt | model | PydanticOutputParser`,
    or the structured model alone inside a longer chain; what is asked is read out of it
    (`chains.from_chain.app_chain`), or is `task`, with `schema` where the chain names none and
    `rendered` where the whole conversation is to be the input.

    Modes: "record" (all calls go to the chain and are recorded in `store`), "shadow" (the student
    is asked too, off the caller's path), "cascade" (the student answers where its calibrated
    confidence promises `agreement`, the chain answers the rest), "student" (the chain answers only
    where the student fails). None is what the store says, record at first. The mode is the store's
    row of the stand-in `name` (the task's name by default): `understudy mode`, the watch, another
    process or `.mode = ...` change it in the running app. A row that another than the code has
    changed last outlives a restart.

    `student` is what `Student` takes: a run folder, a server's URL, "provider:model", a chat model
    or a Runnable. `reasoning` is put where the schema requires one that the student does not write.
    `sampling` is the share of calls that are recorded, `check` the share of the student's own
    answers for which the chain is asked afterwards. Where these show that it agrees in less than
    `agreement` (modes cascade and student), the mode goes back to record, in the store and so in
    every process (`guarantee.promise.Promise`); an `agreement` left out is the store's row's.
    `redact`, `store_text` and `bound` are Recorder's. `on_alarm` is told the reason when the mode
    is changed by that, or by a watch.

    A chain that was swapped before is swapped anew, by these options alone; the stand-in that it
    had is closed, and goes on as the chain, unrecorded, where the app still holds it.

    Raises TaskError where the chain cannot be seen through, StudentError or SwapError where the
    student or the mode cannot be. Calls then raise what the chain raises, and nothing else.
    """
    before, chain = (chain, chain.bound) if isinstance(chain, StandIn) else (None, chain)
    app = app_chain(chain, name=name, schema=schema, task=task, rendered=rendered, reasoning=AUTO)
    _check_share("sampling", sampling)
    _check_share("check", check)
    if agreement is not None:
        _check_share("agreement", agreement)
    stands = Student(app, student, reasoning=reasoning) if student is not None else None
    named = name or app.task.name
    modes = Modes(
        store,
        named,
        app.task.name,
        asked=mode,
        agreement=agreement,
        student=stands,
        on_alarm=on_alarm,
    )
    model = app.parts.model
    recorder = Recorder(
        app.task,
        store,
        name=named,
        teacher=model if isinstance(model, BaseChatModel) else model.get_name(),
        student_run=stands.run if stands else None,
        sampling=sampling,
        redact=redact,
        store_text=store_text,
        price=_price(model),
        bound=bound,
    )
    stand_in = StandIn(chain, Desk(chain, app, recorder, stands, check=check), modes)
    if before is not None:
        before.close()
    return stand_in


def _check_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise SwapError(f"{name} is a share from 0 to 1, not {share}")


def _price(model: Any) -> Price | None:
    """What the app's model costs; an app starts whether or not somebody knows it."""
    if isinstance(model, BaseChatModel):
        with contextlib.suppress(Exception):
            return find_price(model)
    return None
