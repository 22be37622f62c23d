"""What a rewiring rule is, and what it may ask to know.

Beside `propose` a rule may declare, as attributes, what training has to do for it:

- `needs_previous = True`: it wants the weights as they were after its last action on the layer (at first: when training began).
- `acts_every_step = True`: it acts after every mini-batch unless told otherwise; rules without it act after every epoch.
- `remember(layer, rng)`: returns arrays by name that the rule keeps for a layer; training hands them back at every call,
  and saves them with its checkpoints. The rule may change them in place.
- `check(optimizer, every_steps)`: raises a ConfigError where the rule cannot work beside this optimiser, or at this interval
  (None: epochs).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLinear
from netsci_nn.registry import Registry
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.topology import Int32Array, Int64Array

Memory = dict[str, npt.NDArray[Any]]


class RewiringStatistics(NamedTuple):
    """What training knows at the moment of a rewiring step."""

    step: int  # mini-batches trained so far
    is_last: bool  # whether no training follows
    learning_rate: float | None = None  # of the layer's weights
    previous_values: npt.NDArray[np.floating] | None = None  # [n_edges], for rules with `needs_previous`
    memory: Memory | None = None  # for rules with `remember`


class Rewirer(Protocol):
    """A rule that says which edges of a layer go and which come; it changes nothing itself."""

    def propose(
        self, layer: SparseLinear, *, rng: np.random.Generator, statistics: RewiringStatistics | None = None
    ) -> EdgeDelta:
        """Return the change that the rule wants for `layer`."""
        ...


class LayerArrays(NamedTuple):
    """A layer as compiled training holds it between two mini-batches; views to read, not to write."""

    n_in: int
    n_out: int
    src: Int32Array  # [n_edges], sorted by (dst, src)
    dst: Int32Array
    values: npt.NDArray[np.floating]
    velocity: npt.NDArray[np.floating]  # momentum buffer, zeros without momentum
    previous: npt.NDArray[np.floating] | None = None  # values after the rule's last action, for rules with `needs_previous`
    memory: Memory | None = None  # for rules with `remember`

    def keys(self) -> Int64Array:
        """Return dst * n_in + src of every edge, increasing."""
        return self.dst.astype(np.int64) * self.n_in + self.src


class ArrayRewirer(Rewirer, Protocol):
    """A rule that can also act within compiled training, after mini-batches; its work should be compiled itself."""

    def propose_arrays(self, layer: LayerArrays, *, learning_rate: float, rng: np.random.Generator) -> EdgeDelta:
        """Return the change that the rule wants."""
        ...


REWIRERS: Registry[Callable[..., Rewirer]] = Registry("rewirer")


def layer_arrays(
    layer: SparseLinear, statistics: RewiringStatistics | None, rule: str, needs: Mapping[str, str]
) -> LayerArrays:
    """Return a layer as arrays, for rules that propose on arrays.

    Args:
        layer: whose edges may change.
        statistics: what training knows.
        rule: the rule's name, for errors.
        needs: fields of `statistics` that the rule cannot do without, and what they are.

    Raises:
        ConfigError: when `layer` is no `SparseLinear`, or a field is missing.
    """
    if not isinstance(layer, SparseLinear):
        raise ConfigError(f"layer is a {type(layer).__name__}; rewiring rule {rule!r} needs a SparseLinear")
    for field, meaning in needs.items():
        if getattr(statistics, field, None) is None:
            raise ConfigError(
                f"statistics.{field} is missing; rewiring rule {rule!r} needs {meaning} (the callback Rewire hands it over)"
            )
    values = layer.values.detach().cpu().numpy()
    previous = None if statistics is None else statistics.previous_values
    if previous is not None and previous.shape != values.shape:
        raise ConfigError(f"statistics.previous_values has shape {previous.shape}; it must be [n_edges] = [{len(values)}]")
    return LayerArrays(
        n_in=layer.n_in,
        n_out=layer.n_out,
        src=np.asarray(layer.topology.src, np.int32),
        dst=np.asarray(layer.topology.dst, np.int32),
        values=values,
        velocity=np.zeros_like(values),
        previous=previous,
        memory=None if statistics is None else statistics.memory,
    )


def learning_rate_of(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> float:
    """Return the learning rate with which `optimizer` trains `parameter`."""
    for group in optimizer.param_groups:
        if any(other is parameter for other in group["params"]):
            return float(group["lr"])
    raise ConfigError("optimizer does not train layer.values; it must be the one that holds this layer's parameters")
