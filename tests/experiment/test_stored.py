"""Wiring from a file: it is kept edge by edge, and a file that does not fit is one sentence."""

from pathlib import Path

import pytest
from toy_experiments import run, toy

from netsci_nn import ConfigError, TopologyError, generators
from netsci_nn.topology import save_topology


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".csv"])
def test_the_wiring_of_a_file_is_kept(ending: str, tmp_path: Path) -> None:
    layer = generators.erdos_renyi(12, 10, n_edges=20, rng=0)
    save_topology(layer, tmp_path / f"layer{ending}")
    wiring = [{"name": "stored", "path": str(tmp_path / f"layer{ending}")}, "erdos_renyi"]
    for seed in (0, 1):
        assert run(tmp_path / f"run-{seed}", toy([{"name": "a", "generator": wiring}], epochs=0), seed).initial[0] == layer


def test_stored_wiring_is_a_file_of_the_layers_sizes(tmp_path: Path) -> None:
    save_topology(generators.erdos_renyi(12, 9, n_edges=20, rng=0), tmp_path / "layer.npz")
    wiring = [{"name": "stored", "path": str(tmp_path / "layer.npz")}, "erdos_renyi"]
    with pytest.raises(TopologyError, match=r"layer\.npz' holds a layer of 12 x 9 neurons; it must be 12 x 10"):
        run(tmp_path / "run", toy([{"name": "a", "generator": wiring}]))
    with pytest.raises(ConfigError, match="generator 'stored': unknown key 'layer' = 1; allowed are: path"):
        run(tmp_path / "run", toy([{"name": "a", "generator": [wiring[0] | {"layer": 1}, "erdos_renyi"]}]))
    with pytest.raises(ConfigError, match="generator 'stored' has no path; it must name the file of a topology"):
        toy([{"name": "a", "generator": "stored"}])
    assert not (tmp_path / "run").exists()
