"""How much memory `label` holds while it labels very many rows with a teacher in this process.

    python -m benchmarks.label_memory [--rows N]

The rows come from a generator into a store on disk; then they are labelled, and the resident size
of the process is read every 500 rows. Last line: {"rows": .., "rss_growth_mb": ..}, the highest
reading over the one after 1,000 rows.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING_V2"] = "false"

import psutil
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from benchmarks.teacher_replies import LABELS
from benchmarks.teacher_task import new_store, task
from understudy.distill.labelling.label import label

FIRST, EVERY = 1000, 500


class EchoTeacher(BaseChatModel):
    """Answers from the prompt at once: the row's number decides the label."""

    model: str = "echo"

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = str(messages[-1].text)
        number = int(text.split("row-")[1].split(":")[0])
        said = json.dumps({"reasoning": text[:120], "label": LABELS[number % 3]})
        usage = {"input_tokens": len(text), "output_tokens": len(said)}
        message = AIMessage(said, usage_metadata={**usage, "total_tokens": sum(usage.values())})
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop)


def main() -> None:
    """Parse, label, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    readings: dict[int, float] = {}

    def read(done: int, *_: Any) -> None:
        if done == FIRST or (done > FIRST and done % EVERY == 0):
            readings[done] = _rss_mb()

    with tempfile.TemporaryDirectory() as folder, new_store(Path(folder) / "u.db", rows) as store:
        gc.collect()
        began = time.perf_counter()
        run = label(task, EchoTeacher(), store, concurrency=64, progress=read)
        seconds = time.perf_counter() - began
        labelled = sum(record.answer is not None for record in store.iter_records(run.id))
    assert labelled == rows, f"{labelled} of {rows} rows are labelled"
    growth = max(readings.values()) - readings[FIRST]
    print(
        f"teacher in this process: {rows:,} rows in {seconds:.1f} s ({rows / seconds:.0f} rows/s)"
    )
    for done in sorted({FIRST, *(n for n in readings if n % max(rows // 5, EVERY) == 0)}):
        print(f"{done:9,} rows: {readings[done]:7.1f} MB resident")
    print(json.dumps({"rows": rows, "rss_growth_mb": round(growth, 1)}))


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
