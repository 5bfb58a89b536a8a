"""The strategies that ask several times and count: samples of one model, or several voters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel

from .answer import answer_chain
from .asking import GIVEN_ANSWER, Chain, cot, rationalise, zero_shot
from .election import Ballot, elect
from .shots import Shot
from .task import NoMoreCalls, Task, TaskError, Thought
from .teachers import model_name
from .wording import instructed

FAILURE = "strategy_failure"
_OF_THE_REASONING = {"unsupported", "native_reasoning"}


def self_consistency(
    task: Task,
    model: BaseChatModel,
    *,
    samples: int = 5,
    temperature: float | None = None,
    shots: Sequence[Shot] = (),
    mend: bool = False,
) -> Chain:
    """The majority of `samples` answers of one model, per answer path (arXiv 2203.11171).

    `temperature` None leaves the model's own; at 0 all samples would be one, a TaskError. A
    response cache is passed by, a fixed seed differs from sample to sample. With `shots` every
    sample is a `cot`. See `elect` for ties, confidence and abstentions.

    `samples` calls, and one more with `mend`, which has the model write a new reasoning where the
    winner's argues against a label that won.
    """
    if samples < 2:
        raise TaskError(f"self_consistency with samples={samples}; give 2 or more")
    asked = [_sampling(model, temperature, number) for number in range(samples)]
    chains = [cot(task, one, shots=shots) if shots else zero_shot(task, one) for one in asked]
    elected = polled(task, {f"sample {n}": chain for n, chain in enumerate(chains, 1)})
    return _mended(task, elected, model) if mend else elected


def vote(
    task: Task,
    *models: BaseChatModel,
    prompts: Sequence[ChatPromptTemplate] = (),
    personas: Sequence[str] = (),
    mend: bool = False,
) -> Chain:
    """Every model with every prompt and persona answers once; the majority per answer path wins.

    `prompts` are other wordings of the task with its inputs (the task's own where none is given);
    a persona is a sentence put before the system message. See `elect` for ties, confidence and
    abstentions.

    models x prompts x personas calls, and one more with `mend`, which has the first model write a
    new reasoning where the winner's argues against a label that won.
    """
    for prompt in prompts:
        if set(prompt.input_variables) != set(task.inputs):
            inputs = ", ".join(task.inputs)
            raise TaskError(f"a prompt to vote needs exactly the task's inputs: {inputs}")
    wordings = [
        instructed(prompt, persona, first=True)
        for prompt in (prompts or (task.prompt,))
        for persona in (personas or ("",))
    ]
    voters = [(model, prompt) for model in models for prompt in wordings]
    if len(voters) < 2:
        raise TaskError("vote needs several models, prompts or personas; give 2 voters or more")
    chains = {
        f"voter {number} {model_name(model)}": answer_chain(task, model, prompt=prompt)
        for number, (model, prompt) in enumerate(voters, 1)
    }
    elected = polled(task, chains)
    return _mended(task, elected, models[0]) if mend else elected


def polled(
    task: Task, chains: Mapping[str, Runnable[dict[str, Any], Thought]]
) -> Runnable[dict[str, Any], Thought]:
    """Every chain answers the same inputs, side by side, and their answers are counted (`elect`).

    A chain that fails abstains. Raises OutputParserException where all fail, TaskError at once.
    """
    safe = {name: _abstaining(chain) for name, chain in chains.items()}

    def counted(ballots: dict[str, Ballot]) -> Thought:
        return elect(task, list(ballots.values()))

    chain = RunnableParallel(safe) | RunnableLambda(counted, name="elect")
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def _mended(task: Task, elected: Chain, model: BaseChatModel) -> Chain:
    """Where the reasoning does not support the whole answer, one written for it (`rationalise`)."""
    reasoned = _abstaining(rationalise(task, model))

    def question(inputs: dict[str, Any], thought: Thought) -> dict[str, Any]:
        return {**inputs, GIVEN_ANSWER: task.answer_json(thought.answer)}

    def mended(inputs: dict[str, Any], config: RunnableConfig) -> Thought:
        thought = elected.invoke(inputs, config)
        if not _unsupported(thought):
            return thought
        return _with_reasoning(thought, reasoned.invoke(question(inputs, thought), config))

    async def amended(inputs: dict[str, Any], config: RunnableConfig) -> Thought:
        thought = await elected.ainvoke(inputs, config)
        if not _unsupported(thought):
            return thought
        return _with_reasoning(thought, await reasoned.ainvoke(question(inputs, thought), config))

    chain: Chain = RunnableLambda(mended, afunc=amended, name="mend")
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def _unsupported(thought: Thought) -> bool:
    return bool((thought.details or {}).get("unsupported"))


def _with_reasoning(thought: Thought, reasoned: Ballot) -> Thought:
    """The elected thought with the new reasoning; as it was where there is none."""
    if isinstance(reasoned, Exception):
        return thought
    kept = {k: v for k, v in (thought.details or {}).items() if k not in _OF_THE_REASONING}
    details = {**kept, **(reasoned.details or {})}
    return replace(thought, reasoning=reasoned.reasoning, answer=reasoned.answer, details=details)


def _sampling(model: BaseChatModel, temperature: float | None, number: int) -> BaseChatModel:
    """The model as sample `number` asks it: warm, uncached, with a seed of its own."""
    own = getattr(model, "temperature", None)
    if (own if temperature is None else temperature) == 0:
        raise TaskError(
            "self_consistency at temperature 0 asks the same thing again and again; "
            "give temperature=0.7"
        )
    fields, seed = type(model).model_fields, getattr(model, "seed", None)
    update: dict[str, Any] = {"cache": False}
    if temperature is not None and "temperature" in fields:
        update["temperature"] = temperature
    if isinstance(seed, int) and "seed" in fields:
        update["seed"] = seed + number
    return model.model_copy(update=update)


def _abstaining(chain: Runnable[dict[str, Any], Any]) -> Runnable[dict[str, Any], Ballot]:
    abstain: Runnable[dict[str, Any], Any] = RunnableLambda(_abstain, name="abstain")
    return chain.with_fallbacks([abstain], exception_key=FAILURE)


def _abstain(inputs: dict[str, Any]) -> Exception:
    failure: Exception = inputs[FAILURE]
    if isinstance(failure, TaskError | NoMoreCalls):  # so for every row: no vote mends it
        raise failure
    return failure
