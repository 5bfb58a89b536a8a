"""LangChain's standard tests pass, and what the conformance student learns is what it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.conformance_lessons import LESSONS, ScriptedTeacher
from understudy.chains import answer_chain
from understudy.chains.student import StudentCard
from understudy.chains.student.tools import openai_tools
from understudy.chains.student.turns import conversation, learnt_turns, turn_messages, turn_task
from understudy.chains.task import prompt_words

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_bare_base_passes_every_standard_test_that_needs_no_knowledge() -> None:
    command = [sys.executable, "-m", "benchmarks.conformance", "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {"passed": 46, "failed": 0, "skipped": 8}, (
        ended.stdout
    )


def test_a_lesson_is_taught_in_the_words_in_which_it_is_asked() -> None:
    task = turn_task("conformance")
    card = StudentCard(
        name="conformant",
        task=task.name,
        target="label",
        base="embedded",
        base_sha256="",
        words=task.student_words,
        answers=task.answers,
        prompt=prompt_words(task.student_prompt),
        answer_schema=task.json_schema("label"),
    )
    assert learnt_turns(card)
    for messages, tools, said in LESSONS:
        told = openai_tools(tools)
        inputs = {"conversation": conversation(messages, told)}
        assert turn_messages(card, messages, told) == task.student_prompt.format_messages(**inputs)
        turn = task.answer_json(answer_chain(task, ScriptedTeacher()).invoke(inputs).answer)
        assert turn["text"] == (said if isinstance(said, str) else "")
        assert [call["arguments"] for call in turn["calls"]] == ([] if turn["text"] else [said])
