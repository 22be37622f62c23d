"""`netsci-nn generate`: a topology from a graph model."""

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from netsci_nn.cli.output import STDOUT, check_writable
from netsci_nn.errors import ConfigError
from netsci_nn.generators import GENERATORS


def generate(
    model: Annotated[str, typer.Argument(help="Name of a graph model, for example erdos_renyi.")],
    n_in: Annotated[int, typer.Argument(help="Number of source neurons.")],
    n_out: Annotated[int, typer.Argument(help="Number of target neurons.")],
    out: Annotated[Path, typer.Option(help="File to write: .safetensors, .npz, .graphml or .csv.")],
    density: Annotated[float | None, typer.Option(help="Edges / (n_in * n_out), in (0, 1].")] = None,
    edges: Annotated[int | None, typer.Option(help="Exact number of edges, instead of --density.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, a parameter of the model; repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
) -> None:
    """Generate a topology and write it to a file."""
    generator = GENERATORS[model]
    check_writable(out)
    topology = generator(n_in, n_out, n_edges=edges, density=density, rng=seed, **_parameters(model, param or []))
    topology.save(out)
    STDOUT.print(f"{topology}\nwritten to {out}", highlight=False, soft_wrap=True)


def _parameters(model: str, texts: list[str]) -> dict[str, Any]:
    """Parse KEY=VALUE with JSON values; a path to a .npy or text file of numbers serves as an array."""
    reserved = {"n_in", "n_out", "n_edges", "density", "rng"}
    allowed = [name for name in inspect.signature(GENERATORS[model]).parameters if name not in reserved]
    parameters: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or key not in allowed:
            raise ConfigError(f"param is {text!r}; it must be KEY=VALUE with one of the keys: {', '.join(allowed) or 'none'}")
        parameters[key] = _value(value)
    required = [
        name
        for name, parameter in inspect.signature(GENERATORS[model]).parameters.items()
        if name in allowed and parameter.default is inspect.Parameter.empty and name not in parameters
    ]
    if required:
        raise ConfigError(f"param {required[0]!r} is missing; model {model!r} needs --param {required[0]}=VALUE")
    return parameters


def _value(text: str) -> Any:
    import numpy as np

    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if not Path(text).is_file():
        return text
    try:
        return np.load(text, allow_pickle=False) if text.endswith(".npy") else np.loadtxt(text, ndmin=1)
    except (ValueError, OSError) as error:
        raise ConfigError(f"file {text!r} does not hold numbers: {error}") from error
