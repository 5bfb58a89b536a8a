"""Five LangChain apps in the styles of public code; each takes any chat model, also a student.

`swapped` is what is made of the chain that asks, such as `distill.swap`; without it the chain is as
it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from langchain_core.runnables import Runnable

Swapped: TypeAlias = Callable[[Runnable[Any, Any]], Runnable[Any, Any]]


def as_it_was(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain itself."""
    return chain
