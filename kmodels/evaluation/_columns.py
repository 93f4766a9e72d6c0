"""The checks every metric and baseline makes of the arrays it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels.errors import DataError

_SHAPES = {1: "shape (rows,)", 2: "shape (rows, classes)"}


def same_length(**columns: npt.NDArray[Any]) -> None:
    """Raises `DataError` unless the columns are equally long and hold at least one row."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ in length", received=lengths)
    if min(lengths.values()) == 0:
        raise DataError("there are no rows", column=next(iter(columns)), expected="at least one row")


def numbers(values: npt.ArrayLike, name: str, dimensions: int = 1) -> npt.NDArray[np.float64]:
    """The values as float64; `DataError` for another number of dimensions or a missing or infinite value."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"not numbers ({error})", column=name) from error
    if array.ndim != dimensions:
        raise DataError("another shape", column=name, expected=_SHAPES[dimensions], received=f"shape {array.shape}")
    bad = ~np.isfinite(array).all(axis=tuple(range(1, dimensions)))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError("a value is missing or infinite", row=row + 1, column=name, received=array[row].tolist())
    return array


def ids(values: npt.ArrayLike, name: str, size: int | None = None, what: str = "an id") -> npt.NDArray[np.int64]:
    """The values as int64, shape (rows,); `DataError` for another shape or dtype, or values out of [0, size)."""
    column = np.asarray(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "iub"):
        received = f"shape {column.shape} of {column.dtype}"
        raise DataError(
            "not a column of integers", column=name, expected="shape (rows,) of an integer dtype", received=received
        )
    column = column.astype(np.int64)
    bad = np.zeros(0, bool) if size is None else (column < 0) | (column >= size)
    if size is not None and bad.any():
        row = int(np.argmax(bad))
        expected = f"0 to {size - 1}"
        raise DataError(
            f"{what} is out of range", row=row + 1, column=name, expected=expected, received=int(column[row])
        )
    return column
