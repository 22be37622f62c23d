"""The trained network of a run, from its checkpoint."""

import re
from itertools import pairwise
from os import PathLike

from torch import nn

from netsci_nn.errors import CheckpointError, ConfigError, TopologyError
from netsci_nn.experiment.build import dense_model
from netsci_nn.experiment.config import Experiment, load_experiment
from netsci_nn.experiment.run_directory import RunDirectory
from netsci_nn.layers import ACTIVATIONS, SparseLinear
from netsci_nn.models.surgery import replace_layers, sparse_twin
from netsci_nn.models.walk import size_of
from netsci_nn.topology import BipartiteTopology
from netsci_nn.training.checkpoint import read_model


def trained_model(directory: str | PathLike[str]) -> nn.Module:
    """Return the network of a run as it is in its last checkpoint; a multilayer perceptron as a plain stack.

    Raises:
        ConfigError: if this is no run directory, or nothing is trained yet.
        CheckpointError: if the checkpoint is damaged or does not belong to the run.
    """
    run = RunDirectory(directory)
    if not run.is_begun:
        raise ConfigError(f"directory {str(directory)!r} has no {run.config.name}; it must be the directory of one run")
    if not run.checkpoint.is_file():
        raise ConfigError(f"directory {str(directory)!r} has no checkpoint; the run must have completed an epoch")
    experiment = load_experiment(run.config)
    settings = experiment.model
    if not settings.is_mlp:
        return _named_model(experiment, run)
    state, sizes = read_model(run.checkpoint), list(pairwise(settings.layer_sizes))
    prefixes = {name.rpartition(".")[0] for name in state}
    order = sorted(prefixes, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    damaged = f"file {str(run.checkpoint)!r} does not hold the layers {settings.layer_sizes}"
    if len(order) != len(sizes):
        raise CheckpointError(f"{damaged}: it has {len(order)} layers")
    modules: list[nn.Module] = []
    for prefix, (n_in, n_out) in zip(order, sizes, strict=True):
        entries = {name.rpartition(".")[2]: tensor for name, tensor in state.items() if name.rpartition(".")[0] == prefix}
        has_bias = "bias" in entries
        try:
            if "src" in entries:
                topology = BipartiteTopology(n_in, n_out, entries["src"].numpy(), entries["dst"].numpy())
                layer: nn.Module = SparseLinear(topology, has_bias, settings.backend)
            else:
                layer = nn.Linear(n_in, n_out, bias=has_bias)
            layer.load_state_dict(entries)
        except (KeyError, RuntimeError, TopologyError) as error:
            raise CheckpointError(f"{damaged}: {error}") from error
        modules += [layer, ACTIVATIONS[settings.activation]()]
    read_model(run.checkpoint, run.configuration)  # of the run, not only of its layers
    return nn.Sequential(*modules[:-1]).eval()


def _named_model(experiment: Experiment, run: RunDirectory) -> nn.Module:
    """Return the network of a model that has a name, with the sparse layers of the checkpoint."""
    model, state = dense_model(experiment), read_model(run.checkpoint, run.configuration)
    modules, replacement = dict(model.named_modules()), dict[nn.Module, nn.Module]()
    try:
        for prefix in (name.removesuffix(".src") for name in state if name.endswith(".src")):
            ends = (state[f"{prefix}.{part}"].numpy() for part in ("src", "dst"))
            topology = BipartiteTopology(*size_of(modules[prefix]), *ends)
            replacement[modules[prefix]] = sparse_twin(modules[prefix], topology, experiment.model.backend)
        replace_layers(model, replacement)
        model.load_state_dict(state)
    except (KeyError, RuntimeError, TopologyError) as error:
        raise CheckpointError(
            f"file {str(run.checkpoint)!r} does not hold the model {experiment.model.name!r}: {error}"
        ) from error
    return model.eval()
