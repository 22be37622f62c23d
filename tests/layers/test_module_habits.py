"""What users do to any torch module works on models with sparse layers as on dense ones."""

import copy
import io
import multiprocessing
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from netsci_nn import SparseLinear, SparseMLP, generators, rewiring
from netsci_nn.errors import DataError

SIZES = [20, 15, 4]


def model(seed: int = 0) -> SparseMLP:
    return SparseMLP(SIZES, density=0.3, rng=seed)


def batch(size: int = 8) -> torch.Tensor:
    return torch.randn(size, SIZES[0], generator=torch.Generator().manual_seed(1))


def gradients_of(module: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters())))


def rewire(layer: SparseLinear, optimizer: torch.optim.Optimizer | None = None, seed: int = 0) -> None:
    delta = rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=seed)
    rewiring.apply_delta(layer, delta, optimizer)


def test_names_and_order_of_parameters_are_those_of_a_dense_stack() -> None:
    dense = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(20, 15), nn.Linear(15, 4)])})
    assert [name for name, _ in model().named_parameters()] == [name for name, _ in dense.named_parameters()]
    assert [name for name, _ in model().named_children()] == ["layers", "activation"]


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_copies_compute_the_same_and_are_rewired_apart(how: str) -> None:
    original = model()
    if how == "deepcopy":
        twin = copy.deepcopy(original)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(original))
    else:
        file = io.BytesIO()
        torch.save(original, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    x, expected = batch(), original(batch())
    assert torch.equal(twin(x), expected)
    before = original.layers[0].topology
    rewire(twin.layers[0])
    assert original.layers[0].topology == before != twin.layers[0].topology
    assert torch.equal(original(x), expected)


def test_state_dicts_pass_through_torchs_safe_loader_and_through_safetensors(tmp_path: Path) -> None:
    original, x = model(), batch()
    torch.save(original.state_dict(), tmp_path / "state.pt")
    save_file(original.state_dict(), tmp_path / "state.safetensors")
    save_model(original, str(tmp_path / "model.safetensors"))
    for number, state in enumerate(
        (torch.load(tmp_path / "state.pt", weights_only=True), load_file(tmp_path / "state.safetensors"))
    ):
        other = model(seed=5 + number)
        assert other.load_state_dict(state) == ([], [])
        assert torch.equal(other(x), original(x))
    other = model(seed=9)
    load_model(other, tmp_path / "model.safetensors")
    assert torch.equal(other(x), original(x))


def test_strictness_is_torchs() -> None:
    state = model().state_dict()
    del state["layers.1.bias"]
    state["extra"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*layers\.1\.bias.*Unexpected key.*extra"):
        model().load_state_dict(state)
    result = model(3).load_state_dict(state, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["layers.1.bias"], ["extra"])


def test_apply_reaches_every_layer() -> None:
    def to_ones(module: nn.Module) -> None:
        if isinstance(module, SparseLinear):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

    layer = model().apply(to_ones).layers[0]
    torch.testing.assert_close(layer(torch.ones(1, 20))[0], torch.bincount(layer.dst, minlength=15).float())


def test_gradients_accumulate_as_one_large_batch() -> None:
    module, x = model(), batch(12)
    whole = gradients_of(module, module(x).square().sum())
    module.zero_grad()
    for part in x.split(5):
        module(part).square().sum().backward()
    torch.testing.assert_close([parameter.grad for parameter in module.parameters()], whole)


def test_clipping_scales_all_gradients() -> None:
    module = model()
    module(batch()).square().sum().backward()
    before = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
    norm = nn.utils.clip_grad_norm_(module.parameters(), 0.5)
    torch.testing.assert_close(norm, before.norm())
    after = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
    torch.testing.assert_close(after, before * 0.5 / norm)
    nn.utils.clip_grad_value_(module.parameters(), 1e-3)
    assert max(float(parameter.grad.abs().max()) for parameter in module.parameters()) <= 1.001e-3


def test_a_gradient_scaler_steps_skips_and_survives_a_rewiring() -> None:
    module, plain = model(), model()
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1, momentum=0.9) for each in (module, plain)]
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for step in range(4):
        optimizers[0].zero_grad()
        scaler.scale(module(batch()).square().mean()).backward()
        scaler.unscale_(optimizers[0])
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        scaler.step(optimizers[0])
        scaler.update()
        optimizers[1].zero_grad()
        plain(batch()).square().mean().backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizers[1].step()
        for each, optimizer in zip((module, plain), optimizers, strict=True):
            rewire(each.layers[0], optimizer, seed=step)
    for own, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    optimizers[0].zero_grad()
    scaler.scale(module(batch()).square().mean() * float("inf")).backward()
    scaler.step(optimizers[0])
    scaler.update()
    assert scaler.get_scale() == 4.0
    assert all(torch.equal(now, then) for now, then in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_activation_checkpointing_gives_the_same_gradients(use_reentrant: bool) -> None:
    module = nn.Sequential(*(SparseLinear(generators.erdos_renyi(12, 12, density=0.4, rng=seed)) for seed in range(4)))
    x = torch.randn(5, 12, requires_grad=True)
    whole = [*gradients_of(module, module(x).square().sum()), *torch.autograd.grad(module(x).square().sum(), x)]
    for run in (
        lambda z: checkpoint(module, z, use_reentrant=use_reentrant),
        lambda z: checkpoint_sequential(module, 2, z, use_reentrant=use_reentrant),
    ):
        module.zero_grad()
        x.grad = None
        run(x).square().sum().backward()
        torch.testing.assert_close([*(parameter.grad for parameter in module.parameters()), x.grad], whole)


def test_double_backward_of_a_gradient_penalty() -> None:
    torch.manual_seed(0)
    layer = SparseLinear(generators.erdos_renyi(9, 6, density=0.4, rng=0), dtype=torch.float64)
    dense = layer.to_dense()
    found = []
    for module in (layer, dense):
        x = torch.ones(3, 9, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(module(x).sin().sum(), x, create_graph=True)
        module.zero_grad()
        slope.square().sum().backward()
        found.append((module.weight.grad, module.bias.grad))
    torch.testing.assert_close(found[0][0], found[1][0][layer.dst, layer.src])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_functional_call_leaves_the_module_alone() -> None:
    module, x = model(), batch()
    expected = module(x)
    others = {name: torch.zeros_like(parameter) for name, parameter in module.named_parameters()}
    assert torch.equal(functional_call(module, others, (x,)), torch.zeros(8, 4))
    assert torch.equal(module(x), expected)
    with pytest.raises(DataError, match=r"values has shape \[3\]; it must be \[n_edges\] = "):
        functional_call(module, {"layers.0.weight": torch.zeros(3)}, (x,))


def test_parameters_as_one_vector_and_back() -> None:
    module, x = model(), batch()
    expected, vector = module(x), parameters_to_vector(module.parameters())
    vector_to_parameters(vector * 0, module.parameters())
    assert not torch.equal(module(x), expected)
    vector_to_parameters(vector, module.parameters())
    assert torch.equal(module(x), expected)


def _train_shared(module: nn.Module) -> None:
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(batch()).square().sum().backward()
    optimizer.step()


def test_shared_memory_carries_a_childs_steps_to_the_parent() -> None:
    module = model().share_memory()
    assert all(parameter.is_shared() for parameter in module.parameters())
    before = parameters_to_vector(module.parameters()).detach().clone()
    process = multiprocessing.get_context("fork").Process(target=_train_shared, args=(module,))
    process.start()
    process.join()
    assert process.exitcode == 0
    twin = model()
    vector_to_parameters(before, twin.parameters())
    _train_shared(twin)
    torch.testing.assert_close(parameters_to_vector(module.parameters()), parameters_to_vector(twin.parameters()))


def test_hooks_of_every_kind_are_called() -> None:
    module, calls = model(), []
    layer = module.layers[0]
    layer.register_forward_pre_hook(lambda *_: calls.append("before"))
    layer.register_forward_hook(lambda *_: calls.append("after"))
    layer.register_full_backward_hook(lambda *_: calls.append("backward"))
    layer.weight.register_hook(lambda gradient: calls.append("gradient"))
    layer.weight.register_post_accumulate_grad_hook(lambda parameter: calls.append("accumulated"))
    module(batch().requires_grad_()).sum().backward()
    assert calls[:2] == ["before", "after"]
    assert sorted(calls[2:]) == ["accumulated", "backward", "gradient"]


def test_frozen_layers_stand_still_and_thaw() -> None:
    module = model()
    module.layers[0].requires_grad_(False)
    module(batch()).sum().backward()
    assert module.layers[0].weight.grad is None
    assert module.layers[1].weight.grad is not None
    module.layers[0].requires_grad_(True)
    module(batch()).sum().backward()
    assert module.layers[0].weight.grad is not None


def test_conversions_and_modes() -> None:
    module, x = model(), batch()
    expected = module(x)
    assert not module.eval().layers[0].training
    torch.testing.assert_close(module.double()(x.double()).float(), expected)
    torch.testing.assert_close(module.to(torch.bfloat16)(x.bfloat16()).float(), expected, rtol=0.05, atol=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in module.float().parameters())


def test_schedulers_and_groups_that_are_added() -> None:
    module = model()
    optimizer = torch.optim.AdamW(module.layers[0].parameters(), lr=0.1)
    optimizer.add_param_group({"params": list(module.layers[1].parameters()), "lr": 0.01})
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=[0.1, 0.01], total_steps=5)
    for step in range(4):
        optimizer.zero_grad()
        loss = module(batch()).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        for layer in module.layers:
            rewire(layer, optimizer, seed=step)
    assert module(batch()).square().mean().item() < loss.item() * 2


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}, {"capturable": False, "amsgrad": True}])
def test_the_variants_of_an_optimiser_train_after_rewirings(options: dict[str, bool]) -> None:
    module, plain = model(), model()
    optimizers = [
        torch.optim.Adam(module.parameters(), lr=0.01, **options),
        torch.optim.Adam(plain.parameters(), lr=0.01, foreach=False, amsgrad=options.get("amsgrad", False)),
    ]
    for step in range(5):
        delta = rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(module.layers[0]), rng=step)
        for each, optimizer in zip((module, plain), optimizers, strict=True):
            optimizer.zero_grad()
            each(batch()).square().mean().backward()
            optimizer.step()
            rewiring.apply_delta(each.layers[0], delta, optimizer)
    for own, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)
