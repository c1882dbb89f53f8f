"""Two more things that a section may hold: a graph in layers, and a table that sorts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ulterior.report.interval import Interval

Cell = str | float | int | Interval | None
"""What stands in a table: text, a number, a number with its interval, or nothing."""


@dataclass(frozen=True)
class GraphNode:
    """A box of a layered graph.

    Attributes:
        name: What edges call it.
        label: What is written in it.
        row: Its layer, from 0 at the bottom.
        order: Its place among the boxes of its row, where there are no edges to place it by.
        weight: How much it counts by itself, with a sign; None where its edges say so.
        off: Whether it is shown for orientation alone.
        note: What is said when the pointer rests on it.
    """

    name: str
    label: str
    row: int
    order: int = 0
    weight: float | None = None
    off: bool = False
    note: str = ""


@dataclass(frozen=True)
class GraphEdge:
    """A line of a layered graph, upwards from one box to another.

    Attributes:
        source: Name of the lower box.
        destination: Name of the upper one.
        weight: Its width, with a sign for its colour.
        port: Where it enters: a letter such as ``q``, or nothing.
        note: What is said when the pointer rests on it.
    """

    source: str
    destination: str
    weight: float
    port: str = ""
    note: str = ""


@dataclass(frozen=True)
class LayeredGraph:
    """Boxes in rows and lines between them.

    Attributes:
        title: Over the graph.
        nodes: The boxes.
        edges: The lines; the strongest are drawn last, over the others.
        row_labels: What stands at the left of a row.
        about: A sentence under the title, such as how much is not shown.
    """

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...] = ()
    row_labels: dict[int, str] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        label: Its heading.
        kind: Whether it holds ``text``, sorted by letters, or numbers: ``number``, ``ratio`` (two or three decimals),
            ``rate`` (in percent), ``p``.
        about: What is said when the pointer rests on the heading.
    """

    label: str
    kind: Literal["text", "number", "ratio", "rate", "p"] = "number"
    about: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of figures that sort and filter in the page.

    Raises:
        ValueError: a row that is not as long as the columns are many.
    """

    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        wrong = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if wrong is not None:
            raise ValueError(f"table {self.title!r}: {len(self.columns)} columns, a row of {len(wrong)}")
