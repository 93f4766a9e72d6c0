"""The networks for tables in NumPy: predictions of the members, their loss, and its gradients by complex steps."""

import numpy as np

STEP = 1e-30


def relu(x):
    return np.where(x.real > 0, x, 0)


def member_outputs(weights, inputs, *, edges, frequencies, members, hidden, linear, categories, **_):
    """(rows, members, units); without members (rows, units)."""
    x = inputs["numbers"].astype(np.float64)
    positions = None
    if edges is not None:
        bins = max(len(each) - 1 for each in edges)
        positions = np.zeros((*x.shape, bins))
        ranks = np.zeros(x.shape)
        for j, each in enumerate(edges):
            each = np.asarray(each, np.float64)
            for t in range(len(each) - 1):
                positions[:, j, t] = np.clip((x[:, j] - each[t]) / (each[t + 1] - each[t]), 0, 1)
            ranks[:, j] = 1.7 * (2 * positions[:, j].sum(axis=1) / (len(each) - 1) - 1)
        x = ranks
    parts = [x[..., None]] + ([] if positions is None else [positions])
    if frequencies:
        angles = x[..., None] * weights["angles/kernel"]
        parts += [np.sin(angles), np.cos(angles)]
    vectors = np.einsum("bnp,npd->bnd", np.concatenate(parts, axis=-1), weights["number_vectors/kernel"])
    joined = [relu(vectors + weights["number_vectors/bias"]).reshape(len(x), -1)]
    first, rows = 0, []
    for name, size in categories.items():
        rows.append(inputs[name] + first)
        first += size
    joined += [weights["category_vectors/embeddings"][each] for each in rows]
    joined.append(inputs["tags"] @ weights["vector_tags/kernel"] + weights["vector_tags/bias"])
    h = np.concatenate(joined, axis=1)
    if members > 1:
        h = h[:, None, :] * weights["member_inputs/kernel"]
    for i, width in enumerate(hidden, start=1):
        out = relu(h @ weights[f"hidden_{i}/kernel"] + weights[f"hidden_{i}/bias"])
        h = h + out if h.shape[-1] == width else out
    head = "deep" if linear else ("members" if members > 1 else "prediction")
    kernel, bias = weights[f"{head}/kernel"], weights[f"{head}/bias"]
    y = (np.einsum("bkd,kdu->bku", h, kernel) if members > 1 else h @ kernel) + bias
    if not linear:
        return y
    wide = inputs["tags"] @ weights["linear_tags/kernel"]
    wide = wide + weights["linear_tags/bias"] if "linear_tags/bias" in weights else wide
    wide = wide + sum(weights["linear_categories/embeddings"][each] for each in rows)
    if positions is None:
        wide = wide + inputs["numbers"] @ weights["linear_numeric/kernel"] + weights["linear_numeric/bias"]
    else:
        wide = wide + positions.reshape(len(x), -1) @ weights["linear_positions/kernel"]
    return y + (wide[:, None, :] if members > 1 else wide)


def log_softmax(y):
    shifted = y - y.real.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def loss(weights, inputs, target, *, classes, **structure):
    """The mean of the members' losses: cross-entropy, or squared error."""
    y = member_outputs(weights, inputs, **structure)
    y = y if y.ndim == 3 else y[:, None, :]
    if classes:
        return -log_softmax(y)[np.arange(len(y)), :, target].mean()
    return ((y[..., 0] - target[:, None]) ** 2).mean()


def pooled(weights, inputs, *, classes, **structure):
    """What the model predicts: the logarithm of the members' mean probabilities, or their mean."""
    y = member_outputs(weights, inputs, **structure)
    if y.ndim == 2:
        return y
    return np.log(np.exp(log_softmax(y)).mean(axis=1)) if classes else y.mean(axis=1)


def gradients(weights, inputs, target, **structure):
    """Name of a weight -> derivative of the loss, exact to rounding."""
    found = {}
    for name, value in weights.items():
        found[name] = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[place] += 1j * STEP
            found[name][place] = loss({**weights, name: moved}, inputs, target, **structure).imag / STEP
    return found
