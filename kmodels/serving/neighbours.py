"""The users (or items) most like another, by the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.preprocessing import normalize

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import Vocabulary

Table = npt.NDArray[np.floating]
# Rows that are compared at a time, pairs, and queries: what is held apart from the table is some 100 MB.
_MOST_ROWS, _SCORES, _QUERIES = 32_768, 1_048_576, 1024


def embedding_table(model: Any, layer: str) -> npt.NDArray[np.float32]:
    """Takes the vectors of all ids out of a fitted model.

    Args:
        model: A Keras model.
        layer: Name of an embedding layer, such as `user_embedding`, or `user_id_embedding` of `embedding_regressor`.

    Returns:
        float32 (rows, dim); row i belongs to id i of the vocabulary, row 0 to unknown ids.

    Raises:
        ConfigurationError: If the model has no such embedding layer; names those that it has.

    Example:
        >>> from kmodels.models import neumf
        >>> embedding_table(neumf(5, 4, dim=3), "user_embedding").shape
        (5, 3)
    """
    found = {each.name: each for each in model.layers if type(each).__name__ == "Embedding"}
    if layer not in found:
        raise ConfigurationError(f"the model's embedding layers are {', '.join(found)}. Received: layer={layer!r}")
    return np.asarray(found[layer].get_weights()[0], np.float32)


def similar(table: Table, vocabulary: Vocabulary, values: Iterable[Any], n: int = 10) -> pd.DataFrame:
    """Finds the n users (or items) whose vectors point in the direction most like that of some users.

    Exact: every row is looked at, in blocks, so that apart from the table only some 100 MB are held, however long it
    is. A vector of zeros is like no other: its cosine is 0.

    Args:
        table: (rows, dim), what `embedding_table` gives; row 0 is of unknown ids and is never found.
        vocabulary: The ids' encoder, as saved in the run folder's `encoders.json`.
        values: The queried users, as the data names them.
        n: How many to find for each, 1 or more. Default 10.

    Returns:
        n rows for each queried user, in their order: `value` (the queried user), `rank` (1 is the most similar),
        `neighbour` (the user found) and `similarity` (cosine, -1 to 1). Of equal similarities (to 12 decimals) the
        smaller id comes first; a user is no neighbour of their own.

    Raises:
        ConfigurationError: If n is below 1 or there are not n others.
        DataError: If the table is not finite or not the vocabulary's, or a user is unknown.

    Example:
        >>> table = np.array([[0, 0], [1, 0], [0, 1], [2, 1], [1, 0]], "float32")
        >>> similar(table, Vocabulary.fit([101, 102, 103, 104]), [102], n=2)
           value  rank  neighbour  similarity
        0    102     1        103    0.447214
        1    102     2        101    0.000000
    """
    values = list(values)
    ids = vocabulary.transform(values)
    if (unknown := np.flatnonzero(ids == 0)).size:
        raise DataError(
            "an id did not occur in training, so it has no vector of its own",
            row=int(unknown[0]) + 1,
            received=values[unknown[0]],
        )
    others = len(vocabulary.values) - 1
    if not 1 <= n <= others:
        raise ConfigurationError(f"n must be from 1 to {others}, the number of others there are. Received: n={n}")
    if table.ndim != 2 or len(table) != vocabulary.size or not table.shape[1] or table.dtype.kind not in "fiu":
        expected, received = f"numbers of shape ({vocabulary.size}, dim)", f"{table.dtype} {table.shape}"
        raise DataError("the table is not of this vocabulary", expected=expected, received=received)
    found = [search(table, ids[at : at + _QUERIES], n) for at in range(0, max(len(ids), 1), _QUERIES)]
    rows, similarity = (np.concatenate(part) for part in zip(*found, strict=True))
    content = {
        "value": np.repeat(np.array(values, dtype=object), n),
        "rank": np.tile(np.arange(1, n + 1), len(values)),
        "neighbour": vocabulary.inverse(rows.ravel()),
        "similarity": similarity.ravel(),
    }
    return pd.DataFrame(content).infer_objects()


def side_by_side(found: pd.DataFrame) -> pd.DataFrame:
    """Lays out what `similar` found for readers.

    Args:
        found: The table of `similar`.

    Returns:
        A column of texts for each queried value, rows by rank, similarities in brackets.

    Example:
        >>> found = pd.DataFrame({"value": [102], "rank": [1], "neighbour": [103], "similarity": [0.447]})
        >>> side_by_side(found).to_dict("list")
        {'102': ['103 (0.45)']}
    """
    cells = found["neighbour"].astype(str) + found["similarity"].map(" ({:.2f})".format)
    table = found.assign(cell=cells).pivot(index="rank", columns="value", values="cell")
    return table.rename(columns=str).rename_axis(columns=None)


def search(table: Table, ids: npt.NDArray[np.integer], n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Finds the n rows of a table most like each of some of its rows, and their cosines, both (ids, n)."""
    directions = normalize(table[ids].astype(np.float64)) if len(ids) else np.empty((0, table.shape[1]))
    rows, best = np.zeros((len(ids), n), np.int64), np.full((len(ids), n), -np.inf)
    step = max(1, min(_MOST_ROWS, _SCORES // max(len(ids), 1)))
    for start in range(0, len(table), step):
        block = table[start : start + step].astype(np.float64)
        if not (finite := np.isfinite(block).all(axis=1)).all():
            raise DataError("a vector is not finite", row=start + int(np.argmin(finite)) + 1)
        # Equal to 12 decimals is equal: parallel vectors of other lengths differ in the 16th.
        scores = (directions @ normalize(block, copy=False).T).round(12)
        scores[:, : start == 0] = -np.inf
        mine = np.flatnonzero((ids >= start) & (ids < start + len(block)))
        scores[mine, ids[mine] - start] = -np.inf
        better = np.flatnonzero((scores > best[:, -1:]).any(axis=0))
        scores = np.concatenate([best, scores[:, better]], axis=1)
        # The sort is stable and rows ascend, so of equals the smaller one comes first.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        candidates = np.concatenate([rows, np.broadcast_to(start + better, (len(ids), len(better)))], axis=1)
        rows, best = np.take_along_axis(candidates, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return rows, best
