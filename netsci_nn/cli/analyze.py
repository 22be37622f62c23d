"""`netsci-nn analyze`: the measures of any network as a graph, beside its null models, and what follows from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsci_nn.cli.destinations import check_writable, report_unwritten
from netsci_nn.cli.options import check_nulls, naming_options, parse_image_shape, parse_sizes
from netsci_nn.cli.output import STDERR, STDOUT, print_line
from netsci_nn.data import image_shape_of
from netsci_nn.errors import ConfigError
from netsci_nn.experiment import RunDirectory, load_experiment
from netsci_nn.files import write_text
from netsci_nn.intake import Network, take_in
from netsci_nn.interruption import Interrupted, is_requested
from netsci_nn.training import progress_display

if TYPE_CHECKING:
    from analysis import TopologyReport
    from netsci_nn.reports.analysis_files import Analysis, Settings


def analyze(
    target: Annotated[
        Path,
        typer.Argument(
            help="Run directory; topology (.safetensors, .npz, .graphml, .csv); scipy biadjacency (.npz); edge list (.csv, "
            ".tsv, .txt, .edges); or state dict of any torch model (.pt, .pth, .ckpt, .bin, .safetensors, .index.json with "
            "shards, or the folder of a Hugging Face model)."
        ),
    ],
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the random graphs.", min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Of a state dict, take the weights with |w| > THRESHOLD as edges; by default those not 0."),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=INxOUT",
            help="Of a state dict, the numbers of sources and targets of a sparse layer that does not state them; repeatable.",
        ),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="The inputs are the pixels of an image, row after row: measure and draw where the first layer looks. "
            "Known of runs on digits and MNIST.",
        ),
    ] = None,
) -> None:
    """Measure a graph beside random graphs of equal size and of equal degrees; a run also beside its start.

    Ctrl-C ends with the report so far, marked as such.
    """
    from netsci_nn.reports.analysis_files import Analysis, Settings

    check_nulls(nulls, 0)
    shape, stated = parse_image_shape(image_shape), parse_sizes(sizes or [])
    check_writable(json, html, reads=target)
    with naming_options({"threshold is": "--threshold is", "sizes are": "--sizes are"}):
        intake = take_in(target, threshold, stated)
    shape = _checked_shape(shape, intake.networks) if shape is not None else _shape_of_run(target)
    analysis = Analysis(target, intake, Settings(seed, nulls, threshold, shape, stated))
    for note in intake.notes:
        print_line(note)
    try:
        with report_unwritten(json, html):
            _describe(analysis)
    except (SystemExit, OSError):  # the tables cannot be printed any more; what they were to show is there
        _write(analysis, json, html)
        raise
    _write(analysis, json, html)
    if analysis.is_interrupted:
        files = [str(path) for path in (json, html) if path is not None]
        raise Interrupted(f"the report so far is {'in ' + ' and '.join(files) if files else 'above'}")


def _describe(analysis: "Analysis") -> None:
    """Describe and print one network after the other; an interruption ends with the last one of which there is something."""
    try:
        for network in analysis.intake.networks:
            analysis.reports.append(_report(network, analysis.settings))
            _print(network.name, analysis.reports[-1])
            if analysis.is_interrupted or is_requested():  # also when the report was complete a moment before
                analysis.is_stopped = True
                return
    except KeyboardInterrupt:
        if not analysis.reports:
            raise
        analysis.is_stopped = True


def _report(network: Network, settings: "Settings") -> "TopologyReport":
    from analysis import as_layered, describe

    graph = as_layered(network.graph)
    with progress_display(STDERR) as display:
        task = display.add_task("random graphs", total=2 * settings.nulls)
        return describe(
            graph,
            nulls=settings.nulls,
            control=network.control,
            rng=settings.seed,
            image_shape=settings.shape_for(graph.layers[0].n_in),
            progress=lambda done, total: display.update(task, completed=done, total=total),
        )


def _print(name: str, report: "TopologyReport") -> None:
    if name:
        STDOUT.print(f"\n{name}", style="bold", markup=False, highlight=False, soft_wrap=True)
    STDOUT.print(report.to_table())
    STDOUT.print(report.to_verdict_table())


def _write(analysis: "Analysis", json: Path | None, html: Path | None) -> None:
    """Write what there is, the page last, whose pictures take their time."""
    from netsci_nn.reports.analysis_files import document, page

    with report_unwritten(json, html):
        if json is not None:
            write_text(json, document(analysis))
    with report_unwritten(html):
        if html is not None:
            with progress_display(STDERR) as display:
                n_networks = len(analysis.reports)
                task = display.add_task("drawing pictures", total=n_networks if n_networks > 1 else None)
                text = page(analysis, lambda done: display.update(task, completed=done))
            write_text(html, text)


def _checked_shape(shape: tuple[int, int], networks: list[Network]) -> tuple[int, int]:
    """The shape that was asked for, if it fits a network."""
    from analysis import as_layered

    sizes = [as_layered(network.graph).layers[0].n_in for network in networks]
    if shape[0] * shape[1] not in sizes:
        found = " or ".join(str(size) for size in dict.fromkeys(sizes))
        raise ConfigError(
            f"--image-shape is {shape[0]}x{shape[1]}, {shape[0] * shape[1]} pixels; the first layer has {found} inputs"
        )
    return shape


def _shape_of_run(target: Path) -> tuple[int, int] | None:
    """Rows and columns of the inputs of a run on images; otherwise None."""
    if not target.is_dir():
        return None
    try:
        return image_shape_of(load_experiment(RunDirectory(target).config).dataset)
    except ConfigError:
        return None
