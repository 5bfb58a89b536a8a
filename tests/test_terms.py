"""Terms on training with outputs: what is known has a source and a date, the rest is unknown."""

from __future__ import annotations

import re

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from understudy.chains.offline import NewsTeacher
from understudy.distill.terms import _TEXTS, known_terms, note_terms, told_terms
from understudy.store import Store
from understudy.store.provenance import all_terms, set_terms, terms_of
from understudy.store.rows import Terms

ELSEWHERE = "http://127.0.0.1:9/v1"


def openai(model: str, base_url: str | None = None) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=base_url, api_key="sk-none")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "base_url", "said"),
    [
        ("gpt-5-mini", None, "compete with OpenAI"),
        ("gpt-5-mini", "https://api.openai.com/v1", "compete with OpenAI"),
        ("claude-sonnet-4-5", "https://api.anthropic.com/v1/", "prior authorisation"),
        ("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai/", "Gemini"),
        ("grok-4", "https://api.x.ai/v1", "order form"),
        ("mistral-large-latest", "https://api.mistral.ai/v1", "image outputs only"),
        ("deepseek-chat", "https://api.deepseek.com", "distillation is named"),
        ("command-a", "https://api.cohere.com/compatibility/v1", "direct competitor"),
        ("llama-3.1-8b-instant", "https://api.groq.com/openai/v1", "starts with Llama"),
        ("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", "starts with Llama"),
        ("meta-llama/Llama-3.2-1B-Instruct", ELSEWHERE, "starts with Llama"),
        ("meta-llama/Meta-Llama-3.1-8B", ELSEWHERE, "starts with Llama"),
        ("meta.llama3-1-8b-instruct-v1:0", ELSEWHERE, "starts with Llama"),
        ("llama4:scout", ELSEWHERE, "starts with Llama"),
        ("llama3:8b", ELSEWHERE, "may not be used to improve"),
        ("llama3-8b-8192", ELSEWHERE, "may not be used to improve"),
        ("meta-llama/Meta-Llama-3-70B-Instruct", ELSEWHERE, "may not be used to improve"),
        ("Llama-2-7b-chat-hf", ELSEWHERE, "may not be used to improve"),
        ("deepseek-r1:8b", ELSEWHERE, "named as allowed"),
        ("deepseek-r1-distill-llama-70b", ELSEWHERE, "made from Llama"),
        ("qwen3:8b", ELSEWHERE, "sets no limit"),
        ("Qwen/Qwen3-30B-A3B", ELSEWHERE, "sets no limit"),
        ("openai/gpt-oss-120b", "https://api.groq.com/openai/v1", "sets no limit"),
        ("gpt-oss:20b", ELSEWHERE, "sets no limit"),
        ("google/gemma-3-27b-it", ELSEWHERE, "derivative of Gemma"),
        ("google/gemma-4-31B-it", ELSEWHERE, "sets no limit"),
    ],
)
def test_a_model_has_the_terms_of_its_service_or_else_of_its_weights(
    model: str, base_url: str | None, said: str
) -> None:
    terms = known_terms(openai(model, base_url))
    assert terms is not None
    assert said in terms.note
    assert terms.source is not None
    assert terms.source.startswith("https://")
    assert re.search(r"Text of 20\d\d-\d\d-\d\d.*, looked up 20\d\d-\d\d-\d\d\.$", terms.note)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-5-mini", ELSEWHERE),  # a namesake
        ("gpt-5-mini", "https://api.openai.com.evil.example/v1"),
        ("sabia-4", "https://chat.maritaca.ai/api"),
        ("open_llama_3b", ELSEWHERE),
        ("llama-70b-of-ours", ELSEWHERE),
        ("qwen3-max", ELSEWHERE),
        ("Qwen3.8-2.4T-A95B", ELSEWHERE),
        ("a-model-of-ours", ELSEWHERE),
    ],
)
def test_what_we_have_not_read_is_unknown_and_said_so(model: str, base_url: str) -> None:
    assert known_terms(openai(model, base_url)) is None
    assert told_terms(openai(model, base_url)).endswith(
        "not known to us; read your provider's terms before you train on its outputs"
    )


def test_other_chat_models_are_unknown_too() -> None:
    assert known_terms(FakeListChatModel(responses=[])) is None


def test_every_text_has_a_source_a_date_and_one_of_service_and_family() -> None:
    for text in _TEXTS:
        assert text.source.startswith("https://")
        assert re.match(r"20\d\d-\d\d-\d\d", text.dated)
        assert text.note.endswith(".")
        assert bool(text.service) != bool(text.family)


def test_the_embedded_teacher_may_teach_anybody() -> None:
    terms = known_terms(NewsTeacher())
    assert terms is not None
    assert terms.licence == "Apache-2.0"


def test_known_terms_are_noted_where_nothing_was_noted() -> None:
    store = Store(":memory:")
    models = [openai("gpt-5-mini"), openai("a-model-of-ours", ELSEWHERE)]
    noted = note_terms(store, models)
    assert [terms.model for terms in noted] == ["gpt-5-mini"]
    assert all_terms(store) == noted


def test_a_persons_note_is_never_overwritten() -> None:
    store = Store(":memory:")
    own = Terms(model="gpt-5-mini", note="Our contract allows it.", noted="2026-01-01")
    set_terms(store, own)
    assert note_terms(store, [openai("gpt-5-mini")]) == [own]
    assert terms_of(store, "gpt-5-mini") == own
    assert told_terms(openai("gpt-5-mini"), own) == "terms of gpt-5-mini: Our contract allows it."
