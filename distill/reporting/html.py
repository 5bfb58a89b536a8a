"""A Report as one HTML file that loads nothing and allows no script and no style but its own."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..evaluation.results import Report
from .bounded import LADDER, Bounds, bounded
from .browser import browser, island
from .parts import ROLES
from .sections import closing, hero, sections

if TYPE_CHECKING:
    from jinja2 import Environment

LARGEST = 3_000_000  # bytes of a page
QUESTION = "Can I swap?"


def render_html(result: Report) -> str:
    """One HTML document under LARGEST bytes; all text of the report is escaped."""
    page = ""
    for bounds in LADDER:
        page = _render(result, bounds)
        if len(page.encode("utf-8", "replace")) < LARGEST:
            break
    return page


def _render(result: Report, bounds: Bounds) -> str:
    cut, was_cut = bounded(result, bounds)
    environment = _environment()
    script = _file(environment, "report.js")
    style = _file(environment, "report.css")
    rows = browser(result, bounds)
    return environment.get_template("report.html.jinja").render(
        report=cut,
        question=QUESTION,
        created=date(cut.created),
        hero=hero(cut),
        sections=sections(cut),
        closing=closing(cut),
        rows=rows,
        island=_markup(island(rows.data)),
        was_cut=was_cut,
        script=_markup(script),
        style=_markup(style),
        policy=_policy(script, style),
    )


def date(created: str) -> str:
    """An ISO time as "2026-03-01 12:30 UTC"; anything else as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _policy(script: str, style: str) -> str:
    """Nothing is loaded, nothing is sent; one script and one style sheet, by their hashes."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _file(environment: Environment, name: str) -> str:
    """A file beside the templates, as it is: nothing in it is a placeholder."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("understudy.distill"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["role_class"] = lambda role: (
        f"role-{role}" if role in ROLES else "role-other"
    )
    environment.filters["shade"] = lambda share: f"s{round(10 * min(1.0, max(0.0, share)))}"
    environment.filters["kind"] = lambda part: type(part).__name__
    environment.filters["svg"] = _markup
    environment.filters["plural"] = lambda n, word: f"{n:,} {word}{'s' if n != 1 else ''}"
    return environment
