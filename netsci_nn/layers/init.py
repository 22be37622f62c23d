"""Initial weights of sparse layers."""

import torch


def kaiming_normal_(weight: torch.Tensor, dst: torch.Tensor, n_out: int) -> torch.Tensor:
    """Fill `weight` in place with N(0, 2 / k), where k is the actual in-degree of the edge's target.

    Every target then receives a pre-activation of the same variance, however unequal the degrees are. The dense formula,
    which divides by n_in, would make sparse layers too small by the square root of the density. Of kernels, k is the
    in-degree times the entries of a kernel.

    Args:
        weight: `[n_edges, *kernel]`, drawn from torch's global generator.
        dst: integer `[n_edges]`, the target of each edge.
        n_out: number of targets.

    Source: He et al. 2015, eq. 10, with the in-degree in place of the fan-in.
    """
    fan_in = torch.bincount(dst, minlength=n_out)[dst] * weight.shape[1:].numel()
    with torch.no_grad():
        return weight.normal_().mul_(torch.sqrt(2.0 / fan_in).to(weight).reshape(-1, *[1] * (weight.dim() - 1)))
