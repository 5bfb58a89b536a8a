"""What a ChatStudent is: its settings, its weights, and what tells one from another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from pydantic import AliasChoices, ConfigDict, Field

from .asked import UNHELD, Asked, asked_of
from .card import StudentCard, read_card
from .engine import Engine
from .engines import (
    another,
    close_engine,
    context_of,
    is_loaded,
    shared_engine,
    template_sha256,
)
from .turns import learnt_turns
from .weights import student_folder, weights_sha256

_MOST_KEPT = 64  # kinds of calls that a model remembers


class StudentModel(BaseChatModel):
    """The settings of a ChatStudent and what follows from them; see there."""

    model_config = ConfigDict(populate_by_name=True)

    model: str = Field(validation_alias=AliasChoices("model", "model_name"))
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)
    stop: list[str] | None = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    seed: int | None = None
    timeout: float | None = Field(default=None, gt=0)
    reasoning: str | None = None
    confidence: bool = True
    max_batch_size: int = Field(default=64, gt=0)

    @cached_property
    def card(self) -> StudentCard | None:
        """What the run folder says about the student; None for a bare base."""
        folder = student_folder(self.model)
        return None if folder is None else read_card(folder)

    @property
    def model_name(self) -> str:
        """What the student calls itself; a bare base is called as it was asked for."""
        return self.card.name if self.card is not None else self.model

    @cached_property
    def sha256(self) -> str:
        """What identifies the weights, base and adapter together."""
        return weights_sha256(self.model)

    @cached_property
    def _template_sha256(self) -> str:
        return template_sha256(self.model)

    @cached_property
    def _turns(self) -> bool:
        return learnt_turns(self.card)

    @property
    def engine(self) -> Engine:
        """The loaded weights; loads them if nobody in this process has."""
        return shared_engine(self.model, self.sha256, max_batch=self.max_batch_size)

    @property
    def loaded(self) -> bool:
        """Whether an answer can begin at once."""
        return "sha256" in self.__dict__ and is_loaded(self.model, self.sha256)

    def close(self) -> None:
        """Free the weights, for every ChatStudent that shares them; the next answer reloads."""
        close_engine(self.model, self.sha256)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """False: nothing stored is ever loaded back through LangChain."""
        return False

    @property
    def _llm_type(self) -> str:
        return "understudy-student"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What an answer depends on: the key of LangChain's caches."""
        return {
            "model": self.model_name,
            "sha256": self.sha256,
            "template": self._template_sha256,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop_sequences": self.stop,
            "seed": self.seed,
            "reasoning": self.reasoning,
            "confidence": self.confidence,
        }

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        other = self._called(kwargs.get("model"))
        if other is not self:
            rest = {name: value for name, value in kwargs.items() if name != "model"}
            return other._get_invocation_params(stop, **rest)
        return super()._get_invocation_params(stop, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **kwargs)
        name = str(kwargs.get("model") or self.model_name)
        return LangSmithParams(**{**params, "ls_provider": "understudy", "ls_model_name": name})

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = ModelProfile(
            name=Path(self.model).name,
            open_weights=True,
            text_inputs=True,
            text_outputs=True,
            structured_output=True,
            tool_calling=True,
            tool_choice=True,
            tool_call_streaming=True,
        )
        context = context_of(self.model)
        if context is not None:
            profile["max_input_tokens"] = context
            profile["max_output_tokens"] = min(self.max_tokens or context, context)
        return profile

    def _called(self, name: str | None) -> Self:
        """This model, or the one of that name that answers in its place."""
        if name is None or name in (self.model, self.model_name):
            return self
        other = self.model_copy(update={"model": another(self.model, name)})
        for remembered in ("card", "sha256", "_template_sha256", "_turns", "_kept"):
            other.__dict__.pop(remembered, None)
        return other

    @cached_property
    def _kept(self) -> dict[str, Asked]:
        return {}

    def _asked(self, options: Mapping[str, Any]) -> Asked:
        """`asked_of` this model; the same for every row of a batch, so it is kept."""
        given = {"reasoning": self.reasoning} if self.reasoning is not None else {}
        asked = {**given, **options}
        held = {name: asked[name] for name in asked if name not in UNHELD}
        try:
            key = json.dumps(held)
        except (TypeError, ValueError):  # tools and formats given as classes
            return asked_of(self.card, asked, turns=self._turns)
        found = self._kept.get(key)
        if found is None:
            found = asked_of(self.card, asked, turns=self._turns)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found
