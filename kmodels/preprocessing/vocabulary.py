"""Values to ids, learnt from the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import DataError
from kmodels.preprocessing import _cells
from kmodels.preprocessing._from_json import check_ascending
from kmodels.preprocessing.encoders import Encoder


@dataclass(frozen=True)
class Vocabulary(Encoder):
    """Distinct values and their ids: the i-th value, from 1, has id i; id 0 stands for every other value.

    Attributes:
        values: The values in ascending order, all int or all str.

    Example:
        >>> vocabulary = Vocabulary.fit(["b", "a", "b"])
        >>> vocabulary.size, vocabulary.transform(["b", "c", None]).tolist()
        (3, [2, 0, 0])
        >>> vocabulary.inverse([2, 0]).tolist()
        ['b', None]
    """

    values: tuple[int, ...] | tuple[str, ...]

    def __post_init__(self) -> None:
        check_ascending(self.values, "values")

    @classmethod
    def fit(cls, values: Iterable[int] | Iterable[str]) -> Self:
        """Learns the distinct values.

        Args:
            values: A column of integers or of strings, shape (rows,).

        Raises:
            DataError: No values, a missing value, or values that are not all integers or all strings.
        """
        column = _cells.column_of(values)
        checks.refuse_rows(column.isna(), "a value to learn is missing")
        kind = pd.api.types.infer_dtype(column)
        if kind not in ("integer", "string"):
            raise DataError("values to learn are not integers alone or text alone", received=kind)
        return cls(tuple(sorted(column.unique().tolist())))

    @property
    def size(self) -> int:
        """Rows of an embedding table for these ids: one per value, and row 0 for the unknown."""
        return len(self.values) + 1

    def transform(self, values: Iterable[Any]) -> npt.NDArray[np.int32]:
        """Maps values to ids.

        Args:
            values: A column of the kind that was learnt, shape (rows,), missing values allowed; integers may come as
                floats, as pandas stores them where some are missing.

        Returns:
            Ids, int32 (rows,), from 0 to `size` - 1; 0 for values that were not learnt and for missing ones.

        Raises:
            DataError: Text where integers were learnt, or integers where text was.
        """
        column = _cells.column_of(values)
        kind = pd.api.types.infer_dtype(column, skipna=True)
        learnt = "text" if isinstance(self.values[0], str) else "integers"
        accepted = ("string", "empty") if learnt == "text" else ("integer", "floating", "empty")
        if kind not in accepted and not column.isna().all():
            raise DataError("values are not of the learnt kind", expected=learnt, received=kind)
        return (self._index.get_indexer(pd.Index(column)) + 1).astype(np.int32)

    def inverse(self, ids: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Maps ids back to values.

        Args:
            ids: Integers from 0 to `size` - 1, any shape.

        Returns:
            The values, object array of that shape; None for id 0.

        Raises:
            DataError: An id out of range.
        """
        ids = np.asarray(ids)
        wrong = (ids < 0) | (ids >= self.size)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            row, limits = int(at[0]) + 1 if at else None, f"0 to {self.size - 1}"
            raise DataError("an id is out of range", row=row, column="ids", expected=limits, received=int(ids[at]))
        return np.array([None, *self.values], dtype=object)[ids]

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.values, dtype=object if isinstance(self.values[0], str) else None)
