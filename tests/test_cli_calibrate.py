"""`understudy calibrate` and `understudy watch`: what they print, and their exit status."""

from __future__ import annotations

import json
import random

import pytest
import typer
from typer.testing import CliRunner

from tests.call_samples import add_calls
from tests.test_drift import LATER, NOW, call, drawn, run, usual
from understudy.distill.commands.calibrate import ALARM, COMMANDS, told
from understudy.store import Store
from understudy.store.rows import Calibration, StandIn
from understudy.store.stand_ins import save_calibration, save_stand_in

app = typer.Typer()
for name, command in COMMANDS.items():
    app.command(name)(command)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "calls.db"
    with Store(path) as store:
        for role in ("teacher", "student"):
            store.start_run(run(role, role))
        row = Calibration(
            task="t", student="student", teacher="teacher", agreement=0.9, threshold=0.85,
            rows=1000, details={"reference": usual()}, created=NOW,
        )  # fmt: skip
        save_calibration(store, row)
        stand_in = StandIn(name="app", task="t", mode="cascade", agreement=0.9, changed=NOW)
        save_stand_in(store, stand_in)
        draw = random.Random(2)
        add_calls(store, [call(drawn(draw)) for _ in range(500)])
    return path


def watch(path, *arguments: str):
    return CliRunner().invoke(app, ["watch", "--store", str(path), "--sampling", "0.5", *arguments])


def test_a_quiet_watch_ends_with_0_and_tells_the_live_agreement(path):
    ended = watch(path, "--once")
    assert ended.exit_code == 0, ended.output
    assert "app: 500 calls since" in ended.output
    assert "checked answers: between" in ended.output
    assert "no alarm" in ended.output


def test_a_watch_that_finds_something_ends_with_3_and_the_mode_is_record(path):
    with Store(path) as store:
        draw = random.Random(6)
        add_calls(store, [call(drawn(draw, mind=2.5), LATER) for _ in range(1500)])
    ended = watch(path, "--json")  # without --once: it ends at the first alarm
    assert ended.exit_code == ALARM
    told_ = json.loads(ended.output.splitlines()[-1])
    assert told_["calls"] == 2000
    assert any(alarm["breaks"] for alarm in told_["alarms"])
    assert watch(path, "--once").exit_code == 0  # its mode was changed: a new beginning


def test_a_calibration_is_told_with_curve_bound_and_what_is_saved():
    point = {
        "threshold": 0.9, "coverage": 0.8, "agreement": 0.98, "low": 0.96, "quality": 0.984,
        "usd_per_1000": 0.4, "chosen": True,
    }  # fmt: skip
    details = {
        "validation_rows": 900, "left_out": {"escalated by a cascade: no fair sample": 3},
        "unknown": [], "curve": [point], "coverage": 0.8, "answered": 800, "agreed": 784,
        "confidence": 0.95, "usd_per_1000": {"teacher": 2.0, "cascade": 0.4}, "why": None,
    }  # fmt: skip
    found = Calibration(
        task="t", student="s", teacher="t", agreement=0.97, threshold=0.9, rows=1000,
        details=details, created=NOW,
    )  # fmt: skip
    lines = "\n".join(told(found))
    for part in ("left out 3", "chosen", "answers 80.0%", "at least 97.0%", "saved: $1.6 of $2"):
        assert part in lines
