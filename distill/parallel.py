"""One training in several processes (`accelerate launch`): who writes, and what all agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .preflight import TrainingError
from .recipes import Recipe
from .run_folder import claim


def processes() -> int:
    """How many processes train together, as the launcher says; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def leads() -> bool:
    """Whether this is the process that writes the run folder and the store, and speaks."""
    return processes() == 1 or os.environ["RANK"] == "0"


def join(device: str) -> None:
    """Meet the other processes, over gloo on a CPU and NCCL on GPUs. Raises TrainingError."""
    if processes() == 1:
        return
    from accelerate import PartialState

    try:
        PartialState(cpu=device == "cpu")
    except (RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise TrainingError(f"{processes()} processes cannot train together: {line}") from error


def agreed(value: Any) -> Any:
    """What the leading process gives, in every process; waits for all of them."""
    if processes() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


@contextmanager
def claimed(
    folder: Path, settings: Mapping[str, Any], chosen: Mapping[str, Any] | None = None
) -> Iterator[bool]:
    """`claim` for all processes: the leading one holds the folder, and all hear what it found."""
    with ExitStack() as held:
        refused: Exception | None = None
        finished = False
        if leads():
            try:
                finished = held.enter_context(claim(folder, settings, chosen))
            except (OSError, TrainingError) as error:
                refused = error
        why, finished = agreed((str(refused) if refused else None, finished))
        if refused is not None:
            raise refused
        if why is not None:
            raise TrainingError(why)
        yield finished


def share(recipe: Recipe) -> tuple[int, int]:
    """Rows of one pass and passes of one step in each process: the step's rows stay the same.

    Raises TrainingError where the step's rows cannot be shared out evenly.
    """
    count = processes()
    if recipe.batch_size % count:
        raise TrainingError(
            f"batch_size is {recipe.batch_size}, which {count} processes cannot share evenly; give "
            f"a multiple of {count}"
        )
    mine = recipe.batch_size // count
    rows = max(n for n in range(1, min(recipe.at_once, mine) + 1) if mine % n == 0)
    return rows, mine // rows


def strategy(trainer: Any) -> str | None:
    """How the processes really share the work, in one line; None where there is one process.

    What was asked for may be something else: on a CPU accelerate makes plain data parallelism of
    FSDP2 without a word.
    """
    count = trainer.accelerator.num_processes
    kind = str(getattr(trainer.accelerator.distributed_type, "value", ""))
    if count == 1 and not _asked_to_shard():
        return None
    if kind == "FSDP":
        said = f"FSDP{getattr(trainer.accelerator.state.fsdp_plugin, 'fsdp_version', 1)}, sharded"
    elif count > 1:
        said = f"data-parallel (DDP, {_backend()}), each with the whole base"
    else:
        said = "one process, nothing is shared"
    unmet = _asked_to_shard() and kind != "FSDP"
    note = f"; FSDP was asked for and did not run on {_kind(trainer)}" if unmet else ""
    return f"{count} process{'es' if count > 1 else ''}: {said}{note}"


def _asked_to_shard() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def _backend() -> str:
    import torch

    return str(torch.distributed.get_backend())


def _kind(trainer: Any) -> str:
    return f"this {str(trainer.accelerator.device.type).upper()}"
