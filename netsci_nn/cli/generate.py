"""`netsci-nn generate`: a topology from a graph model."""

import inspect
import json
import os
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from netsci_nn.cli.destinations import check_writable, report_unwritten
from netsci_nn.cli.options import naming_options
from netsci_nn.cli.output import print_line
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.files import atomic_write
from netsci_nn.generators import GENERATORS, call, check_parameters
from netsci_nn.registry import RESERVED
from netsci_nn.topology import check_format
from netsci_nn.topology.formats import read_array

PICTURES = (".png", ".svg", ".pdf")


def generate(
    model: Annotated[str, typer.Argument(help="Name of a graph model, for example erdos_renyi.")],
    n_in: Annotated[int, typer.Argument(help="Number of source neurons.")],
    n_out: Annotated[int, typer.Argument(help="Number of target neurons.")],
    out: Annotated[Path, typer.Option(help="File to write: .safetensors, .npz, .graphml or .csv.")],
    density: Annotated[float | None, typer.Option(help="Edges / (n_in * n_out), in (0, 1].")] = None,
    edges: Annotated[int | None, typer.Option(help="Exact number of edges, instead of --density.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, a parameter of the model; repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Also draw adjacency and degrees, to a .png, .svg or .pdf file.")] = None,
) -> None:
    """Generate a topology and write it to a file. Some models fix their number of edges and take no budget."""
    generator = GENERATORS[model]
    check_writable(out, plot)
    check_format(out)
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise ConfigError(f"--plot {str(plot)!r} ends in {plot.suffix!r}; allowed are: {', '.join(PICTURES)}")
    parameters = _parameters(model, param or [])
    try:
        with naming_options({"n_edges is": "--edges is", "density is": "--density is", "rng is": "--seed is"}):
            topology = call(generator, n_in, n_out, n_edges=edges, density=density, rng=seed, **parameters)
    except (ConfigError, TopologyError) as error:
        raise type(error)(_shortened(str(error))) from error
    with report_unwritten(out, plot):
        topology.save(out)
        settings = ", ".join([model, *(param or []), f"seed={seed}"])
        print_line(f"{topology} ({settings})\nwritten to {out}")
        if plot is not None:
            from analysis.render.pictures.degrees import topology_card

            figure = topology_card(topology, title=settings)
            with atomic_write(plot) as temporary:
                figure.savefig(temporary, dpi=100)
            print_line(f"drawn in {plot}")


def _shortened(message: str) -> str:
    """A sentence about options without what can be said only of arguments."""
    message = message.replace("--edges is None and --density is None", "neither --edges nor --density is given")
    return message.removesuffix(" or a numpy.random.Generator")


def _parameters(model: str, texts: list[str]) -> dict[str, Any]:
    """Parse KEY=VALUE with JSON values; a path to a .npy or text file of numbers serves as an array, GraphML as a graph."""
    parameters: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--param is {text!r}; it must be KEY=VALUE")
        parameters[key] = _value(key, value)
    check_parameters(f"model {model!r}", GENERATORS[model], parameters)
    for name, parameter in inspect.signature(GENERATORS[model]).parameters.items():
        if parameter.default is parameter.empty and name not in (*RESERVED, *parameters):
            raise ConfigError(f"--param {name}=VALUE is missing; model {model!r} needs it")
    return parameters


def _value(key: str, text: str) -> Any:
    import numpy as np

    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--param {key} has a number of too many digits or too deep nesting") from error
    if not os.path.isfile(text) or text.lower().endswith(".graphml"):  # False for a text that is too long for a name
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an empty file, which is reported below
            numbers = read_array(text) if text.endswith(".npy") else np.loadtxt(text, ndmin=1)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"file {text!r} does not hold numbers: {str(error).partition(';')[0]}") from error
    if numbers.size == 0:
        raise ConfigError(f"file {text!r} does not hold numbers: it is empty")
    return numbers
