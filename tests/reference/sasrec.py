"""SASRec in NumPy: one position of one sequence at a time, in float64."""

from __future__ import annotations

import numpy as np


def logits(weights: dict[str, np.ndarray], sequence: np.ndarray, *, blocks: int) -> np.ndarray:
    """Of one sequence (length,): (length, n_items), with NaN at padding. `weights` by Keras's paths."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    positions = np.flatnonzero(sequence)
    x = weights["items/embeddings"][sequence[positions]] + weights["positions/embeddings"][positions]
    for i in range(1, blocks + 1):
        x = x + attention(weights, f"attention_{i}", norm(weights, f"attention_{i}_norm", x))
        inner = np.maximum(dense(weights, f"dense_{i}_inner", norm(weights, f"dense_{i}_norm", x)), 0)
        x = x + dense(weights, f"dense_{i}", inner)
    result = np.full((len(sequence), len(weights["items/embeddings"])), np.nan)
    result[positions] = norm(weights, "norm", x) @ weights["items/embeddings"].T
    return result


def attention(weights: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    query, key, value = (
        np.einsum("td,dhk->thk", x, weights[f"{name}/{part}/kernel"]) + weights[f"{name}/{part}/bias"]
        for part in ("query", "key", "value")
    )
    result = np.zeros(x.shape)
    for t in range(len(x)):
        for h in range(query.shape[1]):
            score = np.exp(key[: t + 1, h] @ query[t, h] / np.sqrt(query.shape[2]))
            mixed = score / score.sum() @ value[: t + 1, h]
            result[t] += mixed @ weights[f"{name}/attention_output/kernel"][h]
    return result + weights[f"{name}/attention_output/bias"]


def dense(weights: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def norm(weights: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-6)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def loss(
    weights: dict[str, np.ndarray], sequences: np.ndarray, targets: np.ndarray, known: np.ndarray, *, blocks: int
) -> float:
    """Cross-entropy of the next items, summed over known positions and divided by all, as Keras does."""
    total = 0.0
    for sequence, target, position in zip(sequences, targets, known, strict=True):
        score = logits(weights, sequence, blocks=blocks)[position > 0]
        total += (np.log(np.exp(score).sum(axis=1)) - score[np.arange(len(score)), target[position > 0]]).sum()
    return total / known.size
