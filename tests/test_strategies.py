"""Strategies: what each asks, whose answer wins, and what is kept of how it came about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import BaseModel, Field, model_validator

from understudy.chains import Task, TaskError, Thought, answer_chain
from understudy.chains.asking import (
    GIVEN_ANSWER,
    cot,
    few_shot,
    rationalise,
    two_step,
    zero_shot,
    zero_shot_cot,
)
from understudy.chains.election import elect, same
from understudy.chains.negotiation import negotiate
from understudy.chains.replies import json_in, without_thinking
from understudy.chains.shots import Shot
from understudy.chains.strategies import (
    STRATEGIES,
    build_strategy,
    calls_per_row,
    strategy_parameters,
)
from understudy.chains.voting import self_consistency, vote
from understudy.chains.wording import PREFACE, STEP_BY_STEP, instructed, prefaced
from understudy.distill.loop import run_chain, thought_fields
from understudy.distill.runs import describe_run
from understudy.examples.news.task import task as news
from understudy.examples.news.task import teacher as news_teacher
from understudy.store import Example, Store, example_id

Reply = dict[str, Any] | str | AIMessage | Exception
NEWS = {
    "f1": "Acionistas festejaram o lucro do banco.",
    "f2": "A diretoria divulgou sem alarme o atraso na obra.",
    "f3": "Lojistas temem a alta dos juros.",
}
ROW = {"sentence": "chove"}
ONCE: RunnableConfig = {"configurable": {"schema_retries": 0}}


class Scripted(BaseChatModel):
    """Answers a list of replies in turn, or by a function of the messages; keeps what it is asked.

    A dict becomes a call of the bound tool, or JSON text where none is bound.
    """

    replies: list[Any] | Callable[[list[BaseMessage]], Any]
    asked: list[list[tuple[str, str]]] = Field(default_factory=list)
    names: list[str] = Field(default_factory=list)
    model: str = "scripted"
    temperature: float | None = None
    seed: int | None = None
    seeds: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        from langchain_core.utils.function_calling import convert_to_openai_tool

        return self.bind(tools=[convert_to_openai_tool(one) for one in tools])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append([(message.type, str(message.content)) for message in messages])
        self.seeds.append((self.temperature, self.seed, self.cache))
        if callable(self.replies):
            reply = self.replies(messages)
        else:
            reply = self.replies[len(self.asked) - 1]
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=_message(reply, kwargs))])


class TextOnly(Scripted):
    """A model without tools and JSON mode."""

    bind_tools = BaseChatModel.bind_tools


def _message(reply: Any, kwargs: dict[str, Any]) -> AIMessage:
    if isinstance(reply, AIMessage):
        return reply
    if isinstance(reply, dict) and kwargs.get("tools"):
        name = kwargs["tools"][-1]["function"]["name"]
        return AIMessage("", tool_calls=[{"name": name, "args": reply, "id": "1"}])
    return AIMessage(reply if isinstance(reply, str) else json.dumps(reply))


def mood(mood: str, *, urgent: bool = False, because: str | None = None) -> dict[str, Any]:
    return {"reasoning": because or f"{mood} {urgent}", "mood": mood, "urgent": urgent}


def plain(task: Task, thought: Thought) -> tuple[str | None, dict[str, Any]]:
    return thought.reasoning, task.answer_json(thought.answer)


def one_by_one(replies: Sequence[Reply]) -> Scripted:
    return Scripted(replies=list(replies))


SEQUENTIAL: Any = {"max_concurrency": 1}
SHOTS = [
    Shot({"sentence": "o mercado caiu"}, {"mood": "Medo", "urgent": True}, "queda"),
    Shot({"sentence": "a festa foi linda"}, {"mood": "Alegria", "urgent": False}, "festa"),
    Shot({"sentence": "o mercado abre cedo {hoje}"}, {"mood": "Neutro", "urgent": False}, "agenda"),
]


# --- one answer ---------------------------------------------------------------------------------


def test_step_by_step_is_said_after_the_task_s_own_words(tiny_task: Task) -> None:
    model = one_by_one([mood("Medo")])
    thought = zero_shot_cot(tiny_task, model).invoke(ROW)
    assert plain(tiny_task, thought) == ("Medo False", {"mood": "Medo", "urgent": False})
    assert model.asked == [
        [
            ("system", f"Say how the sentence feels, reasoning first.\n\n{STEP_BY_STEP}"),
            ("human", "chove"),
        ]
    ]


def test_words_with_braces_are_said_as_they_stand(tiny_task: Task) -> None:
    prompt = instructed(tiny_task.prompt, 'Write {"a": 1}')
    assert str(prompt.invoke(ROW).to_messages()[0].content).endswith('\n\nWrite {"a": 1}')
    bare = ChatPromptTemplate.from_messages([("human", "{sentence}")])
    messages = instructed(bare, "Be {kind}").invoke(ROW).to_messages()
    assert [(m.type, m.content) for m in messages] == [("system", "Be {kind}"), ("human", "chove")]


def test_rows_and_literal_messages_are_never_read_as_templates(tiny_task: Task) -> None:
    literal = ChatPromptTemplate.from_messages(
        [SystemMessage("As {is}."), ("ai", "{sentence}"), HumanMessage("Now {judge}.")]
    )
    hostile = {"sentence": "{x}", PREFACE: "{y}"}
    told = prefaced(instructed(literal, "{z}")).invoke(hostile).to_messages()
    assert [message.content for message in told] == [
        "As {is}.\n\n{z}",
        "{x}",
        "{y}\n\nNow {judge}.",
    ]
    with pytest.raises(TaskError, match="no human message"):
        prefaced(ChatPromptTemplate.from_messages([("system", "{sentence}")]))


def test_few_shot_shows_answers_alone_and_cot_their_reasoning(tiny_task: Task) -> None:
    few, chain = one_by_one([{"mood": "Medo", "urgent": False}]), one_by_one([mood("Medo")])
    silent = few_shot(tiny_task, few, shots=SHOTS[:1]).invoke(ROW)
    assert silent.reasoning is None
    assert cot(tiny_task, chain, shots=SHOTS[:1]).invoke(ROW).reasoning == "Medo False"
    system = ("system", "Say how the sentence feels, reasoning first.")
    shown = ("human", "o mercado caiu")
    assert few.asked == [
        [system, shown, ("ai", '{"mood":"Medo","urgent":true}'), ("human", "chove")]
    ]
    assert chain.asked[0][2] == ("ai", '{"reasoning":"queda","mood":"Medo","urgent":true}')


def test_similar_shots_come_nearest_last_and_never_the_row_itself(tiny_task: Task) -> None:
    model = Scripted(replies=lambda _: {"mood": "Medo", "urgent": False})
    chain = few_shot(tiny_task, model, shots=SHOTS, k=2, by_similarity=True)
    chain.invoke({"sentence": "hoje o mercado abre"})
    chain.invoke({"sentence": "o mercado caiu"})
    shown = [[text for kind, text in asked if kind == "human"] for asked in model.asked]
    assert shown == [
        ["o mercado caiu", "o mercado abre cedo {hoje}", "hoje o mercado abre"],
        ["a festa foi linda", "o mercado abre cedo {hoje}", "o mercado caiu"],
    ]


def test_random_labels_are_seeded_and_keep_the_format(tiny_task: Task) -> None:
    def answers(seed: int) -> list[str]:
        model = one_by_one([{"mood": "Medo", "urgent": False}])
        shots = SHOTS * 5
        few_shot(tiny_task, model, shots=shots, random_labels=True, seed=seed).invoke(ROW)
        return [text for kind, text in model.asked[0] if kind == "ai"]

    assert answers(1) == answers(1) != answers(2)
    told = [json.loads(text) for text in answers(1)]
    assert all(set(answer) == {"mood", "urgent"} for answer in told)
    assert len({answer["mood"] for answer in told}) > 1


@pytest.mark.parametrize(
    ("shot", "what"),
    [
        (Shot({"text": "x"}, {"mood": "Medo", "urgent": True}, "y"), "has no sentence"),
        (Shot({"sentence": "x"}, {"mood": "Azul", "urgent": True}, "y"), "^mood: "),
        (Shot({"sentence": "x"}, {"mood": "Medo", "urgent": True}), "no reasoning"),
    ],
)
def test_a_shot_that_does_not_fit_is_refused_before_any_call(
    tiny_task: Task, shot: Shot, what: str
) -> None:
    with pytest.raises(TaskError, match=what):
        cot(tiny_task, one_by_one([]), shots=[shot])


def test_two_step_reasons_freely_with_one_model_and_formats_with_another(tiny_task: Task) -> None:
    thinker = one_by_one(["It rains {so} fear."])
    clerk = one_by_one([mood("Medo")])
    thought = two_step(tiny_task, thinker, clerk).invoke(ROW)
    assert thought.details == {"analysis": "It rains {so} fear."}
    assert thinker.asked[0][1] == ("human", "chove")
    assert clerk.asked[0][1][1].endswith("\nIt rains {so} fear.\n\nchove")
    assert clerk.asked[0][0] == ("system", "Say how the sentence feels, reasoning first.")


def test_two_step_fails_where_the_first_model_says_nothing(tiny_task: Task) -> None:
    with pytest.raises(OutputParserException, match="empty"):
        two_step(tiny_task, one_by_one([""]), one_by_one([])).invoke(ROW)


# --- rationales after the fact ------------------------------------------------------------------


def test_a_rationale_is_marked_post_hoc_and_keeps_the_given_answer(tiny_task: Task) -> None:
    model = one_by_one([mood("Medo", because="a chuva assusta")])
    given_answer = {"mood": "Medo", "urgent": False}
    thought = rationalise(tiny_task, model).invoke({**ROW, GIVEN_ANSWER: given_answer})
    assert plain(tiny_task, thought) == ("a chuva assusta", given_answer)
    assert thought.details == {"post_hoc": True}
    assert '{"mood":"Medo","urgent":false}' in model.asked[0][1][1]


def test_a_rationale_that_argues_for_another_answer_is_a_failure(tiny_task: Task) -> None:
    chain = rationalise(tiny_task, one_by_one([mood("Alegria")]))
    with pytest.raises(OutputParserException, match="mood is 'Alegria', given was 'Medo'"):
        chain.invoke({**ROW, GIVEN_ANSWER: {"mood": "Medo", "urgent": False}})


@pytest.mark.parametrize("row", [ROW, {**ROW, GIVEN_ANSWER: {"mood": "Azul", "urgent": True}}])
def test_a_rationale_needs_an_answer_that_fits(tiny_task: Task, row: dict[str, Any]) -> None:
    with pytest.raises(TaskError):
        rationalise(tiny_task, one_by_one([])).invoke(row)


# --- votes --------------------------------------------------------------------------------------


def test_the_majority_wins_with_the_reasoning_of_a_sample_that_gave_it(tiny_task: Task) -> None:
    model = one_by_one(
        [mood("Alegria"), mood("Medo", because="first"), mood("Medo", because="second")]
    )
    thought = self_consistency(tiny_task, model, samples=3).invoke(ROW, SEQUENTIAL)
    assert plain(tiny_task, thought) == ("first", {"mood": "Medo", "urgent": False})
    assert thought.votes == {"mood": {'"Alegria"': 1, '"Medo"': 2}, "urgent": {"false": 3}}
    assert thought.confidence == pytest.approx({"mood": 2 / 3, "urgent": 1.0})
    assert thought.details is None


def test_a_tie_goes_to_the_answer_that_was_given_first(tiny_task: Task) -> None:
    replies = [mood("Neutro"), mood("Medo"), mood("Medo"), mood("Neutro")]
    thought = self_consistency(tiny_task, one_by_one(replies), samples=4).invoke(ROW, SEQUENTIAL)
    assert plain(tiny_task, thought)[1]["mood"] == "Neutro"


def test_a_failed_sample_abstains_and_lowers_the_confidence(tiny_task: Task) -> None:
    replies: list[Reply] = [mood("Medo"), "no idea", RuntimeError("lost\nline two"), mood("Medo")]
    chain = self_consistency(tiny_task, one_by_one(replies), samples=4)
    thought = chain.invoke(ROW, {**ONCE, "max_concurrency": 1})
    assert thought.votes == {"mood": {'"Medo"': 2}, "urgent": {"false": 2}}
    assert thought.confidence == {"mood": 0.5, "urgent": 0.5}
    assert thought.details == {
        "abstentions": ["OutputParserException: the reply holds no answer", "RuntimeError: lost"]
    }


def test_keys_in_a_provider_s_error_are_not_stored_with_the_votes(
    tiny_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "plain-secret-words")
    failing = ValueError("bad key sk-abcdef123456789 of plain-secret-words \ud800")
    model = one_by_one([mood("Medo"), failing])
    thought = self_consistency(tiny_task, model, samples=2).invoke(ROW, SEQUENTIAL)
    stored = thought_fields(tiny_task, thought)["details"]
    assert stored == {"abstentions": ["ValueError: bad key *** of *** ?"]}


def test_where_all_samples_fail_the_row_fails_and_names_the_service_s_error(
    tiny_task: Task,
) -> None:
    chain = self_consistency(tiny_task, one_by_one(["no", ValueError("down"), "no"]), samples=3)
    with pytest.raises(OutputParserException, match=r"of 3 samples .*ValueError: down") as caught:
        chain.invoke(ROW, SEQUENTIAL)
    assert isinstance(caught.value.__cause__, ValueError)


# Medo 2, Neutro 2, Alegria 1; urgent 3 of 5: no sample says Medo and urgent.
SPLIT = [
    mood("Alegria", urgent=True, because="a"),
    mood("Medo", because="b"),
    mood("Medo", because="c"),
    mood("Neutro", urgent=True, because="d"),
    mood("Neutro", urgent=True, because="e"),
]


def test_a_majority_that_no_sample_gave_whole_says_what_its_reasoning_does_not_support(
    tiny_task: Task,
) -> None:
    thought = self_consistency(tiny_task, one_by_one(SPLIT)).invoke(ROW, SEQUENTIAL)
    assert plain(tiny_task, thought) == ("a", {"mood": "Medo", "urgent": True})
    assert thought.details == {"unsupported": ["mood"]}


def test_a_reasoning_that_does_not_support_the_majority_can_be_mended(tiny_task: Task) -> None:
    whole = {"mood": "Medo", "urgent": True}
    mending = one_by_one([*SPLIT, mood("Medo", urgent=True, because="both")])
    failing = one_by_one([*SPLIT, mood("Alegria")])
    told, left = (
        self_consistency(tiny_task, model, mend=True).invoke(ROW, SEQUENTIAL)
        for model in (mending, failing)
    )
    assert plain(tiny_task, told) == ("both", whole)
    assert told.details == {"post_hoc": True}
    assert told.votes == left.votes
    assert told.confidence == {"mood": 0.4, "urgent": 0.6}
    assert plain(tiny_task, left) == ("a", whole)
    assert left.details == {"unsupported": ["mood"]}
    assert len(mending.asked) == calls_per_row("self_consistency", mend=True) == 6


def test_a_reasoning_that_supports_the_majority_is_not_asked_for_again(tiny_task: Task) -> None:
    model = Scripted(replies=lambda _: mood("Medo"))
    thought = asyncio.run(vote(tiny_task, model, model, mend=True).ainvoke(ROW))
    assert (thought.reasoning, len(model.asked)) == ("Medo False", 2)


def test_what_is_wrong_for_every_row_is_no_abstention(tiny_task: Task) -> None:
    model = one_by_one([mood("Medo"), TaskError("mend the task")])
    with pytest.raises(TaskError, match="mend the task"):
        vote(tiny_task, model, model).invoke(ROW, SEQUENTIAL)


class Rated(BaseModel):
    """Two fields that exclude each other's values, and free ones."""

    why: str
    good: bool
    stars: Literal[1, 5]
    note: str = ""
    tags: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> Rated:
        if self.good != (self.stars == 5):
            raise ValueError("a good one has five stars")
        return self


RATED = Task(
    name="rated",
    schema=Rated,
    reasoning="why",
    prompt=ChatPromptTemplate.from_messages([("human", "{sentence}")]),
)


class Pair(BaseModel):
    """Three labels of which the first may never be true alone."""

    a: bool
    b: bool
    c: bool

    @model_validator(mode="after")
    def _fits(self) -> Pair:
        if self.a and self.b and self.c:
            raise ValueError("never all three")
        return self


def test_a_combination_that_the_schema_refuses_never_wins() -> None:
    task = Task(name="pair", schema=Pair, prompt=RATED.prompt)
    answers = [(True, True, False), (True, False, True), (False, True, True)]
    ballots = [task.thought(dict(zip("abc", answer, strict=True))) for answer in answers]
    thought = elect(task, ballots)
    assert task.answer_json(thought.answer) == {"a": True, "b": True, "c": False}
    assert thought.confidence == pytest.approx({"a": 2 / 3, "b": 2 / 3, "c": 1 / 3})
    assert thought.votes == {name: {"true": 2, "false": 1} for name in "ab"} | {
        "c": {"false": 1, "true": 2}
    }


def test_free_values_are_counted_by_the_task_s_comparators() -> None:
    said = [("Muito bom!", ["a", "b"]), ("ruim", []), ("muito  BOM", ["b", "a"])]
    ballots = [
        RATED.thought({"why": "x", "good": True, "stars": 5, "note": note, "tags": tags})
        for note, tags in said
    ]
    thought = elect(RATED, ballots)
    assert RATED.answer_json(thought.answer)["note"] == "Muito bom!"
    assert thought.votes is not None
    assert thought.votes["note"] == {'"Muito bom!"': 2, '"ruim"': 1}
    assert thought.votes["tags"] == {'["a", "b"]': 2, "[]": 1}
    assert same(RATED, "stars", 1, 5) is False


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.sampled_from(["Alegria", "Medo"]), st.booleans())),
        min_size=1,
        max_size=9,
    )
)
def test_every_vote_is_counted_and_the_winner_has_the_most(said: list[Any]) -> None:
    class Mood(BaseModel):
        mood: Literal["Alegria", "Medo"]
        urgent: bool

    task = Task(name="m", schema=Mood, prompt=RATED.prompt)
    ballots = [
        ValueError("none") if one is None else task.thought({"mood": one[0], "urgent": one[1]})
        for one in said
    ]
    given_answers = [one for one in said if one is not None]
    if not given_answers:
        with pytest.raises(OutputParserException):
            elect(task, ballots)
        return
    thought = elect(task, ballots)
    assert thought.votes is not None
    assert thought.confidence is not None
    answer = task.answer_json(thought.answer)
    for path, counts in thought.votes.items():
        assert sum(counts.values()) == len(given_answers)
        assert counts[json.dumps(answer[path])] == max(counts.values())
        assert thought.confidence[path] == max(counts.values()) / len(said)


def test_samples_are_warm_uncached_and_differ_in_their_seed(tiny_task: Task) -> None:
    model = Scripted(replies=lambda _: mood("Medo"), seed=7)
    self_consistency(tiny_task, model, samples=3, temperature=0.7).invoke(ROW, SEQUENTIAL)
    assert model.seeds == [(0.7, 7, False), (0.7, 8, False), (0.7, 9, False)]
    assert model.temperature is None


def test_samples_at_temperature_zero_are_refused(tiny_task: Task) -> None:
    cold = Scripted(replies=[], temperature=0.0)
    with pytest.raises(TaskError, match="temperature 0"):
        self_consistency(tiny_task, cold)
    with pytest.raises(TaskError, match="samples=1"):
        self_consistency(tiny_task, one_by_one([]), samples=1)


def test_every_model_answers_every_wording_and_persona(tiny_task: Task) -> None:
    first, second = (Scripted(replies=lambda _: mood("Medo"), model=name) for name in "ab")
    other = ChatPromptTemplate.from_messages([("human", "Diga: {sentence}")])
    chain = vote(
        tiny_task, first, second, prompts=[tiny_task.prompt, other], personas=["A nurse.", ""]
    )
    thought = chain.invoke(ROW, SEQUENTIAL)
    assert thought.votes == {"mood": {'"Medo"': 8}, "urgent": {"false": 8}}
    assert first.asked == second.asked
    said = "Say how the sentence feels, reasoning first."
    assert first.asked == [
        [("system", f"A nurse.\n\n{said}"), ("human", "chove")],
        [("system", said), ("human", "chove")],
        [("system", "A nurse."), ("human", "Diga: chove")],
        [("human", "Diga: chove")],
    ]


def test_a_vote_needs_two_voters_and_prompts_of_the_task_s_inputs(tiny_task: Task) -> None:
    with pytest.raises(TaskError, match="2 voters"):
        vote(tiny_task, one_by_one([]))
    other = ChatPromptTemplate.from_messages([("human", "{text}")])
    with pytest.raises(TaskError, match="inputs: sentence"):
        vote(tiny_task, one_by_one([]), prompts=[other, other])


# --- negotiation --------------------------------------------------------------------------------


def test_two_readers_who_agree_at_once_cost_two_calls(tiny_task: Task) -> None:
    first, second = one_by_one([mood("Medo", because="mine")]), one_by_one([mood("Medo")])
    thought = negotiate(tiny_task, first, second).invoke(ROW)
    assert plain(tiny_task, thought) == ("mine", {"mood": "Medo", "urgent": False})
    assert thought.details is not None
    assert (thought.details["agreed"], thought.details["changes"]) == (True, [])
    assert [turn["who"] for turn in thought.details["transcript"]] == ["generator", "discriminator"]


def test_the_transcript_says_who_changed_whose_mind(tiny_task: Task) -> None:
    first = Scripted(replies=[mood("Medo"), mood("Neutro", because="convinced")], model="a")
    second = Scripted(replies=[mood("Neutro", because="calm {weather}")], model="b")
    thought = negotiate(tiny_task, first, second).invoke(ROW)
    assert plain(tiny_task, thought) == ("calm {weather}", {"mood": "Neutro", "urgent": False})
    assert thought.votes == {"mood": {'"Medo"': 1, '"Neutro"': 2}, "urgent": {"false": 3}}
    changes = {"turn": 3, "who": "generator", "path": "mood", "from": "Medo", "to": "Neutro"}
    assert thought.details is not None
    assert thought.details["changes"] == [{**changes, "by": "discriminator"}]
    answered = {"mood": "Neutro", "urgent": False}
    assert thought.details["transcript"][1:] == [
        {
            "turn": 2,
            "who": "discriminator",
            "model": "b",
            "answer": answered,
            "reasoning": "calm {weather}",
        },
        {
            "turn": 3,
            "who": "generator",
            "model": "a",
            "answer": answered,
            "reasoning": "convinced",
        },
    ]
    assert [kind for kind, _ in first.asked[1]] == ["system", "human", "ai", "human"]
    assert first.asked[1][3][1].endswith(
        '{"reasoning":"calm {weather}","mood":"Neutro","urgent":false}'
    )
    assert '"mood":"Medo"' in second.asked[0][1][1]


def test_readers_who_never_agree_stop_after_their_rounds(tiny_task: Task) -> None:
    first = Scripted(replies=lambda _: mood("Medo", urgent=True))
    second = Scripted(replies=lambda _: mood("Neutro", urgent=True))
    thought = negotiate(tiny_task, first, second, rounds=2).invoke(ROW)
    assert (len(first.asked), len(second.asked)) == (2, 2)
    assert plain(tiny_task, thought)[1] == {"mood": "Medo", "urgent": True}
    assert thought.confidence == {"mood": 0.5, "urgent": 1.0}
    assert thought.details is not None
    assert thought.details["agreed"] is False


def test_what_both_said_last_beats_what_they_said_before(tiny_task: Task) -> None:
    first = one_by_one([mood("Medo", urgent=True), mood("Medo", urgent=False)])
    second = one_by_one([mood("Neutro", urgent=True), mood("Neutro", urgent=False)])
    thought = negotiate(tiny_task, first, second, rounds=2).invoke(ROW)
    assert plain(tiny_task, thought)[1] == {"mood": "Medo", "urgent": False}


def test_a_reader_that_fails_ends_the_talk_with_what_was_said(tiny_task: Task) -> None:
    thought = negotiate(tiny_task, one_by_one([mood("Medo")]), one_by_one(["hm"])).invoke(ROW, ONCE)
    assert plain(tiny_task, thought)[1] == {"mood": "Medo", "urgent": False}
    assert thought.details is not None
    assert thought.details["transcript"][1]["error"].startswith("OutputParserException: ")
    assert thought.confidence == {"mood": 0.5, "urgent": 0.5}
    with pytest.raises(OutputParserException, match="none of 1 samples"):
        negotiate(tiny_task, one_by_one(["hm"])).invoke(ROW, ONCE)


# --- agents -------------------------------------------------------------------------------------


def temperature(city: str) -> str:
    """The temperature in a city."""
    if city == "Nowhere":
        raise KeyError("no such city")
    return f"{city}: 31"


def tool_call(name: str, args: dict[str, Any]) -> AIMessage:
    return AIMessage(
        "<think>look it up</think>", tool_calls=[{"name": name, "args": args, "id": "9"}]
    )


def agent_for(task: Task, model: BaseChatModel, **options: Any) -> Any:
    return build_strategy("agent", task, [model], tools=[temperature], **options)


def test_an_agent_keeps_its_tool_calls_beside_the_answer(tiny_task: Task) -> None:
    model = one_by_one([tool_call("temperature", {"city": "Rio"}), mood("Alegria")])
    for thought in (
        agent_for(tiny_task, model).invoke(ROW),
        asyncio.run(agent_for(tiny_task, model.model_copy(update={"asked": []})).ainvoke(ROW)),
    ):
        assert plain(tiny_task, thought) == ("Alegria False", {"mood": "Alegria", "urgent": False})
        assert thought.details == {
            "tool_calls": [{"name": "temperature", "args": {"city": "Rio"}, "result": "Rio: 31"}],
            "native_reasoning": "look it up",
        }


@pytest.mark.parametrize("most", [3, 20])
def test_an_agent_stops_at_its_calls(tiny_task: Task, most: int) -> None:
    model = Scripted(replies=lambda _: tool_call("temperature", {"city": "Rio"}))
    with pytest.raises(OutputParserException, match=f"no answer in {most} calls"):
        agent_for(tiny_task, model, max_calls=most).invoke(ROW)
    assert len(model.asked) == most


def test_a_tool_that_raises_is_one_clear_line(tiny_task: Task) -> None:
    model = one_by_one([tool_call("temperature", {"city": "Nowhere"})])
    with pytest.raises(TaskError) as caught:
        agent_for(tiny_task, model).invoke(ROW)
    line = "the tool temperature raised KeyError: 'no such city'; mend the tool"
    assert str(caught.value) == line


def test_an_agent_needs_a_model_that_takes_tools(tiny_task: Task) -> None:
    with pytest.raises(TaskError, match="TextOnly takes no tools"):
        agent_for(tiny_task, TextOnly(replies=[])).invoke(ROW)


# --- models of every kind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps(mood("Medo")),
        f"<think>{{hmm}}</think>\nSure:\n```json\n{json.dumps(mood('Medo'))}\n```\nDone.",
        f"First I thought {json.dumps(mood('Neutro'))}, then {json.dumps(mood('Medo'))}",
    ],
)
def test_a_model_without_tools_is_told_the_schema_and_its_text_is_read(
    tiny_task: Task, reply: str
) -> None:
    model = TextOnly(replies=[reply])
    thought = answer_chain(tiny_task, model).invoke(ROW)
    assert plain(tiny_task, thought) == ("Medo False", {"mood": "Medo", "urgent": False})
    schema = json.dumps(tiny_task.json_schema("reason_label"), ensure_ascii=False)
    assert json.loads(model.asked[0][0][1].rpartition("schema:\n")[2]) == json.loads(schema)


def test_a_profile_that_denies_tools_and_schemas_means_text(tiny_task: Task) -> None:
    model = Scripted(
        replies=[json.dumps(mood("Medo"))],
        profile={"structured_output": False, "tool_calling": False},
    )
    assert plain(tiny_task, zero_shot(tiny_task, model).invoke(ROW))[1]["mood"] == "Medo"


def test_text_without_an_answer_is_a_failure(tiny_task: Task) -> None:
    for reply in ("I would rather not.", "{" * 1000, '{"a": ' * 5000, "<think>{}"):
        with pytest.raises(OutputParserException):
            answer_chain(tiny_task, TextOnly(replies=[reply])).invoke(ROW, ONCE)


BLOCKS: list[str | dict[Any, Any]] = [
    {"type": "reasoning", "reasoning": "by block"},
    {"type": "text", "text": ""},
]
CALL = {"name": "Mood", "args": mood("Medo"), "id": "1", "type": "tool_call"}


@pytest.mark.parametrize(
    ("message", "native"),
    [
        (AIMessage("<think>aloud</think>", tool_calls=[CALL]), "aloud"),
        (AIMessage(BLOCKS, tool_calls=[CALL]), "by block"),
        (
            AIMessage("", tool_calls=[CALL], additional_kwargs={"reasoning_content": "aside"}),
            "aside",
        ),
        (
            AIMessage(
                "",
                tool_calls=[
                    {**CALL, "args": mood("Medo", because="<think>inside</think>Medo False")}
                ],
            ),
            "inside",
        ),
    ],
)
def test_native_reasoning_is_kept_apart_from_the_schema_s(
    tiny_task: Task, message: AIMessage, native: str
) -> None:
    thought = answer_chain(tiny_task, one_by_one([message])).invoke(ROW)
    assert thought.reasoning == "Medo False"
    assert thought.details == {"native_reasoning": native}
    fields = thought_fields(tiny_task, thought)
    assert fields["details"] == {"native_reasoning": native}


def test_broken_arguments_of_a_call_are_named(tiny_task: Task) -> None:
    broken = {"name": "Mood", "args": '{"mood": ', "id": "1", "error": None}
    message = AIMessage("", invalid_tool_calls=[{**broken, "type": "invalid_tool_call"}])
    with pytest.raises(OutputParserException, match="arguments of the call"):
        answer_chain(tiny_task, one_by_one([message])).invoke(ROW, ONCE)


@pytest.mark.parametrize(
    ("text", "rest", "thought"),
    [
        ("a < b", "a < b", ""),
        ("<think>x</think> y", "y", "x"),
        ("x</think>y", "y", "x"),
        ("<think>x", "", "x"),
        ("<THINK>x</THINK>a<think>z</think>b", "ab", "x\nz"),
    ],
)
def test_thinking_is_cut_out_of_a_text(text: str, rest: str, thought: str) -> None:
    assert without_thinking(text) == (rest, thought)


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_the_last_json_object_of_a_text_is_found(before: str, data: dict[str, str]) -> None:
    noise = before.replace("{", "(")
    assert json_in(f"{noise}{json.dumps(data)} and so on") == data
    assert json_in(noise) is None


# --- in an app ----------------------------------------------------------------------------------


class Counting(BaseCallbackHandler):
    """Counts the model calls that it hears of."""

    def __init__(self) -> None:
        self.calls = 0

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.calls += 1


NEWS_SHOTS = [
    Shot(
        dict(NEWS),
        {f: {"polaridade": "Neutro", "emocao": "Neutro"} for f in NEWS},
        "f1: sem pista; f2: sem pista; f3: sem pista",
    )
]
IN_AN_APP: dict[str, tuple[int, dict[str, Any]]] = {
    "zero_shot": (1, {}),
    "few_shot": (1, {"shots": NEWS_SHOTS}),
    "cot": (1, {"shots": NEWS_SHOTS}),
    "zero_shot_cot": (1, {}),
    "two_step": (2, {}),
    "self_consistency": (1, {"samples": 4}),
    "vote": (3, {"personas": ["Você é economista.", ""]}),
    "negotiate": (2, {"rounds": 2}),
    "rationalise": (1, {}),
}


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - {"agent"}))
def test_every_strategy_runs_in_any_app_within_its_calls(name: str) -> None:
    models, options = IN_AN_APP[name]
    chain = build_strategy(name, news, [news_teacher] * models, **options)
    expected = news.answer_json(zero_shot(news, news_teacher).invoke(NEWS).answer)
    row = {**NEWS, GIVEN_ANSWER: expected} if name == "rationalise" else NEWS
    before: Runnable[str, dict[str, Any]] = RunnableLambda(lambda _: row)
    handlers = [Counting() for _ in range(4)]
    configs: list[Any] = [{"callbacks": [handler]} for handler in handlers]
    thoughts = [
        chain.invoke(row, configs[0]),
        asyncio.run(chain.ainvoke(row, configs[1])),
        *chain.batch([row, row], configs[2]),
        (before | chain).invoke("whatever the app has", configs[3]),
    ]
    assert all(news.answer_json(thought.answer) == expected for thought in thoughts)
    most = calls_per_row(name, models=models, **options)
    counts = [handler.calls for handler in handlers]
    assert counts == [counts[0], counts[0], 2 * counts[0], counts[0]]
    assert 1 <= counts[0] <= most
    for thought in thoughts:
        json.dumps(thought_fields(news, thought))


def test_a_labelled_row_remembers_its_votes_and_its_negotiation() -> None:
    split = {**NEWS_SHOTS[0].answer, "raciocinio": "f1: sem pista; f2: sem pista; f3: sem pista"}
    odd = Scripted(replies=lambda _: split, model="odd")
    row = Example(id=example_id(NEWS), task=news.name, split="train", inputs=NEWS)
    for name, models, options in (
        ("vote", [news_teacher, odd, news_teacher], {}),
        ("negotiate", [news_teacher, odd], {"rounds": 2}),
    ):
        chain = build_strategy(name, news, models, **options)
        thought = chain.invoke(NEWS)
        with Store(":memory:") as store:
            store.add_examples([row])
            run = store.start_run(
                describe_run(
                    news,
                    role="teacher",
                    name="teacher",
                    model=news_teacher,
                    target="reason_label",
                    strategy=name,
                    parameters=strategy_parameters(name, **options),
                )
            )
            run_chain(chain, news, store, run)
            [record] = store.records(run.id)
        assert record.attempts == calls_per_row(name, models=len(models), **options)
        assert record.votes is not None
        assert record.votes == thought.votes
        assert record.votes["f1.emocao"] in (
            {'"Felicidade"': 2, '"Neutro"': 1},
            {'"Felicidade"': 2, '"Neutro"': 2},
        )
        assert record.details == thought.details
        assert record.reasoning == thought.reasoning


def test_worst_cases_are_known_before_a_run() -> None:
    assert calls_per_row("zero_shot") == 1
    assert calls_per_row("self_consistency") == 5
    assert calls_per_row("vote", models=3, personas=["a", "b"]) == 6
    assert calls_per_row("negotiate", models=2, rounds=4) == 8
    assert calls_per_row("agent", max_calls=3, tools=[temperature]) == 3


@pytest.mark.parametrize(
    ("name", "models", "options", "what"),
    [
        ("few_shots", 1, {}, "there is no strategy 'few_shots'; take one of zero_shot, "),
        ("zero_shot", 2, {}, "zero_shot with 2 model"),
        ("negotiate", 1, {"round": 2}, "unexpected keyword argument 'round'"),
        ("agent", 1, {}, "missing a required .*argument: 'tools'"),
        ("negotiate", 1, {"rounds": 0}, "rounds=0"),
    ],
)
def test_a_strategy_that_cannot_be_built_is_one_line(
    tiny_task: Task, name: str, models: int, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(TaskError, match=what):
        build_strategy(name, tiny_task, [one_by_one([])] * models, **options)


def test_parameters_tell_strategies_apart_as_json_scalars(tiny_task: Task) -> None:
    few = strategy_parameters("few_shot", shots=SHOTS)
    assert few == strategy_parameters("few_shot", shots=list(SHOTS))
    assert few != strategy_parameters("few_shot", shots=SHOTS[:2])
    assert strategy_parameters("vote") != strategy_parameters("vote", personas=["x"])
    assert strategy_parameters("vote", prompts=[tiny_task.prompt]) != strategy_parameters("vote")
    assert strategy_parameters("agent", tools=[temperature])["max_calls"] == 8
    assert all(not isinstance(value, list | dict) for value in few.values())
