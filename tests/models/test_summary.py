"""What `sparsify` returns: every parameter of the model accounted for, as a table, and a warning if most of it stays dense."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import netsci_nn as ns
from netsci_nn.allocation import Allocation, uniform
from netsci_nn.models.summary import DenseEntry, SparseEntry

DENSE_MODEL = "the whole model has a density of"


class Residual(nn.Module):
    """A small residual network: nearly all of it are convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(20))
        self.fc = nn.Linear(16, 10)


def summary_of(model: nn.Module, **arguments: Any) -> ns.SparsifySummary:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", DENSE_MODEL, UserWarning)
        return ns.sparsify(model, **{"density": 0.1, "rng": 0, **arguments})


def test_a_worked_example() -> None:
    """Weights: 12 of 40 in layer 0, all 18 of the convolution; biases 4 + 2, normalisation 8."""
    model = nn.Sequential(nn.Linear(10, 4), nn.LayerNorm(4), nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3)}))
    model[0].weight.requires_grad_(False)
    summary = summary_of(model, density=0.3)
    assert summary == ns.SparsifySummary(
        sparse=(SparseEntry("0", "Linear", 10, 4, 12, requires_grad=False, n_parameters=16),),
        already_sparse=(),
        dense=(
            DenseEntry("1", "LayerNorm", 8, "a normalisation"),
            DenseEntry("2.conv", "Conv2d", 20, "it has fewer than 8 sources"),
        ),
        asked=0.3,
        n_parameters_before=44 + 8 + 20,
        n_parameters=16 + 8 + 20,
        n_weights=12 + 18,
        n_possible_weights=40 + 18,
    )
    assert summary.density == 30 / 58
    assert summary.sparse[0].density == 0.3


def test_a_network_of_convolutions_becomes_sparse_and_its_stem_stays_dense() -> None:
    """Weights: 432 of the stem, a tenth of 20 x 2304 and of 160."""
    model = Residual()
    summary = ns.sparsify(model, density=0.1, allocation="uniform", rng=0)
    assert [entry.name for entry in summary.sparse] == [*(f"blocks.{i}" for i in range(20)), "fc"]
    assert {entry.kind for entry in summary.sparse} == {"Conv2d", "Linear"}
    assert [(entry.name, entry.reason) for entry in summary.dense] == [
        ("stem", "it has fewer than 8 sources"),
        ("norm", "a normalisation"),
    ]
    assert [entry.n_edges for entry in summary.sparse] == [26] * 20 + [16]
    assert summary.n_parameters_before == 432 + 32 + 20 * (2304 + 16) + 170
    assert summary.n_parameters == 432 + 32 + 20 * (26 * 9 + 16) + 26
    assert summary.n_weights == 432 + 20 * 26 * 9 + 16
    named = ns.sparsify(Residual(), density=0.1, layers={"^stem$": {"density": 0.5}}, rng=0)
    assert named.sparse[0].name == "stem"


def test_a_network_of_other_convolutions_warns_and_says_where_its_parameters_are() -> None:
    model = nn.Sequential(*(nn.Conv2d(16, 16, 3, groups=2) for _ in range(20)), nn.Linear(16, 10))
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    message = (
        r"the whole model has a density of 0\.9938, more than twice the 0\.1 that was asked of its linear layers: "
        r"23,360 of its 23,386 parameters are in Conv2d \(convolutions of this kind stay dense\); the summary"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        summary = ns.sparsify(model, density=0.1, rng=0)
    assert caught[0].filename == __file__  # it points at the call
    assert (summary.n_parameters_before, summary.n_parameters) == (n_parameters, n_parameters - 144)
    assert [entry.name for entry in summary.sparse] == ["20"]
    assert len(summary.dense) == 20


def test_models_without_a_layer_that_could_become_sparse() -> None:
    with pytest.raises(ns.ConfigError, match=r"no layer is left to replace: '0' have fewer than 8 sources, or are"):
        ns.sparsify(nn.Sequential(nn.Conv2d(3, 8, 3)), density=0.1, rng=0)
    with pytest.raises(ns.ConfigError, match=r"model is a Conv2d; it must be a module that contains nn.Linear layers, conv"):
        ns.sparsify(nn.Conv2d(9, 8, 3), density=0.1, rng=0)


@pytest.mark.parametrize(
    ("arguments", "warns"),
    [
        ({"density": 0.2}, True),  # (20 + 80) / 180 = 0.56
        ({"density": 0.4}, False),  # (40 + 80) / 180 = 0.67
        ({"density": None, "allocation": uniform([(10, 10)], 0.2)}, True),
        ({"density": None, "allocation": uniform([(10, 10)], 0.4)}, False),
        ({"density": None, "layers": {"0": {"density": 0.2}}}, True),
        ({"density": None, "layers": {"0": {"density": 0.4}}}, False),
    ],
)
def test_it_warns_above_twice_what_was_asked(arguments: dict[str, Any], warns: bool) -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.Embedding(8, 10))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        summary = ns.sparsify(model, **{"rng": 0, **arguments})
    assert [str(warning.message).startswith(DENSE_MODEL) for warning in caught] == [True] * warns
    assert (summary.density > 2 * summary.asked) == warns


def test_a_model_of_linear_layers_has_the_density_that_was_asked() -> None:
    summary = ns.sparsify(ns.dense_mlp([784, 300, 100, 10], rng=0), density=0.1, rng=0)
    assert summary.dense == summary.already_sparse == ()
    assert summary.density == summary.asked == 0.1
    assert summary.n_weights == 26620


def every_kind() -> nn.Module:
    """A module of each kind that holds parameters, excluded, shared and parametrised ones among them."""
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(8, 6),
            "attention": nn.MultiheadAttention(4, 2),
            "conv": nn.ConvTranspose1d(2, 3, 2),
            "embedding": nn.Embedding(5, 4),
            "norm": nn.GroupNorm(2, 4),
            "recurrent": nn.LSTM(3, 2),
            "cell": nn.GRUCell(3, 2),
            "bilinear": nn.Bilinear(2, 2, 2),
            "slope": nn.PReLU(),
            "head": nn.Linear(4, 5, bias=False),
            "normed": parametrizations.weight_norm(nn.Linear(3, 3)),
            "lazy": nn.LazyConv2d(2, 3),
            "sparse": ns.SparseLinear(ns.generators.erdos_renyi(4, 5, n_edges=7, rng=0)),
        }
    )
    model["head"].weight = model["embedding"].weight
    return model


def test_every_module_with_parameters_is_listed_with_its_reason() -> None:
    model = every_kind()
    summary = summary_of(model, exclude="head|normed")
    assert [entry.name for entry in summary.sparse] == ["linear"]
    assert [(entry.name, entry.kind, entry.n_edges) for entry in summary.already_sparse] == [("sparse", "SparseLinear", 7)]
    assert {entry.name: entry.reason for entry in summary.dense} == {
        "attention": "it has fewer than 8 sources",
        "attention.out_proj": "attention reads its weight directly",
        "conv": "convolutions of this kind stay dense",
        "embedding": "an embedding is looked up",
        "norm": "a normalisation",
        "recurrent": "recurrent layers stay dense",
        "cell": "recurrent layers stay dense",
        "bilinear": "it is no linear layer",
        "slope": "it is no linear layer",
        "head": "excluded; shared with one above",
        "normed": "excluded",
        "lazy": "not yet initialised",
    }


def test_parameters_add_up() -> None:
    """Each parameter counts once: 48 + 6 of the linear layer before, 5 + 6 now; the tied head counts with the embedding."""
    model = every_kind()
    del model["lazy"]
    n_before = sum(parameter.numel() for parameter in model.parameters())
    summary = summary_of(model, exclude="head|normed")
    entries = [*summary.sparse, *summary.already_sparse, *summary.dense]
    assert sum(entry.n_parameters for entry in entries) == summary.n_parameters
    assert summary.n_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (summary.n_parameters_before, summary.n_parameters) == (n_before, n_before - 43)
    dense = [parameter for name, parameter in model.named_parameters() if not name.startswith(("linear", "sparse"))]
    weights = sum(parameter.numel() for parameter in dense if parameter.dim() >= 2)
    assert (summary.n_weights, summary.n_possible_weights) == (weights + 5 + 7, weights + 48 + 20)


def test_a_second_call_counts_what_was_sparse() -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    summary_of(model, density=0.9, exclude="1")
    with pytest.warns(
        UserWarning, match=r"density of 0\.5, .* 100 of its 120 parameters are in SparseLinear \(sparse before\)"
    ):
        summary = ns.sparsify(model, density=0.1, rng=0)
    assert [entry.name for entry in summary.already_sparse] == ["0"]
    assert summary.density == 0.5


def test_repr_of_a_small_model() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.Linear(32, 10), nn.Linear(10, 10))
    model[2].weight.requires_grad_(False)
    assert repr(summary_of(model, density=0.1, exclude="3", allocation="uniform")).splitlines() == [
        "SparsifySummary: 2 of 4 modules became sparse; density 0.1365 of the whole model, 0.1 asked",
        "parameters: 2,584 before, 453 now",
        "sparse  n_in -> n_out  edges  density",
        "  0     64 -> 32         205  0.1001",
        "  2     32 -> 10          32  0.1, frozen",
        "dense  kind       parameters  why",
        "  1    LayerNorm          64  a normalisation",
        "  3    Linear            110  excluded",
    ]


def test_no_reason_is_cut_off() -> None:
    """Names and kinds are shortened in their middle, so that reasons have room."""
    inner = nn.ModuleDict({f"a_name_that_is_rather_long_{name}": module for name, module in every_kind().items()})
    summary = summary_of(nn.Sequential(inner), exclude="head|normed")
    lines = repr(summary).splitlines()
    assert max(map(len, lines)) <= 100
    assert {entry.reason for entry in summary.dense} == {line.rsplit("  ", 1)[1] for line in lines[-len(summary.dense) :]}


def test_repr_of_a_large_model_is_short() -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64)
    model = nn.ModuleDict({"a_long_name_for_the_encoder": nn.TransformerEncoder(layer, 24, enable_nested_tensor=False)})
    lines = repr(summary_of(model, exclude="self_attn")).splitlines()
    assert len(lines) == 9
    assert max(map(len, lines)) <= 100
    assert lines[3].split()[1:] == ["and", "23", "more", "32", "->", "64", "4,915", "0.09961", "to", "0.1001"]
    assert "and 23 more" in lines[6]
    assert lines[6].endswith("excluded")
    mixed = nn.ModuleList(nn.Linear(8, 5 + size) for size in range(40))
    lines = repr(
        summary_of(mixed, allocation=Allocation(tuple(8 * (5 + size) for size in range(40)), (1,) * 40), density=None)
    ).splitlines()
    assert len(lines) == 2 + 1 + 12
    assert lines[-1] == "  and 29 more kinds"


def test_nothing_of_the_model_is_kept_alive() -> None:
    """A summary is a plain value."""
    summary = summary_of(Residual())
    assert hash(summary) == hash(summary_of(Residual()))
    assert not any(isinstance(value, torch.Tensor | nn.Module) for entry in summary.sparse for value in vars(entry).values())
