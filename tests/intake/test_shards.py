"""Weights in shards with an index, folders of them, and `load_pretrained`: read as one file, or refused by name."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import own_signals
from safetensors.torch import save_file
from torch import nn

import analysis
import netsci_nn as ns
from netsci_nn import CheckpointError, ConfigError, SparseLinear, SparseMLP
from netsci_nn.cli import main
from netsci_nn.intake import take_in
from netsci_nn.models import sparse_layers

STATE = {
    "fc1.weight": torch.eye(5, 8),
    "fc2.weight": torch.eye(3, 5),
    "fc10.weight": torch.eye(2, 3),
    "fc2.bias": torch.ones(3),
}
PLACES = {"fc1.weight": "a", "fc2.weight": "b", "fc10.weight": "a", "fc2.bias": "b"}


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)


def sharded(folder: Path, ending: str = "safetensors", **changes: Any) -> Path:
    """Two shards and their index, whose weight_map gets `changes`; None takes a name away."""
    for shard in ("a", "b"):
        save({name: STATE[name] for name in STATE if PLACES[name] == shard}, folder / f"{shard}.{ending}")
    places = {name: f"{shard}.{ending}" for name, shard in PLACES.items()} | changes
    index = folder / ("model.safetensors.index.json" if ending == "safetensors" else "pytorch_model.bin.index.json")
    present = {name: place for name, place in places.items() if place is not None}
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": present}))
    return index


def found(path: Path) -> dict[str, int]:
    networks = take_in(path).networks
    return {network.name: analysis.as_layered(network.graph).layers[0].n_edges for network in networks}


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards_are_read_as_one_file(ending: str, tmp_path: Path) -> None:
    index = sharded(tmp_path, ending)
    assert found(index) == {"fc1.weight": 5, "fc2.weight": 3, "fc10.weight": 2}
    assert list(found(index)) == ["fc1.weight", "fc2.weight", "fc10.weight"]  # by number
    assert found(tmp_path) == found(index)
    assert take_in(tmp_path).notes[0] == f"the weights are read from {index.name}"
    assert take_in(tmp_path, 2.0).networks[0].graph[0].weights.tolist() == []


def test_a_sparse_layer_may_lie_in_several_shards(tmp_path: Path) -> None:
    model = SparseMLP([8, 6, 4], density=0.4, rng=0)
    places = {}
    for number, (name, tensor) in enumerate(model.state_dict().items()):
        save_file({name: tensor}, tmp_path / f"{number}.safetensors")
        places[name] = f"{number}.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert found(tmp_path) == {f"layers.{i}": layer.n_edges for i, layer in enumerate(model.layers)}
    loaded = ns.load_pretrained(SparseMLP([8, 6, 4], density=0.9, rng=1), tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_command_line_takes_an_index_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sharded(tmp_path)
    for target in ("model.safetensors.index.json", "."):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["netsci-nn", "analyze", target, "--nulls", "1", "--json", "report.json"])
        with pytest.raises(SystemExit) as ended, own_signals():
            main()
        assert ended.value.code in (0, None)
        report = json.loads((tmp_path / "report.json").read_text())
        assert [network["layers"] for network in report["networks"]] == ["fc1.weight", "fc2.weight", "fc10.weight"]


def test_a_folder_with_a_whole_file(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    assert len(found(tmp_path)) == 3
    save_file({"w": torch.eye(2)}, tmp_path / "model.safetensors")  # comes first
    assert found(tmp_path) == {"w": 2}
    sharded(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"holds both model\.safetensors and model\.safetensors\.index\.json; name the one"
    ):
        take_in(tmp_path)


def test_links_within_a_cache_are_followed_and_no_others(tmp_path: Path) -> None:
    """Hugging Face keeps files in `blobs` and links to them from `snapshots/REVISION`."""
    snapshot, blobs, outside = tmp_path / "snapshots" / "1a2b", tmp_path / "blobs", tmp_path / "elsewhere"
    for folder in (snapshot, blobs, outside):
        folder.mkdir(parents=True)
    index = sharded(snapshot)
    (snapshot / "a.safetensors").rename(blobs / "e3b0")
    (snapshot / "a.safetensors").symlink_to("../../blobs/e3b0")
    assert len(found(index)) == 3
    (blobs / "e3b0").rename(outside / "a.safetensors")
    (snapshot / "a.safetensors").unlink()
    (snapshot / "a.safetensors").symlink_to(outside / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"shard a\.safetensors is a link to another folder"):
        take_in(index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc1.weight": "c.safetensors"}, "shard c.safetensors is missing"),
        (
            {"fc1.weight": "../a.safetensors"},
            "weight_map has the file '../a.safetensors'; it must be the plain name of a file in",
        ),
        ({"fc1.weight": "/etc/passwd"}, "weight_map has the file '/etc/passwd'; it must be the plain name"),
        ({"fc1.weight": "..\\a.safetensors"}, "it must be the plain name"),
        ({"fc1.weight": ".."}, "it must be the plain name"),
        ({"fc1.weight": ""}, "weight_map has the file ''; it must be the plain name"),
        ({"fc1.weight": "a\0.safetensors"}, "it must be the plain name"),
        ({"fc1.weight": "model.safetensors.index.json"}, "it must end in .safetensors, .bin, .pt, .pth"),
        ({"fc1.weight": "folder.safetensors"}, "shard folder.safetensors is not a file"),
        ({"fc1.weight": 3}, "weight_map has a int for 'fc1.weight'; it must have the name of a file"),
        ({"fc1.weight": "b.safetensors"}, "tensor 'fc1.weight' is in a.safetensors, and not there by the index"),
        ({"fc1.weight": None}, "tensor 'fc1.weight' is in a.safetensors, and not there by the index"),
        ({"fc3.weight": "a.safetensors"}, "tensor 'fc3.weight' is not in a.safetensors, where by the index"),
        ({"fc3.weight": "noise.safetensors"}, "cannot be read as safetensors"),
    ],
    ids=str,
)
def test_indices_that_do_not_fit_their_shards(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "noise.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0noise")
    save_file({"fc1.weight": torch.eye(2)}, tmp_path.parent / "a.safetensors")
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        take_in(sharded(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("file ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ('{"weight_map": {"a": "a.safetensors"', "Expecting ',' delimiter"),
        ("[]", "it has no weight_map"),
        ('{"metadata": {}}', "it has no weight_map"),
        ('{"weight_map": {}}', "it has no weight_map"),
        ('{"weight_map": ["a.safetensors"]}', "it has no weight_map"),
        ('{"weight_map": {"w": "a.safetensors", "w": "b.safetensors"}}', "'w' occurs twice"),
        ("[" * 100_000, "recursion"),
        ("1" * 10_000, "limit"),
        (b"\xff\xfe\xfa", "decode"),
    ],
    ids=lambda text: str(text)[:40],
)
def test_damaged_indices(text: str | bytes, message: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CheckpointError, match=f"cannot be read as an index of shards: .*{message}") as caught:
        take_in(index)
    assert "\n" not in str(caught.value)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("was-run", "w")


def test_pickled_shards_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index = sharded(tmp_path, "bin")
    torch.save({"fc2.weight": torch.eye(3, 5), "fc2.bias": Trap()}, tmp_path / "b.bin")
    with pytest.raises(CheckpointError, match=r"b\.bin' is refused"):
        take_in(index)
    assert not (tmp_path / "was-run").exists()


# load_pretrained


def sparse_norm() -> nn.ModuleDict:
    model = nn.ModuleDict({"norm": nn.Linear(6, 6)})
    ns.sparsify(model, density=0.5, layers={"norm": {}}, rng=0)
    return model


class Tied(nn.Module):
    """A head that shares the weight of the embedding, a frozen layer, a counter and a layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 6), nn.Linear(6, 9, bias=False)
        self.head.weight = self.embed.weight
        self.up, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
        self.again = self.up

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.again(self.up(self.embed(x)))))


X = torch.arange(9)


def trained() -> Tied:
    torch.manual_seed(0)
    model = Tied()
    ns.sparsify(model, density=0.4, exclude="head", layers={"up": {}}, rng=0)
    model(X)  # moves the averages of the norm
    return model.eval()  # type: ignore[return-value]


def without_doubles(model: nn.Module) -> dict[str, torch.Tensor]:
    """What Hugging Face saves: of tensors that share memory the first."""
    seen: set[int] = set()
    pointers = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if pointers[name] not in seen and not seen.add(pointers[name])  # type: ignore[func-returns-value]
    }


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_sparse_layers_are_loaded_into_a_dense_model(ending: str, tmp_path: Path) -> None:
    model = trained()
    save(without_doubles(model), tmp_path / f"model.{ending}")
    assert "head.weight" not in without_doubles(model)
    torch.manual_seed(5)
    random, fresh = torch.get_rng_state(), Tied().eval()
    random = torch.get_rng_state()
    up = fresh.up
    assert ns.load_pretrained(fresh, tmp_path / f"model.{ending}") is fresh
    assert torch.equal(torch.get_rng_state(), random)
    assert isinstance(up, nn.Linear)
    assert isinstance(fresh.up, SparseLinear)
    assert fresh.up is fresh.again
    assert fresh.head.weight is fresh.embed.weight
    assert torch.equal(fresh(X), model(X))
    assert fresh.state_dict().keys() == model.state_dict().keys()
    assert not fresh.training


def test_layers_that_are_sparse_already_keep_their_backend(tmp_path: Path) -> None:
    model = trained()
    model.up.active = torch.arange(model.up.n_edges) > 2
    torch.save(model.state_dict(), tmp_path / "m.pt")
    other = Tied()
    ns.sparsify(other, density=0.9, exclude="head", layers={"up": {}}, backend="csr", rng=3)
    parameter = other.up.weight
    ns.load_pretrained(other, tmp_path / "m.pt").eval()
    assert other.up.weight is parameter
    assert other.up.backend == "csr"
    torch.testing.assert_close(other(X), model(X))
    ns.load_pretrained(other, tmp_path / "m.pt")  # once more, and without the mask
    model.up.active = None
    torch.save(model.state_dict(), tmp_path / "m.pt")
    assert ns.load_pretrained(other, tmp_path / "m.pt").up.active is None


def test_the_model_keeps_its_dtype(tmp_path: Path) -> None:
    torch.save(trained().state_dict(), tmp_path / "m.pt")
    model = ns.load_pretrained(Tied().double(), tmp_path / "m.pt")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def renamed(**names: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda state: {names.get(name.replace(".", "_"), name): tensor for name, tensor in state.items()}


def changed(**tensors: torch.Tensor | None) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    def change(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        new = {name: tensors.get(name.replace(".", "_"), tensor) for name, tensor in state.items()}
        return {name: tensor for name, tensor in new.items() if tensor is not None}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(norm_bias=None), "it lacks norm.bias"),
        (renamed(norm_bias="norm.b"), "it lacks norm.bias"),
        (lambda state: state | {"extra.weight": torch.ones(2)}, "the model has no extra.weight"),
        (
            changed(embed_weight=torch.ones(8, 6), head_weight=torch.ones(8, 6)),
            "tensor 'embed.weight' is [8, 6] of torch.float32",
        ),
        (changed(head_weight=torch.ones(9, 6)), "the model ties 'embed.weight' and 'head.weight', which differ in the file"),
        (changed(norm_weight=torch.ones(6).int()), "tensor 'norm.weight' is [6] of torch.int32, and in the model [6] of"),
        (
            changed(norm_weight=torch.ones(6).to_sparse()),
            "tensor 'norm.weight' is [6] of torch.float32 of layout torch.sparse_coo",
        ),
        (changed(up_sizes=torch.tensor([7, 6])), "layer 'up' joins 7 sources and 6 targets, and in the model 6 and 6"),
        (changed(up_birth=None), "sparse layer 'up' has no birth of its edges, integers [14]"),
        (changed(up_birth=torch.zeros(14)), "sparse layer 'up' has no birth of its edges, integers [14]"),
        (changed(up_src=torch.zeros(14).int()), "sparse layer 'up': "),
        (changed(up_dst=torch.full((14,), 6)), "sparse layer 'up': dst[0] is 6; it must be from 0 to n_out - 1 = 5"),
        (changed(up_weight=torch.ones(13), again_weight=torch.ones(13)), "sparse layer 'up': its weights are [13]"),
        (
            changed(up_weight=torch.ones(14, 2), again_weight=torch.ones(14, 2)),
            "layer 'up' has kernels [2] on its edges, and in",
        ),
        (
            changed(again_dst=torch.arange(14) // 6, again_src=torch.arange(14) % 6),
            "layer 'again' has other edges than under its other names in the model",
        ),
        (
            lambda state: sparse_norm().state_dict(),
            "layer 'norm' is",
        ),
        (lambda state: {"model": state, "ema": state}, "it does not hold the state dict of one model alone"),
        (lambda state: Tied().state_dict(), "layer 'again' is dense in the file and sparse in the model"),
    ],
)
def test_files_of_other_models_change_nothing(change: Any, message: str, tmp_path: Path) -> None:
    torch.save(change(trained().state_dict()), tmp_path / "m.pt")
    model = trained() if "sparse in the model" in message else Tied()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        ns.load_pretrained(model, tmp_path / "m.pt")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "m.pt") in str(caught.value)
    assert list(model.modules()) == modules
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())


def test_models_and_paths_that_are_refused(tmp_path: Path) -> None:
    torch.save(trained().state_dict(), tmp_path / "m.pt")
    with torch.device("meta"):
        unborn = Tied()
    hooked = Tied()
    hooked.up.register_forward_hook(lambda module, arguments, output: output)
    torch.save(sparse_layers(trained())[0].state_dict(), tmp_path / "layer.pt")
    for model, path, error, message in (
        (unborn, "m.pt", ConfigError, "model has 'embed.weight' on the meta device, without memory for numbers"),
        (hooked, "m.pt", ConfigError, "layer 'up' cannot become sparse: it has hooks"),
        (nn.Linear(6, 6), "layer.pt", ConfigError, "model is a dense layer, which cannot become sparse in place"),
        ("model", "m.pt", ConfigError, "model is a str; it must be a module"),
        (Tied(), "none.pt", CheckpointError, "none.pt' does not exist"),
        (
            Tied(),
            ".",
            CheckpointError,
            "holds no weights: neither model.safetensors nor pytorch_model.bin, nor an index of them",
        ),
    ):
        with pytest.raises(error, match=re.escape(message)):
            ns.load_pretrained(model, tmp_path / path)  # type: ignore[arg-type]
    layer = sparse_layers(trained())[0]
    again = ns.load_pretrained(SparseLinear(layer.topology), tmp_path / "layer.pt")
    assert torch.equal(again.weight, layer.weight)


def test_an_unknown_name_of_the_package() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'load_trained'"):
        ns.load_trained  # noqa: B018
