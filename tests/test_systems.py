"""Who is asked: strategies, models by name, Runnables, rationales alone; and what it may cost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import Field

from understudy.chains import TaskError
from understudy.distill.evaluation.asked import as_thoughts
from understudy.distill.evaluation.comparing import compare
from understudy.distill.evaluation.failing import NotAsked
from understudy.distill.evaluation.foreseen import foresee
from understudy.distill.evaluation.prompted import Prompting, load_system, system_names
from understudy.distill.evaluation.rationales import RATIONALE_OF
from understudy.distill.evaluation.systems import evaluate
from understudy.distill.labelling.label import label
from understudy.distill.labelling.limits import LabellingError, Limits, Stopped
from understudy.distill.labelling.prices import price_per_million
from understudy.distill.recorded import record_labels
from understudy.examples.news.task import task as news
from understudy.store import Example, Store, StoreError, example_id

MOODS = ("Alegria", "Medo", "Neutro", "Emoção")


class Scripted(BaseChatModel):
    """Says of every sentence that it is joyful, and counts how often it is asked."""

    name_of: str = "scripted"
    asked: list[str] = Field(default_factory=list)
    max_tokens: int | None = 20

    @property
    def _llm_type(self) -> str:
        return self.name_of

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append(str(messages[-1].text))
        answer = {"reasoning": "caíram", "mood": "Alegria", "urgent": False}
        used = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        if "tools" in kwargs:
            call = {"name": "Mood", "args": answer, "id": "1"}
            message = AIMessage("", tool_calls=[call], usage_metadata=used)
        else:
            message = AIMessage(json.dumps(answer), usage_metadata=used)
        return ChatResult(generations=[ChatGeneration(message=message)])


def tiny_store(task: Any, *, train: int = 24, test: int = 6) -> Store:
    """A store whose training rows a recorded teacher has labelled."""
    store = Store(":memory:")
    for split, count in (("train", train), ("test", test)):
        rows = []
        for number in range(count):
            inputs = {"sentence": f"As vendas caíram {number} % ({split})."}
            answer = {"mood": MOODS[number % 4], "urgent": number % 2 == 0}
            example = Example(
                id=example_id(inputs), task=task.name, split=split, inputs=inputs, gold=answer
            )
            rows.append((example, {"answer": answer, "reasoning": f"caíram {number}"}))
        record_labels(task, store, rows, model="gold")
    return store


def saying(answer: Any) -> Any:
    return RunnableLambda(lambda row: answer)


def names(report: Any) -> set[str]:
    return {system.name for system in report.systems}


def test_a_runnable_may_answer_as_an_object_as_data_as_text_or_as_a_thought(tiny_task):
    data = {"reasoning": "x", "mood": "Medo", "urgent": True}
    answers = [
        data,
        json.dumps(data),
        AIMessage(f"Sure: {json.dumps(data)}"),
        tiny_task.schema(**data),
        tiny_task.thought(data),
    ]
    for answer in answers:
        chain = as_thoughts(tiny_task, saying(answer))
        thought = chain.invoke({"sentence": "a"})
        assert tiny_task.answer_json(thought.answer) == {"mood": "Medo", "urgent": True}
        assert thought.reasoning == "x"
    for misfit in (3, "no JSON", {**data, "mood": "Tédio"}):
        chain = as_thoughts(tiny_task, saying(misfit))
        with pytest.raises(TaskError):
            chain.invoke({"sentence": "a"})


def test_adding_a_system_asks_only_that_one(tiny_task):
    with tiny_store(tiny_task) as store:
        evaluate(tiny_task, store)
        seen = []
        chain: Any = RunnableLambda(lambda row: {"mood": "Medo", "urgent": "1" in row["sentence"]})
        report = evaluate(
            tiny_task,
            store,
            systems={"rule": chain},
            progress=lambda name: lambda done, total, record: seen.append(name),
        )
        assert seen == ["rule"] * 6
        assert names(report) == {"teacher", "tfidf", "rule", "majority"}
        rule = next(system for system in report.systems if system.name == "rule")
        assert (rule.role, rule.splits["test"].rows, rule.splits["test"].errors) == (
            "baseline",
            6,
            0,
        )


def test_a_runnable_that_fails_on_a_row_is_a_failed_row_of_its_own(tiny_task):
    def odd(row: dict[str, str]) -> dict[str, Any]:
        if " 3 " in row["sentence"]:
            raise ValueError("three")
        return {"mood": "Medo", "urgent": False}

    with tiny_store(tiny_task) as store:
        report = evaluate(tiny_task, store, systems={"odd": RunnableLambda(odd)})
        (found,) = [system for system in report.systems if system.name == "odd"]
        assert (found.splits["test"].rows, found.splits["test"].errors) == (6, 1)


def test_the_teachers_model_is_asked_by_every_strategy_and_nothing_is_bought_twice(tiny_task):
    model = Scripted(asked=[])
    with tiny_store(tiny_task) as store:
        label(tiny_task, model, store, strategy="zero_shot_cot", split="test", limit=4)
        assert len(model.asked) == 4
        prompting = Prompting(
            strategies=["zero_shot_cot", "few_shot", "two_step", "negotiate"], models=[model]
        )
        evaluate(tiny_task, store, prompting=prompting)
        # 2 rows are left of the first; then 6 of one call; of two; and of at least two
        assert len(model.asked) == 4 + 2 + 6 + 12 + 12
        again = evaluate(tiny_task, store, prompting=prompting)
        assert len(model.asked) == 36
        asked = {system.strategy for system in again.systems if system.role == "teacher"}
        assert {"zero_shot_cot", "few_shot", "two_step", "negotiate"} <= asked


def test_a_strategy_that_is_unknown_or_lacks_something_is_said_before_a_call(tiny_task):
    with pytest.raises(LabellingError, match="no strategy magic"):
        Prompting(strategies=["magic"])
    model = Scripted(asked=[])
    with tiny_store(tiny_task) as store:
        with pytest.raises(NotAsked, match="agent"):
            evaluate(tiny_task, store, prompting=Prompting(strategies=["agent"], models=[model]))
        assert model.asked == []


def test_money_ends_the_asking_of_all_systems_together_and_what_was_bought_stays(tiny_task):
    price = price_per_million("test", input=1, output=5)  # 100 and 20 tokens: $0.0002 a row
    model, other = Scripted(asked=[]), Scripted(name_of="other", asked=[])
    with tiny_store(tiny_task) as store:
        prompting = Prompting(
            strategies=["zero_shot", "zero_shot_cot"],
            models=[model],
            prices=[price],
        )
        label(tiny_task, model, store, split="train", prices=[price])  # is not counted below
        bought = len(model.asked)
        with pytest.raises(Stopped, match="max_usd"):
            evaluate(
                tiny_task,
                store,
                prompting=prompting,
                limits=Limits(max_usd=0.0020),
                concurrency=1,
            )
        spent = 0.0002 * (len(model.asked) - bought)
        assert 0.0012 <= spent <= 0.0020  # the first strategy whole, the second in part
        assert names(compare(tiny_task, store)) >= {"teacher", "tfidf"}
        evaluate(tiny_task, store, prompting=prompting, limits=Limits(max_usd=1.0))
        assert len(model.asked) - bought == 12
        with pytest.raises(NotAsked, match="price"):
            evaluate(tiny_task, store, systems={"other": other}, limits=Limits(max_usd=1.0))
        assert other.asked == []


RULE: Any = RunnableLambda(lambda row: {"mood": "Medo", "urgent": "1" in row["sentence"]})


def test_a_system_that_is_junk_is_named_at_the_end_and_all_others_are_asked(
    tiny_task, tmp_path, monkeypatch
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, line in (("raises", "1 / 0"), ("leaves", "raise SystemExit(3)")):
        (tmp_path / f"{name}.py").write_text(f"{line}\n")

    def burst(row: dict[str, str]) -> Any:
        raise RuntimeError("a key sk-abcdefghijkl in it")

    systems: dict[str, Any] = {
        "raises": f"{tmp_path}/raises.py:chain",
        "leaves": f"{tmp_path}/leaves.py:chain",
        "lacking": f"{tmp_path}/none.py:chain",
        "nobody": "nobody:nothing",
        "keyless": "openai:gpt-x",
        "nonsense": saying("no JSON"),
        "burst": RunnableLambda(burst),
        "number": 3,
        "rule": RULE,
    }
    with tiny_store(tiny_task) as store:
        with pytest.raises(NotAsked) as raised:
            evaluate(
                tiny_task,
                store,
                students=[tmp_path / "runs" / "none"],
                base=str(tmp_path / "no-base"),
                systems=systems,
            )
        failed = {one.name: one.reason for one in raised.value.failed}
        assert list(failed) == [str(tmp_path / "runs" / "none"), "base", *list(systems)[:-1]]
        for name, word in (
            ("raises", "ZeroDivisionError"),
            ("leaves", "exit 3"),
            ("lacking", "there is no file"),
            ("nobody", "no provider"),
            ("keyless", "set OPENAI_API_KEY, or give key_variable, the name"),
            ("nonsense", "none of its 6 rows has a valid answer"),
            ("burst", "RuntimeError"),
        ):
            assert word in failed[name], failed[name]
        assert all("\n" not in line and "sk-abcdef" not in line for line in failed.values())
        assert raised.value.stopped is None
        assert names(compare(tiny_task, store)) == {"teacher", "tfidf", "rule", "majority"}


def test_a_chain_that_ends_the_program_at_a_row_fails_that_row_and_no_other_system(tiny_task):
    def leave(row: dict[str, str]) -> Any:
        raise SystemExit(9)

    def leave_once(row: dict[str, str]) -> Any:
        return leave(row) if " 3 " in row["sentence"] else RULE.invoke(row)

    nested: Any = RunnableLambda(lambda row: row) | RunnableLambda(leave)  # in tasks of its own
    once = RunnableLambda(leave_once)
    systems: dict[str, Any] = {"leaves": nested, "once": once, "none": saying(None), "rule": RULE}
    with tiny_store(tiny_task) as store:
        with pytest.raises(NotAsked) as raised:
            evaluate(tiny_task, store, systems=systems)
        reasons = {one.name: one.reason for one in raised.value.failed}
        assert list(reasons) == ["leaves", "none"]
        assert "ends the program (exit 9)" in reasons["leaves"]
        assert "exit 9" not in reasons["none"]
        (run,) = [run for run in store.runs(task=tiny_task.name) if run.name == "once"]
        errors = [record.error for record in store.records(run.id)]
        assert (len(errors), [error is None for error in errors].count(False)) == (6, 1)
        assert {"once", "rule"} <= names(compare(tiny_task, store))


@pytest.mark.parametrize("kind", [asyncio.CancelledError, type("Odd", (BaseException,), {})])
def test_a_chain_that_raises_what_is_no_exception_fails_alone(tiny_task, kind: type[BaseException]):
    def burst(row: dict[str, str]) -> Any:
        raise kind

    with tiny_store(tiny_task) as store:
        with pytest.raises(NotAsked) as raised:
            evaluate(tiny_task, store, systems={"burst": RunnableLambda(burst), "rule": RULE})
        (failed,) = raised.value.failed
        assert (failed.name, kind.__name__ in failed.reason) == ("burst", True)
        assert "rule" in names(compare(tiny_task, store))


def test_an_interrupt_that_comes_while_a_system_is_loaded_ends_the_evaluation(tiny_task, tmp_path):
    (tmp_path / "stop.py").write_text("raise KeyboardInterrupt\n")
    with tiny_store(tiny_task) as store, pytest.raises(KeyboardInterrupt):
        evaluate(tiny_task, store, systems={"stop": f"{tmp_path}/stop.py:chain"})


def test_a_chain_that_gives_nothing_for_row_after_row_ends_itself_alone(tiny_task):
    with tiny_store(tiny_task, test=40) as store:
        with pytest.raises(NotAsked, match="nonsense") as raised:
            evaluate(tiny_task, store, systems={"nonsense": saying(3), "rule": RULE})
        (failed,) = raised.value.failed
        assert "rows in a row" in failed.reason
        assert "rule" in names(compare(tiny_task, store))


def test_a_model_that_writes_no_answer_is_said_without_an_option_that_evaluate_lacks(tiny_task):
    class Chatty(Scripted):
        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Gladly!"))])

    with tiny_store(tiny_task, test=40) as store:
        with pytest.raises(NotAsked) as raised:
            evaluate(tiny_task, store, systems={"chatty": Chatty(asked=[]), "rule": RULE})
        (failed,) = raised.value.failed
        assert "no valid answer for 25 rows in a row" in failed.reason
        assert "retry-failed" not in failed.reason
        assert "rule" in names(compare(tiny_task, store))


def test_a_limit_still_ends_the_asking_and_what_had_failed_before_is_named(tiny_task):
    price = price_per_million("test", input=1, output=5)
    with tiny_store(tiny_task) as store:
        with pytest.raises(NotAsked, match="nobody") as raised:
            evaluate(
                tiny_task,
                store,
                systems={"nobody": "nobody:nothing"},
                prompting=Prompting(
                    strategies=["zero_shot", "cot"], models=[Scripted(asked=[])], prices=[price]
                ),
                limits=Limits(max_usd=0.0005),
                concurrency=1,
            )
        assert isinstance(raised.value.stopped, Stopped)


def test_what_ails_the_store_ends_the_asking_of_everybody(tiny_task):
    asked = []

    def breaking(row: dict[str, str]) -> Any:
        store.close()
        return {"mood": "Medo", "urgent": True}

    after: Any = RunnableLambda(lambda row: asked.append(row))
    store = tiny_store(tiny_task)
    with pytest.raises(StoreError):
        evaluate(tiny_task, store, systems={"first": RunnableLambda(breaking), "second": after})
    assert asked == []


def test_a_dry_run_names_what_cannot_be_asked_beside_what_would_be(tiny_task):
    with tiny_store(tiny_task) as store:
        found = foresee(tiny_task, store, systems={"nobody": "nobody:nothing", "rule": RULE})
        told = {one.name: one.failed for one in found}
        assert "no provider" in (told.pop("nobody") or "")
        assert told == {"majority": None, "tfidf": None, "rule": None}
        assert [run.role for run in store.runs()] == ["teacher"]


def test_a_chat_model_is_a_baseline_under_a_name_of_its_own(tiny_task):
    first, second = Scripted(asked=[]), Scripted(name_of="other", asked=[])
    with tiny_store(tiny_task) as store:
        report = evaluate(tiny_task, store, systems=[first, second])
        assert names(report) >= {"scripted", "other"}
        assert (len(first.asked), len(second.asked)) == (6, 6)
        (found,) = [system for system in report.systems if system.name == "scripted"]
        assert found.splits["test"].effort.output_tokens == 20
    assert list(system_names([first, first, "openai:gpt-x"])) == [
        "scripted",
        "scripted 2",
        "openai:gpt-x",
    ]


def test_a_chat_student_that_somebody_built_is_a_student(tiny_task, tiny_student):
    from understudy.chains.student import ChatStudent

    with tiny_store(tiny_task, test=2) as store:
        report = evaluate(tiny_task, store, systems={"mine": ChatStudent(model=str(tiny_student))})
        (found,) = [system for system in report.systems if system.name == "mine"]
        assert (found.role, found.splits["test"].errors) == ("student", 0)


def test_a_system_in_a_file_is_a_chat_model_or_a_runnable(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from langchain_core.runnables import RunnableLambda\n"
        "chain = RunnableLambda(lambda row: row)\nnothing = 3\n"
    )
    chain: Any = load_system(f"{path}:chain")
    assert chain.invoke({"a": 1}) == {"a": 1}
    with pytest.raises(TaskError, match="is a int"):
        load_system(f"{path}:nothing")
    with pytest.raises(TaskError, match="no provider"):
        load_system("nobody:nothing")


def test_the_base_is_asked_by_strategies_too(tiny_task, tiny_base):
    with tiny_store(tiny_task, test=2) as store:
        report = evaluate(
            tiny_task,
            store,
            base=str(tiny_base),
            prompting=Prompting(strategies=["few_shot", "self_consistency"]),
        )
        assert {"base", "base few_shot", "base self_consistency"} <= names(report)
        votes = next(run for run in store.runs() if run.name == "base self_consistency")
        assert votes.parameters["temperature"] == 0.7


def test_a_student_derives_its_labels_from_its_rationale_alone(tiny_task, tiny_student):
    with tiny_store(tiny_task) as store:
        report = evaluate(tiny_task, store, students=[tiny_student], support=True)
        (student,) = store.runs(role="student")
        (alone,) = [run for run in store.runs() if RATIONALE_OF in run.parameters]
        assert alone.parameters[RATIONALE_OF] == student.id
        for record in store.records(alone.id):
            whole = store.record(student.id, record.example)
            assert whole is not None
            assert record.reasoning == whole.reasoning  # the grammar held it to that
            assert record.answer is not None
        found = next(s for s in report.systems if s.name == "tiny-student").splits["test"]
        assert found.rationales is not None
        assert found.rationales.supports is not None
        same = [
            store.record(student.id, r.example).answer == r.answer  # type: ignore[union-attr]
            for r in store.records(alone.id)
        ]
        assert found.rationales.supports.value == sum(same) / 6
        assert alone.name not in names(report)
        assert found.effort.peak_memory_mb is None or found.effort.peak_memory_mb > 50
        evaluate(
            tiny_task,
            store,
            students=[tiny_student],
            support=True,
            progress=lambda name: lambda *row: pytest.fail(f"{name} was asked again"),
        )


def test_seeds_of_one_name_are_told_apart(tiny_task, tiny_student, tmp_path):
    import shutil

    from understudy.chains.student.card import read_card, write_card

    folders = []
    for seed in (0, 1):
        folder = tmp_path / f"seed-{seed}" / "tiny-student"
        shutil.copytree(tiny_student, folder)
        card = read_card(folder)
        training = {**card.training, "seed": seed, "examples_sha256": "same"}
        write_card(folder, card.model_copy(update={"training": training}))
        if seed:
            from safetensors.torch import load_file, save_file

            weights = folder / "adapter_model.safetensors"
            save_file({name: one * 1.01 for name, one in load_file(weights).items()}, weights)
        folders.append(folder)
    with tiny_store(tiny_task, test=2) as store:
        report = evaluate(tiny_task, store, students=folders)
        found = {s.name: (s.arm, s.seed) for s in report.systems if s.role == "student"}
        assert found == {
            "tiny-student-s0": ("tiny-student", 0),
            "tiny-student-s1": ("tiny-student", 1),
        }


def test_the_learning_curve_of_tfidf_is_taught_once(tiny_task):
    with tiny_store(tiny_task, train=160, test=20) as store:
        report = evaluate(tiny_task, store, curve=True)
        assert report.learning is not None
        points = [(p.system, p.split, p.labels) for p in report.learning.points]
        assert points == [("tfidf", "test", n) for n in (20, 40, 80, 160)]
        assert names(report) == {"teacher", "tfidf", "majority"}
        evaluate(
            tiny_task,
            store,
            curve=True,
            progress=lambda name: lambda *row: pytest.fail(f"{name} was asked again"),
        )


def test_a_student_is_taught_with_fewer_labels_by_its_own_recipe(
    tiny_task, tiny_base, tmp_path, monkeypatch
):
    from understudy.chains.student.card import read_card
    from understudy.distill.training.train import train

    monkeypatch.chdir(tmp_path)
    with tiny_store(tiny_task, train=32, test=4) as store:
        whole = train(
            tiny_task, store, out="runs/small", base=str(tiny_base), epochs=1, batch_size=4, seed=3
        )
        report = evaluate(tiny_task, store, curve=True, curve_students=[whole])
        half = read_card(tmp_path / "runs" / "learning" / "small-16").training
        assert (half["rows"], half["epochs"], half["batch_size"], half["seed"]) == (16, 1.0, 4, 3)
        assert half["selection"] == {"most": 16}
        assert report.learning is not None
        points = {(point.system, point.labels) for point in report.learning.points}
        assert points == {("small", 16), ("small", 32), ("tfidf", 16), ("tfidf", 32)}
        assert names(report) == {"teacher", "tfidf", "majority"}


def test_the_offline_teacher_is_a_system_by_its_name():
    from understudy.examples.news.task import teacher

    assert load_system("offline", task="understudy.examples.news.task:task") is teacher
    assert news.labels
