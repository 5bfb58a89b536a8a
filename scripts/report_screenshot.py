"""Photograph the first screen of a report: report_screenshot.py demo/report/report.html."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("UNDERSTUDY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
PICTURE = Path(__file__).parents[1] / "docs" / "report.png"


def photograph(page: Path, picture: Path, *, scheme: str = "light") -> None:
    """The page as it opens, 1280 by 900, at one and a half times the density."""
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": 1280, "height": 900},
            device_scale_factor=1.5,
            color_scheme="dark" if scheme == "dark" else "light",
        )
        opened = context.new_page()
        opened.goto(page.resolve().as_uri())
        opened.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    photograph(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else PICTURE)
