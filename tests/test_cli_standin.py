"""The commands mode, status and forget: what they print, refuse and change."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from tests.call_samples import add_calls
from understudy.distill import cli
from understudy.distill.commands import standin as cli_standin
from understudy.distill.standin.status import status_of
from understudy.store import Store, StoreError
from understudy.store.care import backup
from understudy.store.rows import Calibration, Call, StandIn
from understudy.store.stand_ins import save_calibration, save_stand_in, stand_in

SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
Run = Callable[..., tuple[int, str, str]]
HERE = StandIn(
    name="app", task="moods", mode="shadow", student="runs/small", changed="2026-01-02T00:00:00"
)


def call(day: int, **fields: Any) -> Call:
    return Call(**{"stand_in": "app", "at": f"2026-01-{day:02}T00:00:00.000+00:00", **fields})


@pytest.fixture
def path(tmp_path):
    """The sample store with a stand-in in the shadow, and its calls."""
    with Store(tmp_path / "app.db") as store:
        samples.fill(store)
        save_stand_in(store, HERE)
        add_calls(
            store,
            [
                call(1, cost=0.5, example=samples.IDS[0]),
                *(call(3, cost=0.5, agreed=number > 0, confidence=0.9) for number in range(4)),
                call(4, answered_by="student", confidence=0.9),
                call(5, error="TimeoutError: no reply"),
            ],
        )
    return tmp_path / "app.db"


@pytest.fixture
def run(monkeypatch, capsys, path) -> Run:
    """A command of the command line: (status, standard output, standard error)."""
    own = typer.Typer()
    for name, command in cli_standin.COMMANDS.items():
        own.command(name)(command)
    monkeypatch.setattr(cli, "app", own)
    monkeypatch.setenv("COLUMNS", "120")

    def invoke(*arguments: Any, store: Path = path) -> tuple[int, str, str]:
        monkeypatch.setattr(
            sys, "argv", ["understudy", *map(str, arguments), "--store", str(store)]
        )
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


def calibrate(path: Path, threshold: float | None, agreement: float = 0.97) -> None:
    with Store(path) as store:
        save_calibration(
            store,
            Calibration(
                task="moods",
                student=samples.STUDENT.id,
                teacher=samples.TEACHER.id,
                agreement=agreement,
                threshold=threshold,
                rows=300,
                created="2026-01-03",
            ),
        )


def mode_of(path: Path) -> tuple[str, float | None, str | None]:
    with Store(path) as store:
        found = stand_in(store, "app")
        assert found is not None
        return found.mode, found.agreement, found.reason


def test_mode_can_be_tried_dry(run, path):
    status, out, _ = run("mode", "app", "student", "--dry-run")
    assert (status, mode_of(path)[0]) == (0, "shadow")
    assert out.endswith("(it was shadow); nothing was changed\n")


def test_mode_says_and_sets_who_answers(run, path):
    assert run("mode", "app")[1] == "app: mode shadow, since 2026-01-02T00:00:00\n"
    status, out, _ = run("mode", "app", "student")
    assert status == 0
    assert out.startswith("app: mode student, since 20")
    assert out.endswith("(it was shadow)\n")
    assert mode_of(path) == ("student", None, None)
    assert run("mode", "app", "record")[0] == 0
    assert mode_of(path)[0] == "record"


def test_setting_a_mode_by_hand_takes_back_the_reason_of_a_fallback(run, path):
    with Store(path) as store:
        save_stand_in(store, HERE.model_copy(update={"mode": "record", "reason": "bound broke"}))
    assert ": bound broke" in run("mode", "app")[1]
    run("mode", "app", "shadow")
    assert mode_of(path) == ("shadow", None, None)


def test_cascade_needs_an_agreement_and_its_calibration(run, path):
    def refused(*arguments: Any) -> str:
        status, _, err = run("mode", "app", "cascade", *arguments)
        assert status == 1
        assert mode_of(path)[0] == "shadow"
        return str(err)

    assert "give --agreement, e.g. 0.97" in refused()
    assert "agreement 0.97 is not there" in refused("--agreement", 0.97)
    calibrate(path, 0.5)
    calibrate(path, None)
    assert "agreement 0.97 refuses it" in refused("--agreement", 0.97)
    calibrate(path, 0.6)
    assert run("mode", "app", "cascade", "--agreement", 0.97)[0] == 0
    assert mode_of(path) == ("cascade", 0.97, None)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("mode", "app", "replace"), 2, "choose record, shadow, cascade, student"),
        (("mode", "other", "record"), 1, "has no stand-in other; it has app"),
        (("status", "other"), 1, "has no stand-in other; it has app"),
        (("forget",), 2, "name the rows to forget"),
        (("forget", "nothing-like-it"), 1, "has no record or example 'nothing-like-it'"),
    ],
)
def test_what_cannot_be_is_one_line(run, arguments, status, words):
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_stand_in_without_a_student_stays_with_the_teacher(run, path):
    with Store(path) as store:
        save_stand_in(store, HERE.model_copy(update={"student": None, "mode": "record"}))
    assert "app has no student" in run("mode", "app", "shadow")[2]


def test_status_as_json_has_the_figures_of_now_and_ever(run):
    status, out, _ = run("status", "app", "--json")
    found = json.loads(out)
    assert status == 0
    assert {name: found[name] for name in HERE.model_dump()} == HERE.model_dump()
    now = found["now"]
    low, high = now.pop("low"), now.pop("high")
    assert 0.1 < low < 0.5
    assert 0.9 < high <= 1.0
    assert now == {
        "since": HERE.changed,
        "first": call(3).at,
        "last": call(5).at,
        "calls": 6,
        "by_student": 1,
        "escalated": 0,
        "sampled": 0,
        "errors": 1,
        "coverage": pytest.approx(1 / 6),
        "compared": 4,
        "agreement": 0.75,
        "spent": 2.0,
        "saved": 0.5,
        "input_tokens": None,
        "output_tokens": None,
    }
    assert (found["ever"]["calls"], found["ever"]["spent"]) == (7, 2.5)
    assert json.loads(run("status", "--json")[1]) == [json.loads(out)]


def test_in_cascade_agreement_is_that_of_the_answers_that_the_student_gave(path):
    with Store(path) as store:
        save_stand_in(store, HERE.model_copy(update={"mode": "cascade", "agreement": 0.9}))
        answered: dict[str, Any] = {"answered_by": "student", "sampled": True, "agreed": True}
        add_calls(store, [call(6, **answered), call(6, escalated=True, agreed=False)])
        found = status_of(store, "app").now
        assert (found.compared, found.agreement) == (1, 1.0)
        with pytest.raises(StoreError, match="it has app"):
            status_of(store, "other")


def test_status_as_text_shows_the_same(run, tmp_path):
    _, out, _ = run("status")
    for words in ("app: mode shadow", "75.0 % of 4", "[", "16.7 %", "0.5000", "coverage"):
        assert words in out
    assert "2026-01-03 00:00:00" in out
    empty = tmp_path / "empty.db"
    Store(empty).close()
    assert "has no stand-in yet" in run("status", store=empty)[1]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_status_fits_the_terminal_and_cuts_nothing_off(run, path, monkeypatch, columns):
    name = "a-stand-in-with-a-name-of-30-xs"
    reason = "only 180 of 2,000 checked answers agreed, the bound is 0.97; it answers no more"
    far = {"name": name, "agreement": 0.97, "mode": "cascade", "reason": reason}
    with Store(path) as store:
        save_stand_in(store, HERE.model_copy(update=far))
        many: dict[str, Any] = {"stand_in": name, "cost": 23456.7891, "answered_by": "student"}
        add_calls(store, [call(9, **many, sampled=True, agreed=n % 8 > 0) for n in range(2000)])
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run("status", name)
    assert max(map(len, out.splitlines())) <= columns
    assert "…" not in out
    told = " ".join(out.split())
    for words in (name, reason, "mode cascade, agreement 0.97", "87.5 % of 2,000", "2026-01-09"):
        assert words in told
    shown = re.search(r"always valid 95 % *│ *(\[[\d.]+, [\d.]+\]) │ *(\[[\d.]+, [\d.]+\])", out)
    assert shown is not None
    assert re.search(r"46,913,578\.2000 │ +46,913,578\.2000", out)


def test_text_of_a_store_has_no_power_over_the_terminal(run, path):
    with Store(path) as store:
        hostile = {"mode": "record", "reason": "\x1b]0;owned\x07[red]"}
        save_stand_in(store, HERE.model_copy(update=hostile))
    assert "\\x1b]0;owned\\x07[red]" in run("mode", "app")[1]
    assert "\x1b" not in run("status")[1]


def test_forget_says_what_would_go_and_changes_nothing(run, path):
    status, out, _ = run("forget", samples.IDS[0], "--dry-run")
    assert status == 0
    assert "would erase 1 lessons, 1 reviews, 2 records, 1 calls, 1 examples" in out
    assert "student small learnt from them: /runs/small; train it again without" in out
    with Store(path) as store:
        assert len(store.examples("moods")) == 4


def test_forget_asks_and_no_is_no(run, path, monkeypatch):
    monkeypatch.setattr(typer, "confirm", lambda _: False)
    status, _, err = run("forget", samples.IDS[0])
    assert (status, err) == (1, "understudy: nothing was erased\n")
    with Store(path) as store:
        assert len(store.examples("moods")) == 4


def test_forget_erases_and_names_the_copies(run, path, tmp_path):
    with Store(path) as store:
        backup(store, tmp_path / "copy.db")
    status, out, _ = run("forget", "1", samples.IDS[1][:6], "--yes")
    assert status == 0
    assert f"{tmp_path / 'copy.db'} is a copy that holds them; delete it, or forget there" in out
    assert "pieces of the texts were looked for in the file, and none is there" in out
    with Store(path) as store:
        assert [row.id for row in store.examples("moods")] == samples.IDS[2:]
    held = b"".join(file.read_bytes() for file in path.parent.glob("app.db*"))
    assert "O preço do pão subiu.".encode() not in held


def test_keep_days_forgets_old_production_rows_and_says_which_stay(run, path):
    with Store(path) as store:
        add_calls(store, [call(1, example=samples.IDS[1]), call(1, example=samples.IDS[3])])
    status, out, _ = run("forget", "--keep-days", "7", "--yes")
    assert status == 0
    taught = f"because a student learnt from them: {samples.IDS[1]}; forget them by their ids"
    assert f"1 rows older than 7 days stay, {taught}" in out
    assert f"erase 1 records, 9 calls, 1 examples ({samples.IDS[3]})" in out
    with Store(path) as store:
        assert [row.id for row in store.examples("moods")] == samples.IDS[:3]
    assert run("forget", "--keep-days", "7", "--yes")[1].endswith("there is nothing to forget\n")
