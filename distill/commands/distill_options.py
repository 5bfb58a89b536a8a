"""The options of the command distill, by what they are about: rows, strategy, money, pace."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

_rows = partial(typer.Option, rich_help_panel="Rows")
_strategy = partial(typer.Option, rich_help_panel="Strategy")
_money = partial(typer.Option, rich_help_panel="Money")
_pace = partial(typer.Option, rich_help_panel="Pace")

DataOption = Annotated[Path | None, _rows(help="import this file first; - is stdin")]
SplitColumnOption = Annotated[
    str | None,
    _rows(help="the file's column that says train, validation, test, ..."),
]
OneSplitOption = Annotated[str | None, _rows("--split", help="only this split")]
MostOption = Annotated[
    int | None,
    _rows("--limit", min=1, help="at most this many examples of each split"),
]
RetryFailedOption = Annotated[
    bool,
    _rows("--retry-failed", help="ask rows again that failed, paid for or not"),
]
ReuseOption = Annotated[
    str | None,
    _rows("--reuse-labels", help="older labels of these words count, too"),
]
RepeatOption = Annotated[
    int | None,
    _rows(min=2, help="label this many rows twice: does the teacher agree?"),
]

TeacherOption = Annotated[
    list[str] | None,
    _strategy(
        help="offline, provider:model, or path/to/file.py:model; several for vote, two_step's "
        "formatter, negotiate's discriminator"
    ),
]
BaseUrlOption = Annotated[
    list[str] | None,
    _strategy(help="an OpenAI-compatible server; one, or one for each teacher"),
]
KeyVariableOption = Annotated[
    list[str] | None,
    _strategy(help="the environment variable with the key, where it is not the provider's own"),
]
StrategyOption = Annotated[
    str,
    _strategy(
        help="zero_shot, few_shot, cot, zero_shot_cot, two_step, self_consistency, vote, "
        "negotiate, agent"
    ),
]
ShotsOption = Annotated[
    Path | None, _strategy(help="a file of worked examples, as import reads it")
]
ShotsKOption = Annotated[int | None, _strategy(min=1, help="so many of them for each row")]
SimilarOption = Annotated[bool, _strategy("--similar", help="those most similar to the row")]
RandomLabelsOption = Annotated[
    bool, _strategy("--random-labels", help="with labels drawn at random")
]
SamplesOption = Annotated[
    int | None, _strategy(min=2, help="of self_consistency: so many answers are counted")
]
TemperatureOption = Annotated[
    float | None, _strategy(min=0, help="of the samples, else of the teachers")
]
PersonaOption = Annotated[list[str] | None, _strategy(help="of vote: who a voter is; repeatable")]
MendOption = Annotated[
    bool,
    _strategy("--mend", help="a new reasoning where the elected one does not fit"),
]
RoundsOption = Annotated[int | None, _strategy(min=1, help="of negotiate, two calls each")]
ToolsOption = Annotated[str | None, _strategy(help="of agent: file.py:name, a list of tools")]
MaxCallsOption = Annotated[int | None, _strategy(min=1, help="of an agent for each row")]

PlanOption = Annotated[bool, _money("--plan", help="print what it would cost and stop")]
SmokeOption = Annotated[int | None, _money(min=1, help="label so many rows, show them and stop")]
MaxUsdOption = Annotated[
    float | None,
    _money(help="US dollars that the run may spend, earlier calls included"),
]
MaxTokensOption = Annotated[int | None, _money(help="tokens, in and out, that the run may spend")]
OutputCapOption = Annotated[
    int | None,
    _money(
        "--max-output-tokens",
        min=1,
        help="of one call of a model that is paid for; --max-usd needs it",
    ),
]
PricesOption = Annotated[
    Path | None,
    _money(help="TOML: USD per million tokens; default: prices.toml if there"),
]

ConcurrencyOption = Annotated[int, _pace(min=1, help="rows asked side by side")]
RpmOption = Annotated[float | None, _pace("--rpm", help="requests a minute at most")]
TpmOption = Annotated[float | None, _pace("--tpm", help="tokens a minute at most")]
TimeoutOption = Annotated[float, _pace(help="seconds of one call")]
RetriesOption = Annotated[int, _pace(min=0, help="of a call that failed on its way")]
SchemaRetriesOption = Annotated[int, _pace(min=0, help="of an answer that does not fit the schema")]
