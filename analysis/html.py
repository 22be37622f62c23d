"""One self-contained page: text, tables and pictures in a single HTML file that needs nothing from outside."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import ClassVar

import jinja2
from matplotlib.figure import Figure

from .errors import AnalysisError
from .report import TopologyReport, section_title
from .tables import conclusion, section_tables

RESOLUTION = 144
"""Dots an inch of embedded pictures."""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section.

    Attributes:
        text: plain text.
    """

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph.

    Attributes:
        text: plain text; markup in it is shown, not obeyed.
    """

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Table:
    """A table; the first column is aligned left, the others right.

    Attributes:
        header: column titles.
        rows: cells; each row as long as the header.
        caption: what the table shows, or nothing.

    Raises:
        AnalysisError: a row of another length than the header.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise AnalysisError(f"rows[{index}] has {len(row)} cells; the header has {len(self.header)}")


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, embedded as a PNG.

    Attributes:
        figure: the figure.
        caption: text below it.
        alt: what it shows, for those who cannot see it; the caption where empty.
        resolution: dots an inch.
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


Block = Heading | Paragraph | Table | Picture


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
    """Render a page.

    Args:
        title: title of the page, plain text.
        sections: its parts, in order; a list of contents leads to them where there are several.

    Returns:
        A complete HTML document without any external resource; all text is escaped.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(title=title, sections=sections)


def report_blocks(report: TopologyReport) -> list[Block]:
    """A report as blocks for a page: for every layer and for the network a heading, the verdicts with their rules, a table.

    Args:
        report: the report.

    Returns:
        The blocks.
    """
    blocks: list[Block] = []
    for section in report.sections:
        verdicts = [[name, conclusion(verdict), verdict.rule] for name, verdict in section.verdicts.items()]
        blocks += [
            Heading(section_title(section)),
            Table(("verdict", "conclusion", "rule"), verdicts),
            *(Table(header, rows) for header, rows in section_tables(report, section)),
        ]
    return blocks
