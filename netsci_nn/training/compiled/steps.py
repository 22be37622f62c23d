"""Training steps of a stack of sparse layers in compiled code: forward, backward and update.

At small batches a step is dominated by what happens around the arithmetic: framework calls, allocations, transposes. Here a
run of mini-batches is one call. The network lies in flat arrays (`Network`): layer after layer, edges by target, and all
that a neuron has for a mini-batch is one row of `lanes` numbers, the last of which are padding without gradient.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netsci_nn.compiling import njit
from netsci_nn.kernels.edge_loops import best_visit, gather, permute, sample
from netsci_nn.kernels.vector import TILE, transpose_tile

Array = npt.NDArray[Any]
WIDEST_SHARE = 128  # rows of a mini-batch that one thread takes at once


class Network(NamedTuple):
    """A stack of sparse layers as flat arrays. Layer l joins neuron groups l and l + 1; edges and rows have global numbers.

    Of a layer's edges, those by target are `edge_start[l]` to `edge_start[l + 1]`; pointers hold global edge numbers.
    """

    group_start: Array  # int64 [n_layers + 2], first row of each neuron group; the input group is 0
    edge_start: Array  # int64 [n_layers + 1]
    weight: Array  # floating [n_edges]
    velocity: Array  # floating [n_edges], the momentum buffer
    src: Array  # int32 [n_edges], source within its group
    dst: Array  # int32 [n_edges], target within its group
    target_pointers: Array  # int64 [n_rows + 1], edges of the row's neuron as a target
    source_pointers: Array  # int64 [n_rows + 1], the same as a source, in the order by source
    by_source: Array  # int64 [n_edges]
    dst_by_source: Array  # int32 [n_edges], target within its group
    birth: Array  # int32 [n_edges], step at which each edge was born
    bias: Array  # floating [n_rows], 0 for inputs and layers without one
    bias_velocity: Array  # floating [n_rows]
    has_bias: Array  # bool [n_layers]
    slopes: Array  # floating [n_layers], of the activation after each layer for negative arguments: 0 ReLU, 1 none


class SGD(NamedTuple):
    """The settings of stochastic gradient descent, as in torch.optim.SGD without dampening and Nesterov momentum."""

    learning_rate: float
    momentum: float
    weight_decay: float


class Scratch(NamedTuple):
    """What one thread needs to work on its share of a mini-batch."""

    activations: Array  # floating [n_rows, lanes]
    gradients: Array  # floating [n_rows, lanes], to the activations
    inputs: Array  # floating [lanes, n_in rounded up to TILE]
    weight_gradient: Array  # floating [n_edges]
    bias_gradient: Array  # floating [n_rows]
    own_weight: Array  # floating [n_edges], the weights in the order by source


@njit(cache=True, nogil=True, error_model="numpy")
def train(lanes, network, sgd, x, y, order, batch_size, scratch, total):  # type: ignore[no-untyped-def]
    """Train on consecutive mini-batches of the rows `order` and return `total` plus the sum of their cross-entropies.

    Weights, velocities and biases change in place. `lanes` are a value of `LANES` for at least batch_size rows; x is
    `[n, n_in]`, y int64 `[n]` and `order` int64, all checked.
    """
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        total += gradients(lanes, network, x, y, chosen, len(chosen), scratch)
        descend(network, sgd, scratch.weight_gradient, scratch.bias_gradient)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def gradients(lanes, network, x, y, chosen, batch_size, scratch):  # type: ignore[no-untyped-def]
    """Fill the scratch with the gradients of the share `chosen` of a mini-batch; return the sum of its cross-entropies."""
    activations, to_activations = scratch.activations, scratch.gradients
    n_layers = len(network.edge_start) - 1
    _load_inputs(x, chosen, scratch.inputs, activations)
    for layer in range(n_layers):
        _forward(lanes, network, layer, activations)
    total = _cross_entropy(network, y, chosen, batch_size, activations, to_activations)
    for layer in range(n_layers - 1, -1, -1):
        _backward_to_weights(lanes, network, layer, activations, to_activations, scratch.weight_gradient)
        if layer > 0:  # the inputs need no gradient
            _backward_to_sources(lanes, network, layer, activations, to_activations, scratch.own_weight)
    for row in range(network.group_start[1], network.group_start[-1]):
        scratch.bias_gradient[row] = to_activations[row].sum()
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(lanes, network, layer, activations):  # type: ignore[no-untyped-def]
    flat, width = activations.reshape(-1), activations.shape[1]
    first, middle, end = network.group_start[layer], network.group_start[layer + 1], network.group_start[layer + 2]
    visit = _visit(network, layer, middle - first, end - middle, flat, width)
    edges = network.weight, network.src, network.target_pointers, network.bias
    gather(lanes, True, *edges, flat, first * width, visit, flat, width, 0, middle, end)
    slope = network.slopes[layer]
    if slope != 1:
        for lane in range(middle * width, end * width):
            if flat[lane] < 0:
                flat[lane] = flat[lane] * slope if slope != 0 else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _backward_to_weights(lanes, network, layer, activations, to_activations, weight_gradient):  # type: ignore[no-untyped-def]
    flat, flat_gradients, width = activations.reshape(-1), to_activations.reshape(-1), activations.shape[1]
    first, middle, end = network.group_start[layer], network.group_start[layer + 1], network.group_start[layer + 2]
    visit = _visit(network, layer, middle - first, end - middle, flat, width)
    edges = network.src, network.target_pointers
    sample(
        lanes, *edges, flat, first * width, visit, flat_gradients, 0, False, weight_gradient, weight_gradient[:0], middle, end
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _backward_to_sources(lanes, network, layer, activations, to_activations, own_weight):  # type: ignore[no-untyped-def]
    flat, flat_gradients, width = activations.reshape(-1), to_activations.reshape(-1), activations.shape[1]
    first, middle, end = network.group_start[layer], network.group_start[layer + 1], network.group_start[layer + 2]
    visit = _visit(network, layer, end - middle, middle - first, flat, width)
    permute(network.weight, network.by_source, network.source_pointers, own_weight, first, middle)
    edges = own_weight, network.dst_by_source, network.source_pointers, own_weight[:0]
    gather(lanes, True, *edges, flat_gradients, middle * width, visit, flat_gradients, width, 0, first, middle)
    slope = network.slopes[layer - 1]
    if slope != 1:
        for lane in range(first * width, middle * width):
            if flat[lane] <= 0:
                flat_gradients[lane] = flat_gradients[lane] * slope if slope != 0 else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _visit(network, layer, n, n_rows, flat, width):  # type: ignore[no-untyped-def]
    """Return how the edges of a layer visit n neurons at their other ends."""
    n_edges = network.edge_start[layer + 1] - network.edge_start[layer]
    return best_visit(n, width * flat.itemsize, n_edges / n_rows)


@njit(cache=True, nogil=True)
def _load_inputs(x, chosen, rows, activations):  # type: ignore[no-untyped-def]
    """activations[i, lane] = x[chosen[lane], i], zeros in the lanes beyond the mini-batch."""
    n_in, lanes, width = x.shape[1], activations.shape[1], rows.shape[1]
    for lane in range(lanes):
        if lane < len(chosen):
            rows[lane, :n_in] = x[chosen[lane]]
        else:
            rows[lane, :n_in] = 0
    flat, flat_rows = activations.reshape(-1), rows.reshape(-1)
    whole = n_in // TILE * TILE
    for column in range(0, whole, TILE):
        for lane in range(0, lanes, TILE):
            transpose_tile(flat_rows, lane * width + column, width, TILE, flat, column * lanes + lane, lanes)
    for column in range(whole, n_in):
        for lane in range(lanes):
            activations[column, lane] = rows[lane, column]


@njit(cache=True, nogil=True, error_model="numpy")
def _cross_entropy(network, y, chosen, batch_size, activations, gradients):  # type: ignore[no-untyped-def]
    """Write the gradient of the mean cross-entropy to the logits; return the sum of the cross-entropies."""
    first, end = network.group_start[-2], network.group_start[-1]
    gradients[first:end] = 0
    total = 0.0
    for lane in range(len(chosen)):
        label = first + y[chosen[lane]]
        highest = activations[first, lane]
        for row in range(first + 1, end):
            highest = max(highest, activations[row, lane])
        normaliser = 0.0
        for row in range(first, end):
            gradients[row, lane] = np.exp(activations[row, lane] - highest)
            normaliser += gradients[row, lane]
        total += np.log(normaliser) + highest - activations[label, lane]
        for row in range(first, end):
            gradients[row, lane] /= normaliser * batch_size
        gradients[label, lane] -= 1.0 / batch_size
    return total


@njit(cache=True, nogil=True)
def descend(network, sgd, gradient, bias_gradient):  # type: ignore[no-untyped-def]
    """One step of SGD on weights and biases."""
    weight, velocity = network.weight, network.velocity
    real = weight.dtype.type
    rate, momentum, decay = real(sgd.learning_rate), real(sgd.momentum), real(sgd.weight_decay)
    for edge in range(len(weight)):
        velocity[edge] = momentum * velocity[edge] + (gradient[edge] + decay * weight[edge])
        weight[edge] -= rate * velocity[edge]
    for layer in range(len(network.has_bias)):
        if network.has_bias[layer]:
            for row in range(network.group_start[layer + 1], network.group_start[layer + 2]):
                slope = bias_gradient[row] + decay * network.bias[row]
                network.bias_velocity[row] = momentum * network.bias_velocity[row] + slope
                network.bias[row] -= rate * network.bias_velocity[row]
