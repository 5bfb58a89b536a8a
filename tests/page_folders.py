"""What a page takes for granted: the files, stores and students of whoever reads it."""

from __future__ import annotations

import ast
import csv
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.page_readers import Prepare, Reader, close_apps, done
from tests.page_samples import DOCS, ROOT, blocks, steps
from understudy.chains.loading import load_attribute
from understudy.chains.offline import NewsTeacher, RuleTeacher
from understudy.examples.news.generate import news_rows


def tour_files(reader: Reader) -> None:
    """The rows and the task that the tour writes."""
    tour = DOCS / "tour.md"
    for kind, what in steps(tour):
        if kind != "run" and kind != "app.py":
            (reader.folder / kind).write_text(str(what), encoding="utf-8")
    priced(reader.folder)
    reader.teacher.rules = tour_rules(reader.folder)


def with_shots(reader: Reader) -> None:
    """The same, and worked examples with their reasoning."""
    tour_files(reader)
    with (reader.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:2]
    rules = tour_rules(reader.folder)
    with (reader.folder / "shots.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "reasoning", "team", "urgent"])
        writer.writeheader()
        writer.writerows({"text": text, **rules.answer({"text": text})} for text in texts)


def tour_rules(folder: Path) -> RuleTeacher:
    rules: RuleTeacher = load_attribute(str(folder / "task.py"), default="teacher")
    return rules


def priced(folder: Path) -> None:
    """The prices of the page on budgets, and of the other names on the pages."""
    (text,) = blocks(ROOT / "docs" / "how-to" / "a-teacher-with-a-budget.md", "toml")
    more = "".join(
        f'["openai:{name}"]\ninput = 1\noutput = 5\n'
        for name in ("gpt-6-luna", "ft:gpt-4o-mini:acme")
    )
    (folder / "prices.toml").write_text(text + more, encoding="utf-8")


def news_files(reader: Reader) -> None:
    """The sample task as `task.py`, and thirty of its rows."""
    reader.teacher.rules = NewsTeacher()
    shutil.copy(ROOT / "examples" / "news" / "task.py", reader.folder / "task.py")
    priced(reader.folder)
    rules = NewsTeacher()
    labels = [f"f{i}.{key}" for i in (1, 2, 3) for key in ("polaridade", "emocao")]
    rows = [row for row in news_rows(0) if row.split == "train"][:34]
    for name, part in (("rows.csv", rows[:30]), ("shots.csv", rows[30:])):
        with (reader.folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["f1", "f2", "f3", *labels, "raciocinio"])
            for row in part:
                inputs = {"f1": row.f1, "f2": row.f2, "f3": row.f3}
                gold = [row.gold[path[:2]][path[3:]] for path in labels]
                writer.writerow([*inputs.values(), *gold, rules.answer(inputs)["raciocinio"]])


def course_files(reader: Reader) -> None:
    """The worked examples of the page, and prices; its task comes with the program."""
    news_files(reader)
    (reader.folder / "shots.csv").rename(reader.folder / "exemplos.csv")


def news_app(reader: Reader) -> None:
    """An app as the README finds one, with the one line that records."""
    block = next(b for b in blocks(ROOT / "README.md", "python") if "# the app as it is" in b)
    lines = block.partition("  # 1 record")[0]
    (reader.folder / "app.py").write_text(f"{APP}\n{lines}\n", encoding="utf-8")
    (reader.folder / "app_task.py").write_text(FROM_CHAIN, encoding="utf-8")


def news_recorded(reader: Reader) -> None:
    """The app has answered its rows, and a student has learnt from that."""
    chain = load_attribute("app_task.py:chain", default="chain")
    with (reader.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chain.invoke({name: row[name] for name in ("f1", "f2", "f3")})
    close_apps()
    v1 = ("--target", "reason_label", "--set", "epochs=1", "--out", "runs/v1")
    done("train", "--task", "app_task.py:task", *v1)
    answers(2)  # its step 2: the app names the student


def answers(number: int) -> tuple[str, dict[str, int], Any]:
    """The README's app by the statement with that number: mode, counts, what one call gives."""
    block = next(b for b in blocks(ROOT / "README.md", "python") if "# the app as it is" in b)
    names: dict[str, Any] = {}
    exec(compile(APP, "app.py", "exec"), names)
    taken, app, *swaps = ast.parse(block).body
    for statement in (taken, app, swaps[number - 1]):  # each swaps the app, not a swapped one
        exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
    with open("rows.csv", encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    said = names["chain"].invoke({name: row[name] for name in ("f1", "f2", "f3")})
    names["chain"].close()
    return names["chain"].mode, dict(names["chain"].counts), said


def news_elsewhere(reader: Reader) -> None:
    """The last section of the README is read in a folder of its own."""
    reader.folder = reader.folder / "elsewhere"
    reader.folder.mkdir()
    os.chdir(reader.folder)
    news_store(reader)


def news_store(reader: Reader) -> None:
    """A store with labels, and files as other programs write them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = (ROOT / "examples" / "news" / "wild.csv").read_text("utf-8").splitlines()
    (reader.folder / "news.csv").write_text("\n".join(lines[:20]), encoding="utf-8")
    texts = "\n".join(lines[20:60]).replace(",wild,", ",,")  # their splits are by hash
    (reader.folder / "first.csv").write_text(f"{lines[0]}\n{texts}", encoding="utf-8")
    done("distill", "--data", "first.csv", "--teacher", "offline")
    done("export", "--run", "teacher", "outputs.jsonl")
    done("export", "--run", "teacher", "--format", "openai", "chats.jsonl")
    row = {"titulo": ["Bancos sobem."], "f2": ["A bolsa caiu."], "f3": ["Nada houve."]}
    pq.write_table(pa.table(row), reader.folder / "theirs.parquet")


APP = '''"""An app that nobody has told of this program."""

from langchain_core.prompts import ChatPromptTemplate
from task import QUESTION, SYSTEM, Noticia

from understudy.chains import Thought, load_task
from understudy.chains.loading import load_attribute
from understudy.chains.offline import NewsTeacher


class Verdict(Noticia):
    """What the app answers."""


prompt = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", QUESTION)])
llm = NewsTeacher()
'''
FROM_CHAIN = """from app import chain

from understudy.chains import Task

task = Task.from_chain(chain)
"""


def chain_files(reader: Reader) -> None:
    """The app of the page, over the chain of the tour, and the task that is read out of it."""
    (tickets, _), (line, *_) = blocks(DOCS / "tour.md", "python"), blocks(reader.page, "python")
    (reader.folder / "tickets.py").write_text(tickets, encoding="utf-8")
    (reader.folder / "app.py").write_text(TICKETS_APP + line, encoding="utf-8")
    (reader.folder / "task.py").write_text(FROM_CHAIN, encoding="utf-8")
    (rows,) = blocks(DOCS / "tour.md", "csv")
    chain = load_attribute("task.py:chain", default="chain")
    for row in csv.DictReader(rows.splitlines()):
        chain.invoke({"text": row["text"]})
    close_apps()


def chain_shadowed(reader: Reader) -> None:
    """Step 3 of the page: the app names the student."""
    app = reader.folder / "app.py"
    named = 'name="tickets", student="runs/label", reasoning="not asked for", mode="shadow"'
    app.write_text(app.read_text("utf-8").replace('name="tickets"', named), encoding="utf-8")
    reader.ran.append(reader.run(["python", "app.py"]))


def fine_tune_files(reader: Reader) -> None:
    """The rows of the tour as the files that were uploaded for a fine-tune."""
    tour_files(reader)
    own = ("--task", "task.py:task", "--store", "before.db")
    done("distill", *own, "--data", "rows.csv", "--split-column", "split", "--teacher", "offline")
    done("export", *own, "--run", "teacher", "--format", "openai", "training.jsonl")
    done("export", *own, "--run", "teacher", "--format", "completions", "completions.jsonl")


def after_the_tour(reader: Reader) -> None:
    """What the tour leaves: rows, a store, a student."""
    tour = reader.reader_of("docs/tour.md")
    shutil.copytree(tour.folder, reader.folder, dirs_exist_ok=True)
    reader.teacher.rules = tour_rules(reader.folder)


def after_the_tour_twice(reader: Reader) -> None:
    """The same, and a student that learnt to reason."""
    after_the_tour(reader)
    own = ("--task", "task.py:task", "--store", "app.db", "--target", "reason_label")
    done("train", *own, "--set", "epochs=1", "--out", "runs/reason_label")


def after_the_readme(reader: Reader) -> None:
    """What the README leaves: news in understudy.db, students."""
    shutil.copytree(reader.reader_of("README.md").home, reader.folder, dirs_exist_ok=True)


def named_store(reader: Reader) -> None:
    """The store of the others under the name that one command gives."""
    shutil.copy(reader.folder / "understudy.db", reader.folder / "app.db")


TICKETS_APP = """from langchain_core.prompts import ChatPromptTemplate
from tickets import SYSTEM, Rules, Ticket

prompt = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "text: {text}")])
model = Rules()
"""


OWN = "--task task.py:task --store app.db"
PREPARED: Mapping[str, Prepare] = {
    "README.md": news_files,
    "docs/curso.md": course_files,
    "docs/how-to/a-teacher-with-a-budget.md": with_shots,
    "docs/how-to/an-existing-chain.md": chain_files,
    "docs/how-to/openai-fine-tune-that-must-move.md": fine_tune_files,
    "docs/how-to/privacy-and-terms.md": after_the_tour,
    "docs/how-to/reading-the-report.md": after_the_tour_twice,
    "docs/how-to/serving-on-vllm-with-the-merged-model.md": after_the_tour,
    "docs/how-to/your-own-task.md": tour_files,
    "docs/performance.md": after_the_readme,
    "docs/store.md": news_store,
    "docs/students.md": after_the_readme,
}
BEFORE: Mapping[str, Mapping[str, Prepare]] = {
    "README.md": {
        "understudy evaluate": news_app,
        "understudy calibrate": news_recorded,
        "understudy import": news_elsewhere,
    },
    "docs/how-to/an-existing-chain.md": {"understudy calibrate": chain_shadowed},
    "docs/store.md": {"understudy store datasette": named_store},
}
