"""What every extra call of a strategy buys, on noisy teachers of the sample task.

    python -m benchmarks.strategies [--quick]

600 rows of the news task (its train split) with gold. A noisy teacher is the embedded one whose
every label is wrong with a chance of 20 %: half of that is fixed per row and model (the model's own
misreading, which no repetition mends), half is drawn anew for each call. Single: one model, once;
self_consistency: 5 samples of it; vote: three models; negotiate: two models, 3 rounds; these
readers reread when they are contradicted but know no deference. A row is right when its six labels
are; `ceiling` is the embedded teacher without noise. Against the single call: the exact two-sided
McNemar test on rows. "Supported" is the share of rows whose reasoning comes from an answer with
all the labels that won. Seeds are fixed, so every run gives the same figures. The last line is one
JSON object: {"single": .., "self_consistency": .., "vote": .., "negotiate": ..,
"p_self_consistency": .., "p_vote": .., "calls_per_row": {name: calls made per row}}.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable

from understudy.chains.offline import NewsTeacher, find_inputs
from understudy.chains.shape import nested
from understudy.chains.strategies import build_strategy, calls_per_row
from understudy.chains.task import Thought, value_at
from understudy.examples.news.generate import NewsRow, news_rows
from understudy.examples.news.task import task

ROWS, QUICK_ROWS = 600, 150
NOISE = 0.2
FIXED = NOISE / 2
PER_CALL = (NOISE - FIXED) / (1 - FIXED)  # of the labels that the fixed half leaves right
CONTENDERS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "single": ("zero_shot", 1, {}),
    "self_consistency": ("self_consistency", 1, {"samples": 5}),
    "vote": ("vote", 3, {}),
    "negotiate": ("negotiate", 2, {"rounds": 3}),
}


class NoisyTeacher(NewsTeacher):
    """The embedded teacher with errors: equal words, model and seed give equal answers."""

    seed: int = 0

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        row = json.dumps(find_inputs(messages, self.fields), sort_keys=True)
        said = json.dumps([str(message.content) for message in messages])
        fixed = random.Random(f"{self.model} {row}")
        drawn = random.Random(f"{self.model} {self.seed} {said}")
        wrong = _Wrong(fixed, drawn)
        return NewsTeacher._generate(_Misread(wrong=wrong), messages, stop, **kwargs)


class _Wrong:
    """Which labels of one call are wrong, and what stands there instead."""

    def __init__(self, fixed: random.Random, drawn: random.Random) -> None:
        self.fixed, self.drawn = fixed, drawn

    def label(self, path: str, right: str) -> str:
        others = [value for value in task.labels[path] if value != right]
        always, instead = self.fixed.random() < FIXED, self.fixed.choice(others)
        now, other = self.drawn.random() < PER_CALL, self.drawn.choice(others)
        return instead if always else other if now else right


class _Misread(NewsTeacher):
    """One call of a noisy teacher."""

    wrong: Any

    def answer(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        answer = super().answer(inputs)
        labels = {p: self.wrong.label(p, value_at(answer, p)) for p in task.paths}
        return {str(task.reasoning): answer[str(task.reasoning)], **nested(labels)}


class Calls(BaseCallbackHandler):
    """Counts model calls."""

    run_inline = True

    def __init__(self) -> None:
        self.count = 0

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.count += 1


def main() -> None:
    """Parse, ask, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    size = QUICK_ROWS if parser.parse_args().quick else ROWS
    rows = [row for row in news_rows(0) if row.split == "train"][:size]
    models = [NoisyTeacher(model=name) for name in ("first", "second", "third")]
    ceiling = _outcome(build_strategy("zero_shot", task, [NewsTeacher()]), rows)
    outcomes = {name: _outcome(_chain(name, models), rows) for name in CONTENDERS}
    _print_table(outcomes, ceiling)
    right = {name: outcome["right"] for name, outcome in outcomes.items()}
    print(
        json.dumps(
            {name: _share(rows_right) for name, rows_right in right.items()}
            | {
                f"p_{name}": _mcnemar(right["single"], right[name])
                for name in ("self_consistency", "vote")
            }
            | {"calls_per_row": {n: round(o["calls"], 3) for n, o in outcomes.items()}}
        )
    )


def _chain(name: str, models: Sequence[BaseChatModel]) -> Runnable[dict[str, Any], Thought]:
    strategy, count, options = CONTENDERS[name]
    return build_strategy(strategy, task, models[:count], **options)


def _outcome(chain: Runnable[dict[str, Any], Thought], rows: Sequence[NewsRow]) -> dict[str, Any]:
    """Per row whether all is right; shares of right labels and supported rows; calls per row."""
    right, labels, supported, most, calls = [], 0, 0, 0, 0
    for row in rows:
        counter = Calls()
        thought = chain.invoke(
            {"f1": row.f1, "f2": row.f2, "f3": row.f3},
            {"callbacks": [counter], "max_concurrency": 1},
        )
        answer = task.answer_json(thought.answer)
        right.append(answer == row.gold)
        labels += sum(value_at(answer, p) == value_at(row.gold, p) for p in task.paths)
        supported += not (thought.details or {}).get("unsupported")
        calls += counter.count
        most = max(most, counter.count)
    return {
        "right": right,
        "labels": labels / len(rows) / len(task.paths),
        "supported": supported / len(rows),
        "calls": calls / len(rows),
        "most": most,
    }


def _share(rows_right: Sequence[bool]) -> float:
    return round(sum(rows_right) / len(rows_right), 4)


def _mcnemar(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Exact, two-sided: of the rows on which they differ, how many each has right."""
    from scipy.stats import binomtest

    lost = sum(a and not b for a, b in zip(one, other, strict=True))
    won = sum(b and not a for a, b in zip(one, other, strict=True))
    return float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def _print_table(outcomes: Mapping[str, dict[str, Any]], ceiling: Mapping[str, Any]) -> None:
    single = outcomes["single"]
    print(
        f"{'strategy':17}{'rows right':>11}{'labels right':>13}{'supported':>10}{'calls/row':>10}"
        f"{'at most':>8}{'gain/extra call':>16}{'p':>10}"
    )
    for name, outcome in outcomes.items():
        strategy, models, options = CONTENDERS[name]
        declared = calls_per_row(strategy, models=models, **options)
        assert outcome["most"] <= declared, f"{name} made more calls than it declares"
        extra, gain = outcome["calls"] - single["calls"], _share(outcome["right"])
        gained = f"{(gain - _share(single['right'])) / extra:16.4f}" if extra else f"{'-':>16}"
        p = f"{_mcnemar(single['right'], outcome['right']):10.1e}" if extra else f"{'-':>10}"
        print(
            f"{name:17}{gain:11.4f}{outcome['labels']:13.4f}{outcome['supported']:10.3f}"
            f"{outcome['calls']:10.2f}{declared:8}{gained}{p}"
        )
    print(f"{'ceiling':17}{_share(ceiling['right']):11.4f}{ceiling['labels']:13.4f}")


if __name__ == "__main__":
    main()
