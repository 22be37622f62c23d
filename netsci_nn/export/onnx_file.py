"""ONNX files of models with sparse layers: their weights dense, or on their edges by gathering and scattering.

ONNX has no operator that multiplies by a sparse matrix and that its runtimes compute sparsely, so each form has its price, and
the result says the size of both.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from netsci_nn.errors import ConfigError
from netsci_nn.files import atomic_write
from netsci_nn.models import sparse_layers, to_dense

FORMS = "dense", "gather"
INSTALL = "pip install 'netsci-nn[export]'"
INDEX_BYTES = 4
MAX_FOLDED = 1024  # bytes of an index that may be widened to int64 in the file: above it costs more than it saves
LARGEST = 2**31 - 2**20  # of a file in one piece
TOLERANCE = 1e-3  # of the check, relative to the largest output: runtimes sum in another order


@dataclass(frozen=True)
class OnnxFile:
    """What `export_onnx` has written.

    Attributes:
        path: the file.
        form: "dense" or "gather".
        n_bytes: size of the file.
        dense_weights: weights of the sparse layers as matrices, or dense kernels, zeros included.
        edges: edges of the sparse layers.
        dense_bytes: what the matrices take.
        gather_bytes: what the edges take, each with its weight, or kernel, and two indices.
        difference: the largest difference between the outputs of onnxruntime and of the model for the example, or None if
            onnxruntime is not installed.
    """

    path: Path
    form: str
    n_bytes: int
    dense_weights: int
    edges: int
    dense_bytes: int
    gather_bytes: int
    difference: float | None

    def __str__(self) -> str:
        forms = {
            "dense": f"{self.dense_weights:,} dense weights ({self.dense_bytes:,} bytes)",
            "gather": f"{self.edges:,} edges with their indices ({self.gather_bytes:,} bytes)",
        }
        other = next(text for form, text in forms.items() if form != self.form)
        layers = f"the sparse layers as {forms[self.form]}, not as {other}" if self.dense_weights else "no sparse layers"
        checked = (
            "not checked, since onnxruntime is not installed"
            if self.difference is None
            else f"onnxruntime computes the same up to {self.difference:.1e}"
        )
        return f"{self.path}: {self.n_bytes:,} bytes, {layers}; {checked}"


def export_onnx(
    model: nn.Module, path: str | PathLike[str], example: torch.Tensor | Sequence[torch.Tensor], *, form: str = "dense"
) -> OnnxFile:
    """Write `model` in evaluation mode as an ONNX file whose first dimension, the batch, may have any size.

    Needs the extra `export` (onnx, onnxscript, onnxruntime). If onnxruntime is there, the file is computed with and compared.

    Args:
        model: any module that torch can export; it stays as it is.
            What `torch.compile` or `DistributedDataParallel` has wrapped is taken out of it.
        path: of the file; one that is there is replaced, at once and only when the export has succeeded.
        example: the model's input, or its inputs in a sequence, each with the batch in front, of at least two rows.
        form: "dense" writes matrices with zeros where there are no edges, which runtimes multiply fastest; "gather" writes
            a weight and two indices per edge, which is smaller below a density of about 1/3 (float32) and mostly slower.
            Of convolutions it writes a weight, or a kernel, per edge, from which the runtime makes the dense kernels.

    Raises:
        ConfigError: if onnx is not installed, an argument is not allowed, the model cannot be exported, or onnxruntime cannot
            compute with the file (as with bfloat16) or computes something else.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from netsci_nn import SparseMLP
        >>> model = SparseMLP([20, 10, 3], density=0.1, rng=0)
        >>> with TemporaryDirectory() as folder:
        ...     export_onnx(model, f"{folder}/model.onnx", torch.rand(2, 20), form="sparse")
        Traceback (most recent call last):
        netsci_nn.errors.ConfigError: form is 'sparse'; it must be 'dense' or 'gather'
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; it must be a module")
    if form not in FORMS:
        raise ConfigError(f"form is {form!r}; it must be {' or '.join(map(repr, FORMS))}")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"an ONNX file cannot be written: {' and '.join(missing)} not installed ({INSTALL})")
    inputs = tuple(example) if isinstance(example, list | tuple) else (example,)
    if not inputs or not all(isinstance(one, torch.Tensor) and one.dim() > 0 and len(one) > 1 for one in inputs):
        raise ConfigError("example must be a tensor, or several, of at least two rows, so that the batch may have any size")
    model = _unwrapped(model)
    layers = sparse_layers(model)
    items = [layer.weight.shape[1:].numel() * layer.weight.element_size() for layer in layers]  # bytes on an edge
    dense_weights = sum(layer.n_in * layer.n_out * layer.weight.shape[1:].numel() for layer in layers)
    edges = sum(layer.n_edges for layer in layers)
    sizes = (
        sum(layer.n_in * layer.n_out * item for layer, item in zip(layers, items, strict=True)),
        sum(layer.n_edges * (item + 2 * INDEX_BYTES) for layer, item in zip(layers, items, strict=True)),
    )
    total = sizes[FORMS.index(form)] + sum(p.numel() * p.element_size() for p in model.parameters())
    if total > LARGEST:
        raise ConfigError(f"the file would hold {total:,} bytes; form {form!r} of an ONNX file holds at most {LARGEST:,}")
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        program = _program(to_dense(model) if form == "dense" else model, inputs)
        with atomic_write(path) as temporary:
            program.save(os.fspath(temporary))
            difference = _difference(model, temporary, inputs)
            n_bytes = Path(temporary).stat().st_size
    finally:
        for module in was_training:
            module.training = True
    return OnnxFile(Path(path), form, n_bytes, dense_weights, edges, *sizes, difference)


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself out of wrappers that only compute it in another way."""
    from torch._dynamo import OptimizedModule

    while isinstance(model, OptimizedModule | nn.parallel.DistributedDataParallel | nn.DataParallel):
        model = model._orig_mod if isinstance(model, OptimizedModule) else model.module
    return model


def _program(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    """Return the model as torch's ONNX program."""
    import onnxscript.optimizer

    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    with _quiet():
        try:
            program: Any = torch.onnx.export(model, inputs, dynamo=True, dynamic_shapes=shapes, verbose=False, optimize=False)
            program.model = onnxscript.optimizer.optimize(program.model, input_size_limit=MAX_FOLDED)
        except Exception as error:  # of torch's exporter, which has many kinds
            raise ConfigError(
                f"model is a {type(model).__name__} that torch cannot export to ONNX: {_first_line(error)}"
            ) from error
    return program


def _first_line(error: BaseException) -> str:
    """Return the first line of what an error came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _difference(model: nn.Module, path: str | PathLike[str], inputs: tuple[torch.Tensor, ...]) -> float | None:
    """Return the largest difference between the outputs of onnxruntime and of the model; a ConfigError if it is large."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be printed, too
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        named = {place.name: one.detach().cpu().numpy() for place, one in zip(session.get_inputs(), inputs, strict=True)}
        results = session.run(None, named)
    except Exception as error:  # of onnxruntime, which have no class in common
        raise ConfigError(
            f"onnxruntime cannot compute with the ONNX file: {_first_line(error)}; of float32 (model.float()) it knows most"
        ) from error
    with torch.no_grad():
        expected = [one.cpu().double() for one in tree_leaves(model(*inputs)) if isinstance(one, torch.Tensor)]
    found = [torch.from_numpy(one).double() for one in results]
    if [one.shape for one in found] != [one.shape for one in expected]:
        raise ConfigError("the ONNX file computes something else: onnxruntime's outputs are of other shapes")
    difference = max((_gap(*pair) for pair in zip(found, expected, strict=True)), default=0.0)
    size = max((_largest(one.nan_to_num(0.0, 0.0, 0.0)) for one in expected), default=0.0)
    if difference > TOLERANCE * max(size, 1.0):
        raise ConfigError(f"the ONNX file computes something else: onnxruntime's outputs differ by up to {difference:.3g}")
    return difference


def _gap(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference of two tensors; of a number and none it is infinite, and of twice NaN 0."""
    is_same = (found == expected) | (found.isnan() & expected.isnan())
    return _largest((found - expected)[~is_same].nan_to_num(nan=math.inf))


def _largest(values: torch.Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from talking of packages that are not needed here, and from printing what it raises."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
