"""Weights between items in closed form: EASE, its denoising form EDLAE, and transitions to the next item, in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.linalg import lapack

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError

#: Items beyond which the tables of all pairs, 12 bytes a pair while they are solved, exceed 4.8 GB.
MOST_ITEMS = 20_000
_BLOCK = 1024  # columns of the Gram matrix made at a time


def solve_ease(
    histories: sparse.csr_array, l2: float, dropout: float = 0.0, item_features: sparse.csr_array | None = None
) -> npt.NDArray[np.float32]:
    """Weights B, float32 (n_items, n_items) with a diagonal of 0, so that a history x scores all items by x B.

    B minimises ‖X - X B‖² + l2 ‖B‖² (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019), with dropout p the mean
    of that over inputs X of which a share p is set to 0 and the others are divided by 1 - p (Steck, "Autoencoders that
    don't overfit towards the Identity", NeurIPS 2020). Each column of item_features, (n_items, k), is one more row of X
    without dropout: a user who has the items that share a feature (Jeunen, Van Balen & Goethals, "Closed-Form Models
    for Collaborative Filtering with Side-Information", RecSys 2020). Memory: 12 bytes a pair of items.
    """
    n_items = histories.shape[1]
    _check(n_items, l2)
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout must be at least 0 and below 1. Received: dropout={dropout}")
    table = sparse.csr_array(histories, dtype=np.float64)
    checks.finite(table.data, "histories")
    if item_features is not None:
        checks.finite(item_features.data, "item_features")

    rows = table if item_features is None else sparse.vstack([table, sparse.csr_array(item_features).T], format="csr")
    by_column, gram = rows.tocsc(), np.empty((n_items, n_items), order="F")
    for start in range(0, n_items, _BLOCK):
        some = slice(start, start + _BLOCK)
        gram[:, some] = (rows.T @ by_column[:, some]).toarray()
    diagonal = np.einsum("ii->i", gram)
    diagonal += dropout / (1 - dropout) * table.multiply(table).sum(axis=0) + l2

    # In place, and the upper triangle alone.
    gram, failed = lapack.dpotrf(gram, overwrite_a=True)
    if failed:
        raise ConfigurationError(f"l2 is too small for weights as large as these histories'. Received: l2={l2}")
    inverse, _ = lapack.dpotri(gram, overwrite_c=True)
    variance, weights = np.diagonal(inverse).astype(np.float32), inverse.astype(np.float32)
    del gram, inverse, diagonal
    weights = np.triu(weights, 1)
    weights = weights + weights.T
    weights /= -variance
    return weights


def solve_slit(
    sequences: sparse.csr_array, l2: float, half_life: float, backward: float = 0.0
) -> npt.NDArray[np.float32]:
    """Weights B, float32 (n_items, n_items), so that a history x scores all items as the next one by x B.

    The entries of a row of `sequences` are a user's items, oldest first. Each position t but the first makes an input
    s of the items before it, 0.5 ** (k / half_life) for the one that k others follow before t, and a target y, 1 for
    the item at t. B minimises Σ ‖y - s B‖² + l2 ‖B‖²; with `backward`, the positions of the sequences read from the end
    are further terms of that weight. Memory: 16 bytes a pair of items.
    """
    n_items = sequences.shape[1]
    _check(n_items, l2)
    if not half_life > 0:
        raise ConfigurationError(f"half_life must be above 0. Received: half_life={half_life}")
    if not 0 <= backward <= 1:
        raise ConfigurationError(f"backward must be from 0 to 1. Received: backward={backward}")
    # Operations of SciPy's on the table itself would sort the entries.
    owners = np.repeat(np.arange(sequences.shape[0]), np.diff(sequences.indptr))
    if len(np.unique(owners * n_items + sequences.indices)) < sequences.nnz:
        raise DataError("an item stands twice in a sequence")
    keep = 0.5 ** (1 / half_life)
    gram, targets = (np.zeros((n_items, n_items), order="F") for _ in range(2))
    for start, end in pairwise(sequences.indptr):
        items, position = sequences.indices[start:end], np.arange(end - start)
        pairs, later = np.ix_(items, items), position - position[:, None]
        before = np.minimum(position, position[:, None])
        after = before[::-1, ::-1]
        decay = keep ** np.abs(later)
        # Products of two items' inputs, summed over the positions after both: a geometric series; likewise before both.
        sums = 1 - keep ** (2 * after) + backward * (1 - keep ** (2 * before))
        gram[pairs] += decay * sums / (1 - keep**2)
        targets[pairs] += decay / keep * ((later > 0) + backward * (later < 0))
    np.einsum("ii->i", gram)[:] += l2
    return linalg.solve(gram, targets, assume_a="pos", overwrite_a=True, overwrite_b=True).astype(np.float32)


def _check(n_items: int, l2: float) -> None:
    if not l2 > 0:
        raise ConfigurationError(f"l2 must be above 0. Received: l2={l2}")
    if n_items > MOST_ITEMS:
        raise ConfigurationError(
            f"weights between all items need memory for each pair, so there may be {MOST_ITEMS:,} items at most. "
            f"Received: {n_items:,} items"
        )
