"""Pages: text, tables and pictures in a single HTML file that needs nothing from outside."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import ClassVar

import jinja2
from matplotlib.figure import Figure

from analysis.base.errors import AnalysisError

RESOLUTION = 144
"""Dots per inch of embedded pictures."""

LONG_CELL = 28
"""A cell with a line of more characters may be broken into further lines: no number is that long, a reason is."""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; markup in the text is shown, not obeyed."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Notice:
    """A paragraph that must not be overlooked, in a frame."""

    kind: ClassVar[str] = "notice"
    text: str


@dataclass(frozen=True)
class Definitions:
    """Terms and what they mean, below a line that folds and unfolds them.

    Attributes:
        summary: the line.
        entries: (term, explanation), plain text.
        is_open: whether they are unfolded from the start; on paper they always are.
    """

    kind: ClassVar[str] = "definitions"
    summary: str
    entries: Sequence[tuple[str, str]]
    is_open: bool = False


@dataclass(frozen=True)
class Table:
    """A table; columns of text are aligned left and may break into lines, all others hold numbers: right, on one line.

    Attributes:
        header: column titles.
        rows: cells; each row as long as the header. A line break in a cell is one on the page.
        caption: what the table shows, or nothing.
        texts: numbers of the columns that hold text, from 0. A cell with more than `LONG_CELL` characters in a line is
            treated as text wherever it stands.

    Raises:
        AnalysisError: a row of another length than the header.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    texts: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise AnalysisError(f"rows[{index}] has {len(row)} cells; the header has {len(self.header)}")

    def style(self, column: int, cell: str) -> str:
        """The classes of a cell: perhaps "text" and perhaps "long", separated by a space."""
        is_long = any(len(line) > LONG_CELL for line in cell.split("\n"))
        return " ".join(name for name, holds in (("text", column in self.texts), ("long", is_long)) if holds)


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, embedded as a PNG.

    Attributes:
        figure: the figure.
        caption: text below it.
        alt: what it shows, for those who cannot see it; the caption if empty.
        resolution: dots per inch.
    """

    kind: ClassVar[str] = "picture"
    figure: Figure
    caption: str
    alt: str = ""
    resolution: int = RESOLUTION

    @cached_property
    def source(self) -> str:
        """The picture as a data URI."""
        buffer = io.BytesIO()
        # Without the program's name the bytes do not depend on the version of matplotlib's banner.
        self.figure.savefig(buffer, format="png", dpi=self.resolution, metadata={"Software": None})
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


Block = Heading | Paragraph | Notice | Definitions | Table | Picture


@dataclass(frozen=True)
class Section:
    """A titled part of the page.

    Attributes:
        title: plain text.
        blocks: what it holds, in order.
    """

    title: str
    blocks: Sequence[Block]


def page(title: str, sections: Sequence[Section]) -> str:
    """A complete HTML document without any external resource; all text is escaped.

    Args:
        title: title of the page, plain text.
        sections: its parts, in order; a list of contents leads to them if there are several.

    >>> "<h1" in page("Two words", [Section("First", [Paragraph("A sentence.")])])
    True
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(title=title, sections=sections)
