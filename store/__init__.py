"""What is remembered: one SQLite file of examples, runs, records. Knows no LangChain, no torch."""

from .connection import StoreError
from .rows import Example, Record, Run, Score, example_id, fingerprint, run_id
from .store import Store

__all__ = [
    "Example",
    "Record",
    "Run",
    "Score",
    "Store",
    "StoreError",
    "example_id",
    "fingerprint",
    "run_id",
]
