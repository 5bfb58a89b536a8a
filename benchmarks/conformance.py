"""LangChain's own tests for chat models: ChatStudent, and LangChain's own local model.

    python -m benchmarks.conformance [--quick]

langchain-tests has 60 standard tests (10 unit, 50 integration). None is overridden or deleted; the
suite skips what a model says it does not do (media, recorded cassettes, serialisation, settings
from the environment). Six tests need knowledge that no grammar gives. So a scripted teacher answers
8 prompts of the suite into a store, our trainer teaches them to the embedded base (about a minute
of one core), and the suite runs on that student. Beside it the bare base under the same grammars,
and ChatHuggingFace(HuggingFacePipeline) over the student's own weights, merged. The quick form runs
the bare base on the tests that need no knowledge. The last line is one JSON object, of the student
(quick: of the bare base): {"passed": .., "failed": .., "skipped": ..}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from understudy.chains.student import read_card, write_card
from understudy.chains.student.quiet import quiet
from understudy.chains.student.weights import base_folder, merged_model

from .conformance_lessons import distil

ROOT = Path(__file__).parents[1]
SUITE = Path(__file__).with_name("conformance_suite.py")
# What a tool is called with, that it is called though nothing forces it, and a name in Chinese.
KNOWLEDGE = ("test_tool_calling", "test_tool_calling_async", "test_agent_loop", "test_unicode")
FREE = " and ".join(f"not {name}" for name in KNOWLEDGE).replace(
    "not test_tool_calling and", "(not test_tool_calling or test_tool_calling_with) and"
)

Counts = dict[str, int]


def run_suite(model: Path, *, kind: str = "student", only: str | None = None) -> Counts:
    """The suite's tests of `model` by how they end. Prints the first line of each failure."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", str(SUITE), "-q", f"--junitxml={results}"]
        command += [
            "-o",
            "asyncio_mode=auto",
            "-p",
            "no:cacheprovider",
            *(["-k", only] if only else []),
        ]
        told = {"CONFORMANCE_KIND": kind, "CONFORMANCE_MODEL": str(model)}
        # The suite's models wait for threads, not for cores.
        environment = {**os.environ, **told, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if not results.is_file():
            raise SystemExit(f"the suite did not run:\n{ended.stdout}{ended.stderr}")
        return _counts(ElementTree.parse(results).getroot(), kind)


def _counts(results: ElementTree.Element, kind: str) -> Counts:
    counts: Counter[str] = Counter(passed=0, failed=0, skipped=0)
    for case in results.iter("testcase"):
        found = {child.tag: child for child in case}
        failure = found.get("failure", found.get("error"))
        if failure is not None and kind == "student":
            print(f"  {case.get('name')}: {str(failure.get('message')).splitlines()[0][:120]}")
        ending = "failed" if failure is not None else "skipped" if "skipped" in found else "passed"
        counts[ending] += 1
    return dict(counts)


def bare_base(folder: Path) -> Path:
    """The embedded base, twice, so that there is another model to name."""
    for name in ("base", "other-run"):
        shutil.copytree(base_folder("embedded"), folder / name)
    return folder / "base"


def student(folder: Path) -> Path:
    """The student of the suite's prompts and a copy of it under another name."""
    run = distil(folder)
    other = Path(shutil.copytree(run, folder / "other-run"))
    write_card(other, read_card(run).model_copy(update={"name": other.name}))
    return run


@quiet()
def merged(run: Path, folder: Path) -> Path:
    """The student's weights as any library of transformers models loads them."""
    model, tokenizer = merged_model(run)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="the bare base, without the trainer")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bare").mkdir()
        base = bare_base(folder / "bare")
        rows = {"bare base, tests without knowledge": run_suite(base, only=FREE)}
        figures = rows["bare base, tests without knowledge"]
        if not quick:
            start = time.perf_counter()
            run = student(folder)
            print(f"distilled the suite's prompts in {time.perf_counter() - start:.0f} s")
            figures = rows["ChatStudent, distilled"] = run_suite(run)
            rows["ChatStudent, bare base"] = run_suite(base)
            stock = run_suite(merged(run, folder / "merged"), kind="stock")
            rows["ChatHuggingFace, same weights"] = stock
    print(f"{'':36}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for label, row in rows.items():
        print(f"{label:36}{row['passed']:8}{row['failed']:8}{row['skipped']:9}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
