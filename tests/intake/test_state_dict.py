"""State dicts of any torch model: where they are found, which tensors are layers, and what is refused."""

import os
import pickle
import re
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import analysis
from netsci_nn import BipartiteTopology, CheckpointError, ConfigError, SparseLinear, SparseMLP, spectral_norm, weight_norm
from netsci_nn.intake import take_in

TOPOLOGY = BipartiteTopology.from_edges([(0, 0), (1, 0), (2, 1)], 3, 2)
RULE = "edges are the weights other than 0"
APART = "the file does not say how its layers are joined; each is reported by itself"
SPARSE = {"fc1.weight": torch.eye(5, 8), "fc2.weight": torch.eye(3, 5)}


def layers(path: Path, threshold: float | None = None) -> list[analysis.BipartiteGraph]:
    """The layers that are taken in, each by itself."""
    networks = [analysis.as_layered(network.graph).layers for network in take_in(path, threshold).networks]
    return [layer for (layer,) in networks]


def only_layer(path: Path, threshold: float | None = None) -> analysis.BipartiteGraph:
    (layer,) = layers(path, threshold)
    return layer


def saved(value: Any, path: Path) -> Path:
    torch.save(value, path)
    return path


def matrix(layer: analysis.BipartiteGraph) -> np.ndarray:
    assert layer.weights is not None
    dense = np.zeros((layer.n_out, layer.n_in))
    dense[layer.dst, layer.src] = layer.weights
    return dense


def sparse_linears() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    for module in (model[0], model[2]):
        with torch.no_grad():
            module.weight[:, ::2] = 0
    return model


@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "bin", "safetensors"])
def test_state_dict_of_linear_layers(ending: str, tmp_path: Path) -> None:
    model, path = sparse_linears(), tmp_path / f"m.{ending}"
    save_file(model.state_dict(), path) if ending == "safetensors" else torch.save(model.state_dict(), path)
    for layer, module in zip(layers(path), (model[0], model[2]), strict=True):
        np.testing.assert_array_equal(matrix(layer), module.weight.detach().numpy())
        assert layer.n_edges == module.weight.count_nonzero()
    intake = take_in(path)
    assert intake.notes == [APART, RULE]
    assert [network.name for network in intake.networks] == ["0.weight", "2.weight"]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"net": state},
        lambda state: {"model_state": state, "epoch": 3},
        lambda state: {"model": {"state_dict": state, "name": "mlp"}, "optimizer": {"state": {0: {"m": torch.ones(99)}}}},
    ],
)
def test_state_dicts_within_others(wrapped: Any, tmp_path: Path) -> None:
    path = saved(wrapped(SPARSE), tmp_path / "m.pt")
    assert [layer.n_edges for layer in layers(path)] == [5, 3]
    assert take_in(path).notes == [APART, RULE]


def test_of_several_dicts_the_largest_is_taken_and_named(tmp_path: Path) -> None:
    path = saved({"scale": torch.ones(3), "ema": {"fc.weight": torch.eye(2)}, "model": {"net": SPARSE}}, tmp_path / "m.pt")
    assert [network.name for network in take_in(path).networks] == ["fc1.weight", "fc2.weight"]
    assert take_in(path).notes[1] == (
        "of the dicts of tensors in the file the largest was taken, 'model.net', and left out: the outermost (1 tensors), "
        "'ema' (1 tensors)"
    )


def test_threshold(tmp_path: Path) -> None:
    path = saved({"w.weight": torch.tensor([[0.5, -0.1, 0.2], [-0.3, 0.25, 0.01]])}, tmp_path / "m.pt")
    layer = only_layer(path, 0.2)
    assert list(zip(layer.src.tolist(), layer.dst.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert only_layer(path, 0.0).n_edges == 6
    assert only_layer(path, 9.0).n_edges == 0
    assert take_in(path, 0.2).notes == ["edges are the weights with |w| > 0.2"]


def test_layers_one_by_one_and_what_is_left_out(tmp_path: Path) -> None:
    state = {
        "conv1.bias": torch.ones(4),
        "ids": torch.zeros(2, 2, dtype=torch.int64),
        "tokens.Embedding.weight": torch.ones(9, 8),
        "positions": torch.ones(1, 9, 8),
        "mask": torch.ones(1, 1, 9, 9),
        **SPARSE,
        "other.weight": torch.eye(7, 9),
    }
    intake = take_in(saved({"state_dict": state, "epoch": 3}, tmp_path / "m.pt"))
    assert [network.name for network in intake.networks] == ["fc1.weight", "fc2.weight", "other.weight"]
    assert intake.notes == [
        APART,
        RULE,
        "left out by their names, as rows of an embedding are no neurons: tokens.Embedding.weight [9, 8]",
        "left out, since they are no matrices of weights: ids [2, 2], positions [1, 9, 8], mask [1, 1, 9, 9]",
    ]


def test_long_lists_are_cut(tmp_path: Path) -> None:
    state = {f"table{k}": torch.ones(1, 2, 3) for k in range(30)}
    note = take_in(saved({**state, **SPARSE}, tmp_path / "m.pt")).notes[2]
    assert note.endswith("table7 [1, 2, 3] and 22 more")


def test_a_dense_layer_among_sparse_ones_is_complete(tmp_path: Path) -> None:
    path = saved({**SPARSE, "head.weight": torch.ones(4, 3)}, tmp_path / "m.pt")
    assert [layer.n_edges for layer in layers(path)] == [5, 3, 12]
    note = "dense layers among sparse ones, which have no zero, are taken as complete: head.weight [4, 3]"
    assert take_in(path).notes == [APART, RULE, note]
    assert len(take_in(path, 0.5).notes) == 2


def test_convolutions_are_graphs_of_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(4, 3, 3, 3), torch.randn(2, 4, 1, 1)
    first[1, 2] = 0
    first[0, 0, 1:] = 0
    second[0] = 0
    path = saved({"conv1.weight": first, "conv2.weight": second, "fc.weight": torch.eye(5, 2)}, tmp_path / "m.pt")
    chain = layers(path)
    assert [(layer.n_in, layer.n_out, layer.n_edges) for layer in chain] == [(3, 4, 11), (4, 2, 4), (2, 5, 2)]
    np.testing.assert_allclose(matrix(chain[0]), first.flatten(2).norm(dim=2).numpy(), rtol=1e-6)
    assert "weight the L2 norm of the kernel: conv1.weight [4, 3, 3, 3], conv2.weight [2, 4, 1, 1]" in take_in(path).notes[2]
    largest = first.abs().amax(dim=(2, 3)) > 1
    assert layers(path, 1.0)[0].n_edges == largest.sum()


def test_pruned_and_half_precision_tensors(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    assert only_layer(saved(model.state_dict(), tmp_path / "pruned.pt")).n_edges == 12
    assert only_layer(saved({"w": torch.eye(4, 6, dtype=torch.bfloat16)}, tmp_path / "half.pt")).n_edges == 4


def test_normalised_weights_are_put_together(tmp_path: Path) -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 4)), parametrizations.weight_norm(nn.Conv2d(4, 2, 3)))
    with torch.no_grad():
        for module in model:
            module.parametrizations.weight.original1[:, ::2] = 0
            module.parametrizations.weight.original0.mul_(3)
    chain = layers(saved(model.state_dict(), tmp_path / "new.pt"))
    np.testing.assert_allclose(matrix(chain[0]), model[0].weight.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(matrix(chain[1]), model[1].weight.detach().flatten(2).norm(dim=2).numpy(), rtol=1e-6)
    old = {"fc.weight_g": torch.tensor([[2.0], [0.0]]), "fc.weight_v": torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])}
    path = saved(old, tmp_path / "old.pt")
    np.testing.assert_allclose(matrix(only_layer(path)), [[1.2, 0, 1.6], [0, 0, 0]], rtol=1e-6)
    assert take_in(path).networks[0].name == "fc.weight"


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_sparse_tensors_without_a_warning(layout: torch.layout, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = torch.eye(3, 4).to_sparse(layout=layout)
    saved({"w": tensor}, tmp_path / "m.pt")
    assert only_layer(tmp_path / "m.pt").n_edges == 3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_state_dict_of_sparse_layers(ending: str, bias: bool, tmp_path: Path) -> None:
    model, path = SparseMLP([8, 30, 4], density=0.4, bias=bias, rng=1), tmp_path / f"m.{ending}"
    save_file(model.state_dict(), path) if ending == "safetensors" else torch.save(model.state_dict(), path)
    for layer, module in zip(layers(path), model.layers, strict=True):
        expected = [module.n_in, module.n_out, module.topology.src, module.topology.dst, module.weight.detach().numpy()]
        assert layer == analysis.BipartiteGraph(*expected)
    assert not any("not in the file" in note for note in take_in(path).notes)


FORMER = Path(__file__).parents[1] / "fixtures" / "version-0.1.0"
UNKNOWN = (
    "the file does not state all sizes: {}; these numbers are assumed, and what depends on neurons beyond them (density, "
    "neurons without edges, the random graphs) is not known; state the sizes with --sizes NAME=INxOUT"
)


def test_of_sparse_layers_of_0_1_0_the_sizes_are_the_least_and_a_note_says_so() -> None:
    path = FORMER / "state.pt"
    assert [(layer.n_in, layer.n_out) for layer in layers(path)] == [(12, 10), (10, 3)]
    least = "layers.0 has at least 12 sources, layers.1 has at least 10 sources"  # biases tell the targets
    assert take_in(path).notes == [APART, RULE, UNKNOWN.format(least)]
    sizes = {"layers.0": (15, 10), "layers.1": (10, 3)}
    intake = take_in(path, sizes=sizes)
    assert [(network.graph[0].n_in, network.graph[0].n_out) for network in intake.networks] == [(15, 10), (10, 3)]
    assert intake.notes == [APART, RULE]


def test_in_its_run_a_checkpoint_of_0_1_0_is_a_chain_whose_layers_tell_each_other() -> None:
    intake = take_in(FORMER / "complete" / "checkpoint" / "last.safetensors")
    assert [(layer.n_in, layer.n_out) for layer in intake.networks[0].graph] == [(12, 10), (10, 3)]
    assert intake.notes == [RULE, UNKNOWN.format("layers.0 has at least 12 sources")]


def attention(bias: bool) -> nn.ModuleDict:
    """Layers that are no stack: the 48 targets of the first are queries, keys and values of 16 heads."""
    kept = {"qkv": [(1, 0), (14, 46), (3, 2)], "proj": [(0, 0), (9, 3), (12, 14)]}
    sizes = {"qkv": (16, 48), "proj": (16, 16)}
    topologies = {name: BipartiteTopology.from_edges(kept[name], *sizes[name]) for name in kept}
    return nn.ModuleDict({name: SparseLinear(topology, bias=bias) for name, topology in topologies.items()})


def without_sizes(state: dict[str, torch.Tensor], weights: str = "weight") -> dict[str, torch.Tensor]:
    """The state dict as one without sizes, with this name of its weights."""
    kept = {name: tensor for name, tensor in state.items() if not name.endswith(".sizes")}
    return {name.replace(".weight", f".{weights}"): tensor for name, tensor in kept.items()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "kept",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    ],
)
def test_sizes_in_the_file_are_read_however_layers_are_joined(kept: Any, bias: bool, tmp_path: Path) -> None:
    state = kept(dict(attention(bias).state_dict()))
    intake = take_in(saved(state, tmp_path / "m.pt"))
    sizes = [(layer.n_in, layer.n_out) for network in intake.networks for layer in network.graph]
    assert sizes == [(16, 48), (16, 16)]
    assert intake.notes == [APART, RULE]


@pytest.mark.parametrize("weights", ["weight", "values"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_without_sizes_no_layer_gets_those_of_another(ending: str, weights: str, tmp_path: Path) -> None:
    path = tmp_path / f"m.{ending}"
    for bias, least in (
        (True, {"qkv": "at least 15 sources", "proj": "at least 13 sources"}),
        (False, {"qkv": "at least 15 sources and at least 47 targets", "proj": "at least 13 sources and at least 15 targets"}),
    ):
        state = without_sizes(dict(attention(bias).state_dict()), weights)
        save_file(state, path) if ending == "safetensors" else torch.save(state, path)
        intake = take_in(path)
        found = {network.name: network.graph[0] for network in intake.networks}
        n_out = {"qkv": 48, "proj": 16} if bias else {"qkv": 47, "proj": 15}
        assert {name: (layer.n_in, layer.n_out) for name, layer in found.items()} == {
            "qkv": (15, n_out["qkv"]),
            "proj": (13, n_out["proj"]),  # and not the 48 sources that the layer before has as targets
        }
        assert intake.notes == [APART, RULE, UNKNOWN.format(", ".join(f"{name} has {least[name]}" for name in found))]
        stated = take_in(path, sizes={"qkv": (16, 48), "proj": (16, 16)})
        expected = take_in(saved(attention(bias).state_dict(), tmp_path / "own.pt"))
        assert {network.name: (network.graph[0].n_in, network.graph[0].n_out) for network in stated.networks} == {
            network.name: (network.graph[0].n_in, network.graph[0].n_out) for network in expected.networks
        }
        assert stated.notes == [APART, RULE]
        half = take_in(path, sizes={"qkv": (16, 48)})
        assert half.notes[2] == UNKNOWN.format(f"proj has {least['proj']}")


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (
            {"qvk": (16, 48)},
            ConfigError,
            "sizes are given for 'qvk'; they can be given for sparse layers whose sizes are not in",
        ),
        ({"head.weight": (16, 4)}, ConfigError, "sizes are given for 'head.weight'; they can be given for sparse layers whose"),
        ({"proj": (12, 16)}, CheckpointError, "sparse layer 'proj': src[2] is 12; it must be from 0 to n_in - 1 = 11"),
        ({"proj": (16, 17)}, CheckpointError, "sparse layer 'proj': bias is [16]; with 17 targets it must be [17]"),
    ],
)
def test_sizes_that_do_not_fit(sizes: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
    state = {**without_sizes(dict(attention(True).state_dict())), "head.weight": torch.eye(4, 16)}
    with pytest.raises(error, match=re.escape(message)):
        take_in(saved(state, tmp_path / "m.pt"), sizes=sizes)


def test_sizes_for_what_states_them(tmp_path: Path) -> None:
    path = saved(attention(True).state_dict(), tmp_path / "m.pt")
    with pytest.raises(ConfigError, match="whose sizes are not in the file: there are none"):
        take_in(path, sizes={"qkv": (16, 48)})
    TOPOLOGY.save(tmp_path / "t.npz")
    with pytest.raises(ConfigError, match=r"sizes are given for 'qkv'; only state dicts take sizes, not '.*t\.npz'"):
        take_in(tmp_path / "t.npz", sizes={"qkv": (16, 48)})


def test_a_list_of_numbers_beside_ends_of_another_length_is_no_sparse_layer(tmp_path: Path) -> None:
    state = {"gnn.weight": torch.ones(4), "gnn.src": torch.tensor([0, 1]), "gnn.dst": torch.tensor([0, 1]), **SPARSE}
    assert [network.name for network in take_in(saved(state, tmp_path / "m.pt")).networks] == ["fc1.weight", "fc2.weight"]


def conv1d(n_in: int, n_out: int) -> dict[str, torch.Tensor]:
    """A layer as transformers' Conv1D keeps it, with a pattern that shows which side is which: source 1 has all edges."""
    weight = torch.zeros(n_in, n_out)
    weight[1] = 1 + torch.arange(n_out)
    return {"weight": weight, "bias": torch.zeros(n_out)}


def named(**parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        f"h.0.{layer.replace('_1_', '.')}.{part}": tensor for layer, entry in parts.items() for part, tensor in entry.items()
    }


def linear(n_in: int, n_out: int) -> dict[str, torch.Tensor]:
    """The same layer as `nn.Linear` keeps it."""
    layer = conv1d(n_in, n_out)
    return {"weight": layer["weight"].T.contiguous(), "bias": layer["bias"]}


BIAS_TELLS = "weights taken as [n_in, n_out], since they have as many biases as that gives targets: "
NAME_TELLS = (
    "square weights, which their biases cannot tell apart, taken as [n_in, n_out] for their names, under which GPT-2 in "
    "transformers keeps them so: "
)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_of_gpt2_are_stored_from_source_to_target(ending: str, tmp_path: Path) -> None:
    state, path = (
        named(attn_1_c_attn=conv1d(4, 12), attn_1_c_proj=conv1d(4, 4), mlp_1_c_fc=conv1d(4, 16)),
        tmp_path / f"m.{ending}",
    )
    state |= named(mlp_1_c_proj=conv1d(16, 4), head=linear(4, 4), probe=linear(4, 9))
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    intake = take_in(path)
    for network in intake.networks:
        (layer,) = analysis.as_layered(network.graph).layers
        assert set(layer.src.tolist()) == {1}, network.name
        assert layer.weights is not None
        assert layer.weights[np.argsort(layer.dst)].tolist() == [1.0 + k for k in range(layer.n_out)]
    sizes = {network.name[4:]: (network.graph[0].n_in, network.graph[0].n_out) for network in intake.networks}
    assert sizes == {
        "attn.c_attn.weight": (4, 12),
        "attn.c_proj.weight": (4, 4),
        "mlp.c_fc.weight": (4, 16),
        "mlp.c_proj.weight": (16, 4),
        "head.weight": (4, 4),
        "probe.weight": (4, 9),
    }
    (told,) = (note for note in intake.notes if note.startswith(BIAS_TELLS))
    assert all(f"{name} {shape}" in told for name, shape in (("c_attn.weight", [4, 12]), ("c_fc.weight", [4, 16])))
    assert "head" not in told
    assert "probe" not in told
    assert f"{NAME_TELLS}h.0.attn.c_proj.weight [4, 4]" in intake.notes


def test_linear_layers_with_names_of_gpt2_are_linear(tmp_path: Path) -> None:
    state = named(attn_1_c_attn=linear(4, 12), attn_1_c_proj=linear(4, 4), mlp_1_c_fc=linear(4, 16), mlp_1_c_proj=linear(16, 4))
    bare = {name: tensor for name, tensor in state.items() if name.endswith("weight")}  # Conv1D always has a bias
    for saved_state in (state, bare):
        intake = take_in(saved(saved_state, tmp_path / "m.pt"))
        assert intake.notes == [APART, RULE]
        assert all(set(network.graph[0].src.tolist()) == {1} for network in intake.networks)


def test_a_square_weight_of_another_name_is_linear_and_a_transposed_convolution_is_not(tmp_path: Path) -> None:
    up = torch.zeros(3, 5, 2, 2)  # of nn.ConvTranspose2d(3, 5, 2)
    up[1] = 1
    path = saved({"fc.weight": torch.tensor([[0.0, 2.0], [0.0, 0.0]]), "fc.bias": torch.zeros(2)}, tmp_path / "fc.pt")
    assert only_layer(path) == analysis.BipartiteGraph(2, 2, [1], [0], [2.0])
    path = saved({"up.weight": up, "up.bias": torch.zeros(5)}, tmp_path / "up.pt")
    assert only_layer(path) == analysis.BipartiteGraph(3, 5, [1] * 5, [0, 1, 2, 3, 4], [2.0] * 5)
    assert take_in(path).notes[-1] == f"{BIAS_TELLS}up.weight [3, 5, 2, 2]"


def test_a_single_sparse_layer_and_a_dense_head(tmp_path: Path) -> None:
    layer = SparseLinear(TOPOLOGY)
    path = saved(layer.state_dict(), tmp_path / "one.pt")
    weights = layer.weight.detach().numpy()
    assert only_layer(path) == analysis.BipartiteGraph(3, 2, TOPOLOGY.src, TOPOLOGY.dst, weights)
    head = saved(nn.Sequential(layer, nn.Linear(2, 4)).state_dict(), tmp_path / "head.pt")
    for threshold in (None, 0.0):
        assert [layer.n_edges for layer in layers(head, threshold)] == [3, 8]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch was-run",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.eye(3), "trap": Malicious()}, tmp_path / "trap.pt")
    torch.save({"w": torch.eye(3), "trap": Malicious()}, tmp_path / "trap.ckpt")
    torch.save(nn.Linear(3, 2), tmp_path / "module.bin")
    torch.save({"w": Malicious()}, tmp_path / "protocol.pt", pickle_protocol=4)
    (tmp_path / "noise.pth").write_bytes(b"\x80\x02noise")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("trap.pt", "trap.ckpt", "module.bin", "protocol.pt", "noise.pth", "empty.pt"):
        with pytest.raises(
            CheckpointError, match=rf"file '{name}' is refused .*save it with torch\.save\(model\.state_dict\(\), path\)$"
        ):
            take_in(Path(name))
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("is_old", [False, True])
def test_a_word_on_which_torch_would_think_for_hours_is_refused_at_once(is_old: bool, tmp_path: Path) -> None:
    """Torch searches its message, which names the word, with expressions that take the square of its length."""
    path = tmp_path / "long.pt"
    torch.save({"w": torch.eye(3), "said": "in short words " * 1000}, path, _use_new_zipfile_serialization=not is_old)
    assert [network.name for network in take_in(path).networks] == ["w"]
    word = pickle.PROTO + b"\x02c" + b"a" * 200_000 + b"\nb\n."
    if is_old:
        path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})) + word)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("long/data.pkl", word)
            archive.writestr("long/version", "3")
    begin = time.process_time()
    with pytest.raises(CheckpointError, match=r"file '.*long\.pt' is refused \(ValueError\)"):
        take_in(path)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("state", "threshold", "message"),
    [
        (
            {"w": torch.ones(3, 2)},
            None,
            "tensor 'w' [3, 2] has no zero, so it has no pattern of its own; state with --threshold",
        ),
        (
            {"a": torch.ones(3, 2), "conv.weight": torch.ones(2, 3, 1, 1)},
            None,
            "none of the 2 layers has a zero, so they have no patterns of their own (a [3, 2], conv.weight [2, 3, 1, 1])",
        ),
        ({"b": torch.ones(3)}, None, "has no matrix [n_out, n_in] of floating numbers; it holds b [3]"),
        ({"my_embed": torch.eye(3)}, None, "has no matrix [n_out, n_in] of floating numbers; it holds my_embed [3, 3]"),
        ({"w": torch.tensor([[0.0, float("nan")]])}, None, "tensor 'w' holds NaN or infinity"),
        ({"w": torch.tensor([[0.0, float("nan")]])}, 0.1, "tensor 'w' holds NaN or infinity"),
        ({"c.weight": torch.full((1, 1, 1, 1), float("inf"))}, None, "tensor 'c.weight' holds NaN or infinity"),
        ({"w": torch.eye(3)}, -1.0, "threshold is -1.0; it must be a finite number >= 0"),
        ({"w": torch.eye(3)}, float("nan"), "threshold is nan; it must be"),
        (
            {"epoch": 3, "config": {"lr": 0.1}},
            None,
            "holds a dict without tensors by name (epoch: int, config: dict (lr: float))",
        ),
        ([torch.ones(2, 2)], None, "holds a list without tensors by name; it must be a state dict"),
        ({"a": {"b": {"c": {"w": torch.eye(3)}}}}, None, "or a dict that holds one at most 2 levels down"),
        ({"w": torch.empty(3, 3, device="meta")}, None, "tensor 'w' is a meta tensor, a shape without numbers"),
        (
            {"a.values": torch.ones(2), "a.src": torch.tensor([0, -1]), "a.dst": torch.tensor([0, 1])},
            None,
            "sparse layer 'a': src[1] is -1; it must be from 0 to n_in - 1 = 0",
        ),
        (
            {"a.values": torch.ones(2), "a.src": torch.zeros(2).int(), "a.dst": torch.zeros(2).int()},
            None,
            "edge (0, 0) occurs twice",
        ),
    ],
    ids=str,
)
def test_state_dicts_that_cannot_be_read(state: Any, threshold: float | None, message: str, tmp_path: Path) -> None:
    path = saved(state, tmp_path / "m.pt")
    with pytest.raises((CheckpointError, ConfigError), match=re.escape(message)) as caught:
        take_in(path, threshold)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConfigError) or "m.pt'" in str(caught.value)


def stored(prefix: str = "0.", **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """The state dict of a sparse layer that states its sizes, of 3 sources and 2 targets."""
    parts = {
        "weight": torch.tensor([0.5, -2.0, 1.5]),
        "src": torch.tensor([0, 1, 2], dtype=torch.int32),
        "dst": torch.tensor([0, 0, 1], dtype=torch.int32),
        "birth": torch.zeros(3, dtype=torch.int32),
        "sizes": torch.tensor([3, 2]),
        **changes,
    }
    return {prefix + name: tensor for name, tensor in parts.items()}


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_sparse_layer_that_states_its_sizes(ending: str, tmp_path: Path) -> None:
    state, path = stored(sizes=torch.tensor([7, 4]), bias=torch.zeros(4)), tmp_path / f"m.{ending}"
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    assert only_layer(path) == analysis.BipartiteGraph(7, 4, [0, 1, 2], [0, 0, 1], [0.5, -2.0, 1.5])
    assert take_in(path).notes == [RULE]
    assert take_in(path).networks[0].name == "0"
    assert only_layer(path, 1.0) == analysis.BipartiteGraph(7, 4, [1, 2], [0, 1], [-2.0, 1.5])
    bare = saved(stored(""), tmp_path / "bare.pt")
    assert only_layer(bare) == analysis.BipartiteGraph(3, 2, TOPOLOGY.src, TOPOLOGY.dst, [0.5, -2.0, 1.5])


def test_edges_that_are_not_active_have_weight_0(tmp_path: Path) -> None:
    path = saved(stored(active=torch.tensor([True, False, True])), tmp_path / "m.pt")
    layer = only_layer(path)
    assert layer.weights is not None
    assert (layer.n_edges, layer.weights.tolist()) == (3, [0.5, 0.0, 1.5])
    assert only_layer(path, 0.0).n_edges == 2


def test_kernels_on_edges_give_their_norm(tmp_path: Path) -> None:
    kernels = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]], [[-1.0, 0.0]]])
    path = saved(stored(weight=kernels), tmp_path / "m.pt")
    assert only_layer(path) == analysis.BipartiteGraph(3, 2, TOPOLOGY.src, TOPOLOGY.dst, [5.0, 0.0, 1.0])
    assert take_in(path).notes[1] == (
        "sparse layers with a kernel on every edge, whose weight is the L2 norm of the kernel: 0.weight [3, 1, 2]"
    )
    assert only_layer(path, 3.5) == analysis.BipartiteGraph(3, 2, [0], [0], [5.0])
    row = saved(stored(weight=kernels[:, 0]), tmp_path / "row.pt")  # is no matrix [n_out, n_in]
    assert only_layer(row) == only_layer(path)
    none = {"weight": torch.zeros(0, 3, 3), "src": torch.zeros(0).int(), "dst": torch.zeros(0).int()}
    assert only_layer(saved(stored(**none), tmp_path / "none.pt")).n_edges == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"src": torch.tensor([0, 1, 3])}, "src[2] is 3; it must be from 0 to n_in - 1 = 2"),
        ({"dst": torch.tensor([0, 0, 2**40])}, "dst[2] is 1099511627776; it must be from 0 to n_out - 1 = 1"),
        ({"src": torch.tensor([-1, 1, 2])}, "src[0] is -1; it must be from 0 to n_in - 1 = 2"),
        ({"src": torch.tensor([1, 0, 2])}, "edge 1 = (0, 0) is out of order"),
        ({"src": torch.tensor([1, 1, 2])}, "edge (1, 0) occurs twice"),
        ({"src": torch.tensor([0, 1])}, "its weights are [3] of torch.float32; they must be dense floats [2, ...]"),
        ({"dst": torch.tensor([0, 1])}, "src has 3 entries and dst has 2"),
        ({"dst": torch.tensor([0.0, 0.0, 1.0])}, "dst is a tensor [3] of torch.float32; it must be integers [n_edges]"),
        (
            {"weight": torch.ones(3, dtype=torch.int64)},
            "its weights are [3] of torch.int64; they must be dense floats [3, ...]",
        ),
        ({"weight": torch.tensor([0.0, 1.0, float("inf")])}, "tensor '0.weight' holds NaN or infinity"),
        ({"sizes": torch.tensor([3, 0])}, "n_out is 0; it must be an integer from 1 to 2147483647"),
        ({"sizes": torch.tensor([3, -2])}, "n_out is -2; it must be an integer from 1"),
        ({"sizes": torch.tensor([3, 2, 1])}, "sizes is [3] of torch.int64; it must be two integers, n_in and n_out"),
        ({"sizes": torch.tensor([3.0, 2.0])}, "sizes is [2] of torch.float32; it must be two integers"),
        ({"active": torch.ones(3)}, "active is [3] of torch.float32; it must be booleans [3]"),
        ({"active": torch.tensor([True])}, "active is [1] of torch.bool; it must be booleans [3]"),
        ({"bias": torch.zeros(3)}, "bias is [3]; with 2 targets it must be [2]"),
        ({"bias": torch.zeros(1)}, "bias is [1]; with 2 targets it must be [2]"),
    ],
    ids=str,
)
def test_sparse_layers_that_are_refused(changes: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    path = saved(stored(**changes), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        take_in(path)
    assert f"file {str(path)!r}: " in str(caught.value)


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_a_sparse_layer_with_a_computed_weight_is_not_left_out_in_silence(norm: Any, tmp_path: Path) -> None:
    model = nn.Sequential(norm(SparseLinear(TOPOLOGY)), SparseLinear(BipartiteTopology(2, 2, [0], [1])))
    with pytest.raises(
        CheckpointError, match=r"the weight of sparse layer '0' is parametrized.*remove_parametrizations\(layer"
    ):
        take_in(saved(model.state_dict(), tmp_path / "model.pt"))
    with pytest.raises(CheckpointError, match="the weight of sparse layer 'the layer' is parametrized"):
        take_in(saved(norm(SparseLinear(TOPOLOGY)).state_dict(), tmp_path / "layer.pt"))
