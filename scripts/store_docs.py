"""Write docs/store.md out of the code: `python scripts/store_docs.py`."""

from pathlib import Path

from understudy.store.documentation import schema_page

if __name__ == "__main__":
    page = Path(__file__).resolve().parent.parent / "docs" / "store.md"
    page.write_text(schema_page(), encoding="utf-8")
