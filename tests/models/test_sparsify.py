"""`sparsify`: any model's linear layers, in place, with exact budgets, the same weights, and all or nothing."""

import copy
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parametrizations, prune

from netsci_nn.allocation import ALLOCATIONS, Allocation, erk, explicit, layer_shapes, uniform
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators import erdos_renyi, input_weighted
from netsci_nn.intake import load_pretrained
from netsci_nn.layers import SparseLinear
from netsci_nn.models import from_masks, sparse_layers, sparsify, to_dense
from netsci_nn.topology import BipartiteTopology


def nested_model() -> nn.Sequential:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.ModuleDict({"inner": nn.Linear(30, 30, bias=False)})["inner"])
    return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), block, nn.LayerNorm(30), nn.Linear(30, 5))


SHAPES = [(12, 20), (20, 30), (30, 30), (30, 5)]
NAMES = ["0", "2.0", "2.2", "4"]


class Residual(nn.Module):
    """Two names for one layer, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.again = self.first
        self.stack = nn.Sequential(self.first, nn.ReLU(), self.first)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + self.stack(self.again(x)))


def sparsified(model: nn.Module, **arguments: Any) -> nn.Module:
    """Return `model` after `sparsify`, whose warning of a model that stays dense is for other tests to see."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the whole model has a density of", UserWarning)
        sparsify(model, **arguments)
    return model


def masked(dense: nn.Module, sparse: nn.Module) -> nn.Module:
    """Return `dense` with the weights zeroed where `sparse` has no edge."""
    dense = copy.deepcopy(dense)
    for name, layer in sparse.named_modules():
        if isinstance(layer, SparseLinear):
            with torch.no_grad():
                dense.get_submodule(name).weight.mul_(torch.from_numpy(layer.topology.to_mask()))
    return dense


@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
def test_nested_layers_get_the_edges_of_the_allocation(density: float) -> None:
    model = nested_model()
    sparsify(model, density=density, rng=0)
    assert [name for name, module in model.named_modules() if isinstance(module, SparseLinear)] == NAMES
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    assert tuple(layer.n_edges for layer in sparse_layers(model)) == erk(SHAPES, density).n_edges
    assert sum(layer.n_edges for layer in sparse_layers(model)) == round(density * 1890)


def test_allocations_by_name_and_as_a_value() -> None:
    by_name = [sparsified(nested_model(), density=0.1, allocation=name, rng=0) for name in ("uniform", "er", "erk")]
    counts = [tuple(layer.n_edges for layer in sparse_layers(model)) for model in by_name]
    assert counts == [ALLOCATIONS[name](SHAPES, 0.1).n_edges for name in ("uniform", "er", "erk")]
    given = explicit(SHAPES, [0.1, 0.2, 0.3, 1.0])
    model = sparsified(nested_model(), allocation=given, rng=0)
    assert tuple(layer.n_edges for layer in sparse_layers(model)) == given.n_edges == (24, 120, 270, 150)


def test_weights_and_biases_survive() -> None:
    dense = nested_model()
    model = sparsified(copy.deepcopy(dense), density=0.2, init="keep", rng=0)
    for name in NAMES:
        linear, layer = dense.get_submodule(name), model.get_submodule(name)
        assert torch.equal(layer.weight, linear.weight[layer.dst, layer.src])
        assert (layer.bias is None) == (linear.bias is None)
        assert layer.bias is None or torch.equal(layer.bias, linear.bias)
    assert torch.equal(model[3].weight, dense[3].weight)


def test_computes_what_the_masked_dense_model_does(backend: str) -> None:
    for build, width in ((nested_model, 12), (Residual, 8)):
        dense = build()
        model = sparsified(copy.deepcopy(dense), density=0.3, backend=backend, init="keep", rng=0)
        assert {layer.backend for layer in sparse_layers(model)} == {backend}
        x = torch.randn(7, width)
        torch.testing.assert_close(model(x), masked(dense, model)(x), rtol=1e-5, atol=1e-5)


def test_excluded_layers_stay_and_are_no_part_of_the_budget() -> None:
    model = nested_model()
    kept = model[0], model[4]
    sparsified(model, density=0.1, exclude=r"^[04]$", rng=0)
    assert (model[0], model[4]) == kept
    assert [layer.n_edges for layer in sparse_layers(model)] == [*erk(SHAPES[1:3], 0.1).n_edges]
    assert sum(layer.n_edges for layer in sparse_layers(model)) == 150
    assert len(sparse_layers(sparsified(nested_model(), density=0.1, exclude="2", rng=0))) == 2  # a match anywhere


def test_a_shared_layer_is_replaced_once_everywhere() -> None:
    model = sparsified(Residual(), density=0.25, allocation="uniform", rng=0)
    assert isinstance(model.first, SparseLinear)
    assert model.again is model.first is model.stack[0] is model.stack[2]
    assert [layer.n_edges for layer in sparse_layers(model)] == [16, 6]
    for name in ("again", r"stack\.2"):  # one of its names is enough to keep it
        model = Residual()
        first = model.first
        sparsified(model, density=0.25, exclude=name, rng=0)
        assert first is model.first is model.again is model.stack[0]
        assert isinstance(model.head, SparseLinear)


def test_same_seed_same_edges() -> None:
    first, same, rng, other = (sparsified(nested_model(), density=0.2, rng=rng) for rng in (3, 3, np.random.default_rng(3), 4))
    for twin in (same, rng):
        assert [layer.topology for layer in sparse_layers(first)] == [layer.topology for layer in sparse_layers(twin)]
    pairs = zip(sparse_layers(first), sparse_layers(other), strict=True)
    assert all(a.topology != b.topology for a, b in pairs if a.topology.density < 1)


def test_torchs_global_generator_is_untouched() -> None:
    model = nested_model()
    before = torch.get_rng_state()
    sparsify(model, density=0.2, rng=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_generators_by_name_and_as_functions() -> None:
    model = sparsified(nested_model(), density=0.2, generator="small_world", allocation="uniform", rng=0)
    assert all(np.ptp(layer.topology.out_degrees) <= 1 for layer in sparse_layers(model))
    bound = partial(input_weighted, weights=[1.0] + [0.0] * 11)
    model = sparsified(nested_model(), density=0.05, generator=bound, exclude="2|4", rng=0)
    assert model[0].topology.out_degrees.tolist() == [12] + [0] * 11


def test_mode_dtype_and_frozen_parameters_carry_over() -> None:
    model = nested_model().double().eval()
    model[0].weight.requires_grad_(False)
    model[4].bias.requires_grad_(False)
    sparsify(model, density=0.2, rng=0)
    assert not any(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert [layer.weight.requires_grad for layer in sparse_layers(model)] == [False, True, True, True]
    assert (model[0].bias.requires_grad, model[4].bias.requires_grad) == (True, False)


def test_a_sparsified_model_learns() -> None:
    model = sparsified(nested_model(), density=0.3, exclude="^4$", rng=0)
    torch.manual_seed(1)
    x = torch.randn(64, 12)
    labels = (x[:, :5]).argmax(dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    twin = sparsified(nested_model(), density=0.3, exclude="^4$", rng=9)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(x), model(x))


def test_lenet_by_explicit_densities() -> None:
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    sparsify(model, allocation=explicit(layer_shapes([784, 300, 100, 10]), (0.1, 0.1, 0.25)), rng=0)
    assert [layer.n_edges for layer in sparse_layers(model)] == [23_520, 3_000, 250]


def test_a_transformer_encoder_trains_and_evaluates() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True), 2)
    dense = copy.deepcopy(model)
    sparsified(model, density=0.2, init="keep", exclude="self_attn", rng=0)
    assert len(sparse_layers(model)) == 4
    assert isinstance(model.layers[0].self_attn, nn.MultiheadAttention)
    x, padding = torch.randn(3, 5, 8), torch.tensor([[False] * (5 - n) + [True] * n for n in range(3)])
    expected = masked(dense, model)(x, src_key_padding_mask=padding)
    for module in (model, model.eval()):
        torch.testing.assert_close(module(x, src_key_padding_mask=padding)[~padding], expected[~padding])
        with torch.no_grad():
            torch.testing.assert_close(module(x), masked(dense, model)(x))


class Scaled(nn.Linear):
    """A linear layer that does more."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def tied_linears() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    return model


def tied_embedding() -> nn.Module:
    model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 9))
    model[1].weight = model[0].weight
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8))
    model[0].register_forward_hook(lambda module, arguments, output: output + 1)
    return model


def hooked_parameter(kind: str, part: str) -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8))
    getattr(getattr(model[0], part), kind)(lambda value: None)
    return model


def hooked_state_dict() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8))
    model[0].register_load_state_dict_post_hook(lambda module, keys: None)
    return model


def with_parts() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8))
    model[0].register_buffer("scale", torch.ones(8))
    model[0].after = nn.ReLU()
    return model


class Listed(nn.Module):
    """Calls a layer out of a plain list, where replacing it as a child would be in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.stages = [self.layer]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages[0](x)


def pruned() -> nn.Module:
    return nn.Sequential(prune.random_unstructured(nn.Linear(8, 8), "weight", 0.5))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (tied_linears, r"layer '0' cannot become sparse: its weight is shared with another module, and they would train apart"),
        (tied_embedding, r"layer '1' cannot become sparse: its weight is shared with another module"),
        (lambda: nn.Sequential(Scaled(8, 8)), "layer '0' cannot become sparse: it is a Scaled with a forward of its own"),
        (lambda: nn.Sequential(nn.LazyLinear(4)), "layer '0' cannot become sparse: it has no weights before its first input"),
        (
            lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8))),
            r"it has the parameters parametrizations\.weight\.original0, .* beside weight and bias; exclude=r.* keeps it dense",
        ),
        (pruned, "it has the parameters weight_orig beside weight and bias"),
        (hooked, "layer '0' cannot become sparse: it has hooks, which would be lost"),
        (lambda: hooked_parameter("register_hook", "weight"), "layer '0' cannot become sparse: it has hooks"),
        (lambda: hooked_parameter("register_hook", "bias"), "layer '0' cannot become sparse: it has hooks"),
        (lambda: hooked_parameter("register_post_accumulate_grad_hook", "weight"), "'0.0' cannot become sparse: it has hooks"),
        (hooked_state_dict, "layer '0' cannot become sparse: it has hooks"),
        (with_parts, "layer '0' cannot become sparse: it has after, scale beside weight and bias"),
        (
            lambda: nn.Sequential(nn.Linear(8, 8, dtype=torch.complex64)),
            r"its weights are torch\.complex64; they must be float32, float64, bfloat16 or float16",
        ),
        (
            lambda: nn.Sequential(nn.Linear(8, 8)).to(torch.float8_e4m3fn),
            r"its weights are torch\.float8_e4m3fn; they must be float32, float64, bfloat16 or float16",
        ),
        (Listed, r"the attribute '0\.stages' holds it, too, and would go on with the dense layer; exclude="),
        (
            lambda: nn.Sequential(torch.compile(nn.Linear(8, 8), backend="eager")),
            "torch.compile has compiled it by itself, and would go on with the dense layer",
        ),
    ],
)
def test_layers_that_would_lose_something_are_refused_unless_excluded(build: Any, message: str) -> None:
    model = nn.ModuleList([build(), nn.Linear(9, 9)])
    with pytest.raises(ConfigError, match=message.replace("layer '", r"layer '0\.")):
        sparsify(model, density=0.5, rng=0)
    assert not sparse_layers(model)
    assert len(sparse_layers(sparsified(model, density=0.5, exclude=r"^0\.", rng=0))) == 1


def test_what_is_removed_from_a_layer_is_no_reason_against_it() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 8))
    model(torch.zeros(2, 9))
    model[1].weight.register_hook(lambda gradient: None).remove()
    model[1].register_forward_hook(lambda *arguments: None).remove()
    assert len(sparse_layers(sparsified(model, density=0.5, rng=0))) == 2


@pytest.fixture
def one_rank() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
@pytest.mark.programs
def test_a_model_that_is_wrapped_already_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    saved = sparsified(copy.deepcopy(model), density=0.5, rng=0)
    torch.save(saved.state_dict(), tmp_path / "inner.pt")
    torch.save({f"module.{name}": tensor for name, tensor in saved.state_dict().items()}, tmp_path / "outer.pt")
    wrapper = nn.parallel.DistributedDataParallel(model)
    reason = "model lies in DistributedDataParallel, which works on the parameters that it was given"
    for each, prefix, file in (
        (wrapper, "module.", "outer.pt"),
        (model, "", "inner.pt"),
        (nn.Sequential(wrapper), "0.module.", ""),
    ):
        with pytest.raises(ConfigError, match=f"{reason} and would pass over new ones; make the model sparse first"):
            sparsify(each, density=0.5, rng=0)
        with pytest.raises(ConfigError, match=reason):
            from_masks(each, {f"{prefix}0": torch.ones(4, 8)})
        if file:
            with pytest.raises(ConfigError, match=reason):
                load_pretrained(each, tmp_path / file)
    with pytest.raises(ConfigError, match="model lies in AveragedModel"):
        sparsify(torch.optim.swa_utils.AveragedModel(model), density=0.5, rng=0)
    assert not sparse_layers(wrapper)
    del wrapper, each
    sparsify(model, density=0.5, rng=0)
    nn.parallel.DistributedDataParallel(model)(torch.zeros(2, 8)).sum().backward()
    assert model[0].weight.grad is not None


def test_a_compiled_model_computes_with_its_sparse_layers() -> None:
    model, x = nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 2)), torch.randn(3, 8)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    sparsify(compiled, density=0.5, rng=0)
    torch.testing.assert_close(compiled(x), to_dense(model)(x))
    alone = torch.compile(nn.Linear(8, 8), backend="eager")
    with pytest.raises(ConfigError, match=r"'_orig_mod' cannot become sparse: torch\.compile has compiled it by itself"):
        sparsify(alone, density=0.5, rng=0)


def test_a_model_that_guards_its_attributes_is_changed_all_the_same() -> None:
    class Guarded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.is_made = True

        def __setattr__(self, name: str, value: Any) -> None:
            if "is_made" in vars(self):
                raise AttributeError(name)
            super().__setattr__(name, value)

    assert len(sparse_layers(sparsified(nn.Sequential(nn.Linear(8, 8), Guarded()), density=0.5, rng=0))) == 2


def stubborn(n_in: int, n_out: int, **arguments: Any) -> BipartiteTopology:
    """Serve the first layers and fail at the last one."""
    if n_out == 5:
        raise TopologyError("no room")
    return erdos_renyi(n_in, n_out, **arguments)


def one_more(n_in: int, n_out: int, *, n_edges: int, rng: Any) -> BipartiteTopology:
    return erdos_renyi(n_in, n_out, n_edges=n_edges + 1, rng=rng)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"density": 0}, TopologyError, r"density is 0; it must be a number in \(0, 1\]"),
        ({"density": None}, TopologyError, r"density is None; it must be a number in \(0, 1\] for the layers that .*: '0', '2"),
        ({"allocation": "erd"}, ConfigError, r"unknown allocation 'erd' .*; allowed are: "),
        ({"allocation": 3}, ConfigError, r"unknown allocation 3"),
        ({"allocation": "explicit"}, ConfigError, "allocation is 'explicit', which needs more than a density; call it"),
        ({"allocation": "er_epsilon"}, ConfigError, "allocation is 'er_epsilon', which needs more than a density"),
        ({"allocation": "global_scores"}, ConfigError, "allocation is 'global_scores', which needs more than a density"),
        (
            {"allocation": uniform(SHAPES, 0.2)},
            ConfigError,
            r"density is 0\.2; it must be None beside an Allocation",
        ),
        (
            {"allocation": uniform(SHAPES[:2], 0.2), "density": None},
            ConfigError,
            r"allocation is for layers of the sizes \(240, 600\); the model's have \(240, 600, 900, 150\)",
        ),
        ({"generator": "nope"}, ConfigError, "unknown generator 'nope'; allowed are: "),
        ({"generator": 3}, ConfigError, "generator is 3; it must be a name or a function"),
        ({"generator": stubborn}, TopologyError, "no room"),
        ({"generator": one_more}, TopologyError, r"generator gave \d+ edges to '0'; it must give \d+"),
        ({"exclude": "("}, ConfigError, r"exclude is '\('; it must be a regular expression: missing \)"),
        ({"exclude": 4}, ConfigError, "exclude is 4; it must be a regular expression: it is no text"),
        ({"exclude": ""}, ConfigError, "exclude is '', which keeps every linear layer dense .*; at least one must be left"),
        ({"backend": "nope"}, ConfigError, "unknown backend 'nope'; allowed are: "),
        ({"rng": None}, ConfigError, "rng is None; it must be an integer seed"),
    ],
)
def test_bad_arguments_leave_the_model_as_it_was(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = nested_model()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        sparsify(model, **{"density": 0.2, "rng": 0, **arguments})
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), state.values(), strict=True))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(3, 3), "model is a Linear; it must be a module that contains nn.Linear layers"),
        ([nn.Linear(3, 3)], "model is a list; it must be a module"),
        (nn.Sequential(nn.ReLU()), "without dense linear layers: it has no parameters at all; sparsify replaces"),
        (
            nn.MultiheadAttention(8, 2),
            "model is a MultiheadAttention; it must be a module that contains nn.Linear layers, conv",
        ),
    ],
    ids=["linear", "list", "none", "attention"],
)
def test_bad_models(model: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sparsify(model, density=0.5, rng=0)


def test_a_second_call_finds_nothing_left() -> None:
    model = sparsified(nested_model(), density=0.2, rng=0)
    with pytest.raises(ConfigError, match="without dense linear layers: its 4 linear layers are sparse already"):
        sparsify(model, density=0.2, rng=0)


def test_empty_layers_are_legal() -> None:
    model = sparsified(nn.Sequential(nn.Linear(8, 9), nn.Linear(9, 2)), allocation=Allocation((72, 18), (0, 4)), rng=0)
    assert torch.equal(model[0](torch.randn(5, 8)), model[0].bias.expand(5, 9))


def test_rng_is_required() -> None:
    with pytest.raises(TypeError, match="rng"):
        sparsify(nested_model(), density=0.5)  # type: ignore[call-arg]
