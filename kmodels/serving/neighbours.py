"""The users (or items) most like another, by the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.utils.extmath import row_norms

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import Vocabulary

Table: TypeAlias = npt.NDArray[np.floating] | sparse.csr_array
# Rows that are compared at a time, pairs, and queries: what is held apart from the table is some 100 MB.
_MOST_ROWS, _SCORES, _QUERIES = 65_536, 4_194_304, 1024
# Candidates whose cosines are computed in float64 at a time.
_PAIRS = 16_384
# Squares of shorter vectors, and of vectors longer than its inverse, leave float32.
_SHORT = 1e-15


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
        table: (rows, dim), what `embedding_table` gives, or sparse; row 0 is of unknown ids and is never found.
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
    if table.ndim != 2 or table.shape[0] != vocabulary.size or not table.shape[1] or table.dtype.kind not in "fiu":
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
    # Cosines in the table's own precision say which rows may be among the best; these alone are computed in float64, so
    # that the result depends neither on the blocks nor on the order in which a matrix product adds.
    directions = _unit(table[ids]) if len(ids) else np.empty((0, table.shape[1]))
    margin = 4 * (table.shape[1] + 4) * float(np.finfo(np.float32).eps)
    rows, best = np.zeros((len(ids), n), np.int64), np.full((len(ids), n), -np.inf)
    step = max(1, min(_MOST_ROWS, _SCORES // max(len(ids), 1)))
    for start in range(0, table.shape[0], step):
        block = table[start : start + step]
        scores = _cosines(block, directions, start)
        scores[:, : start == 0] = -np.inf
        mine = np.flatnonzero((ids >= start) & (ids < start + len(scores.T)))
        scores[mine, ids[mine] - start] = -np.inf
        bar = best[:, -1]
        if start == 0 and len(scores.T) > n:
            bar = np.partition(scores, -n, axis=1)[:, -n]
        # What is left out by name is below the lowest cosine.
        at = np.flatnonzero(scores >= np.maximum(bar - margin, -2)[:, None])
        for first in range(0, len(at), _PAIRS):
            query, column = np.divmod(at[first : first + _PAIRS], len(scores.T))
            cosine = (_unit(block[column]) * directions[query]).sum(axis=1)
            _merge(rows, best, query, start + column, cosine.round(12))
    return rows, best


def _cosines(block: Any, directions: npt.NDArray[np.float64], start: int) -> npt.NDArray[np.floating]:
    """Cosines of unit vectors with some rows of a table, (directions, rows), in the rows' precision where it does."""
    lengths = row_norms(block)
    if not ((lengths == 0) | ((lengths > _SHORT) & (lengths < 1 / _SHORT))).all():
        block = block.astype(np.float64)
        lengths = row_norms(block)
        if not (finite := np.isfinite(lengths)).all():
            raise DataError("a vector is not finite", row=start + int(np.argmin(finite)) + 1)
    scores = np.asarray(directions.astype(block.dtype) @ block.T)
    return scores * np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def _merge(
    rows: npt.NDArray[np.int64],
    best: npt.NDArray[np.float64],
    query: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    cosine: npt.NDArray[np.float64],
) -> None:
    """Puts rows, of queries in ascending order, among each query's best."""
    touched, n = np.unique(query), rows.shape[1]
    of_query = np.concatenate([np.repeat(touched, n), query])
    of_row = np.concatenate([rows[touched].ravel(), row])
    of_cosine = np.concatenate([best[touched].ravel(), cosine])
    order = np.lexsort((of_row, -of_cosine, of_query))
    chosen = order[np.searchsorted(of_query[order], touched)[:, None] + np.arange(n)]
    rows[touched], best[touched] = of_row[chosen], of_cosine[chosen]


def _unit(vectors: Any) -> npt.NDArray[np.float64]:
    """Vectors divided by their lengths; those of zeros stay."""
    dense = (vectors.toarray() if sparse.issparse(vectors) else vectors).astype(np.float64)
    lengths = row_norms(dense)[:, None]
    return np.divide(dense, lengths, out=dense, where=lengths > 0)
