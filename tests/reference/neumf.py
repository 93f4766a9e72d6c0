"""NeuMF forwards and backwards in NumPy, by hand.

The weights are named "layer/weight" as in `models.neumf`, and a layer takes part if its weights are there: a table
`user_bias` means biases, `mlp_1_bn` batch normalisation. Everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.reference.histories import dense

Arrays = Mapping[str, np.ndarray]
Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Side:
    """How one side of the model, users or items, uses its features.

    Attributes:
        numeric: Names of the numeric features, which share one kernel, in order.
        apart: Whether the projection joins the MLP beside the vector instead of being added into it.
    """

    numeric: Sequence[str] = ()
    apart: bool = False


def loss_and_gradients(
    weights: Arrays,
    inputs: Arrays,
    target: np.ndarray,
    *,
    user: Side,
    item: Side,
    context: Sequence[str] = (),
    product: bool = False,
    l2: float = 0.0,
    epsilon: float = 1e-5,
) -> tuple[np.ndarray, float, Gradients]:
    """Computes the training loss of one batch without dropout, and its gradient by each weight.

    The loss is the mean squared error plus l2 · Σ w² over all tables and kernels.

    Args:
        weights: "layer/weight" -> array.
        inputs: Name of the input -> array, as the Keras model takes them; ids int (batch,), the rest (batch, n).
        target: (batch,).
        user: How the user's features are used.
        item: How the item's features are used.
        context: Names of the numeric context features, in order. Default ().
        product: Whether p · q and p ⊙ q take part. Default False.
        l2: Factor of the penalty. Default 0.
        epsilon: Added to the variance in batch normalisation. Default 1e-5.

    Returns:
        The predictions (batch,), the loss, and "layer/weight" -> gradient.

    Example:
        >>> weights = {"user_embedding/embeddings": np.ones((2, 1)), "item_embedding/embeddings": np.ones((2, 1)),
        ...            "output/kernel": np.array([[1.0], [2.0]]), "output/bias": np.zeros(1)}
        >>> ids = {"user_id": np.array([1, 1]), "item_id": np.array([0, 1])}
        >>> target = np.array([3.0, 2.0])
        >>> predicted, loss, gradients = loss_and_gradients(weights, ids, target, user=Side(), item=Side())
        >>> predicted.tolist(), loss, gradients["output/bias"].tolist()
        ([3.0, 3.0], 0.5, [1.0])
    """
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    x = {
        name: np.asarray(value, np.int64 if np.asarray(value).dtype.kind in "iu" else np.float64)
        for name, value in inputs.items()
    }

    # Forwards.
    p, user_side = _vector("user", user, w, x)
    q, item_side = _vector("item", item, w, x)
    joined = [p, q, *([user_side] if user.apart else []), *([item_side] if item.apart else [])]
    joined += [p * q] if product else []
    hidden, tape = _mlp(np.concatenate(joined, axis=1), w, epsilon)
    predicted = (hidden @ w["output/kernel"] + w["output/bias"])[:, 0]
    if product:
        predicted = predicted + (p * q).sum(axis=1)
    for prefix in ("user", "item"):
        if f"{prefix}_bias/embeddings" in w:
            predicted = predicted + w[f"{prefix}_bias/embeddings"][x[f"{prefix}_id"], 0]
    predicted = predicted + _projection("user_context", context, w, x)[:, 0]
    penalised = [name for name in w if name.endswith(("/kernel", "/embeddings"))]
    loss = float(np.mean((predicted - target) ** 2) + l2 * sum((w[name] ** 2).sum() for name in penalised))

    # Backwards.
    gradients: Gradients = {}
    by_output = (2 * (predicted - target) / len(target))[:, None]
    gradients["output/kernel"], gradients["output/bias"] = hidden.T @ by_output, by_output.sum(axis=0)
    by_joined = _mlp_backwards(by_output @ w["output/kernel"].T, tape, w, gradients)
    pieces = np.split(by_joined, np.cumsum([part.shape[1] for part in joined])[:-1], axis=1)
    by_p, by_q = pieces[0], pieces[1]
    if product:
        by_product = pieces[-1] + by_output
        by_p, by_q = by_p + by_product * q, by_q + by_product * p
    by_user_side = pieces[2] if user.apart else by_p
    by_item_side = pieces[2 + user.apart] if item.apart else by_q
    for prefix, by_vector in (("user", by_p), ("item", by_q)):
        _add_rows(gradients, w, f"{prefix}_embedding", x[f"{prefix}_id"], by_vector)
        _add_rows(gradients, w, f"{prefix}_bias", x[f"{prefix}_id"], by_output)
    for name, numeric, by_projection in (
        ("user_side", user.numeric, by_user_side),
        ("item_side", item.numeric, by_item_side),
        ("user_context", context, by_output),
    ):
        for layer, value in _layers(name, numeric, w, x):
            if f"{layer}/kernel" in w:
                gradients[f"{layer}/kernel"] = value.T @ by_projection
                if f"{layer}/bias" in w:
                    gradients[f"{layer}/bias"] = by_projection.sum(axis=0)
            elif value.ndim == 2:
                halves = np.split(value.T @ by_projection, 2)
                gradients[f"{layer}/embeddings"] = np.concatenate(halves, axis=1)
            else:
                _add_rows(gradients, w, layer, value, by_projection)
    for name in penalised:
        gradients[name] = gradients[name] + 2 * l2 * w[name]
    return predicted, loss, gradients


def _layers(name: str, numeric: Sequence[str], w: Gradients, x: Arrays) -> list[tuple[str, np.ndarray]]:
    """The layers of a projection of features, each with what goes into it."""
    layers = []
    for layer in dict.fromkeys(weight.split("/")[0] for weight in w if weight.startswith(f"{name}_")):
        feature = layer.removeprefix(f"{name}_")
        value = np.concatenate([x[one] for one in numeric], axis=1) if feature == "numeric" else x[feature]
        if f"{feature}_of" in x:
            value = dense(x, feature, len(w[f"{layer}/embeddings"]))
        layers.append((layer, value))
    return layers


def _projection(name: str, numeric: Sequence[str], w: Gradients, x: Arrays) -> np.ndarray:
    projected = np.zeros((1, 1))
    for layer, value in _layers(name, numeric, w, x):
        if f"{layer}/kernel" in w:
            projected = projected + value @ w[f"{layer}/kernel"] + w.get(f"{layer}/bias", 0.0)
        elif value.ndim == 2:
            # Of a history: a row of the table has the vector for a member's value, then the one for its presence.
            projected = projected + value @ np.concatenate(np.split(w[f"{layer}/embeddings"], 2, axis=1))
        else:
            projected = projected + w[f"{layer}/embeddings"][value]
    return projected


def _vector(prefix: str, side: Side, w: Gradients, x: Arrays) -> tuple[np.ndarray, np.ndarray]:
    vector = w[f"{prefix}_embedding/embeddings"][x[f"{prefix}_id"]]
    projected = _projection(f"{prefix}_side", side.numeric, w, x)
    return (vector, projected) if side.apart else (vector + projected, projected)


def _mlp(h: np.ndarray, w: Gradients, epsilon: float) -> tuple[np.ndarray, list[tuple]]:
    tape = []
    for i in range(1, 1 + sum(name.startswith("mlp_") and name.endswith("/kernel") for name in w)):
        z = h @ w[f"mlp_{i}/kernel"] + w[f"mlp_{i}/bias"]
        inverse, normal = np.ones(z.shape[1]), z
        if f"mlp_{i}_bn/gamma" in w:
            inverse = 1 / np.sqrt(z.var(axis=0) + epsilon)
            normal = (z - z.mean(axis=0)) * inverse
            z = normal * w[f"mlp_{i}_bn/gamma"] + w[f"mlp_{i}_bn/beta"]
        tape.append((h, normal, inverse, z > 0))
        h = np.maximum(z, 0)
    return h, tape


def _mlp_backwards(by_h: np.ndarray, tape: list, w: Gradients, gradients: Gradients) -> np.ndarray:
    for i in range(len(tape), 0, -1):
        h, normal, inverse, active = tape[i - 1]
        by_z = by_h * active
        if f"mlp_{i}_bn/gamma" in w:
            gradients[f"mlp_{i}_bn/gamma"] = (by_z * normal).sum(axis=0)
            gradients[f"mlp_{i}_bn/beta"] = by_z.sum(axis=0)
            by_normal = by_z * w[f"mlp_{i}_bn/gamma"]
            # The batch's own mean and variance depend on every row.
            by_z = inverse * (by_normal - by_normal.mean(axis=0) - normal * (by_normal * normal).mean(axis=0))
        gradients[f"mlp_{i}/kernel"], gradients[f"mlp_{i}/bias"] = h.T @ by_z, by_z.sum(axis=0)
        by_h = by_z @ w[f"mlp_{i}/kernel"].T
    return by_h


def _add_rows(gradients: Gradients, w: Gradients, layer: str, ids: np.ndarray, by_rows: np.ndarray) -> None:
    """The gradient of a table: what its rows get from each place where the batch looked them up."""
    if f"{layer}/embeddings" in w:
        gradients[f"{layer}/embeddings"] = np.zeros_like(w[f"{layer}/embeddings"])
        np.add.at(gradients[f"{layer}/embeddings"], ids, by_rows)
