"""How every command behaves: JSON for machines, quiet, completion, exit statuses, dry runs."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.distill import progress
from understudy.distill.cli import STATUSES, app, main
from understudy.distill.commands.options import COME_BACK, remark, say
from understudy.distill.manners import is_quiet, speak
from understudy.store import Store

ROOT = Path(__file__).parents[1]
reference: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "reference.py")))
COMMANDS: dict[str, Any] = dict(reference.commands())
NEWS = {"f1": "Moradores comemoraram a alta.", "f2": "A enchente deixou medo.", "f3": "Dia."}
TALKERS = {"accelerate-config", "review", "serve"}  # a text, or a server
PAID = """
from langchain_core.language_models import FakeListChatModel

class Paid(FakeListChatModel):
    max_tokens: int = 50

    @property
    def _llm_type(self):
        return "paid"

chain = Paid(responses=["{}"])
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command line in an empty folder: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["understudy", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    yield call
    speak(quiet=False)


def rows_in(folder: Path, count: int = 24) -> Path:
    path = folder / "news.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*NEWS, "split"])
        writer.writeheader()
        for n in range(count):
            split = "test" if n % 3 == 0 else "train"
            writer.writerow({**NEWS, "f3": f"Dia {n}.", "split": split})
    return path


@pytest.fixture
def labelled(run, tmp_path):
    status, _, error = run(
        "distill", "--data", rows_in(tmp_path), "--split-column", "split", "--json"
    )
    assert status == 0, error
    return run


def only_json(said: tuple[int, str, str], status: int = 0) -> Any:
    """The JSON that is all of standard output, in one line."""
    assert said[0] == status, said
    assert said[1].count("\n") == 1, said[1]
    assert said[1].isascii()
    return json.loads(said[1])


def test_every_command_with_a_result_speaks_json():
    silent = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in param.opts for param in command.params)
    }
    assert silent == TALKERS


def test_import_preview_and_recordings_are_one_line_of_json(run, tmp_path):
    data = rows_in(tmp_path, 6)
    seen = only_json(run("import", data, "--split-column", "split", "--preview", "--json"))
    assert (seen["rows"], seen["splits"]) == (6, {"test": 2, "train": 4})
    assert seen["examples"][0]["inputs"]["f3"] == "Dia 0."
    assert not Path("understudy.db").exists()
    found = only_json(run("import", data, "--split-column", "split", "--json"))
    assert (found["new"], found["known"], found["left_out"]) == (6, 0, 0)
    assert found["source"] == str(data)
    part = {"polaridade": "Neutro", "emocao": "Neutro"}
    answer = {"f1": part, "f2": part, "f3": part}
    Path("said.jsonl").write_text(json.dumps({**NEWS, "answer": answer, "reasoning": "é"}))
    told = only_json(run("import-labels", "said.jsonl", "--model", "gpt-4", "--json"))
    assert (told["model"], told["rows"], told["failed"]) == ("gpt-4", 1, 0)


def test_commands_of_a_labelled_store_are_one_line_of_json(labelled, tmp_path):
    again = only_json(labelled("distill", "--json"))
    assert (again["rows"], again["asked"]) == (24, 0)
    only_json(labelled("distill", "--plan", "--json"))
    evaluated = only_json(labelled("evaluate", "--json", "--gate", "tfidf.row_agreement >= 0"))
    assert [one["name"] for one in evaluated["report"]["systems"]]
    assert [one["passed"] for one in evaluated["gates"]] == [True]
    gate = labelled("report", "--json", "--gate", "majority.row_agreement >= 1.5")
    reported = only_json(gate, status=1)
    assert [Path(file).is_file() for file in reported["files"]] == [True] * 3
    assert reported["gates"][0]["passed"] is False
    curated = only_json(labelled("curate", "--json"))
    assert curated["rows"] == 16
    exported = only_json(
        labelled("export", "rows.csv", "--run", "teacher", "--format", "csv", "--json")
    )
    assert (exported["rows"], exported["written"]) == (24, True)
    copied = only_json(labelled("store", "backup", "copy.db", "--json"))
    assert copied["bytes"] == Path("copy.db").stat().st_size
    assert only_json(labelled("store", "verify", "--json"))["whole"] is True
    shrunk = only_json(labelled("store", "vacuum", "--json"))
    assert shrunk["bytes"] <= shrunk["bytes_before"]
    assert only_json(labelled("store", "stats", "--json"))
    assert only_json(labelled("store", "search", "dia", "--json"))
    assert only_json(labelled("store", "terms", "--json"))
    assert only_json(labelled("why", "1", "--json"))
    assert only_json(labelled("status", "--json")) == []
    gone = only_json(labelled("forget", "1", "--dry-run", "--json"))
    assert (gone["erased"], gone["rows"]["examples"]) == (False, 1)
    gone = only_json(labelled("forget", "1", "--yes", "--json"))
    assert (gone["erased"], gone["rows"]["examples"]) == (True, 1)


def test_a_training_its_plan_and_its_preflight_are_one_line_of_json(labelled):
    look = only_json(labelled("train", "--preflight-only", "--json"))
    assert look["rows"] == 16
    assert look["preflight"]["completion_tokens"] > 0
    trained = ("train", "--json", "--set", "epochs=0.2")
    made = only_json(labelled(*trained, "--out", "runs/a"))
    assert made["folder"] == str(Path("runs/a"))
    assert made["card"]["target"] == "label"
    listed = only_json(labelled("push", "runs/a", "me/student", "--dry-run", "--json"))
    assert listed["address"] is None
    assert "understudy.json" in listed["files"]


def test_an_error_under_json_leaves_standard_output_empty(run):
    status, out, error = run("why", "7", "--json")
    assert (status, out) == (1, "")
    assert error.startswith("understudy: ")


def test_json_asks_nobody_a_question(labelled):
    status, out, error = labelled("forget", "1", "--json")
    assert (status, out) == (2, "")
    assert "--yes" in error


def test_rows_and_json_do_not_share_standard_output(labelled):
    status, out, error = labelled("export", "-", "--run", "teacher", "--json")
    assert (status, out) == (2, "")
    assert "standard output" in error


def test_quiet_leaves_the_result_and_errors_alone(run, tmp_path):
    words = ("distill", "--data", rows_in(tmp_path, 30), "--split-column", "split")
    status, out, error = run("--quiet", *words)
    assert (status, error) == (0, "")
    assert out.count("\n") == 1
    assert out.startswith("teacher offline")
    assert is_quiet()
    status, out, error = run("-q", "distill", "--json")
    assert (status, error, out.count("\n")) == (0, "", 1)
    status, out, error = run("-q", "export", "-", "--run", "teacher")
    assert (status, error, out.count("\n")) == (0, "", 30)
    status, out, error = run("-q", "why", "nothing")
    assert (status, out) == (1, "")
    assert error.startswith("understudy: ")
    status, out, error = run(*words)  # and the next command speaks again
    assert "30 already known" in out


def test_nothing_is_drawn_when_quiet(capsys):
    speak(quiet=True)
    try:
        with progress.step_bars() as bars:
            bars("student")(1, 1, 0.5)
        remark("a remark")
        say("a result")
    finally:
        speak(quiet=False)
    assert capsys.readouterr() == ("a result\n", "")


OFFERED = {
    "understudy dist": {"distill"},
    "understudy st": {"status", "store"},
    "understudy train --tar": {"--target"},
    "understudy evaluate --max-": {"--max-output-tokens", "--max-tokens", "--max-usd"},
    "understudy store back": {"backup"},
    "understudy store terms --no": {"--note"},
    "understudy calibrate --run runs/a --dry": {"--dry-run"},
    "understudy nothing --tar": set(),
}
SHELLS = ("bash", "zsh", "fish")
SHELL = """
import json, os, sys
from understudy.distill.cli import main
sys.argv = ["understudy"]
for asked in json.load(sys.stdin):
    os.environ.update(asked)
    try:
        main()
    except SystemExit:
        print(end="\\0", flush=True)
"""


def told_to_shells(asked: list[dict[str, str]]) -> list[str]:
    """What the program prints for each of these environments, which a shell's function makes."""
    told = subprocess.run(
        [sys.executable, "-c", SHELL],
        env={**os.environ, "COLUMNS": "40"},  # a narrow terminal breaks no description in two
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not told.stderr
    return told.stdout.split("\0")[:-1]


def test_a_tab_offers_the_commands_and_options_that_begin_so():
    """As each shell's own function asks: the line so far, and which word the cursor is in."""
    asked = [
        {
            "_UNDERSTUDY_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        for line in OFFERED
        for shell in SHELLS
    ]
    for one, told in zip(asked, told_to_shells(asked), strict=True):
        rows = told.replace("_arguments '*: :((", "").splitlines()
        names = [re.split("[\t:]", row)[0].strip('"') for row in rows if row and row != "_files"]
        assert sorted(names) == sorted(OFFERED[one["COMP_WORDS"]]), one


def test_the_function_that_a_shell_is_given_asks_so():
    scripts = told_to_shells([{"_UNDERSTUDY_COMPLETE": f"source_{shell}"} for shell in SHELLS])
    for shell, script in zip(SHELLS, scripts, strict=True):
        assert f"_UNDERSTUDY_COMPLETE=complete_{shell} " in script
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, timeout=60, check=True)


def test_the_statuses_stand_in_the_help_and_are_the_ones_in_use(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    status, out, _ = run("--help")
    assert status == 0
    assert " ".join(STATUSES.split()) in " ".join(out.split())
    for option in ("--install-completion", "--show-completion", "--quiet"):
        assert option in out
    assert f" {COME_BACK} " in STATUSES


def test_wrong_usage_is_status_2_and_an_error_of_ours_status_1(run):
    assert run("distil")[0] == 2
    assert run("train", "--epochs", "many")[0] == 2
    assert run("train", "--no-such-option")[0] == 2
    assert run("why")[0] == 2
    assert run("train")[0] == 1


def test_ctrl_c_is_status_130_in_any_command(run, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "__init__", interrupted)
    assert run("store", "stats")[0] == 130
    assert run("distill")[0] == 130
    assert run("why", "1")[0] == 130


def test_a_dry_run_writes_erases_and_replaces_nothing(labelled, tmp_path):
    def files() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and "understudy.db-" not in path.name
        }

    labelled("report")
    labelled("store", "backup", "copy.db")
    labelled("export", "rows.csv", "--run", "teacher", "--format", "csv")
    before = files()
    status, out, _ = labelled("report", "--dry-run")
    assert (status, f"would replace {Path('report/report.html')}" in out) == (0, True)
    status, out, _ = labelled("report", "--dry-run", "--out", "elsewhere")
    assert (status, f"would write {Path('elsewhere/report.html')}" in out) == (0, True)
    status, out, _ = labelled("store", "backup", "copy.db", "--dry-run")
    assert (status, "over an earlier copy" in out) == (0, True)
    status, out, _ = labelled("store", "vacuum", "--dry-run")
    assert (status, "nothing was changed" in out) == (0, True)
    export = ("export", "rows.csv", "--run", "teacher", "--format", "csv", "--dry-run")
    status, _, error = labelled(*export)
    assert (status, "--overwrite" in error) == (1, True)
    status, out, _ = labelled(*export, "--overwrite")
    assert (status, "24 rows" in out, "would be replaced" in out) == (0, True, True)
    status, out, _ = labelled("export", "-", "--run", "teacher", "--dry-run")
    assert (status, "nothing was written" in out) == (0, True)
    assert files() == before


def test_a_dry_run_of_an_evaluation_says_rows_calls_and_the_worst_case(labelled):
    Path("paid.py").write_text(PAID)
    Path("prices.toml").write_text('["paid.py:chain"]\ninput = 1.0\noutput = 10.0\n')
    words = ("evaluate", "--system", "paid.py:chain", "--no-base", "--dry-run")
    found = {one["name"]: one for one in only_json(labelled(*words, "--json"))}
    assert found["majority"]["rows"] == found["tfidf"]["rows"] == 8
    paid = found["paid.py:chain"]
    assert paid["expected"]["calls"] == 8
    assert paid["at_most"]["calls"] == 24  # with two schema retries each
    assert paid["at_most"]["usd"] > paid["expected"]["usd"] > 0
    assert paid["at_most"]["usd"] >= 24 * 50 * 10 / 10**6
    status, out, _ = labelled(*words)
    assert "paid.py:chain: 8 rows left, 8 calls expected, 24 at most; $" in out
    assert out.splitlines()[-1].endswith("at most; nobody was asked")
    with Store("understudy.db") as store:
        assert [one.role for one in store.runs()] == ["teacher"]
    status, out, _ = labelled(*words, "--teacher", "offline", "--strategy", "zero_shot")
    assert status == 0
    assert "0 rows left" in out


def test_help_starts_within_its_time():
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from understudy.distill.cli import main\n"
            "sys.argv = ['understudy', '--help']\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(time.process_time(), file=sys.stderr)\n",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert float(told.stderr) < 0.6, "seconds of CPU"


def test_the_app_is_the_one_that_is_installed():
    assert app.info.epilog == STATUSES


def test_what_is_wrong_with_a_place_is_said_before_any_work(labelled):
    pytest.importorskip("bitsandbytes")  # train and demo look for all they need first
    Path("file").write_text("mine")
    Path("folder").mkdir()
    for words in (
        ("train", "--out", "file"),
        ("train", "--out", "file/runs/label"),
        ("report", "--out", "file"),
        ("demo", "--folder", "file"),
    ):
        status, out, error = labelled(*words)
        assert (status, out) == (1, ""), words
        assert error == (
            "understudy: file is a file and would have to be a folder; name another place\n"
        )
    export = ("export", "--run", "teacher", "--format", "csv")
    for place, told in (
        ("folder", "folder is a folder; name the file that --format csv writes"),
        ("no/rows.csv", "no/rows.csv: there is no folder no; make it first"),
    ):
        assert labelled(*export, place) == (1, "", f"understudy: {told}\n")
    assert Path("file").read_text() == "mine"


RUBBISH = [
    (("distill", "--task", "number.py:task"), "is a int, not a Task; name the variable"),
    (("distill", "--teacher", "nobody:gpt"), "there is no provider 'nobody'; known are"),
    (("distill", "--split", "nope"), "no examples in split 'nope'; import data first"),
    (("distill", "--prices", "no.toml"), "prices no.toml: No such file"),
    (("distill", "--store", "folder"), "folder is a folder; a store is a file, name one"),
    (("train", "--recipe", "no.toml"), "recipe no.toml cannot be read: No such file"),
    (("train", "--set", "rank"), "'rank' is no NAME=VALUE"),
    (("evaluate", "--run", "folder"), "folder is not a student"),
    (("evaluate", "--notebook", "folder"), "folder is not a student"),
    (("evaluate", "--learning-student", "folder"), "folder is not a student"),
    (("evaluate", "--split", "nope"), "no held-out examples in nope; it has test"),
    (("report", "--split", "nope"), "no answers to held-out rows of task noticias in nope"),
    (("import", "no.csv"), "no.csv: there is no such file"),
    (("import", "letters.csv"), "has no column f1, f2, f3; it has a, b; say which"),
    (("import-labels", "folder", "--model", "m"), "folder: cannot be read: it is a folder"),
    (("export", "x.csv", "--run", "nope"), "has no run nope; its runs: "),
    (("curate", "--rule", "nope"), "there is no curation rule nope; the rules: "),
    (("review", "--split", "nope", "--no-open"), "has no split nope in understudy.db; it has"),
    (("merge", "folder", "out"), "folder is not a student"),
    (("adopt", "folder"), "folder has no adapter_config.json; is it a PEFT folder?"),
    (("push", "folder", "me/x", "--dry-run"), "train or merge first"),
    (("calibrate", "--run", "folder"), "folder is not a student"),
    (("watch", "--once"), "the store has no stand-in yet: wrap a chain in swap(...) first"),
    (("watch", "nope", "--once"), "there is no stand-in nope in the store"),
    (("status", "nope"), "understudy.db has no stand-in nope"),
    (("mode", "nope"), "understudy.db has no stand-in nope"),
    (("forget", "zzz", "--yes"), "has no record or example 'zzz'; give"),
    (("why", "zzz"), "has no record or example 'zzz'; give"),
    (("why", "1", "--store", "letters.csv"), "letters.csv: is no SQLite file; name another one"),
    (("store", "stats", "--store", "no.db"), "there is no store no.db; run distill first"),
    (("store", "search", "?"), "there is no word to search for"),
    (("store", "backup", "letters.csv"), "letters.csv is there and is no store"),
    (("store", "verify", "--store", "letters.csv"), "letters.csv: is no SQLite file"),
    (("store", "vacuum", "--store", "no.db"), "there is no store no.db"),
    (("store", "datasette", "no.db"), "there is no store no.db"),
    (("serve", "folder"), "folder has no config.json; is it a model's folder?"),
]


def test_every_mistake_is_one_line_that_says_what_which_and_what_to_do(labelled):
    Path("folder").mkdir()
    Path("letters.csv").write_text("a,b\n1,2\n")
    Path("number.py").write_text("task = 3\n")
    for words, told in RUBBISH:
        status, _, error = labelled("--quiet", *words)
        lines = error.splitlines()
        assert (status, len(lines)) == (1, 1), (words, error)
        assert lines[0].startswith("understudy: "), words
        assert told in lines[0], (words, error)
