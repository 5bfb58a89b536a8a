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

_ALONE = (
    "1 process: several were asked for, and accelerate started one; on a CPU launch with the "
    "configuration cpu (understudy accelerate-config cpu)"
)


def processes() -> int:
    """How many processes train together, as the launcher says; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def leads() -> bool:
    """Whether this is the process that writes the run folder and the store, and speaks."""
    return processes() == 1 or os.environ["RANK"] == "0"


def join(device: str) -> None:
    """Meet the other processes, over gloo on a CPU and NCCL on GPUs. Raises TrainingError."""
    if sharding_asked() and device == "cpu" and os.environ.get("FSDP_VERSION", "1") == "1":
        raise TrainingError(
            "FSDP was asked for, and there is no GPU to shard over; launch with the configuration "
            "cpu (understudy accelerate-config cpu) instead"
        )
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


def gathered(trainer: Any) -> Any:
    """The weights to save, from all processes, where each holds only a shard; else None."""
    if not sharded(trainer):
        return None
    return trainer.accelerator.get_state_dict(trainer.model_wrapped)


def sharded(trainer: Any) -> bool:
    """Whether each process holds only a part of the model."""
    return str(getattr(trainer.accelerator.distributed_type, "value", "")) == "FSDP"


def sharding_asked() -> bool:
    """Whether the launcher's configuration asks for FSDP, which is not to say that it runs."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


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


def strategy(trainer: Any, rows: int) -> str | None:
    """How the processes really share the work, in one line; None where there is one process.

    What was asked for may be something else: on a CPU accelerate makes plain data parallelism of
    FSDP2, and one process of several, without a word. `rows` are those of an epoch: where they do
    not fill its last step, accelerate fills it up with rows from the start; one process does not.
    """
    count = trainer.accelerator.num_processes
    if count == 1 and not sharding_asked():
        return _ALONE if "MASTER_ADDR" in os.environ and "RANK" not in os.environ else None
    if sharded(trainer):
        said = f"FSDP{getattr(trainer.accelerator.state.fsdp_plugin, 'fsdp_version', 1)}, sharded"
    elif count > 1:
        said = f"data-parallel (DDP, {_backend()}), each with the whole base"
    else:
        said = "one process, nothing is shared"
    unmet = sharding_asked() and not sharded(trainer)
    note = f"; FSDP was asked for and did not run on {_kind(trainer)}" if unmet else ""
    return f"{count} process{'es' if count > 1 else ''}: {said}{_repeated(trainer, rows)}{note}"


def _repeated(trainer: Any, rows: int) -> str:
    """How many rows an epoch's last step sees again, so that each process has as many."""
    at_once = trainer.args.per_device_train_batch_size * trainer.accelerator.num_processes
    missing = -rows % at_once
    few = f"{missing} row{'s' if missing != 1 else ''}"
    return f", the last step of an epoch filled up with {few} seen before" if missing else ""


def _backend() -> str:
    import torch

    return str(torch.distributed.get_backend())


def _kind(trainer: Any) -> str:
    return f"this {str(trainer.accelerator.device.type).upper()}"
