"""What the optimiser does with newborn edges: how their state starts, and how large their first steps are.

Adam divides its two moments by 1 - beta^t, to make up for their start at 0. A newborn edge starts at 0 later, when t is large
and nothing is made up any more, so its first steps are several times too long. There are four policies:

- "survivors", the default: second moments start at the mean of the layer's surviving edges, so the first steps are no longer
  than theirs. Optimisers without second moments, such as SGD, know no difference to "zero".
- "zero": nothing is done about it; the state starts as the optimiser starts it.
- "age": the correction counts the edge's own age, as if the edge had been alone with an Adam of its own.
- "warmup": steps are scaled up linearly, from 1/100 to 1 in the edge's first 100.
"""

from typing import Any

import numpy as np
import torch

from netsci_nn.errors import ConfigError
from netsci_nn.layers import SparseLayer
from netsci_nn.rewiring.apply import parameter_group
from netsci_nn.rewiring.delta import EdgeDelta

POLICIES = ("zero", "age", "survivors", "warmup")
DEFAULT = "survivors"  # it ended best in the measurements of docs/newborn-edges.md
WARMUP = 100  # steps


class NewbornSteps:
    """The steps of edges that were born in a layer since a driver began, for the policies "age" and "warmup".

    Args:
        policy: "age" or "warmup".
        layer: whose edges are born.
        optimizer: that trains them.

    Raises:
        ConfigError: if the policy is "age" and the optimiser neither Adam nor AdamW.
    """

    def __init__(self, policy: str, layer: SparseLayer, optimizer: torch.optim.Optimizer) -> None:
        if policy == "age" and type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
            raise ConfigError(
                f"optimizer_state is 'age' and the optimizer {type(optimizer).__name__}; the age of an edge counts in the bias "
                "correction of Adam and AdamW only: use 'zero'"
            )
        self.policy, self.layer, self.optimizer = policy, layer, optimizer
        # How many steps every edge has made since its birth; -1 for edges that are as old as the optimiser.
        self.age = np.full(layer.n_edges, -1, np.int64)
        self._young: torch.Tensor | None = None

    @property
    def group(self) -> dict[str, Any]:
        """The parameter group of the layer's weights; `load_state_dict` of an optimiser puts others in their place."""
        return parameter_group(self.layer, self.optimizer)

    @property
    def horizon(self) -> int:
        """The age from which an edge steps like any other, to the last bit."""
        if self.policy == "warmup":
            return WARMUP
        slowest = max(float(beta) for beta in self.group["betas"])
        least = torch.finfo(self.layer.weight.dtype).eps / 4
        return 0 if slowest == 0 else int(np.ceil(np.log(least) / np.log(slowest)))

    def before(self) -> None:
        """Remember the weights of young edges.

        Raises:
            ConfigError: if the layer's edges were changed past the driver.
        """
        if len(self.age) != self.layer.n_edges:
            raise ConfigError(
                f"the layer has {self.layer.n_edges} edges, and the driver knows the age of {len(self.age)}: its edges were "
                "changed by somebody else; load the driver's state, too, or make the driver afterwards"
            )
        young = np.flatnonzero((self.age >= 0) & (self.age < self.horizon))
        self._young = None
        if len(young):
            self._young = torch.from_numpy(young).to(self.layer.weight.device)
            self._weight = self.layer.weight.detach()[self._young]

    def after(self) -> None:
        """Give young edges the step that is theirs, and let every edge grow older, if the optimiser has moved the layer."""
        if self.layer.weight.grad is None:
            return
        self.age[self.age >= 0] += 1
        if self._young is None:
            return
        weight, young, before = self.layer.weight.detach(), self._young, self._weight
        age = torch.from_numpy(self.age).to(weight.device)[young].double().reshape(-1, *[1] * (weight.dim() - 1))
        if self.policy == "warmup":
            share = (age / WARMUP).to(weight.dtype)
            weight[young] = torch.lerp(before, weight[young], share)
        else:
            weight[young] = before + self._step_of_adam(before, young, age)
        self._young = None

    def follow(self, delta: EdgeDelta) -> None:
        """Let the ages follow the edges after a change; new edges begin with age 0."""
        topology = self.layer._topology
        is_new = np.zeros(topology.n_edges, np.bool_)
        is_new[np.searchsorted(topology.keys(), delta.grown_dst * topology.n_in + delta.grown_src)] = True
        age = np.zeros(topology.n_edges, np.int64)
        age[~is_new] = np.delete(self.age, delta.dropped)
        self.age = age

    def _step_of_adam(self, before: torch.Tensor, young: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Return what Adam adds to the weights of young edges; its moments, which started at 0 with them, are its own."""
        group, state = self.group, self.optimizer.state[self.layer.weight]
        rate, (beta1, beta2) = float(group["lr"]), map(float, group["betas"])
        second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"][young]
        scale = ((1 - beta2**age).sqrt()).to(before.dtype)
        step = state["exp_avg"][young] / (second.sqrt() / scale + group["eps"])
        step = step * (-rate / (1 - beta1**age)).to(before.dtype)
        is_decoupled = group.get("decoupled_weight_decay", isinstance(self.optimizer, torch.optim.AdamW))
        return step - before * (rate * group["weight_decay"]) if is_decoupled else step
