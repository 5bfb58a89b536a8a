"""What a system takes: seconds, tokens, dollars; what its training took; when it has paid off."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...store.rows import Run, Score
from ...store.store import Store
from ..statistics import mean_amount
from .answered import Answering, Marks, Sheet
from .results import BreakEven, Effort
from .trained import trained

PEAK = "peak_memory_mb"  # in the details of a local model's records
# Rows that are in work at once: a local model's (systems.evaluate), another's (the default). Where
# a run is too short for its time stamps, throughput follows from Little's law.
AT_ONCE = {"student": 64, "base": 64}
OTHERS = 8
ONE_BY_ONE = ("majority", "tfidf", "notebook")
LONG = 10.0  # seconds of a run from which on its time stamps, whole seconds, say how fast it was
IDLE = 0.5  # the share of the time that a machine is assumed to be at work, at worst


def effort_of(
    run: Run,
    marks: Marks,
    rows_per_second: float | None = None,
    machine_usd_per_hour: float | None = None,
    peak_memory_mb: float | None = None,
) -> Effort:
    """Means over the rows that were asked; the latency's median and 95th percentile (nearest rank).

    Money comes from the prices of the calls where a record has one; else, for what runs on a
    machine of one's own, from its price per hour and the throughput of the run.
    """
    import numpy as np

    asked = marks.asked
    seconds = marks.seconds[asked]
    seconds = seconds[~np.isnan(seconds)]
    cost, basis = _mean(marks.cost[asked]), "prices of the calls"
    if cost is None or (cost == 0 and run.role != "teacher"):
        cost = machine_usd(rows_per_second, machine_usd_per_hour)
        basis = "machine"
    return Effort(
        seconds_median=_percentile(seconds, 0.5),
        seconds_p95=_percentile(seconds, 0.95),
        rows_per_second=rows_per_second,
        input_tokens=_mean(marks.input_tokens[asked]),
        output_tokens=_mean(marks.output_tokens[asked]),
        cost=None if cost is None else 1000 * cost,
        cost_basis=None if cost is None else basis,
        peak_memory_mb=peak_memory_mb,
    )


def machine_usd(rows_per_second: float | None, machine_usd_per_hour: float | None) -> float | None:
    """US dollars of one row on a machine at this price, kept busy; None where either is unknown."""
    if not rows_per_second or machine_usd_per_hour is None:
        return None
    return machine_usd_per_hour / 3600 / rows_per_second


def rows_per_second(store: Store, run: Run) -> float | None:
    """The throughput of a run over the time in which it was at work; None where it asked no row.

    A record says when it was ready, to the second, and how long it took. Pauses between two calls
    of the command count for nothing. A run of less than LONG seconds is timed by its rows' seconds
    and how many were in work at once (Little's law), and never as faster than its time stamps, a
    second in the dark, allow: fewer may have been in work.
    """
    ticks = store.connection.read(
        "select created, count(*) as n, sum(seconds) as total, max(seconds) as longest "
        "from records where run = (select position from runs where id = :run) and attempts > 0 "
        "group by created order by created",
        run=run.id,
    )
    rows = sum(tick["n"] for tick in ticks)
    if not rows:
        return None
    moments = [(_epoch(tick["created"]), tick["longest"] or 0.0) for tick in ticks]
    busy = _busy([(at, longest) for at, longest in moments if at is not None])
    if busy < LONG:
        total = sum(tick["total"] or 0.0 for tick in ticks)
        alone = run.role == "baseline" and run.name in ONE_BY_ONE
        at_once = min(rows, 1 if alone else AT_ONCE.get(run.role, OTHERS))
        busy = max(total / at_once, busy - 1)
    return rows / busy if busy > 0 else None


def peak_memory(store: Store, run: Run) -> float | None:
    """The most memory, in MiB, that the process of a local model had while it answered."""
    (found,) = store.connection.read(
        f"select max(details ->> '$.{PEAK}') as peak from records "
        "where run = (select position from runs where id = :run) and details is not null",
        run=run.id,
    )
    return None if found["peak"] is None else float(found["peak"])


def training_of(
    store: Store, run: Run, machine_usd_per_hour: float | None = None
) -> dict[str, float]:
    """What a student's training took, by the card in its run folder: seconds, rows, usd.

    Empty where the folder is gone or holds another student by now.
    """
    known = trained(store, run)
    return {} if known is None else _training_facts(known[1].training, machine_usd_per_hour)


def _training_facts(
    facts: Mapping[str, Any], machine_usd_per_hour: float | None
) -> dict[str, float]:
    found = {name: float(facts[name]) for name in ("seconds", "rows") if facts.get(name)}
    if machine_usd_per_hour is not None and "seconds" in found:
        found["usd"] = found["seconds"] / 3600 * machine_usd_per_hour
    return found


def label_costs(store: Store, teacher: Run, split: str = "train") -> tuple[int, float | None]:
    """How many of the split's rows the teacher labelled, and for how many US dollars in all.

    None where the cost of any row is not known: unknown is not free.
    """
    (found,) = store.connection.read(
        "select count(*) as n, count(r.cost) as priced, total(r.cost) as usd from records r "
        "join examples e on e.position = r.example where e.split = :split "
        "and r.run = (select position from runs where id = :run) and r.answer is not null",
        run=teacher.id,
        split=split,
    )
    return found["n"], found["usd"] if found["priced"] == found["n"] > 0 else None


def break_even(
    student: str,
    *,
    teacher: Score,
    machine: float | None,
    training: float | None,
    labels: float | None,
) -> BreakEven:
    """After how many rows a student has paid for itself.

    `teacher` is the price of a row with its interval, `machine` that of the student's row on a busy
    machine, `training` and `labels` what was paid once; all in US dollars. The low end takes the
    teacher at the dear end of its interval and the labels as bought anyway; the high end takes it
    at the cheap end, counts the labels, and has the machine busy half of the time.
    """
    if teacher.value is None or not teacher.value:
        why = "is not known" if teacher.value is None else "is nothing"
        return _no_range(student, f"what a row of the teacher costs {why}")
    if machine is None and training is None:
        return _no_range(student, "its machine has no price: give --machine-usd-per-hour")
    if training is None:
        return _no_range(student, "what its training took stood in its run folder, which is gone")
    if machine is None:
        return _no_range(student, "its throughput was not measured")
    dear = teacher.high if teacher.high is not None else teacher.value
    cheap = teacher.low if teacher.low is not None else teacher.value
    low = _rows(training, dear - machine)
    high = _rows(training + (labels or 0.0), cheap - machine / IDLE)
    sentence = _paid_after(student, low, high, labels)
    paid = f"${training:.2f} of training" + (f" and ${labels:.2f} of labels" if labels else "")
    each = f"1,000 rows cost {_usd(1000 * teacher.value)} by the teacher"
    each += f" and {_usd(1000 * machine)} by the student on a busy machine"
    return BreakEven(
        student=student, rows_low=low, rows_high=high, sentence=f"{sentence}. {paid}; {each}."
    )


def _paid_after(student: str, low: int | None, high: int | None, labels: float | None) -> str:
    """The range, with what was assumed for either end."""
    if low is None:
        return f"{student} does not pay for itself: a row costs no less than the teacher's"
    counted = ", the labels counted" if labels else ""
    free = ", the labels taken as bought anyway" if labels else ""
    best = f"{student} has paid for itself after {low:,} rows (at best: a busy machine{free})"
    if high is None:
        return f"{best}, or never, where the machine is idle half of the time"
    return f"{best} to {high:,} (the machine idle half of the time{counted})"


def _usd(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 0.01 else f"${amount:.2g}"


def break_evens(
    store: Store,
    sheet: Sheet,
    found: Iterable[Answering],
    *,
    reference: Answering | None,
    teaching: Run | None,
    speeds: Mapping[str, float | None],
    machine_usd_per_hour: float | None = None,
) -> list[BreakEven]:
    """`break_even` of every student on one split; `speeds` are rows per second by run id.

    None at all where nobody asks what it costs: no row of the teacher has a price, or no machine.
    """
    if reference is None or sheet.split not in reference.sheets:
        return []
    marks = reference.sheets[sheet.split]
    price = mean_amount(marks.cost[marks.asked], groups=sheet.groups[marks.asked])
    if not price.value and machine_usd_per_hour is None:
        return []
    labels = label_costs(store, teaching)[1] if teaching is not None else None
    found_even = []
    for one in found:
        if one.run.role != "student" or sheet.split not in one.sheets:
            continue
        even = break_even(
            one.name,
            teacher=price,
            machine=machine_usd(speeds.get(one.run.id), machine_usd_per_hour),
            training=training_of(store, one.run, machine_usd_per_hour).get("usd"),
            labels=labels,
        )
        prompts = _prompts(one.sheets[sheet.split], marks)
        found_even.append(even.model_copy(update={"sentence": even.sentence + prompts}))
    return found_even


def _prompts(student: Marks, teacher: Marks) -> str:
    """What the student's short prompt saves."""
    mine, theirs = (_mean(marks.input_tokens[marks.asked]) for marks in (student, teacher))
    if mine is None or theirs is None:
        return ""
    return f" It reads {mine:,.0f} tokens a row, the teacher {theirs:,.0f}."


def _no_range(student: str, why: str) -> BreakEven:
    sentence = f"When {student} has paid for itself is not known: {why}."
    return BreakEven(student=student, rows_low=None, rows_high=None, sentence=sentence)


def _rows(paid: float, saved: float) -> int | None:
    return math.ceil(paid / saved) if saved > 0 else None


def _busy(ticks: Sequence[tuple[float, float]]) -> float:
    """Seconds of the stretches in which something was in work; (ready, longest) in order."""
    total, begun, until = 0.0, 0.0, -math.inf
    for ready, longest in ticks:
        if ready - longest > until + 1.5:  # whole seconds: two ticks in a row may be 1.5 s apart
            total += max(0.0, until - begun)
            begun = ready - longest
        until = ready
    return total + max(0.0, until - begun)


def _epoch(text: str) -> float | None:
    """Seconds; None for what is no time, as a record that was made elsewhere may have it."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _mean(values: Any) -> float | None:
    import numpy as np

    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _percentile(values: Any, share_of: float) -> float | None:
    import numpy as np

    return float(np.quantile(values, share_of, method="inverted_cdf")) if values.size else None
