"""Sparse training as it is usually written: dense matrices with masks. Independent of everything that the library does.

Numpy only, one hidden layer of ReLU after another, softmax cross-entropy, SGD with momentum; derivatives by hand. RigL follows
Evci et al. 2020 and the order of their code: an update step changes masks and no weight. SET follows Mocanu et al. 2018.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass
class MaskedNetwork:
    """Weights `[n_out, n_in]` that are 0 where their mask is False, biases, and the momentum of both."""

    weights: list[Matrix]
    biases: list[Matrix]
    masks: list[Mask]
    rate: float
    momentum: float
    velocities: list[Matrix] = field(init=False)
    bias_velocities: list[Matrix] = field(init=False)

    def __post_init__(self) -> None:
        self.velocities = [np.zeros_like(weight) for weight in self.weights]
        self.bias_velocities = [np.zeros_like(bias) for bias in self.biases]

    def gradients(self, x: Matrix, y: npt.NDArray[np.int64]) -> tuple[list[Matrix], list[Matrix]]:
        """The derivative of the mean cross-entropy with respect to every entry of every matrix, masked or not."""
        inputs, signal = [x], x
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            signal = signal @ weight.T + bias
            if number < len(self.weights) - 1:
                signal = np.maximum(signal, 0)
                inputs.append(signal)
        odds = np.exp(signal - signal.max(1, keepdims=True))
        error = odds / odds.sum(1, keepdims=True)
        error[np.arange(len(y)), y] -= 1
        error /= len(y)
        of_weights: list[Matrix] = []
        of_biases: list[Matrix] = []
        for number in reversed(range(len(self.weights))):
            of_weights.insert(0, error.T @ inputs[number])
            of_biases.insert(0, error.sum(0))
            error = (error @ self.weights[number]) * (inputs[number] > 0)
        return of_weights, of_biases

    def descend(self, of_weights: list[Matrix], of_biases: list[Matrix]) -> None:
        """One step of SGD; entries that are masked stay 0, and so does their momentum."""
        for number, mask in enumerate(self.masks):
            self.velocities[number] = np.where(mask, self.momentum * self.velocities[number] + of_weights[number], 0)
            self.bias_velocities[number] = self.momentum * self.bias_velocities[number] + of_biases[number]
            self.weights[number] = self.weights[number] - self.rate * self.velocities[number]
            self.biases[number] = self.biases[number] - self.rate * self.bias_velocities[number]

    def rigl(self, number: int, gradient: Matrix, fraction: float) -> None:
        """Change the mask of a layer: the weights are those before this step, whose gradient is dense."""
        mask, weight = self.masks[number].reshape(-1), self.weights[number].reshape(-1)
        n_ones = int(mask.sum())
        n_prune = int(fraction * n_ones)
        drop_score = np.where(mask, np.abs(weight), -1.0)
        survives = np.zeros(len(mask), bool)
        survives[np.argsort(-drop_score, kind="stable")[: n_ones - n_prune]] = True
        grow_score = np.abs(gradient).reshape(-1)
        grow_score = np.where(survives, grow_score.min() - 1, grow_score)
        grows = np.zeros(len(mask), bool)
        grows[np.argsort(-grow_score, kind="stable")[:n_prune]] = True
        is_new = grows & ~mask  # an edge that was dropped just now and comes back keeps weight and momentum
        stays = (survives | grows) & ~is_new
        shape = self.weights[number].shape
        self.masks[number] = (survives | grows).reshape(shape)
        self.weights[number] = np.where(stays, weight, 0).reshape(shape)
        self.velocities[number] = np.where(stays, self.velocities[number].reshape(-1), 0).reshape(shape)

    def set_drops(self, number: int, zeta: float) -> Mask:
        """Which entries SET drops, by sorting: the fraction zeta of each sign that is nearest to 0, and zeros."""
        active = self.weights[number][self.masks[number]]
        ordered = np.sort(active)
        nearest = np.flatnonzero(np.abs(ordered) == np.abs(ordered).min())
        first, end = int(nearest[0]), int(nearest[-1]) + 1
        low = ordered[int((1 - zeta) * first)]
        high = ordered[min(len(ordered) - 1, int(end + zeta * (len(ordered) - end)))]
        weight = self.weights[number]
        return self.masks[number] & ~((weight < low) | (weight > high))

    def granet(self, gradients: list[Matrix], density: float, fraction: float) -> None:
        """Keep the largest weights of all layers together, then let a fraction of every layer regenerate by the gradient."""
        sizes = np.concatenate([np.where(m, np.abs(w), -1.0).ravel() for m, w in zip(self.masks, self.weights, strict=True)])
        stays = np.zeros(len(sizes), bool)
        stays[np.argsort(-sizes, kind="stable")[: int(density * len(sizes))]] = True
        places = np.cumsum([mask.size for mask in self.masks])[:-1]
        for number, kept in enumerate(np.split(stays, places)):
            self.replace(
                number, self.masks[number] & ~kept.reshape(self.masks[number].shape), np.zeros_like(self.masks[number])
            )
        for number, gradient in enumerate(gradients):
            mask = self.masks[number]
            dies = self.smallest(number, np.abs(self.weights[number]), int(np.ceil(fraction * mask.sum())))
            free = np.where(mask & ~dies, -1.0, np.abs(gradient)).ravel()
            grows = np.zeros(mask.size, bool)
            grows[np.argsort(-free, kind="stable")[: int(dies.sum())]] = True
            grows = grows.reshape(mask.shape)
            self.replace(number, dies & ~grows, grows & ~mask)

    def smallest(self, number: int, score: Matrix, count: int) -> Mask:
        """Which entries have the lowest scores, so many; of equal ones those that come first."""
        order = np.argsort(np.where(self.masks[number], score, np.inf), axis=None, kind="stable")
        chosen = np.zeros(score.size, bool)
        chosen[order[:count]] = True
        return chosen.reshape(score.shape)

    def replace(self, number: int, dropped: Mask, grown: Mask) -> None:
        """Take entries out and put others in, at 0 and without momentum."""
        stays = self.masks[number] & ~dropped
        self.masks[number] = stays | grown
        self.weights[number] = np.where(stays, self.weights[number], 0)
        self.velocities[number] = np.where(stays, self.velocities[number], 0)


def of_model(layers: Any, rate: float, momentum: float) -> MaskedNetwork:
    """The network of some sparse layers, read by their public attributes."""
    weights, masks = [], []
    for layer in layers:
        weight, mask = np.zeros((layer.n_out, layer.n_in)), np.zeros((layer.n_out, layer.n_in), bool)
        weight[layer.dst.numpy(), layer.src.numpy()] = layer.weight.detach().numpy()
        mask[layer.dst.numpy(), layer.src.numpy()] = True
        weights.append(weight)
        masks.append(mask)
    return MaskedNetwork(weights, [layer.bias.detach().numpy().copy() for layer in layers], masks, rate, momentum)
