"""Edges of the bins that a number is cut into."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kmodels import checks


def quantile_edges(values: npt.ArrayLike, bins: int = 32) -> list[npt.NDArray[np.float64]]:
    """Finds edges between which a column has nearly equally many rows, for `models.tabular_regressor`.

    A value of more rows than a bin has, such as the 0 of an amount that most rows lack, counts as one bin, so that the
    others have edges as well. A column of few different values has an edge at each.

    Args:
        values: (rows, columns) finite numbers of the training rows, such as `TableEncoder.transform` gives them.
        bins: Most bins of a column. Default 32.

    Returns:
        For each column ascending edges, at most `bins` + 1; of a constant column one.

    Raises:
        DataError: If the shape is another, or a value is missing or infinite.

    Example:
        >>> [edges.tolist() for edges in quantile_edges([[0, 1], [0, 2], [0, 3], [0, 4], [8, 5]], bins=2)]
        [[0.0, 8.0], [1.0, 3.0, 5.0]]
    """
    array = checks.numbers(values, "values", dimensions=2)
    checks.same_length(values=array)
    return [_edges(column, bins) for column in array.T]


def _edges(column: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    distinct, counts = np.unique(column, return_counts=True)
    if len(distinct) <= bins + 1:
        return distinct
    passed = np.cumsum(np.minimum(counts, len(column) / bins))
    wanted = np.linspace(passed[0], passed[-1], bins + 1)
    return np.unique(distinct[np.searchsorted(passed, wanted, side="left").clip(max=len(distinct) - 1)])
