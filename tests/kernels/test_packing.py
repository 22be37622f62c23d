"""Batches in blocks: bfloat16 on the way in and out."""

import numpy as np
import pytest
import torch

from netsci_nn.kernels.packing import is_batch_major, pack, unpack

EVERY = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)


@pytest.mark.parametrize("width", [1, 16, 64, 67, 130])
@pytest.mark.parametrize("batch_major", [True, False])
def test_every_bfloat16_goes_in_and_comes_out(width: int, batch_major: bool) -> None:
    x = EVERY[: len(EVERY) // width * width].reshape(width, -1)
    x = x.t() if batch_major else x.t().contiguous()
    blocks = pack(x, "x")
    assert blocks.array.dtype == np.float32
    columns = [
        torch.from_numpy(blocks.array[len(x) * first : len(x) * (first + lanes)].copy()).view(len(x), lanes)
        for lanes, first in blocks.cuts
    ]
    packed = torch.cat(columns, 1)
    torch.testing.assert_close(packed[:, :width], x.float(), rtol=0, atol=0, equal_nan=True)
    assert not packed[:, width:].any()
    back = unpack(packed.numpy(), like=x)
    assert back.dtype == torch.bfloat16
    assert is_batch_major(back) == is_batch_major(x)
    torch.testing.assert_close(back, x, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("batch", [5, 16, 32])
def test_numbers_are_rounded_to_bfloat16_as_torch_does(batch: int) -> None:
    bits = torch.randint(-(2**31), 2**31, (batch, 4000), generator=torch.manual_seed(0)).to(torch.int32)
    bits[:, ::3] = bits[:, ::3] & -(2**16) | 0x8000  # halfway between two
    special = torch.tensor([0x7F7FFFFF, 0x7F800000, -(2**31), 1, 0x7FC00001], dtype=torch.int32)  # the largest, inf, -0, ...
    bits[:, 1:6] = special
    x = bits.view(torch.float32).t()
    rounded = unpack(x.contiguous().numpy(), like=torch.empty(batch, 4000, dtype=torch.bfloat16).t())
    torch.testing.assert_close(rounded, x.to(torch.bfloat16), rtol=0, atol=0, equal_nan=True)
