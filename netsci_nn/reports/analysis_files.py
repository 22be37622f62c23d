"""The files of an analysis: a JSON document and a page, each with the settings that reproduce it."""

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from analysis import TopologyReport, as_layered
from analysis.render import page as pages
from analysis.render import report_page
from netsci_nn.intake import Intake, Network

Progress = Callable[[int], None]

NOT_DRAWN = "There are no pictures here: the program was interrupted before they were drawn."
NOT_ALL_DRAWN = "There are no more pictures here: the program was interrupted while they were drawn."


class Settings(NamedTuple):
    """What the user has chosen, apart from the target."""

    seed: int
    nulls: int
    threshold: float | None
    image_shape: tuple[int, int] | None
    sizes: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def shape_for(self, n_in: int) -> tuple[int, int] | None:
        """The image shape, if it has n_in pixels."""
        return self.image_shape if self.image_shape and self.image_shape[0] * self.image_shape[1] == n_in else None

    def to_dict(self) -> dict[str, Any]:
        """The settings and the version of the program, ready for JSON."""
        table = {"version": importlib.metadata.version("netsci-nn"), **self._asdict()}
        return table | {"sizes": dict(self.sizes)} if self.sizes else {key: table[key] for key in table if key != "sizes"}


@dataclass
class Analysis:
    """What is analysed, with the reports so far.

    Attributes:
        target: where the networks come from.
        intake: the networks.
        settings: what was chosen.
        reports: of the first networks, as many as are done.
        is_stopped: whether Ctrl-C came between two reports or after them.
    """

    target: Path
    intake: Intake
    settings: Settings
    reports: list[TopologyReport] = field(default_factory=list)
    is_stopped: bool = False

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C has ended the work."""
        return self.is_stopped or any(report.interrupted for report in self.reports)

    @property
    def missing(self) -> list[str]:
        """Names of the networks without a report."""
        return [network.name for network in self.intake.networks[len(self.reports) :]]

    def described(self) -> list[tuple[Network, TopologyReport]]:
        """The networks that have a report."""
        return list(zip(self.intake.networks, self.reports, strict=False))


def document(analysis: Analysis) -> str:
    """Return the JSON document: of a single network its report, of several a list; beside it how the target was read."""
    source: dict[str, Any] = {"path": str(analysis.target), "notes": analysis.intake.notes}
    settings = {"settings": analysis.settings.to_dict()}
    (first, report), *_ = analysis.described()
    if len(analysis.intake.networks) == 1:
        table = {**report.to_dict(), "source": source | ({"layers": first.name} if first.name else {}), **settings}
    else:
        networks = [{"layers": network.name, **report.to_dict()} for network, report in analysis.described()]
        is_partial = bool(analysis.missing) or any(report.interrupted for report in analysis.reports)
        state = {"interrupted": is_partial, "not_described": analysis.missing}
        table = {"source": source, **settings, **state, "networks": networks}
    return json.dumps(table, indent=2, allow_nan=False) + "\n"


def page(analysis: Analysis, progress: Progress) -> str:
    """Return the page: how the target was read, tables of every network with its pictures, and how it was made.

    Ctrl-C leaves out the pictures that are missing then, which the page says, and marks the analysis as stopped.

    Args:
        analysis: with at least one report.
        progress: called with the number of networks whose pictures are drawn.

    Returns:
        A complete HTML document.
    """
    sections = _preface(analysis)
    for number, (network, report) in enumerate(analysis.described()):
        title = f": {network.name}" if network.name else ""
        sections.append(pages.Section(f"Measures{title}", report_page.report_blocks(report)))
        progress(number)
        sections.append(pages.Section(f"Pictures{title}", _pictures(analysis, network, report)))
    rows = [[name.replace("_", " "), "-" if value is None else str(value)] for name, value in _settings(analysis).items()]
    sections.append(pages.Section("How it was made", [pages.Table(("setting", "value"), rows, texts=(0, 1))]))
    return pages.page(f"Topology of {analysis.target}", sections)


def _preface(analysis: Analysis) -> list[pages.Section]:
    sentences = list(analysis.intake.notes)
    if analysis.missing:
        sentences.append(f"The program was interrupted before it came to these networks: {'; '.join(analysis.missing)}.")
    return [pages.Section("How it was read", [pages.Paragraph(text) for text in sentences])] if sentences else []


def _pictures(analysis: Analysis, network: Network, report: TopologyReport) -> list[pages.Block]:
    """The pictures of a network, as far as they are drawn when Ctrl-C comes."""
    drawn: list[pages.Block] = []
    if analysis.is_interrupted:
        return [pages.Paragraph(NOT_DRAWN)]
    try:
        graph, settings = as_layered(network.graph), analysis.settings
        shape = settings.shape_for(graph.layers[0].n_in)
        for block in report_page.network_blocks(graph, report, rng=settings.seed, control=network.control, image_shape=shape):
            if isinstance(block, pages.Picture):
                _ = block.source  # is made here, so that the page has nothing left to draw
            drawn.append(block)
    except KeyboardInterrupt:
        analysis.is_stopped = True
        drawn.append(pages.Paragraph(NOT_ALL_DRAWN if drawn else NOT_DRAWN))
    return drawn


def _settings(analysis: Analysis) -> dict[str, Any]:
    settings = analysis.settings
    table = {"target": str(analysis.target), **settings.to_dict()}
    shape = settings.image_shape
    table["image_shape"] = None if shape is None else f"{shape[0]}x{shape[1]}"
    if settings.sizes:
        table["sizes"] = ", ".join(f"{name}={n_in}x{n_out}" for name, (n_in, n_out) in settings.sizes.items())
    return table
