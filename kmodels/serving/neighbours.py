"""The users (or items) most like another, by the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import Vocabulary

Table = npt.NDArray[np.floating]
# What is held apart from the table: one block of scores, 4 M numbers, and the best so far. Few queries are set against
# more rows at a time, as many small matrix products are slower than few large ones.
_QUERIES, _SCORES, _MOST_ROWS = 1024, 4_194_304, 65_536
# Candidates are scored again in float64, so many at a time.
_PAIRS = 16_384


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
    if table.ndim != 2 or len(table) != vocabulary.size:
        expected = f"shape ({vocabulary.size}, dim)"
        raise DataError("the table is not of this vocabulary", expected=expected, received=table.shape)
    rows, similarity = search(table, table[ids], ids, n)
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


def search(
    table: Table, queries: Table, own: npt.NDArray[np.integer], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Finds the rows of a table most like some vectors, by rows alone."""
    # Cosines in float32 say which rows may be among the best; only these are computed again in float64, so that the
    # result depends neither on the blocks nor on the order in which a matrix product adds.
    # Not the table divided by its norms, which would be a second table.
    inverse = np.empty(len(table), np.float32)
    for start in range(0, len(table), _MOST_ROWS):
        block = table[start : start + _MOST_ROWS]
        squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        if not np.isfinite(squares).all():
            row = start + int(np.argmin(np.isfinite(squares)))
            raise DataError("a vector is not finite", row=row + 1)
        inverse[start : start + _MOST_ROWS] = _inverse(np.sqrt(squares))
    rows = np.empty((len(queries), n), np.int64)
    similarity = np.empty((len(queries), n))
    for start in range(0, len(queries), _QUERIES):
        some = slice(start, start + _QUERIES)
        rows[some], similarity[some] = _search_some(table, inverse, queries[some], own[some], n)
    return rows, similarity


def _search_some(
    table: Table, inverse: npt.NDArray[np.float32], queries: Table, own: npt.NDArray[np.integer], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    directions = queries.astype(np.float64)
    directions *= _inverse(np.linalg.norm(directions, axis=1))[:, None]
    rough = directions.astype(np.float32)
    # Twice the worst error of a cosine computed in float32.
    margin = 2 * (table.shape[1] + 4) * float(np.finfo(np.float32).eps)
    rows = np.full((len(queries), n), -1, np.int64)
    best = np.full((len(queries), n), -np.inf)
    step = max(1, min(_MOST_ROWS, _SCORES // max(len(queries), 1)))
    for start in range(0, len(table), step):
        block = table[start : start + step]
        scores = rough @ block.astype(np.float32, copy=False).T
        scores *= inverse[start : start + len(block)]
        if start == 0:
            scores[:, 0] = -np.inf
        mine = np.flatnonzero((own >= start) & (own < start + len(block)) & (own > 0))
        scores[mine, own[mine] - start] = -np.inf
        bar = best[:, -1]
        if start == 0 and len(block) > n:
            # No bar yet: the n-th best of the first block is one.
            bar = np.partition(scores, len(block) - n, axis=1)[:, len(block) - n]
        query, column = np.nonzero(scores >= np.maximum(bar - margin, -2.0)[:, None])
        for first in range(0, len(query), _PAIRS):
            some = slice(first, first + _PAIRS)
            _merge(rows, best, table, directions, query[some], column[some] + start)
    return rows, best


def _merge(
    rows: npt.NDArray[np.int64],
    best: npt.NDArray[np.float64],
    table: Table,
    directions: npt.NDArray[np.float64],
    query: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
) -> None:
    """Puts candidates, pairs of a query (ascending) and a row of the table, among each query's best."""
    vectors = table[row].astype(np.float64)
    cosine = (vectors * directions[query]).sum(axis=1) * _inverse(np.sqrt((vectors**2).sum(axis=1)))
    touched, n = np.unique(query), rows.shape[1]
    # Equal to 12 decimals is equal: parallel vectors of other lengths differ in the 16th.
    of_query = np.concatenate([np.repeat(touched, n), query])
    of_row = np.concatenate([rows[touched].ravel(), row])
    of_cosine = np.concatenate([best[touched].ravel(), cosine.round(12)])
    order = np.lexsort((of_row, -of_cosine, of_query))
    first = np.searchsorted(of_query[order], touched)
    chosen = order[first[:, None] + np.arange(n)]
    rows[touched], best[touched] = of_row[chosen], of_cosine[chosen]


def _inverse(norms: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """1 / norm, and 0 for a vector of zeros."""
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
