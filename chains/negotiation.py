"""Two readers argue about an example until they agree or the rounds are over."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from .answer import answer_chain
from .election import Ballot, elect, same
from .task import NoMoreCalls, Target, Task, TaskError, Thought, value_at
from .teachers import model_name
from .wording import (
    CRITICISM,
    OBJECTION,
    PREFACE,
    PROPOSAL,
    TURNS,
    instructed,
    prefaced,
    with_turns,
)

Chain = Runnable[dict[str, Any], Thought]
Talk = Generator[tuple[Chain, dict[str, Any]], Ballot, Thought]


def negotiate(
    task: Task,
    model: BaseChatModel,
    discriminator: BaseChatModel | None = None,
    *,
    rounds: int = 3,
    criticism: str = CRITICISM,
    objection: str = OBJECTION,
) -> Chain:
    """The model answers, the discriminator judges, the model replies, until both say the same.

    At most 2 x `rounds` calls. Without `discriminator` the model argues with itself. Agreement on
    every path ends the talk at once. Without it, what both said last stands; on other paths all
    turns vote, the earliest of equals wins. The reasoning is of the first turn that gave the
    winning answer. A turn that fails ends the talk with what was said before.

    `details` keeps the `transcript` (turn, who, model, answer, reasoning, error), whether they
    `agreed`, and the `changes`: who gave up which value for which, and whose value that was (`by`,
    None where nobody had said it).

    Method: "Sentiment analysis through LLM negotiations", arXiv 2311.01876. Raises
    OutputParserException where the first turn fails.
    """
    if rounds < 1:
        raise TaskError(f"negotiate with rounds={rounds}; give 1 or more")
    other = discriminator or model
    table = _Table(
        task,
        generator=answer_chain(task, model, prompt=with_turns(task.prompt)),
        critic=answer_chain(task, other, prompt=prefaced(instructed(task.prompt, criticism))),
        names={"generator": model_name(model), "discriminator": model_name(other)},
        rounds=rounds,
        objection=objection,
    )

    def talk(inputs: dict[str, Any], config: RunnableConfig) -> Thought:
        return _run(table.talk(inputs), config)

    async def atalk(inputs: dict[str, Any], config: RunnableConfig) -> Thought:
        return await _arun(table.talk(inputs), config)

    chain: Chain = RunnableLambda(talk, afunc=atalk, name="negotiate")
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


@dataclass(frozen=True)
class _Table:
    """Where the two sit: their chains, their names, the rules."""

    task: Task
    generator: Chain
    critic: Chain
    names: Mapping[str, str]
    rounds: int
    objection: str

    def talk(self, inputs: dict[str, Any]) -> Talk:
        """Yields who is asked what, is sent the ballot, returns the outcome."""
        said = _Said(self.task, self.names)
        turns: list[BaseMessage] = []
        for turn in range(2 * self.rounds):
            who = "discriminator" if turn % 2 else "generator"
            if turn % 2:
                proposal = f"{PROPOSAL}\n{said.written('generator')}"
                said.add(who, (yield self.critic, {**inputs, PREFACE: proposal}))
            else:
                said.add(who, (yield self.generator, {**inputs, TURNS: list(turns)}))
            if said.failed or said.agreed:
                break
            text = said.written(who)
            turns.append(HumanMessage(f"{self.objection}\n{text}") if turn % 2 else AIMessage(text))
        return said.outcome()


@dataclass
class _Said:
    """What has been said so far."""

    task: Task
    names: Mapping[str, str]
    ballots: list[Ballot] = field(default_factory=list)
    last: dict[str, Thought] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    transcript: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def add(self, who: str, ballot: Ballot) -> None:
        number = len(self.ballots) + 1
        turn = {"turn": number, "who": who, "model": self.names[who]}
        self.ballots.append(ballot)
        if isinstance(ballot, Exception):
            line = " ".join(str(ballot).split())[:300]
            self.transcript.append({**turn, "error": f"{type(ballot).__name__}: {line}"})
            return
        answer = self.task.answer_json(ballot.answer)
        native = (ballot.details or {}).get("native_reasoning")
        self.transcript.append(
            {**turn, "answer": answer, "reasoning": ballot.reasoning}
            | ({"native_reasoning": native} if native else {})
        )
        self._note_changes(number, who, answer)
        self.last[who] = ballot
        self.numbers[who] = number - 1

    def _note_changes(self, turn: int, who: str, answer: Mapping[str, Any]) -> None:
        before, others = self.answer(who), self.answer(_other(who))
        if before is None:
            return
        for path in self.task.paths:
            old, new = value_at(before, path), value_at(answer, path)
            if same(self.task, path, old, new):
                continue
            heard = others is not None and same(self.task, path, value_at(others, path), new)
            change = {"turn": turn, "who": who, "path": path, "from": old, "to": new}
            self.changes.append({**change, "by": _other(who) if heard else None})

    def answer(self, who: str) -> dict[str, Any] | None:
        thought = self.last.get(who)
        return None if thought is None else self.task.answer_json(thought.answer)

    def written(self, who: str) -> str:
        """The last word of `who` as compact JSON, reasoning first where there is one."""
        thought = self.last[who]
        target: Target = "reason_label" if thought.reasoning else "label"
        answer = self.task.answer_json(thought.answer)
        return self.task.completion(answer, reasoning=thought.reasoning, target=target)

    @property
    def failed(self) -> bool:
        return isinstance(self.ballots[-1], Exception)

    @property
    def agreed(self) -> bool:
        return len(self.last) == 2 and len(self.settled()) == len(self.task.paths)

    def settled(self) -> dict[str, int]:
        """The paths on which the last words of both are the same, with the generator's turn."""
        one, other = self.answer("generator"), self.answer("discriminator")
        if one is None or other is None:
            return {}
        return {
            path: self.numbers["generator"]
            for path in self.task.paths
            if same(self.task, path, value_at(one, path), value_at(other, path))
        }

    def outcome(self) -> Thought:
        thought = elect(self.task, self.ballots, settled=self.settled())
        details = {"transcript": self.transcript, "agreed": self.agreed, "changes": self.changes}
        return replace(thought, details={**(thought.details or {}), **details})


def _other(who: str) -> str:
    return "generator" if who == "discriminator" else "discriminator"


def _run(talk: Talk, config: RunnableConfig) -> Thought:
    chain, inputs = next(talk)
    while True:
        ballot: Ballot
        try:
            ballot = chain.invoke(inputs, config)
        except (TaskError, NoMoreCalls):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a provider raises ends the talk
            ballot = failure
        try:
            chain, inputs = talk.send(ballot)
        except StopIteration as end:
            outcome: Thought = end.value
            return outcome


async def _arun(talk: Talk, config: RunnableConfig) -> Thought:
    chain, inputs = next(talk)
    while True:
        ballot: Ballot
        try:
            ballot = await chain.ainvoke(inputs, config)
        except (TaskError, NoMoreCalls):
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a provider raises ends the talk
            ballot = failure
        try:
            chain, inputs = talk.send(ballot)
        except StopIteration as end:
            outcome: Thought = end.value
            return outcome
