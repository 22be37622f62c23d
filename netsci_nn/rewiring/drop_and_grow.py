"""`DropAndGrow`: any criterion for the edges that go, with any for those that come, along schedules of both numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from netsci_nn.checks import check_density
from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError, shown
from netsci_nn.layers import SparseLayer
from netsci_nn.registry import Registry, check_parameters
from netsci_nn.rewiring.delta import EdgeDelta
from netsci_nn.rewiring.drop import DROPS, Drop
from netsci_nn.rewiring.growth import GROWTHS, Growth
from netsci_nn.rewiring.rule import REWIRERS, fraction_now, needs_of, no_change, seen_by
from netsci_nn.rewiring.view import EdgeView, keys_without
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.schedules import Schedule, as_density, as_fraction


@REWIRERS.register("drop_and_grow")
class DropAndGrow:
    """Drop a fraction of a layer's edges by one criterion, and grow by another, up to a number of edges.

    Without `density` as many edges come as go. With it a layer has round(density * n_in * n_out) edges after every action: if
    fewer must be left than the fraction leaves, more are dropped by the same criterion. New edges start at 0. After the last
    step nothing grows, and only what is beyond `density` is dropped.

    Args:
        drop: a name in `DROPS` ("magnitude", "sign", "magnitude_and_gradient", "soft_magnitude", "relative_importance",
            "random"), the name with
            parameters as a mapping, or a criterion.
        grow: likewise of `GROWTHS` ("random", "gradient", "ch3_l3p", "ch2_l3p", "ch3_l3n", "ch2_l3n", "none").
        fraction: in (0, 1), the share of a layer's edges that is dropped; a schedule of it; or 0 for none.
        density: of every layer, in (0, 1]; a number or a schedule; or None.
        keep: density down to which edges are dropped at least, before others grow, in (0, 1]; or None.
        name: of the rule, for errors and saved states.

    Raises:
        ConfigError: when an argument is not allowed.

    Example:
        >>> import netsci_nn as ns
        >>> rule = DropAndGrow(drop="sign", grow="gradient", fraction={"name": "cosine", "start": 0.3})  # SET's, then RigL's
        >>> rule.needs
        ('dense_gradient', 'step', 'total_steps')
    """

    def __init__(
        self,
        drop: str | Mapping[str, Any] | Drop = "magnitude",
        grow: str | Mapping[str, Any] | Growth = "random",
        fraction: float | Schedule = 0.3,
        density: float | Schedule | None = None,
        keep: float | None = None,
        name: str = "drop_and_grow",
    ) -> None:
        self.name = name
        self.keep = None if keep is None else check_density("keep", keep)
        self.drop: Drop = _chosen("drop", DROPS, drop)
        self.grow: Growth = _chosen("grow", GROWTHS, grow)
        self.fraction = None if isinstance(fraction, int | float) and fraction == 0 else as_fraction("fraction", fraction)
        self.density = None if density is None else as_density("density", density)
        of_time = [need for schedule in (self.fraction, self.density) if schedule is not None for need in needs_of(schedule)]
        self.needs = tuple(dict.fromkeys((*self.drop.needs, *self.grow.needs, *of_time)))
        self.replaces_step = "dense_gradient" in self.grow.needs

    def propose(self, edges: EdgeView | SparseLayer, *, rng: Rng) -> EdgeDelta:
        """Return the change; `rng` is an int seed or numpy Generator."""
        view, random = seen_by(self.name, edges, *self.needs), as_generator(rng)
        n_pairs = view.n_in * view.n_out
        fraction = 0.0 if self.fraction is None or view.is_last else fraction_now(self.fraction, view)
        dropped = self.drop.of_fraction(view, fraction, random) if fraction else np.empty(0, np.int64)
        target = view.n_edges if self.density is None else round(fraction_now(self.density, view) * n_pairs)
        most = target if self.keep is None else min(target, round(self.keep * n_pairs))
        has_bound = self.density is not None or (self.keep is not None and not view.is_last)
        if view.n_edges - len(dropped) > most and has_bound:
            dropped = self.drop.of_count(view, view.n_edges - most, random)
        remaining = keys_without(view, dropped)
        n_grown = 0 if view.is_last else max(target - len(remaining), 0)
        grown = self.grow.keys(view, n_grown, remaining, random)
        if not len(dropped) and not len(grown):
            return no_change(view)
        goes, comes = np.arange(len(dropped)), np.arange(len(grown))
        if self.grow.keeps_returning:
            goes, comes = without_common(view.keys()[dropped], grown)
        dst, src = np.divmod(grown[comes], view.n_in)
        return EdgeDelta(dropped[goes], src, dst, view.zeros(len(src)))


def _chosen(what: str, registry: Registry[Any], choice: Any) -> Any:
    """Return a criterion, by its name, its name and parameters, or as it is."""
    parameters = {"name": choice} if isinstance(choice, str) else choice
    if not isinstance(parameters, Mapping):
        if isinstance(choice, type) or not hasattr(choice, "needs"):
            raise ConfigError(f"{what} is {shown(choice)}; it must be one of {', '.join(registry)}, or a criterion")
        return choice
    given = dict(parameters)
    factory = registry[given.pop("name", None)]
    check_parameters(f"{what} {parameters['name']!r}", factory, given)
    return factory(**given)


@njit(cache=True, nogil=True)
def without_common(a, b):  # type: ignore[no-untyped-def]
    """Return the positions in each of two increasing arrays of what the other does not have."""
    only_a, only_b = np.empty(len(a) + 1, np.int64), np.empty(len(b) + 1, np.int64)
    i, j, n_a, n_b = 0, 0, 0, 0
    while i < len(a) or j < len(b):
        if j == len(b) or (i < len(a) and a[i] < b[j]):
            only_a[n_a] = i
            n_a, i = n_a + 1, i + 1
        elif i == len(a) or b[j] < a[i]:
            only_b[n_b] = j
            n_b, j = n_b + 1, j + 1
        else:
            i, j = i + 1, j + 1
    return only_a[:n_a], only_b[:n_b]
