"""One look for every plot.

Colours are roles with fixed meanings. A figure is drawn once, in the light palette; `svg` turns each role's
colour into a CSS variable, so that one picture serves a light and a dark page, and `save_png` writes the same
picture for a paper. Hues follow Okabe and Ito, "Color Universal Design" (2008), whose palette the
colour-blind can tell apart; the dark variants keep the hue and raise the lightness.
"""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ulterior.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#fdfdfb",
        "ink": "#1d1c1a",  # text, axes, and the ceiling
        "muted": "#67645d",
        "rule": "#dedbd3",
        "accent": "#5f3b9e",
        # groups of examples; the grey is darker than the green, or deuteranopes could not tell them apart
        "trusted": "#5e5b55",
        "benign": "#0072b2",
        "real": "#009e73",
        "anomalous": "#d55e00",
        "untrusted": "#8b63c9",
        # curves of detectors, the best one first in the accent
        "second": "#b37a00",
        "third": "#2b9a9a",
        "fourth": "#c4487f",
        "fifth": "#6d8b2f",
        "baseline": "#6a675f",
        "control": "#a5a198",
    }
)
DARK: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#171715",
        "ink": "#ebe9e3",
        "muted": "#a5a198",
        "rule": "#3b3934",
        "accent": "#bda2f2",
        "trusted": "#847f77",
        "benign": "#56b4e9",
        "real": "#2fc79b",
        "anomalous": "#ff8a4c",
        "untrusted": "#a98be0",
        "second": "#e3ad3c",
        "third": "#5cc8c8",
        "fourth": "#f287b4",
        "fifth": "#a6c95e",
        "baseline": "#b0aca2",
        "control": "#79766e",
    }
)
DETECTORS = ("accent", "second", "third", "fourth", "fifth")
"""Roles of the curves of ordinary detectors, in order of rank; a sixth starts again."""

WIDTH = 3.6
"""Inches of one figure: 346 CSS pixels, a phone's column, so that nothing is scaled down there."""

_ROLE_OF = {colour: role for role, colour in LIGHT.items()}
_FONT = 8.5
_LOOK: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ulterior",
    "text.parse_math": False,  # a detector may be called a$b$
    "axes.formatter.use_mathtext": False,
    "font.family": ["DejaVu Sans"],
    "font.size": _FONT,
    "text.color": LIGHT["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": "none",
    "figure.constrained_layout.w_pad": 0.02,
    "figure.constrained_layout.h_pad": 0.02,
}


@contextmanager
def look() -> Iterator[None]:
    """The look, for as long as a figure is drawn or written; the user's own settings return afterwards.

    Characters that the measuring font lacks are no fault: the page shows them in the reader's font.
    """
    import matplotlib as mpl

    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    with mpl.rc_context(_LOOK), warnings.catch_warnings():  # pyright: ignore[reportArgumentType]
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        fonts.setLevel(logging.ERROR)
        try:
            yield
        finally:
            fonts.setLevel(level)


@contextmanager
def figure(height: float, width: float = WIDTH) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes (sizes in inches), to be drawn on inside the ``with``; needs no display.

    >>> with figure(height=2.4) as (fig, axes):
    ...     line = axes.plot([0, 1], [0, 1], color=LIGHT["accent"])
    >>> svg(fig).startswith("<svg")
    True
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with look():
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        yield fig, fig.add_subplot()
        fig.draw_without_rendering()
        fig.set_layout_engine("none")  # laid out once, so that writing a figure twice gives the same file


def svg(fig: Figure, name: str = "plot", label: str = "") -> str:
    """A figure as an ``<svg>`` element for a page: text stays text, colours are CSS variables.

    ``name`` prefixes every id, and must differ among the figures of one page. Equal figures, equal strings.
    ``label`` is what a screen reader says.
    """
    buffer = io.StringIO()
    with look():
        fig.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda m: _variable(m.group()), text)
    text = re.sub(r"font-family: [^;\"]*;?|font: ([\d.]+px) [^;\"]*", _inherit_font, text)
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", text)
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    width, height = _view_box(text)
    head = (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(visible(label))}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"\n\s*", "\n", head + text[text.index(">") + 1 :]).strip()


def save_png(fig: Figure, path: str | os.PathLike[str], dpi: int = 300) -> None:
    """Write a figure for a paper: the light palette on white."""
    with look():
        fig.savefig(Path(path), format="png", dpi=dpi, facecolor="white", metadata={"Software": None})


def css_variables(palette: Mapping[str, str]) -> str:
    """A palette as CSS declarations: ``--ink: #1d1c1a; ...``."""
    return " ".join(f"--{role}: {colour};" for role, colour in palette.items())


def _variable(colour: str) -> str:
    return f"var(--{_ROLE_OF[colour]})" if colour in _ROLE_OF else colour


def _inherit_font(match: re.Match[str]) -> str:
    return f"font-size: {match.group(1)}" if match.group(1) else ""


def _view_box(text: str) -> tuple[str, str]:
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    if found is None:  # matplotlib always writes one
        raise ValueError("no viewBox in the SVG")
    return found.group(1), found.group(2)
