"""The pages keep their word: links lead somewhere, commands exist, the quick ones run."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.distill.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "README.pt-BR.md", "CONTRIBUTING.md")),
    *sorted(DOCS.rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
reference: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "reference.py")))
COMMANDS: dict[str, Any] = dict(reference.commands())
BEFORE = {"--help"} | {option for p in reference.root_command().params for option in p.opts}
OPTIONS = (
    BEFORE
    | {
        option
        for command in COMMANDS.values()
        for param in command.params
        for option in (*param.opts, *param.secondary_opts)
    }
    | {"--help"}
)
BENCHMARKS = {  # a benchmark's own
    option
    for file in (ROOT / "benchmarks").glob("*.py")
    for option in re.findall(r'"(--[a-z][a-z-]*)"', file.read_text(encoding="utf-8"))
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
ZENSICAL = Path(sys.executable).parent / "zensical"
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)

# Of other programs that the pages call.
OTHERS = {
    "--config_file",  # accelerate launch
    "--served-model-name",  # vllm serve
}


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for _, language, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield textwrap.dedent(body)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """What stands between backticks in running text."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, its comments and redirections left out."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("&|;"):
                yield words
                words = []
            elif set(word) <= set("<>"):
                break
            else:
                words.append(word)
        if words:
            yield words


def leaf(words: list[str]) -> tuple[str, list[str]]:
    """The command and its arguments; a failure where there is no such command."""
    while words and words[0] in BEFORE:
        words = words[1:]
    name = " ".join(words[:2]) if words[:1] == ["store"] else (words or [""])[0]
    assert name in COMMANDS, f"there is no command understudy {name}"
    return name, words[len(name.split()) :]


def check_understudy(words: list[str]) -> None:
    name, given = leaf(words)
    if "--help" not in given:
        COMMANDS[name].make_context(name, given)


def check_make(words: list[str]) -> None:
    for word in words:
        variable, sign, _ = word.partition("=")
        if sign:
            assert re.search(rf"\b{variable}\b", MAKEFILE), f"make knows no {variable}"
        else:
            assert word in TARGETS, f"there is no target {word}"


def check_python(words: list[str]) -> None:
    if words[:1] == ["-m"]:
        module = words[1].removeprefix("understudy.").replace(".", "/")
        ours = words[1].startswith(("understudy.", "benchmarks."))
        assert not ours or (ROOT / f"{module}.py").is_file(), f"there is no module {words[1]}"
    elif words and words[0].startswith("scripts/"):
        assert (ROOT / words[0]).is_file(), f"there is no {words[0]}"


CHECKS = {"understudy": check_understudy, "make": check_make, "python": check_python}


def slug(heading: str) -> str:
    """A heading's anchor as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", ""))
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(line) for line in re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_of_a_page_leads_somewhere(page):
    text = prose(page)
    for target in re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if page.is_relative_to(DOCS):
            assert found.is_relative_to(DOCS), f"{target} is not on the site"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_in_a_block_is_understood(page):
    for block in blocks(page, "bash", "sh", "console"):
        for words in command_lines(block):
            if check := CHECKS.get(words[0]):
                check(words[1:])
    for line in re.findall(r"^    (\S.*)$", prose(page), re.MULTILINE):  # indented blocks
        if line.split()[0] in CHECKS:
            words = shlex.split(line.partition("  ")[0])  # what stands further right explains it
            CHECKS[words[0]](words[1:])


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_named_in_a_sentence_exists(page):
    for span in spans(page):
        words = span.split()
        if span.startswith("understudy ") and words[1] in BEFORE and len(words) == 2:
            continue
        if span.startswith("understudy ") and re.match(r"[a-z-]", words[1]):
            name, given = leaf(words[1:])
            known = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)}
            options = {word.partition("=")[0] for word in given if word.startswith("--")}
            assert options <= known | {"--help"}, span
        elif words[0] in ("make", "python") and len(words) > 1:
            CHECKS[words[0]](shlex.split(span)[1:])
        elif words[0].startswith("--"):
            assert words[0].partition("=")[0] in OPTIONS | BENCHMARKS | OTHERS, span


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_code_blocks_are_code(page):
    for block in blocks(page, "python"):
        if "reference" not in page.parts:  # signatures
            compile(block, page.name, "exec")
    for block in blocks(page, "toml"):
        tomllib.loads(block)


def test_every_page_is_on_the_site_and_the_site_fetches_nothing():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE))
    assert named == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert "font: false" in text
    # a repo_url lets every page ask GitHub for stars and releases
    assert not re.search(r"cdn|googleapis|extra_javascript|analytics|repo_url", text)


@pytest.mark.skipif(
    shutil.which("zensical", path=Path(sys.executable).parent) is None, reason="docs"
)
def test_the_site_builds_without_a_warning(tmp_path):
    import subprocess

    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    built = subprocess.run(
        [ZENSICAL, "build", "--strict", "-f", "mkdocs.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    page = (tmp_path / "build" / "site" / "index.html").read_text(encoding="utf-8")
    fetched = re.findall(r"<(?:link|script|img)\b[^>]*(?:href|src)=\"?(https?:[^\"\s>]+)", page)
    assert [one for one in fetched if "canonical" not in one] == []


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command line in an empty folder; what it printed. It must end well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["understudy", *words])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        assert status == 0, f"{' '.join(words)}: {said.err}"
        return str(said.out)

    return call


def understudy_lines(page: Path, until: str = "\0", after: str = "") -> list[list[str]]:
    """The `understudy` commands of a page between two headings, in order."""
    text = page.read_text(encoding="utf-8")
    text = text[text.index(after) :].partition(until)[0]
    found = []
    for _, language, body in FENCE.findall(text):
        if language == "bash":
            lines = command_lines(textwrap.dedent(body))
            found += [words[1:] for words in lines if words[0] == "understudy"]
    return found


def test_the_tour_labels_as_it_is_written(run, tmp_path):
    tour = DOCS / "tour.md"
    (rows,), (task, app) = blocks(tour, "csv"), blocks(tour, "python")
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "task.py").write_text(task, encoding="utf-8")
    assert "swap(chain, store=" in app
    said = [run(*words) for words in understudy_lines(tour, until="## 5. Train")]
    assert [len(said), "nothing was written" in said[0]] == [4, True]
    assert "20 rows in app.db, 0 failed" in said[1]
    assert "train            12" in re.sub(r" {3,}", " " * 12, said[2])
    assert "ticket-rules" in said[3]


def test_the_rules_of_the_tour_are_right_on_its_rows(run, tmp_path):
    import csv

    tour = DOCS / "tour.md"
    (rows,), (task, _) = blocks(tour, "csv"), blocks(tour, "python")
    (tmp_path / "task.py").write_text(task, encoding="utf-8")
    teacher = runpy.run_path(str(tmp_path / "task.py"))["teacher"]
    for row in csv.DictReader(rows.splitlines()):
        answer = teacher.answer({"text": row["text"]})
        assert (answer["team"], answer["urgent"]) == (row["team"], row["urgent"]), row["text"]


def test_the_store_commands_of_the_readme_run_one_after_the_other(run, tmp_path):
    lines = (ROOT / "examples" / "news" / "wild.csv").read_text("utf-8").splitlines()
    (tmp_path / "news.csv").write_text("\n".join(lines[:20]), encoding="utf-8")
    texts = "\n".join(lines[20:60]).replace(",wild,", ",,")  # their splits are by hash
    (tmp_path / "first.csv").write_text(f"{lines[0]}\n{texts}", encoding="utf-8")
    run("distill", "--data", "first.csv", "--teacher", "offline")
    run("export", "--run", "teacher", "outputs.jsonl")
    run("export", "--run", "teacher", "--format", "openai", "chats.jsonl")
    commands = understudy_lines(ROOT / "README.md", after="## One file that remembers everything")
    names = [words[0] for words in commands]
    assert {"import", "import-labels", "curate", "why", "export", "store"} <= set(names)
    for words in commands:
        if "theirs.parquet" in words and not _parquet(tmp_path / "theirs.parquet"):
            continue
        if words[0] != "review":  # it waits for a person
            run(*words)
    assert (tmp_path / "rows.jsonl").is_file()


def test_a_fine_tune_moves_as_its_page_says(run, tmp_path):
    """The rows of the tour stand for the data of the fine-tune."""
    (rows,), (task, _) = blocks(DOCS / "tour.md", "csv"), blocks(DOCS / "tour.md", "python")
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "task.py").write_text(task, encoding="utf-8")
    own = ("--task", "task.py:task", "--store", "before.db")
    run("distill", *own, "--data", "rows.csv", "--split-column", "split", "--teacher", "offline")
    run("export", *own, "--run", "teacher", "--format", "openai", "training.jsonl")
    run("export", *own, "--run", "teacher", "--format", "completions", "completions.jsonl")
    page = DOCS / "how-to" / "openai-fine-tune-that-must-move.md"
    said = {}
    for words in understudy_lines(page):
        if words[0] in ("import", "curate", "export"):
            said[" ".join(words[:4])] = run(*words)
    assert [len(said), len((tmp_path / "chats.jsonl").read_text().splitlines())] == [4, 20]


def _parquet(path: Path) -> bool:
    """A file as the README names it, where pyarrow is there to write it."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return False
    row = {"titulo": ["Bancos sobem."], "f2": ["A bolsa caiu."], "f3": ["Nada houve."]}
    pq.write_table(pa.table(row), path)
    return True


def test_no_page_speaks_of_this_machine():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/(?:work|root|tmp|home/(?!student))\b/", text), page
