"""Who teaches: what identifies a teacher, and what of it never reaches a store."""

from __future__ import annotations

import json
from typing import Any

import langchain.chat_models
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from understudy.chains import TaskError
from understudy.chains.teachers import load_teacher, model_parameters
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


@pytest.mark.parametrize(("message", "says"), [("", "ValueError"), ("bad\nworse", "bad")])
def test_a_provider_that_fails_is_one_line_even_without_a_message(
    monkeypatch: pytest.MonkeyPatch, message: str, says: str
) -> None:
    def fail(reference: str, **_: Any) -> None:
        raise ValueError(message)

    monkeypatch.setattr(langchain.chat_models, "init_chat_model", fail)
    with pytest.raises(TaskError, match=f"^teacher openai:x cannot be made: {says}; give offline"):
        load_teacher("openai:x", task="mood.py")


def test_a_provider_that_nobody_knows_is_one_line() -> None:
    with pytest.raises(TaskError, match=r"^teacher nobody:x cannot be made: ") as refusal:
        load_teacher("nobody:x", task="mood.py")
    assert "\n" not in str(refusal.value)


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
