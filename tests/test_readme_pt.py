"""README.pt-BR.md is README.md in Portuguese: the same headings, commands, code, links, figures."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
PORTUGUESE = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
OTHER_README = re.compile(r"\[[^\]]*\]\(README(?:\.pt-BR)?\.md\)")  # each links to the other


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """(language, its lines without comments); of a plain block the first word of each line."""
    found = []
    for _, language, body in FENCE.findall(text):
        lines = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in body.splitlines()]
        if not language:
            lines = [line.partition(" ")[0] for line in lines]
        found.append((language, [line for line in lines if line]))
    return found


def prose(text: str) -> str:
    return FENCE.sub("", OTHER_README.sub("", text))


def headings(text: str) -> list[int]:
    return [len(level) for level in re.findall(r"^(#+) ", prose(text), re.MULTILINE)]


def code_spans(text: str) -> Counter[str]:
    spans = re.findall(r"`([^`]+)`", prose(text))
    return Counter(" ".join(span.split()) for span in spans)


def links(text: str) -> Counter[str]:
    """Targets; anchors within the page are of its own headings, and so only counted."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return Counter("#" if target.startswith("#") else target for target in targets)


def figures(text: str) -> Counter[str]:
    """The cells of tables that are numbers."""
    cells = re.findall(r"\|\s*([.\d]+)\s*(?=\|)", prose(text))
    return Counter(cells)


def test_the_headings_have_the_same_levels_in_the_same_order():
    assert headings(PORTUGUESE) == headings(ENGLISH)


def test_the_code_blocks_are_the_same_but_for_comments():
    assert blocks(PORTUGUESE) == blocks(ENGLISH)


def test_the_same_commands_and_names_are_said():
    assert code_spans(PORTUGUESE) - code_spans(ENGLISH) == Counter()
    assert code_spans(ENGLISH) - code_spans(PORTUGUESE) == Counter()


def test_the_links_lead_to_the_same_places():
    assert links(PORTUGUESE) == links(ENGLISH)


def test_the_tables_have_the_same_figures():
    assert figures(PORTUGUESE) == figures(ENGLISH)


def test_lists_and_tables_are_as_long():
    for start in (r"^\d+\. ", r"^- ", r"^\|"):
        count = [
            len(re.findall(start, prose(text), re.MULTILINE)) for text in (ENGLISH, PORTUGUESE)
        ]
        assert count[0] == count[1], start


def test_the_portuguese_page_is_portuguese():
    words = Counter(re.findall(r"[a-zà-ú]+", prose(PORTUGUESE).lower()))
    assert words["não"] > 10
    assert words["the"] == 0
