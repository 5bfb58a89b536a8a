"""A student behind somebody's OpenAI-compatible server, beside the same student in this process.

    python -m benchmarks.foreign_servers --url URL --student RUN --store STORE [--quick] [--pid PID]

The server has loaded what `understudy merge` wrote. The task chain asks it for held-out rows of the
store, one by one and `--at-once` together, through ChatStudent(base_url=URL); the student in RUN
answers the same rows here, in float32. Counted are answers that fit the schema, answers that are
equal, and rows that failed. `held` says whether an answer also fits a schema that the student never
learnt: a server that takes a schema and does not hold to it shows here. Then a free text is
streamed, a model is asked for that nobody serves, and, with `--pid`, the server of that process id
is killed while it answers. The last line is one JSON object: {"server", "rows", "valid", "equal",
"at_once", "at_once_valid", "held", "chunks", "p50_ms", "refused", "wrong_name", "killed"};
`refused` and the last two are what a caller is told, or null.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING_V2"] = "false"  # texts stay here, and the figures are without it

from langchain_core.runnables import Runnable
from pydantic import SecretStr

from understudy.chains import ChatStudent, Task, Thought, answer_chain, load_task
from understudy.store.store import Store

TASK = "understudy.examples.news.task:task"
NOBODY = "nobody-serves-this"
TEXT = {"type": "text"}
UNKNOWN = {
    "type": "object",
    "properties": {
        "zebra": {"type": "integer", "enum": [7]},
        "quagga": {"type": "string", "enum": ["q"]},
    },
    "required": ["zebra", "quagga"],
    "additionalProperties": False,
}
Inputs = Sequence[dict[str, Any]]
Told = Thought | Exception


def held_out(store: Path, task: Task, split: str, rows: int) -> list[dict[str, Any]]:
    """The inputs of the first rows of a split."""
    with Store(store) as opened:
        return [dict(one.inputs) for one in opened.examples(task.name, split=split)[:rows]]


def one_by_one(chain: Runnable[Any, Thought], rows: Inputs) -> tuple[list[Told], list[float]]:
    """What the chain answers to each row, and the seconds that it took."""
    answers: list[Told] = []
    took = []
    for row in rows:
        start = time.perf_counter()
        try:
            answers.append(chain.invoke(row))
        except Exception as error:  # noqa: BLE001 - whatever a client raises is a result
            answers.append(error)
        took.append(time.perf_counter() - start)
    return answers, took


async def together(chain: Runnable[Any, Thought], rows: Inputs) -> list[Told | BaseException]:
    """The same, all at once."""
    return await asyncio.gather(*(chain.ainvoke(row) for row in rows), return_exceptions=True)


def same(one: Any, other: Any) -> bool:
    """Whether two Thoughts say the same, reasoning included."""
    both = isinstance(one, Thought) and isinstance(other, Thought)
    return both and (one.reasoning, one.answer) == (other.reasoning, other.answer)


def said(answers: Sequence[Any]) -> str | None:
    """The most frequent error in one line; None where there is none."""
    lines = [" ".join(str(one).split()) for one in answers if isinstance(one, BaseException)]
    return statistics.mode(lines)[:300] if lines else None


def held(student: ChatStudent, question: str) -> bool | str:
    """Whether an answer is held to a schema that no student has learnt; else what is said."""
    form = {"type": "json_schema", "json_schema": {"name": "unknown", "schema": UNKNOWN}}
    stranger = ChatStudent(
        model=student.model_name,
        base_url=student.base_url,
        api_key=student.api_key,
        timeout=student.timeout,
    )
    try:
        message = stranger.invoke(question, response_format=form, max_tokens=100)
    except Exception as error:  # noqa: BLE001 - as above
        return str(error)[:300]
    with contextlib.suppress(ValueError):
        return bool(json.loads(str(message.content)) == {"zebra": 7, "quagga": "q"})
    return False


def chunks(student: ChatStudent, question: str) -> int | str:
    """How many parts a streamed free text has; else what is said."""
    try:
        parts = list(student.stream(question, response_format=TEXT, max_tokens=24))
    except Exception as error:  # noqa: BLE001 - as above
        return str(error)[:300]
    return sum(bool(part.content) for part in parts)


def wrong_name(student: ChatStudent) -> str | None:
    """What is said where a name is asked for that nobody serves; None if it is answered."""
    try:
        student.invoke("oi", model=NOBODY, max_tokens=4)
    except Exception as error:  # noqa: BLE001 - as above
        return str(error)[:300]
    return None


async def killed(chain: Runnable[Any, Thought], rows: Inputs, pid: int) -> list[Any]:
    """What rows are told whose server is killed while it answers them."""
    asking = [asyncio.ensure_future(chain.ainvoke(row)) for row in [*rows] * 5]
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return await asyncio.gather(*asking, return_exceptions=True)


def measured(
    task: Task,
    student: str,
    url: str,
    rows: Inputs,
    *,
    at_once: int = 20,
    pid: int | None = None,
    api_key: SecretStr | None = None,
) -> dict[str, Any]:
    """The figures of one server; see the module's docstring for what they are."""
    there = ChatStudent(model=student, base_url=url, api_key=api_key, timeout=300)
    here, chain = answer_chain(task, ChatStudent(model=student)), answer_chain(task, there)
    wanted = here.batch(list(rows))
    answers, took = one_by_one(chain, rows)
    many = list(rows)[:at_once]
    crowd = asyncio.run(together(chain, many))
    question = str(task.student_prompt.invoke(rows[0]).to_string())
    figures = {
        "rows": len(rows),
        "valid": sum(isinstance(one, Thought) for one in answers),
        "equal": sum(map(same, answers, wanted)),
        "at_once": len(many),
        "at_once_valid": sum(isinstance(one, Thought) for one in crowd),
        "held": held(there, question),
        "chunks": chunks(there, question),
        "p50_ms": round(statistics.median(took) * 1000, 1),
        "refused": said([*answers, *crowd]),
        "wrong_name": wrong_name(there),
        "killed": None,
    }
    if pid is not None:
        figures["killed"] = said(asyncio.run(killed(chain, many, pid)))
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    words = {
        "valid": "answers that fit the schema",
        "equal": "answers equal to the student's here",
        "at_once_valid": "answers that fit, asked together",
        "held": "a schema it never learnt is held",
        "chunks": "parts of a streamed text",
        "p50_ms": "milliseconds of a row, median",
        "refused": "rows that failed were told",
        "wrong_name": "a model nobody serves",
        "killed": "the server is killed",
    }
    of = {"valid": "rows", "equal": "rows", "at_once_valid": "at_once"}
    lines = []
    for name, what in words.items():
        value = "answered all the same" if figures[name] is None else figures[name]
        if figures[name] is None and name != "wrong_name":
            value = "-"
        total = f" of {figures[of[name]]}" if name in of else ""
        lines.append(f"{what:38}{value}{total}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, then the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True, help="http://HOST:PORT/v1, or .../v1#NAME")
    parser.add_argument("--student", required=True, help="the run folder that was merged")
    parser.add_argument("--store", required=True, type=Path, help="where held-out rows are")
    parser.add_argument("--task", default=TASK)
    parser.add_argument("--split", default="test")
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--server", default="a server", help="its name and version, for the table")
    parser.add_argument("--pid", type=int, help="kill this process while it answers")
    parser.add_argument("--quick", action="store_true", help="8 rows, 4 at once")
    given = parser.parse_args()
    count, at_once = (8, 4) if given.quick else (given.rows, given.at_once)
    task = load_task(given.task)
    rows = held_out(given.store, task, given.split, count)
    if not rows:
        sys.exit(f"{given.store} has no rows of task {task.name} in split {given.split}")
    figures = measured(task, given.student, given.url, rows, at_once=at_once, pid=given.pid)
    print(f"{given.server}, student {Path(given.student).name}\n{table(figures)}")
    print(json.dumps({"server": given.server, **figures}, ensure_ascii=False))


if __name__ == "__main__":
    main()
