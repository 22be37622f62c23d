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
        return weight.normal_().mul_(_per_edge(torch.sqrt(2.0 / fan_in), weight))


def rescale_to_in_degree_(weight: torch.Tensor, dst: torch.Tensor, n_in: int, n_out: int) -> torch.Tensor:
    """Multiply `weight`, taken from a dense layer, in place by sqrt(n_in / k), k being the in-degree of the edge's target.

    Weights that were drawn for n_in sources then have the variance of weights drawn for k, whatever their law: of nn.Linear's
    U(-1/sqrt(n_in), 1/sqrt(n_in)) becomes U(-1/sqrt(k), 1/sqrt(k)). A target that keeps all its sources keeps its weights.

    Args:
        weight: `[n_edges, *kernel]`.
        dst: integer `[n_edges]`, the target of each edge.
        n_in: number of sources.
        n_out: number of targets.

    Example:
        >>> weight, dst = torch.ones(3), torch.tensor([0, 1, 1])
        >>> rescale_to_in_degree_(weight, dst, n_in=4, n_out=2).tolist()  # in-degrees 1 and 2
        [2.0, 1.4142135381698608, 1.4142135381698608]
    """
    in_degree = torch.bincount(dst, minlength=n_out)[dst]
    with torch.no_grad():
        return weight.mul_(_per_edge(torch.sqrt(n_in / in_degree), weight))


def _per_edge(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return one value per edge `[n_edges]` in the dtype of `weight`, as a factor for it."""
    return values.to(weight).reshape(-1, *[1] * (weight.dim() - 1))
