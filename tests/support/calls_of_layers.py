"""Legal calls of layers and kernels, with dense matrices as oracles; and sequences of changes of one layer."""

import copy
from typing import Any

import numpy as np
import torch
from api_calls import Call, Draw, calls
from calls_of_graphs import dense, topology
from torch import nn

import netsci_nn as ns
from netsci_nn import kernels
from netsci_nn.layers import SparseLayer
from netsci_nn.topology import BipartiteTopology

LAYER, LINEAR, KERNELS = "netsci_nn.layers.SparseLayer", "netsci_nn.SparseLinear", "netsci_nn.kernels"
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
BATCHES = (0, 1, 2, 15, 16, 17, 33, 65)


def dtype(draw: Draw) -> torch.dtype:
    """Return a dtype of a layer, mostly float32."""
    return draw.choice((torch.float32, torch.float32, *DTYPES))


def layer(draw: Draw, value: BipartiteTopology | None = None, of: torch.dtype | None = None) -> ns.SparseLinear:
    """Return a random layer, perhaps with inactive edges."""
    value = value or topology(draw)
    backend = draw.choice(("auto", "compiled", "csr", "dense"))
    result = ns.SparseLinear(value, draw.random() < 0.7, backend, dtype=of or dtype(draw))
    if result.bias is not None:
        nn.init.normal_(result.bias)
    if draw.random() < 0.2:
        result.active = draw.numpy.random(value.n_edges) < 0.7
    return result


def matrix(of: SparseLayer) -> torch.Tensor:
    """Return the weight matrix `[n_out, n_in]` in float64, put together edge by edge."""
    weight = of.weight.detach().double()
    if of.active is not None:
        weight = torch.where(of.active, weight, 0.0)
    result = torch.zeros(of.n_out, of.n_in, dtype=torch.float64)
    for edge, (source, target) in enumerate(of.topology.to_edges().tolist()):
        result[target, source] = weight[edge]
    return result


def close(found: torch.Tensor, right: torch.Tensor, size: torch.Tensor, terms: int) -> None:
    """Raise an error unless numbers are right but for rounding.

    Args:
        found: of a dtype of layers.
        right: in float64.
        size: sum of the absolute terms of every number.
        terms: how many terms.
    """
    assert found.shape == right.shape, (found.shape, right.shape)
    single = torch.finfo(torch.promote_types(found.dtype, torch.float32)).eps
    bound = size * ((terms + 4) * single + 4 * torch.finfo(found.dtype).eps) + torch.finfo(found.dtype).tiny
    finite = right.abs() < torch.finfo(found.dtype).max / 4
    error = (found.detach().double() - right).abs()
    assert (error <= bound)[finite].all(), f"error {error[finite].max():.3g}, allowed {bound[finite].max():.3g}"


@calls("layers", f"{LINEAR}.forward", weight=8)
def _forward(draw: Draw) -> Call:
    torch.set_num_threads(draw.choice((1, 2)))
    own = layer(draw)
    shape = draw.choice(((draw.choice(BATCHES),), (), (2, draw.choice((0, 1, 8)))))
    x = torch.from_numpy(draw.numpy.normal(size=(*shape, own.n_in))).to(own.weight.dtype).requires_grad_(draw.random() < 0.7)

    def check(y: torch.Tensor, *, self: ns.SparseLinear, x: torch.Tensor) -> None:
        _check_product(self, x, y, draw)

    def like(self: ns.SparseLinear, x: Any) -> Any:
        return nn.Linear(self.n_in, self.n_out, dtype=self.weight.dtype)(x)

    return Call({"self": own, "x": x}, check, fixed=("self",), like=like)


def _check_product(of: ns.SparseLinear, x: torch.Tensor, y: torch.Tensor, draw: Draw) -> None:
    """Compare an output and all gradients with those of a dense matrix."""
    weight, rows = matrix(of), x.detach().double().reshape(-1, of.n_in)
    bias = torch.zeros(of.n_out, dtype=torch.float64) if of.bias is None else of.bias.detach().double()
    assert y.shape == (*x.shape[:-1], of.n_out)
    assert y.dtype == of.weight.dtype
    outputs = y.reshape(-1, of.n_out)
    sound = rows.isfinite().all(1)
    close(outputs[sound], (rows @ weight.T + bias)[sound], (rows.abs() @ weight.abs().T + bias.abs())[sound], of.n_in)
    if not sound.all():
        return
    g = torch.from_numpy(draw.numpy.normal(size=tuple(y.shape))).to(y.dtype)
    wanted = [of.weight, *([of.bias] if of.bias is not None else []), *([x] if x.requires_grad else [])]
    found = torch.autograd.grad(y, wanted, g)
    gradient, source, target = g.double().reshape(-1, of.n_out), of.src.long(), of.dst.long()
    terms = len(rows)
    close(found[0], (gradient.T @ rows)[target, source], (gradient.abs().T @ rows.abs())[target, source], terms)
    if of.bias is not None:
        is_half = y.dtype.itemsize == 2  # torch sums half precision in parts
        close(found[1], gradient.sum(0), gradient.abs().sum(0) * (1 + terms * is_half), terms)
    if x.requires_grad:
        close(found[-1].reshape(-1, of.n_in), gradient @ weight, gradient.abs() @ weight.abs(), of.n_out)


def _conv_options(draw: Draw, n_dims: int) -> tuple[BipartiteTopology, dict[str, Any]]:
    """Return a topology and legal arguments of a sparse convolution."""
    kernel = draw.choice((1, 3, (2, 3)[:n_dims] if n_dims > 1 else 2))
    area = int(np.prod(kernel)) ** (n_dims if isinstance(kernel, int) else 1)
    graph = draw.choice(("channel", "patch"))
    n_in, n_out = draw.randint(1, 5), draw.randint(1, 5)
    options = {"kernel_size": kernel, "stride": draw.choice((1, 2)), "padding": draw.choice((0, 2, "valid")), "graph": graph}
    options |= {"dilation": draw.choice((1, 2)), "bias": draw.random() < 0.5, "dtype": draw.choice((None, torch.float64))}
    options |= {"padding_mode": draw.choice(("zeros", "replicate")), "device": draw.choice((None, "cpu"))}
    options["backend"] = draw.choice(("auto", "compiled", "csr", "dense"))
    return topology(draw, n_in * (area if graph == "patch" else 1), n_out), options


def _conv_maker(name: str, n_dims: int) -> None:
    def check_output(layer: Any, x: torch.Tensor, y: torch.Tensor) -> None:
        expected = layer.to_dense()(x)
        assert y.shape == expected.shape
        if not x.isfinite().all():
            return  # a dense layer multiplies it by zeros, too
        assert torch.allclose(y.double(), expected.double(), rtol=1e-4, atol=1e-4)

    @calls("layers", f"netsci_nn.{name}", weight=2)
    def make(draw: Draw) -> Call:
        value, options = _conv_options(draw, n_dims)

        def check(result: Any, *, topology: Any, **_: Any) -> None:
            assert result.topology == topology
            assert result.weight.shape[0] == topology.n_edges
            x = torch.from_numpy(draw.numpy.normal(size=(2, result.in_channels, *(9,) * n_dims))).to(result.weight.dtype)
            try:
                y = result(x)
            except ns.DataError:
                return  # the kernel is larger than the padded map
            check_output(result, x, y)

        return Call({"topology": value, **options}, check, fixed=("bias", "device"))

    @calls("layers", f"netsci_nn.{name}.forward", weight=2)
    def forward(draw: Draw) -> Call:
        value, options = _conv_options(draw, n_dims)
        own = getattr(ns, name)(value, **options)
        x = draw.numpy.normal(size=(draw.randint(0, 3), own.in_channels, *(draw.randint(7, 10) for _ in range(n_dims))))

        def check(result: Any, *, self: Any, x: torch.Tensor) -> None:
            check_output(self, x, result)

        def like(self: Any, x: Any) -> Any:
            return self.to_dense()(x)

        return Call({"self": own, "x": torch.from_numpy(x).to(own.weight.dtype)}, check, fixed=("self",), like=like)


_conv_maker("SparseConv1d", 1)
_conv_maker("SparseConv2d", 2)


@calls("layers", LINEAR, weight=2)
def _linear(draw: Draw) -> Call:
    def check(result: Any, *, topology: Any, bias: Any, backend: Any, device: Any, dtype: Any) -> None:
        assert result.topology == topology
        assert result.weight.shape == (topology.n_edges,)
        assert result.weight.dtype == (dtype or torch.float32)
        assert result.weight.isfinite().all() or result.weight.is_meta
        assert (result.bias is not None) == bool(bias)
        assert result.bias is None or not result.bias.any()

    backend = draw.choice(("auto", "compiled", "csr", "dense"))
    call = {"topology": topology(draw), "bias": draw.random() < 0.5, "backend": backend, "device": draw.choice((None, "cpu"))}
    return Call({**call, "dtype": draw.choice((None, *DTYPES))}, check, fixed=("bias", "device"))


@calls("layers", LAYER)
def _layer(draw: Draw) -> Call:
    kernel = draw.choice(((), (3,), (2, 2)))

    def check(result: Any, *, topology: Any, kernel: Any, device: Any, dtype: Any) -> None:
        assert result.topology == topology
        assert tuple(result.weight.shape) == (topology.n_edges, *kernel)
        assert result.weight.dtype == (dtype or torch.float32)

    call = {"topology": topology(draw), "kernel": kernel, "device": None, "dtype": draw.choice((None, *DTYPES))}
    return Call(call, check, fixed=("device",))


PARTS = {
    "n_in": lambda of: of.topology.n_in,
    "n_out": lambda of: of.topology.n_out,
    "n_edges": lambda of: len(of.topology.src),
    "src": lambda of: of.topology.src.tolist(),
    "dst": lambda of: of.topology.dst.tolist(),
    "birth": lambda of: [0] * of.n_edges,
    "strength": lambda of: of.weight.abs().tolist(),
    "edge_weights": lambda of: _weights(of).tolist(),
    "masked_weight": lambda of: _weights(of).tolist(),
    "extra_repr": lambda of: (
        f"n_in={of.n_in}, n_out={of.n_out}, n_edges={of.n_edges}, density={of.n_edges / (of.n_in * of.n_out):.4g}"
    ),
}


def _weights(of: SparseLayer) -> torch.Tensor:
    weight = of.weight.detach().float() if of.weight.dtype != torch.float64 else of.weight.detach()
    return weight if of.active is None else torch.where(of.active, weight, 0.0)


def _parts() -> None:
    for name, right in PARTS.items():

        @calls("layers", f"{LAYER}.{name}", weight=0.2)
        def make(draw: Draw, right: Any = right) -> Call:
            def check(result: Any, *, self: SparseLayer) -> None:
                found = result.tolist() if hasattr(result, "tolist") else result
                assert found == right(self)

            return Call({"self": layer(draw)}, check, fixed=("self",))


_parts()


@calls("layers", f"{LAYER}.topology", f"{LAYER}.active", f"{LAYER}.values", weight=0.3)
def _copies(draw: Draw) -> Call:
    def check(result: Any, *, self: SparseLayer) -> None:
        if isinstance(result, BipartiteTopology):
            assert result == self.topology
            assert result is not self.topology
        elif isinstance(result, nn.Parameter):
            assert result is self.weight
        elif result is not None:
            assert result.tolist() == self.active.tolist()

    return Call({"self": layer(draw)}, check, fixed=("self",))


@calls("layers", f"{LINEAR}.in_features", f"{LINEAR}.out_features", weight=0.2)
def _features(draw: Draw) -> Call:
    def check(result: Any, *, self: ns.SparseLinear) -> None:
        assert result in (self.n_in, self.n_out)

    return Call({"self": layer(draw)}, check, fixed=("self",))


@calls("layers", f"{LAYER}.active.fset")
def _set_active(draw: Draw) -> Call:
    own = layer(draw)

    def check(result: None, *, self: SparseLayer, mask: Any) -> None:
        assert (self.active is None) == (mask is None)
        assert mask is None or self.active.tolist() == list(mask)

    mask = draw.numpy.random(own.n_edges) < 0.5
    mask = draw.choice((None, mask, torch.from_numpy(mask)))
    return Call({"self": own, "mask": mask}, check, fixed=("self",), changes=True)


@calls("layers", f"{LAYER}.reset_parameters")
def _reset(draw: Draw) -> Call:
    def check(result: None, *, self: SparseLayer) -> None:
        assert self.weight.isfinite().all()
        assert self.bias is None or not self.bias.any()

    return Call({"self": layer(draw)}, check, fixed=("self",), changes=True)


@calls("layers", f"{LAYER}.to_igraph")
def _to_igraph(draw: Draw) -> Call:
    def check(result: Any, *, self: SparseLayer) -> None:
        assert result.get_edgelist() == [(s, t + self.n_in) for s, t in self.topology.to_edges().tolist()]
        np.testing.assert_equal(result.es["weight"], self.edge_weights().tolist())

    return Call({"self": layer(draw)}, check, fixed=("self",))


@calls("layers", f"{LAYER}.set_structure", weight=2)
def _set_structure(draw: Draw) -> Call:
    own = layer(draw)
    new = topology(draw, own.n_in, own.n_out)
    own.weight.grad = torch.ones_like(own.weight)
    parameter = own.weight

    def check(result: None, *, self: SparseLayer, topology: Any, weight: Any, birth: Any, active: Any) -> None:
        assert self.weight is parameter
        assert self.weight.grad is None
        assert self.topology == topology
        given = torch.as_tensor(weight).to(self.weight.dtype)
        assert torch.equal(self.weight.detach().nan_to_num(), given.nan_to_num())
        assert self.birth.tolist() == list(birth)
        assert (self.active is None) == (active is None)
        assert active is None or self.active.tolist() == list(active)

    births = draw.numpy.integers(0, 99, size=new.n_edges)
    active = draw.choice((None, draw.numpy.random(new.n_edges) < 0.5))
    weight = torch.from_numpy(draw.numpy.normal(size=new.n_edges)).to(dtype(draw))
    call = {"self": own, "topology": new, "weight": weight, "birth": draw.choice((births, torch.from_numpy(births)))}
    return Call({**call, "active": active}, check, fixed=("self",), changes=True)


@calls("layers", f"{LINEAR}.to_dense")
def _to_dense(draw: Draw) -> Call:
    def check(result: nn.Linear, *, self: ns.SparseLinear) -> None:
        assert type(result) is nn.Linear
        assert torch.equal(result.weight.double(), matrix(self))
        assert (result.bias is None) == (self.bias is None)
        assert result.bias is None or torch.equal(result.bias, self.bias)

    return Call({"self": layer(draw)}, check, fixed=("self",))


@calls("layers", f"{LINEAR}.from_dense")
def _from_dense(draw: Draw) -> Call:
    value = topology(draw)
    linear = nn.Linear(value.n_in, value.n_out, bias=draw.random() < 0.7, dtype=dtype(draw))
    with torch.no_grad():
        linear.weight *= torch.from_numpy(dense(value))

    def check(result: ns.SparseLinear, *, linear: nn.Linear, topology: Any, backend: Any) -> None:
        kept = linear.weight.double() if topology is None else linear.weight.double() * torch.from_numpy(dense(topology))
        assert torch.equal(matrix(result), kept)
        assert (result.bias is None) == (linear.bias is None)
        assert result.bias is None or torch.equal(result.bias, linear.bias)

    call = {"linear": linear, "topology": draw.choice((None, value, topology(draw, value.n_in, value.n_out)))}
    return Call({**call, "backend": draw.choice(("auto", "csr"))}, check)


@calls("layers", "netsci_nn.weight_norm", "netsci_nn.spectral_norm")
def _norms(draw: Draw) -> Call:
    own = layer(draw, of=draw.choice((torch.float32, torch.float64)))
    before = own.weight.detach().clone()

    def check(result: Any, *, layer: ns.SparseLinear) -> None:
        assert result is layer
        if hasattr(layer.parametrizations.weight, "original1"):
            assert torch.allclose(layer.weight, before, rtol=1e-4, atol=1e-6)
        else:
            layer.eval()
            full = torch.zeros(layer.n_out, layer.n_in, dtype=layer.weight.dtype)
            full[layer.dst, layer.src] = layer.weight.detach()
            assert full.isfinite().all()

    return Call({"layer": own}, check, changes=True, refusal=True)  # a target without weights has no direction


# Kernels


def product(draw: Draw) -> tuple[kernels.EdgeIndex, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return edges, their values, and operands on both sides."""
    index, batch, of = kernels.edge_index(topology(draw)), draw.choice(BATCHES), draw.choice((torch.float32, torch.float64))
    shapes = ((len(index.src),), (index.n_in, batch), (index.n_out, batch))
    return index, *(torch.from_numpy(draw.numpy.normal(size=shape)).to(of) for shape in shapes)


def _matrix(index: kernels.EdgeIndex, values: torch.Tensor) -> torch.Tensor:
    result = torch.zeros(index.n_out, index.n_in, dtype=torch.float64)
    result[index.dst.long(), index.src.long()] = values.detach().double()
    return result


@calls("layers", f"{KERNELS}.sparse_product", weight=2)
def _sparse_product(draw: Draw) -> Call:
    index, values, x, _ = product(draw)
    backend = kernels.BACKENDS[draw.choice(("compiled", "csr", "dense"))]

    def check(result: torch.Tensor, *, values: Any, x: Any, index: Any, backend: Any) -> None:
        full = _matrix(index, values)
        sound = x.detach().isfinite().all(0)
        assert not values.is_meta
        if values.detach().isfinite().all():
            right, size = full @ x.detach().double(), full.abs() @ x.detach().double().abs()
            close(result[:, sound], right[:, sound], size[:, sound], index.n_in)

    return Call({"values": values, "x": x, "index": index, "backend": backend}, check, fixed=("index", "backend"))


def multiply(backend: str, field: str, operands: tuple[torch.Tensor, torch.Tensor], index: kernels.EdgeIndex) -> torch.Tensor:
    """Return one of the three products of a backend."""
    return getattr(kernels.BACKENDS[backend], field)(*operands, index)


@calls("layers", "calls_of_layers.multiply", weight=2)
def _multiply(draw: Draw) -> Call:
    index, values, x, y = product(draw)
    kinds = {"product": (values, x), "transposed_product": (values, y), "sampled_product": (x, y)}
    field = draw.choice(list(kinds))

    def check(result: torch.Tensor, *, backend: str, field: str, operands: Any, index: Any) -> None:
        a, b = (operand.double() for operand in operands)
        full = _matrix(index, values) if field == "product" else _matrix(index, values).T
        if field == "sampled_product":
            pairs = (index.dst.long(), index.src.long())
            close(result, (b @ a.T)[pairs], (b.abs() @ a.abs().T)[pairs], a.shape[1])
        else:
            close(result, full @ b, full.abs() @ b.abs(), full.shape[1])

    call = {"backend": draw.choice(("compiled", "csr", "dense")), "field": field, "operands": kinds[field], "index": index}
    return Call(call, check, fixed=tuple(call))


@calls("layers", f"{KERNELS}.edge_index")
def _edge_index(draw: Draw) -> Call:
    def check(result: kernels.EdgeIndex, *, topology: BipartiteTopology, device: Any) -> None:
        mask = dense(topology)
        assert result.src.tolist() == topology.src.tolist()
        assert result.dst.tolist() == topology.dst.tolist()
        assert result.target_pointers.tolist() == [0, *mask.sum(1).cumsum().tolist()]
        assert result.source_pointers.tolist() == [0, *mask.sum(0).cumsum().tolist()]
        order = np.lexsort((topology.dst, topology.src))
        assert result.by_source.tolist() == order.tolist()
        assert result.dst_by_source.tolist() == topology.dst[order].tolist()

    return Call({"topology": topology(draw), "device": "cpu"}, check, fixed=("device",))


@calls("layers", f"{KERNELS}.Edition", weight=0.3)
def _edition(draw: Draw) -> Call:
    def check(result: kernels.Edition, *, topology: BipartiteTopology) -> None:
        result.index(torch.device("cpu")).check_current()
        result.retire()
        assert result.mark.item() == 0

    return Call({"topology": topology(draw)}, check)


@calls("layers", f"{KERNELS}.choose_backend")
def _choose_backend(draw: Draw) -> Call:
    index, values, _, _ = product(draw)

    def check(result: str, *, batch: int, **_: Any) -> None:
        highest = 0.9 if batch < 512 else 0.4
        assert result == ("dense" if len(values) > highest * index.n_in * index.n_out else "compiled")

    call = {"values": values, "batch": draw.choice(BATCHES), "index": index}
    return Call(call, check, fixed=tuple(call))


@calls("layers", f"{KERNELS}.backend_of")
def _backend_of(draw: Draw) -> Call:
    index, values, _, _ = product(draw)

    def check(result: Any, *, name: str, **_: Any) -> None:
        assert name == "auto" or result is kernels.BACKENDS[name]

    call = {"name": draw.choice(("auto", "csr", "dense", "compiled")), "values": values, "batch": 3, "index": index}
    return Call(call, check, fixed=("values", "batch", "index"))


@calls("layers", f"{KERNELS}.BACKENDS.__getitem__", weight=0.3)
def _backends(draw: Draw) -> Call:
    def check(result: Any, *, name: str) -> None:
        assert isinstance(result, kernels.Backend)
        assert name in kernels.BACKENDS

    return Call({"name": draw.choice(("compiled", "csr", "dense"))}, check)


@calls("layers", f"{KERNELS}.supporting")
def _supporting(draw: Draw) -> Call:
    def check(result: Any, *, name: str, values: Any) -> None:
        assert result is kernels.BACKENDS[name]

    return Call({"name": draw.choice(("compiled", "csr", "dense")), "values": torch.ones(3)}, check, fixed=("values",))


@calls("layers", f"{KERNELS}.of_edition", weight=0.3)
def _of_edition(draw: Draw) -> Call:
    index, values, _, _ = product(draw)
    mask = draw.choice((None, torch.from_numpy(draw.numpy.random(len(values)) < 0.5)))

    def check(result: torch.Tensor, *, values: Any, index: Any, mask: Any) -> None:
        assert torch.equal(result, values if mask is None else values * mask)

    call = {"values": values, "index": index, "mask": mask}
    return Call(call, check, fixed=tuple(call))


@calls("layers", f"{KERNELS}.is_traced", f"{KERNELS}.crossover", weight=0.1)
def _facts(draw: Draw) -> Call:
    def check(result: Any) -> None:
        assert result is False or all(0 <= density <= 1 for density in result.values())

    return Call({}, check)


# Sequences


class Shadow:
    """What a layer must be after some changes: weights and births by pairs (source, target), from plain dictionaries."""

    def __init__(self, of: ns.SparseLinear) -> None:
        edges = list(map(tuple, of.topology.to_edges().tolist()))
        self.weight = dict(zip(edges, of.weight.tolist(), strict=True))
        self.birth = dict(zip(edges, of.birth.tolist(), strict=True))

    def check(self, of: ns.SparseLinear, draw: Draw) -> None:
        """Raise an error unless the layer holds and computes the same."""
        edges = list(map(tuple, of.topology.to_edges().tolist()))
        assert edges == sorted(self.weight, key=lambda edge: edge[::-1])
        assert of.weight.tolist() == [self.weight[edge] for edge in edges]
        assert of.birth.tolist() == [self.birth[edge] for edge in edges]
        x = torch.from_numpy(draw.numpy.normal(size=(draw.choice(BATCHES), of.n_in))).to(of.weight.dtype).requires_grad_()
        _check_product(of, x, of(x), draw)


def sequence(seed: int) -> None:
    """Change one layer in many ways, one after the other, and compare it after each with what it must be."""
    draw = Draw(f"sequence {seed}")
    own = layer(draw, topology(draw, draw.randint(1, 12), draw.randint(1, 12)), of=torch.float32)
    own.active = None
    shadow = Shadow(own)
    optimizer = torch.optim.SGD(own.parameters(), lr=0.01, momentum=0.9)
    for step in range(draw.randint(1, 8)):
        change = draw.choice(("delta", "copy", "state", "structure", "train", "dtype", "move"))
        if change == "delta":
            delta = _delta(draw, own)
            edges, dropped = list(map(tuple, own.topology.to_edges().tolist())), set(delta.dropped.tolist())
            ns.rewiring.apply_delta(own, delta, optimizer, step=step)
            for edge, pair in enumerate(edges):
                if edge in dropped:
                    del shadow.weight[pair], shadow.birth[pair]
            grown = list(zip(delta.grown_src.tolist(), delta.grown_dst.tolist(), strict=True))
            shadow.weight |= dict(zip(grown, torch.from_numpy(delta.grown_values).to(own.weight.dtype).tolist(), strict=True))
            shadow.birth |= dict.fromkeys(grown, step)
        elif change == "copy":
            own = copy.deepcopy(own)
        elif change == "state":
            other = ns.SparseLinear(topology(draw, own.n_in, own.n_out), own.bias is not None, dtype=own.weight.dtype)
            other.load_state_dict(own.state_dict(), assign=draw.random() < 0.3)
            own = other
        elif change == "structure":
            new = topology(draw, own.n_in, own.n_out)
            weight = torch.from_numpy(draw.numpy.normal(size=new.n_edges)).to(own.weight.dtype)
            own.set_structure(new, weight, torch.full((new.n_edges,), step))
            shadow = Shadow(own)
            assert own.weight.tolist() == weight.tolist()
        elif change == "train":
            own(torch.ones(3, own.n_in, dtype=own.weight.dtype)).sum().backward()
            optimizer.step()
            shadow.weight = dict(zip(map(tuple, own.topology.to_edges().tolist()), own.weight.tolist(), strict=True))
        elif change == "dtype":
            own = own.to(draw.choice((torch.float64, torch.bfloat16, torch.float32)))
            shadow.weight = dict(zip(map(tuple, own.topology.to_edges().tolist()), own.weight.tolist(), strict=True))
        else:
            own = own.to("cpu").train(draw.random() < 0.5)
        if change in ("copy", "state", "dtype", "structure"):  # a state of another size or dtype is of no use
            optimizer = torch.optim.SGD(own.parameters(), lr=0.01, momentum=0.9)
        shadow.check(own, draw)


def _delta(draw: Draw, of: SparseLayer) -> ns.rewiring.EdgeDelta:
    """Return a legal change of a layer's edges."""
    n_edges, cells = of.n_edges, of.n_in * of.n_out
    dropped = draw.sample(range(n_edges), draw.randint(0, n_edges))
    keys = of.topology.keys()
    taken = set(np.delete(keys, dropped).tolist()) if draw.random() < 0.5 else set(keys.tolist())
    free = [cell for cell in range(cells) if cell not in taken]
    n_grown = min(len(free), len(dropped)) if draw.random() < 0.6 else draw.randint(0, len(free))
    grown = np.array(draw.sample(free, n_grown), dtype=np.int64)
    values = draw.numpy.normal(size=(n_grown, *of.weight.shape[1:])).astype(np.float32)
    return ns.rewiring.EdgeDelta(np.array(dropped, dtype=np.int64), grown % of.n_in, grown // of.n_in, values)


delta_of = _delta


@calls("layers", "calls_of_layers.sequence", weight=3)
def _sequence(draw: Draw) -> Call:
    return Call({"seed": draw.getrandbits(40)}, lambda result, seed: None, fixed=("seed",))
