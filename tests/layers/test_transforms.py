"""Every transform of torch.func on a sparse layer equals the same transform of the masked dense layer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vmap

from netsci_nn import SparseLinear, generators

BACKENDS = "compiled", "csr", "dense"
# torch itself still calls it where it differentiates forward.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
Parameters = dict[str, torch.Tensor]


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Pair:
    """A sparse layer of 7 sources and 5 targets, and the masked dense one."""

    def __init__(self, backend: str, seed: int = 0) -> None:
        torch.manual_seed(seed)
        topology = generators.erdos_renyi(7, 5, density=0.4, rng=0)
        self.sparse = SparseLinear(topology, backend=backend, dtype=torch.float64)
        with torch.no_grad():
            self.sparse.bias.normal_()
        self.dense = self.sparse.to_dense()
        self.place = self.sparse.dst.long(), self.sparse.src.long()

    def on_edges(self, weight: torch.Tensor) -> torch.Tensor:
        """The entries of `[..., n_out, n_in]` on the edges, `[..., n_edges]`."""
        return weight[..., self.place[0], self.place[1]]

    def on_pairs(self, weight: torch.Tensor) -> torch.Tensor:
        """`[n_edges]` as `[n_out, n_in]`, 0 elsewhere."""
        return torch.zeros(5, 7, dtype=weight.dtype).index_put(self.place, weight)

    def parameters(self) -> tuple[Parameters, Parameters]:
        return dict(self.sparse.named_parameters()), dict(self.dense.named_parameters())

    def call(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        return (
            lambda parameters, x: functional_call(self.sparse, parameters, (x,)),
            lambda parameters, x: functional_call(self.dense, parameters, (x,)),
        )

    def loss(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        sparse, dense = self.call()
        return lambda p, x: sparse(p, x).sin().sum(), lambda p, x: dense(p, x).sin().sum()


@pytest.fixture(params=BACKENDS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def test_grad(pair: Pair) -> None:
    (own, dense), (loss, dense_loss) = pair.parameters(), pair.loss()
    x = normal(6, 7)
    found, expected = grad(loss, argnums=(0, 1))(own, x), grad(dense_loss, argnums=(0, 1))(dense, x)
    close(found[0]["weight"], pair.on_edges(expected[0]["weight"]))
    close(found[0]["bias"], expected[0]["bias"])
    close(found[1], expected[1])


@pytest.mark.parametrize(("shape", "dims"), [((6, 7), 0), ((7, 6), 1), ((4, 3, 7), 1), ((3, 0, 7), 0)])
def test_vmap_over_inputs(pair: Pair, shape: tuple[int, ...], dims: int) -> None:
    x = normal(*shape)
    close(vmap(pair.sparse, in_dims=dims)(x), vmap(pair.dense, in_dims=dims)(x))


@pytest.mark.parametrize("shape", [(6, 7), (6, 3, 7), (1, 7)])
def test_gradients_per_sample(pair: Pair, shape: tuple[int, ...]) -> None:
    (own, dense), (loss, dense_loss) = pair.parameters(), pair.loss()
    x = normal(*shape)
    found = vmap(grad(loss), in_dims=(None, 0))(own, x)
    expected = vmap(grad(dense_loss), in_dims=(None, 0))(dense, x)
    close(found["weight"], pair.on_edges(expected["weight"]))
    close(found["bias"], expected["bias"])


def test_jvp_in_the_input_the_weights_and_both(pair: Pair) -> None:
    """A bare operator would give tangents of zero."""
    (own, dense), (sparse_call, dense_call) = pair.parameters(), pair.call()
    x, tangent = normal(6, 7), normal(6, 7, seed=1)
    own_tangents = {name: normal(*parameter.shape, seed=2) for name, parameter in own.items()}
    dense_tangents = {"weight": pair.on_pairs(own_tangents["weight"]), "bias": own_tangents["bias"]}
    found = jvp(pair.sparse, (x,), (tangent,))[1]
    assert found.abs().max() > 0.1
    close(found, jvp(pair.dense, (x,), (tangent,))[1])
    found, expected = (
        jvp(call, (parameters, x), (tangents, tangent))[1]
        for call, parameters, tangents in ((sparse_call, own, own_tangents), (dense_call, dense, dense_tangents))
    )
    close(found, expected)
    found, expected = (
        jvp(lambda p: call(p, x), (parameters,), (tangents,))[1]  # noqa: B023
        for call, parameters, tangents in ((sparse_call, own, own_tangents), (dense_call, dense, dense_tangents))
    )
    close(found, expected)


def test_forward_mode_without_torch_func(pair: Pair) -> None:
    x, tangent = normal(6, 7), normal(6, 7, seed=1)
    expected = jvp(pair.dense, (x,), (tangent,))[1]
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(pair.sparse(forward_ad.make_dual(x, tangent))).tangent
        close(found, expected)


def test_jacobians_and_hessians(pair: Pair) -> None:
    x = normal(7)
    for transform in (jacrev, jacfwd):
        close(transform(pair.sparse)(x), transform(pair.dense)(x))
    close(hessian(lambda z: pair.sparse(z).sin().sum())(x), hessian(lambda z: pair.dense(z).sin().sum())(x))
    (own, dense), (loss, dense_loss) = pair.parameters(), pair.loss()
    expected = jacrev(jacrev(dense_loss))(dense, x)["weight"]["weight"][pair.place]
    for outer, inner in ((jacrev, jacrev), (jacfwd, jacrev), (jacrev, jacfwd)):
        close(outer(inner(loss))(own, x)["weight"]["weight"], pair.on_edges(expected))


def test_ensembles(pair: Pair) -> None:
    models = [SparseLinear(pair.sparse.topology, backend=pair.sparse.backend, dtype=torch.float64) for _ in range(3)]
    parameters, _ = stack_module_state(models)
    call = pair.call()[0]
    shared, own = normal(6, 7), normal(3, 6, 7)
    close(vmap(call, in_dims=(0, None))(parameters, shared), torch.stack([model(shared) for model in models]))
    found = vmap(call)(parameters, own)
    close(found, torch.stack([model(x) for model, x in zip(models, own, strict=True)]))
    found.square().sum().backward()
    for number, (model, x) in enumerate(zip(models, own, strict=True)):
        model(x).square().sum().backward()
        close(parameters["weight"].grad[number], model.weight.grad)
        close(parameters["bias"].grad[number], model.bias.grad)


def test_many_biases_on_one_layer(pair: Pair) -> None:
    own, call, x = pair.parameters()[0], pair.call()[0], normal(7)
    biases = normal(3, 5)
    found = vmap(lambda bias: call({**own, "bias": bias}, x))(biases)
    close(found, (pair.sparse(x) - pair.sparse.bias)[None] + biases)


def test_an_inactive_edge_computes_as_0_and_has_a_gradient(pair: Pair) -> None:
    pair.sparse.active = torch.arange(pair.sparse.n_edges) % 3 > 0
    dense = pair.sparse.to_dense()
    x, tangent = normal(6, 7), normal(6, 7, seed=1)
    close(vmap(pair.sparse)(x), dense(x))
    close(jvp(pair.sparse, (x,), (tangent,))[1], jvp(dense, (x,), (tangent,))[1])
    found = vmap(grad(pair.loss()[0]), in_dims=(None, 0))(pair.parameters()[0], x)["weight"]
    per_sample = vmap(grad(lambda p, z: functional_call(dense, p, (z,)).sin().sum()), in_dims=(None, 0))(
        {name: p.detach() for name, p in dense.named_parameters()}, x
    )["weight"]
    close(found, pair.on_edges(per_sample))


def test_forward_and_reverse_agree_on_what_an_inactive_edge_does(pair: Pair) -> None:
    """<J t, g> = <t, J^T g>, also through the mask."""
    pair.sparse.active = torch.arange(pair.sparse.n_edges) % 3 > 0
    own, call, x = pair.parameters()[0], pair.call()[0], normal(6, 7)
    tangents = {name: normal(*parameter.shape, seed=2) for name, parameter in own.items()}
    y, along = jvp(lambda p: call(p, x), (own,), (tangents,))
    weights = normal(*y.shape, seed=3)
    back = grad(lambda p: (call(p, x) * weights).sum())(own)
    close((along * weights).sum(), sum((tangents[name] * back[name]).sum() for name in own))


def test_per_sample_gradients_of_a_rewired_layer_are_those_of_its_new_edges(pair: Pair) -> None:
    other = generators.erdos_renyi(7, 5, density=0.4, rng=1)
    pair.sparse.set_structure(other, torch.ones(other.n_edges), torch.zeros(other.n_edges, dtype=torch.int32))
    x = normal(4, 7)
    found = vmap(grad(lambda p, z: functional_call(pair.sparse, p, (z,)).sum()), in_dims=(None, 0))(pair.parameters()[0], x)
    close(found["weight"], x[:, torch.from_numpy(other.src).long()])


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")
def test_linearize(pair: Pair) -> None:
    """It records the operations once: what it does not see would be a constant, and the tangents those of the recording."""
    (own, dense), (sparse_call, dense_call) = pair.parameters(), pair.call()
    x, tangent = normal(6, 7), normal(6, 7, seed=1)
    (y, push), (expected, dense_push) = (linearize(lambda z: layer(z).sin(), x) for layer in (pair.sparse, pair.dense))  # noqa: B023
    close(y, expected)
    close(push(tangent), dense_push(tangent))
    tangents = {name: normal(*parameter.shape, seed=2) for name, parameter in own.items()}
    dense_tangents = {"weight": pair.on_pairs(tangents["weight"]), "bias": tangents["bias"]}
    found, expected = (
        linearize(lambda p: call(p, x).sin(), parameters)[1](along)  # noqa: B023
        for call, parameters, along in ((sparse_call, own, tangents), (dense_call, dense, dense_tangents))
    )
    close(found, expected)


@pytest.mark.parametrize("is_masked", [False, True])
def test_vectorised_derivatives_of_torch_autograd(pair: Pair, is_masked: bool) -> None:
    """They go by an older `vmap` than that of torch.func."""
    if is_masked:
        pair.sparse.active = torch.arange(pair.sparse.n_edges) % 3 > 0
        pair.dense = pair.sparse.to_dense()
    found, expected = [], []
    for results, layer in ((found, pair.sparse), (expected, pair.dense)):
        x = normal(4, 7).requires_grad_()
        y = layer(x).sin()
        gradients = torch.autograd.grad(y, [x, *layer.parameters()], normal(3, *y.shape, seed=2), is_grads_batched=True)
        results += [gradients[0], gradients[1] if layer is pair.sparse else pair.on_edges(gradients[1]), gradients[2]]
        functional = torch.autograd.functional
        for strategy in ("reverse-mode", "forward-mode"):
            results.append(functional.jacobian(lambda z: layer(z).sin(), x, vectorize=True, strategy=strategy))  # noqa: B023
            options = {"vectorize": True, "outer_jacobian_strategy": strategy}
            results.append(functional.hessian(lambda z: layer(z).sin().sum(), x, **options))  # noqa: B023
    close(found, expected)


def test_gradcheck_with_all_its_modes(pair: Pair) -> None:
    call = pair.call()[0]
    weight, bias, x = (tensor.detach().requires_grad_() for tensor in (pair.sparse.weight, pair.sparse.bias, normal(2, 7)))
    modes = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(lambda w, b, z: call({"weight": w, "bias": b}, z), (weight, bias, x), **modes)
    assert torch.autograd.gradgradcheck(
        lambda w, b, z: call({"weight": w, "bias": b}, z).sin(),
        (weight, bias, x),
        check_fwd_over_rev=True,
        check_rev_over_rev=True,
    )
