"""Multilayer perceptrons: every layer on a graph of its own, and the dense one to compare with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from netsci_nn.allocation import layer_shapes
from netsci_nn.checks import density_per_layer, one_per_layer
from netsci_nn.errors import ConfigError, shown
from netsci_nn.generators import GENERATORS, Generator, call, takes
from netsci_nn.layers import ACTIVATIONS, SparseLinear
from netsci_nn.sampling import Rng, as_generator

GeneratorChoice = str | Generator


class SparseMLP(nn.Module):
    """A multilayer perceptron of `SparseLinear` layers with an activation between them.

    Args:
        layer_sizes: neurons of the input, the hidden layers and the output, at least two numbers.
        density: of every layer, in (0, 1]; one number for all layers or one per layer. A layer has exactly
            round(density * n_in * n_out) edges, except where its generator draws or fixes the number itself.
        generator: a name in `netsci_nn.generators.GENERATORS` or a function with the same signature, for all layers or
            one per layer; `functools.partial` binds a model's own parameters.
        activation: a name in `netsci_nn.layers.ACTIVATIONS`.
        bias: whether layers have biases.
        backend: of every layer (see `SparseLinear`).
        rng: int seed or numpy Generator, for topologies and initial weights; torch's global generator is left as it was.

    Shapes: x `(..., layer_sizes[0])` to logits `(..., layer_sizes[-1])`, contiguous.

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Example:
        >>> model = SparseMLP([64, 32, 10], density=[0.1, 0.5], generator="erdos_renyi", rng=0)
        >>> [layer.n_edges for layer in model.layers], model(torch.zeros(5, 64)).shape
        ([205, 160], torch.Size([5, 10]))
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        density: float | Sequence[float],
        generator: GeneratorChoice | Sequence[GeneratorChoice] = "erdos_renyi",
        activation: str = "relu",
        bias: bool = True,
        backend: str = "auto",
        rng: Rng,
    ) -> None:
        super().__init__()
        shapes = layer_shapes(layer_sizes)
        densities = density_per_layer(density, len(shapes))
        models = [
            GENERATORS[choice] if isinstance(choice, str) else choice
            for choice in one_per_layer("generator", generator, len(shapes))
        ]
        for model in models:
            if not callable(model):
                raise ConfigError(f"generator is {shown(model)}; it must be a name or a function")
        random = as_generator(rng)
        self.layers = nn.ModuleList()
        with seeded_torch(random):
            for (n_in, n_out), value, model in zip(shapes, densities, models, strict=True):
                topology = call(model, n_in, n_out, density=value if takes(model, "density") else None, rng=random)
                self.layers.append(SparseLinear(topology, bias, backend))
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., layer_sizes[0])` to logits `(..., layer_sizes[-1])`."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x).contiguous()


def dense_mlp(layer_sizes: Sequence[int], *, activation: str = "relu", bias: bool = True, rng: Rng) -> nn.Sequential:
    """Build the dense counterpart of `SparseMLP`: `nn.Linear` layers with the same initialisation.

    Weights are N(0, 2 / n_in), biases 0; arguments as in `SparseMLP`.

    Example:
        >>> dense_mlp([64, 32, 10], rng=0)
        Sequential(
          (0): Linear(in_features=64, out_features=32, bias=True)
          (1): ReLU()
          (2): Linear(in_features=32, out_features=10, bias=True)
        )
    """
    shapes = layer_shapes(layer_sizes)
    modules: list[nn.Module] = []
    with seeded_torch(as_generator(rng)):
        for n_in, n_out in shapes:
            linear = nn.Linear(n_in, n_out, bias=bias)
            nn.init.kaiming_normal_(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)
            modules += [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*modules[:-1])


@contextmanager
def seeded_torch(rng: np.random.Generator) -> Iterator[None]:
    """Seed torch's CPU generator from `rng` within a `with` block, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        yield
