"""Legal calls of rewiring, pruning, models, training and data, with what they must give."""

import copy
import itertools
from typing import Any

import numpy as np
import torch
from api_calls import Call, Draw, calls
from calls_of_graphs import check_layer, dense, topology
from calls_of_layers import close, delta_of, layer, matrix
from torch import nn

import netsci_nn as ns
from netsci_nn import data, rewiring, training
from netsci_nn.layers import ACTIVATIONS, SparseLayer
from netsci_nn.models import GPT, UnpackedAttention
from netsci_nn.rewiring import EdgeDelta, EdgeView

REWIRING, PRUNING, MODELS, TRAINING = (f"netsci_nn.{name}" for name in ("rewiring", "pruning", "models", "training"))
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9},
    "adam": {},
    "adamw": {"amsgrad": True},
    "adagrad": {"initial_accumulator_value": 0.5},
    "rprop": {},
    "rmsprop": {"momentum": 0.5, "centered": True},
    "adamax": {},
    "nadam": {},
}


def trained(draw: Draw) -> tuple[ns.SparseLinear, torch.optim.Optimizer]:
    """Return a layer that has been trained for a step, and its optimiser."""
    own = layer(draw, topology(draw, draw.randint(1, 12), draw.randint(1, 12)), draw.choice((torch.float32, torch.float64)))
    name = draw.choice(list(OPTIMIZERS))
    optimizer = training.make_optimizer(name, own.parameters(), 0.01, **OPTIMIZERS[name])
    own(torch.ones(3, own.n_in, dtype=own.weight.dtype)).square().sum().backward()
    optimizer.step()
    return own, optimizer


def _by_pair(of: SparseLayer, values: Any) -> dict[tuple[int, int], Any]:
    return dict(zip(map(tuple, of.topology.to_edges().tolist()), np.asarray(values).tolist(), strict=True))


def _states(of: SparseLayer, optimizer: torch.optim.Optimizer) -> dict[str, dict[tuple[int, int], Any]]:
    """Return all that belongs to edges, by pairs (source, target)."""
    entries = {name: state for name, state in optimizer.state[of.weight].items() if torch.is_tensor(state) and state.dim() == 1}
    gradient = {} if of.weight.grad is None else {"gradient": of.weight.grad}
    tensors = {"weight": of.weight.detach(), "birth": of.birth, **gradient, **entries}
    return {name: _by_pair(of, tensor) for name, tensor in tensors.items() if len(tensor) == of.n_edges}


@calls("models", f"{REWIRING}.apply_delta", weight=4)
def _apply_delta(draw: Draw) -> Call:
    own, optimizer = trained(draw)
    delta = delta_of(draw, own)
    if draw.random() < 0.2:  # of another layer
        delta = delta_of(draw, trained(draw)[0])
        fits = False
    else:
        fits = True
    follower = copy.deepcopy(own)
    followers = draw.choice(((), [follower]))
    before, parameter = _states(own, optimizer), own.weight
    edges = list(map(tuple, own.topology.to_edges().tolist()))

    def check(result: None, *, layer: SparseLayer, delta: EdgeDelta, optimizer: Any, step: Any, followers: Any) -> None:
        dropped = {edges[place] for place in delta.dropped.tolist()}
        grown = list(zip(delta.grown_src.tolist(), delta.grown_dst.tolist(), strict=True))
        kept = [edge for edge in edges if edge not in dropped]
        assert len(set(kept + grown)) == len(kept) + len(grown)
        assert layer.weight is parameter
        assert list(map(tuple, layer.topology.to_edges().tolist())) == sorted(kept + grown, key=lambda edge: edge[::-1])
        if optimizer is not None:
            after = _states(layer, optimizer)
            assert before.keys() == after.keys() or layer.n_edges != len(edges) or not edges
            for name in before.keys() & after.keys():
                assert all(after[name][edge] == before[name][edge] for edge in kept), name
            if grown:
                assert all(after["gradient"][edge] == 0 for edge in grown)
        weights = dict(zip(grown, torch.from_numpy(delta.grown_values).to(layer.weight.dtype).tolist(), strict=True))
        found = _by_pair(layer, layer.weight.detach())
        assert all(found[edge] == weights[edge] for edge in grown)
        if step is not None and grown:
            births = _by_pair(layer, layer.birth)
            assert all(births[edge] == step for edge in grown)
        assert all(other.topology == layer.topology for other in followers)
        assert layer(torch.ones(2, layer.n_in, dtype=layer.weight.dtype)).shape == (2, layer.n_out)

    call = {"layer": own, "delta": delta, "optimizer": optimizer, "step": draw.choice((None, 7)), "followers": followers}
    return Call(call, check, changes=True, refusal=not fits)


@calls("models", f"{REWIRING}.EdgeDelta", weight=2)
def _edge_delta(draw: Draw) -> Call:
    own = layer(draw, topology(draw, draw.randint(1, 8), draw.randint(1, 8)), of=torch.float32)
    delta = delta_of(draw, own)
    names = ("dropped", "grown_src", "grown_dst", "grown_values")
    call = {name: getattr(delta, name).copy() for name in names}
    call["kept_values"] = draw.choice((None, draw.numpy.normal(size=own.n_edges)))
    call["kept_active"] = draw.choice((None, draw.numpy.random(own.n_edges) < 0.5))
    call["grown_active"] = draw.choice((None, draw.numpy.random(len(delta.grown_src)) < 0.5))

    def check(result: EdgeDelta, **given: Any) -> None:
        assert sorted(np.asarray(given["dropped"]).tolist()) == result.dropped.tolist()
        assert len(np.unique(result.dropped)) == len(result.dropped)
        assert len(result.grown_src) == len(result.grown_dst) == len(result.grown_values)
        for name in ("grown_src", "grown_dst"):
            assert getattr(result, name).dtype == np.int64
            assert getattr(result, name).tolist() == np.asarray(given[name]).tolist()
        assert np.isfinite(result.grown_values).all()
        target = copy.deepcopy(own)
        try:
            rewiring.apply_delta(target, result)
        except ns.TopologyError:
            return
        assert np.isfinite(target.edge_weights()).all() or given["kept_values"] is not None

    return Call(call, check)


RULES = {
    "SparseEvolution": lambda draw: {"fraction": draw.uniform(0.01, 0.99), "initial_value": draw.choice((0.0, 0.1))},
    "RigL": lambda draw: {"fraction": draw.uniform(0.01, 0.99), "tie_noise": draw.choice((0.0, 1e-5, 0.1))},
    "DeepR": lambda draw: {
        "l1": draw.choice((0.0, 1e-4)),
        "noise": 1e-8,
        "noise_scaling": draw.choice(("published", "authors")),
    },
    "SoftDeepR": lambda draw: {"l1": 1e-4, "noise": 1e-8, "noise_scaling": draw.choice(("published", "authors"))},
    "PreferentialDeepR": lambda draw: {
        "deletion": draw.choice(("sign_crossing", "abs_delta", "rel_delta")),
        "attractiveness": draw.choice((0.0, 1.0)),
        "updating": draw.choice(("sequential", "frozen")),
        "side": draw.choice(("source", "target", "both")),
        "l1": 1e-4,
        "noise": 1e-8,
        "noise_scaling": "published",
        "fraction": 0.3,
    },
    "DropAndGrow": lambda draw: {
        "drop": draw.choice(("magnitude", "random", "magnitude_and_gradient", "soft_magnitude", "relative_importance")),
        "grow": draw.choice(("random", "gradient")),
        "fraction": draw.choice((0, draw.uniform(0.01, 0.99))),
        "density": draw.choice((None, draw.uniform(0.01, 1))),
        "keep": draw.choice((None, draw.uniform(0.01, 1))),
        "name": "own",
    },
    "DynamicSparseReparameterization": lambda draw: {
        "fraction": draw.uniform(0.01, 0.99),
        "threshold": draw.choice((1e-3, 0.1, 10.0)),
        "tolerance": draw.choice((0.0, 0.1)),
    },
    "GraNet": lambda draw: {
        "end": draw.uniform(0.01, 1),
        "start": draw.uniform(0.01, 1),
        "fraction": draw.choice((None, draw.uniform(0.01, 0.99))),
    },
    "gmp": lambda draw: {"end": draw.uniform(0.01, 1), "start": draw.choice((1.0, 0.5))},
    "mest": lambda draw: {
        "fraction": draw.uniform(0.01, 0.99),
        "gradient_weight": draw.choice((0.0, 0.01, 1.0)),
        "density": draw.choice((None, draw.uniform(0.01, 0.8))),
        "surplus": draw.uniform(0, 0.1),
    },
    "WeightChange": lambda draw: {"criterion": draw.choice(("abs_delta", "rel_delta")), "fraction": draw.uniform(0.01, 0.99)},
}
CHANGING = "SoftDeepR", "DynamicSparseReparameterization"
"""Rules that change what they remember."""

KEEPING = RULES.keys() - {"SoftDeepR", "DropAndGrow", "GraNet", "gmp", "mest"}
"""Rules that keep the number of edges, whatever their arguments."""


def _view(draw: Draw, of: SparseLayer, rule: Any) -> EdgeView:
    """Return what a rule needs to see."""
    view = rewiring.edge_view(of)
    memory = rule.remember(view, np.random.default_rng(0)) if hasattr(rule, "remember") else None
    previous = (view.weight + 0.3 * draw.numpy.normal(size=view.weight.shape)).astype(view.weight.dtype)
    is_last = draw.random() < 0.1
    factors = [torch.from_numpy(draw.numpy.normal(size=(n, 3)).astype(np.float32)) for n in (of.n_in, of.n_out)]
    gradient = rewiring.DenseGradient(*factors)
    of_weight = draw.numpy.normal(size=view.weight.shape).astype(view.weight.dtype)
    known = {"previous": previous, "memory": memory, "gradient": of_weight, "dense_gradient": gradient, "learning_rate": 0.1}
    return rewiring.edge_view(of, **known, step=3, total_steps=9, is_last=is_last)


def _check_proposal(delta: EdgeDelta, of: SparseLayer, *, keeps_number: bool) -> None:
    """Raise an error unless a change can be carried out."""
    remaining = np.delete(of.topology.keys(), delta.dropped)
    new = delta.grown_dst * of.n_in + delta.grown_src
    assert len(np.unique(np.concatenate([remaining, new]))) == len(remaining) + len(new)
    assert len(new) == len(delta.dropped) or not keeps_number
    rewiring.apply_delta(copy.deepcopy(of), delta)


def _rules() -> None:
    for name, parameters in RULES.items():

        @calls("models", f"{REWIRING}.{name}")
        def make(draw: Draw, name: str = name, parameters: Any = parameters) -> Call:
            own = layer(draw, topology(draw, draw.randint(1, 12), draw.randint(1, 12)), of=torch.float32)

            def check(result: Any, **_: Any) -> None:
                view = _view(draw, own, result)
                delta = result.propose(view, rng=0)
                _check_proposal(delta, own, keeps_number=name in KEEPING and not view.is_last)

            return Call(parameters(draw), check)

        if not isinstance(getattr(rewiring, name), type):
            continue

        @calls("models", f"{REWIRING}.{name}.propose")
        def propose(draw: Draw, name: str = name, parameters: Any = parameters) -> Call:
            own = layer(draw, topology(draw, draw.randint(1, 12), draw.randint(1, 12)), of=torch.float32)
            rule = getattr(rewiring, name)(**parameters(draw))
            view = _view(draw, own, rule)

            def check(result: EdgeDelta, **_: Any) -> None:
                _check_proposal(result, own, keeps_number=name in KEEPING and not view.is_last)

            return Call({"self": rule, "edges": view, "rng": draw.seed()}, check, fixed=("self",), changes=name in CHANGING)


_rules()


@calls("models", f"{REWIRING}.DenseGradient")
def _dense_gradient(draw: Draw) -> Call:
    n_in, n_out, rows = (draw.randint(1, 12) for _ in range(3))
    of = draw.choice((torch.float32, torch.float64, torch.bfloat16))
    x, of_y = (torch.from_numpy(draw.numpy.integers(-3, 4, (n, rows))).to(of) for n in (n_in, n_out))

    def check(result: rewiring.DenseGradient, *, x: torch.Tensor, of_y: torch.Tensor, **_: Any) -> None:
        size = (of_y.double() @ x.double().t()).abs().flatten().numpy()
        count = size.size // 2
        if not np.isfinite(size).all():
            return
        expected = np.sort(np.argsort(-size, kind="stable")[:count])
        assert result.largest(count, np.empty(0, np.int64)).tolist() == expected.tolist()

    return Call({"x": x, "of_y": of_y}, check)


@calls("models", f"{REWIRING}.DenseGradient.largest")
def _largest(draw: Draw) -> Call:
    n_in, n_out = draw.randint(1, 12), draw.randint(1, 12)
    x, of_y = (torch.from_numpy(draw.numpy.integers(-3, 4, (n, 2)).astype(np.float32)) for n in (n_in, n_out))
    occupied = np.flatnonzero(draw.numpy.random(n_in * n_out) < draw.random())
    count = draw.randint(0, n_in * n_out - len(occupied))

    def check(result: Any, *, count: Any, occupied: Any, **_: Any) -> None:
        free = np.setdiff1d(np.arange(n_in * n_out), occupied)
        size = (of_y.double() @ x.double().t()).abs().flatten().numpy()[free]
        assert result.tolist() == np.sort(free[np.argsort(-size, kind="stable")[: int(count)]]).tolist()

    call = {"self": rewiring.DenseGradient(x, of_y), "count": count, "occupied": occupied}
    return Call(call, check, fixed=("self",))


def _link_predictors() -> None:
    for name in ("ch2_l3n", "ch2_l3p", "ch3_l3n", "ch3_l3p"):

        @calls("models", f"{REWIRING}.{name}")
        def make(draw: Draw, name: str = name) -> Call:
            def check(result: rewiring.LinkScores, *, topology: ns.BipartiteTopology) -> None:
                assert (result.by_paths, result.rewards_inner) == (name.endswith("p"), name.startswith("ch2"))
                _check_scores(result, topology)

            return Call({"topology": topology(draw)}, check)


def _check_scores(result: rewiring.LinkScores, of: ns.BipartiteTopology) -> None:
    """Raise an error unless exactly those absent edges have a score above 0 that close a path of length 3."""
    mask = dense(of).astype(np.int64)
    scores = result.matrix()
    assert (np.isnan(scores) == (mask > 0)).all()
    assert ((scores > 0) == ((mask @ mask.T @ mask > 0) & (mask == 0))).all()


_link_predictors()


@calls("models", f"{REWIRING}.LinkScores")
def _link_scores(draw: Draw) -> Call:
    def check(result: rewiring.LinkScores, *, topology: ns.BipartiteTopology, **_: Any) -> None:
        _check_scores(result, topology)

    return Call({"topology": topology(draw), "by_paths": draw.random() < 0.5, "rewards_inner": draw.random() < 0.5}, check)


@calls("models", f"{REWIRING}.LinkScores.largest", f"{REWIRING}.LinkScores.sample")
def _chosen_edges(draw: Draw) -> Call:
    of = topology(draw)
    scores = rewiring.LinkScores(of, by_paths=draw.random() < 0.5, rewards_inner=draw.random() < 0.5)
    count = draw.randint(0, of.n_in * of.n_out - of.n_edges)

    def check(result: Any, *, count: Any, **_: Any) -> None:
        assert len(np.union1d(result, of.keys())) == int(count) + of.n_edges
        assert (np.diff(result) > 0).all()

    return Call({"self": scores, "count": count, "rng": draw.seed()}, check, fixed=("self",))


@calls("models", f"{REWIRING}.relative_importance")
def _relative_importance(draw: Draw) -> Call:
    of = topology(draw)

    def check(result: Any, *, topology: ns.BipartiteTopology, weights: Any) -> None:
        size = np.zeros((topology.n_out, topology.n_in))
        size[topology.dst, topology.src] = np.abs(np.asarray(weights, dtype=np.float64))
        with np.errstate(invalid="ignore"):
            shares = np.nan_to_num(size / size.sum(1, keepdims=True)) + np.nan_to_num(size / size.sum(0))
        np.testing.assert_allclose(result, shares[topology.dst, topology.src], rtol=1e-6, atol=1e-12)

    return Call({"topology": of, "weights": draw.numpy.normal(size=of.n_edges).astype(np.float32)}, check)


@calls("models", f"{REWIRING}.chain_removal")
def _chain_removal(draw: Draw) -> Call:
    sizes = [draw.randint(1, 12) for _ in range(draw.randint(2, 5))]
    layers = [topology(draw, a, b) for a, b in itertools.pairwise(sizes)]

    def check(result: rewiring.ChainRemoval, *, topologies: list[ns.BipartiteTopology]) -> None:
        left = [dense(of) for of in topologies]
        for mask, of, positions in zip(left, topologies, result.removed, strict=True):
            mask[of.dst[positions], of.src[positions]] = 0
        for one, two in itertools.pairwise(left):
            assert (one.any(1) == two.any(0)).all()
        assert result.active_after == sum(int(one.any(1).sum()) for one in left[:-1])

    return Call({"topologies": layers}, check)


@calls("models", f"{REWIRING}.Rewiring", weight=3)
def _driver(draw: Draw) -> Call:
    own, optimizer = trained(draw)
    optimizer.zero_grad()
    rule = draw.choice(("set", "rigl", "deep_r_s1", rewiring.RigL(0.4)))
    named = isinstance(rule, str)
    call: dict[str, Any] = {"model": own, "optimizer": optimizer, "rule": rule, "every": draw.randint(1, 4), "rng": draw.seed()}
    call |= {"until": draw.choice((None, 20, 9.5)), "fraction": draw.choice((None, 0.4)) if named else None}
    call |= {"layers": draw.choice((None, [0])), "optimizer_state": draw.choice(("zero", "survivors", "warmup"))}

    def check(result: rewiring.Rewiring, *, model: SparseLayer, optimizer: Any, every: Any, until: Any, **_: Any) -> None:
        count, generator, changes = model.n_edges, torch.Generator().manual_seed(0), 0
        for step in range(1, 8):
            x = torch.rand(3, model.n_in, generator=generator).to(model.weight.dtype)
            model(x).square().sum().backward()
            before = model.topology
            result.step()
            optimizer.step()
            optimizer.zero_grad()
            assert model.n_edges == count
            if model.topology != before:
                assert every is not None
                assert step % int(every) == 0
                assert until is None or step <= until
                changes += 1
        assert result.steps == 7
        assert (result.rewired > 0) >= (changes > 0)

    return Call(call, check, fixed=("rule", "fraction"), changes=True, stops=True)


@calls("models", f"{REWIRING}.edge_view")
def _edge_view(draw: Draw) -> Call:
    own = layer(draw)

    def check(result: EdgeView, **_: Any) -> None:
        assert result.src.tolist() == own.topology.src.tolist()
        assert result.dst.tolist() == own.topology.dst.tolist()
        assert result.weight.tolist() == own.weight.detach().double().tolist()
        assert not result.weight.flags.writeable
        assert result.keys().tolist() == np.flatnonzero(dense(own.topology)).tolist()
        assert result.n_edges == own.n_edges
        assert result.kernel == ()
        assert not result.zeros(3).any()

    return Call({"layer": own}, check)


@calls("models", f"{REWIRING}.seen_by")
def _seen_by(draw: Draw) -> Call:
    own = layer(draw)
    edges = draw.choice((own, rewiring.edge_view(own)))

    def check(result: EdgeView, **_: Any) -> None:
        assert result.weight.tolist() == own.weight.detach().double().tolist()

    return Call({"rule": "a rule", "edges": edges}, check, fixed=("rule",))


@calls("models", f"{REWIRING}.EdgeView")
def _view_value(draw: Draw) -> Call:
    value = topology(draw)
    names = {"n_in": value.n_in, "n_out": value.n_out, "src": value.src, "dst": value.dst}

    def check(result: EdgeView, *, n_in: Any, n_out: Any, src: Any, dst: Any, weight: Any) -> None:
        assert result.src.tolist() == np.asarray(src).tolist()
        assert not np.shares_memory(result.src, src) or not len(src)

    weight = draw.numpy.normal(size=value.n_edges).astype(np.float32)
    return Call({**names, "weight": weight}, check, fixed=("n_in", "n_out", "src", "dst", "weight"))  # of the program


@calls("models", f"{REWIRING}.merge_edges")
def _merge_edges(draw: Draw) -> Call:
    own = layer(draw)
    value = own.topology
    delta = delta_of(draw, own)
    kept = np.delete(value.keys(), delta.dropped)
    new = delta.grown_dst * value.n_in + delta.grown_src

    def check(result: Any, *, n_in: int, n_out: int, src: Any, dst: Any, pointers: Any, delta: EdgeDelta) -> None:
        keys = result.dst.astype(np.int64) * value.n_in + result.src
        assert keys.tolist() == sorted(kept.tolist() + new.tolist())
        assert keys[result.grown].tolist() == new[result.order].tolist()
        old = np.delete(keys, result.grown)
        assert value.keys()[np.delete(result.origin, result.grown)].tolist() == old.tolist()

    sizes = {"n_in": value.n_in, "n_out": value.n_out, "src": value.src.copy(), "dst": value.dst.copy()}
    # What the ends hold is trusted, as the edges of a topology.
    return Call({**sizes, "pointers": value.target_pointers.copy(), "delta": delta}, check, fixed=("src", "dst"))


@calls("models", f"{REWIRING}.parameter_group", weight=0.5)
def _parameter_group(draw: Draw) -> Call:
    own, optimizer = trained(draw)

    def check(result: dict[str, Any], *, layer: Any, optimizer: Any) -> None:
        assert any(parameter is layer.weight for parameter in result["params"])

    return Call({"layer": own, "optimizer": optimizer}, check)


# Models and pruning


def stack(draw: Draw) -> nn.Module:
    """Return a small network of dense and sparse layers."""
    sizes = [draw.randint(1, 12) for _ in range(draw.randint(2, 4))]
    modules: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        part = nn.Linear(a, b) if draw.random() < 0.5 else ns.SparseLinear(topology(draw, a, b))
        modules += [part, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def _linear(of: nn.Module) -> list[tuple[str, Any]]:
    return [(name, module) for name, module in of.named_modules() if isinstance(module, nn.Linear | SparseLayer)]


def _full(of: Any) -> torch.Tensor:
    """Return the weights of a layer as a matrix."""
    return matrix(of) if isinstance(of, SparseLayer) else of.weight.detach().double()


@calls("models", f"{MODELS}.linear_layers", f"{MODELS}.sparse_layers", f"{PRUNING}.linear_layers")
def _layers(draw: Draw) -> Call:
    def check(result: Any, *, model: nn.Module) -> None:
        found = list(result.values()) if isinstance(result, dict) else result
        wanted = [module for _, module in _linear(model) if isinstance(result, dict) or isinstance(module, SparseLayer)]
        assert all(a is b for a, b in zip(found, wanted, strict=True))

    return Call({"model": stack(draw)}, check)


@calls("models", f"{PRUNING}.magnitude")
def _magnitude(draw: Draw) -> Call:
    model = stack(draw)

    def check(result: Any, **_: Any) -> None:
        for scores, (_, part) in zip(result, _linear(model), strict=True):
            assert torch.equal(scores, part.weight.detach().abs())

    return Call({"model": model}, check)


@calls("models", f"{PRUNING}.strengths_of")
def _strengths_of(draw: Draw) -> Call:
    own = draw.choice((layer(draw), nn.Linear(3, 4)))

    def check(result: torch.Tensor, *, layer: Any) -> None:
        weight = layer.weight.detach().abs()
        active = getattr(layer, "active", None)
        assert torch.equal(result, weight if active is None else weight * active)

    return Call({"layer": own}, check)


@calls("models", f"{PRUNING}.prune", weight=2)
def _prune(draw: Draw) -> Call:
    model = stack(draw)
    parts = _linear(model)
    rooms = [part.weight.numel() / _full(part).numel() for _, part in parts]
    density: Any = [draw.uniform(0.01, 1) * room if room else 1.0 for room in rooms]
    if draw.random() < 0.4:
        density = min(density)

    def check(result: Any, *, model: nn.Module, density: Any, criterion: str) -> None:
        values = list(density) if np.ndim(density) else [density] * len(result)
        for found, value, (_, part) in zip(result, values, _linear(model), strict=True):
            full = _full(part).abs().numpy()
            n_out, n_in = full.shape
            number = round(float(value) * n_in * n_out)
            check_layer(found, n_in, n_out, number)
            is_edge = dense(part.topology) if isinstance(part, SparseLayer) else np.ones(full.shape, bool)
            chosen = dense(found)
            assert not (chosen & ~is_edge).any()
            order = sorted(np.flatnonzero(is_edge).tolist(), key=lambda place: (-full.reshape(-1)[place], place))
            assert np.flatnonzero(chosen).tolist() == sorted(order[:number])

    call = {"model": model, "density": density, "criterion": "magnitude"}
    return Call(call, check, refusal=not all(rooms))


@calls("models", f"{PRUNING}.restrict")
def _restrict(draw: Draw) -> Call:
    model = stack(draw)
    chosen = []
    for _, part in _linear(model):
        mask = dense(part.topology) if isinstance(part, SparseLayer) else np.ones(tuple(part.weight.shape), bool)
        chosen.append(ns.BipartiteTopology.from_mask(mask & (draw.numpy.random(mask.shape) < 0.5)))

    def check(result: nn.Module, *, model: nn.Module, topologies: Any) -> None:
        for (_, part), (_, old), wanted in zip(_linear(result), _linear(model), topologies, strict=True):
            assert part.topology == wanted
            assert torch.equal(_full(part), _full(old) * torch.from_numpy(dense(wanted)))
            assert (part.bias is None) == (old.bias is None)
            assert part.bias is None or torch.equal(part.bias, old.bias)

    return Call({"model": model, "topologies": chosen}, check)


@calls("models", f"{PRUNING}.round_densities")
def _round_densities(draw: Draw) -> Call:
    density = draw.choice((draw.uniform(0.01, 1), [draw.uniform(0.01, 1) for _ in range(draw.randint(1, 4))]))

    def check(result: Any, *, density: Any, rounds: int) -> None:
        last = [float(value) for value in density] if np.ndim(density) else [float(density)]
        assert len(result) == rounds
        assert np.allclose(result[-1], last, rtol=1e-12)
        assert all(np.allclose(row, [v ** ((r + 1) / rounds) for v in last]) for r, row in enumerate(result))

    return Call({"density": density, "rounds": draw.randint(1, 9)}, check, fixed=("rounds",))


@calls("models", "netsci_nn.SparseMLP", weight=2)
def _mlp(draw: Draw) -> Call:
    sizes = [draw.randint(1, 20) for _ in range(draw.randint(2, 4))]
    density: Any = draw.choice((draw.uniform(0.05, 1), [draw.uniform(0.05, 1) for _ in sizes[1:]]))
    generator = draw.choice(("erdos_renyi", "constant_fan_in", "bsw", ["regular"] * (len(sizes) - 1)))

    def check(result: ns.SparseMLP, *, layer_sizes: Any, density: Any, **_: Any) -> None:
        sizes = list(layer_sizes)
        values = list(density) if np.ndim(density) else [density] * len(result.layers)
        for part, value, a, b in zip(result.layers, values, sizes, sizes[1:], strict=False):
            check_layer(part.topology, a, b, round(float(value) * a * b))
        x = torch.from_numpy(draw.numpy.normal(size=(draw.choice((0, 1, 16, 17)), sizes[0]))).float()
        y, h = result(x), x.double()
        size = h.abs()
        for number, part in enumerate(result.layers):
            bias = 0 if part.bias is None else part.bias.detach().double()
            h, size = h @ matrix(part).T + bias, size @ matrix(part).abs().T + (0 if part.bias is None else bias.abs())
            if number < len(result.layers) - 1:
                h = result.activation(h)
                size = torch.maximum(size, h.abs())
        close(y, h.detach(), size.detach() * 4, 4 * sum(sizes))

    call = {"layer_sizes": sizes, "density": density, "generator": generator, "activation": draw.choice(list(ACTIVATIONS))}
    rest = {"bias": draw.random() < 0.5, "backend": draw.choice(("auto", "csr", "dense")), "rng": draw.seed()}
    return Call({**call, **rest}, check, fixed=("bias",))


@calls("models", f"{MODELS}.GPT", weight=0.3)
def _gpt(draw: Draw) -> Call:
    n_heads = draw.randint(1, 3)
    call = {"vocabulary_size": draw.randint(1, 9), "context": draw.randint(1, 6), "width": n_heads * draw.randint(1, 4)}
    call |= {"n_layers": draw.randint(1, 2), "n_heads": n_heads, "rng": draw.randint(0, 99)}

    def check(result: GPT, *, vocabulary_size: int, context: int, **_: Any) -> None:
        tokens = torch.randint(vocabulary_size, (2, context))
        logits = result(tokens)
        assert logits.shape == (2, context, vocabulary_size)
        changed = tokens.clone()
        changed[:, -1] = (changed[:, -1] + 1) % vocabulary_size
        torch.testing.assert_close(result(changed)[:, :-1], logits[:, :-1])  # nothing is seen before its time

    return Call(call | {"dropout": draw.choice((0.0, 0.3))}, lambda result, **given: check(result.eval(), **given))


@calls("models", f"{MODELS}.UnpackedAttention", weight=0.3)
def _unpacked_attention(draw: Draw) -> Call:
    n_heads = draw.randint(1, 3)
    packed = nn.MultiheadAttention(4 * n_heads, n_heads, batch_first=draw.random() < 0.5)

    def check(result: UnpackedAttention, *, attention: nn.MultiheadAttention) -> None:
        x = torch.randn(2, 3, attention.embed_dim)
        torch.testing.assert_close(result(x, x, x), attention(x, x, x))

    return Call({"attention": packed}, check)


@calls("models", "netsci_nn.dense_mlp")
def _dense_mlp(draw: Draw) -> Call:
    def check(result: nn.Sequential, *, layer_sizes: Any, bias: bool, **_: Any) -> None:
        shapes = [tuple(part.weight.shape) for _, part in _linear(result)]
        assert shapes == [(b, a) for a, b in zip(layer_sizes, list(layer_sizes)[1:], strict=False)]
        assert all((part.bias is not None) == bias for _, part in _linear(result))

    sizes = [draw.randint(1, 20) for _ in range(draw.randint(2, 4))]
    call = {"layer_sizes": sizes, "activation": draw.choice(list(ACTIVATIONS)), "bias": draw.random() < 0.5, "rng": draw.seed()}
    return Call(call, check, fixed=("bias",))


@calls("models", "netsci_nn.sparsify", weight=2)
def _sparsify(draw: Draw) -> Call:
    model = ns.dense_mlp([draw.randint(8, 20) for _ in range(draw.randint(2, 4))], rng=0)
    model = nn.Sequential(model, nn.ReLU()) if draw.random() < 0.3 else model
    before = {name: part.weight.detach().clone() for name, part in _linear(model)}
    size = sum(weight.numel() for weight in before.values())

    def check(result: Any, *, model: nn.Module, density: Any, allocation: Any, init: Any, **_: Any) -> None:
        parts = _linear(model)
        assert all(isinstance(part, SparseLayer) for _, part in parts)
        total = sum(part.n_edges for _, part in parts)
        assert allocation == "uniform" or total == round(float(density) * size)
        for name, part in parts:
            scale = torch.ones(part.n_out, 1, dtype=torch.float64)
            if init == "fan_in":
                degree = torch.from_numpy(part.topology.in_degrees.copy())[:, None]
                scale = (part.n_in / degree.clamp(min=1)).sqrt()
            wanted = before[name].double() * scale * torch.from_numpy(dense(part.topology))
            assert torch.allclose(_full(part), wanted, rtol=1e-5)
            assert part.n_edges < part.n_out or part.topology.in_degrees.min() > 0
        assert abs(result.density - total / size) < 1e-9

    call = {
        "model": model,
        "density": draw.choice((1.0, draw.uniform(0.02, 1))),
        "allocation": draw.choice(("uniform", "er", "erk")),
        "generator": draw.choice(("erdos_renyi", "constant_fan_in", "bsf")),
        "layers": None,
        "exclude": None,
        "init": draw.choice(("fan_in", "keep")),
        "backend": "auto",
        "rng": draw.seed(),
    }
    return Call(call, check, fixed=("layers", "exclude") if draw.random() < 0.7 else (), changes=True)


@calls("models", "netsci_nn.from_masks", weight=2)
def _from_masks(draw: Draw) -> Call:
    model = ns.dense_mlp([draw.randint(2, 10) for _ in range(draw.randint(2, 4))], rng=0)
    before = {name: part.weight.detach().double().clone() for name, part in _linear(model)}
    masks: dict[str, Any] = {}
    for name, weight in before.items():
        mask = draw.numpy.random(tuple(weight.shape)) < 0.5
        form = draw.choice(("numpy", "tensor", "int", "list", "topology"))
        masks[name] = {
            "numpy": mask,
            "tensor": torch.from_numpy(mask),
            "int": mask.astype(np.int64),
            "list": mask.tolist(),
            "topology": ns.BipartiteTopology.from_mask(mask),
        }[form]

    def check(result: Any, *, model: nn.Module, masks: Any, backend: Any) -> None:
        for name, part in _linear(model):
            if name in masks:
                mask = masks[name]
                if isinstance(mask, torch.Tensor) and mask.layout != torch.strided:
                    mask = mask.to_dense()
                pattern = dense(mask) if isinstance(mask, ns.BipartiteTopology) else np.asarray(mask).astype(float) != 0
                assert (dense(part.topology) == pattern).all()
                assert torch.equal(_full(part), before[name] * torch.from_numpy(pattern))
            else:
                assert torch.equal(part.weight.double(), before[name])

    return Call({"model": model, "masks": masks, "backend": "auto"}, check, changes=True)


@calls("models", "netsci_nn.to_dense")
def _to_dense(draw: Draw) -> Call:
    def check(result: nn.Module, *, model: nn.Module) -> None:
        for (_, part), (_, old) in zip(_linear(result), _linear(model), strict=True):
            assert type(part) is nn.Linear
            assert torch.equal(part.weight.double(), _full(old))

    return Call({"model": stack(draw)}, check)


@calls("models", "netsci_nn.network_graph")
def _network_graph(draw: Draw) -> Call:
    def check(result: Any, *, model: nn.Module, wiring: Any) -> None:
        if wiring is None:
            parts = _linear(model)
            sizes = [_full(parts[0][1]).shape[1], *(_full(part).shape[0] for _, part in parts)]
            assert result.vs["layer"] == [number for number, size in enumerate(sizes) for _ in range(size)]
            first = np.cumsum([0, *sizes])
            wanted = []
            for number, (_, part) in enumerate(parts):
                mask = dense(part.topology) if isinstance(part, SparseLayer) else np.ones(tuple(part.weight.shape), bool)
                wanted += [(s + first[number], t + first[number + 1]) for t, s in np.argwhere(mask).tolist()]
            assert result.get_edgelist() == wanted

    return Call({"model": stack(draw), "wiring": None}, check)


@calls("models", "netsci_nn.parameter_groups")
def _parameter_groups(draw: Draw) -> Call:
    def check(result: Any, *, model: nn.Module, weight_decay: Any) -> None:
        decaying = {id(part.weight) for _, part in _linear(model)}
        for group in result:
            is_decaying = id(group["params"][0]) in decaying
            assert group["weight_decay"] == (float(weight_decay) if is_decaying else 0.0)
            assert all((id(parameter) in decaying) == is_decaying for parameter in group["params"])
        assert sum(len(group["params"]) for group in result) == len(list(model.parameters()))

    return Call({"model": stack(draw), "weight_decay": draw.choice((0.0, 0.01))}, check)


@calls("models", f"{MODELS}.cost")
def _cost(draw: Draw) -> Call:
    model = stack(draw)
    n_in = _full(_linear(model)[0][1]).shape[1]

    def check(result: Any, *, model: nn.Module, example: Any) -> None:
        parts = [part.n_edges if isinstance(part, SparseLayer) else part.weight.numel() for _, part in _linear(model)]
        pairs = [_full(part).numel() for _, part in _linear(model)]
        assert result.n_macs == torch.as_tensor(example).numel() // n_in * sum(parts)
        assert result.n_parameters == sum(parameter.numel() for parameter in model.parameters())
        assert result.density == sum(parts) / sum(pairs)

    return Call({"model": model, "example": torch.zeros(draw.randint(1, 5), n_in)}, check)


# Compact modules, by the names and the bounds of their arguments, and the channels that come out
BLOCKS: dict[str, tuple[dict[str, tuple[int, int]], Any]] = {
    "inception_v1": (
        dict.fromkeys(("in_channels", "out_1x1", "reduce_3x3", "out_3x3", "reduce_5x5", "out_5x5", "out_pool"), (1, 9)),
        lambda a: a["out_1x1"] + a["out_3x3"] + a["out_5x5"] + a["out_pool"],
    ),
    "inception_v3": (
        dict.fromkeys(("in_channels", "out_1x1", "reduce", "out_single", "out_double", "out_pool"), (1, 9)),
        lambda a: a["out_1x1"] + a["out_single"] + a["out_double"] + a["out_pool"],
    ),
    "xception": (
        {"in_channels": (1, 9), "out_channels": (1, 9), "n_convolutions": (1, 3), "stride": (1, 3)},
        lambda a: a["out_channels"],
    ),
    "highway": ({"channels": (1, 9)}, lambda a: a["channels"]),
    "residual": ({"in_channels": (1, 9), "out_channels": (1, 9), "stride": (1, 3)}, lambda a: a["out_channels"]),
    "bottleneck": (
        {"in_channels": (1, 9), "width": (1, 9), "out_channels": (1, 9), "stride": (1, 3)},
        lambda a: a["out_channels"],
    ),
    "resnext": (
        {"in_channels": (1, 9), "out_channels": (1, 9), "cardinality": (1, 4), "group_width": (1, 4), "stride": (1, 3)},
        lambda a: a["out_channels"],
    ),
    "dense_block": (
        {"in_channels": (1, 9), "growth_rate": (1, 5), "n_layers": (1, 4)},
        lambda a: a["in_channels"] + a["growth_rate"] * a["n_layers"],
    ),
    "mobilenet_v1": ({"in_channels": (1, 9), "out_channels": (1, 9), "stride": (1, 3)}, lambda a: a["out_channels"]),
    "mobilenet_v2": (
        {"in_channels": (1, 9), "out_channels": (1, 9), "stride": (1, 3), "expansion": (1, 6)},
        lambda a: a["out_channels"],
    ),
}


def check_block(result: nn.Module, n_in: int, n_out: int, stride: int) -> None:
    """Raise an error unless a module gives so many channels and learns."""
    y = result(torch.randn(2, n_in, 7, 6))
    assert y.shape == (2, n_out, -(-7 // stride), -(-6 // stride))
    y.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in result.parameters())


def _blocks() -> None:
    for name, (bounds, out) in BLOCKS.items():

        @calls("models", f"{MODELS}.blocks.{name}", weight=0.2)
        def make(draw: Draw, bounds: Any = bounds, out: Any = out) -> Call:
            def check(result: nn.Module, **given: Any) -> None:
                known = {key: int(value) for key, value in given.items()}
                n_in = known["channels"] if "channels" in known else known["in_channels"]
                check_block(result, n_in, out(known), known.get("stride", 1))

            return Call({key: draw.randint(*bound) for key, bound in bounds.items()}, check)


_blocks()


@calls("models", f"{MODELS}.blocks.mlpconv", weight=0.2)
def _mlpconv(draw: Draw) -> Call:
    def check(result: nn.Module, *, in_channels: Any, widths: Any, kernel_size: Any, stride: Any) -> None:
        check_block(result, int(in_channels), int(widths[-1]), int(stride))

    widths = [draw.randint(1, 9) for _ in range(draw.randint(1, 4))]
    call = {"in_channels": draw.randint(1, 9), "widths": widths, "kernel_size": draw.choice((1, 3, 5))}
    return Call({**call, "stride": draw.randint(1, 3)}, check)


@calls("models", f"{MODELS}.blocks.shufflenet", weight=0.2)
def _shufflenet(draw: Draw) -> Call:
    groups, stride = draw.randint(1, 4), draw.randint(1, 3)
    width = 4 * groups * draw.randint(1, 3)

    def check(result: nn.Module, *, in_channels: Any, out_channels: Any, groups: Any, stride: Any) -> None:
        check_block(result, int(in_channels), int(out_channels), int(stride))

    out = width if stride == 1 else width + 4 * groups
    return Call({"in_channels": width, "out_channels": out, "groups": groups, "stride": stride}, check)


# Training and data


@calls("models", f"{TRAINING}.make_optimizer")
def _make_optimizer(draw: Draw) -> Call:
    name = draw.choice(list(OPTIMIZERS))
    parameters = [nn.Parameter(torch.ones(3))]

    def check(result: Any, *, name: str, parameters: Any, learning_rate: Any, **_: Any) -> None:
        assert type(result).__name__.lower() == name
        assert result.param_groups[0]["lr"] == float(learning_rate)
        result.param_groups[0]["params"][0].grad = torch.ones(3)
        result.step()
        assert parameters[0].isfinite().all()

    call = {"name": name, "parameters": parameters, "learning_rate": 0.01, **OPTIMIZERS[name]}
    return Call(call, check, fixed=("parameters",))


@calls("models", f"{TRAINING}.evaluate")
def _evaluate(draw: Draw) -> Call:
    n, n_in, n_out = draw.choice((1, 2, 15, 40)), draw.randint(1, 9), draw.randint(2, 7)
    model, x = ns.SparseMLP([n_in, n_out], density=0.5, rng=0), torch.rand(n, n_in)
    y = torch.from_numpy(draw.numpy.integers(0, n_out, size=n))

    def check(result: dict[str, float], *, model: nn.Module, x: Any, y: Any, batch_size: Any, metrics: Any) -> None:
        with torch.no_grad():
            outputs = model(x).double()
        labels = torch.as_tensor(y).long()
        wanted = {"loss": float(nn.functional.cross_entropy(outputs, labels))}
        wanted["accuracy"] = float((outputs.argmax(1) == labels).double().mean())
        best = outputs.topk(min(5, outputs.shape[1])).indices
        wanted["top_5_accuracy"] = float((best == labels[:, None]).any(1).double().mean())
        error = outputs - nn.functional.one_hot(labels, outputs.shape[1])
        wanted |= {"mean_squared_error": float((error**2).mean()), "mean_absolute_error": float(error.abs().mean())}
        assert result.keys() == {*metrics, "loss"}
        for name, value in result.items():
            assert np.isclose(value, wanted[name], rtol=1e-4, atol=1e-4, equal_nan=True), (name, value, wanted[name])

    metrics = draw.sample(sorted(training.METRICS), draw.randint(0, 3))
    call = {"model": model, "x": x, "y": y, "batch_size": draw.choice((1, 7, 1000)), "metrics": metrics}
    return Call(call, check)


@calls("models", f"{TRAINING}.train", weight=0.6)
def _train(draw: Draw) -> Call:
    n, n_in, n_out = draw.choice((1, 5, 20)), draw.randint(1, 9), draw.randint(2, 5)
    model = ns.SparseMLP([n_in, 6, n_out], density=0.5, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=draw.choice((0.0, 0.9)))
    x, y = torch.rand(n, n_in), torch.from_numpy(draw.numpy.integers(0, n_out, size=n))
    twin = copy.deepcopy(model)
    edges = [part.topology for part in model.layers]

    def check(result: Any, *, x: Any, y: Any, epochs: int, batch_size: int, rng: Any, callbacks: Any, **_: Any) -> None:
        assert result.epoch == epochs
        assert result.step == epochs * -(-n // batch_size)
        if not torch.as_tensor(x).isfinite().all():
            return
        assert all(parameter.isfinite().all() for parameter in model.parameters())
        if callbacks:
            # After the last epoch the rule drops edges and grows none.
            assert all(part.n_edges <= before.n_edges for part, before in zip(model.layers, edges, strict=True))
            return
        if isinstance(rng, int):  # the same rows in the same order, by torch's own layers
            plain = ns.to_dense(twin)
            masks = [torch.from_numpy(dense(part.topology)) for part in twin.layers]
            other = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=optimizer.defaults["momentum"])
            draws = np.random.default_rng(rng)
            for _ in range(epochs):
                order = torch.from_numpy(draws.permutation(n))
                for rows in order.split(min(batch_size, n)):
                    other.zero_grad()
                    nn.functional.cross_entropy(plain(x[rows]), torch.as_tensor(y).long()[rows]).backward()
                    for part, mask in zip(plain.layers, masks, strict=True):
                        part.weight.grad *= mask
                    other.step()
            for part, full in zip(model.layers, plain.layers, strict=True):
                assert torch.allclose(matrix(part), full.weight.double(), atol=2e-4, rtol=1e-3)

    callbacks = [training.Rewire(rewiring.SparseEvolution(0.3))] if draw.random() < 0.3 else []
    call = {"model": model, "optimizer": optimizer, "x": x, "y": y, "epochs": draw.randint(0, 3)}
    call |= {"batch_size": draw.choice((1, 4, 50)), "rng": draw.getrandbits(20), "callbacks": callbacks}
    call["compiled"] = draw.choice((None, False))
    stops = bool(callbacks)  # weights that have become nan cannot be rewired
    return Call(call, check, fixed=("epochs", "callbacks", "compiled"), changes=True, stops=stops)


@calls("models", f"{TRAINING}.Rewire")
def _rewire(draw: Draw) -> Call:
    intervals = draw.choice(((None, None), (2, None), (None, 3)))

    def check(result: Any, *, every_epochs: Any, every_steps: Any, until_epoch: Any, **_: Any) -> None:
        for interval in (every_epochs, every_steps, until_epoch):
            assert interval is None or (int(interval) == interval and interval >= 1)
        assert every_epochs is None or every_steps is None

    call = {"rewirer": rewiring.SparseEvolution(0.3), "layers": draw.choice((None, [0])), "every_epochs": intervals[0]}
    call |= {"until_epoch": draw.choice((None, 3)), "optimizer_state": draw.choice(("zero", "age"))}
    return Call({**call, "every_steps": intervals[1]}, check, fixed=("rewirer", "layers"))


@calls("models", f"{TRAINING}.LearningRateSchedule", weight=0.5)
def _schedule(draw: Draw) -> Call:
    parameters = {"step": {"step_size": 2}, "cosine": {}, "exponential": {"gamma": 0.5}, "linear": {}, "polynomial": {}}
    name = draw.choice(list(parameters))

    def check(result: Any, *, schedule: str, **rest: Any) -> None:
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
        try:
            result.check(optimizer, 3)
        except ns.ConfigError:
            return

    return Call({"schedule": name, **parameters[name]}, check)


@calls("models", "netsci_nn.data.input_statistic")
def _input_statistic(draw: Draw) -> Call:
    n, n_features, n_classes = draw.randint(1, 40), draw.randint(1, 12), draw.randint(1, 4)
    x = draw.numpy.random((n, n_features)).astype(draw.choice((np.float32, np.float64)))
    if draw.random() < 0.3:
        x[:, 0] = 0.25
    y = draw.numpy.integers(0, n_classes, size=n)

    def check(result: np.ndarray, *, name: str, x_train: Any, y_train: Any) -> None:
        wide = np.asarray(x_train, dtype=np.float64)
        labels = np.asarray(y_train)
        assert result.shape == (wide.shape[1],)
        assert np.isfinite(result).all()
        assert (result >= 0).all()
        if name in ("mean", "variance"):
            assert np.allclose(result, wide.mean(0) if name == "mean" else wide.var(0), rtol=1e-5, atol=1e-9)
        elif name == "not_constant":
            assert result.tolist() == [float(len(set(column)) > 1) for column in wide.T.tolist()]
        elif name == "label_correlation":
            for feature, value in zip(wide.T, result, strict=True):
                with np.errstate(all="ignore"):
                    found = [abs(np.corrcoef(feature, labels == label)[0, 1]) for label in set(labels.tolist())]
                wanted = max([one for one in found if np.isfinite(one)], default=0.0)
                assert abs(wanted - value) < 1e-6 or np.ptp(feature) < 1e-9

    return Call({"name": draw.choice(sorted(data.STATISTICS)), "x_train": x, "y_train": y}, check)


@calls("models", "netsci_nn.data.image_shape_of", weight=0.3)
def _image_shape_of(draw: Draw) -> Call:
    def check(result: Any, *, name: Any) -> None:
        assert result == {"digits": (8, 8), "mnist": (28, 28)}.get(name if isinstance(name, str) else "")

    return Call({"name": draw.choice(("digits", "mnist", "other"))}, check)


@calls("models", "netsci_nn.data.Dataset")
def _dataset(draw: Draw) -> Call:
    n, m, n_features, n_classes = draw.randint(1, 9), draw.randint(1, 9), draw.randint(1, 5), draw.randint(1, 4)

    def check(result: Any, **given: Any) -> None:
        for name in ("x_train", "x_test"):
            assert np.isfinite(getattr(result, name)).all()
            assert getattr(result, name).shape[1] == result.n_features
        for name in ("y_train", "y_test"):
            assert ((getattr(result, name) >= 0) & (getattr(result, name) < int(given["n_classes"]))).all()

    call = {
        "name": "own",
        "x_train": draw.numpy.random((n, n_features)).astype(np.float32),
        "y_train": draw.numpy.integers(0, n_classes, size=n),
        "x_test": draw.numpy.random((m, n_features)).astype(np.float32),
        "y_test": draw.numpy.integers(0, n_classes, size=m),
        "n_classes": n_classes,
    }
    return Call(call, check, fixed=("name",))


@calls("models", "netsci_nn.intake.Layer.of", weight=0.3)
def _intake_layer(draw: Draw) -> Call:
    value = topology(draw)

    def check(result: Any, *, layer: Any, name: str) -> None:
        from analysis import as_layered

        assert as_layered(result).layers[0].keys.tolist() == value.keys().tolist()

    return Call({"layer": ns.topology.WeightedTopology(value, None), "name": "fc"}, check, fixed=("layer", "name"))
