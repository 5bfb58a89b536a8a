"""A training is killed (SIGKILL) at random moments and run again: are the weights the same bits?

    python -m benchmarks.train_kill [--quick] [--kills N] [--seed N]

The embedded base learns the sample task by the recipe "tiny" for about 30 steps, once undisturbed.
Then, for each kill, a training of its own begins in a new folder, is killed at a random moment
after a random step (between two steps, in one, or while a checkpoint is written: one is written
about every third step), and is run again to its end. The last line is one JSON object: {"kills":
.., "identical": ..}, the second the trainings whose adapter and losses are those of the undisturbed
one, bit for bit; exit status 1 where one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TASK = "understudy.examples.news.task:task"
ROWS = {"train": 80, "validation": 8}
EPOCHS, STEPS = 3, 30
LONGEST_WAIT = 0.15  # seconds between a step that is over and the kill: a step takes about 0.1


def labelled(path: Path, seed: int) -> None:
    """Write a store with a few rows of the sample task and the offline teacher's answers."""
    from understudy.chains.loading import load_task
    from understudy.chains.teachers import load_teacher
    from understudy.distill import label
    from understudy.distill.importing import import_examples
    from understudy.examples.news.generate import write_csv
    from understudy.store import Store

    task = load_task(TASK)
    write_csv(path.with_suffix(".csv"), seed)
    with Store(path) as store:
        import_examples(store, TASK, path.with_suffix(".csv"), split_column="split")
        for split, rows in ROWS.items():
            label(task, load_teacher("offline", task=TASK), store, split=split, limit=rows)


def training(path: Path, out: Path) -> None:
    """Train into `out`; called again, it goes on."""
    import torch

    from understudy.chains.loading import load_task
    from understudy.distill import train
    from understudy.store import Store

    torch.set_num_threads(1)
    changes = {"epochs": EPOCHS, "checkpoint_minutes": 0.3 / 60}
    with Store(path) as store:
        train(load_task(TASK), store, out=out, target="label", recipe="tiny", changes=changes)


def processes() -> Any:
    """Where processes can be forked, the libraries are loaded once for all of them."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from understudy.distill.training.qlora import quiet

    with quiet():
        for name in ("bitsandbytes", "datasets", "peft", "trl.trainer.sft_trainer"):
            importlib.import_module(name)
    return multiprocessing.get_context("fork")


def start(context: Any, what: Any, *arguments: Any) -> Any:
    """A process of its own, begun."""
    process = context.Process(target=what, args=arguments)
    process.start()
    return process


def finished(context: Any, store: Path, out: Path) -> dict[str, str]:
    """Train to the end; returns what must be the same: SHA-256 of the adapter and of the losses."""
    process = start(context, training, store, out)
    process.join()
    if process.exitcode:
        sys.exit(f"a training into {out} failed")
    lines = (out / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    if len(losses) != STEPS:
        sys.exit(f"the log of {out} has {len(losses)} steps, not {STEPS}")
    return {
        "adapter": hashlib.sha256((out / "adapter_model.safetensors").read_bytes()).hexdigest(),
        "losses": hashlib.sha256(json.dumps(losses).encode()).hexdigest(),
    }


def killed(context: Any, store: Path, out: Path, step: int, wait: float) -> bool:
    """Train, and SIGKILL it `wait` seconds after it has logged `step`; False: it had ended."""
    process = start(context, training, store, out)
    log = out / "training_log.jsonl"
    deadline = time.monotonic() + 120
    while not log.is_file() or log.read_bytes().count(b"\n") < step:
        if not process.is_alive():
            return False
        if time.monotonic() > deadline:
            process.kill()
            sys.exit("a training wrote no step for two minutes")
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    process.join()
    return bool(process.exitcode < 0)


def main() -> None:
    """Parse, kill, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 kills")
    parser.add_argument("--kills", type=int, help="default 20")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the rows")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    wanted = asked.kills or (2 if asked.quick else 20)
    kills = identical = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        context, store = processes(), folder / "store.db"
        start(context, labelled, store, asked.seed).join()
        whole = finished(context, store, folder / "whole")
        while kills < wanted:
            out = folder / f"run-{kills}"
            step, wait = rng.randint(1, STEPS - 1), rng.uniform(0, LONGEST_WAIT)
            if not killed(context, store, out, step, wait):
                continue  # its last step had come before the kill: another moment
            kept = sorted(int(c.parent.name[11:]) for c in out.glob("checkpoints/*/complete"))
            same = finished(context, store, out) == whole
            kills, identical = kills + 1, identical + same
            went_on = f"from step {kept[-1]}" if kept else "anew"
            print(
                f"killed {wait:.3f} s after step {step:2} of {STEPS}, went on {went_on}: "
                f"{'the same bits' if same else 'OTHER WEIGHTS'}",
                flush=True,
            )
    print(json.dumps({"kills": kills, "identical": identical}))
    if identical != kills:
        sys.exit(1)


if __name__ == "__main__":
    main()
