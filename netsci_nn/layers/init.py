"""Initial weights of sparse layers."""

import torch


def kaiming_normal_(values: torch.Tensor, dst: torch.Tensor, n_out: int) -> torch.Tensor:
    """Fill `values` in place with N(0, 2 / k), where k is the actual in-degree of the edge's target.

    Every target then receives a pre-activation of the same variance, however unequal the degrees are. The dense formula,
    which divides by n_in, would make sparse layers too small by the square root of the density.

    Args:
        values: `[n_edges]`, drawn from torch's global generator.
        dst: integer `[n_edges]`, the target of each edge.
        n_out: number of targets.

    Source: He et al. 2015, eq. 10, with the in-degree in place of the fan-in.
    """
    in_degrees = torch.bincount(dst, minlength=n_out)
    with torch.no_grad():
        return values.normal_().mul_(torch.sqrt(2.0 / in_degrees[dst]).to(values))
