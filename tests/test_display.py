"""What the command line shows: bars on a terminal, lines in a log, and the kinds of failure."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.distill.amounts import dollars
from understudy.distill.commands.display import print_failures
from understudy.distill.labelling.failures import KINDS, advice, failures, kind_of
from understudy.distill.progress import duration, row_bars, step_bars
from understudy.store import Record

ROWS = """
import time
from understudy.distill.progress import row_bars
from understudy.store import Record
with row_bars() as bars:
    show = bars("teacher")
    for done in range(1, 41):
        answer = None if done % 10 == 0 else {"a": 1}
        row = dict(run="r", example=str(done), created="now", answer=answer, cost=0.001)
        show(done, 1200, Record(**row))
        time.sleep(0.01)
"""


def record(number: int = 0, **fields: object) -> Record:
    return Record(run="r", example=f"e{number}", created="now", **fields)  # type: ignore[arg-type]


def on_a_terminal(code: str) -> str:
    """What the code writes to a standard error that is a terminal of 80 columns."""
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=slave, stdout=subprocess.DEVNULL, env=environment
    ) as running:
        os.close(slave)
        said = b""
        try:
            while part := os.read(master, 65536):
                said += part
        except OSError:  # a terminal whose other end is closed
            pass
        assert running.wait() == 0
    os.close(master)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())


@pytest.mark.needs_posix
def test_a_terminal_has_a_bar_with_rate_spend_failures_and_time_left() -> None:
    last = on_a_terminal(ROWS).replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("teacher")
    assert re.search(r"40/1,200 rows  [\d.]+ rows/s  \$0\.04\d?  10\.0 % failed  ETA \d+ ", last)
    assert len(last) <= 80


def test_where_there_is_no_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with row_bars() as bars:
        show = bars("teacher")
        for done in range(1, 501):
            show(done, 500, record(answer={"a": 1}, cost=0.001))
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"teacher 500/500 rows  [\d.,]+ rows/s  \$0\.50  0 % failed", line)


def test_a_line_comes_every_ten_seconds_and_every_tenth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with row_bars() as bars:
        show = bars("teacher")
        for done in range(1, 51):  # a row a second, of 1,000
            show(done, 1000, record(answer={}))
        for done in (100, 101, 199, 200):
            show(done, 1000, record(answer={}))
    lines = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [f"{n}/1,000" for n in (10, 20, 30, 40, 50, 100, 200)]


def test_the_last_state_is_said_where_a_run_stops_before_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with contextlib.suppress(RuntimeError), row_bars() as bars:
        show = bars("teacher")
        for done in range(1, 4):
            show(done, 500, record())
        raise RuntimeError
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"teacher 3/500 rows  .*100\.0 % failed  ETA \d", line)
    assert "$" not in line, "what no row says is not shown as zero"


def test_nothing_is_shown_where_nothing_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with row_bars() as bars:
        bars("teacher")
    assert capsys.readouterr().err == ""


def test_steps_show_their_tokens_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    with step_bars() as bars:
        bars("student label")(10, 10, 0.25, 1234.5)
    assert "  1,234 tokens/s  loss 0.250" in capsys.readouterr().err


def test_steps_show_their_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with step_bars() as bars:
        bars("student label")(10, 10, 0.25)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"student label 10/10 steps( +[\d.,]+ steps/s)?  loss 0\.250", line)


@pytest.mark.parametrize(
    ("sum_", "said"),
    [
        (0, "$0.00"),
        (0.000123, "$0.00012"),
        (0.042, "$0.042"),
        (0.84, "$0.84"),
        (1234.5, "$1,234.50"),
    ],
)
def test_small_sums_keep_two_digits(sum_: float, said: str) -> None:
    assert dollars(sum_) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (61, "61 s"), (120, "2 min"), (11_400, "3 h 10 min")]
)
def test_durations_are_about(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_alike_errors_are_one_kind_with_its_first_row_and_what_to_do() -> None:
    rows = [record(0, answer={"a": 1})]
    rows += [record(n, error=f"RateLimitError: Error code: 429 - request req_{n:08d}x, try in {n}s")
             for n in range(1, 4)]  # fmt: skip
    rows += [record(n, error="APITimeoutError: Request timed out.") for n in range(4, 6)]
    found = failures(rows)
    assert [(one.rows, one.example) for one in found] == [(3, "e1"), (2, "e4")]
    assert found[0].why.startswith("RateLimitError: Error code: 429 - request …, try in #")
    assert "--rpm" in found[0].advice
    assert "--timeout" in found[1].advice


def test_errors_with_other_statuses_are_other_kinds() -> None:
    kinds = {kind_of(f"APIStatusError: Error code: {status} - no") for status in (500, 502, 429)}
    assert len(kinds) == 3


def test_a_kind_keeps_which_host_it_was() -> None:
    kinds = {kind_of(f"APIConnectionError: http://10.0.0.1:{port} after 3.5 s") for port in (1, 2)}
    assert kinds == {f"APIConnectionError: http://10.0.0.1:{port} after # s" for port in (1, 2)}


@pytest.mark.parametrize(
    ("error", "what"),
    [
        ("OutputParserException: the model refused: I cannot help", "read the row"),
        ("APIConnectionError: connection refused", "the server answers"),
        ("APIResponseValidationError: invalid for expected schema", "the server answers"),
        ("OutputParserException: the reply was cut off at its output cap", "--max-output-tokens"),
        ("TimeoutError: no answer in time from http://h", "--timeout"),
        ("AuthenticationError: Error code: 401", "the key"),
        ("OutputParserException: label: Input should be 'a'", "--schema-retries"),
        ("TaskError: the tool search raised ValueError: x", "mend the tool"),
        ("ZeroDivisionError: x", "--retry-failed"),
    ],
)
def test_every_kind_says_what_helps(error: str, what: str) -> None:
    assert what in advice(error)


def test_what_a_model_wrote_does_not_make_a_kind_of_every_row() -> None:
    rows = [
        record(n, error=f"OutputParserException: Invalid json output: {'x' * n}") for n in range(30)
    ]
    (one,) = failures(rows)
    assert (one.rows, one.why) == (30, "OutputParserException: Invalid json output:")
    assert "--schema-retries" in one.advice


def test_any_number_of_kinds_is_a_short_table_that_adds_up() -> None:
    words = ["".join(chr(97 + int(digit)) for digit in str(n)) for n in range(3 * KINDS)]
    rows = [record(n, error=f"Odd: {word}") for n, word in enumerate(words)]
    found = failures(rows, most=5)
    assert len(found) == 6
    assert sum(one.rows for one in found) == len(rows)
    assert found[-1].why == "other errors"


@given(st.text(max_size=300))
def test_a_kind_is_one_printable_line(error: str) -> None:
    kind = kind_of(error)
    assert kind.isprintable()
    assert advice(error)


def test_text_of_a_model_is_no_markup_and_moves_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    print_failures(failures([record(error="[bold]no[/x] \x1b[2J\u202eevil")]))
    said = capsys.readouterr().out
    assert "[bold]no[/x]" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
