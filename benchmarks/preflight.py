"""Does the preflight refuse every fault, and nothing that is sound? A mutation test.

    python -m benchmarks.preflight [--data FOLDER] [--quick]

Each fault is planted into sound rows and must be refused with its own message; where it is a row's,
the row must be named and its tokens shown. Sound are the sample tasks (news, extraction), labelled
by their offline teachers, for every target and under tokenizers of three kinds that are trained
here; and, where FOLDER holds them, recorded labels made elsewhere (e-SNLI by PaLM-540B, FinEmo by
GPT-4, tweets by people). Rows of theirs that stand in their own test split too are true leaks: they
are counted and left out. The last line is one JSON object: {"planted": .., "refused": ..,
"false_alarms": ..}.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from understudy.chains.task import TARGETS, Target, Task
from understudy.distill.labelling.label import label
from understudy.distill.recorded import record_labels
from understudy.distill.training.leaks import leaking
from understudy.distill.training.lesson import prepare
from understudy.distill.training.preflight import TrainingError
from understudy.distill.training.qlora import quiet
from understudy.examples.extraction import generate as orders
from understudy.examples.extraction import task as extraction
from understudy.examples.news import generate as news
from understudy.examples.news import task as noticias
from understudy.store import Example, Store, example_id

from .esnli import task as esnli
from .preflight_faults import FAULTS, Fault, ids
from .preflight_tokenizers import KINDS, trained_tokenizer, write_base
from .preflight_world import PLANTED, World


class Finance(BaseModel):
    """Which emotion a piece of financial news carries."""

    reasoning: str = Field(max_length=1000)
    emotion: Literal["optimism", "excitement", "hope", "anxiety", "fear", "uncertainty"]


class Tweet(BaseModel):
    """Which emotion a tweet carries."""

    emotion: Literal["anger", "joy", "optimism", "sadness"]


def text_task(name: str, schema: type[BaseModel], reasoning: str | None = None) -> Task:
    """A task whose input is one text."""
    prompt = ChatPromptTemplate.from_messages([("human", "Emotion of the text:\n{text}")])
    return Task(name=name, schema=schema, reasoning=reasoning, prompt=prompt, student_prompt=prompt)


def refused(fault: Fault, world: World) -> bool:
    """Whether this fault, planted, is refused with the right message."""
    try:
        fault.plant(world)
    except TrainingError as error:
        said = str(error)
        named = ids()[PLANTED] in said or not fault.names_row
        right = fault.says in said and named and ("·" in said or not fault.shows_tokens)
        if not right:
            print(f"  {fault.name}: refused with another message: {said}")
        return right
    print(f"  {fault.name}: NOT REFUSED")
    return False


def false_alarm(what: str, task: Task, store: Store, base: str, target: Target) -> bool:
    """Whether sound rows are refused."""
    begun = time.perf_counter()
    try:
        lesson = prepare(task, store, base=base, target=target)
    except TrainingError as error:
        print(f"  FALSE ALARM {what}, {target}: {error}")
        return True
    seconds = time.perf_counter() - begun
    print(f"  {what:58} {target:13} {len(lesson.encoded):6} sequences {seconds:6.2f} s")
    return False


def sampled(store: Store, limit: int | None) -> list[Task]:
    """The sample tasks in the store, their train and validation rows labelled."""
    for task, teacher, rows in (
        (noticias.task, noticias.teacher, news.news_rows(0)),
        (extraction.task, extraction.teacher, orders.order_rows(0)),
    ):
        for split in ("train", "validation", "test"):
            of_split = [row for row in rows if row.split == split][:limit]
            store.add_examples(_example(task, row, split) for row in of_split)
        for split in ("train", "validation"):
            label(task, teacher, store, split=split)
    return [noticias.task, extraction.task]


def _example(task: Task, row: Any, split: str) -> Example:
    inputs = {name: getattr(row, name) for name in task.inputs}
    return Example(id=example_id(inputs), task=task.name, split=split, inputs=inputs)


def recorded(folder: Path, store: Store, limit: int | None) -> Iterator[tuple[Task, str]]:
    """The tasks of the recorded files, their rows in the store, and what to say of them."""
    files = {
        "esnli": (esnli, ("esnli_palm_pool.jsonl", "esnli_palm_test.jsonl")),
        "finemo": (text_task("finemo", Finance, "reasoning"), ("finemo_gpt4.jsonl",)),
        "tweets": (
            text_task("tweets", Tweet),
            ("tweet_emotion_train.jsonl", "tweet_emotion_test.jsonl"),
        ),
    }
    for name, (task, names) in files.items():
        if not all((folder / one).is_file() for one in names):
            print(f"  {name}: skipped, {folder} does not hold {' and '.join(names)}")
            continue
        train, *rest = ([_said(task, row) for row in _rows(folder / one)] for one in names)
        test = [e.model_copy(update={"split": "test"}) for rows in rest for e, _ in rows]
        leaks = {row.id for row, _, _ in leaking([*(e for e, _ in train), *test], _ids(train))}
        leaks |= {example.id for example in test} & set(_ids(train))
        kept = [pair for pair in train if pair[0].id not in leaks][:limit]
        store.add_examples(test)
        record_labels(task, store, kept, model=name)
        yield task, f"{name} ({len(leaks)} rows leak into its test split, left out)"


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _ids(pairs: list[tuple[Example, Any]]) -> list[str]:
    return [example.id for example, _ in pairs]


def _said(task: Task, row: dict[str, Any]) -> tuple[Example, dict[str, Any]]:
    inputs = {name: row[name] for name in task.inputs}
    example = Example(id=example_id(inputs), task=task.name, split="train", inputs=inputs)
    told = row.get("teacher", {})
    label_of = told.get("label") or row.get("emotion") or row.get("gold")
    reasoning = told.get("reasoning") or row.get("reasoning")
    [path] = task.paths
    return example, {"answer": {path: label_of}, "reasoning": reasoning}


def texts_of(store: Store, task: Task) -> list[str]:
    """What a tokenizer for this task is trained on."""
    [run] = store.runs(task=task.name, role="teacher")
    return [
        f"{' '.join(example.inputs.values())}\n{json.dumps(record.answer, ensure_ascii=False)}\n"
        f"{record.reasoning}"
        for example, record in store.iter_pairs(run.id)
    ]


def alarms(folder: Path, data: Path | None, *, limit: int | None) -> int:
    """How often sound rows are refused."""
    count = 0
    with Store(":memory:") as store:
        tasks = sampled(store, limit)
        texts = [text for task in tasks for text in texts_of(store, task)]
        bases = {"the embedded base's own tokenizer": "embedded"}
        for place, kind in enumerate(KINDS):
            tokenizer = trained_tokenizer(kind, texts)
            bases[kind] = str(write_base(folder / f"kind-{place}", tokenizer))
        for task in tasks:
            for kind, base in bases.items():
                for target in TARGETS:
                    count += false_alarm(f"{task.name}, {kind}", task, store, base, target)
        if data is not None:
            for task, what in recorded(data, store, limit):
                targets = TARGETS if task.reasoning else TARGETS[:1]
                for target in targets:
                    count += false_alarm(what, task, store, bases[KINDS[0]], target)
        else:
            print("  recorded labels: skipped, no --data FOLDER was given")
    return count


def main() -> None:
    """Parse, plant, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="recorded labels made elsewhere")
    parser.add_argument("--quick", action="store_true", help="24 rows of each split")
    options = parser.parse_args()
    logging.getLogger("understudy").setLevel(logging.ERROR)
    with quiet(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(folder)
        world.prepared()  # sound before anything is planted
        caught = [refused(fault, world) for fault in FAULTS]
        for fault, right in zip(FAULTS, caught, strict=True):
            print(f"  {fault.name:45} {'refused' if right else 'MISSED'}")
        count = alarms(folder, options.data, limit=24 if options.quick else None)
    print(json.dumps({"planted": len(FAULTS), "refused": sum(caught), "false_alarms": count}))


if __name__ == "__main__":
    main()
