"""A cascade end to end on the sample task: train, calibrate, answer, learn from what was passed on.

    python -m benchmarks.cascade [--folder FOLDER] [--agreement 0.95] [--seed 0] [--quick]

The news task's offline teacher labels 1,200 training rows, and validation and calibration rows
drawn as production's are: three of four like the training rows, one of four with words that the
student never saw. A student of the embedded base is trained and calibrated; then production comes:
what the student is unsure of the teacher answers, and those rows, marked as escalated so that no
calibration takes them for a fair sample, become training rows of a second student, which is
calibrated on the same untouched rows. Both answer a second wave. "at least" is what was promised,
"live" what came true. The teacher costs a made-up 2.50 and 10 dollars per million tokens. FOLDER
keeps stores and students; run again, it resumes. The last line is one JSON object:
{"agreement", "coverage", "live_agreement", "escalated", "coverage_after", "live_agreement_after",
"usd_per_1000": {"teacher", "cascade", "after"}}; shares are of the second wave.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.outputs import ChatResult

from understudy.chains.offline import NewsTeacher
from understudy.distill.commands.calibrate import told
from understudy.distill.guarantee.applying import accepts
from understudy.distill.guarantee.asking import ask, student_of
from understudy.distill.guarantee.calibrating import calibrate
from understudy.distill.guarantee.rows import Judged, judged
from understudy.distill.labelling.label import label
from understudy.distill.labelling.prices import price_per_million
from understudy.distill.runs import now
from understudy.distill.training.train import train
from understudy.examples.news.generate import NewsRow, news_rows
from understudy.examples.news.task import task
from understudy.store import Example, Store, example_id
from understudy.store.rows import Calibration, Call, StandIn
from understudy.store.stand_ins import Remembered, add_remembered

PRICE = price_per_million("made up for the benchmark", input=2.5, output=10)
APP = "benchmark"


class Metered(NewsTeacher):
    """The offline teacher with a token count: a quarter of the characters, as English has them."""

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        result = super()._generate(messages, stop, run_manager, **kwargs)
        message: Any = result.generations[0].message
        asked = sum(len(str(one.content)) for one in messages) // 4
        said = len(json.dumps([one["args"] for one in message.tool_calls]) + message.content) // 4
        message.usage_metadata = {
            "input_tokens": asked, "output_tokens": said, "total_tokens": asked + said,
        }  # fmt: skip
        return result


teacher = Metered()


@dataclass(frozen=True)
class Sizes:
    """Rows of each part, and how long is trained (None: as the recipe says)."""

    train: int = 1200
    validation: int = 500
    calibration: int = 1000
    wave: int = 1000
    epochs: float | None = None


QUICK = Sizes(train=24, validation=30, calibration=60, wave=40, epochs=1)


def run(folder: Path, *, agreement: float, seed: int, sizes: Sizes) -> dict[str, Any]:
    """The whole way; the figures of the last line."""
    folder.mkdir(parents=True, exist_ok=True)
    with Store(folder / "cascade.db") as store, Store(folder / "production.db") as production:
        fill(store, production, seed, sizes)
        for split in ("train", "validation", "calibration"):
            label(task, teacher, store, split=split, prices=[PRICE])
        for wave in ("first", "second"):
            label(task, teacher, production, split=wave, prices=[PRICE])
        first = taught(store, folder / "first", sizes)
        calibration = shown(calibrate(task, store, first, agreement=agreement), "first student")
        passed = [
            row.example
            for row in answered(production, first, "first")
            if not accepts(calibration, row.confidence)
        ]
        escalate(store, passed)
        print(f"\n{len(passed):,} of {sizes.wave:,} rows of the first wave go to the teacher\n")
        second = taught(store, folder / "second", sizes)
        after = shown(calibrate(task, store, second, agreement=agreement), "second student")
        before, later = (
            live(answered(production, student, "second"), found)
            for student, found in ((first, calibration), (second, after))
        )
        print("\n                coverage  at least  live agreement  whole cascade  usd per 1,000")
        for name, one in (("first student", before), ("second student", later)):
            agreed = "-" if one["agreement"] is None else f"{one['agreement']:.3f}"
            print(
                f"{name:16}{one['coverage']:8.3f}  {agreement:8.2f}  {agreed:>14}  "
                f"{one['quality']:13.3f}  {one['usd']:13.4f}"
            )
        return {
            "agreement": agreement,
            "coverage": before["coverage"],
            "live_agreement": before["agreement"],
            "escalated": len(passed),
            "coverage_after": later["coverage"],
            "live_agreement_after": later["agreement"],
            "usd_per_1000": {
                "teacher": before["all"],
                "cascade": before["usd"],
                "after": later["usd"],
            },
        }


def fill(store: Store, production: Store, seed: int, sizes: Sizes) -> None:
    """The training rows, and four draws of what production is like, of which no row is twice."""
    trained = [row for row in news_rows(seed) if row.split == "train"][: sizes.train]
    known = {sentence for row in trained for sentence in (row.f1, row.f2, row.f3)}
    drawn = mixed(known, seed)
    parts = (
        (store, "validation", sizes.validation),
        (store, "calibration", sizes.calibration),
        (production, "first", sizes.wave),
        (production, "second", sizes.wave),
    )
    store.add_examples(map(example, trained, itertools.repeat("train")))
    for where, split, number in parts:
        rows = list(itertools.islice(drawn, number))
        where.add_examples(map(example, rows, itertools.repeat(split)))


def mixed(known: set[str], seed: int) -> Iterable[NewsRow]:
    """Endless new rows: one of four from the hard split. None shares a sentence with `known`."""
    taken: set[str] = set()
    for later in itertools.count(1):
        rows = [row for row in news_rows(seed + 1000 * later) if row.split != "train"]
        hard = iter([row for row in rows if row.split == "hard"])
        plain = iter([row for row in rows if row.split != "hard"])
        for row in itertools.chain.from_iterable(zip(hard, plain, plain, plain, strict=False)):
            key = "\n".join((row.f1, row.f2, row.f3))
            if key not in taken and not known & {row.f1, row.f2, row.f3}:
                taken.add(key)
                yield row


def example(row: NewsRow, split: str) -> Example:
    """The row as an example of the split; its gold is not looked at."""
    inputs = {name: getattr(row, name) for name in task.inputs}
    return Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs)


def taught(store: Store, folder: Path, sizes: Sizes) -> Path:
    """A student of all training rows that the store has."""
    options: dict[str, Any] = {} if sizes.epochs is None else {"epochs": sizes.epochs}
    return train(task, store, out=folder, target="label", seed=0, **options)


def answered(production: Store, student: Path, wave: str) -> list[Judged]:
    """The wave as the student answers it, beside what the teacher would say."""
    mine, model = student_of(task, student)
    ask(task, production, mine, model, splits=(wave,))
    [theirs] = production.runs(task=task.name, role="teacher")
    return judged(task, production, student=mine, teacher=theirs, split=wave)


def escalate(store: Store, passed: Sequence[Example]) -> None:
    """The teacher's answers to these rows teach from now on, marked as no fair sample."""
    here = StandIn(name=APP, task=task.name, mode="cascade", changed=now())
    store.add_examples(one.model_copy(update={"split": "train"}) for one in passed)
    label(task, teacher, store, split="train", prices=[PRICE])
    calls = (Call(stand_in=APP, example=one.id, at=now(), escalated=True) for one in passed)
    add_remembered(store, here, [], map(Remembered, calls), now=now())


def live(rows: Sequence[Judged], calibration: Calibration) -> dict[str, Any]:
    """What the cascade does with the rows; cost in US dollars per 1,000."""
    stands = [row for row in rows if accepts(calibration, row.confidence)]
    right = sum(row.agreed for row in stands)
    costs = [row.cost or 0.0 for row in rows]
    passed = sum(costs) - sum(row.cost or 0.0 for row in stands)
    return {
        "coverage": round(len(stands) / len(rows), 4),
        "agreement": round(right / len(stands), 4) if stands else None,
        "quality": round((right + len(rows) - len(stands)) / len(rows), 4),
        "usd": round(1000 * passed / len(rows), 4),
        "all": round(1000 * sum(costs) / len(rows), 4),
    }


def shown(calibration: Calibration, name: str) -> Calibration:
    """Printed, and passed on."""
    print(f"{name}:")
    for line in told(calibration):
        print(f"  {line}")
    if calibration.threshold is None:
        print(f"  refused: {calibration.details['why']}")
    return calibration


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where stores and students stay")
    parser.add_argument("--agreement", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="24 training rows: does it run at all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = run(
            options.folder or Path(temporary),
            agreement=options.agreement,
            seed=options.seed,
            sizes=QUICK if options.quick else Sizes(),
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
