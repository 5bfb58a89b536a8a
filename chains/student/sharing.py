"""Several students of one base in one process: the base once, their adapters beside it unmerged."""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from .card import StudentError
from .engine import Engine
from .lora import Adapter, adapter_for, read_pairs
from .packed import Packed
from .paths import path_for
from .quiet import quiet
from .row import Answer, Request
from .slots import Slots
from .weights import bare_base, load_tokenizer


class Seat(Engine):
    """A student's place at an engine that several share: its rows are its own adapter's."""

    def __init__(self, base: Base, adapter: Adapter, tokenizer: Any) -> None:
        self.base, self._adapter, self.tokenizer = base, adapter, tokenizer
        self.path, self.context = base.engine.path, base.engine.context
        self.max_batch = base.engine.max_batch
        self.asked_at = time.monotonic()

    @property
    def calls(self) -> int:
        """Batched calls of the shared model so far."""
        return self.base.engine.calls

    @property
    def rows(self) -> int:
        """Rows that those calls took, of all the students."""
        return self.base.engine.rows

    def knows(self, schema: Mapping[str, Any]) -> bool:
        """As Engine has it."""
        return self.base.engine.knows(schema)

    def prepare(self, schema: Mapping[str, Any]) -> None:
        """As Engine has it."""
        self.base.engine.prepare(schema)

    def submit(self, prompt: Sequence[int], **options: Any) -> Future[Answer]:
        """As Engine has it."""
        return self.base.engine.submit(prompt, **{**options, "adapter": self._adapter})

    def take(self, request: Request) -> None:
        """As Engine has it."""
        self.base.engine.take(replace(request, adapter=self._adapter))

    def close(self) -> None:
        """Leave; the last one closes the engine."""
        self.base.leave(self._adapter.name)


class Base:
    """A base in memory, the engine that runs it, and the students that have a seat there."""

    def __init__(self, folder: Path, *, max_batch: int) -> None:
        model, self._tokenizer = bare_base(folder)
        self._model, path = model, path_for(model)
        if not isinstance(path, Packed | Slots):
            raise StudentError(f"{folder}: rows of its base cannot share a call; load it alone")
        self._path = path
        self.engine = Engine(model, self._tokenizer, max_batch=max_batch, path=path)
        self._names: set[str] = set()
        self._numbers = itertools.count(1)

    def seat(self, folder: Path) -> Seat:
        """A seat for the student in a run folder. Raises StudentError where it cannot share.

        Its adapter is in memory as long as the seat, or a row that was asked there, is.
        """
        tokenizer = load_tokenizer(folder, str(folder))
        if tokenizer.get_vocab() != self._tokenizer.get_vocab():
            raise StudentError(f"{folder}: its tokenizer is not that of its base; load it alone")
        name = f"adapter{next(self._numbers)}"
        if isinstance(self._path, Packed):
            adapter = adapter_for(self._model, name, read_pairs(folder))
        else:
            self.engine.between(lambda: self._adapt(folder, name)).result()
            adapter = Adapter(name)
            weakref.finalize(adapter, _unused, weakref.ref(self), name).atexit = False
        self._names.add(name)
        return Seat(self, adapter, tokenizer)

    def leave(self, name: str) -> None:
        """Give a student's seat back; without any, close the engine."""
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
        if hasattr(self._path.model, "peft_config"):
            self._path.model.load_adapter(str(folder), adapter_name=name)
        else:
            model = PeftModel.from_pretrained(self._model, str(folder), adapter_name=name)
            self._path.model = model.eval()


def _unused(base: weakref.ref[Base], name: str) -> None:
    """No row can ask for that adapter any more: peft lets it go between two steps."""
    held = base()
    if held is not None:
        model = held.engine.path.model  # type: ignore[attr-defined]
        held.engine.between(lambda: model.delete_adapter(name))
