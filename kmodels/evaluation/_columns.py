"""The checks every metric and baseline makes of the columns it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels.errors import DataError


def same_length(**columns: npt.NDArray[Any]) -> None:
    """Raises `DataError` unless the columns are equally long and hold at least one row."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ in length", received=lengths)
    if min(lengths.values()) == 0:
        raise DataError("there are no rows", column=next(iter(columns)), expected="at least one row")


def numbers(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """The values as float64, shape (rows,); `DataError` for another shape or a missing or infinite value."""
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"not a column of numbers ({error})", column=name) from error
    if column.ndim != 1:
        raise DataError("not a column", column=name, expected="shape (rows,)", received=f"shape {column.shape}")
    bad = ~np.isfinite(column)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError("a value is missing or infinite", row=row + 1, column=name, received=float(column[row]))
    return column


def ids(values: npt.ArrayLike, name: str, size: int | None = None) -> npt.NDArray[np.int64]:
    """The values as int64, shape (rows,); `DataError` for another shape or dtype, or ids out of [0, size)."""
    column = np.asarray(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "iu"):
        raise DataError(
            "ids are not a column of integers",
            column=name,
            expected="shape (rows,) of an integer dtype",
            received=f"shape {column.shape} of {column.dtype}",
        )
    bad = np.zeros(0, bool) if size is None else (column < 0) | (column >= size)
    if size is not None and bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            "an id is out of range",
            row=row + 1,
            column=name,
            expected=f"0 to {size - 1}",
            received=int(column[row]),
        )
    return column.astype(np.int64)
