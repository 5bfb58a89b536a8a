"""What a ChatStudent is: its settings, its weights, and what tells one from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from pydantic import AliasChoices, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from .asked import UNHELD, Asked, asked_of
from .card import CARD_FILE, StudentCard, StudentError, read_card
from .engine import Engine
from .engines import (
    another,
    close_engine,
    context_of,
    is_loaded,
    shared_engine,
    template_sha256,
)
from .foreign import check_address
from .remote import Remote, remote
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
    base_url: str | None = None
    api_key: SecretStr | None = None

    @cached_property
    def card(self) -> StudentCard | None:
        """What the run folder says about the student; None for a bare base."""
        folder = student_folder(self.model) if self.base_url is None else self._folder
        return None if folder is None else read_card(folder)

    @property
    def _folder(self) -> Path | None:
        """The run folder on this machine of a student that somebody serves."""
        folder = Path(self.model).expanduser()
        return folder if (folder / CARD_FILE).is_file() else None

    @property
    def model_name(self) -> str:
        """What the student calls itself; a bare base is called as it was asked for."""
        return self.card.name if self.card is not None else self.model

    @cached_property
    def sha256(self) -> str:
        """What identifies the weights, base and adapter together."""
        if self.base_url is not None:  # the server has the weights: its address stands for them
            return hashlib.sha256(f"{self.base_url}\n{self.model_name}".encode()).hexdigest()
        return weights_sha256(self.model)

    @cached_property
    def _template_sha256(self) -> str | None:
        return template_sha256(self.model) if self.base_url is None else None

    @cached_property
    def _turns(self) -> bool:
        return learnt_turns(self.card)

    @property
    def engine(self) -> Engine:
        """The loaded weights; loads them if nobody in this process has."""
        if self.base_url is not None:
            raise StudentError(f"{self.model_name} is served at {self.base_url}, not loaded here")
        return shared_engine(self.model, self.sha256, max_batch=self.max_batch_size)

    @property
    def _remote(self) -> Remote | None:
        """The server that answers in the place of an engine."""
        if self.base_url is None:
            return None
        key = self.api_key.get_secret_value() if self.api_key is not None else None
        return remote(self.base_url, self.model_name, key)

    @property
    def loaded(self) -> bool:
        """Whether an answer can begin at once."""
        if self.base_url is not None:
            return True
        return "sha256" in self.__dict__ and is_loaded(self.model, self.sha256)

    def close(self) -> None:
        """Free the weights, for every ChatStudent that shares them; the next answer reloads."""
        if self.base_url is None:
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

    @field_validator("base_url")
    @classmethod
    def _shown_address(cls, base_url: str | None, known: ValidationInfo) -> str | None:
        if base_url is not None:
            check_address(base_url, known.data.get("model", ""))
        return base_url

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

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
        context = context_of(self.model) if self.base_url is None else None
        if context is not None:
            profile["max_input_tokens"] = context
            profile["max_output_tokens"] = min(self.max_tokens or context, context)
        return profile

    def _called(self, name: str | None) -> Self:
        """This model, or the one of that name that answers in its place."""
        if name is None or name in (self.model, self.model_name):
            return self
        if not isinstance(name, str):
            raise StudentError(f"model {name!r} is no name of a model; name a run folder")
        where = another(self.model, name) if self.base_url is None else name
        address = self.base_url and self.base_url.partition("#")[0]  # #NAME is of this model alone
        other = self.model_copy(update={"model": where, "base_url": address})
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
