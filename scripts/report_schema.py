"""Write docs/report.schema.json, what report.json looks like, from the classes themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from understudy.distill.evaluation.results import Report

SCHEMA = Path(__file__).parents[1] / "docs" / "report.schema.json"


def schema() -> str:
    """The JSON schema of a Report, as the file has it."""
    found = Report.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
    sys.stdout.write(f"{SCHEMA.name} is written\n")
