"""Encoders that turn numbers into a few classes: quantile bins of one column, and clusters of points.

Like those of `kmodels.preprocessing.encoders` they are frozen values, fitted on the training rows alone, and
`save_encoders` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing._columns import list_of, numbers


@dataclass(frozen=True)
class QuantileBins:
    """Classes of a number by its quantiles; a value on an edge belongs to the lower class.

    Attributes:
        edges: The inner edges in ascending order, one fewer than there are classes, in the column's own unit.

    Example:
        >>> from kmodels.preprocessing.bins import QuantileBins
        >>> terciles = QuantileBins.fit([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 3)
        >>> terciles.edges, terciles.transform([0.0, 3.0, 3.5, 99.0]).tolist()
        ((3.0, 5.0), [0, 0, 1, 2])
    """

    edges: tuple[float, ...]

    @classmethod
    def fit(cls, values: npt.ArrayLike, bins: int) -> Self:
        """Learns the edges: the quantiles 1/bins, 2/bins …, interpolated linearly as NumPy does.

        Args:
            values: Finite numbers, shape (rows,).
            bins: Number of classes, 2 or more.

        Returns:
            The bins.

        Raises:
            ConfigurationError: If `bins` is less than 2.
            DataError: No values, one that is missing or infinite, or so many equal values that a class would
                be empty.
        """
        if bins < 2:
            raise ConfigurationError(f"bins must be 2 or more; received {bins}")
        column = _one_column(values)
        if not column.size:
            raise DataError("there are no numbers to learn from")
        fitted = cls(tuple(np.quantile(column, np.arange(1, bins) / bins).tolist()))
        counts = np.bincount(fitted.transform(column), minlength=bins)
        if not counts.all():
            raise DataError(
                "too many values are equal to cut them by quantiles",
                expected=f"{bins} classes with rows in each",
                received=f"rows per class {counts.tolist()}",
            )
        return fitted

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.edges) + 1

    def transform(self, values: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Maps numbers to classes.

        Args:
            values: Finite numbers, shape (rows,); those beyond the fitted range fall into the outer classes.

        Returns:
            Shape (rows,), int32 from 0 to `size` - 1.

        Raises:
            DataError: Not a column of numbers, or a value that is missing or infinite.
        """
        return np.searchsorted(self.edges, _one_column(values), side="left").astype(np.int32)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        edges = list_of(content, "edges", (int, float))
        if not edges or not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
            raise DataError("edges are not finite and ascending", column="edges")
        return cls(tuple(map(float, edges)))


@dataclass(frozen=True)
class Clusters:
    """Centres of clusters of points; a point belongs to the nearest one.

    Attributes:
        centres: One tuple of coordinates per cluster, in ascending order, so that the numbers of the clusters
            do not depend on how the search began.

    Example:
        >>> from kmodels.preprocessing.bins import Clusters
        >>> towns = Clusters.fit([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]], 2, seed=0)
        >>> towns.centres, towns.transform([[8.0, 9.0], [1.0, 0.0]]).tolist()
        (((0.0, 0.5), (9.0, 8.5)), [1, 0])
    """

    centres: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, points: npt.ArrayLike | pd.DataFrame, clusters: int, *, seed: int) -> Self:
        """Finds the centres by k-means (scikit-learn, the best of ten starts).

        Args:
            points: Finite numbers, shape (rows, coordinates), all in one unit: distances are Euclidean.
            clusters: Number of clusters, 1 or more.
            seed: Of the starts, 0 or more.

        Returns:
            The clusters.

        Raises:
            ConfigurationError: If `clusters` is less than 1.
            DataError: Not a table of numbers, a value that is missing or infinite, or fewer distinct points
                than clusters.
        """
        if clusters < 1:
            raise ConfigurationError(f"clusters must be 1 or more; received {clusters}")
        table = numbers(points)
        distinct = len(np.unique(table, axis=0))
        if distinct < clusters:
            raise DataError(
                "there are fewer distinct points than clusters", expected=f"{clusters} or more", received=distinct
            )
        found = KMeans(clusters, n_init=10, random_state=seed).fit(table)
        return cls(tuple(sorted(map(tuple, found.cluster_centers_.tolist()))))

    @property
    def size(self) -> int:
        """Number of clusters."""
        return len(self.centres)

    def transform(self, points: npt.ArrayLike | pd.DataFrame) -> npt.NDArray[np.int32]:
        """Maps points to the nearest centre, to the first of those equally near.

        Args:
            points: Finite numbers, shape (rows, coordinates), as fitted.

        Returns:
            Shape (rows,), int32 from 0 to `size` - 1.

        Raises:
            DataError: Another number of coordinates, not a table of numbers, or a value that is missing or
                infinite.
        """
        table, centres = numbers(points), np.array(self.centres)
        if table.shape[1] != centres.shape[1]:
            raise DataError("columns differ in number", expected=str(centres.shape[1]), received=table.shape[1])
        squares = ((table[:, None, :] - centres) ** 2).sum(axis=-1)
        return squares.argmin(axis=1).astype(np.int32)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        rows = [list_of({"centres": row}, "centres", (int, float)) for row in list_of(content, "centres", (list,))]
        if not rows or not rows[0] or len({len(row) for row in rows}) > 1 or not np.isfinite(rows).all():
            raise DataError("centres are not equally long lists of finite numbers", column="centres")
        return cls(tuple(tuple(map(float, row)) for row in rows))


def _one_column(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    if np.ndim(values) != 1:
        raise DataError("values are not a column", expected="shape (rows,)", received=f"shape {np.shape(values)}")
    # A table of one column, named as the column is, for the messages.
    name = str(getattr(values, "name", None) or "values")
    return numbers(pd.DataFrame({name: np.asarray(values)}))[:, 0]
