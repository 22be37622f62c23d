"""MEST: drop by weight and gradient, grow at random; with soft memory bounds, some edges beyond the budget at first."""

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.rewiring.drop import MagnitudeAndGradient
from netsci_nn.rewiring.drop_and_grow import DropAndGrow
from netsci_nn.rewiring.rule import REWIRERS
from netsci_nn.schedules import Schedule, steps

HALF_FROM, NONE_FROM = 0.6, 1 - 1e-9  # of the rule's time: where the surplus is halved, and where it ends


@REWIRERS.register("mest")
def mest(
    fraction: float | Schedule = 0.3, gradient_weight: float = 0.01, density: float | None = None, surplus: float = 0.05
) -> DropAndGrow:
    """Return MEST, which drops the edges of the smallest |w| + gradient_weight |gradient|.

    Without `density` it is elastic mutation (EM): a fraction of the edges goes, and as many grow anywhere. With it, it is EM&S:
    every action drops down to that density and grows up to density + surplus; from 0.6 of the rule's time on to density +
    surplus / 2; the last action, at the end of that time, grows nothing. Layers begin with density + surplus.

    Args:
        fraction: of EM, in (0, 1), or a schedule.
        gradient_weight: lambda, 0 to 1e30.
        density: of EM&S at the end, in (0, 1); None for EM.
        surplus: of EM&S, at least 0; density + surplus is at most 1.

    Raises:
        ConfigError: when an argument is out of range.

    Source: Yuan et al. 2021, "MEST: accurate and fast memory-economic sparse training framework on the edge", with the times of
    the code of Zhang et al. 2025 (Cannistraci-Hebb training): 0.05 until 0.6, 0.025 until the last action.

    Example:
        >>> mest().needs, mest(density=0.1).density(0.5), mest(density=0.1).density(1.0)
        (('gradient',), 0.15000000000000002, 0.1)
    """
    drop = MagnitudeAndGradient(gradient_weight)
    if density is None:
        return DropAndGrow(drop, "random", fraction, name="mest")
    kept = check_real("density", density, lambda value: 0 < value < 1, "in (0, 1)", ConfigError)
    more = check_real("surplus", surplus, lambda value: 0 <= value <= 1 - kept, f"from 0 to {1 - kept:g}", ConfigError)
    levels = steps([kept + more, kept + more / 2, kept], until=[HALF_FROM, NONE_FROM])
    return DropAndGrow(drop, "random", 0, levels, keep=kept, name="mest")
