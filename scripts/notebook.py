"""Write notebooks/*.ipynb out of the Markdown beside them: `python scripts/notebook.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CODE = re.compile(r"^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


def notebook(text: str) -> str:
    """The notebook as JSON: every python block a code cell, what stands between them its prose.

    The same text gives the same bytes; there are no outputs and no execution counts.
    """
    cells = []
    for place, part in enumerate(CODE.split(text)):  # prose and code by turns
        source = part.strip("\n")
        if source:
            kind = "code" if place % 2 else "markdown"
            cells.append(_cell(kind, f"cell-{len(cells):02}", source))
    return json.dumps(_whole(cells), ensure_ascii=False, indent=1) + "\n"


def _cell(kind: str, identifier: str, source: str) -> dict[str, Any]:
    lines = {"id": identifier, "metadata": {}, "source": source.splitlines(keepends=True)}
    ran = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, **ran, **lines}


def _whole(cells: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {
        "accelerator": "GPU",
        "colab": {"gpuType": "T4", "provenance": []},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Rewrite every notebook."""
    for source in sorted(FOLDER.glob("*.md")):
        text = notebook(source.read_text(encoding="utf-8"))
        source.with_suffix(".ipynb").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
