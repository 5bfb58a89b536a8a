"""Which way a model is run: the fast path, the general one, or row by row; each is tried first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from .apart import Apart
from .card import StudentError
from .chunks import Chunk, Path
from .llama import is_packable
from .packed import Packed
from .slots import Slots

_LOG = logging.getLogger(__name__)
_SAID: set[tuple[str, str]] = set()  # what a process has been told already
_FAILURES = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
)


def path_for(model: Any) -> Path:
    """The fastest way whose answers are the model's own, as a short run of it shows.

    Where that is not the fast path, a line in the log says so, once a process and architecture.
    Raises StudentError where no way agrees.
    """
    kind = model.config.get_text_config().model_type
    tokens, whole = _sample(model)
    reason = ""
    for name, make in _ways(model):
        try:
            path = make()
            if _agrees(path, tokens, whole):
                path.clear()
                _say(kind, name)
                return path
            reason = "it answers differently in a batch"
        except _FAILURES as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    raise StudentError(f"a {kind} model cannot be served ({reason}); use another base")


def _ways(model: Any) -> Iterator[tuple[str, Callable[[], Path]]]:
    if is_packable(model):
        yield "", lambda: Packed(model)
    yield "transformers' own forward", lambda: Slots(model)
    yield "transformers' own forward, row by row", lambda: Apart(model)
    yield "transformers' own forward, row by row", lambda: Apart(model, stepwise=True)


def _say(kind: str, name: str) -> None:
    if name and (kind, name) not in _SAID:
        _SAID.add((kind, name))
        _LOG.warning("a %s model has no fast path here; it is run through %s", kind, name)


def _sample(model: Any) -> tuple[list[int], Any]:
    """A few tokens, and the logits after the last of them when read in one piece."""
    import torch

    size = int(model.get_input_embeddings().weight.shape[0])
    tokens = [(37 * step + 11) % size for step in range(12)]
    try:
        with torch.inference_mode():
            ids = torch.tensor([tokens], device=model.device)
            return tokens, model(ids).logits[0, -1].float()
    except _FAILURES as error:
        kind = model.config.get_text_config().model_type
        raise StudentError(f"a {kind} model does not run ({error}); use another base") from error


def _agrees(path: Path, tokens: list[int], whole: Any) -> bool:
    """Whether two rows, read in unequal pieces beside each other, end as the one piece did."""
    import torch

    path.feed([Chunk(0, 0, tokens[:9]), Chunk(1, 0, tokens[:4])])
    path.feed([Chunk(0, 9, tokens[9:11]), Chunk(1, 4, tokens[4:11])])
    if path.rewinds:
        path.feed([Chunk(0, 10, tokens[:1]), Chunk(1, 9, tokens[:2])])
        path.feed([Chunk(0, 10, tokens[10:11]), Chunk(1, 9, tokens[9:11])])
    states = path.feed([Chunk(0, 11, tokens[11:]), Chunk(1, 11, tokens[11:])])
    pieces = path.scores(states)
    exact = states.dtype == torch.float32 and whole.abs().max() < 1e6
    tolerance = (1e-3 if exact else 0.1) * float(whole.abs().max())
    return bool(torch.allclose(pieces, whole.expand_as(pieces), rtol=0, atol=tolerance))
