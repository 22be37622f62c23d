"""The Hurwitz zeta function of a discrete power law, scaled so that steep tails far out do not underflow; compiled.

Everything here is about Z(alpha, x) = x^alpha zeta(alpha, x) = sum over k >= 0 of (1 + k / x)^-alpha, which is at least 1
when zeta(alpha, x) itself may be below the smallest double. alpha is above 1, x at least 1.
"""

import math

import numpy as np

from analysis.base.compiling import njit
from analysis.graph.arrays import FloatArray, LongArray

# B_2j / (2j)!, j = 1..8: the coefficients of the Euler-Maclaurin formula.
_BERNOULLI = (
    8.333333333333333e-2,
    -1.388888888888889e-3,
    3.306878306878307e-5,
    -8.267195767195768e-7,
    2.08767569878681e-8,
    -5.284190138687493e-10,
    1.3382536530684679e-11,
    -3.3896802963225827e-13,
)
_FAR = 10.0
_NEGLIGIBLE = 1e-18


@njit(cache=True, nogil=True)
def scaled_zeta(alpha: float, x: float) -> float:
    """Z(alpha, x), to about 1e-14 relative.

    Terms are added until they vanish or until k reaches 10 + alpha - x; from there on the Euler-Maclaurin formula with 8
    corrections holds. At most about 40 x / alpha terms.
    """
    total, end = 0.0, x
    while end < _FAR + alpha:
        term = (end / x) ** -alpha
        if term < _NEGLIGIBLE * total:
            return total
        total += term
        end += 1.0
    rising, correction = alpha / end, 0.0
    for j in range(8):
        correction += _BERNOULLI[j] * rising
        rising *= (alpha + 2 * j + 1) * (alpha + 2 * j + 2) / (end * end)
    return total + (end / x) ** -alpha * (end / (alpha - 1.0) + 0.5 + correction)


@njit(cache=True, nogil=True)
def log_zeta_derivatives(alpha: float, x: float) -> tuple[float, float]:
    """First and second derivative of log Z(alpha, x) by alpha: minus the mean, and the variance, of log(X / x).

    X has p(X = i) proportional to i^-alpha, i = x, x + 1, ... The second is the Fisher information of one observation.
    """
    total, first, second, end = 0.0, 0.0, 0.0, x
    far = True
    while end < _FAR + alpha:
        log = math.log(end / x)
        term = math.exp(-alpha * log)
        if term < _NEGLIGIBLE * total:
            far = False
            break
        total += term
        first -= log * term
        second += log * log * term
        end += 1.0
    if far:
        # The rest is (end / x)^-alpha g(alpha); g and its derivatives are sums over the formula's terms, of which the
        # j-th is proportional to alpha (alpha + 1) ... (alpha + 2j): its logarithm's derivatives are sums of inverses.
        log = math.log(end / x)
        factor = math.exp(-alpha * log)
        main = end / (alpha - 1.0)
        g, g1, g2 = main + 0.5, -main / (alpha - 1.0), 2.0 * main / (alpha - 1.0) ** 2
        rising, inverse, square = alpha / end, 1.0 / alpha, 1.0 / alpha**2
        for j in range(8):
            term = _BERNOULLI[j] * rising
            g += term
            g1 += term * inverse
            g2 += term * (inverse * inverse - square)
            low, high = alpha + 2 * j + 1, alpha + 2 * j + 2
            rising *= low * high / (end * end)
            inverse += 1.0 / low + 1.0 / high
            square += 1.0 / low**2 + 1.0 / high**2
        total += factor * g
        first += factor * (g1 - log * g)
        second += factor * (g2 - 2.0 * log * g1 + log * log * g)
    mean = first / total
    return mean, second / total - mean * mean


@njit(cache=True, nogil=True)
def most_likely_exponent(mean_log: float, x: float) -> float:
    """The alpha that maximises the likelihood of a tail from x on: where -d log Z / d alpha is the mean of log(X / x).

    Newton's method on that equation, whose left side falls from infinity at alpha = 1 to 0; a step out of the interval
    that still brackets the root is replaced by one inside. To about 1e-12 relative.
    """
    low, high = 1.0, math.inf
    alpha = 1.0 + 1.0 / (mean_log + 0.5 / x)
    for _ in range(200):
        slope, curvature = log_zeta_derivatives(alpha, x)
        excess = mean_log + slope
        if excess < 0.0:
            low = alpha
        else:
            high = alpha
        following = alpha - excess / curvature if curvature > 0.0 else math.inf
        if not low < following < high:
            following = 0.5 * (low + high) if math.isfinite(high) else 2.0 * alpha
        if following > 4.0 * alpha:
            following = 4.0 * alpha
        if abs(following - alpha) <= 1e-13 * alpha:
            return following
        alpha = following
    return alpha


@njit(cache=True, nogil=True)
def tail_distance(values: FloatArray, logs: FloatArray, counts: LongArray, alpha: float) -> float:
    """Largest difference |P(X < x) - share of points below x| over the distinct values x of a tail."""
    n_points, below, distance = counts.sum(), 0, 0.0
    normaliser = scaled_zeta(alpha, values[0])
    survival = 1.0
    for index in range(values.size):
        if index > 0:
            gap = values[index] - values[index - 1]
            if gap <= 4.0 and values[index] < _FAR + alpha:
                for step in range(int(gap)):
                    at = math.log((values[index - 1] + step) / values[0])
                    survival -= math.exp(-alpha * at) / normaliser
            else:
                scale = math.exp(-alpha * (logs[index] - logs[0]))
                survival = scale * scaled_zeta(alpha, values[index]) / normaliser
        distance = max(distance, abs(survival - 1.0 + below / n_points))
        below += counts[index]
    return distance


@njit(cache=True, nogil=True)
def best_tail(values: FloatArray, counts: LongArray) -> tuple[float, int, float]:
    """Fit every tail and keep the first with the smallest distance: (alpha, position of xmin in `values`, D)."""
    n = values.size
    logs = np.log(values)
    last = max(n - 3, 0)
    if n > 2 and counts[last] > 1:
        last += 1
    best_alpha, best, best_distance = 0.0, 0, math.inf
    # Sums from the far end, so that no tail's mean is a difference of larger numbers.
    size, sum_of_logs = np.zeros(n, np.int64), np.zeros(n)
    running, total = 0, 0.0
    for index in range(n - 1, -1, -1):
        running += counts[index]
        if index < n - 1:
            total += (running - counts[index]) * (logs[index + 1] - logs[index])
        size[index], sum_of_logs[index] = running, total
    for index in range(last + 1):
        alpha = most_likely_exponent(sum_of_logs[index] / size[index], values[index])
        distance = tail_distance(values[index:], logs[index:], counts[index:], alpha)
        if distance < best_distance:
            best_alpha, best, best_distance = alpha, index, distance
    return best_alpha, best, best_distance
