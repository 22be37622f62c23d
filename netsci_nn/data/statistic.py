"""Statistics of training inputs that can weight the sources of a first layer (see the generator `input_weighted`)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from netsci_nn.errors import DataError, TopologyError
from netsci_nn.registry import Registry
from netsci_nn.topology import Float64Array, as_array

Statistic = Callable[[npt.NDArray[np.floating], npt.NDArray[np.integer]], Float64Array]

STATISTICS: Registry[Statistic] = Registry("statistic")
N_BINS = 16  # equal intervals of a feature's range, for its mutual information with the labels


def input_statistic(name: str, x_train: npt.NDArray[np.floating], y_train: npt.NDArray[np.integer]) -> Float64Array:
    """Return one weight >= 0 for every feature, computed on training data.

    Args:
        name: "mean"; "variance"; "label_correlation", the largest absolute Pearson correlation with the indicator of a
            class; "mutual_information" with the label, in nats, of the feature cut into 16 equal intervals of its range; or
            "not_constant", 1 for a feature that varies and 0 for a constant one: the control for all others.
        x_train: `[n_train, n_features]`, the training rows only, as loaded: not standardised.
        y_train: integer `[n_train]`.

    Returns:
        float64 `[n_features]`.

    Raises:
        ConfigError: when the name is unknown.
        DataError: when shapes differ, features are not finite or were standardised, or a mean is negative.
    """
    statistic = STATISTICS[name]
    try:
        x, y = as_array(x_train), as_array(y_train)
    except TopologyError as error:
        raise DataError(f"x_train or y_train: {error}") from None
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "biu":
        raise DataError(f"x_train has dtype {x.dtype} and y_train {y.dtype}; they must be numbers and integer labels")
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0 or y.shape != (len(x),):
        raise DataError(f"x_train has shape {x.shape} and y_train {y.shape}; they must be [n, n_features] and [n], not empty")
    if not np.isfinite(x).all():
        raise DataError("x_train holds NaN or infinity; features must be finite")
    x = x.astype(np.float32) if x.dtype.kind == "b" else x
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(spread).all()):
        raise DataError(f"x_train holds {np.abs(x).max():g}; its squares must not be beyond what a float64 holds")
    varies = spread > 0
    if varies.any() and np.abs(mean[varies]).max() < 1e-3 and np.abs(spread[varies] - 1).max() < 1e-2:
        raise DataError(
            "x_train was standardised (every feature has mean 0 and standard deviation 1); "
            "statistics must come from the inputs before that"
        )
    return statistic(x, y)


@STATISTICS.register("mean")
def _mean(x: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> Float64Array:
    mean = x.mean(axis=0, dtype=np.float64)
    if (mean < 0).any():
        feature = int((mean < 0).argmax())
        raise DataError(f"the mean of feature {feature} is {mean[feature]:.4g}; it must be >= 0 to be a weight")
    return mean


@STATISTICS.register("variance")
def _variance(x: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> Float64Array:
    return np.where(_not_constant(x, y) > 0, x.var(axis=0, dtype=np.float64), 0.0)


@STATISTICS.register("label_correlation")
def _label_correlation(x: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> Float64Array:
    mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    largest = np.zeros(x.shape[1])
    for label in np.unique(y):
        share = float((y == label).mean())
        if share < 1:
            covariance = share * (x[y == label].mean(axis=0, dtype=np.float64) - mean)
            scale = spread * np.sqrt(share * (1 - share))
            largest = np.maximum(largest, np.abs(np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)))
    return np.where(_not_constant(x, y) > 0, largest, 0.0)


@STATISTICS.register("mutual_information")
def _mutual_information(x: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> Float64Array:
    from sklearn.feature_selection import mutual_info_classif  # heavy, and seldom needed

    low, span = x.min(axis=0), np.ptp(x, axis=0)
    bins = np.minimum((x - low) / np.where(span > 0, span, 1) * N_BINS, N_BINS - 1).astype(np.int8)
    return np.maximum(mutual_info_classif(bins, y, discrete_features=True), 0.0)


@STATISTICS.register("not_constant")
def _not_constant(x: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> Float64Array:
    return (np.ptp(x, axis=0) > 0).astype(np.float64)
