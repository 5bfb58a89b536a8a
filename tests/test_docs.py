"""The pages keep their word: links lead somewhere, commands exist, blocks are code."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.page_samples import (
    DOCS,
    PAGES,
    ROOT,
    blocks,
    command_lines,
    indented_commands,
    prose,
    spans,
)

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

# Of other programs that the pages call.
OTHERS = {
    "--build-arg",  # podman build
    "--userns",  # podman run
    "--config_file",  # accelerate launch
    "--served-model-name",  # vllm serve
    "--structured-outputs-config",
    "--enforce-eager",
    "--max-model-len",
    "--outfile",  # llama.cpp
    "--outtype",
    "--alias",
    "--parallel",
    "--ctx-size",
    "--interrupt_requests",  # llama-cpp-python
}


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
    for words in indented_commands(page):
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


def test_no_page_speaks_of_this_machine():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/(?:work|root|tmp|home/(?!student))\b/", text), page
