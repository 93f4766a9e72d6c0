"""A neural network from scratch: what it computes, how it learns, and why, in NumPy alone.

Read it from top to bottom. A *layer* multiplies its inputs by weights, adds a bias and bends the result:

    z = x W + b        x: (rows, n_in), W: (n_in, n_out), b: (n_out,), z: (rows, n_out)
    a = f(z)           f: the activation, applied to each number

A *network* is a list of layers, each fed by the one before: without the bends it could be multiplied out into a single
layer. It *learns* by gradient descent: find how the error changes with each weight, and move each weight a little way
downhill. How the error changes with the weights of an early layer is found by the chain rule, walking the layers
backwards: backpropagation (Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323, 1986). All numbers are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kmodels.errors import ConfigurationError

Floats = npt.NDArray[np.float64]


class Layer(NamedTuple):
    """One layer; the gradient of a layer has the same fields."""

    weights: Floats  # (n_in, n_out)
    bias: Floats  # (n_out,)
    activation: str  # a name of `ACTIVATIONS`


class Activation(NamedTuple):
    """What makes a layer more than a linear function of its inputs."""

    apply: Callable[[Floats], Floats]  # z -> a
    slope: Callable[[Floats], Floats]  # a -> the slope of `apply` where it gave a: for all four, z need not be kept


# sigmoid(z) = 1 / (1 + exp(-z)), written with tanh, which does not overflow.
ACTIVATIONS = {
    "linear": Activation(lambda z: z, lambda a: np.ones_like(a)),
    "relu": Activation(lambda z: np.maximum(z, 0.0), lambda a: (a > 0).astype(np.float64)),
    "sigmoid": Activation(lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), lambda a: a * (1 - a)),
    "tanh": Activation(np.tanh, lambda a: 1 - a**2),
}


def xavier(rng: np.random.Generator, n_in: int, n_out: int) -> Floats:
    """Draws weights that neither blow up nor fade out the numbers, forwards or backwards, where f is about a line.

    A sum of n_in products has the variance n_in · Var(w) · Var(x): to keep it, Var(w) should be 1 / n_in; on the way
    back the sum runs over n_out. 2 / (n_in + n_out) lies between (Glorot and Bengio, AISTATS 2010).
    """
    limit = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-limit, limit, (n_in, n_out))


def he(rng: np.random.Generator, n_in: int, n_out: int) -> Floats:
    """Draws weights for ReLU, which sets half of the numbers to 0 and so needs twice the variance, 2 / n_in."""
    return rng.normal(0.0, np.sqrt(2 / n_in), (n_in, n_out))


def initialize(sizes: Sequence[int], activations: Sequence[str], *, seed: int = 0) -> list[Layer]:
    """Makes a network of any sizes, with random weights and biases of 0.

    Weights must differ from the start: units with equal weights get equal gradients and would stay equal for ever.
    """
    if len(sizes) != len(activations) + 1 or len(sizes) < 2 or min(sizes) < 1:
        raise ConfigurationError(
            "a network needs two sizes of at least 1, and one activation fewer than sizes. "
            f"Received: sizes={list(sizes)}, activations={list(activations)}"
        )
    if unknown := sorted(set(activations) - set(ACTIVATIONS)):
        raise ConfigurationError(f"activations are {', '.join(ACTIVATIONS)}. Received: {', '.join(unknown)}")
    rng = np.random.default_rng(seed)
    layers = []
    for n_in, n_out, activation in zip(sizes, sizes[1:], activations, strict=False):
        draw = he if activation == "relu" else xavier
        layers.append(Layer(draw(rng, n_in, n_out), np.zeros(n_out), activation))
    return layers


def forward(network: Sequence[Layer], x: Floats) -> list[Floats]:
    """Computes the network's output, and keeps what every layer gave: the way back needs it."""
    results = [x]
    for layer in network:
        z = results[-1] @ layer.weights + layer.bias
        results.append(ACTIVATIONS[layer.activation].apply(z))
    return results


def mean_squared_error(predicted: Floats, target: Floats) -> tuple[float, Floats]:
    """Computes the error that is made smaller, and how it changes with each prediction.

    With N numbers, E = Σ (predicted - target)² / N, so dE / dpredicted = 2 (predicted - target) / N.
    """
    difference = predicted - target
    return float(np.mean(difference**2)), 2 * difference / difference.size


def backward(network: Sequence[Layer], results: Sequence[Floats], by_output: Floats) -> tuple[list[Layer], Floats]:
    """Finds how the error changes with every weight, from how it changes with the output: backpropagation.

    For one layer, given dE/da, the change of the error with what the layer gave:

    - a = f(z) bends each number for itself:          dE/dz = dE/da · f'(z)
    - z = x W + b, where weight (i, j) carries x_i to z_j in every row, so the rows add up:
                                                      dE/dW = xᵀ dE/dz,   dE/db = Σ_rows dE/dz
    - x reaches the error through every z it feeds:   dE/dx = dE/dz Wᵀ

    and dE/dx is dE/da of the layer before. So one walk backwards, no dearer than two forwards, gives all of them.
    """
    gradients: list[Layer] = []
    by_a = by_output
    for layer, x, a in zip(reversed(network), reversed(results[:-1]), reversed(results[1:]), strict=True):
        by_z = by_a * ACTIVATIONS[layer.activation].slope(a)
        gradients.append(Layer(x.T @ by_z, by_z.sum(axis=0), layer.activation))
        by_a = by_z @ layer.weights.T
    return gradients[::-1], by_a


def descend(network: Sequence[Layer], gradients: Sequence[Layer], learning_rate: float) -> list[Layer]:
    """Takes one step downhill: each weight moves against its gradient."""
    return [
        Layer(layer.weights - learning_rate * slope.weights, layer.bias - learning_rate * slope.bias, layer.activation)
        for layer, slope in zip(network, gradients, strict=True)
    ]
