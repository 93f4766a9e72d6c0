"""Adam in NumPy, dense: an embedding row that a batch does not touch still moves by its momentum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def step(
    weights: Arrays,
    gradients: Arrays,
    state: tuple[int, dict[str, np.ndarray], dict[str, np.ndarray]] | None = None,
    *,
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[dict[str, np.ndarray], tuple[int, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Takes one step of Adam (Kingma & Ba, ICLR 2015), with epsilon where Keras has it.

    Args:
        weights: Name -> weight.
        gradients: Name -> gradient of the same shape; the repeats of an id are already summed.
        state: What the step before returned; None for the first. Default None.
        learning_rate: Default 0.001.
        beta_1: Decay of the mean gradient. Default 0.9.
        beta_2: Decay of the mean squared gradient. Default 0.999.
        epsilon: Added to the root of the mean squared gradient. Default 1e-7.

    Returns:
        The new weights, and the state for the next step: its number, the two means.

    Example:
        >>> weights, state = step({"w": np.array([1.0])}, {"w": np.array([4.0])}, learning_rate=0.1)
        >>> weights["w"].round(6).tolist()
        [0.9]
    """
    number, means, squares = state or (0, {}, {})
    number += 1
    new_means, new_squares, new_weights = {}, {}, {}
    rate = learning_rate * np.sqrt(1 - beta_2**number) / (1 - beta_1**number)
    for name, gradient in gradients.items():
        new_means[name] = beta_1 * means.get(name, 0.0) + (1 - beta_1) * gradient
        new_squares[name] = beta_2 * squares.get(name, 0.0) + (1 - beta_2) * gradient**2
        new_weights[name] = weights[name] - rate * new_means[name] / (np.sqrt(new_squares[name]) + epsilon)
    return new_weights, (number, new_means, new_squares)
