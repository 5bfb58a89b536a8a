"""A run folder is a chat model for any LangChain code, and refuses what is not its own."""

from __future__ import annotations

import asyncio
import copy
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, FunctionMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from understudy.chains import Task, Thought, answer_chain
from understudy.chains.student import (
    ChatStudent,
    StudentCard,
    StudentError,
    load_student,
    read_card,
    write_card,
)
from understudy.chains.student.confidence import confidences, value_spans
from understudy.chains.student.rendering import prompt_ids
from understudy.chains.student.weights import (
    base_folder,
    base_sha256,
    load_base,
    load_tokenizer,
    merged_model,
)

SENTENCES = [{"sentence": f"as vendas caíram {number} por cento"} for number in range(12)]


@pytest.fixture(scope="module")
def student(tiny_student: Path) -> ChatStudent:
    return load_student(tiny_student)


@pytest.fixture
def copied(tiny_student: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_student, tmp_path / "student"))


def recarded(folder: Path, **changes: Any) -> StudentCard:
    """Rewrite the folder's card with some fields changed."""
    card = read_card(folder).model_copy(update=changes)
    write_card(folder, card)
    return card


def test_the_chain_answers_the_same_by_every_door(tiny_task: Task, student: ChatStudent) -> None:
    chain = answer_chain(tiny_task, student)
    one_by_one = [chain.invoke(inputs) for inputs in SENTENCES]

    async def together() -> list[Thought]:
        return await asyncio.gather(*(chain.ainvoke(inputs) for inputs in SENTENCES))

    async def inside_a_running_loop() -> list[Thought]:
        return [chain.invoke(inputs) for inputs in SENTENCES]

    answers = [(thought.reasoning, thought.answer) for thought in one_by_one]
    for others in (
        chain.batch(SENTENCES),
        asyncio.run(together()),
        asyncio.run(inside_a_running_loop()),
        asyncio.run(chain.abatch(SENTENCES)),
    ):
        assert [(thought.reasoning, thought.answer) for thought in others] == answers
    assert len({reasoning for reasoning, _ in answers}) > 1


def test_a_list_and_a_gather_fill_the_batch(tiny_task: Task, student: ChatStudent) -> None:
    chain, engine = answer_chain(tiny_task, student), student.engine

    def mean_batch(ask: Any) -> float:
        calls, rows = engine.calls, engine.rows
        ask()
        return (engine.rows - rows) / (engine.calls - calls)

    async def gather() -> None:
        await asyncio.gather(*(chain.ainvoke(inputs) for inputs in SENTENCES * 3))

    assert mean_batch(lambda: chain.batch(SENTENCES * 3)) > 6  # LangChain alone: at most 6 here
    assert mean_batch(lambda: asyncio.run(gather())) > 6
    assert mean_batch(lambda: chain.batch(SENTENCES, config={"max_concurrency": 1})) == 1


def test_an_adapter_is_served_as_it_was_trained_over_the_dequantised_base(
    tiny_base: Path, tiny_student: Path
) -> None:
    import torch
    from peft import PeftModel

    base, tokenizer = load_base(str(tiny_base))
    adapted = PeftModel.from_pretrained(base.dequantize(), str(tiny_student)).eval()
    merged, _ = merged_model(tiny_student)
    plain, _ = load_base(str(tiny_base), quantised=False)
    ids = torch.tensor([tokenizer("A notícia relata uma queda.")["input_ids"]])

    with torch.inference_mode():
        learnt, served, untuned = (model(ids).logits for model in (adapted, merged, plain))

    torch.testing.assert_close(served, learnt, atol=1e-4, rtol=1e-4)
    assert (served - untuned).abs().max() > 0.1


def test_confidence_is_what_plain_forwards_give_the_value(
    tiny_task: Task, tiny_student: Path, student: ChatStudent, plain_loop: Any
) -> None:
    model, tokenizer = merged_model(tiny_student)
    assert tiny_task.student_prompt is not None
    for inputs in SENTENCES[:4]:
        thought = answer_chain(tiny_task, student).invoke(inputs)
        prompt = prompt_ids(tokenizer, tiny_task.student_prompt.format_messages(**inputs))
        pieces, shares = plain_loop(model, tokenizer, prompt, tiny_task.json_schema("reason_label"))
        text = b"".join(pieces)
        expected: dict[str, Any] = {}
        for path in ("mood", "urgent"):
            start = text.index(f'"{path}":'.encode()) + len(path) + 3
            end = start + len(json.dumps(json.loads(text)[path], ensure_ascii=False).encode())
            place, product = 0, 1.0
            for piece, share in zip(pieces, shares, strict=True):
                if place < end and place + len(piece) > start:
                    product *= share
                place += len(piece)
            expected[path] = pytest.approx(product, abs=1e-4)
        assert dict(thought.confidence or {}) == expected


def test_a_confidence_spans_the_tokens_that_touch_the_value() -> None:
    text = '{"a":{"b":"Emoção","c":true},"d":[1,2]}'
    pieces = ['{"a":{"', 'b":"Emo', "ção", '",', '"c":t', "rue}", ',"d":[1,', "2]}"]
    shares = [0.9, 0.5, 0.8, 0.5, 0.7, 0.9, 0.3, 0.2]

    found = confidences(text, [piece.encode() for piece in pieces], shares)

    assert found == {"a.b": 0.2, "a.c": 0.63, "d": 0.06}
    assert {path: text[first:last] for path, (first, last) in value_spans(text)} == {
        "a.b": '"Emoção"',
        "a.c": "true",
        "a": '{"b":"Emoção","c":true}',
        "d": "[1,2]",
        "": text,
    }


def test_messages_of_one_role_become_one(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base, "tiny")

    split = prompt_ids(tokenizer, [HumanMessage("a"), HumanMessage("b"), AIMessage("c")])

    assert split == prompt_ids(tokenizer, [HumanMessage("a\nb"), AIMessage("c")])


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}]),
            "holds a image_url",
        ),
        (FunctionMessage(content="4", name="add"), "does not read FunctionMessage"),
    ],
)
def test_messages_that_are_not_text_are_refused(
    student: ChatStudent, message: Any, named: str
) -> None:
    with pytest.raises(StudentError, match=named):
        student.invoke([SystemMessage("Seja breve."), message])


def test_structured_output_takes_classes_and_schemas(student: ChatStudent, tiny_task: Task) -> None:
    schema = tiny_task.json_schema("reason_label")

    model = student.with_structured_output(tiny_task.schema).invoke("Frase: tudo bem")
    plain = student.with_structured_output(schema).invoke("Frase: tudo bem")
    whole = student.with_structured_output(schema, include_raw=True).invoke("Frase: tudo bem")

    assert isinstance(model, tiny_task.schema)
    assert tiny_task.schema.model_validate(plain) == model
    assert whole["parsed"] == plain
    assert whole["parsing_error"] is None
    assert json.loads(whole["raw"].content) == plain


def test_an_answer_says_who_gave_it_and_what_it_took(student: ChatStudent, tiny_task: Task) -> None:
    raw = student.with_structured_output(tiny_task.schema, include_raw=True).invoke(
        "Frase: tudo bem"
    )["raw"]
    prompt = prompt_ids(student.engine.tokenizer, [HumanMessage("Frase: tudo bem")])

    assert raw.usage_metadata["input_tokens"] == len(prompt)
    assert raw.usage_metadata["output_tokens"] > 5
    about = dict(raw.response_metadata)
    assert set(about.pop("confidence")) == set(about["probabilities"]) == {"mood", "urgent"}
    assert set(about.pop("probabilities")["urgent"]) == {"true", "false"}
    assert set(about.pop("text_probability")) == {"reasoning"}
    assert about == {
        "model_name": "tiny-student",
        "model_provider": "understudy",
        "finish_reason": "stop",
    }


def test_what_a_student_cannot_do_is_refused(student: ChatStudent) -> None:
    with pytest.raises(StudentError, match="methods are json_schema, function_calling, json_mode"):
        student.with_structured_output({"title": "A", "type": "object"}, method="grammar")
    with pytest.raises(StudentError, match=r"does not take logit_bias; it knows .*max_tokens, "):
        student.invoke("oi", logit_bias={})
    with pytest.raises(StudentError, match="response_format holds no schema"):
        student.invoke("oi", response_format={"type": "json_schema"})


def test_what_makes_no_sense_is_refused_in_a_line(student: ChatStudent) -> None:
    asked: list[tuple[str, Any, dict[str, Any]]] = [
        ("there is no message to answer", [], {}),
        (r"half a character \(U\+D83D\)", "oi \ud83d", {}),
        ("max_tokens '9' is no whole number", "oi", {"max_tokens": "9"}),
        ("max_tokens -1 is no whole number", "oi", {"max_tokens": -1}),
        ("temperature 'hot' is no number", "oi", {"temperature": "hot"}),
        ("timeout 'soon' is no number", "oi", {"timeout": "soon"}),
        ("seed 'x' is no whole number", "oi", {"seed": "x"}),
        ("stop 5 is no text", "oi", {"stop": 5}),
        ("stop .* is no text", "oi", {"stop": ["a", 5]}),
        ("model 5 is no name", "oi", {"model": 5}),
        ("reasoning=5 is no text", "oi", {"reasoning": 5}),
        ("tools 5 is no list of tools", "oi", {"tools": 5}),
        ("5 is no tool", "oi", {"tools": [5]}),
        ("response_format holds no schema", "oi", {"response_format": "json"}),
        ("tool_choice 5 is not among", "oi", {"tool_choice": 5}),
    ]
    for line, said, options in asked:
        for ask in (
            lambda: student.invoke(said, **options),  # noqa: B023
            lambda: list(student.stream(said, **options)),  # noqa: B023
            lambda: asyncio.run(student.ainvoke(said, **options)),  # noqa: B023
        ):
            with pytest.raises(StudentError, match=line) as refusal:
                ask()
            assert "\n" not in str(refusal.value)
    schemas: list[Any] = [None, 5, "Mood", int, {}, {"a": 1}, []]
    for schema in schemas:
        for method in ("json_schema", "function_calling", "json_mode"):
            with pytest.raises(StudentError) as refusal:
                student.with_structured_output(schema, method=method)
            assert "\n" not in str(refusal.value)
    for tools in (None, 5, "add", [None], [int], [{"a": 1}]):
        with pytest.raises(StudentError):
            student.bind_tools(tools)  # type: ignore[arg-type]


def test_a_run_that_is_not_there_is_told_at_once_beside_others_that_are(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied.parent / "runs"
    folder.mkdir()
    copied.rename(folder / "news")
    monkeypatch.chdir(folder.parent)

    with pytest.raises(StudentError, match="runs/nows: there is no such folder"):
        ChatStudent(model="runs/nows").invoke("oi")
    assert ChatStudent(model="runs/news").card is not None


def test_one_stop_string_is_one_and_not_its_letters(tiny_base: Path) -> None:
    base = ChatStudent(model=str(tiny_base), max_tokens=30)
    text = str(base.invoke("Frase: tudo bem").content)
    stop = text[5:8]
    expected = text.partition(stop)[0]

    assert expected
    assert base.invoke("Frase: tudo bem", stop=stop).content == expected  # type: ignore[arg-type]
    assert base.bind(stop=stop).invoke("Frase: tudo bem").content == expected
    always = ChatStudent.model_validate({"model": str(tiny_base), "max_tokens": 30, "stop": stop})
    assert always.stop == [stop]
    assert always.invoke("Frase: tudo bem").content == expected


def test_a_profile_says_what_the_engine_does(student: ChatStudent) -> None:
    assert student.profile == {
        "name": "tiny-student",
        "open_weights": True,
        "text_inputs": True,
        "text_outputs": True,
        "structured_output": True,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "max_input_tokens": student.engine.context,
        "max_output_tokens": student.engine.context,
    }


def test_free_text_stops_where_it_is_told(tiny_base: Path) -> None:
    base = ChatStudent(model=str(tiny_base), max_tokens=30)
    text = str(base.invoke("Frase: tudo bem").content)

    assert text[3] not in text[:3]
    assert base.invoke("Frase: tudo bem", stop=[text[3]]).content == text[:3]


def test_a_bare_base_answers_in_the_teachers_words(tiny_base: Path, tiny_task: Task) -> None:
    base = ChatStudent(model=str(tiny_base))
    assert base.card is None

    thought = answer_chain(tiny_task, base).invoke(SENTENCES[0])

    assert isinstance(thought.answer, tiny_task.schema)
    assert thought.reasoning is not None


def test_a_student_refuses_other_words_and_other_answers(
    tiny_task: Task, student: ChatStudent
) -> None:
    class Other(BaseModel):
        reasoning: str = Field(max_length=9)

    reworded = Task(
        name="tiny",
        schema=tiny_task.schema,
        reasoning="reasoning",
        prompt=tiny_task.prompt,
        student_prompt=ChatPromptTemplate.from_messages([("human", "Outra: {sentence}")]),
    )
    reshaped = Task(
        name="tiny",
        schema=Other,
        reasoning="reasoning",
        prompt=tiny_task.prompt,
        student_prompt=tiny_task.student_prompt,
    )
    for task, what in ((reworded, "student prompt"), (reshaped, "answer schema")):
        with pytest.raises(StudentError, match=f"tiny-student learnt the {what}"):
            answer_chain(task, student)


class Titled(BaseModel):
    """The shape of conftest's Mood under other words."""

    model_config = ConfigDict(title="Other")
    reasoning: str = Field(max_length=40, description="why", title="Because")
    mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
    urgent: bool


class Wider(Titled):
    """One label more than the student learnt."""

    mood: Literal["Alegria", "Medo", "Neutro", "Emoção", "Raiva"]  # type: ignore[assignment]


class Unbounded(TypedDict):
    """The shape of conftest's Mood without the bound of its text, which no TypedDict can say."""

    reasoning: str
    mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
    urgent: bool


class Shorter(Titled):
    """A text shorter than the student may write."""

    reasoning: str = Field(max_length=10)


def test_a_student_serves_a_schema_without_the_bounds_that_it_keeps(student: ChatStudent) -> None:
    for method in ("json_schema", "function_calling", "json_mode"):
        answer = student.with_structured_output(Unbounded, method=method).invoke("Frase: oi")
        assert isinstance(answer, dict)
        assert len(answer["reasoning"]) <= 40
    with pytest.raises(StudentError, match="not as Shorter"):
        student.with_structured_output(Shorter.model_json_schema() | {"title": "Shorter"})


def test_a_student_serves_only_the_schema_it_learnt(
    tiny_task: Task, tiny_base: Path, student: ChatStudent
) -> None:
    assert isinstance(student.with_structured_output(Titled).invoke("Frase: oi"), Titled)
    for schema, named in (
        (Wider, r"not as Other \w{16} \(reasoning, mood, urgent\)"),
        (tiny_task.json_schema("label"), r"not as Mood \w{16} \(mood, urgent\)"),
    ):
        learnt = r"tiny-student learnt .* as Mood \w{16} \(reasoning, mood, urgent\), "
        with pytest.raises(StudentError, match=learnt + named) as refusal:
            student.with_structured_output(schema)
        assert "\n" not in str(refusal.value)
    bare = ChatStudent(model=str(tiny_base)).with_structured_output(Wider)
    assert isinstance(bare.invoke("Frase: oi"), Wider)


class Unreasoned(BaseModel):
    """conftest's Mood where the reasoning may be left out."""

    reasoning: str | None = None
    mood: Literal["Alegria", "Medo", "Neutro", "Emoção"]
    urgent: bool


def test_a_student_of_labels_is_told_what_to_put_where_a_reasoning_is_required(
    tiny_task: Task, copied: Path
) -> None:
    labels = tiny_task.json_schema("label")
    recarded(copied, target="label", answer_schema=labels, reasoning="reasoning")
    student = ChatStudent(model=str(copied))
    plain = (tiny_task.student_prompt | student.with_structured_output(labels)).invoke(SENTENCES[0])

    def answer(schema: Any, **options: Any) -> Any:
        asked = student.with_structured_output(schema, **options)
        return (tiny_task.student_prompt | asked).invoke(SENTENCES[0])

    for schema in (tiny_task.schema, Titled, tiny_task.json_schema("reason_label")):
        with pytest.raises(StudentError, match="requires reasoning; say with reasoning= what"):
            student.with_structured_output(schema)
        with pytest.raises(StudentError, match="no text that the field reasoning takes"):
            student.with_structured_output(schema, reasoning="x" * 41)
        for method in ("json_schema", "function_calling", "json_mode"):
            filled = answer(schema, reasoning='não "dita"', method=method)
            filled = filled if isinstance(filled, dict) else filled.model_dump()
            assert filled == {"reasoning": 'não "dita"', **plain}
    assert answer(Unreasoned).model_dump() == {"reasoning": None, **plain}
    with pytest.raises(StudentError, match=r"learnt .* \(mood, urgent\), not as Wider"):
        student.with_structured_output(Wider.model_json_schema() | {"title": "Wider"})
    told = ChatStudent(model=str(copied), reasoning="-")
    assert json.loads(str(told.invoke("Frase: oi").content))["reasoning"] == "-"
    assert tiny_task.schema.model_validate(
        told.with_structured_output(Titled).invoke("oi").model_dump()
    )
    student.close()


def test_a_student_of_one_task_is_held_to_its_schema_where_nothing_is_asked(
    tiny_task: Task, student: ChatStudent
) -> None:
    for form in (None, {"type": "json_object"}):
        answer = student.invoke("Classifique: tudo bem", response_format=form)
        assert tiny_task.schema.model_validate_json(str(answer.content))
        assert set(answer.response_metadata["confidence"]) == {"mood", "urgent"}
    free = student.invoke("oi", response_format={"type": "text"}, max_tokens=3)
    assert free.usage_metadata is not None
    assert free.usage_metadata["output_tokens"] <= 3
    assert "confidence" not in free.response_metadata


def test_a_schema_with_parts_is_known_however_it_is_written(copied: Path) -> None:
    from understudy.examples.news.task import task

    recarded(copied, answer_schema=task.json_schema("reason_label"), answers=task.answers)
    student = ChatStudent(model=str(copied))
    written_out = convert_to_json_schema(task.schema)  # LangChain fills the references in
    assert "$defs" not in written_out

    for schema in (task.schema, task.json_schema("reason_label"), written_out):
        for method in ("json_schema", "function_calling", "json_mode"):
            assert student.with_structured_output(schema, method=method) is not None


def test_a_student_copies_and_pickles_without_its_weights(student: ChatStudent) -> None:
    for twin in (copy.deepcopy(student), pickle.loads(pickle.dumps(student))):
        assert twin.engine is student.engine
    assert len(pickle.dumps(student)) < 20_000


def test_the_cache_key_tells_two_adapters_apart(student: ChatStudent, copied: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = copied / "adapter_model.safetensors"
    weights = {name: torch.zeros_like(weight) for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})

    other = ChatStudent(model=str(copied))

    assert other._identifying_params["sha256"] != student._identifying_params["sha256"]
    assert other.engine is not student.engine
    other.close()


def test_a_closed_student_comes_back_when_asked(copied: Path, tiny_task: Task) -> None:
    student = load_student(copied)
    first, engine = answer_chain(tiny_task, student).invoke(SENTENCES[0]), student.engine
    student.close()

    assert answer_chain(tiny_task, student).invoke(SENTENCES[0]) == first
    assert student.engine is not engine
    student.close()


def _answer_in_child(student: ChatStudent, results: Any) -> None:
    results.put(student.invoke("Frase: tudo bem").content)


@pytest.mark.needs_fork
def test_a_forked_process_starts_an_engine_of_its_own(student: ChatStudent) -> None:
    expected = student.invoke("Frase: tudo bem").content
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_answer_in_child, args=(student, results))
    child.start()

    assert results.get(timeout=60) == expected
    child.join(timeout=10)


def test_a_student_whose_base_has_changed_is_refused(copied: Path) -> None:
    recarded(copied, base_sha256="0" * 64)

    with pytest.raises(
        StudentError, match=r"learnt on a base .* with sha256 000000000000"
    ) as caught:
        load_student(copied)
    assert "\n" not in str(caught.value)


def test_a_folder_without_adapter_or_card_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "adapter_model.safetensors").unlink()

    with pytest.raises(StudentError, match=r"has no adapter_model.safetensors"):
        load_student(copied)
    with pytest.raises(StudentError, match="is not a student"):
        load_student(tmp_path)


@pytest.mark.parametrize(
    ("base", "line"),
    [
        ("./nowhere", "there is no such folder"),
        ("~/no/such/model", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("nobody/no-such-model", "cannot be reached"),
        ("not a name", "neither a folder nor a hub id"),
    ],
)
def test_a_base_that_is_not_there_is_one_line(base: str, line: str) -> None:
    with pytest.raises(StudentError, match=line) as caught:
        load_base(base)
    assert "\n" not in str(caught.value)
    assert base in str(caught.value)


class Hub(BaseHTTPRequestHandler):
    """A hub with a gated model: everybody sees that it is there, its files are refused."""

    def do_GET(self) -> None:
        files = [{"rfilename": "config.json"}]
        if self.path.startswith("/api/models/meta/gated/tree"):
            self.reply(200, [{"type": "file", "path": "config.json", "size": 2, "oid": "b" * 40}])
        elif self.path.startswith("/api/models/meta/gated"):
            self.reply(200, {"id": "meta/gated", "sha": "a" * 40, "siblings": files})
        elif self.path.startswith("/meta/gated"):
            self.reply(401, {}, **{"X-Error-Code": "GatedRepo"})
        elif self.path.startswith("/api/models/meta/forbidden"):
            self.reply(403, {})
        else:
            self.reply(401, {}, **{"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def reply(self, status: int, data: Any, **headers: str) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not to the test's output."""


@pytest.mark.parametrize(
    ("base", "line"),
    [
        (
            "meta/gated",
            "the hub refused (401). Accept the licence at https://huggingface.co/meta/gated",
        ),
        ("meta/forbidden", "the hub refused (403). Accept the licence"),
        ("meta/missing", "the hub has no such model, or it is private (401)"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(base: str, line: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = (
        "from understudy.chains.student.weights import base_folder, StudentError\n"
        f"try: base_folder({base!r})\n"
        "except StudentError as error: print(error)"
    )
    endpoint = f"http://127.0.0.1:{server.server_port}"
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": "/nowhere",
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    server.shutdown()

    assert run.stdout.startswith(f"{base}: {line}"), run.stdout + run.stderr
    assert run.stdout.count("\n") == 1


def test_weights_in_other_formats_are_not_loaded(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(StudentError, match="no safetensors weights"):
        base_folder(str(folder))


def test_the_hash_of_a_base_is_that_of_its_file(tiny_base: Path) -> None:
    import hashlib

    content = (tiny_base / "model.safetensors").read_bytes()

    assert base_sha256(str(tiny_base)) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("pad", [None, "</s>"])
def test_padding_never_hides_the_end_of_a_text(
    tiny_base: Path, tmp_path: Path, pad: str | None
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": pad}))

    tokenizer = load_tokenizer(folder, "tiny")

    assert tokenizer.pad_token_id == 0
    assert tokenizer.eos_token_id == 2


def test_a_base_without_a_chat_template_is_asked_plainly(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / "chat_template.jinja").unlink()

    tokenizer = load_tokenizer(folder, "tiny")

    ids = prompt_ids(tokenizer, [HumanMessage("Frase: tudo bem")])
    assert tokenizer.decode(ids) == "Frase: tudo bem\n\n### Answer:\n"
