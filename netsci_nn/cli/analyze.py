"""`netsci-nn analyze`: the measures of any network as a graph, beside its null models, and what follows from them."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsci_nn.cli.intake import Intake, Network, take_in
from netsci_nn.cli.output import INTERRUPTED, STDERR, STDOUT, check_writable
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.io import write_text
from netsci_nn.training import progress_display
from netsci_nn.training.config import load_experiment

if TYPE_CHECKING:
    from analysis import TopologyReport
    from analysis.html import Section


def analyze(
    target: Annotated[
        Path,
        typer.Argument(
            help="Run directory; topology (.safetensors, .npz, .graphml, .csv); scipy biadjacency (.npz); edge list (.csv, "
            ".tsv, .txt, .edges); or state dict of any torch model (.pt, .pth, .safetensors)."
        ),
    ],
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model.", min=0)] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the random graphs.", min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Of a state dict, take the weights with |w| > THRESHOLD as edges; by default those not 0."),
    ] = None,
) -> None:
    """Measure a graph beside random graphs of equal size and of equal degrees; a run also beside its start.

    Ctrl-C while random graphs are drawn ends with the report so far, marked as such.
    """
    check_writable(json, html)
    intake = take_in(target, threshold)
    for note in intake.notes:
        STDOUT.print(note, highlight=False, soft_wrap=True)
    reports = _describe(intake, nulls, seed)
    if json is not None:
        write_text(json, json_format.dumps(_document(target, intake, reports), indent=2, allow_nan=False) + "\n")
    if html is not None:
        from analysis import html as pages

        write_text(html, pages.page(f"Topology of {target}", _page_sections(target, intake, reports, seed)))
    if any(report.interrupted for report in reports):
        raise typer.Exit(INTERRUPTED)


def _describe(intake: Intake, nulls: int, seed: int) -> list["TopologyReport"]:
    """Describe and print one network after the other; an interruption ends with the one that it met."""
    reports: list[TopologyReport] = []
    for network in intake.networks:
        reports.append(_report(network, nulls, seed))
        if network.name:
            STDOUT.print(f"\n{network.name}", style="bold", markup=False, highlight=False, soft_wrap=True)
        STDOUT.print(reports[-1].to_table())
        STDOUT.print(reports[-1].to_verdict_table())
        if reports[-1].interrupted:
            break
    return reports


def _report(network: Network, nulls: int, seed: int) -> "TopologyReport":
    import analysis

    with progress_display(STDERR) as display:
        task = display.add_task("random graphs", total=2 * nulls)
        return analysis.describe(
            network.graph,
            nulls=nulls,
            control=network.control,
            rng=seed,
            progress=lambda done, total: display.update(task, completed=done, total=total),
        )


def _document(target: Path, intake: Intake, reports: list["TopologyReport"]) -> dict[str, Any]:
    """What the JSON file holds: of a single network its report, of several a list; beside it how the target was read."""
    source = {"path": str(target), "notes": intake.notes}
    named = list(zip(intake.networks, reports, strict=False))
    if len(intake.networks) == 1:
        return {**reports[0].to_dict(), "source": source | ({"layers": named[0][0].name} if named[0][0].name else {})}
    return {"source": source, "networks": [{"layers": network.name, **report.to_dict()} for network, report in named]}


def _page_sections(target: Path, intake: Intake, reports: list["TopologyReport"], seed: int) -> list["Section"]:
    """Tables of every network and, unless it was interrupted, pictures."""
    from analysis import html as pages
    from analysis.network_blocks import network_blocks

    image_shape = _image_shape(target)
    sections: list[Section] = []
    if intake.notes:
        sections.append(pages.Section("How it was read", [pages.Paragraph(note) for note in intake.notes]))
    for network, report in zip(intake.networks, reports, strict=False):
        title = f": {network.name}" if network.name else ""
        sections.append(pages.Section(f"Measures{title}", pages.report_blocks(report)))
        if not report.interrupted:
            blocks = network_blocks(network.graph, report, rng=seed, control=network.control, image_shape=image_shape)
            sections.append(pages.Section(f"Pictures{title}", blocks))
    return sections


def _image_shape(target: Path) -> tuple[int, int] | None:
    """Rows and columns of the inputs of a run on images, where its dataset can be found; otherwise None."""
    try:
        return load_dataset(load_experiment(target / "config.toml").dataset).image_shape
    except (ConfigError, DataError):
        return None
