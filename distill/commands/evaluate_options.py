"""The options of the commands evaluate and report, by what they are about.

What distill takes in the same words is in distill_options.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

_who = partial(typer.Option, rich_help_panel="Who is asked")
_prompts = partial(typer.Option, rich_help_panel="Strategy")
_money = partial(typer.Option, rich_help_panel="Money")
_pace = partial(typer.Option, rich_help_panel="Pace")
_verdict = partial(typer.Option, rich_help_panel="Verdict")

RunOption = Annotated[
    list[str] | None,
    _who(
        help="a student: its run folder or user/repo; repeatable, several seeds of one recipe are "
        "several; default: the task's students in runs/"
    ),
]
BaseOption = Annotated[
    str | None,
    _who("--base", "--student", help="the untuned base beside them; default: the students' own"),
]
NoBaseOption = Annotated[bool, _who("--no-base", help="leave the untuned base out")]
NotebookOption = Annotated[
    Path | None,
    _who(help="a student to serve as the notebook does, too: HuggingFacePipeline"),
]
SystemOption = Annotated[
    list[str] | None,
    _who(
        help="anything else: provider:model, file.py:name of a chat model or Runnable, a student; "
        "repeatable"
    ),
]
SupportOption = Annotated[
    bool,
    _who(
        "--support",
        help="ask students that reason for their labels again, from their rationale alone",
    ),
]
CurveOption = Annotated[
    bool,
    _who(
        "--learning-curve",
        help="teach TF-IDF with an eighth, a quarter, a half and all of the labels, too",
    ),
]
CurveStudentOption = Annotated[
    list[Path] | None,
    _who(
        "--learning-student",
        help="train students like the one in this run folder with fewer labels, too (drawn by "
        "chance, in runs/learning); repeatable",
    ),
]

StrategyOption = Annotated[
    list[str] | None,
    _prompts(
        "--strategy",
        help="ask the base, and each --teacher, by it: zero_shot, few_shot, cot, zero_shot_cot, "
        "two_step, self_consistency, vote, negotiate, agent; repeatable",
    ),
]
TeacherOption = Annotated[
    list[str] | None,
    _prompts(
        "--teacher",
        help="offline, provider:model or file.py:model to ask by each --strategy; what it has "
        "answered under distill is taken",
    ),
]
ShotsOption = Annotated[
    Path | None,
    _prompts(help="worked examples, as distill takes them; default: 6 of the teacher's labels"),
]
TemperatureOption = Annotated[float | None, _prompts(min=0, help="of self_consistency's samples")]

MaxUsdOption = Annotated[
    float | None, _money(help="US dollars that this call may spend on all systems together")
]
MaxTokensOption = Annotated[int | None, _money(help="tokens, in and out, that this call may spend")]
BaseUrlOption = Annotated[
    str | None, _money(help="an OpenAI-compatible server for each --teacher and --system")
]
KeyVariableOption = Annotated[
    str | None, _money(help="the environment variable with the key of each --teacher and --system")
]
ConcurrencyOption = Annotated[int, _pace(min=1, help="rows asked of a paid model side by side")]
MachineOption = Annotated[
    float | None,
    _money(
        "--machine-usd-per-hour",
        min=0,
        help="what the machine of the local models costs: prices their rows and their training",
    ),
]

MarginOption = Annotated[
    float,
    _verdict(
        min=0.0001,
        max=1,
        help="how much worse than the teacher a student may be and stand in, as a share of rows",
    ),
]
GateOption = Annotated[
    list[str] | None,
    _verdict(
        help="exit with 1 unless this holds, by 95 % bounds: 'student.macro_f1 >= "
        "teacher.macro_f1 - 0.02', 'NAME.accuracy >= 0.9 on test'; repeatable"
    ),
]
SplitsOption = Annotated[
    list[str] | None,
    typer.Option("--split", help="a held-out split; repeatable; default: all of them"),
]
NoTextOption = Annotated[
    bool,
    typer.Option("--no-text", help="leave out what rows say: labels and figures alone"),
]
OutOption = Annotated[Path, typer.Option(help="folder for report.html, .md and .json")]
ForesightOption = Annotated[
    bool,
    _money(
        "--dry-run",
        help="say what each system has left, the calls and what they would cost; ask nobody",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="say what would be replaced, and write nothing")
]
