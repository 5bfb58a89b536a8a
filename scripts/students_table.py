"""Write the tables of docs/students.md out of the code: `python scripts/students_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from understudy.distill.bases import BASES, GIB, MACHINES, READ, Base, Machine
from understudy.distill.fits import ROWS, TOKENS, fit
from understudy.distill.progress import duration

PAGE = Path(__file__).resolve().parent.parent / "docs" / "students.md"


def page(text: str) -> str:
    """The page with its tables as the code has them now, each between its two comments."""
    for name, lines in {"machines": machines(), "bases": bases(), "sources": sources()}.items():
        found = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
        body = "\n".join(lines)
        text, count = found.subn(lambda match, body=body: f"{match[1]}\n{body}\n\n{match[2]}", text)
        if count != 1:
            raise ValueError(f"docs/students.md has {count} places for {name}; it needs one")
    return text


def machines() -> list[str]:
    """Memory and time of a training, by base and machine."""
    head = [f"| student | {' | '.join(one.name for one in MACHINES)} |", "|---" * 6 + "|"]
    return head + [
        f"| `{base.name}` | {' | '.join(_cell(base, machine) for machine in MACHINES)} |"
        for base in BASES
    ]


def bases() -> list[str]:
    """Licence, gate, parameters, context, languages."""
    head = [
        "| student | parameters | context | licence | gated | languages | Portuguese |",
        "|---|---|---|---|---|---|---|",
    ]
    return head + [
        f"| `{base.name}` | {base.shape.parameters:,} | {base.context:,} | {base.licence} | "
        f"{f'[yes]({base.page})' if base.gated else 'no'} | {base.languages} | {base.portuguese} |"
        for base in BASES
    ]


def sources() -> list[str]:
    """What was read of each base, and what was not found."""
    told = []
    for base in BASES:
        lacks = f" Not checked: {base.unchecked}." if base.unchecked else ""
        told.append(f"- `{base.name}`: {', '.join(f'<{link}>' for link in base.sources)}.{lacks}")
    return [f"Read on {READ}:", "", *told]


def _cell(base: Base, machine: Machine) -> str:
    found = fit(base, machine.hardware, rate=machine.rate)
    if not found.fits:
        return f"no ({found.memory / GIB:.1f} GiB)"
    assert found.seconds is not None  # every machine has a rate
    at_once = "" if found.rows_at_once == 8 else f", {found.rows_at_once} at once"
    mark = "*" if found.recomputed else ""
    return f"{found.memory / GIB:.1f} GiB{mark}, {duration(found.seconds)}{at_once}"


if __name__ == "__main__":
    assert (ROWS, TOKENS) == (1000, 400)  # the page's prose says so
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
