"""Neural matrix factorisation from scratch, on the network of `scratch_network`.

Each user has a vector p and a bias, each item a vector q and a bias: rows of tables that are learnt like any weights.

    rating = c + b_user + b_item + h · (p ⊙ q) + g · MLP(p, q, p ⊙ q)

Looking a row up in a table is a layer too: the product of a row of zeros with a single one, and the table. Its gradient
follows from that: each row of the table gets the sum of what flows back at the positions where it was looked up, and
all other rows get 0. This is the arithmetic of `models.matrix_factorization`, which the tests hold to it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kmodels.errors import ConfigurationError, TrainingError
from kmodels.models import scratch_network as network
from kmodels.models.scratch_network import Floats, Layer

Ints = npt.NDArray[np.integer]


class Factors(NamedTuple):
    """All that is learnt; a gradient has the same fields."""

    user_vectors: Floats  # (n_users, dim), the rows p
    item_vectors: Floats  # (n_items, dim), the rows q
    user_bias: Floats  # (n_users, 1)
    item_bias: Floats  # (n_items, 1)
    mlp: list[Layer]  # on (p, q, p ⊙ q), 3 · dim inputs; empty for none
    output: Layer  # linear, (dim + the MLP's last width, 1): its weights are h above g, its bias is c


def initialize(
    n_users: int,
    n_items: int,
    *,
    dim: int = 8,
    hidden: Sequence[int] = (16,),
    activation: str = "relu",
    stddev: float = 0.1,
    mean: float = 0.0,
    seed: int = 0,
) -> Factors:
    """Makes new factors: small random vectors, biases of 0, and the mean rating as the constant."""
    if min(n_users, n_items, dim) < 1:
        raise ConfigurationError(f"sizes must be at least 1. Received: n_users={n_users}, n_items={n_items}, dim={dim}")
    rng = np.random.default_rng(seed)
    mlp = network.initialize([3 * dim, *hidden], [activation] * len(hidden), seed=seed) if hidden else []
    weights = network.xavier(rng, dim + (hidden[-1] if hidden else 0), 1)
    weights[:dim] = 1.0  # h: a plain product at first, which is what the vectors have to learn
    return Factors(
        user_vectors=rng.normal(0, stddev, (n_users, dim)),
        item_vectors=rng.normal(0, stddev, (n_items, dim)),
        user_bias=np.zeros((n_users, 1)),
        item_bias=np.zeros((n_items, 1)),
        mlp=mlp,
        output=Layer(weights, np.array([mean]), "linear"),
    )


def predict(factors: Factors, user: Ints, item: Ints) -> Floats:
    """Predicts ratings."""
    return _forward(factors, user, item)[0][:, 0]


def _forward(factors: Factors, user: Ints, item: Ints) -> tuple[Floats, list[Floats], list[Floats]]:
    """The ratings (rows, 1), and what the MLP's layers and the last layer gave."""
    p, q = factors.user_vectors[user], factors.item_vectors[item]
    in_mlp = network.forward(factors.mlp, np.concatenate([p, q, p * q], axis=1))
    last = np.concatenate([p * q, in_mlp[-1]], axis=1) if factors.mlp else p * q
    in_output = network.forward([factors.output], last)
    return in_output[-1] + factors.user_bias[user] + factors.item_bias[item], in_mlp, in_output


def loss_and_gradient(
    factors: Factors,
    user: Ints,
    item: Ints,
    rating: Floats,
    *,
    l2: float = 0.0,
    bias_l2: float = 0.0,
    kernel_l2: float = 0.0,
) -> tuple[float, Factors]:
    """Computes the mean squared error plus penalties, and its gradient by everything that is learnt.

    The penalties, l2 · Σ w² over a table, keep those who rated little near nought: each rating pulls their row with
    the same force as any other's, and the penalty pulls back. The gradient of l2 · w² is 2 · l2 · w.
    """
    predicted, in_mlp, in_output = _forward(factors, user, item)
    error, by_rating = network.mean_squared_error(predicted, np.asarray(rating, np.float64)[:, None])

    # Backwards: the rating is a sum, so each of its terms gets all of dE/drating.
    (by_output,), by_last = network.backward([factors.output], in_output, by_rating)
    p, q = factors.user_vectors[user], factors.item_vectors[item]
    dim = p.shape[1]
    by_mlp: list[Layer] = []
    by_p, by_q, by_product = np.zeros_like(p), np.zeros_like(q), by_last[:, :dim]
    if factors.mlp:
        by_mlp, by_joined = network.backward(factors.mlp, in_mlp, by_last[:, dim:])
        by_p, by_q = by_joined[:, :dim], by_joined[:, dim : 2 * dim]
        by_product = by_product + by_joined[:, 2 * dim :]
    # The product rule: p ⊙ q changes with p as q says, and with q as p says.
    by_p, by_q = by_p + by_product * q, by_q + by_product * p

    penalty = bias_l2 * (np.sum(factors.user_bias**2) + np.sum(factors.item_bias**2))
    penalty += l2 * (np.sum(factors.user_vectors**2) + np.sum(factors.item_vectors**2))
    penalty += kernel_l2 * sum(np.sum(layer.weights**2) for layer in factors.mlp)
    gradient = Factors(
        user_vectors=_rows(user, by_p, factors.user_vectors) + 2 * l2 * factors.user_vectors,
        item_vectors=_rows(item, by_q, factors.item_vectors) + 2 * l2 * factors.item_vectors,
        user_bias=_rows(user, by_rating, factors.user_bias) + 2 * bias_l2 * factors.user_bias,
        item_bias=_rows(item, by_rating, factors.item_bias) + 2 * bias_l2 * factors.item_bias,
        mlp=[
            slope._replace(weights=slope.weights + 2 * kernel_l2 * layer.weights)
            for layer, slope in zip(factors.mlp, by_mlp, strict=True)
        ],
        output=by_output,
    )
    return error + float(penalty), gradient


def _rows(ids: Ints, by_rows: Floats, table: Floats) -> Floats:
    """The gradient of a table: the sum of what comes back at each position where a row was looked up."""
    result = np.zeros_like(table)
    np.add.at(result, ids, by_rows)
    return result


def descend(factors: Factors, gradient: Factors, learning_rate: float, table_rate: float) -> Factors:
    """Takes one step downhill."""
    tables = {
        name: getattr(factors, name) - table_rate * getattr(gradient, name)
        for name in ("user_vectors", "item_vectors", "user_bias", "item_bias")
    }
    mlp = network.descend(factors.mlp, gradient.mlp, learning_rate)
    (output,) = network.descend([factors.output], [gradient.output], learning_rate)
    return Factors(**tables, mlp=mlp, output=output)


def fit(
    factors: Factors,
    user: Ints,
    item: Ints,
    rating: Floats,
    *,
    epochs: int,
    learning_rate: float = 0.05,
    table_rate: float = 10.0,
    batch_size: int = 256,
    l2: float = 0.0,
    bias_l2: float = 0.0,
    kernel_l2: float = 0.0,
    seed: int = 0,
    validation: tuple[Ints, Ints, Floats] | None = None,
) -> tuple[Factors, list[dict[str, float]]]:
    """Trains by stochastic gradient descent; both rates fall in a line to 0, so that the last steps settle.

    The history has of each epoch: `epoch`, `loss` (mean of the steps' losses), `rmse` of the ratings and, with
    validation, `val_rmse`, both after the epoch, and `seconds`.
    """
    rng, history = np.random.default_rng(seed), []
    watched = {"rmse": (user, item, rating)} | ({"val_rmse": validation} if validation else {})
    steps = -(-len(rating) // batch_size)
    for epoch in range(epochs):
        start, order, losses = time.perf_counter(), rng.permutation(len(rating)), []
        for step in range(steps):
            rows = order[step * batch_size : (step + 1) * batch_size]
            with np.errstate(over="ignore", invalid="ignore"):  # a loss that is no number is an error below
                loss, gradient = loss_and_gradient(
                    factors, user[rows], item[rows], rating[rows], l2=l2, bias_l2=bias_l2, kernel_l2=kernel_l2
                )
            if not np.isfinite(loss):
                raise TrainingError(
                    f"epoch {epoch + 1}: the loss is not a finite number, lower rates may help. "
                    f"Received: learning_rate={learning_rate}, table_rate={table_rate}"
                )
            left = 1 - (epoch * steps + step) / (epochs * steps)
            factors = descend(factors, gradient, learning_rate * left, table_rate * left)
            losses.append(loss)
        with np.errstate(over="ignore", invalid="ignore"):
            errors = {name: _rmse(predict(factors, *rows[:2]), rows[2]) for name, rows in watched.items()}
        history.append(
            {"epoch": epoch + 1, "loss": float(np.mean(losses)), **errors, "seconds": time.perf_counter() - start}
        )
    return factors, history


def count_params(factors: Factors) -> int:
    """Counts the learnt numbers: vectors, biases and the layers' weights."""
    tables = (factors.user_vectors, factors.item_vectors, factors.user_bias, factors.item_bias)
    layers = [*factors.mlp, factors.output]
    return sum(table.size for table in tables) + sum(layer.weights.size + layer.bias.size for layer in layers)


def _rmse(predicted: Floats, true: Floats) -> float:
    return float(np.sqrt(np.mean((predicted - np.asarray(true, np.float64)) ** 2)))
