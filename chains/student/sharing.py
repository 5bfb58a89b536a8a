"""Several students of one base in one process: the base once, their adapters beside it unmerged."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from .card import StudentError
from .engine import Engine
from .lora import Deltas, read_pairs
from .packed import Packed
from .paths import path_for
from .quiet import quiet
from .row import Answer, Request
from .slots import Slots
from .weights import bare_base, load_tokenizer


class Seat(Engine):
    """A student's place at an engine that several share: its rows are its own adapter's."""

    def __init__(self, base: Base, name: str, tokenizer: Any) -> None:
        self._base, self._name, self.tokenizer = base, name, tokenizer
        self.path, self.context = base.engine.path, base.engine.context
        self.max_batch = base.engine.max_batch

    @property
    def calls(self) -> int:
        """Batched calls of the shared model so far."""
        return self._base.engine.calls

    @property
    def rows(self) -> int:
        """Rows that those calls took, of all the students."""
        return self._base.engine.rows

    def submit(self, prompt: Sequence[int], **options: Any) -> Future[Answer]:
        """As Engine has it."""
        return self._base.engine.submit(prompt, **{**options, "adapter": self._name})

    def take(self, request: Request) -> None:
        """As Engine has it."""
        self._base.engine.take(replace(request, adapter=self._name))

    def close(self) -> None:
        """Leave; the last one closes the engine."""
        self._base.leave(self._name)


class Base:
    """A base in memory, the engine that runs it, and the students that have a seat there."""

    def __init__(self, folder: Path, *, max_batch: int) -> None:
        model, self._tokenizer = bare_base(folder)
        self._deltas, self._model = Deltas(), model
        path = path_for(model, deltas=self._deltas)
        if not isinstance(path, Packed | Slots):
            raise StudentError(f"{folder}: rows of its base cannot share a call; load it alone")
        self._path = path
        self.engine = Engine(model, self._tokenizer, max_batch=max_batch, path=path)
        self._names: set[str] = set()

    def seat(self, folder: Path, name: str) -> Seat:
        """A seat for the student in a run folder. Raises StudentError where it cannot share."""
        tokenizer = load_tokenizer(folder, str(folder))
        if tokenizer.get_vocab() != self._tokenizer.get_vocab():
            raise StudentError(f"{folder}: its tokenizer is not that of its base; load it alone")
        if isinstance(self._path, Packed):
            self._deltas.put(name, read_pairs(folder), self._model)
        else:
            self.engine.between(lambda: self._adapt(folder, name)).result()
        self._names.add(name)
        return Seat(self, name, tokenizer)

    def leave(self, name: str) -> None:
        """Forget a student's adapter; without any, close the engine."""
        self._names.discard(name)
        if not self._names:
            self.engine.close()

    @property
    def empty(self) -> bool:
        """Whether nobody is left."""
        return not self._names

    @quiet()
    def _adapt(self, folder: Path, name: str) -> None:
        """Let transformers' own forward know one more adapter, by peft (its mixed batches)."""
        from peft import PeftModel

        assert isinstance(self._path, Slots)
        known = name.replace(".", "_")
        if hasattr(self._path.model, "peft_config"):
            self._path.model.load_adapter(str(folder), adapter_name=known)
        else:
            model = PeftModel.from_pretrained(self._model, str(folder), adapter_name=known)
            self._path.model = model.eval()
