"""ONNX files of models with sparse layers: their weights dense, or on their edges by gathering and scattering.

ONNX has no operator that multiplies by a sparse matrix and that its runtimes compute sparsely, so each form has its price, and
the result says the size of both.
"""

from __future__ import annotations

import importlib.util
import logging
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

from netsci_nn.errors import ConfigError
from netsci_nn.files import atomic_write
from netsci_nn.models import sparse_layers, to_dense

FORMS = "dense", "gather"
INSTALL = "pip install 'netsci-nn[export]'"
INDEX_BYTES = 8
LARGEST = 2**31 - 2**20  # of a file in one piece
TOLERANCE = 1e-3  # of the check, relative to the largest output: runtimes sum in another order


@dataclass(frozen=True)
class OnnxFile:
    """What `export_onnx` has written.

    Attributes:
        path: the file.
        form: "dense" or "gather".
        n_bytes: size of the file.
        dense_weights: weights of the sparse layers as matrices, zeros included.
        edges: weights on their edges.
        dense_bytes: what the matrices take.
        gather_bytes: what the edges take, each with its weight and two indices.
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
        checked = (
            "not checked, since onnxruntime is not installed"
            if self.difference is None
            else f"onnxruntime computes the same up to {self.difference:.1e}"
        )
        return f"{self.path}: {self.n_bytes:,} bytes, the sparse layers as {forms[self.form]}, not as {other}; {checked}"


def export_onnx(
    model: nn.Module, path: str | PathLike[str], example: torch.Tensor | Sequence[torch.Tensor], *, form: str = "dense"
) -> OnnxFile:
    """Write `model` in evaluation mode as an ONNX file whose first dimension, the batch, may have any size.

    Needs the extra `export` (onnx, onnxscript, onnxruntime). If onnxruntime is there, the file is computed with and compared.

    Args:
        model: any module that torch can export; it stays as it is.
        path: of the file; one that is there is replaced, at once and only when the export has succeeded.
        example: the model's input, or its inputs in a sequence, each with the batch in front, of at least two rows.
        form: "dense" writes matrices with zeros where there are no edges, which runtimes multiply fastest; "gather" writes
            a weight and two indices per edge, which is smaller below a density of about 0.2 (float32) and mostly slower.

    Raises:
        ConfigError: if onnx is not installed, `form` is no such word, `example` has no batch, or the model cannot be exported
            or computes something else afterwards.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from netsci_nn import SparseMLP
        >>> model = SparseMLP([20, 10, 3], density=0.1, rng=0)
        >>> with TemporaryDirectory() as folder:
        ...     export_onnx(model, f"{folder}/model.onnx", torch.rand(2, 20), form="sparse")
        Traceback (most recent call last):
        netsci_nn.errors.ConfigError: form is 'sparse'; it must be 'dense' or 'gather'
    """
    if form not in FORMS:
        raise ConfigError(f"form is {form!r}; it must be {' or '.join(map(repr, FORMS))}")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"an ONNX file cannot be written: {' and '.join(missing)} not installed ({INSTALL})")
    inputs = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    if not inputs or not all(isinstance(one, torch.Tensor) and one.dim() > 0 and len(one) > 1 for one in inputs):
        raise ConfigError("example must be a tensor, or several, of at least two rows, so that the batch may have any size")
    layers = sparse_layers(model)
    dense_weights, edges = sum(layer.n_in * layer.n_out for layer in layers), sum(layer.n_edges for layer in layers)
    item = max((layer.weight.element_size() for layer in layers), default=4)
    sizes = dense_weights * item, edges * (item + 2 * INDEX_BYTES)
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


def _program(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    """Return the model as torch's ONNX program."""
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    with _quiet():
        try:
            return torch.onnx.export(model, inputs, dynamo=True, dynamic_shapes=shapes, verbose=False)
        except Exception as error:  # of torch's exporter, which has many kinds
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ConfigError(
                f"model is a {type(model).__name__} that torch cannot export to ONNX: {reason.strip()}"
            ) from error


def _difference(model: nn.Module, path: str | PathLike[str], inputs: tuple[torch.Tensor, ...]) -> float | None:
    """Return the largest difference between the outputs of onnxruntime and of the model; a ConfigError if it is large."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    named = {place.name: one.detach().cpu().numpy() for place, one in zip(session.get_inputs(), inputs, strict=True)}
    with torch.no_grad():
        expected = model(*inputs)
    pairs = zip(session.run(None, named), [expected] if isinstance(expected, torch.Tensor) else expected, strict=True)
    difference = size = 0.0
    for found, wanted in pairs:
        difference = max(difference, float((torch.from_numpy(found) - wanted.cpu()).abs().max()))
        size = max(size, float(wanted.abs().max()))
    if not difference <= TOLERANCE * max(size, 1.0):
        raise ConfigError(f"the ONNX file computes something else: onnxruntime's outputs differ by up to {difference:.3g}")
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from talking of packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
