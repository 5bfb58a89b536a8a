"""langchain-tests' suites for the chat model that benchmarks.conformance names; none overridden.

Run by pytest from there: CONFORMANCE_KIND is "student" or "stock", CONFORMANCE_MODEL a folder.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

STOCK = os.environ.get("CONFORMANCE_KIND") == "stock"
MODEL = os.environ.get("CONFORMANCE_MODEL", "embedded")


class Subject:
    """ChatStudent over a run folder or a base; "other-run" lies beside it."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        from understudy.chains import ChatStudent

        return ChatStudent

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str | None:
        return "other-run"


class Brief(Subject):
    """Random weights would write on for long."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "max_tokens": 128}


class Stock:
    """ChatHuggingFace over the same weights, with the suite's own switches."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        from langchain_huggingface import ChatHuggingFace

        return ChatHuggingFace

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": _pipeline()}


@functools.cache
def _pipeline() -> Any:
    from langchain_huggingface import HuggingFacePipeline

    return HuggingFacePipeline.from_model_id(
        model_id=MODEL, task="text-generation", pipeline_kwargs={"max_new_tokens": 128}
    )


class TestUnit(Stock if STOCK else Subject, ChatModelUnitTests):  # type: ignore[misc]
    """The 10 tests that call no model."""


class TestIntegration(Stock if STOCK else Brief, ChatModelIntegrationTests):  # type: ignore[misc]
    """The 50 that do."""
