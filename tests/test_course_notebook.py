"""notebooks/modulo4.ipynb: what is in the file, and what its cells do from first to last."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.chains.student import read_card
from understudy.distill.bases import BASES
from understudy.distill.reporting.html import render_html
from understudy.store import Store

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "notebooks" / "modulo4.ipynb"
WRITER: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "notebook.py")))
NOTEBOOK = json.loads(FILE.read_text(encoding="utf-8"))
SECONDS = 90.0  # of processor time, all cells together
PORTUGUESE = re.compile(r"\b(?:o|a|os|as|de|do|da|que|e|em|um|uma|não|com|para|se|no|na)\b")
ENGLISH = re.compile(r"\b(?:the|of|and|to|is|that|it|with|for|this|are|in|on|not)\b")
PLACES = re.compile(r"(?<![\w.:/<])/(?:home|root|content|work|tmp|usr|Users|mnt|opt)\b|\b[A-Z]:\\")
SECRETS = re.compile(r"\b(?:sk-|hf_|gsk_|AIza)[\w-]{8,}")


def cells(kind: str, notebook: Any = NOTEBOOK) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


WHOLE = "\n".join(text_of(cell) for cell in NOTEBOOK["cells"])


def test_the_notebook_is_its_markdown_written_by_the_script():
    source = FILE.with_suffix(".md").read_text(encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == WRITER.notebook(source)


def test_prose_and_code_become_cells_in_their_order():
    made = json.loads(WRITER.notebook("# Olá\n\n```python\nx = 1\n\ny = 2\n```\n\nFim.\n"))
    assert [(cell["cell_type"], text_of(cell)) for cell in made["cells"]] == [
        ("markdown", "# Olá"),
        ("code", "x = 1\n\ny = 2"),
        ("markdown", "Fim."),
    ]


def test_the_notebook_is_of_the_format_that_it_names():
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.from_dict(NOTEBOOK))


def test_no_output_of_a_run_is_kept():
    kept = [(cell["outputs"], cell["execution_count"]) for cell in cells("code")]
    assert kept == [([], None)] * len(kept)


def test_neither_a_key_nor_a_place_on_somebodys_machine_is_written():
    assert SECRETS.findall(WHOLE) == PLACES.findall(WHOLE) == []


@pytest.mark.parametrize("cell", cells("markdown"), ids=lambda cell: cell["id"])
def test_the_prose_is_portuguese(cell: dict[str, Any]):
    prose = re.sub(r"`[^`]*`|\(http[^)]*\)", " ", text_of(cell)).lower()
    assert len(PORTUGUESE.findall(prose)) > 3 * len(ENGLISH.findall(prose))


def test_the_badge_opens_this_notebook_of_the_repository_that_the_readme_names():
    found = re.search(
        r"git clone https://github\.com/([\w.-]+/[\w.-]+)",
        (ROOT / "README.md").read_text(encoding="utf-8"),
    )
    assert found
    place = f"{found[1]}/blob/main/notebooks/modulo4.ipynb"
    assert f"](https://colab.research.google.com/github/{place})" in text_of(NOTEBOOK["cells"][0])
    assert f"git+https://github.com/{found[1]}" in WHOLE


def test_every_file_of_the_repository_that_it_names_is_there():
    names = re.findall(r"https://github\.com/[\w-]+/[\w-]+/blob/main/([\w./-]+)", WHOLE)
    assert names
    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_the_students_are_told_of_as_the_guide_tells_of_them():
    known = {base.name: base for base in BASES}
    rows = re.findall(r"^\| `([\w.-]+/[\w.-]+)` \| ([\d,]+) bilhão \| ([^|]+) \|", WHOLE, re.M)
    assert len(rows) == 3
    for name, billions, licence in rows:
        base = known[name]
        assert float(billions.replace(",", ".")) == round(base.shape.parameters / 1e9, 1)
        assert base.licence.startswith(licence.strip())
    assert f"https://huggingface.co/{rows[-1][0]}" in WHOLE
    assert [known[name].gated for name, _, _ in rows] == [False, False, True]


USERDATA = '''
class SecretNotFoundError(Exception):
    """A name that nobody has stored."""


def get(name):
    if name == "MINHA_CHAVE":
        return "segredo-de-verdade"
    raise SecretNotFoundError(name)
'''
ASKED = """
import os
buscar("MINHA_CHAVE"), buscar("OUTRA_CHAVE"), buscar("DO_AMBIENTE")
assert os.environ.get("MINHA_CHAVE") == {stored!r}
assert "OUTRA_CHAVE" not in os.environ
"""


def searched(folder: Path, stored: str | None) -> str:
    """What the cell of keys prints in a process of its own, with what `folder` has to import."""
    (cell,) = [text_of(cell) for cell in cells("code") if "def buscar" in text_of(cell)]
    code = f'import os\nPROFESSOR, ALUNO, CHAVE = "offline", "embedded", "X"\n{cell}\n'
    environment = {**os.environ, "PYTHONPATH": str(folder), "DO_AMBIENTE": "outro-segredo"}
    ended = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code + ASKED.format(stored=stored)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def test_a_key_from_colabs_secrets_is_used_and_never_shown(tmp_path: Path):
    package = tmp_path / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "userdata.py").write_text(USERDATA, encoding="utf-8")
    assert searched(tmp_path, "segredo-de-verdade").splitlines() == [
        "MINHA_CHAVE encontrada",
        "SecretNotFoundError",
        "OUTRA_CHAVE não encontrada",
        "DO_AMBIENTE encontrada",
    ]


def test_outside_colab_a_key_comes_from_the_environment(tmp_path: Path):
    said = [line for line in searched(tmp_path, None).splitlines() if " " in line]
    assert said == [
        "MINHA_CHAVE não encontrada",
        "OUTRA_CHAVE não encontrada",
        "DO_AMBIENTE encontrada",
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)  # two kernels, on a machine that others use
def test_every_cell_runs_from_top_to_bottom_and_a_second_time_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("ipykernel", "nbclient", "torch", "trl"):
        pytest.importorskip(name)
    monkeypatch.setenv("UNDERSTUDY_QUICK", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    before = os.times()
    text = ran_in(tmp_path)
    after = os.times()
    spent = after.children_user - before.children_user
    spent += after.children_system - before.children_system
    assert spent < SECONDS
    check_the_folder(tmp_path / "modulo4")
    check_what_was_shown(text)
    known = everything_known(tmp_path / "modulo4")
    check_what_was_shown(ran_in(tmp_path), again=True)
    assert everything_known(tmp_path / "modulo4") == known


def ran_in(folder: Path) -> str:
    """All cells, run in a kernel of their own; what they showed."""
    import nbclient
    import nbformat

    notebook = nbformat.read(FILE, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=280, kernel_name="python3", resources=place)
    return "\n".join(shown(client.execute()))


def everything_known(folder: Path) -> tuple[Any, ...]:
    """Every record of the store, and the students' weights."""
    with Store(folder / "modulo4.db", create=False, read_only=True) as store:
        records = [store.records(run.id) for run in store.runs("noticias")]
    weights = sorted((folder / "runs").glob("*/adapter_model.safetensors"))
    assert len(weights) == 2
    return records, [file.read_bytes() for file in weights]


def check_the_folder(folder: Path) -> None:
    """200 rows, all labelled; two students of the same rows; everybody's answers; a report."""
    with Store(folder / "modulo4.db", create=False, read_only=True) as store:
        splits = store.splits("noticias")
        (teacher,) = store.runs("noticias", role="teacher")[-1:]
        labelled = [record.answer for record in store.records(teacher.id)]
        names = {run.name for run in store.runs("noticias")}
    assert sum(splits.values()) == len(labelled) == 200
    assert None not in labelled
    assert names >= {"label", "reason_label", "base", "tfidf", "majority"}
    cards = [read_card(folder / "runs" / target) for target in ("label", "reason_label")]
    assert [card.target for card in cards] == ["label", "reason_label"]
    taught = {card.training["examples_sha256"] for card in cards}
    assert len(taught) == 1
    assert (folder / "report" / "report.html").is_file()


def check_what_was_shown(text: str, *, again: bool = False) -> None:
    """Progress where there is any, the figures, the page, and the stand-in's own count."""
    for line in ("professor 200/200 rows", "aluno label 15/15", "aluno reason_label 15/15"):
        assert (line in text) is not again, line
    assert "120 de 120 linhas" in text
    assert "<iframe" in text
    assert re.search(r"test: \w+ menos \w+: [+-]\d", text)
    assert "'answered_by_student': 1" in text
    assert "recusado: " in text or "sozinho a " in text


def shown(notebook: Any) -> list[str]:
    """The outputs of all cells, as texts."""
    parts = []
    for cell in cells("code", notebook):
        for output in cell["outputs"]:
            data = output.get("data", {})
            parts.append(output.get("text") or data.get("text/html") or data.get("text/plain", ""))
    return parts


@pytest.mark.browser
def test_the_links_of_the_report_in_the_notebook_stay_in_the_report(tmp_path: Path):
    playwright = pytest.importorskip("playwright.sync_api")
    display = pytest.importorskip("IPython.display")
    chromium = os.environ.get("UNDERSTUDY_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium (set UNDERSTUDY_CHROMIUM)")
    (cell,) = [text_of(cell) for cell in cells("code") if "<iframe" in text_of(cell)]
    change, last = ast.parse(cell).body[-2:]
    samples = runpy.run_path(str(ROOT / "tests" / "report_samples.py"))["REPORTS"]
    names = {"html": html, "HTML": display.HTML, "pagina": render_html(samples["news"]())}
    exec(ast.unparse(change), names)
    inline = eval(ast.unparse(last), names).data
    page = tmp_path / "notebook.html"
    page.write_text(f"<!doctype html><title>caderno</title>{inline}", encoding="utf-8")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto(page.as_uri())
        report = opened.frames[1]
        report.click('a[href="#provenance"]')
        report.wait_for_function("scrollY > 0")
        assert report.title() == "news: Can I swap?"
        browser.close()


@pytest.fixture(autouse=True)
def _no_answers_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of whoever runs the tests decides nothing."""
    for name in ("MINHA_CHAVE", "OUTRA_CHAVE", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
