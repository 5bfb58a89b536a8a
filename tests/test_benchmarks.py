"""The quick form of each benchmark runs, and its last line holds the keys it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RECORDED = ROOT.parent / "shared" / "data"


def last_line(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", *arguments, "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def test_student_speed_compares_valid_answers_with_a_batching_pipeline():
    figures = last_line("benchmarks.student_speed")
    assert figures["valid"]["student"] == 1.0
    assert figures["ratio"] == pytest.approx(
        figures["student"] / figures["pipeline"],
        rel=0.01,
    )


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded e-SNLI outputs are not here")
def test_recorded_labels_train_and_are_judged_by_gold():
    figures = last_line("benchmarks.esnli", "--data", str(RECORDED))
    systems = figures["systems"]
    assert set(systems) == {"teacher", "label", "reason_label", "tfidf", "majority"}
    assert all(0 <= system["exact"] <= 1 for system in systems.values())
    assert systems["label"]["valid"] == systems["reason_label"]["valid"] == 1.0
