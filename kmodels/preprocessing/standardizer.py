"""Numbers to mean 0 and standard deviation 1, learnt from the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.preprocessing import StandardScaler

from kmodels.errors import DataError
from kmodels.preprocessing._columns import FloatArray, list_of, numbers


@dataclass(frozen=True)
class Standardizer:
    """Shifts and scales numeric columns to mean 0 and standard deviation 1 over the rows it was fitted on.

    Attributes:
        mean: Mean of each column, in the column's own unit.
        scale: Standard deviation (divisor n) of each column; 0 marks a constant column, which is encoded as 0
            always.

    Example:
        >>> from kmodels.preprocessing.standardizer import Standardizer
        >>> Standardizer.fit([[1.0, 7.0], [3.0, 7.0]]).transform([[5.0, 8.0]]).tolist()
        [[3.0, 0.0]]
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, x: npt.ArrayLike | pd.DataFrame) -> Self:
        """Learns mean and standard deviation of each column.

        Args:
            x: Finite numbers, shape (rows, columns).

        Returns:
            The standardizer.

        Raises:
            DataError: Not a table of numbers, no rows, or a value that is missing or infinite.
        """
        table = numbers(x)
        if not table.size:
            raise DataError("there are no numbers to learn from", received=f"shape {table.shape}")
        scaler = StandardScaler().fit(table)
        # scikit-learn divides a constant column by 1: another value would reach the model unscaled.
        scale = np.where(np.ptp(table, axis=0) == 0, 0.0, scaler.scale_)
        return cls(tuple(scaler.mean_.tolist()), tuple(scale.tolist()))

    def transform(self, x: npt.ArrayLike | pd.DataFrame) -> FloatArray:
        """Shifts and scales.

        Args:
            x: Finite numbers, shape (rows, columns), the columns in the order they were fitted.

        Returns:
            Same shape, float32, mostly from -3 to 3.

        Raises:
            DataError: Another number of columns, not a table of numbers, or a value that is missing or
                infinite.
        """
        table = numbers(x)
        if table.shape[1] != len(self.mean):
            raise DataError("columns differ in number", expected=str(len(self.mean)), received=table.shape[1])
        scale = np.array(self.scale)
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        return ((table - np.array(self.mean)) * factor).astype(np.float32)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        mean, scale = (list_of(content, name, (int, float)) for name in ("mean", "scale"))
        if not mean or len(mean) != len(scale) or not np.isfinite([*mean, *scale]).all() or min(scale) < 0:
            raise DataError("mean and scale are not finite numbers, equally many, with no scale below 0")
        return cls(tuple(map(float, mean)), tuple(map(float, scale)))
