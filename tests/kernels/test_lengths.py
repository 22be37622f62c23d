"""Operands of another length than the edges are refused at every call: compiled code would read or write past their end."""

import pytest
import torch
from sparse_cases import CASES

from netsci_nn import DataError, SparseLinear, SparseMLP
from netsci_nn.kernels import compiled as kernel
from netsci_nn.kernels import edge_index
from netsci_nn.training import train

TOPOLOGY = CASES["irregular"]  # 6 sources, 5 targets, 9 edges


def test_fewer_weights_than_edges_are_refused_in_the_forward_pass(backend: str) -> None:
    layer = SparseLinear(TOPOLOGY, backend=backend)
    layer.weight.data = layer.weight.data[:4]
    with pytest.raises(DataError, match=r"values has shape \[4\]; it must be \[n_edges\] = \[9\]"):
        layer(torch.zeros(3, 6))


def test_weights_shortened_before_the_backward_pass_are_refused(backend: str) -> None:
    layer = SparseLinear(TOPOLOGY, backend=backend)
    loss = layer(torch.ones(3, 6, requires_grad=True)).sum()
    layer.weight.data = layer.weight.data[:2].clone()
    with pytest.raises(DataError, match=r"values has shape \[2\]"):
        loss.backward()


ALL = "product", "transposed_product", "sampled_product", "gradients"
VALUES, X, Y = (tuple(name for name in ALL if name != other) for other in ALL[2::-1])


@pytest.mark.parametrize(
    ("products", "changes", "message"),
    [
        (VALUES, {"values": torch.zeros(8)}, r"values has shape \[8\]; it must be \[n_edges\] = \[9\]"),
        (VALUES, {"values": torch.zeros(10)}, r"values has shape \[10\]"),
        (VALUES, {"values": torch.zeros(9, 1)}, r"values has shape \[9, 1\]"),
        (VALUES, {"values": torch.zeros(9, dtype=torch.float64)}, "operands have the dtypes torch.float32, torch.float64"),
        (X, {"x": torch.zeros(5, 2)}, r"x has shape \[5, 2\]; it must be \[n_in, batch\], n_in = 6"),
        (X, {"x": torch.zeros(6)}, r"x has shape \[6\]"),
        (Y, {"y": torch.zeros(4, 2)}, r"y has shape \[4, 2\]; it must be \[n_out, batch\], n_out = 5"),
        (ALL[2:], {"y": torch.zeros(5, 3)}, "x has 2 columns and y has 3; they must belong to one batch"),
    ],
    ids=str,
)
def test_every_compiled_product_compares_lengths(
    products: tuple[str, ...], changes: dict[str, torch.Tensor], message: str
) -> None:
    index = edge_index(TOPOLOGY)
    operands = {"values": torch.zeros(9), "x": torch.zeros(6, 2), "y": torch.zeros(5, 2)} | changes
    values, x, y = operands["values"], operands["x"], operands["y"]
    arguments = {
        "product": (values, x),
        "transposed_product": (values, y),
        "sampled_product": (x, y),
        "gradients": (values, x, y),
    }
    for name in products:
        with pytest.raises(DataError, match=message):
            getattr(kernel, name)(*arguments[name], index)


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_compiled_training_compares_lengths(part: str) -> None:
    model = SparseMLP([6, 5, 3], density=0.5, rng=0)
    parameter = getattr(model.layers[1], part)
    parameter.data = parameter.data[:2].clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.rand(20, 6), torch.zeros(20, dtype=torch.int64)
    with pytest.raises((DataError, RuntimeError), match="values has shape" if part == "weight" else None):
        train(model, optimizer, x, y, epochs=1, batch_size=10, rng=0, compiled=True)


def test_a_momentum_of_another_length_does_not_reach_compiled_training() -> None:
    model = SparseMLP([6, 5, 3], density=0.5, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.state[model.layers[0].weight]["momentum_buffer"] = torch.zeros(2)
    x, y = torch.rand(20, 6), torch.zeros(20, dtype=torch.int64)
    with pytest.raises(DataError, match="momentum_buffer has shape"):
        train(model, optimizer, x, y, epochs=1, batch_size=10, rng=0, compiled=True)
