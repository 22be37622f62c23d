"""Pruning of a trained network, and the weights with which the sparse one is trained further."""

import numpy as np
from torch import nn

from netsci_nn.experiment.build import density_of
from netsci_nn.experiment.config import Experiment, MethodConfig
from netsci_nn.generators import trade_edges
from netsci_nn.models import sparse_layers
from netsci_nn.models.mlp import seeded_torch
from netsci_nn.pruning import prune, restrict, round_densities


def prune_round(
    experiment: Experiment, method: MethodConfig, first: nn.Module, trained: nn.Module, number: int, seed: int
) -> nn.Module:
    """Return a trained network pruned for the `number`-th of the method's rounds, with the weights from which training starts.

    Args:
        experiment: with the densities of [model].
        method: with `pruning`.
        first: the dense network before any training.
        trained: the network to prune: the dense one, or that of the round before.
        number: 1 to the number of rounds.
        seed: of the run.
    """
    assert method.pruning is not None
    settings, n_layers = method.pruning, len(experiment.model.layer_sizes) - 1
    density = density_of(experiment, method)
    final = density if isinstance(density, list) else [density] * n_layers
    topologies = prune(trained, density=round_densities(final, settings.rounds)[number - 1], criterion=settings.criterion)
    rng = np.random.default_rng([seed, 2, number])
    if settings.partners == "random":
        topologies = [trade_edges(topology, rng=rng) for topology in topologies]
    if settings.weights == "trained":
        return restrict(trained, topologies)
    model = restrict(first, topologies)
    if settings.weights == "fresh":
        with seeded_torch(rng):
            for layer in sparse_layers(model):
                layer.reset_parameters()
    return model
