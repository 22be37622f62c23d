"""`netsci-nn analyze`: the measures of a topology or of a trained run, beside their null models."""

from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.output import STDOUT, check_writable
from netsci_nn.errors import ConfigError
from netsci_nn.io import load_network, load_topology, write_text
from netsci_nn.topology import BipartiteTopology


def analyze(
    target: Annotated[Path, typer.Argument(help="Run directory, or topology file (.safetensors, .npz, .graphml, .csv).")],
    nulls: Annotated[int, typer.Option(help="Random graphs of each null model.", min=0)] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the random graphs.", min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
) -> None:
    """Measure a graph beside random graphs of equal size and of equal degrees; a run also beside its start."""
    import analysis
    from analysis import html as pages

    check_writable(json, html)
    layers, control = _load(target)
    report = analysis.describe(layers, nulls=nulls, control=control, rng=seed)
    STDOUT.print(report.to_table())
    if json is not None:
        write_text(json, report.to_json() + "\n")
    if html is not None:
        write_text(html, pages.page(f"Topology of {target}", [pages.Section("Measures", pages.report_blocks(report))]))


def _load(target: Path) -> tuple[list[BipartiteTopology], list[BipartiteTopology] | None]:
    """Return the layers to measure and, for a run, those it started from."""
    if not target.is_dir():
        return [load_topology(target)], None
    final, start = target / "topology" / "final.safetensors", target / "topology" / "epoch-0000.safetensors"
    if not (final.is_file() and start.is_file()):
        raise ConfigError(f"directory {str(target)!r} has no recorded topology; it must be the run of a sparse network")
    return [layer.topology for layer in load_network(final)], [layer.topology for layer in load_network(start)]
