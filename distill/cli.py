"""The command line: parse, call, print. Every verb is a function of this package."""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path
from typing import Annotated

import typer

from .commands import (
    calibrate,
    care,
    curate,
    data,
    distill,
    doctor,
    evaluate,
    export,
    review,
    serve,
    standin,
    store,
    students,
    train,
)
from .commands.display import print_table
from .commands.examples import epilog
from .commands.options import (
    JsonOption,
    check_folder,
    fail,
    lacking,
    remark,
    say,
    stoppable,
    tell,
)
from .defaults import EXTRAS
from .manners import speak
from .progress import row_bars, step_bars

STATUSES = (
    "Exit status: 0 done; 1 an error, told in one line on standard error, or a gate that does not "
    "hold; 2 a command that cannot be read; 3 an alarm of watch; 75 the provider's limit of the "
    "day: run it again later; 130 Ctrl-C: what was done is kept."
)
app = typer.Typer(
    help="Distil a LangChain chain into a small local student that stands in for it.",
    epilog=STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        say(f"understudy {importlib.metadata.version('understudy')}")
        raise typer.Exit


@app.callback()
def before(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="no progress, no remarks: results and errors")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="and exit")
    ] = False,
) -> None:
    """Distil a LangChain chain into a small local student that stands in for it."""
    speak(quiet=quiet)


app.command("distill", epilog=epilog("distill"))(distill.distill)
app.command("train", epilog=epilog("train"))(train.train)


for name, command in evaluate.COMMANDS.items():
    app.command(name, epilog=epilog(name))(command)


@app.command(epilog=epilog("demo"))
def demo(
    folder: Annotated[Path, typer.Option(help="where everything goes")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="of the sample data and the training")] = 0,
    as_json: JsonOption = False,
) -> None:
    """The whole loop on the embedded default: no key, no GPU, no download."""
    from .demo import run_demo

    for name in EXTRAS:  # said now, not after minutes of labelling
        if importlib.util.find_spec(name) is None:
            lacking(name, extra="all")
    check_folder(folder)
    with stoppable():
        result = run_demo(folder, seed=seed, say=remark, bars=row_bars, steps=step_bars)
    if not as_json:
        print_table(result.report)
    dividends = (dividend.sentence for dividend in result.report.dividends)
    lines = [result.report.answer, *dividends, f"report {result.page}", result.summary]
    tell(json.loads(result.summary), lines, as_json=as_json)


for module in (
    doctor,
    serve,
    standin,
    calibrate,
    students,
    data,
    export,
    curate,
    review,
    store,
):
    for name, command in module.COMMANDS.items():
        app.command(name, epilog=epilog(name))(command)
store_app = typer.Typer(help="Look into a store, and take care of it.", no_args_is_help=True)
for name, command in {**store.STORE_COMMANDS, **care.COMMANDS}.items():
    store_app.command(name, epilog=epilog(f"store {name}"))(command)
app.add_typer(store_app, name="store")


def main() -> None:
    """Run the command line; an error of ours is one line and exit status 1."""
    if "_UNDERSTUDY_COMPLETE" in os.environ:  # a shell takes every line for an offer
        os.environ["COLUMNS"] = "10000"
    try:
        app()
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name not in EXTRAS:
            raise
        lacking(name, extra=EXTRAS[name])
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        where = error.filename or "the disk"
        fail(f"{where}: {error.strerror or error}; what was stored is kept")
    except Exception as error:
        if not isinstance(error, _own_errors()):
            raise
        fail(str(error))


def _own_errors() -> tuple[type[Exception], ...]:
    from ..chains.student.card import StudentError
    from ..chains.task import TaskError
    from ..store.connection import StoreError
    from .labelling.limits import LabellingError
    from .training.train import TrainingError

    return (TaskError, StoreError, LabellingError, TrainingError, StudentError)


if __name__ == "__main__":
    main()
