"""The pages are followed literally, from top to bottom, in an empty folder: every command of ours.

What cannot run here stands in NOT_RUN with its reason; what is replaced, in SUBSTITUTED. The
commands of README.pt-BR.md are those of README.md (test_readme_pt.py).
"""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page_folders import BEFORE, OWN, PREPARED, answers, tour_rules
from tests.page_readers import SUBSTITUTED, Reader, Teacher, at_home, begins, named
from tests.page_samples import DOCS, PAGES, ROOT, blocks, commands, spans
from understudy.chains import load_task
from understudy.chains.loading import load_attribute
from understudy.chains.offline import NewsTeacher
from understudy.distill import swap
from understudy.distill.standin.student import SwapError

pytest.importorskip("torch", reason="most pages train a student")
pytestmark = pytest.mark.timeout(900)  # the first test to ask for a page follows all of it

# A command of a page begins so: why nothing here runs it.
NOT_RUN = {
    "make setup": "installs packages from the network; scripts/setup.sh",
    "make demo": "minutes; test_demo.py runs the same demo on fewer rows",
    "make test": "it is what runs this file",
    "make check": "it runs `make test`",
    "understudy demo": "minutes; test_demo.py",
    "understudy review": "waits for a person; test_review_browser.py",
    "python convert_hf_to_gguf.py": "llama.cpp's own script",
    "python -m benchmarks.foreign_servers": "needs another server; test_chat_server.py",
    "python -m benchmarks.seeds": "an hour: the demo for three seeds",
    "python -m benchmarks.esnli_rows": "needs the published data; test_esnli_rows.py",
    "python -m benchmarks.targets": "half an hour: four students for each of three seeds",
}
# What a sentence of the README names, and the command that it means.
IN_SENTENCES = {
    "understudy distill --help": "understudy distill --help",
    "distill --plan": "understudy distill --teacher openai:gpt-6.1-terra --plan",
    "evaluate --dry-run": "understudy evaluate --run runs/label --dry-run",
    "understudy train --plan": "understudy train --plan",
    "--preflight-only": "understudy train --preflight-only",
    "--sweep learning_rate=1e-3,5e-4": "understudy train --sweep learning_rate=1e-3,5e-4 "
    "--set epochs=0.5 --limit 8 --out runs/swept",
    "understudy merge RUN OUT": "understudy merge runs/label merged",
    "adopt FOLDER": "understudy adopt theirs --student embedded",
    "push RUN user/name": "understudy push runs/label user/name --dry-run",
    "understudy accelerate-config cpu > a.yaml": "understudy accelerate-config cpu",
    "understudy doctor": "understudy doctor",
    "understudy evaluate --notebook runs/label": "understudy evaluate --notebook runs/label",
    "python -m understudy.examples.apps.parser runs/reason_label": "python -m "
    "understudy.examples.apps.parser runs/reason_label",
}
# Commands that are refused here, with status 1: few rows promise nothing. What they say.
REFUSED = {
    "understudy calibrate": "calibration rows do not show an agreement of 0.97",
    "understudy mode tickets shadow": "tickets has no student",  # the page says so
    "understudy mode tickets cascade": "tickets has no student|calibrat",
    "understudy mode verdict cascade": "calibrat",
    f"understudy report {OWN} --margin": "does not hold",
    f"understudy report {OWN} --gate": "does not hold",
    f"understudy evaluate {OWN} --run runs/label --gate": "does not hold",
}
WALKED = [
    page
    for page in PAGES
    if page.name != "README.pt-BR.md" and page.parent.name not in ("reference", "decisions")
]
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    with pytest.MonkeyPatch.context() as patch, Teacher() as running:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("GROQ_API_KEY", KEY)
        patch.setenv("OPENAI_BASE_URL", running.url)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("COLUMNS", "200")
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def walked(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    """The reader of a page, who has followed it; each page is followed once."""
    readers: dict[str, Reader] = {}

    def of(name: str) -> Reader:
        if name not in readers:
            folder = tmp_path_factory.mktemp(Path(name).stem, numbered=False)
            readers[name] = Reader(ROOT / name, folder, teacher, of)
            with at_home(folder):
                readers[name].walk(
                    prepare=PREPARED.get(name), before=BEFORE.get(name, {}), left_out=NOT_RUN
                )
        assert readers[name].through, f"{name} was not followed to its end: see the first failure"
        return readers[name]

    return of


@pytest.mark.parametrize("name", [named(page) for page in WALKED if commands(page)])
def test_every_command_of_a_page_ends_as_it_should(walked, name):
    for ran in walked(name).ran:
        why = begins(ran.line, REFUSED)
        told = f"{ran.line}\n{ran.out}\n{ran.error}"
        assert ran.status == (1 if why else 0), told
        assert not why or re.search(REFUSED[why], ran.error), told
        assert "Traceback" not in ran.error, told


def test_a_command_that_no_test_runs_is_listed_with_its_reason():
    lines = [" ".join(words) for page in WALKED for words in commands(page)]
    text = "".join(page.read_text(encoding="utf-8") for page in WALKED)
    lines += re.findall(r"python -m benchmarks\.\w+", text)
    tests = "".join(file.read_text("utf-8") for file in (ROOT / "tests").glob("*.py"))
    tested = set(re.findall(r'"benchmarks\.(\w+)"', tests))
    for line in lines:
        benchmark = re.search(r"-m benchmarks\.(\w+)", line)
        assert not benchmark or benchmark[1] in tested or begins(line, NOT_RUN), line
    for start in NOT_RUN:
        assert any(begins(line, {start: ""}) for line in lines), f"no page has {start}"


def test_what_is_replaced_or_refused_is_on_a_page():
    lines = [" ".join(words) for page in WALKED for words in commands(page)]
    for old in SUBSTITUTED:
        assert any(f" {old} " in f" {line.replace('=', ' ')} " for line in lines), old
    for start in REFUSED:
        assert any(begins(line, {start: ""}) for line in lines), start


def test_the_pages_that_are_not_walked_repeat_what_other_tests_hold():
    for page in PAGES:
        if page not in WALKED and commands(page):
            assert named(page) in ("README.pt-BR.md", "docs/reference/cli.md")


def test_the_rules_of_the_tour_are_right_on_its_rows(tmp_path):
    (rows,), (task, _) = blocks(DOCS / "tour.md", "csv"), blocks(DOCS / "tour.md", "python")
    (tmp_path / "task.py").write_text(task, encoding="utf-8")
    with at_home(tmp_path):
        rules = tour_rules(tmp_path)
    for row in csv.DictReader(rows.splitlines()):
        answer = rules.answer({"text": row["text"]})
        assert (answer["team"], answer["urgent"]) == (row["team"], row["urgent"]), row["text"]


def test_the_tour_labels_trains_and_compares_as_it_says(walked):
    tour = walked("docs/tour.md")
    assert "nothing was written" in tour.said("understudy import").out
    assert "20 rows in app.db, 0 failed" in tour.said("understudy distill").out
    stats = tour.said("understudy store stats").out
    assert re.search(r"train +12 ", stats), stats
    assert "ticket-rules" in tour.said("understudy why 1").out
    shown = tour.said("understudy train").out
    assert "rows: 12 of teacher" in shown
    assert '⟦{"team":"billing","urgent":"yes"}</s>⟧' in shown
    assert (tour.folder / "runs" / "label" / "adapter_model.safetensors").is_file()
    page = (tour.folder / "report" / "report.html").read_text(encoding="utf-8")
    verdict = re.search(r"not supported|not enough rows|not measurable", page)
    assert verdict, "four rows promise nothing"


def test_the_app_of_the_tour_is_answered_by_its_chain_then_by_the_student(walked):
    tour = walked("docs/tour.md")
    first, second, counts = tour.said("python app.py").out.splitlines()
    assert first == "reasoning='it names money' team='billing' urgent='yes'"
    student = r"reasoning='not asked for' team='(billing|delivery)' urgent='(yes|no)'"
    assert re.fullmatch(student, second)
    counted = ast.literal_eval(counts)
    assert (counted["calls"], counted["recorded"], counted["answered_by_student"]) == (2, 2, 1)
    assert counted["student_failed"] == 0
    assert "tickets: mode student" in tour.said("understudy status").out
    said = tour.said("understudy mode tickets record").out
    assert said.startswith("tickets: mode record")
    assert "(it was student)" in said


def test_the_readme_spends_and_labels_what_it_says(walked):
    readme = walked("README.md")
    assert "30 rows in app.db, 0 failed; 30 asked now" in readme.said("make distill").out
    budget = "understudy distill --task task.py:task --teacher openai:gpt-6.1-terra "
    assert "no call is made" in readme.said("understudy distill").out
    smoke = "understudy distill --task task.py:task --data rows.csv "
    smoke += "--teacher openai:gpt-6.1-terra --max-output-tokens 400 --smoke 16"
    assert "16 asked now" in readme.said(smoke).out
    assert "14 asked now" in readme.said(f"{budget}--max-output-tokens 400 --max-usd 5").out
    assert "the teacher says the same in 1.000" in readme.said(f"{budget}--repeat 200").out
    strategy = "understudy distill --task task.py:task --strategy"
    assert "30 asked now, 150 calls" in readme.said(f"{strategy} self_consistency").out
    assert "llama-3.3-70b-versatile" in readme.teacher.asked


def test_two_teachers_vote_as_the_page_on_budgets_says(walked):
    page = walked("docs/how-to/a-teacher-with-a-budget.md")
    said = page.said("understudy distill --task task.py:task --store app.db --strategy vote").out
    assert "20 asked now, 40 calls" in said
    assert "claude-haiku-4-5" in page.teacher.asked


def test_the_student_of_the_readme_is_served_to_the_client_of_openai(walked):
    said = walked("README.md").said("understudy serve").out
    assert "serving gpt-6.1-terra at http://127.0.0.1:" in said
    assert "stopped; what had begun was finished" in said
    assert json.loads(said.splitlines()[-1])["f1"].keys() == {"polaridade", "emocao"}


def test_the_app_of_the_readme_answers_in_its_four_ways(walked):
    readme = walked("README.md")
    with at_home(readme.home):
        said = [answers(number) for number in (1, 2, 4)]
        with pytest.raises(
            SwapError, match=r"the calibration of v1 for agreement 0\.97 refuses it"
        ):
            answers(3)  # as `understudy calibrate` did
    (_, _, recorded), (_, _, shadowed), (_, _, student) = said
    assert recorded.model_dump() == shadowed.model_dump()
    assert student.model_dump().keys() == recorded.model_dump().keys()
    assert [counts["answered_by_student"] for _, counts, _ in said] == [0, 0, 1]


def test_the_student_goes_into_a_chain_as_the_readme_has_it(walked):
    readme, names = walked("README.md"), dict[str, Any]()
    block = next(b for b in blocks(ROOT / "README.md", "python") if "answer_chain(task" in b)
    with at_home(readme.home):
        exec(compile(block, "README.md", "exec"), names)
        task = load_task("task.py:task")
    thought = names["thought"]
    assert thought.answer.f1.emocao in task.labels["f1.emocao"]
    assert 0 < thought.confidence["f1.emocao"] <= 1


@pytest.mark.parametrize("span", IN_SENTENCES)
def test_what_a_sentence_of_the_readme_names_can_be_done(walked, span):
    assert span in " ".join(spans(ROOT / "README.md"))
    readme, words = walked("README.md"), IN_SENTENCES[span].split()
    with at_home(readme.home):
        if words[1] == "adopt":
            shutil.copytree("runs/label", "theirs")
            Path("theirs/understudy.json").unlink()
        if words[1] in ("train", "evaluate", "distill", "adopt") and "--help" not in words:
            words += ["--task", "task.py:task", "--store", "app.db"]
        ran = readme.run(words)
    assert ran.status == 0, ran.error
    assert ran.out.strip()


# The course's page names its commands in tables. A teacher of rules calls no tools.
COURSE = [
    span
    for span in spans(DOCS / "curso.md")
    if span.startswith("understudy distill --") and " --" in span and "--tools" not in span
]


@pytest.mark.parametrize("span", [span for span in COURSE if span != "understudy distill --help"])
def test_a_command_of_the_course_labels_some_rows(walked, span):
    course, words = walked("docs/curso.md"), shlex.split(span)
    course.teacher.rules = NewsTeacher()
    if "--max-usd" in words:
        words += ["--limit", "20"]
    elif not {"--plan", "--smoke", "--repeat"} & set(words):
        words += ["--smoke", "2"]  # as the page says, at the end of any of them
    with at_home(course.home):
        ran = course.run(words)
    assert ran.status == 0, ran.error
    assert "no call is made" in ran.out if "--plan" in words else " 0 failed" in ran.out


def test_the_program_of_the_course_runs_from_its_first_block_to_the_last(walked, capsys):
    readme, names = walked("README.md"), dict[str, Any]()
    with at_home(readme.home):
        for block in blocks(DOCS / "curso.md", "python"):
            exec(compile(block, "curso.md", "exec"), names)
    assert names["fim"].details["agreed"] is True
    *others, last = capsys.readouterr().out.splitlines()
    assert "Positivo Felicidade" in others
    assert last.startswith("raciocinio=None f1=Leitura(polaridade=")  # the student's


def test_the_three_switches_of_the_page_on_privacy_are_those_of_swap(walked):
    (block,) = blocks(DOCS / "how-to" / "privacy-and-terms.md", "python")
    with at_home(walked("docs/tour.md").home):
        for number, statement in enumerate(ast.parse(block).body):
            chain = load_attribute("task.py:teacher", default="").with_structured_output(
                load_task("task.py:task").schema
            )
            names = {"swap": swap, "chain": chain, "without_names": str.upper}
            code = ast.unparse(statement).replace("app.db", f"switch-{number}.db")
            exec(compile(code, "privacy", "exec"), names)
            said = names["chain"].invoke("text: My refund for 1 has not come.")
            names["chain"].close()
            assert said.team == "billing"


def test_the_chain_over_another_server_is_made_as_its_page_says(walked):
    page = DOCS / "how-to" / "serving-on-vllm-with-the-merged-model.md"
    chains = [block for block in blocks(page, "python") if "ChatStudent(" in block]
    made = [dict[str, Any]() for _ in chains]
    with at_home(walked("docs/tour.md").home):
        for block, names in zip(chains, made, strict=True):
            exec(compile(block, page.name, "exec"), names)
    assert [names["student"].model for names in made] == ["runs/label", "label"]
    assert {names["student"].base_url for names in made} == {"http://127.0.0.1:8001/v1"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_shell_learns_the_commands(tmp_path):
    program = f"{shlex.quote(sys.executable)} -m understudy.distill.cli"
    ended = subprocess.run(
        ["bash", "-c", f"{program} --show-completion; {program} --install-completion; true"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "complete" in ended.stdout, ended.stderr
    assert list(tmp_path.rglob("*.sh")), ended.stderr
