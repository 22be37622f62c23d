"""`Rewirer`: what a rewiring rule is, and what it may declare that it needs.

A rule is an object with `propose`. Beside it, a rule may declare:

- `needs`: names of what training has to provide in the `EdgeView` (see `NEEDS`).
- `replaces_step = True`: it acts in the place of an optimiser step, which then changes no weight (RigL).
- `acts_every_step = True`: it acts after every mini-batch unless told otherwise; rules without it act after every epoch.
- `sets_active = True`: its deltas set the forward mask of a layer, which whole-step compiled training does not know.
- `propose_all(edges, rng)`: takes the views of all layers and returns their changes, for a rule that shares edges among layers;
  training calls it instead of `propose`.
- `remember(edges, rng)`: returns arrays by name that the rule keeps for a layer; training hands them back at every call
  (`EdgeView.memory`), and saves them with its checkpoints. The rule may change them in place.
- `check(optimizer, every_steps)`: raises a ConfigError if the rule cannot work beside this optimiser, or at this interval
  (None: epochs).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.registry import Registry
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.view import EdgeView, edge_view
from netsci_nn.schedules import Schedule

NEEDS = {
    "previous": "the weights after its last action, before the gradient steps since",
    "gradient": "the gradient with respect to the weights",
    "dense_gradient": "the gradient with respect to every pair of neurons",
    "learning_rate": "the learning rate",
    "memory": "what it remembers of the layer",
    "step": "the number of mini-batches trained so far",
    "total_steps": "the number of mini-batches of the whole training",
}


class Rewirer(Protocol):
    """A rule that says which edges of a layer go and which come; it changes nothing itself."""

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        """Return the change that the rule wants."""
        ...


REWIRERS: Registry[Callable[..., Rewirer]] = Registry("rewiring rule")


def seen_by(rule: str, edges: EdgeView | SparseLayer, *needs: str, single_weights: bool = False) -> EdgeView:
    """Return what a rule was given as an `EdgeView` that holds what the rule needs.

    Args:
        rule: the rule's name, for errors.
        edges: a view, or a layer outside of any training.
        needs: fields of the view that the rule cannot do without.
        single_weights: whether the rule is defined for one weight per edge only.

    Raises:
        ConfigError: if a field is missing, or the edges carry kernels that the rule is not defined for.
    """
    view = edges if isinstance(edges, EdgeView) else edge_view(edges)
    for field in needs:
        if getattr(view, field) is None:
            raise ConfigError(
                f"{field} is missing in the view of the edges; rewiring rule {rule!r} needs {NEEDS[field]} "
                "(netsci_nn.Rewiring and the callback Rewire provide it)"
            )
    if single_weights and view.kernel:
        raise ConfigError(
            f"rewiring rule {rule!r} is defined for one weight per edge; the edges carry kernels {list(view.kernel)}"
        )
    return view


def needs_of(fraction: Schedule) -> tuple[str, ...]:
    """Return what a rule needs to know of the training to follow a schedule."""
    return () if fraction.is_constant else ("step", "total_steps")


def fraction_now(fraction: Schedule, view: EdgeView) -> float:
    """Return the value of a schedule at this moment of the training, whose time is that of the schedule."""
    if view.step is None or view.total_steps is None:
        return fraction(0)  # constant: `needs_of` has seen to that
    return fraction(view.step / max(view.total_steps, 1))


def no_change(edges: EdgeView) -> EdgeDelta:
    """Return the change that changes nothing."""
    empty = np.empty(0, dtype=np.int64)
    return EdgeDelta(empty, empty, empty, edges.zeros(0))
