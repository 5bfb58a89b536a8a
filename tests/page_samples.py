"""The pages as the tests of the documentation read them: blocks, spans, and commands in order."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "README.pt-BR.md", "CONTRIBUTING.md")),
    *sorted(DOCS.rglob("*.md")),
]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
SAVED = re.compile(r"[Ss]ave (?:this|them) as `([\w.]+)`")
OURS = ("understudy", "python", "make")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The bodies of a page's fenced blocks of these languages."""
    for _, language, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield textwrap.dedent(body)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
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


def indented_commands(page: Path) -> Iterator[list[str]]:
    """The commands of a page's indented blocks; what stands further right explains them."""
    for line in INDENTED.findall(prose(page)):
        words = line.partition("  ")[0].split()
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # set for this command alone
            words = words[1:]
        if words and words[0] in OURS:
            yield shlex.split(" ".join(words))


def steps(page: Path) -> Iterator[tuple[str, list[str] | str]]:
    """What a reader does, from top to bottom: ("run", words), or (file name, text) to be saved."""
    text = page.read_text(encoding="utf-8")
    before = 0
    for found in FENCE.finditer(text):
        said = SAVED.findall(text[before : found.start()])
        before = found.end()
        body = textwrap.dedent(found[3])
        if found[2] in ("bash", "sh", "console"):
            yield from (("run", words) for words in command_lines(body) if words[0] in OURS)
        elif said:
            yield said[-1], body
    yield from (("run", words) for words in indented_commands(page))


def commands(page: Path) -> list[list[str]]:
    """The words of our own commands in a page's blocks, in order."""
    return [list(what) for kind, what in steps(page) if kind == "run"]
