"""What `sparsify` did to a model: which layers became sparse, which modules stayed dense and why, and how dense it all is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrize

from netsci_nn.layers import SparseLayer
from netsci_nn.models.walk import NORMALISATIONS, attention_projections, linear_layers, size_of

MAX_ROWS = 12
"""Lines of a table; longer ones put together what is of one kind."""

LINE_WIDTH, NAME_WIDTH, KIND_WIDTH = 100, 28, 18
"""Characters of a line, and of what may be long in it."""

REASONS: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((nn.MultiheadAttention,), "its projections stay dense"),
    ((nn.modules.conv._ConvNd,), "convolutions of this kind stay dense"),
    ((nn.Embedding, nn.EmbeddingBag), "an embedding is looked up"),
    (NORMALISATIONS, "a normalisation"),
    ((nn.RNNBase, nn.RNNCellBase), "recurrent layers stay dense"),
)

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class SparseEntry:
    """A sparse layer: `kind` is the class that it had before, `requires_grad` whether its weights train."""

    name: str
    kind: str
    n_in: int
    n_out: int
    n_edges: int
    requires_grad: bool
    n_parameters: int

    @property
    def density(self) -> float:
        """Edges / (n_in * n_out)."""
        return self.n_edges / (self.n_in * self.n_out)


@dataclass(frozen=True)
class DenseEntry:
    """A module with parameters of its own that stayed as it was, and why; a shared parameter counts where it comes first."""

    name: str
    kind: str
    n_parameters: int
    reason: str


@dataclass(frozen=True, repr=False)
class SparsifySummary:
    """What `sparsify` did, as a value; printed, it is a table.

    Args:
        sparse: the layers that became sparse, in the order of `model.modules()`.
        already_sparse: those that were sparse before.
        dense: every other module that holds parameters.
        asked: the density that was asked for: of the layers that became sparse, all together.
        n_parameters_before: of the whole model, each once, biases and normalisations among them.
        n_parameters: the same now.
        n_weights: weights now: the edges of sparse layers (times the entries of a kernel), and the entries of all other
            parameters of two or more dimensions, such as kernels of convolutions and matrices of embeddings. Parameters of
            fewer dimensions (biases, normalisations) are no weights.
        n_possible_weights: what `n_weights` would be if every sparse layer were dense.
    """

    sparse: tuple[SparseEntry, ...]
    already_sparse: tuple[SparseEntry, ...]
    dense: tuple[DenseEntry, ...]
    asked: float
    n_parameters_before: int
    n_parameters: int
    n_weights: int
    n_possible_weights: int

    @property
    def density(self) -> float:
        """Density of the whole model: weights that can be other than zero / those of the same model if it were dense."""
        return self.n_weights / self.n_possible_weights

    def largest_dense(self) -> str:
        """Return in a few words where most of the parameters are that did not become sparse."""
        counts: Counter[tuple[str, str]] = Counter()
        for entry in self.dense:
            counts[entry.kind, entry.reason] += entry.n_parameters
        for layer in self.already_sparse:
            counts[layer.kind, "sparse before"] += layer.n_parameters
        (kind, reason), count = counts.most_common(1)[0]
        return f"{count:,} of its {self.n_parameters:,} parameters are in {kind} ({reason})"

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"SparsifySummary: {len(self.sparse)} of {len(self.sparse) + len(self.dense)} modules became sparse; "
                f"density {self.density:.4g} of the whole model, {self.asked:.4g} asked",
                f"parameters: {self.n_parameters_before:,} before, {self.n_parameters:,} now",
                *_table("sparse", "n_in -> n_out", "edges", "density", _sparse_rows(self.sparse)),
                *_table("sparse before", "n_in -> n_out", "edges", "density", _sparse_rows(self.already_sparse)),
                *_table("dense", "kind", "parameters", "why", _dense_rows(self.dense)),
            ]
        )


def summarise(
    model: nn.Module, kinds: Mapping[nn.Module, str], left: Mapping[nn.Module, str], asked: float | None
) -> SparsifySummary:
    """Return the summary of a model after its layers were replaced.

    Args:
        model: as it is now.
        kinds: the new sparse layers, and the class that each had before.
        left: linear layers that were to stay dense, and why.
        asked: density asked for; None for that of the new layers together.
    """
    projections = attention_projections(model)
    new: list[SparseEntry] = []
    old: list[SparseEntry] = []
    dense: list[DenseEntry] = []
    seen: set[int] = set()
    n_before = n_now = n_weights = n_possible = 0
    for name, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList):
            continue  # counted with the module that it belongs to
        parameters = list(module.parameters(recurse=False))
        if parametrize.is_parametrized(module):
            parameters += module.parametrizations.parameters()
        if not parameters:
            continue
        is_lazy = any(isinstance(parameter, nn.UninitializedParameter) for parameter in parameters)
        fresh = [] if is_lazy else [parameter for parameter in parameters if id(parameter) not in seen]
        seen.update(map(id, fresh))
        count = sum(parameter.numel() for parameter in fresh)
        n_now += count
        if isinstance(module, SparseLayer):
            entries = module.weight.shape[1:].numel()
            n_edges, (n_in, n_out) = module.n_edges, size_of(module)
            kind = kinds.get(module, type(module).__name__)
            entry = SparseEntry(name, kind, n_in, n_out, n_edges, module.weight.requires_grad, count)
            (new if module in kinds else old).append(entry)
            n_before += count + ((n_in * n_out - n_edges) * entries if module in kinds else 0)
            n_weights += n_edges * entries
            n_possible += n_in * n_out * entries
        else:
            weights = sum(parameter.numel() for parameter in fresh if parameter.dim() >= 2)
            n_before, n_weights, n_possible = n_before + count, n_weights + weights, n_possible + weights
            reason = "not yet initialised" if is_lazy else _reason(module, left.get(module), module in projections)
            if not is_lazy and len(fresh) < len(parameters):
                reason += "; shared with one above"
            dense.append(DenseEntry(name, type(module).__name__, count, reason))
    if asked is None:
        asked = sum(entry.n_edges for entry in new) / sum(entry.n_in * entry.n_out for entry in new)
    return SparsifySummary(tuple(new), tuple(old), tuple(dense), asked, n_before, n_now, n_weights, n_possible)


def _reason(module: nn.Module, known: str | None, is_projection: bool) -> str:
    if is_projection:
        return "attention reads its weight directly"
    if known is not None:
        return known
    return next((reason for kinds, reason in REASONS if isinstance(module, kinds)), "it is no linear layer")


def _sparse_rows(entries: Sequence[SparseEntry]) -> list[tuple[str, str, str, str]]:
    rows = []
    for group in _grouped(entries, lambda entry: (entry.kind, entry.n_in, entry.n_out, entry.requires_grad)):
        densities = sorted({f"{entry.density:.4g}" for entry in (min(group, key=_density), max(group, key=_density))})
        frozen = "" if group[0].requires_grad else ", frozen"
        edges = sum(entry.n_edges for entry in group)
        rows.append((_names(group), f"{group[0].n_in} -> {group[0].n_out}", f"{edges:,}", " to ".join(densities) + frozen))
    return rows


def _density(entry: SparseEntry) -> float:
    return entry.density


def _dense_rows(entries: Sequence[DenseEntry]) -> list[tuple[str, str, str, str]]:
    return [
        (
            _names(group),
            _shortened(group[0].kind, KIND_WIDTH),
            f"{sum(entry.n_parameters for entry in group):,}",
            group[0].reason,
        )
        for group in _grouped(entries, lambda entry: (entry.kind, entry.reason))
    ]


def _grouped(entries: Sequence[Entry], key: Callable[[Entry], Hashable]) -> list[list[Entry]]:
    """Return every entry by itself, or those of the same key together if they are many."""
    groups: dict[Hashable, list[Entry]] = defaultdict(list)
    for number, entry in enumerate(entries):
        groups[key(entry) if len(entries) > MAX_ROWS else number].append(entry)
    return list(groups.values())


def _names(group: Sequence[SparseEntry] | Sequence[DenseEntry]) -> str:
    """Return the name of the first entry, shortened in its middle, and how many are with it."""
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return _shortened(group[0].name or "(the model)", NAME_WIDTH - len(more)) + more


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width // 2]}…{text[len(text) - (width - 1) // 2 :]}"


def _table(first: str, second: str, third: str, fourth: str, rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Return aligned lines under a heading, at most `MAX_ROWS` of them."""
    if not rows:
        return []
    shown = rows if len(rows) <= MAX_ROWS else rows[: MAX_ROWS - 1]
    table = [(first, second, third, fourth), *((f"  {row[0]}", *row[1:]) for row in shown)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}"[:LINE_WIDTH] for a, b, c, d in table]
    return lines if shown is rows else [*lines, f"  and {len(rows) - len(shown)} more kinds"]


def listed_kinds(model: nn.Module) -> str:
    """Return what a model holds parameters in, for an error message: "it has 2 Conv2d, 1 LSTM"."""
    linear = linear_layers(model).values()
    kinds = Counter(
        type(module).__name__
        for module in model.modules()
        if module not in linear and next(module.parameters(recurse=False), None) is not None
    )
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no parameters at all"
