"""Silence for the libraries below: what they print is not for the person who runs a student."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no warnings of transformers and bitsandbytes while it lasts."""
    import transformers

    logs: Any = transformers.logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    kernels = logging.getLogger("bitsandbytes")
    kernel_level = kernels.level
    logs.set_verbosity_error()
    kernels.setLevel(logging.ERROR)  # it tells of kernels that it looks for and does not need
    logs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logs.set_verbosity(verbosity)
        kernels.setLevel(kernel_level)
        if bars:
            logs.enable_progress_bar()
