"""What `label` reaches against an OpenAI-compatible server in a process of its own.

    python -m benchmarks.label [--quick] [--rows N] [--rounds N]

Through langchain-openai's own client, 64 calls in flight. (a) An answer takes 1 s: rows per second
in steady state (the first and the last waves left out) over the ideal 64. (b) It takes 50 ms: rows
per client CPU-second of `label`, store commits included, over LangChain's stock chain `prompt |
model.with_structured_output(schema, include_raw=True)` under abatch, taking turns in one process,
median of the rounds; other forms of the stock chain stand beside it. (c) Memory of a process that
labels 200,000 rows with a teacher of its own, over what it held after 1,000. (d) The server's own
count of requests and tokens against the sum of the records, in all runs and in one more in which
the server fails in every way that it does not bill unseen. The last line is one JSON object:
{"ideal_share_1s": .., "speedup_50ms": .., "rss_growth_mb": .., "ledger_matches": true or false}.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING_V2"] = "false"  # texts stay here, and the figures are without it

from benchmarks.teacher_server import Served, serving
from benchmarks.teacher_task import Sentiment, inputs, new_store, task, teacher
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import Limits

AT_ONCE = 64
STOCK = "stock chain, json_schema"
OURS = "label()"
TOOLS = "function_calling"
FAULTS = ("rate_limit", "server_error", "unavailable", "off_schema", "empty", "refusal", "twice")
PATIENT = Limits(timeout=30)
Ask = Callable[[int], Coroutine[Any, Any, Any]]
Close = Callable[[], Coroutine[Any, Any, Any]]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--rows", type=int, help="of a round at 50 ms; default 1000")
    parser.add_argument("--rounds", type=int, default=0, help="at 50 ms; default 5")
    asked = parser.parse_args()
    rows, rounds = (
        asked.rows or (128 if asked.quick else 1000),
        asked.rounds or (3 if asked.quick else 5),
    )
    with tempfile.TemporaryDirectory() as folder, serving() as served:
        bench = Bench(served, Path(folder))
        share = bench.steady_share(waves=3 if asked.quick else 40)
        speed = bench.speeds(rows, rounds, all_forms=not asked.quick)
        bench.misbehaving(64 if asked.quick else 2000)
    growth = _memory(2_000 if asked.quick else 200_000)
    print(
        json.dumps(
            {
                "ideal_share_1s": round(share, 4),
                "speedup_50ms": round(speed[OURS] / speed[STOCK], 3),
                "rss_growth_mb": round(growth, 1),
                "ledger_matches": bench.matches,
            }
        )
    )


class Bench:
    """The runs against one server; `matches` is whether its books agreed with ours each time."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.runs, self.matches = 0, True

    def label(self, rows: int, *, limits: Limits = PATIENT, **settings: Any) -> dict[str, Any]:
        """Label new rows in a new store; CPU seconds, and when each row was stored."""
        self.served.reset(**settings)
        self.runs += 1
        times: list[float] = []
        with new_store(self.folder / f"{self.runs}.db", rows) as store:
            began, cpu = time.perf_counter(), time.process_time()
            run = label(
                task,
                teacher(self.served.url),
                store,
                concurrency=AT_ONCE,
                limits=limits,
                progress=lambda *_: times.append(time.perf_counter()),
            )
            cpu, wall = time.process_time() - cpu, time.perf_counter() - began
            self._compare(list(store.iter_records(run.id)), rows)
        return {"cpu": cpu, "wall": wall, "times": times}

    def _compare(self, records: list[Any], rows: int) -> None:
        books = self.served.ledger()
        ours = (
            len(records),
            sum(record.attempts for record in records),
            sum(record.input_tokens or 0 for record in records),
            sum(record.output_tokens or 0 for record in records),
        )
        theirs = (
            rows,
            books["requests"],
            self.served.billed("input"),
            self.served.billed("output"),
        )
        if ours != theirs:
            self.matches = False
            print(f"rows, requests, tokens in, out: ours {ours}, the server's {theirs}")

    def steady_share(self, *, waves: int) -> float:
        """Rows per second at 1 s latency over the ideal, without ramp-up and ramp-down.

        All calls start at once and spread over the second in the course of the first waves.
        """
        got = self.label(waves * AT_ONCE, latency=(1.0, 1.0))
        first, last = (waves // 2) * AT_ONCE, (waves - 1) * AT_ONCE
        seconds = got["times"][last - 1] - got["times"][first - 1]
        rate = (last - first) / seconds
        print(
            f"1 s latency, {AT_ONCE} in flight: {rate:.1f} rows/s of {AT_ONCE} "
            f"({rate / AT_ONCE:.1%}) over {last - first} rows; "
            f"{got['cpu'] / len(got['times']) * 1e3:.2f} ms CPU a row\n"
        )
        return rate / AT_ONCE

    def speeds(self, rows: int, rounds: int, *, all_forms: bool) -> dict[str, float]:
        """Rows per client CPU-second at 50 ms latency: the median of the rounds, per contender."""
        loop = asyncio.new_event_loop()  # one for all rounds: their HTTP clients belong to it
        contenders = _stock_chains(self.served.url)
        if not all_forms:
            contenders = {STOCK: contenders[STOCK]}
        cpu: dict[str, list[float]] = {name: [] for name in [*contenders, OURS]}
        wall: dict[str, list[float]] = {name: [] for name in cpu}
        for number in range(rounds + 1):
            for name in cpu:
                size = rows if number else AT_ONCE  # the first round is for warming up
                if name == OURS:
                    got = self.label(size, latency=(0.05, 0.05))
                else:
                    self.served.reset(latency=(0.05, 0.05))
                    got = _timed(loop, contenders[name][0], size)
                if number:
                    cpu[name].append(rows / got["cpu"])
                    wall[name].append(rows / got["wall"])
        for _, close in contenders.values():
            loop.run_until_complete(close())
        loop.close()
        medians = {name: statistics.median(values) for name, values in cpu.items()}
        print(f"50 ms latency, {AT_ONCE} in flight, {rows} rows, median of {rounds} rounds:")
        print(f"{'':38}{'rows/CPU-s':>11}{'ms CPU/row':>11}{'rows/s':>8}{'over stock':>11}")
        for name, speed in medians.items():
            print(
                f"{name:38}{speed:11.0f}{1e3 / speed:11.2f}{statistics.median(wall[name]):8.0f}"
                f"{speed / medians[STOCK]:11.2f}"
            )
        return medians

    def misbehaving(self, rows: int) -> None:
        """A run in which a request in four goes wrong, in ways whose bill can be seen."""
        mix = {name: 0.25 / len(FAULTS) for name in FAULTS}
        got = self.label(rows, mix=mix, retry_after=0)
        met = {name: n for name, n in self.served.ledger()["met"].items() if name != "good"}
        print(f"\n{rows} rows, {met}: {got['wall']:.1f} s; ", end="")
        print("the server's books agree" if self.matches else "THE BOOKS DIFFER")


def _stock_chains(url: str) -> dict[str, tuple[Ask, Close]]:
    """LangChain's own ways to do this: a function that answers so many rows, and one to end."""
    model = teacher(url, max_retries=0)
    forms = {STOCK: (model, "json_schema"), "stock chain, function_calling": (model, TOOLS)}
    if importlib.util.find_spec("aiohttp"):
        import openai

        quick = teacher(url, max_retries=0, http_async_client=openai.DefaultAioHttpClient())
        forms |= {f"{name}, aiohttp": (quick, how) for name, (_, how) in list(forms.items())}
    return {
        name: (_stock(model, method), model.root_async_client.close)
        for name, (model, method) in forms.items()
    }


def _stock(model: Any, method: str) -> Ask:
    structured = model.with_structured_output(Sentiment, method=method, include_raw=True)
    chain = task.prompt | structured

    async def ask(rows: int) -> None:
        answers = await chain.abatch(list(inputs(rows)), {"max_concurrency": AT_ONCE})
        assert all(answer["parsed"] is not None for answer in answers)

    return ask


def _timed(loop: asyncio.AbstractEventLoop, ask: Ask, rows: int) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    loop.run_until_complete(ask(rows))
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - began}


def _memory(rows: int) -> float:
    """MB, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.label_memory", "--rows", str(rows)]
    root = Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    *table, last = ended.stdout.splitlines()
    print("\n" + "\n".join(table))
    growth: float = json.loads(last)["rss_growth_mb"]
    return growth


if __name__ == "__main__":
    main()
