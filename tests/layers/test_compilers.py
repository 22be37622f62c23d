"""torch.compile and torch.export take sparse layers as operators, and stay right when the layers are rewired.

Most tests compile with "aot_eager", which does everything but write machine code.
"""

import copy
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend, EagerAndRecordGraphs
from torch._subclasses import FakeTensorMode
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from netsci_nn import Rewiring, SparseLinear, SparseMLP, generators, rewiring
from netsci_nn.errors import ConfigError, TopologyError

pytestmark = [
    pytest.mark.programs,
    # torch itself still calls it, where it differentiates forward and in inductor.
    pytest.mark.filterwarnings("ignore:`torch.jit.script.*` is deprecated:DeprecationWarning"),
]

SIZES = [40, 30, 20, 10]


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def model(backend: str = "auto") -> SparseMLP:
    return SparseMLP(SIZES, density=0.3, backend=backend, rng=0)


def batch(size: int = 16) -> torch.Tensor:
    return torch.randn(size, SIZES[0], generator=torch.Generator().manual_seed(1))


def assert_equal_steps(compiled: torch.nn.Module, eager: torch.nn.Module) -> None:
    """Outputs and all gradients are equal."""
    results = []
    for module in (compiled, eager):
        x = batch().requires_grad_()
        y = module(x)
        eager.zero_grad()
        y.square().sum().backward()
        results.append([y, x.grad, *(parameter.grad for parameter in eager.parameters())])
    torch.testing.assert_close(results[0], results[1])


def drop_edges(layer: SparseLinear, count: int = 1) -> None:
    none = np.zeros(0, np.int64)
    rewiring.apply_delta(layer, rewiring.EdgeDelta(np.arange(count), none, none, np.zeros(0)))


@pytest.mark.parametrize("backend", ["auto", "compiled", "csr", "dense"])
def test_one_graph_without_breaks_and_the_same_numbers(backend: str) -> None:
    sparse = model(backend)
    assert_equal_steps(torch.compile(sparse, fullgraph=True, backend="aot_eager"), sparse)


def test_the_graph_holds_operators_and_nothing_of_the_size_of_edges_times_batch() -> None:
    """The wrong choice between operator, autograd function and torch's own operations fails here."""
    graphs = EagerAndRecordGraphs()
    torch.compile(model(), fullgraph=True, backend=graphs)(batch())
    (graph,) = graphs.graphs
    called = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert called.count(torch.ops.netsci_nn.sparse_product.default) == 3
    assert not any("index_add" in str(target) or "autograd" in str(target) for target in called)


def test_rewiring_at_a_constant_count_never_compiles_again() -> None:
    sparse, counter = model(), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(sparse, fullgraph=True, backend=counter)
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.1, momentum=0.9)
    rule = rewiring.SparseEvolution(0.3)
    for seed in range(12):
        assert_equal_steps(compiled, sparse)
        optimizer.step()
        for layer in sparse.layers:
            before = layer.topology
            rewiring.apply_delta(layer, rule.propose(rewiring.edge_view(layer), rng=seed), optimizer)
            assert layer.topology != before
    assert counter.frame_count == 1


def test_a_changed_count_compiles_once_more() -> None:
    sparse, counter = model(), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(sparse, fullgraph=True, backend=counter)
    for change in range(5):
        assert_equal_steps(compiled, sparse)
        assert_equal_steps(compiled, sparse)
        assert counter.frame_count == change + 1
        for layer in sparse.layers:
            drop_edges(layer, change + 1)


def test_with_dynamic_parameters_changed_counts_compile_twice_in_all() -> None:
    sparse, counter = model(), CompileCounterWithBackend("aot_eager")
    with torch._dynamo.config.patch(force_parameter_static_shapes=False):
        compiled = torch.compile(sparse, fullgraph=True, backend=counter)
        for _ in range(15):  # beyond the limit of 8 recompilations
            assert_equal_steps(compiled, sparse)
            for layer in sparse.layers:
                drop_edges(layer)
    assert counter.frame_count == 2


def test_batches_of_any_size_including_none() -> None:
    sparse = model()
    compiled = torch.compile(sparse, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (16, 3, 1, 0, 200):
        torch.testing.assert_close(compiled(batch(size)), sparse(batch(size)))
    x = torch.randn(2, 5, SIZES[0])
    torch.testing.assert_close(compiled(x), sparse(x))


def test_layers_without_edges_or_bias() -> None:
    for topology in (generators.erdos_renyi(7, 5, n_edges=0, rng=0), generators.erdos_renyi(7, 5, n_edges=9, rng=0)):
        layer = SparseLinear(topology, bias=False)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        x = torch.randn(4, 7)
        torch.testing.assert_close(compiled(x), layer(x))
        compiled(x).sum().backward()
        assert layer.weight.grad is not None
        torch._dynamo.reset()


def test_frozen_weights_get_no_gradient() -> None:
    layer = SparseLinear(generators.erdos_renyi(7, 5, density=0.4, rng=0))
    layer.weight.requires_grad_(False)
    x = torch.randn(4, 7, requires_grad=True)
    torch.compile(layer, fullgraph=True, backend="aot_eager")(x).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.to_dense().weight.sum(0).expand(4, 7))
    torch.testing.assert_close(layer.bias.grad, torch.full((5,), 4.0))


def test_masks_of_active_edges() -> None:
    layer = SparseLinear(generators.erdos_renyi(7, 5, density=0.4, rng=0))
    compiled, x = torch.compile(layer, fullgraph=True, backend="aot_eager"), torch.randn(4, 7)
    for mask in (None, torch.arange(layer.n_edges) % 2 == 0, torch.arange(layer.n_edges) % 2 == 1):
        layer.active = mask
        gradients = []
        for module in (compiled, layer):
            layer.zero_grad()
            module(x).sin().sum().backward()
            gradients.append(layer.weight.grad)
        torch.testing.assert_close(compiled(x), layer(x))
        torch.testing.assert_close(gradients[0], gradients[1])
        assert (gradients[0] != 0).all()


@pytest.mark.parametrize("count", [0, 1])
def test_a_loss_from_before_a_rewiring_is_refused(count: int) -> None:
    sparse = model()
    loss = torch.compile(sparse, fullgraph=True, backend="aot_eager")(batch()).sum()
    layer = sparse.layers[0]
    if count:
        drop_edges(layer)
        error, words = TopologyError, "compute the loss again"
    else:  # the weights were written in place, which autograd itself sees
        rewiring.apply_delta(layer, rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=0))
        error, words = RuntimeError, "modified by an inplace operation"
    with pytest.raises(error, match=words):
        loss.backward()


def test_a_copy_and_its_original_go_their_own_ways() -> None:
    sparse = model()
    twin = copy.deepcopy(sparse)
    drop_edges(twin.layers[0])
    for one in (sparse, twin):
        assert_equal_steps(torch.compile(one, fullgraph=True, backend="aot_eager"), one)
        torch._dynamo.reset()


PARAMETERS = ["grad", "jvp", "vmap", "per sample", "jacrev", "jacfwd", "hessian", "ensemble"]


@pytest.mark.parametrize(
    ("transform", "compiler"),
    [(name, "aot_eager") for name in PARAMETERS]
    # Where it scatters, inductor of torch 2.13 gives wrong numbers, or crashes, in these.
    + [(name, "inductor") for name in ("grad", "jvp", "per sample", "ensemble")],
)
def test_compiled_transforms_equal_eager_ones(transform: str, compiler: str) -> None:
    torch.manual_seed(0)
    layer = SparseLinear(generators.erdos_renyi(7, 5, density=0.4, rng=0), dtype=torch.float64)
    own = dict(layer.named_parameters())
    stacked, _ = stack_module_state([SparseLinear(layer.topology, dtype=torch.float64) for _ in range(3)])
    x, tangent = torch.randn(6, 7, dtype=torch.float64), torch.randn(6, 7, dtype=torch.float64)

    def call(parameters: dict[str, torch.Tensor], z: torch.Tensor) -> torch.Tensor:
        return functional_call(layer, parameters, (z,))

    def loss(parameters: dict[str, torch.Tensor], z: torch.Tensor) -> torch.Tensor:
        return call(parameters, z).sin().sum()

    function, arguments = {
        "grad": (lambda p, z: grad(loss)(p, z), (own, x)),
        "jvp": (lambda z, t: jvp(lambda u: layer(u), (z,), (t,))[1], (x, tangent)),
        "vmap": (lambda z: vmap(lambda u: layer(u))(z), (x,)),
        "per sample": (lambda p, z: vmap(grad(loss), in_dims=(None, 0))(p, z), (own, x)),
        "jacrev": (lambda z: jacrev(lambda u: layer(u))(z), (x[0],)),
        "jacfwd": (lambda z: jacfwd(lambda u: layer(u))(z), (x[0],)),
        "hessian": (lambda z: hessian(lambda u: layer(u).sin().sum())(z), (x[0],)),
        "ensemble": (lambda p, z: vmap(call, in_dims=(0, None))(p, z), (stacked, x)),
    }[transform]
    compiled = torch.compile(function, fullgraph=True, backend=compiler)
    torch.testing.assert_close(compiled(*arguments), function(*arguments), rtol=1e-10, atol=1e-10)


def test_an_operator_obeys_torchs_own_checks() -> None:
    layer = SparseLinear(generators.erdos_renyi(7, 5, density=0.4, rng=0))
    edges = layer._edition
    weight, bias = (parameter.detach().requires_grad_() for parameter in (layer.weight, layer.bias))
    for mask in (None, torch.arange(layer.n_edges) % 2 == 0):
        arguments = (weight, torch.randn(7, 6), bias, mask, edges.src, edges.dst, edges.mark, 7, 5, "auto")
        torch.library.opcheck(torch.ops.netsci_nn.sparse_product.default, arguments)


def test_vmap_rules_of_the_operators() -> None:
    layer = SparseLinear(generators.erdos_renyi(7, 5, density=0.4, rng=0), dtype=torch.float64)
    edges, place = layer._edition, (layer.dst.long(), layer.src.long())
    rest = (None, edges.src, edges.dst, edges.mark, 7, 5, "auto")
    w, x, b, g = (torch.randn(3, *shape, dtype=torch.float64) for shape in ((layer.n_edges,), (7, 6), (5,), (5, 6)))

    def forward(w: torch.Tensor, x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.ops.netsci_nn.sparse_product(w, x, b, *rest)

    def dense(w: torch.Tensor, x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.zeros(5, 7, dtype=torch.float64).index_put(place, w) @ x + b[:, None]

    def backward(g: torch.Tensor, w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.ops.netsci_nn.sparse_product_backward(g, w, x, *rest, [True] * 3)

    for dims in ((0, 0, 0), (0, None, None), (None, 0, None), (None, None, 0), (None, 0, 0)):
        arguments = [one if dim == 0 else one[0] for one, dim in zip((w, x, b), dims, strict=True)]
        torch.testing.assert_close(vmap(forward, in_dims=dims)(*arguments), vmap(dense, in_dims=dims)(*arguments))
    moved = vmap(forward, in_dims=(None, 2, None))(w[0], x.permute(1, 2, 0), b[0])
    torch.testing.assert_close(moved, torch.stack([dense(w[0], one, b[0]) for one in x]))
    of_weight, of_x, of_bias = vmap(backward, in_dims=(0, None, 0))(g, w[0], x)
    for number in range(3):
        leaves = [one.clone().requires_grad_() for one in (w[0], x[number], b[0])]
        expected = torch.autograd.grad(dense(*leaves), leaves, g[number])
        torch.testing.assert_close((of_weight[number], of_x[number], of_bias[number]), expected)


@pytest.mark.parametrize("strict", [False, True])
def test_export_keeps_the_batch_dynamic_and_the_weights_trainable(strict: bool) -> None:
    sparse = model()
    program = torch.export.export(sparse, (batch(),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=strict)
    exported = program.module()
    for size in (2, 16, 50):
        torch.testing.assert_close(exported(batch(size)), sparse(batch(size)))
    exported(batch()).square().sum().backward()
    sparse(batch()).square().sum().backward()
    gradients = dict(exported.named_parameters())
    for name, parameter in sparse.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad)


@pytest.mark.parametrize("is_count_kept", [True, False])
def test_an_exported_program_that_shares_rewired_weights_is_refused(is_count_kept: bool) -> None:
    """torch gives the program the model's own parameters; on their former edges they would compute something else."""
    sparse = model()
    exported = torch.export.export(sparse, (batch(),)).module()
    layer = sparse.layers[1]
    if is_count_kept:
        rewiring.apply_delta(layer, rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=0))
    else:
        drop_edges(layer)
    with pytest.raises(TopologyError, match="export again"):
        exported(batch())
    torch.testing.assert_close(torch.export.export(sparse, (batch(),)).module()(batch()), sparse(batch()))


def test_an_exported_program_is_saved_and_runs_in_another_process(tmp_path: Path) -> None:
    sparse = model()
    torch.export.save(torch.export.export(sparse, (torch.ones(5, SIZES[0]),)), tmp_path / "model.pt2")
    program = (
        "import sys, torch, netsci_nn.kernels\n"
        f"y = torch.export.load({str(tmp_path / 'model.pt2')!r}).module()(torch.ones(5, {SIZES[0]}))\n"
        "print(y.double().sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(sparse(torch.ones(5, SIZES[0])).double().sum().item(), rel=1e-5)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("backend", ["compiled", "csr", "dense"])
def test_what_make_fx_records_depends_on_its_input(backend: str, is_masked: bool) -> None:
    layer = SparseLinear(generators.erdos_renyi(7, 5, density=0.4, rng=0), backend=backend)
    if is_masked:
        layer.active = torch.arange(layer.n_edges) % 2 == 0
    x, other = torch.randn(4, 7), torch.randn(4, 7)

    def gradient(z: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(layer(z).sin().sum(), layer.weight)[0]

    for function in (layer, gradient):
        torch.testing.assert_close(make_fx(lambda z: function(z))(x)(other), function(other))  # noqa: B023


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`values` of a sparse layer:DeprecationWarning")  # torch.jit reads every attribute
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # that checks of shapes are not repeated
@pytest.mark.parametrize("backend", ["compiled", "csr", "dense"])
def test_a_traced_module_is_saved_trains_and_is_refused_after_a_rewiring(backend: str) -> None:
    sparse = model(backend)
    traced, file = torch.jit.trace(sparse, batch()), io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    for size in (16, 3):
        torch.testing.assert_close(traced(batch(size)), sparse(batch(size)))
        torch.testing.assert_close(torch.jit.load(file)(batch(size)), sparse(batch(size)))
        file.seek(0)
    gradients = [torch.autograd.grad(one(batch(3)).sin().sum(), list(sparse.parameters())) for one in (traced, sparse)]
    torch.testing.assert_close(gradients[0], gradients[1])
    layer = sparse.layers[1]
    rewiring.apply_delta(layer, rewiring.SparseEvolution(0.3).propose(rewiring.edge_view(layer), rng=0))
    with pytest.raises(RuntimeError, match="export again"):
        traced(batch())


@pytest.mark.parametrize("backend", ["compiled", "csr", "dense"])
def test_fake_tensors_tell_shapes(backend: str) -> None:
    sparse = model(backend)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert sparse(torch.empty(3, SIZES[0])).shape == (3, SIZES[-1])


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`values` of a sparse layer:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_program_in_forward_mode_is_refused() -> None:
    """torch would take the tangents of an operator for zero."""
    sparse, x = model(), batch()
    for program in (torch.export.export(sparse, (x,)).module(), torch.jit.trace(sparse, x)):
        with pytest.raises((ConfigError, RuntimeError), match="cannot be differentiated in forward mode"):
            jvp(program, (x,), (x,))


@pytest.mark.parametrize("rule", ["rigl", "set"])
def test_a_compiled_model_is_rewired_as_an_eager_one(rule: str) -> None:
    """The gradient of all pairs is collected in the backward operator, which runs as Python in a compiled graph, too."""
    torch._dynamo.reset()
    x = torch.randn(32, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (x[:, :5] + x[:, 5:10]).argmax(1)
    models = [SparseMLP([20, 24, 5], density=0.3, rng=0).double() for _ in range(2)]
    for model, forward in zip(models, (models[0], torch.compile(models[1])), strict=True):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        driver = Rewiring(forward, optimizer, rule, every=5, rng=0)
        for _ in range(22):
            torch.nn.functional.cross_entropy(forward(x), y).backward()
            driver.step()
            optimizer.step()
            optimizer.zero_grad()
    for mine, theirs in zip(models[0].layers, models[1].layers, strict=True):
        assert mine.topology == theirs.topology
        torch.testing.assert_close(mine.weight, theirs.weight, rtol=1e-7, atol=1e-9)
    assert models[0].layers[0].topology != SparseMLP([20, 24, 5], density=0.3, rng=0).layers[0].topology
