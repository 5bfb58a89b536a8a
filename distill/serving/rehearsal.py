"""The process that compiles schemas before the server does: lines of JSON in, lines of JSON out.

The first line holds the tokenizers and a limit of memory; each further one a student's name and a
schema, and is answered by {"refused": why not, or null}. Whoever started it kills it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

_FRESH = 256  # schemas after which the compiler, which remembers them, is made anew


def main() -> None:
    """Read lines until there are none."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do not answer
    setup = json.loads(sys.stdin.readline())
    compilers = {name: _compiler(facts) for name, facts in setup["tokenizers"].items()}
    _limit_memory(setup["memory"])
    _answer(out, {"ready": True})
    for count, line in enumerate(sys.stdin, start=1):
        asked = json.loads(line)
        if count % _FRESH == 0:
            facts = setup["tokenizers"]
            compilers = {name: _compiler(one) for name, one in facts.items()}
        reason = _reason(compilers[asked["student"]], json.loads(asked["schema"]))
        _answer(out, {"refused": reason})


def _answer(out: Any, data: dict[str, Any]) -> None:
    out.write(json.dumps(data) + "\n")
    out.flush()


def _reason(compiler: Any, schema: Any) -> str | None:
    """Why the schema cannot be enforced; None where it can."""
    from ...chains.student.card import StudentError

    try:
        compiler.compile(schema)
    except StudentError as error:
        return str(error)[:500]
    except Exception as error:  # noqa: BLE001 - a schema from outside, malformed in any way
        return f"it cannot be read ({type(error).__name__})"
    return None


def _compiler(facts: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from ...chains.student.grammar import Compiler

    backend = Tokenizer.from_str(facts["json"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)  # type: ignore[no-untyped-call]
    return Compiler(tokenizer, vocabulary=len(tokenizer), end_tokens=[facts["end"]])


def _limit_memory(more: int) -> None:
    """At most `more` bytes beside what is taken now, where the system can be told so."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
