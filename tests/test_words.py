"""Each word of the field means one thing, on every page and in every help text."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
reference: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "reference.py")))

# A word of the list in docs/index.md, and other words for the same thing, which nobody is to use.
SYNONYMS = {
    "teacher": r"mentor|oracle model|expert model|tutor model",
    "student": r"pupils?\b|apprentice|trainee|learner model|distilled model",
    "base model": r"foundation models?\b|backbones?\b",
    "adapter": r"lora weights|peft weights",
    "reasoning": r"thought process|explanation field",
    "label": r"annotations?\b|annotate[sd]?\b",
    "rationale": r"justifications?\b|reasoning traces?\b",
    "accuracy": r"hit ratio|share correct|correctness rate|success rate",
    "gold": r"ground[- ]truth|golden\b|gold[- ]standard|reference labels?\b",
    "agreement": r"concordance|match rate|fidelity",
    "target": r"training objective|output mode",
    "split": r"folds?\b(?! ?=)|partitions?\b|data subset",
    "run": r"labell?ing session|inference job",
    "record": r"log entr(?:y|ies)|observations?\b",
    "cascade": r"model routing|routers?\b",
    "escalation": r"deferrals?\b|hand-?offs?\b|deflections?\b",
    "coverage": r"hit[- ]rate|deflection rate|automation rate",
    "calibration": r"confidence tuning|threshold tuning",
    "macro-F1": r"f-?scores?\b|f-measure",
    "fingerprint": r"content hash key|signature hash",
    "provenance": r"lineage|audit trail",
}
# The same for the pages in Portuguese.
PORTUGUESE = {
    "professor": r"mentor|tutor\b|modelo[- ]mestre|cadeia professora",
    "aluno": r"estudantes?\b|aprendiz|modelo destilado|discente",
    "modelo base": r"modelo fundacional|modelo de fundação|modelo sem treino",
    "adaptador": r"pesos lora|adapter\b",
    "raciocínio": r"justificativas?\b|linha de pensamento",
    "rótulo": r"anotaç(?:ão|ões)\b|etiquetas?\b",
    "gabarito": r"gold\b|padrão[- ]ouro|verdade de referência|rótulos? de referência",
    "concordância": r"fidelidade|taxa de coincidência",
    "acurácia": r"exatidão|taxa de acerto",
    "split": r"partiç(?:ão|ões)\b|dobras?\b",
    "registro": r"entradas? de log",
    "cascata": r"roteador|roteamento",
    "cobertura": r"taxa de atendimento",
    "calibração": r"ajuste de confiança",
    "banco": r"armazém|armazenamento",
    "notebook": r"cadernos?\b",
}
PAGES_IN_PORTUGUESE = [
    ROOT / "README.pt-BR.md",
    DOCS / "curso.md",
    ROOT / "notebooks" / "modulo4.md",
]
# Where a library, a file or a cited work has the name.
EXCEPTIONS: dict[str, str] = {}


def texts() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        yield str(page.relative_to(ROOT)), FENCE.sub("", page.read_text(encoding="utf-8"))
    yield "understudy --help", str(reference.root_command().help)
    for file in sorted((ROOT / "distill" / "reporting").glob("*.py")):
        yield file.name, "\n".join(words_shown(file))
    for name, command in reference.commands():
        told = [command.help or "", *(param.help or "" for param in command.params)]
        yield f"understudy {name} --help", "\n".join(told)


def words_shown(file: Path) -> Iterator[str]:
    """The strings of a module that puts words on the report, docstrings left out."""
    tree = ast.parse(file.read_bytes())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in docstrings:
            yield text


@pytest.mark.parametrize("word", list(SYNONYMS))
def test_a_thing_has_one_name(word):
    pattern = re.compile(rf"\b(?:{SYNONYMS[word]})", re.IGNORECASE)
    found = [
        f"{where}: {match[0]}"
        for where, text in texts()
        for match in pattern.finditer(text)
        if EXCEPTIONS.get(match[0].lower()) != where
    ]
    assert found == [], f"say {word}"


@pytest.mark.parametrize("word", list(PORTUGUESE))
def test_a_thing_has_one_name_in_portuguese(word):
    pattern = re.compile(rf"\b(?:{PORTUGUESE[word]})", re.IGNORECASE)
    for page in PAGES_IN_PORTUGUESE:
        said = re.sub(r"`[^`]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
        assert pattern.findall(said) == [], f"{page.name}: diga {word}"


def test_the_words_of_the_report_are_among_those_looked_at():
    shown = " ".join(text for where, text in texts() if where.endswith(".py"))
    assert {"teacher", "student", "agreement", "gold"} <= set(re.findall(r"\w+", shown))


def test_every_word_of_the_list_is_told_on_the_first_page():
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    told = {
        w.strip() for row in re.findall(r"^\| ([\w ,-]+) \|", page, re.M) for w in row.split(",")
    }
    assert set(SYNONYMS) <= told
