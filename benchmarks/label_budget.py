"""Labelling runs that stop at a sum of money, with everything else drawn at random.

    python -m benchmarks.label_budget [--quick] [--runs N] [--seed N]

Each run draws prices, latency, concurrency, output cap, strategy (of one to four calls a row), the
share of requests that go wrong, and a sum worth 40 to 80 rows at their worst; every third run is
broken off at part of the sum and goes on. The server bills each call by chance: up to a token for
every byte that it was sent, half of them from its cache or none, and up to the output cap; calls
whose answer is lost on the way are billed too. There are more rows than the sum can pay. By the
server's books, priced, no run may cost more than its sum; the last line is one JSON object:
{"runs": .., "over_budget": .., "mean_spent_share": ..}; exit status 1 where one was over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING_V2"] = "false"

from benchmarks.teacher_server import Served, serving
from benchmarks.teacher_task import inputs, new_store, task, teacher
from understudy.chains.strategies import calls_per_row
from understudy.distill.labelling.bounds import prompt_bound
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import Limits, Stopped
from understudy.distill.labelling.prices import Price, Usage, price_per_million

ROWS_PAID = (40, 80)  # at their worst
ROWS_FOR_EACH = 8  # rows at hand for each that is paid at its worst
STRATEGIES: list[tuple[str, int, dict[str, Any]]] = [
    ("vote", 2, {}),
    ("self_consistency", 1, {"samples": 3}),
    ("zero_shot", 1, {}),
    ("two_step", 2, {}),
    ("negotiate", 2, {"rounds": 2}),
    ("zero_shot_cot", 1, {}),
]
NAMES = ("gpt-4o-mini", "gpt-4o")
FAULTS = ("rate_limit", "server_error", "off_schema", "empty", "cut", "reset", "truncated")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One run's circumstances."""

    strategy: str
    models: int
    options: dict[str, Any]
    prices: tuple[Price, ...]
    cap: int
    concurrency: int
    server: dict[str, Any]
    max_usd: float
    rows: int
    broken_off: float | None


def main() -> None:
    """Parse, spend, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="4 runs")
    parser.add_argument("--runs", type=int, help="default 100")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    asked = parser.parse_args()
    runs = asked.runs or (4 if asked.quick else 100)
    shares: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, serving() as served:
        for number in range(runs):
            strategy = STRATEGIES[number % len(STRATEGIES)]
            drawn = draw(random.Random(f"{asked.seed} {number}"), strategy)
            share = spend(served, drawn, Path(folder) / f"{number}.db")
            shares.setdefault(drawn.strategy, []).append(share)
            if (number + 1) % 20 == 0:
                print(f"{number + 1} runs, the highest share {max(map(max, shares.values())):.4f}")
    _print_table(shares)
    spent = [share for some in shares.values() for share in some]
    over = sum(share > 1 for share in spent)
    mean = round(statistics.mean(spent), 4)
    print(json.dumps({"runs": runs, "over_budget": over, "mean_spent_share": mean}))
    if over:
        sys.exit(1)


def draw(rng: random.Random, strategy: tuple[str, int, dict[str, Any]]) -> Drawn:
    """Everything that is left to chance."""
    name, models, options = strategy
    prices = tuple(_price(rng) for _ in range(models))
    cap, fast = rng.choice([60, 120, 200, 400]), rng.uniform(0.001, 0.01)
    faulty = rng.choice([0, 0, 0.02, 0.08])
    mix = {fault: faulty / len(FAULTS) for fault in FAULTS}
    concurrency = rng.choice([4, 8, 16, 32, 64] if faulty else [1, 4, 16, 64])
    paid = rng.uniform(*ROWS_PAID)
    calls = calls_per_row(name, models=models, **options)
    dearest = max(price.worst(_prompt_bound(), cap) for price in prices)
    return Drawn(
        strategy=name,
        models=models,
        options=options,
        prices=prices,
        cap=cap,
        concurrency=concurrency,
        server={
            "latency": (fast, fast * rng.uniform(1, 3)),
            "usage": "random",
            "seed": rng.randrange(10**6),
            "mix": mix,
            "retry_after": 0,
        },
        max_usd=paid * calls * dearest,
        rows=int(paid * ROWS_FOR_EACH),
        broken_off=rng.uniform(0.2, 0.8) if rng.random() < 1 / 3 else None,
    )


def spend(served: Served, drawn: Drawn, path: Path) -> float:
    """Label until the sum is spent; the share of it that the server's books say was spent."""
    served.reset(**drawn.server)
    names = NAMES[: drawn.models]
    models = [
        teacher(served.url, model=name, max_tokens=drawn.cap, temperature=1.0) for name in names
    ]
    sums = [drawn.max_usd * drawn.broken_off] if drawn.broken_off else []
    with new_store(path, drawn.rows) as store:
        for sum_ in [*sums, drawn.max_usd]:
            try:
                label(
                    task,
                    models,
                    store,
                    strategy=drawn.strategy,
                    options=drawn.options,
                    concurrency=drawn.concurrency,
                    limits=Limits(max_usd=sum_, timeout=60),
                    prices=drawn.prices,
                )
            except Stopped:
                continue
            sys.exit(f"{drawn} ran out of rows before its money")
    billed = served.ledger()["billed"]
    usd = sum(
        price.cost(
            Usage(
                input_tokens=billed[name]["input"],
                output_tokens=billed[name]["output"],
                cached_tokens=billed[name]["cached"],
            )
        )
        for name, price in zip(names, drawn.prices, strict=True)
        if name in billed
    )
    return usd / drawn.max_usd


def _price(rng: random.Random) -> Price:
    """From a tenth of a dollar to 30 per million tokens; what is cached costs a tenth or all."""
    taken, written = 10 ** rng.uniform(-1, 1.0), 10 ** rng.uniform(-0.5, 1.5)
    cached = taken * rng.choice([0.1, 0.5, 1])
    return price_per_million("drawn", input=taken, output=written, cached_input=cached)


def _prompt_bound() -> int:
    """The most input tokens of one call of the task."""
    (row,) = inputs(1)
    schema = {"type": "json_schema", "json_schema": task.json_schema("reason_label")}
    return prompt_bound(task.prompt.format_messages(**row), {"response_format": schema})


def _print_table(shares: dict[str, list[float]]) -> None:
    print(f"{'strategy':18}{'runs':>5}{'mean':>8}{'lowest':>8}{'median':>8}{'highest':>9}")
    for name, some in [*shares.items(), ("all", [x for part in shares.values() for x in part])]:
        print(
            f"{name:18}{len(some):5}{statistics.mean(some):8.3f}{min(some):8.3f}"
            f"{statistics.median(some):8.3f}{max(some):9.4f}"
        )


if __name__ == "__main__":
    main()
