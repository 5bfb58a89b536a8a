"""Who teaches: what identifies a teacher, and what of it never reaches a store."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import langchain.chat_models
import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr

from understudy.chains import TaskError
from understudy.chains.teachers import (
    load_teacher,
    model_parameters,
    named_error,
    output_cap,
    retries_of_its_own,
)
from understudy.distill.labelling.transport import own_clients
from understudy.distill.redaction import one_line


def openai(**options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o", api_key=SecretStr("sk-test-0123456789"), **options)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://user:s3cret@host.example/v1?api_key=s3cret", "https://host.example/v1"),
        ("http://s3cret@127.0.0.1:8000/v1/#s3cret", "http://127.0.0.1:8000/v1/"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://host.example?api_key=s3cret", "https://host.example"),
    ],
)
def test_a_base_url_is_kept_without_its_credentials(given: str, kept: str) -> None:
    parameters = model_parameters(openai(base_url=given))
    assert parameters["base_url"] == kept
    assert "s3cret" not in json.dumps(parameters)


def test_a_task_without_an_offline_teacher_is_told_of_others(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("")
    with pytest.raises(TaskError, match=r"mine\.py has no 'teacher'.*another teacher, such as"):
        load_teacher("offline", task=f"{mine}:task")


def test_teachers_that_differ_in_a_nested_parameter_are_two() -> None:
    high, low = openai(reasoning={"effort": "high"}), openai(reasoning={"effort": "low"})
    assert model_parameters(high) != model_parameters(low)
    assert model_parameters(high) == model_parameters(openai(reasoning={"effort": "high"}))
    assert "nested" not in model_parameters(openai())


def test_a_secret_or_an_object_in_a_nested_parameter_tells_no_teachers_apart() -> None:
    def asked(key: str) -> dict[str, Any]:
        body = {"top": 1, "api_key": key, "deep": [{"auth_token": key, "client": object()}]}
        return model_parameters(openai(extra_body=body))

    assert asked("one") == asked("two")
    assert asked("one") != model_parameters(openai(extra_body={"top": 2, "deep": [{}]}))


def test_parameters_are_scalars_without_secrets() -> None:
    teacher = openai(temperature=0.5, model_kwargs={"secret_word": "s3cret", "logit": {"1": 2}})
    parameters = model_parameters(teacher)
    assert {type(value) for value in parameters.values()} <= {str, int, float, bool}
    assert parameters["temperature"] == 0.5
    assert "secret_word" not in parameters
    assert model_parameters(FakeListChatModel(responses=["a"]))["kind"] == "fake-list-chat-model"


def test_what_is_waited_for_and_how_often_tells_no_teachers_apart() -> None:
    patient = openai(max_retries=0, timeout=3, temperature=0.5)
    assert model_parameters(patient) == model_parameters(openai(temperature=0.5))
    assert model_parameters(Elsewhere(max_retries=0)) == model_parameters(Elsewhere(max_retries=9))


def test_sampling_tells_teachers_apart_that_say_nothing_of_themselves_a_cap_does_not() -> None:
    class Silent(Elsewhere):
        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {}

    assert model_parameters(Silent()) == {"kind": "elsewhere"}
    assert model_parameters(Silent(temperature=0.0)) == {"kind": "elsewhere", "temperature": 0.0}
    assert model_parameters(Silent(num_predict=9)) == {"kind": "elsewhere"}
    assert model_parameters(openai(max_completion_tokens=9)) == {
        "kind": "openai-chat",
        "model": "gpt-4o",
        "model_name": "gpt-4o",
        "stream": False,
    }


# --- a teacher by its name ------------------------------------------------------------------------


class Elsewhere(FakeListChatModel):
    """A model of another provider: a key that it misses only when it is asked, retries of its own.

    Its cap and retries have the names that Ollama's and Anthropic's integrations give them.
    """

    responses: list[str] = Field(default_factory=list)
    key: SecretStr | None = None
    max_retries: int = 2
    num_predict: int | None = None
    temperature: float | None = None

    @property
    def _llm_type(self) -> str:
        return "elsewhere"

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"key": "ELSEWHERE_API_KEY"}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"max_retries": self.max_retries, "default_request_timeout": 3.0}


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "ELSEWHERE_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("message", "says"), [("", "ValueError"), ("bad\nworse", "bad")])
def test_a_provider_that_fails_is_one_line_even_without_a_message(
    monkeypatch: pytest.MonkeyPatch, message: str, says: str
) -> None:
    def fail(reference: str, **_: Any) -> None:
        raise ValueError(message)

    monkeypatch.setattr(langchain.chat_models, "init_chat_model", fail)
    with pytest.raises(TaskError, match=f"^teacher openai:x cannot be made: {says}; give offline"):
        load_teacher("openai:x", task="mood.py")


LINES = [
    ("", {}, r"no teacher is named; give offline, provider:model, or file\.py:name"),
    ("  ", {}, r"no teacher is named; .*"),
    (
        "nobody:x",
        {},
        r"teacher nobody:x: there is no provider 'nobody'; known are anthropic, .*openai, .*",
    ),
    ("openai:", {}, r"teacher 'openai:' is no provider:model, e\.g\. openai:gpt-6\.1-terra"),
    (":gpt", {}, r"teacher ':gpt' is no provider:model, e\.g\. openai:gpt-6\.1-terra"),
    ("anthropic:claude", {}, r"teacher anthropic:claude needs: pip install langchain-anthropic"),
    (
        "openai:x",
        {},
        r"teacher openai:x needs a key: set OPENAI_API_KEY, or give key_variable, the name .*",
    ),
    (
        "openai:x",
        {"base_url": "https://host.example/v1"},
        r"teacher openai:x needs a key: set OPENAI_API_KEY, or give key_variable, the name .*",
    ),
    (
        "openai:x",
        {"base_url": "host.example/v1"},
        r"the base URL of teacher openai:x is no http\(s\) address; give one such as http://.*",
    ),
    ("openai:x", {"base_url": "file:///etc/passwd"}, r"the base URL of .* is no http\(s\) .*"),
    (
        "openai:x",
        {"base_url": "https://user:pass@host.example/v1"},
        r"teacher openai:x: .* holds a user or password; put the key into OPENAI_API_KEY or .*",
    ),
    ("openai:x", {"base_url": ""}, r"the base URL of .* is no http\(s\) .*"),
    (
        "openai:x",
        {"key_variable": "GROQ_API_KEY"},
        r"teacher openai:x needs its key in GROQ_API_KEY, which is not set",
    ),
    ("openai:x", {"key_variable": "PATH"}, r"teacher openai:x: key_variable is the name of .*"),
]


@pytest.mark.parametrize(("reference", "options", "line"), LINES)
@pytest.mark.usefixtures("no_keys")
def test_a_teacher_that_cannot_be_had_is_one_line(
    reference: str, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(TaskError) as refusal:
        load_teacher(reference, task="mood.py", **options)
    assert re.fullmatch(line, str(refusal.value)), str(refusal.value)
    assert "pass@" not in str(refusal.value)


@pytest.mark.parametrize("key", ["gsk_0123456789abcdef", "sk-proj-KEY-0123456789"])
def test_a_key_given_in_place_of_its_variable_is_not_repeated(key: str) -> None:
    with pytest.raises(TaskError, match="never the key itself") as refusal:
        load_teacher("openai:x", task="mood.py", key_variable=key)
    assert key not in str(refusal.value)


@pytest.mark.usefixtures("no_keys")
def test_a_key_that_is_missed_only_by_the_first_call_is_missed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def elsewhere(reference: str, **options: Any) -> BaseChatModel:
        return Elsewhere(**options)

    monkeypatch.setattr(langchain.chat_models, "init_chat_model", elsewhere)
    with pytest.raises(TaskError, match="needs a key: set ELSEWHERE_API_KEY, or"):
        load_teacher("elsewhere:x", task="mood.py")
    monkeypatch.setenv("ELSEWHERE_API_KEY", "k")
    teacher = load_teacher("elsewhere:x", task="mood.py", max_output_tokens=7, temperature=0.5)
    assert (output_cap(teacher), retries_of_its_own(teacher)) == (7, 0)
    assert getattr(teacher, "temperature", None) == 0.5


@pytest.mark.usefixtures("no_keys")
def test_a_server_on_this_machine_needs_no_key_and_the_sdk_repeats_nothing() -> None:
    for host in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        teacher = load_teacher(
            "openai:x", task="mood.py", base_url=f"http://{host}/v1", max_output_tokens=9
        )
        assert isinstance(teacher, ChatOpenAI)
        assert teacher.openai_api_base == f"http://{host}/v1"
        assert teacher.root_async_client.max_retries == teacher.root_client.max_retries == 0
        assert (retries_of_its_own(teacher), output_cap(teacher)) == (0, 9)
        assert teacher._default_params["max_completion_tokens"] == 9


@pytest.mark.usefixtures("no_keys")
def test_a_key_can_be_in_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-0123456789")
    url = "https://host.example/v1"
    teacher = load_teacher("openai:x", task="m.py", base_url=url, key_variable="GROQ_API_KEY")
    assert isinstance(teacher, ChatOpenAI)
    assert teacher.root_client.api_key == "gsk-0123456789"


def test_a_teacher_built_in_a_file_takes_a_cap_but_no_address(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from langchain_openai import ChatOpenAI\n"
        "from langchain_core.language_models import FakeListChatModel\n"
        "teacher = ChatOpenAI(model='m', api_key='k')\n"
        "fake = FakeListChatModel(responses=['a'])\n"
    )
    teacher = load_teacher(f"{path}:teacher", task="mood.py", max_output_tokens=9, temperature=0.5)
    assert (output_cap(teacher), getattr(teacher, "temperature", None)) == (9, 0.5)
    assert output_cap(load_teacher(f"{path}:teacher", task="mood.py")) is None
    with pytest.raises(TaskError, match="is built in that file; set URL and key there"):
        load_teacher(str(path), task="mood.py", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(TaskError, match="a FakeListChatModel has no field for max_tokens"):
        load_teacher(f"{path}:fake", task="mood.py", max_output_tokens=9)
    with pytest.raises(TaskError, match="max_output_tokens=0 is no cap; give 1 or more"):
        load_teacher(str(path), task="mood.py", max_output_tokens=0)


@pytest.mark.parametrize(
    ("model", "cap"),
    [
        (openai(), None),
        (openai(max_tokens=5), 5),
        (openai(max_completion_tokens=5), 5),
        (openai(extra_body={"max_tokens": 7}), 7),
        (openai(extra_body={"max_tokens": 7}, max_tokens=5), 7),
        (Elsewhere(num_predict=5), 5),
        (Elsewhere(num_predict=-1), None),
        (FakeListChatModel(responses=[]), None),
    ],
)
def test_the_output_cap_is_found_under_any_name(model: BaseChatModel, cap: int | None) -> None:
    assert output_cap(model) == cap


def test_what_the_sdk_repeats_by_itself_is_known() -> None:
    assert retries_of_its_own(openai()) == 2
    assert retries_of_its_own(openai(max_retries=5)) == 5
    assert retries_of_its_own(openai(max_retries=0)) == 0
    assert retries_of_its_own(openai().model_copy(update={"max_retries": 0})) == 2  # too late
    assert retries_of_its_own(Elsewhere()) == 2
    assert retries_of_its_own(FakeListChatModel(responses=[])) == 0


# --- a call that fails ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refused", "dropped", "silent"])
@pytest.mark.parametrize("over_aiohttp", [False, True])
def test_a_connection_that_fails_names_its_host_and_how(how: str, over_aiohttp: bool) -> None:
    says = {
        "refused": r"failed \(.*\[Errno 111\] Connect call failed .*\)",
        "dropped": r"failed \(.+\)",
        "silent": "no answer in time from",
    }

    async def failed() -> tuple[Exception, ChatOpenAI]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            if how == "refused":
                server.close()
                await server.wait_closed()
            secret = "" if over_aiohttp else "user:s3cret@"  # which aiohttp refuses
            url = f"http://{secret}127.0.0.1:{port}/v1"
            model = openai(base_url=url, max_retries=0, timeout=0.3 if how == "silent" else 5)
            try:
                async with own_clients([model] if over_aiohttp else []) as (*ready,):
                    await (ready or [model])[0].ainvoke("x")
            except Exception as error:  # noqa: BLE001 - whatever the SDK raises
                return error, model
        raise AssertionError("nothing failed")

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "silent":
            await asyncio.sleep(1)
        writer.close()

    error, model = asyncio.run(failed())
    line = named_error(error, model)
    assert re.search(says[how], line), line
    assert re.search(r"http://127\.0\.0\.1:\d+", line), line
    assert "s3cret" not in line


class Refused(Exception):
    """An error with a status, as SDKs raise it."""

    def __init__(self, status: int) -> None:
        super().__init__("no")
        self.status_code = status


def test_a_key_that_is_refused_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    model = openai(base_url="https://host.example/v1")
    line = "Refused: the key in {} is refused: no"
    assert named_error(Refused(401), model) == line.format("OPENAI_API_KEY")
    monkeypatch.setenv("GROQ_API_KEY", "sk-test-0123456789")
    assert named_error(Refused(403), model) == line.format("GROQ_API_KEY")
    assert named_error(Refused(401), FakeListChatModel(responses=[])) == "Refused: no"


def test_other_errors_keep_their_words() -> None:
    model = openai(base_url="https://host.example/v1")
    assert named_error(Refused(500), model) == "Refused: no"
    assert named_error(ValueError("a\n  b"), model) == "ValueError: a b"
    assert named_error(ValueError(), model) == "ValueError"
    assert named_error(Refused(404), model) == (
        "Refused: https://host.example has no model gpt-4o, or nothing at this path: no"
    )
    assert named_error(httpx.ConnectError("gone"), openai()) == "ConnectError: gone"
    failed = TaskError("the tool search raised FileNotFoundError: x; mend the tool")
    failed.__cause__ = FileNotFoundError("x")
    assert named_error(failed, model) == f"TaskError: {failed}"


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("API key not valid: AIzaSyD-0123456789_abcdefghijklmnopqrst", "API key not valid: ***"),
        ("denied AKIAIOSFODNN7EXAMPLE.", "denied ***."),
        ("header 'Bearer eyJhbGciOi.J9-x_1~/+=' refused", "header 'Bearer ***' refused"),
        ("authorization: bearer 0123456789abcdef", "authorization: bearer ***"),
        ("Bearer authentication is required", "Bearer authentication is required"),
    ],
)
def test_what_looks_like_a_key_is_scrubbed(message: str, kept: str) -> None:
    assert one_line(ValueError(message)) == f"ValueError: {kept}"


def test_a_key_is_scrubbed_whatever_the_case_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("my_api_key", "a-very-private-value")
    assert one_line(ValueError("no a-very-private-value")) == "ValueError: no ***"
