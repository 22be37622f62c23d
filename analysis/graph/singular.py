"""The largest singular values of a sparse matrix, also if several are equal."""

import inspect
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from analysis.base.checks import check_count
from analysis.graph.arrays import FloatArray

DENSE_LIMIT = 300
"""Up to this many neurons on the smaller side, all singular values are computed from a dense matrix."""

_ZERO = 1e-12
_TRUSTED = 1e-3
# The error of an eigenvalue is about the square of that of its vector, so that 1e-8 gives all digits of the value.
_TOLERANCE = 1e-8
# ARPACK draws a vector of its own if the Krylov space is exhausted; older versions of scipy keep that to themselves.
_DRAWS_FROM_RNG = "rng" in inspect.signature(eigsh).parameters


def largest_singular_values(
    matrix: sparse.csr_array, count: int, rng: np.random.Generator, first: FloatArray | None = None
) -> FloatArray:
    """The largest singular values, in descending order.

    If the smaller side has at most `DENSE_LIMIT` neurons: from the eigenvalues of the dense M M^T, or, if one of the wanted
    values is below 1e-3 of the largest and squaring would cost digits, from a dense decomposition. Above it by ARPACK
    (Lehoucq, Sorensen and Yang 1998, "ARPACK users' guide", SIAM) on M M^T from a random start vector. A Krylov space of one
    vector can miss all but one copy of a repeated value, which lattices have, so the found vectors are taken out and the
    search is repeated until nothing larger is left.

    Args:
        matrix: M, float64.
        count: how many, at least 1 and at most the smaller side.
        rng: draws start vectors; not used if the matrix is dense.
        first: a singular vector of the largest value if one is known, on the smaller side (that of the rows if they are
            equal), float64 of shape [min(matrix.shape)]; it saves time.

    Returns:
        float64 of shape [count], each with an absolute error of about 1e-12 of the first (1e-8 if the sparse solver meets
        values that are that close to each other); what is smaller than 1e-12 of it is 0. Cost O(a^3) for a neurons on the
        smaller side in the dense case, else O(n_edges) for each of some 200 iterations.

    Raises:
        AnalysisError: `count` out of range.
    """
    smaller = min(matrix.shape)
    count = check_count("count", count, 1, smaller, "(the size of the smaller side)")
    if matrix.nnz == 0:
        return np.zeros(count)
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else sparse.csr_array(matrix.T)
    is_dense = wide.shape[0] <= max(DENSE_LIMIT, count + 1)
    values = _dense_values(wide, count) if is_dense else _sparse_values(wide, count, rng, first)
    return np.where(values > _ZERO * values[0], values, 0.0)


def _dense_values(wide: sparse.csr_array, count: int) -> FloatArray:
    squares = np.maximum(np.linalg.eigvalsh((wide @ wide.T).toarray())[::-1][:count], 0.0)
    if squares[-1] > _TRUSTED**2 * squares[0]:
        return np.sqrt(squares)
    return np.linalg.svd(wide.toarray(), compute_uv=False)[:count]


def _sparse_values(wide: sparse.csr_array, count: int, rng: np.random.Generator, first: FloatArray | None) -> FloatArray:
    tall = sparse.csr_array(wide.T)
    known = np.empty((wide.shape[0], 0)) if first is None else first[:, None] / np.linalg.norm(first)
    n_missing = count - known.shape[1]
    further = _leading_vectors(wide, tall, known, n_missing, rng) if n_missing else known[:, :0]
    vectors, values = _ritz(tall, np.hstack([known, further]), count)
    # A single vector is the leading one of what is left; among several, copies may be missing.
    while n_missing > 1 and vectors.shape[1] == count:
        further = _leading_vectors(wide, tall, vectors, 1, rng)
        if further.size == 0 or np.linalg.norm(tall @ further) <= values[-1] * (1 + 1e-10):
            break
        vectors, values = _ritz(tall, np.hstack([vectors, further]), count)
    return np.pad(values, (0, count - values.size))


def _leading_vectors(
    wide: sparse.csr_array, tall: sparse.csr_array, known: FloatArray, count: int, rng: np.random.Generator
) -> FloatArray:
    """Leading eigenvectors of M M^T on the space that is orthogonal to the columns of `known`; none if it is 0 there."""

    def apply(vector: FloatArray) -> FloatArray:
        vector = wide @ (tall @ (vector - known @ (known.T @ vector)))
        return vector - known @ (known.T @ vector)

    n = wide.shape[0]
    start: FloatArray = rng.standard_normal(n)
    if np.linalg.norm(apply(start)) <= _ZERO * np.linalg.norm(wide @ (tall @ start)):
        return np.empty((n, 0))
    operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
    restarts: dict[str, Any] = {"rng": rng} if _DRAWS_FROM_RNG else {}
    _, vectors = eigsh(operator, k=count, v0=start, tol=_TOLERANCE, **restarts)
    return np.asarray(vectors)


def _ritz(tall: sparse.csr_array, vectors: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The best singular vectors and values within the span of the given ones, at most `count` of each."""
    basis, _ = np.linalg.qr(vectors)
    _, values, right = np.linalg.svd(tall @ basis, full_matrices=False)
    return basis @ right[:count].T, values[:count]
