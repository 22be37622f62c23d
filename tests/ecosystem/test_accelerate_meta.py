"""Sparse layers made without memory by accelerate, and filled afterwards."""

import pytest
import torch

from netsci_nn import SparseMLP

accelerate = pytest.importorskip("accelerate")

pytestmark = [pytest.mark.ecosystem, pytest.mark.filterwarnings("ignore")]  # warnings of the library about itself


def test_empty_weights_are_filled_by_a_state_dict() -> None:
    source, x = SparseMLP([20, 16, 3], density=0.3, rng=0), torch.randn(4, 20)
    with accelerate.init_empty_weights():
        model = SparseMLP([20, 16, 3], density=0.5, rng=1)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert not any(layer.src.is_meta for layer in model.layers)
    model.load_state_dict(source.state_dict(), assign=True)
    assert torch.equal(model(x), source(x))
