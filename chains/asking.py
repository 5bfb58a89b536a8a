"""The strategies that take one answer: plain, with worked examples, step by step, afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from .answer import answer_chain, text_chain
from .election import same
from .shots import Shot, fixed, nearest, randomly_labelled, shot_messages
from .task import Target, Task, TaskError, Thought, value_at
from .wording import (
    ANALYSIS,
    FREELY,
    HINT,
    PREFACE,
    STEP_BY_STEP,
    TURNS,
    instructed,
    prefaced,
    with_examples,
)

Chain: TypeAlias = Runnable[dict[str, Any], Thought]
GIVEN_ANSWER = "given_answer"
_NEIGHBOURS = 5


def zero_shot(task: Task, model: BaseChatModel) -> Chain:
    """The task's own words, once. 1 call."""
    return answer_chain(task, model)


def few_shot(
    task: Task,
    model: BaseChatModel,
    *,
    shots: Sequence[Shot],
    k: int | None = None,
    by_similarity: bool = False,
    random_labels: bool = False,
    seed: int = 0,
    target: Target = "label",
) -> Chain:
    """Worked examples before the question, as a conversation; labels without reasoning. 1 call.

    The first `k` shots (all for None), or with `by_similarity` the `k` (5) most similar to the row.
    A shot of the very row that is asked is left out. `random_labels` draws the shots' labels anew,
    seeded: how much of their help is the format alone. Raises TaskError for a shot that does not
    fit the task.
    """
    if not shots or (k is not None and k < 1):
        raise TaskError("few-shot prompting needs shots=[Shot(...), ...] and k of 1 or more")
    chosen = randomly_labelled(task, shots, seed=seed) if random_labels else list(shots)
    written = [shot_messages(task, shot, target) for shot in chosen]
    choose = nearest(chosen, k or _NEIGHBOURS) if by_similarity else fixed(chosen, k)

    def turns(inputs: dict[str, Any]) -> list[BaseMessage]:
        return [message for number in choose(inputs) for message in written[number]]

    asked = answer_chain(task, model, target=target, prompt=with_examples(task.prompt))
    return _with(TURNS, turns) | asked


def cot(
    task: Task,
    model: BaseChatModel,
    *,
    shots: Sequence[Shot],
    k: int | None = None,
    by_similarity: bool = False,
) -> Chain:
    """Few-shot with reasoning: chain of thought prompting (arXiv 2201.11903). 1 call.

    Every shot needs a reasoning. Raises TaskError.
    """
    _needs_reasoning(task, "cot")
    return few_shot(
        task, model, shots=shots, k=k, by_similarity=by_similarity, target="reason_label"
    )


def zero_shot_cot(task: Task, model: BaseChatModel, *, words: str = STEP_BY_STEP) -> Chain:
    """The task's words and "think step by step" (arXiv 2205.11916). 1 call.

    The steps go into the reasoning field, which the schema has the model write first.
    """
    return answer_chain(task, model, prompt=instructed(task.prompt, words))


def two_step(
    task: Task,
    model: BaseChatModel,
    formatter: BaseChatModel | None = None,
    *,
    words: str = FREELY,
    analysis_words: str = ANALYSIS,
) -> Chain:
    """One model reasons freely, a second, cheaper one puts that into the schema. 2 calls.

    The formatter (the same model where none is given) sees example and analysis;
    `details["analysis"]` keeps what the first one wrote.
    """
    reasons = text_chain(instructed(task.prompt, words), model)
    formats = answer_chain(task, formatter or model, prompt=prefaced(task.prompt))

    def preface(known: dict[str, Any]) -> str:
        return f"{analysis_words}\n{known['analysis']}"

    def keep(known: dict[str, Any]) -> Thought:
        thought: Thought = known["thought"]
        return replace(thought, details={**(thought.details or {}), "analysis": known["analysis"]})

    analysed = RunnablePassthrough.assign(analysis=reasons)
    return _typed(
        analysed | _with(PREFACE, preface) | RunnablePassthrough.assign(thought=formats) | keep
    )


def rationalise(task: Task, model: BaseChatModel, *, words: str = HINT) -> Chain:
    """A reasoning for an answer that has none: recorded, gold, or corrected. 1 call.

    Takes the task's inputs and the answer as JSON data under "given_answer"; gives that answer with
    a reasoning, `details["post_hoc"]` True ("STaR", arXiv 2203.14465). Raises OutputParserException
    where the model, knowing the answer, still comes to another one: its reasoning would argue
    against the label. TaskError where the given answer does not fit the task.
    """
    _needs_reasoning(task, "rationalise")
    asked = answer_chain(task, model, target="reason_label", prompt=prefaced(task.prompt))

    def preface(row: dict[str, Any]) -> str:
        if not isinstance(row.get(GIVEN_ANSWER), Mapping):
            raise TaskError(
                f"rationalise needs the answer under {GIVEN_ANSWER!r} beside the inputs"
            )
        return f"{words}\n{task.completion(row[GIVEN_ANSWER], target='label')}"

    def keep(known: dict[str, Any]) -> Thought:
        return _supporting(task, known[GIVEN_ANSWER], known["thought"])

    return _typed(_with(PREFACE, preface) | RunnablePassthrough.assign(thought=asked) | keep)


def _supporting(task: Task, given: Mapping[str, Any], thought: Thought) -> Thought:
    """The given answer with the thought's reasoning, if the thought comes to that answer."""
    answer = task.answer_json(thought.answer)
    for path in task.paths:
        wanted, said = value_at(given, path), value_at(answer, path)
        if not same(task, path, wanted, said):
            raise OutputParserException(
                f"the reasoning leads to another answer: {path} is {said!r}, given was {wanted!r}",
                llm_output=thought.reasoning,
            )
    kept = task.thought({**given, str(task.reasoning): thought.reasoning})
    return replace(kept, details={**(thought.details or {}), "post_hoc": True})


def _needs_reasoning(task: Task, name: str) -> None:
    if not task.reasoning:
        raise TaskError(f"task {task.name} has no reasoning field, which {name} is about")


def _with(name: str, function: Callable[[dict[str, Any]], Any]) -> Runnable[Any, Any]:
    """The row with one more entry; a plain step, because LangChain's own maps open threads."""

    def add(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, name: function(row)}

    return RunnableLambda(add, name=name)


def _typed(chain: Runnable[Any, Any]) -> Chain:
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)
