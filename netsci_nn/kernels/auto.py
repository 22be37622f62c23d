"""`backend="auto"`: which backend serves a product best, by density, batch, degree, dtype and device.

On the CPU the compiled kernels serve up to a density from which the dense matrix is faster, and down to a number of edges per
target below which torch's CSR product is; of convolutions, up to a density from which torch's dense one is faster. Those
crossovers depend on the machine: `measure_crossover` (`netsci-nn doctor
--measure` on the command line) measures them once and keeps them in the user's cache folder; without that, built-in values
serve. The environment variable NETSCI_NN_DENSE_ABOVE, a density, overrides the density of all.
"""

import functools
import json
import logging
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import torch

from netsci_nn.checks import check_real
from netsci_nn.errors import ConfigError
from netsci_nn.files import write_text
from netsci_nn.kernels.autograd import sparse_product
from netsci_nn.kernels.backend import BACKENDS, Backend
from netsci_nn.kernels.convolution import Convolution, Convolve, Window
from netsci_nn.kernels.index import EdgeIndex, edge_index
from netsci_nn.kernels.walks import MANY_ROWS
from netsci_nn.sampling import as_generator, distinct_cells
from netsci_nn.topology import BipartiteTopology

logger = logging.getLogger(__name__)

OVERRIDE = "NETSCI_NN_DENSE_ABOVE"
MEASURED_BATCHES = {"small_batch": 10, "large_batch": 128, "many_rows": 2048}  # for each class of batches, by `batch_class`
SMALL_BATCH = 32
DENSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
HYPERSPARSE_NEURONS, DEGREES = 200_000, (0.3, 1, 3, 10)
N_IMAGES, IMAGE, WINDOW = 32, (16, 16), Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))  # of measured convolutions
# As `measure_crossover` found them on two cores: the density from which dense is faster, by class of batches and of
# convolutions (docs/speed.md), and the edges per target below which CSR is.
DEFAULT_CROSSOVER = {"small_batch": 0.9, "large_batch": 0.9, "many_rows": 0.4, "convolutions": 0.25, "csr_below_degree": 0.0}
# cuSPARSE needs a very sparse matrix to beat the dense product; not measured here, and not yet a matter of the cache.
CUDA_DENSE_ABOVE = 0.05


def choose_backend(values: torch.Tensor, batch: int, index: EdgeIndex) -> str:
    """Return the name of the backend that `auto` stands for.

    Args:
        values: `[n_edges]`, for their dtype and device.
        batch: columns of the product.
        index: the edges.
    """
    density = len(values) / (index.n_in * index.n_out)
    if values.device.type != "cpu":
        return "dense" if density > CUDA_DENSE_ABOVE else "csr"
    known = crossover()
    if density > known[batch_class(batch)]:
        return "dense"
    is_too_sparse = len(values) < known["csr_below_degree"] * index.n_out
    return "csr" if is_too_sparse or BACKENDS["compiled"].unavailable_because() else "compiled"


def batch_class(batch: int) -> str:
    """Return the class of a batch of so many rows, a name in `MEASURED_BATCHES`."""
    return "small_batch" if batch <= SMALL_BATCH else "large_batch" if batch < MANY_ROWS else "many_rows"


def backend_of(name: str, values: torch.Tensor, batch: int, index: EdgeIndex) -> Backend:
    """Return the backend of this name, or what "auto" stands for; arguments as for `choose_backend`.

    Raises:
        ConfigError: if it is not known, not installed, or cannot compute with these values.
    """
    is_open = isinstance(name, str) and name == "auto"
    return supporting(choose_backend(values, batch, index) if is_open else name, values)


def supporting(name: str, values: torch.Tensor) -> Backend:
    """Return the backend of this name, or raise a ConfigError that says why it cannot compute with these values."""
    backend = BACKENDS[name]
    reason = backend.unavailable_because() or backend.unsupported_because(values)
    if reason is not None:
        raise ConfigError(f"backend {name!r} cannot serve this layer: {reason}")
    return backend


@functools.cache
def crossover() -> dict[str, float]:
    """Return where other backends are chosen: overridden, measured or built in.

    Returns:
        the densities above which the dense backend is chosen, of `small_batch` (up to 32 rows), `large_batch` and `many_rows`
        (from 512 on), and `csr_below_degree`, the edges per target below which CSR is.

    Raises:
        ConfigError: when the override is not a density from 0 to 1.
    """
    override = os.environ.get(OVERRIDE)
    if override is not None:
        return {**DEFAULT_CROSSOVER, **dict.fromkeys((*MEASURED_BATCHES, "convolutions"), _check(override))}
    try:
        measured = json.loads(cache_file().read_text(encoding="utf-8"))
        measured.setdefault("convolutions", DEFAULT_CROSSOVER["convolutions"])  # which were not measured at first
        names = (*MEASURED_BATCHES, "convolutions")
        densities = {name: check_real(name, measured[name], _is_density, "from 0 to 1") for name in names}
        degree = check_real("csr_below_degree", measured["csr_below_degree"], lambda number: number >= 0, ">= 0")
        return {**densities, "csr_below_degree": degree}
    except FileNotFoundError:
        return DEFAULT_CROSSOVER
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("%s cannot be read (%s); built-in values are used", cache_file(), error)
        return DEFAULT_CROSSOVER


def cache_file() -> Path:
    """Return where the measured crossover is kept."""
    return Path(platformdirs.user_cache_dir("netsci_nn")) / "crossover.json"


def measure_crossover(
    size: int = 1024, repeats: int = 7, neurons: int = HYPERSPARSE_NEURONS, channels: int = 128
) -> dict[str, float]:
    """Measure forward and backward of the compiled backend and others in turn, and keep the result.

    Args:
        size: neurons a side of the layers beside which the dense backend is measured.
        repeats: of each measurement, after one to warm up.
        neurons: a side of the layers beside which CSR is measured.
        channels: a side of the convolutions, with kernels of 3 x 3 over 32 images of 16 x 16 pixels.

    Returns:
        what `crossover` returns: by batch, the highest of the tried densities at which the compiled backend is faster than the
        dense one, or 0 if it never is; and the highest of the tried degrees at which CSR is faster, or 0.
    """
    result = {}
    for name, batch in MEASURED_BATCHES.items():
        edges = ((density, round(density * size * size)) for density in DENSITIES)
        faster = [density for density, n_edges in edges if _ratio("dense", size, n_edges, batch, repeats) < 1]
        result[name] = max(faster, default=0.0)
    faster = [density for density in DENSITIES if _convolution_ratio(channels, density, repeats) < 1]
    result["convolutions"] = max(faster, default=0.0)
    slower = [degree for degree in DEGREES if _ratio("csr", neurons, round(degree * neurons), 16, repeats) > 1]
    result["csr_below_degree"] = float(max(slower, default=0))
    cache_file().parent.mkdir(parents=True, exist_ok=True)
    write_text(cache_file(), json.dumps(result) + "\n")
    crossover.cache_clear()
    return result


def _ratio(other: str, size: int, n_edges: int, batch: int, repeats: int) -> float:
    """Return the compiled backend's median time over that of another one."""
    topology = BipartiteTopology.from_keys(distinct_cells(size * size, n_edges, as_generator(0)), size, size)
    index = edge_index(topology)
    values, x = torch.rand(n_edges, requires_grad=True), torch.rand(batch, size, requires_grad=True)

    def product(name: str) -> torch.Tensor:
        return sparse_product(values, x.t(), index, BACKENDS[name])

    return _time_ratio(lambda: product("compiled"), lambda: product(other), (values, x), repeats)


def _convolution_ratio(channels: int, density: float, repeats: int) -> float:
    """Return the median time of the compiled convolution over that of torch's with the dense weight."""
    area, n_pairs = math.prod(WINDOW.kernel), channels * channels
    edges = np.sort(distinct_cells(n_pairs, round(density * n_pairs), as_generator(0)))
    keys = (edges[:, None] * area + np.arange(area)).reshape(-1)  # dst * channels + src, each with the entries of its kernel
    topology = BipartiteTopology.from_keys(keys, channels * area, channels)
    places = torch.from_numpy(keys)
    convolution = Convolution(edge_index(topology), WINDOW, N_IMAGES, IMAGE, torch.float32)
    values = torch.rand(len(keys), requires_grad=True)
    x = torch.rand(N_IMAGES, channels, *IMAGE, requires_grad=True)

    def dense() -> torch.Tensor:
        weight = values.new_zeros(n_pairs * area).index_put((places,), values).reshape(channels, channels, *WINDOW.kernel)
        return torch.nn.functional.conv2d(x, weight, padding=WINDOW.before)

    return _time_ratio(lambda: Convolve.apply(values, x, None, convolution, None), dense, (values, x), repeats)


def _time_ratio(
    first: Callable[[], torch.Tensor], second: Callable[[], torch.Tensor], inputs: tuple[torch.Tensor, ...], repeats: int
) -> float:
    """Return the median time of one function and its gradients over that of another."""
    seconds: list[list[float]] = [[], []]
    for repeat in range(repeats + 1):
        for function, times in zip((first, second), seconds, strict=True):
            begin = time.perf_counter()
            torch.autograd.grad(function().sum(), inputs)
            if repeat > 0:
                times.append(time.perf_counter() - begin)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def _is_density(number: float) -> bool:
    return 0 <= number <= 1


def _check(text: str) -> float:
    try:
        density = float(text)
    except ValueError:
        density = -1.0
    if not _is_density(density):
        raise ConfigError(f"{OVERRIDE} is {text!r}; it must be a density from 0 to 1")
    return density
