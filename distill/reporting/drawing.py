"""A chart by matplotlib as an SVG that takes its colours and its type from the page around it.

matplotlib writes fixed colours, inline styles and ids of its own. Here colours become the page's
variables (so that light, dark and print are one drawing), styles become attributes (so that the
page can forbid inline styles) and ids get the chart's name in front (so that charts share a page).
"""

from __future__ import annotations

import functools
import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What is drawn in these colours takes the page's; the second is for a picture that stands alone.
INK, MUTED, GRID, PAPER = "#000001", "#000002", "#000003", "#000004"
TEACHER, STUDENT, BASE, BASELINE = "#000005", "#000006", "#000007", "#000008"
WARN, SHADE = "#000009", "#00000a"
_VARIABLES = {
    INK: ("ink", "#1c2128"),
    MUTED: ("muted", "#59616c"),
    GRID: ("grid", "#e3e1db"),
    PAPER: ("raised", "#ffffff"),
    TEACHER: ("teacher", "#7b3fa0"),
    STUDENT: ("student", "#0a6c63"),
    BASE: ("base", "#96500a"),
    BASELINE: ("baseline", "#56606d"),
    WARN: ("warn", "#a3281f"),
    SHADE: ("shade", "#d8ece9"),
}
ROLE_COLOURS = {"teacher": TEACHER, "student": STUDENT, "base": BASE, "baseline": BASELINE}
ROLE_MARKERS = {"teacher": "s", "student": "o", "base": "^", "baseline": "D"}
# Lines of several systems in one chart differ by dash and by marker; colour only helps.
LINES = (
    (STUDENT, "-", "o"),
    (TEACHER, (0, (6, 2)), "s"),
    (BASE, (0, (2, 2)), "^"),
    (BASELINE, (0, (6, 2, 1, 2)), "D"),
    (INK, (0, (1, 1)), "v"),
    (WARN, (0, (8, 2, 2, 2, 2, 2)), "P"),
)
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "understudy",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "lines.linewidth": 1.75,
    "lines.markersize": 6.5,
    "legend.frameon": False,
    "legend.fontsize": 11.5,
    "path.simplify": False,
}
_SPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_DECIMALS = re.compile(r"(\d+\.\d)\d+")
_STANDING = (
    "svg.chart{color-scheme:light dark;background:#fff}"
    "@media(prefers-color-scheme:dark){svg.chart{background:#14171b;--ink:#e7e9ec;--muted:#a5adb8;"
    "--grid:#2a3038;--raised:#1b1f25;--teacher:#d0a6ee;--student:#55cfc0;--base:#eda765;"
    "--baseline:#b0b8c3;--warn:#ff9d92;--shade:#1d3b39}}"
)


P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draws with the settings above: matplotlib reads most of them when a mark is made."""

    @functools.wraps(draw)
    def within(*args: P.args, **kwargs: P.kwargs) -> T:
        from matplotlib import rc_context

        with rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return within


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Space around the plot, in pixels."""

    left: float = 48
    right: float = 14
    top: float = 12
    bottom: float = 44


def canvas(width: int, height: int, margins: Margins | None = None) -> tuple[Figure, Axes]:
    """An empty figure of so many pixels, and its axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)  # a pixel is a unit of the SVG
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    return figure, panel(figure, margins or Margins())


def panel(figure: Figure, m: Margins) -> Axes:
    """Axes with so much space around them."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    box = (m.left, m.bottom, width - m.left - m.right, height - m.top - m.bottom)
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    axes.patch.set_visible(False)
    axes.grid(color=GRID, linewidth=1)
    axes.tick_params(length=0, pad=6)
    return axes


def legend(axes: Axes) -> None:
    """A legend above the plot, where it hides nothing; it takes 22 pixels for every two lines."""
    axes.legend(
        handlelength=3.2,
        labelcolor=INK,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=2,
        borderaxespad=0.2,
    )


def svg(figure: Figure, name: str, *, title: str, words: str, alone: bool = False) -> str:
    """The figure as SVG: `title` names it, `words` say what it shows to who does not see it.

    `name` goes in front of every id. `alone` adds the colours that a page would give.
    """
    written = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has them
        figure.savefig(written, format="svg")
    root = ElementTree.fromstring(written.getvalue())
    _strip(root)
    _rename(root, name)
    width, height = (root.get("viewBox") or "").split()[2:]
    for key in ("version", "width", "height"):
        root.attrib.pop(key, None)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": "chart",
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
        "width": f"{float(width):.0f}",
        "height": f"{float(height):.0f}",
        "font-family": "system-ui, sans-serif",
        "stroke-linejoin": "round",
    }
    for place, (tag, text) in enumerate((("title", title), ("desc", words))):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag}"})
        element.text = printed(text, 4000)
        root.insert(place, element)
    if alone:
        style = ElementTree.Element("style")
        style.text = _STANDING
        root.insert(2, style)
    return ElementTree.tostring(root, encoding="unicode")


def printed(text: str, longest: int = 26) -> str:
    """Text of others as a chart may have it: one line, not too long, nothing that XML forbids."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _strip(root: ElementTree.Element) -> None:
    """Namespaces, metadata, matplotlib's own style sheet, and what inline styles say."""
    inner = [(parent, child) for parent in root.iter() for child in parent]
    for parent, child in inner:
        if child.tag.rpartition("}")[2] in ("metadata", "style"):
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SPACE)
        element.text = element.text if element.tag == "text" else None
        element.tail = None
        if _LINK in element.attrib:
            element.set("href", element.attrib.pop(_LINK))
        for key, value in _styles(element.attrib.pop("style", "")):
            element.set(key, value)
        if "d" in element.attrib:
            element.set("d", _DECIMALS.sub(r"\1", " ".join(element.attrib["d"].split())))
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]


def _styles(style: str) -> Iterator[tuple[str, str]]:
    for rule in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (piece.strip() for piece in rule.partition(":"))
        if key == "font":  # size and family in one
            yield "font-size", value.split()[0]
        elif key != "font-family":
            variable = _VARIABLES.get(value)
            yield key, f"var(--{variable[0]}, {variable[1]})" if variable else value


def _rename(root: ElementTree.Element, name: str) -> None:
    """Ids that something refers to get the chart's name in front; the others go."""
    used: dict[str, str] = {}
    for element in root.iter():
        for key, value in element.attrib.items():
            found = re.fullmatch(r"#(.+)|url\(#(.+)\)", value) if key != "id" else None
            if found:
                old = found[1] or found[2]
                new = used.setdefault(old, f"{name}-{len(used) + 1}")
                element.set(key, value.replace(old, new))
    for element in root.iter():
        old = element.attrib.pop("id", "")
        if old in used:
            element.set("id", used[old])
