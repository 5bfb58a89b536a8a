"""A student becomes a plain model, an adapter from elsewhere a student, and both go to the hub."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from understudy.chains import Task
from understudy.chains.student import StudentError, load_student, read_card
from understudy.chains.student.weights import merged_model
from understudy.distill.training.adopting import adopt
from understudy.distill.training.merging import BOUNDS, merge
from understudy.distill.training.preflight import TrainingError
from understudy.distill.training.pushing import parcel, push
from understudy.store import Example, Record, Run, Store, example_id

MOODS = ("Alegria", "Medo", "Neutro", "Emoção")


@pytest.fixture(scope="module")
def store(tiny_task: Task) -> Iterator[Store]:
    with Store(":memory:") as opened:
        run = Run(
            id="t1",
            name="teacher",
            task=tiny_task.name,
            role="teacher",
            model="wise",
            strategy="answer",
            target="reason_label",
            words=tiny_task.teacher_words,
            answers=tiny_task.answers,
            started="2026-01-01",
        )
        opened.start_run(run)
        for i in range(16):
            inputs = {"sentence": f"a frase {i} diz {MOODS[i % 4]}"}
            example = Example(
                id=example_id(inputs), task=tiny_task.name, split="train", inputs=inputs
            )
            opened.add_examples([example])
            answer = {"mood": MOODS[i % 4], "urgent": i % 2 == 0}
            opened.add_record(
                Record(run="t1", example=example.id, answer=answer, reasoning="diz", created="2026")
            )
        yield opened


@pytest.fixture
def elsewhere(tiny_student: Path, tmp_path: Path) -> Path:
    """A PEFT folder as another program leaves it: adapter and config, no card, no tokenizer."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tiny_student / name, folder / name)
    return folder


def config_of(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_merged_folder_is_a_plain_model_that_answers_as_the_student_does(
    tiny_student: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [{"sentence": f"a frase {i} diz {mood}"} for i, mood in enumerate(MOODS)]
    parity = merge(tiny_student, tmp_path / "out", inputs=rows)
    assert parity.same == parity.prompts == 4
    assert parity.same_tokens == parity.tokens > 4
    assert parity.largest <= 1e-4
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merged.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    for name in ("config.json", "generation_config.json"):
        assert "quantization_config" not in json.loads((tmp_path / "out" / name).read_text())
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    student, tokenizer = merged_model(tiny_student)
    ids = torch.tensor([[5, 9, 33, 71]])
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, student(ids).logits)
    said = [{"role": "user", "content": "é?"}]
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    options: dict[str, Any] = {"add_generation_prompt": True, "tokenize": False}
    assert theirs.apply_chat_template(said, **options) == tokenizer.apply_chat_template(
        said, **options
    )
    told = json.loads((tmp_path / "out" / "merged.json").read_text())
    assert told["parity"] == dataclasses.asdict(parity)
    assert (told["task"], told["target"]) == ("tiny", "reason_label")


def test_it_is_not_what_the_adapter_on_the_original_weights_would_be(
    tiny_student: Path, tiny_base: Path, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merge(tiny_student, tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    naive = PeftModel.from_pretrained(base, str(tiny_student)).merge_and_unload()
    ids = torch.tensor([[5, 9, 33, 71]])
    with torch.no_grad():
        assert (plain(ids).logits - naive(ids).logits).abs().max() > 10 * BOUNDS["float32"]


def test_half_precision_halves_the_file_and_says_what_it_costs(
    tiny_student: Path, tmp_path: Path
) -> None:
    merge(tiny_student, tmp_path / "whole")
    parity = merge(tiny_student, tmp_path / "half", dtype="bfloat16", bound=10)
    assert 1e-3 < parity.largest < 10
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("whole", "half")]
    assert 1.7 < sizes[0] / sizes[1] < 2.1


def test_a_difference_above_the_bound_is_refused_and_leaves_nothing(
    tiny_student: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudentError, match="answers otherwise than the student") as caught:
        merge(tiny_student, tmp_path / "out", dtype="float16", bound=1e-9)
    assert "\n" not in str(caught.value)
    assert "bound 1e-09" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_no_half_model(
    tiny_student: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(StudentError, match=r"plain cannot be written: .*; free space"):
            merge(tiny_student, tmp_path / "plain")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_of_a_merge_stays(tiny_student: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("years of work")
    with pytest.raises(StudentError, match="out is not empty"):
        merge(tiny_student, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.doc").read_text() == "years of work"
    with pytest.raises(StudentError, match="dtype int3 is unknown"):
        merge(tiny_student, tmp_path / "other", dtype="int3")
    with pytest.raises(StudentError, match="a row lacks sentence"):
        merge(tiny_student, tmp_path / "other", inputs=[{"text": "é"}])
    assert not (tmp_path / "other").exists()


def test_an_adapter_from_elsewhere_becomes_a_student_and_says_what_is_unknown(
    store: Store, tiny_task: Task, tiny_base: Path, tiny_student: Path, elsewhere: Path
) -> None:
    before = (elsewhere / "adapter_model.safetensors").read_bytes()
    facts = adopt(tiny_task, store, elsewhere, target="reason_label", quantised=True)
    assert set(facts["unknown"]) >= {"teacher", "rows", "seed", "versions"}
    card = read_card(elsewhere)
    card.check(tiny_task)
    assert (card.base, card.target) == (str(tiny_base), "reason_label")
    assert (elsewhere / "adapter_model.safetensors").read_bytes() == before
    assert "is not known here" in (elsewhere / "README.md").read_text()
    asked = tiny_task.student_prompt.invoke({"sentence": "a frase diz Medo"})
    answers = [load_student(one).invoke(asked).content for one in (elsewhere, tiny_student)]
    assert answers[0] == answers[1]
    with pytest.raises(TrainingError, match="is a student already: elsewhere"):
        adopt(tiny_task, store, elsewhere)


@pytest.mark.parametrize("quantised", [True, False])
def test_its_loss_tells_whether_it_learnt_on_a_quantised_base(
    store: Store, tiny_task: Task, tiny_base: Path, tmp_path: Path, quantised: bool
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from understudy.chains.student.weights import load_base
    from understudy.distill.training.lesson import prepare

    lesson = prepare(tiny_task, store, base=str(tiny_base))
    model, _ = load_base(str(tiny_base), quantised=quantised)
    torch.manual_seed(3)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model.dequantize() if quantised else model, lora).train()
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    for _ in range(6):
        for row in lesson.encoded:
            ids = torch.tensor([row["input_ids"]])
            mask = torch.tensor([row["completion_mask"]]).bool()
            adapted(ids, labels=ids.masked_fill(~mask, -100), use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    adapted.peft_config["default"].base_model_name_or_path = str(tiny_base)
    adapted.save_pretrained(str(tmp_path / "peft"))
    facts = adopt(tiny_task, store, tmp_path / "peft")
    assert facts["quantised"] is quantised
    assert set(facts["base_losses"]) == {"nf4", "as it comes"}
    assert read_card(tmp_path / "peft").training["quantised"] is quantised


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is IA3; only LORA serves"),
        ({"task_type": "SEQ_CLS"}, "task_type is SEQ_CLS; only CAUSAL_LM serves"),
        ({"modules_to_save": ["lm_head"]}, "it has modules_to_save"),
        ({"target_modules": None}, "names no target_modules"),
        ({"target_modules": ["in_proj_qkv"]}, "target module in_proj_qkv is not in this base"),
        ({"base_model_name_or_path": None}, "its config names no base model"),
        ({"r": 7}, "its adapter does not fit its base"),
    ],
)
def test_an_adapter_that_cannot_serve_is_refused_and_gets_no_card(
    store: Store, tiny_task: Task, elsewhere: Path, change: dict[str, Any], message: str
) -> None:
    config_of(elsewhere, **change)
    with pytest.raises((TrainingError, StudentError), match=message) as caught:
        adopt(tiny_task, store, elsewhere, target="reason_label", quantised=True)
    assert "\n" not in str(caught.value)
    assert len(list(elsewhere.iterdir())) == 2


@pytest.mark.parametrize("quantised", [None, True])
def test_an_adapter_that_cannot_be_read_is_one_line(
    store: Store, tiny_task: Task, elsewhere: Path, tiny_base: Path, quantised: bool | None
) -> None:
    (elsewhere / "adapter_model.safetensors").write_text("rubbish")
    with pytest.raises((TrainingError, StudentError), match="its adapter does not fit its base"):
        adopt(tiny_task, store, elsewhere, base=str(tiny_base), quantised=quantised)
    assert not (elsewhere / "understudy.json").exists()


def test_a_pickled_adapter_is_never_opened(store: Store, tiny_task: Task, elsewhere: Path) -> None:
    (elsewhere / "adapter_model.safetensors").rename(elsewhere / "adapter_model.bin")
    with pytest.raises(TrainingError, match="is a pickle, which may execute anything"):
        adopt(tiny_task, store, elsewhere)
    (elsewhere / "adapter_config.json").write_text("[]")
    with pytest.raises(TrainingError, match="it holds list"):
        adopt(tiny_task, store, elsewhere)


def test_rows_that_a_training_would_refuse_refuse_an_adoption(
    tiny_task: Task, elsewhere: Path
) -> None:
    with Store(":memory:") as empty, pytest.raises(TrainingError, match="no teacher has answered"):
        adopt(tiny_task, empty, elsewhere)
    assert len(list(elsewhere.iterdir())) == 2


class Hub(BaseHTTPRequestHandler):
    """A hub on this machine: repositories are made, files are committed and given out again."""

    files: ClassVar[dict[str, bytes]] = {}
    bodies: ClassVar[list[bytes]] = []
    tokens: ClassVar[set[str]] = set()
    private: ClassVar[list[bool]] = []
    writable = "hf_writes"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.bodies.append(body)
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        self.tokens.add(token)
        if token != self.writable:
            self.reply(403 if token else 401, {"error": "no"})
        elif self.path == "/api/repos/create":
            self.private.append(json.loads(body).get("visibility") == "private")
            self.reply(200, {"url": f"http://{self.headers['Host']}/me/mood"})
        elif self.path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            said = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self.reply(200, {"files": said})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    self.files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            address = f"http://{self.headers['Host']}/me/mood/commit/{'a' * 40}"
            self.reply(200, {"commitUrl": address, "commitOid": "a" * 40})
        else:
            self.reply(404, {})

    def do_GET(self) -> None:
        name = self.path.split("/resolve/")[-1].partition("/")[2].partition("?")[0]
        if self.path.startswith("/api/models/me/mood/tree"):
            self.reply(200, [self.entry(name) for name in self.files])
        elif self.path.startswith("/api/models/me/mood"):
            listed = [{"rfilename": name} for name in self.files]
            self.reply(200, {"id": "me/mood", "sha": "a" * 40, "siblings": listed})
        elif self.path.startswith("/me/mood/resolve/") and name in self.files:
            named = {"ETag": f'"{name}"', "X-Repo-Commit": "a" * 40}
            self.reply(200, self.files[name], **named)
        elif self.path.startswith("/me/mood/resolve/"):
            named = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "a" * 40}
            self.reply(404, {}, **named)
        else:
            self.reply(401, {}, **{"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def entry(self, name: str) -> dict[str, Any]:
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": "b" * 40}

    def reply(self, status: int, data: Any, **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not to the test's output."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that knows this hub alone."""
    for kept in (Hub.files, Hub.bodies, Hub.tokens, Hub.private):
        kept.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "OMP_NUM_THREADS": "1",
    }
    server.shutdown()


def python(code: str, environment: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**environment, **more}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def pushable(tmp_path_factory: pytest.TempPathFactory, tiny_task: Task, store: Store) -> Path:
    """A run folder over the embedded base, with what may lie in one."""
    import torch
    from peft import LoraConfig, get_peft_model

    from understudy.chains.student.weights import load_base

    folder = tmp_path_factory.mktemp("runs") / "mood"
    torch.manual_seed(5)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(load_base("embedded")[0], lora).save_pretrained(str(folder))
    adopt(tiny_task, store, folder, base="embedded", quantised=True)
    for name in ("notes.txt", "training.json", "training_log.jsonl", "understudy.db"):
        (folder / name).write_text("a frase 3 diz Emoção")
    return folder


@pytest.fixture
def embedded_student(tmp_path: Path, pushable: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(pushable, tmp_path / "runs" / "mood"))


PUSH = (
    "import sys; from pathlib import Path\n"
    "from understudy.distill.training.pushing import push, StudentError\n"
    "try: print(push(Path(sys.argv[1]) if sys.argv[1:] else Path({0!r}), 'me/mood'))\n"
    "except StudentError as error: print(error)"
)
LOAD = (
    "from understudy.chains.student import load_student\n"
    "student = load_student('me/mood')\n"
    "print(student.card.name, student.invoke('Frase: a frase diz Medo').content)"
)


def test_a_pushed_student_is_loaded_by_its_name_and_nothing_of_the_store_went_along(
    hub: dict[str, str], embedded_student: Path
) -> None:
    pushed = python(PUSH.format(str(embedded_student)), hub, HF_TOKEN=Hub.writable)
    assert pushed.stdout.strip().endswith("/me/mood"), pushed.stdout + pushed.stderr
    assert Hub.private == [True]
    assert set(Hub.files) == set(parcel(embedded_student, "me/mood").files)
    assert {"understudy.json", "adapter_model.safetensors", "tokenizer.json"} <= set(Hub.files)
    assert not {"notes.txt", "training.json", "understudy.db"} & set(Hub.files)
    for name, content in Hub.files.items():
        assert content == (embedded_student / name).read_bytes()
        assert b"a frase 3 diz" not in content, name
    assert Hub.writable.encode() not in b"".join(Hub.bodies)
    shutil.move(embedded_student, embedded_student.with_name("elsewhere"))
    loaded = python(LOAD, hub)
    assert loaded.stdout.startswith("mood {"), loaded.stdout + loaded.stderr
    again = python(LOAD, hub, HF_HUB_OFFLINE="1")  # from the cache
    assert again.stdout == loaded.stdout


def test_what_the_hub_refuses_to_take_is_one_line_without_the_token(
    hub: dict[str, str], embedded_student: Path
) -> None:
    for token, line in (
        ("hf_reads", "me/mood: the hub refused (403), your token may not write there"),
        ("", "me/mood: the hub refused (401), it does not know you: set HF_TOKEN"),
    ):
        said = python(PUSH.format(str(embedded_student)), hub, HF_TOKEN=token).stdout
        assert said.startswith(line)
        assert said.count("\n") == 1
        assert "hf_reads" not in said
    assert Hub.files == {}


def test_an_adapter_over_a_folder_of_this_machine_is_merged_before_it_is_pushed(
    tiny_student: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudentError, match="merge it first"):
        push(tiny_student, "me/mood")
    merge(tiny_student, tmp_path / "out")
    (tmp_path / "out" / "rows.jsonl").write_text("secret")
    sent = parcel(tmp_path / "out", "me/mood")
    assert set(sent.files) >= {"config.json", "model.safetensors", "merged.json"}
    assert "rows.jsonl" not in sent.files
    with pytest.raises(StudentError, match="neither a student's run folder nor a merged model"):
        parcel(tmp_path, "me/mood")


def test_the_commands_say_what_they_did(
    tiny_student: Path, embedded_student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import typer

    from understudy.distill.commands.students import COMMANDS

    app = typer.Typer()
    for name, command in COMMANDS.items():
        app.command(name)(command)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["merge", str(tiny_student), "out"]).stdout.splitlines()
    assert said[0] == "comparing on stock sentences (no rows in the store)"
    assert said[1].startswith("float32: logits differ by at most ")
    assert said[2] == "model out"
    listed = CliRunner().invoke(app, ["push", str(embedded_student), "me/mood", "--dry-run"])
    assert "understudy.json" in listed.stdout
    assert listed.stdout.splitlines()[-1].endswith("to me/mood; nothing was sent")
