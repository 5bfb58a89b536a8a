"""The reasoning dividend of a Report as a table in Markdown, for people and for docs/results.md."""

from __future__ import annotations

from understudy.distill.evaluation.results import Dividend, DividendArm, Report
from understudy.store.rows import Score

HEAD = (
    "| target | right answers, % | gain over label, points | p (Holm) | seeds' spread, points "
    "| tokens more | ms more | learnt |",
    "|---|---|---|---|---|---|---|---|",
)


def dividend_lines(report: Report) -> list[str]:
    """Every dividend of the report: its table, what it could have shown, its verdict."""
    lines = []
    for dividend in report.dividends:
        lines += [f"{dividend.split}:", "", *HEAD, *map(_row, dividend.arms), "", _could(dividend)]
        lines += [dividend.sentence, ""]
    return lines


def _row(arm: DividendArm) -> str:
    cells = [
        f"{arm.target} ({len(arm.systems)})",
        _told(arm.right, 100.0),
        "–" if arm.gain is None else _told(arm.gain, 1.0, sign="+"),
        _number(arm.p_holm, ".2g"),
        _number(arm.seed_spread, ".1f"),
        _number(arm.extra_tokens, "+.1f"),
        _number(arm.extra_milliseconds, "+.0f"),
        {True: "yes", False: "no", None: "–"}[arm.learnt],
    ]
    return f"| {' | '.join(cells)} |"


def _could(dividend: Dividend) -> str:
    if dividend.detectable is None:
        return "No difference could have been shown."
    return (
        f"A difference of {dividend.detectable:.1f} points would be seen in 80 of 100 repetitions."
    )


def _told(score: Score, times: float, *, sign: str = "") -> str:
    if score.value is None or score.low is None or score.high is None:
        return "–"
    value, low, high = (times * figure for figure in (score.value, score.low, score.high))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
