"""The commands for finished students: merge, adopt, push."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    JsonOption,
    StoreOption,
    TaskOption,
    fail,
    open_store,
    remark,
    say,
    tell,
)

_PROMPTS = 8  # rows whose answers are compared


def merge(
    student: Annotated[Path, typer.Argument(help="the student's run folder")],
    out: Annotated[Path, typer.Argument(help="the new folder for the plain model")],
    store: StoreOption = DEFAULT_STORE,
    dtype: Annotated[
        str, typer.Option(help="of the weights: float32, bfloat16 or float16")
    ] = "float32",
    bound: Annotated[
        float | None, typer.Option(help="the largest difference of a logit; default: by dtype")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge a student into its base: a plain model folder, compared with the student first."""
    from ..training.merging import merge as merge_student

    inputs = _rows(student, store)
    said = f"{len(inputs)} held-out rows" if inputs else "stock sentences (no rows in the store)"
    remark(f"comparing on {said}")
    parity = merge_student(student, out, inputs=inputs, dtype=dtype, bound=bound)
    found = {"model": out, "on": said, **dataclasses.asdict(parity)}
    tell(found, [parity.line, f"model {out}"], as_json=as_json)


def adopt(
    folder: Annotated[Path, typer.Argument(help="the PEFT folder that was trained elsewhere")],
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    target: Annotated[str, typer.Option(help="what it was taught to write")] = "label",
    student: Annotated[
        str | None, typer.Option(help="its base model; default: what its config names")
    ] = None,
    teacher_run: Annotated[
        str | None, typer.Option(help="the run whose rows check it; default: the newest")
    ] = None,
    quantised: Annotated[
        bool | None,
        typer.Option(
            "--quantised/--not-quantised",
            help="whether it learnt on an NF4 base; default: what its loss tells",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take an adapter trained elsewhere as a student: checked, loaded, and given its card."""
    from ...chains.loading import load_task
    from ...chains.task import TARGETS
    from ..training.adopting import adopt as adopt_student

    if target not in TARGETS:
        fail(f"target {target} is unknown; choose {', '.join(TARGETS)}", status=2)
    options: Any = {"target": target, "base": student, "teacher_run": teacher_run}
    with open_store(store, create=False) as opened:
        facts = adopt_student(load_task(task), opened, folder, quantised=quantised, **options)
    losses = facts["base_losses"].items()
    lines = [f"loss on a base {form}: {loss:.4f}" for form, loss in losses]
    lines += [
        f"served on a base {'in NF4' if facts['quantised'] else 'as it comes'}",
        f"not known here: {', '.join(facts['unknown'])}",
        f"student {folder}",
    ]
    tell({"folder": folder, **facts}, lines, as_json=as_json)


def push(
    folder: Annotated[Path, typer.Argument(help="a run folder, or a merged model's")],
    repo: Annotated[str, typer.Argument(help="user/name on the hub")],
    public: Annotated[bool, typer.Option("--public", help="anybody may load it")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list the files")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send a student to the hub; it is then loaded by user/name. No rows of the store are sent."""
    from ..training.pushing import parcel
    from ..training.pushing import push as push_student

    sent = parcel(folder, repo)
    for name, size in sent.files.items():
        say(f"{size:>12,}  {name}")
    found = {"repo": repo, "private": not public, "files": sent.files, "bytes": sent.size}
    if dry_run:
        line = f"would send {len(sent.files)} files, {sent.size:,} bytes, to {repo}"
        tell({**found, "address": None}, [f"{line}; nothing was sent"], as_json=as_json)
        return
    address = push_student(folder, repo, private=not public)
    tell({**found, "address": address}, [f"pushed to {address}"], as_json=as_json)


def _rows(student: Path, store: Path) -> Sequence[Mapping[str, Any]]:
    """The first held-out rows of the student's task, where the store has any."""
    from ...chains.student.card import read_card

    if not store.is_file():
        return []
    task = read_card(student).task
    with open_store(store, create=False) as opened:
        held_out = (e.inputs for e in opened.examples(task) if e.split != "train")
        return [row for row, _ in zip(held_out, range(_PROMPTS), strict=False)]


def accelerate_config(
    name: Annotated[str, typer.Argument(help="fsdp_qlora (GPUs) or cpu")],
) -> None:
    """Print a configuration for `accelerate launch`, to be put into a file."""
    import importlib.resources

    if name not in _CONFIGS:
        fail(f"configuration {name} is unknown; choose {' or '.join(_CONFIGS)}", status=2)
    file = importlib.resources.files("understudy.distill") / "launch" / f"{name}.yaml"
    say(file.read_text(encoding="utf-8").rstrip())


_CONFIGS = ("fsdp_qlora", "cpu")
COMMANDS: dict[str, Callable[..., None]] = {
    "merge": merge,
    "adopt": adopt,
    "push": push,
    "accelerate-config": accelerate_config,
}
