"""Which backend `auto` stands for, and where its crossover comes from."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from netsci_nn import ConfigError, SparseConv2d, SparseLinear, generators
from netsci_nn.kernels import auto, choose_backend, crossover, measure_crossover


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder and no override for every test here."""
    path = tmp_path / "cache" / "crossover.json"
    monkeypatch.setattr(auto, "cache_file", lambda: path)
    monkeypatch.delenv(auto.OVERRIDE, raising=False)
    crossover.cache_clear()
    yield path
    crossover.cache_clear()


def chosen(density: float, batch: int = 10, dtype: torch.dtype = torch.float32) -> str:
    layer = SparseLinear(generators.erdos_renyi(20, 30, density=density, rng=0), dtype=dtype)
    return choose_backend(layer.weight, batch, layer._edge_index())


def test_sparse_is_compiled_and_full_is_dense() -> None:
    assert chosen(0.1) == chosen(0.5, batch=128) == chosen(0.1, dtype=torch.float64) == "compiled"
    assert chosen(1.0) == chosen(1.0, batch=128) == "dense"


def test_half_precision_is_compiled_too() -> None:
    assert chosen(0.1, dtype=torch.bfloat16) == chosen(0.1, dtype=torch.float16) == "compiled"
    assert chosen(1.0, dtype=torch.bfloat16) == "dense"


def test_other_numbers_are_refused_by_the_compiled_backend() -> None:
    with pytest.raises(ConfigError, match="backend 'compiled' cannot serve this layer: it computes float32, float64, bfloat16"):
        auto.supporting("compiled", torch.zeros(3, dtype=torch.complex64))


def test_the_override_wins_over_the_measurement(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.mkdir()
    cache.write_text(json.dumps({"small_batch": 0.05, "large_batch": 0.9, "many_rows": 0.2, "csr_below_degree": 3}))
    assert (chosen(0.1, batch=10), chosen(0.8, batch=128), chosen(0.3, batch=512)) == ("dense", "compiled", "dense")
    assert (chosen(0.1, batch=128), chosen(0.16, batch=128)) == ("csr", "compiled")  # 2 and 3.2 edges per target
    monkeypatch.setenv(auto.OVERRIDE, "0.3")
    crossover.cache_clear()
    assert (chosen(0.1, batch=10), chosen(0.8, batch=128)) == ("compiled", "dense")


@pytest.mark.parametrize("text", ["", "much", "-0.1", "1.5", "nan"])
def test_a_bad_override_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(auto.OVERRIDE, text)
    with pytest.raises(ConfigError, match=f"{auto.OVERRIDE} is '{text}'; it must be a density from 0 to 1"):
        chosen(0.1)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "[" * 100_000, '{"small_batch": "x", "large_batch": 1}', '{"small_batch": 1.3, "large_batch": 1}'),
        *('{"small_batch": NaN, "large_batch": 1}', '{"small_batch": 1%s, "large_batch": 1}' % ("0" * 400)),
        '{"small_batch": 0.5, "large_batch": 0.5, "many_rows": 0.5, "csr_below_degree": -1}',
    ],
    ids=range(9),
)
def test_a_damaged_cache_is_reported_and_not_used(content: str, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert crossover() == auto.DEFAULT_CROSSOVER
    assert "cannot be read" in caplog.text


def test_measuring_writes_what_is_then_used(cache: Path) -> None:
    measured = measure_crossover(size=64, repeats=1, neurons=200, channels=16)
    assert json.loads(cache.read_text()) == measured == crossover()
    assert list(measured) == ["small_batch", "large_batch", "many_rows", "convolutions", "csr_below_degree"]
    assert all(0 <= density <= 1 for density in list(measured.values())[:-1])
    assert measured["csr_below_degree"] in (0, *auto.DEGREES)


def test_what_is_measured_of_convolutions_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend() -> str:
        crossover.cache_clear()
        layer = SparseConv2d(generators.erdos_renyi(20, 30, density=0.3, rng=0), 3)
        return layer._chosen_backend(layer.weight.reshape(-1))

    assert backend() == "dense"  # above 0.25, as built in
    cache.parent.mkdir()
    former = {"small_batch": 0.05, "large_batch": 0.9, "many_rows": 0.2, "csr_below_degree": 3}
    cache.write_text(json.dumps(former))
    assert backend() == "dense"
    cache.write_text(json.dumps({**former, "convolutions": 0.4}))
    assert backend() == "compiled"
    monkeypatch.setenv(auto.OVERRIDE, "0.2")
    assert backend() == "dense"


def test_both_measured_convolutions_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def compare(first: Any, second: Any, inputs: Any, repeats: int) -> float:
        results = [function() for function in (first, second)]
        found.append([(y, *torch.autograd.grad(y.square().sum(), inputs)) for y in results])
        return 0.5

    monkeypatch.setattr(auto, "_time_ratio", compare)
    assert auto._convolution_ratio(12, 0.3, 1) == 0.5
    for mine, theirs in zip(*found[0], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("density", [0.01, 0.5])
def test_cuda(density: float) -> None:
    layer = SparseLinear(generators.erdos_renyi(60, 50, density=density, rng=0))
    x = torch.randn(8, 60)
    y = layer(x)
    on_device = layer.to("cuda")
    z = on_device(x.cuda())
    torch.testing.assert_close(z.cpu(), y, rtol=1e-4, atol=1e-5)
    z.square().sum().backward()
    assert on_device.weight.grad is not None
    assert choose_backend(on_device.weight, 8, on_device._edge_index()) == (
        "csr" if density < auto.CUDA_DENSE_ABOVE else "dense"
    )
