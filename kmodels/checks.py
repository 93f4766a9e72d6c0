"""Checks of the arrays that a function is given; each raises `DataError`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels.errors import DataError

_SHAPES = {1: "shape (rows,)", 2: "shape (rows, columns)"}


def same_length(least: int = 1, /, **columns: npt.NDArray[Any]) -> None:
    """Refuses columns that differ in length or have fewer rows than `least`."""
    lengths = {name: np.shape(column)[0] for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ in length", received=lengths)
    rows = min(lengths.values(), default=0)
    if rows < least:
        what = "there are too few rows" if rows else "there are no rows"
        raise DataError(what, column=next(iter(columns), None), expected=f"{least} or more", received=rows)


def numbers(values: npt.ArrayLike, name: str, dimensions: int = 1) -> npt.NDArray[np.float64]:
    """The values as float64; refuses another number of dimensions and a missing or infinite value."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"not numbers ({error})", column=name) from error
    if array.ndim != dimensions:
        raise DataError("another shape", column=name, expected=_SHAPES[dimensions], received=f"shape {array.shape}")
    finite(array, name)
    return array


def refuse_rows(
    wrong: npt.ArrayLike, message: str, column: Any = None, *, expected: str | None = None, values: Any = None
) -> None:
    """Raises a `DataError` about the first row that is marked, with its value where `values` has them."""
    marks = np.asarray(wrong, bool)
    if marks.any():
        row = int(np.argmax(marks))
        received = None if values is None else np.asarray(values, object)[row]
        received = received.tolist() if isinstance(received, np.ndarray) else received
        raise DataError(message, row=row + 1, column=column, expected=expected, received=received)


def finite(array: npt.NDArray[Any], name: str) -> None:
    """Refuses a missing or infinite value, by its row."""
    bad = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    refuse_rows(bad, "a value is missing or infinite", name, values=array)


def ids(values: npt.ArrayLike, name: str, size: int | None = None, what: str = "an id") -> npt.NDArray[np.int64]:
    """The values as int64 (rows,); refuses another shape or dtype, and values outside [0, size)."""
    column = np.asarray(values)
    if column.ndim != 1 or (column.size and column.dtype.kind not in "iub"):
        received = f"shape {column.shape} of {column.dtype}"
        raise DataError(
            "not a column of integers", column=name, expected="shape (rows,) of an integer dtype", received=received
        )
    column = column.astype(np.int64, copy=False)
    if size is not None:
        bad = (column < 0) | (column >= size)
        refuse_rows(bad, f"{what} is out of range", name, expected=f"0 to {size - 1}", values=column)
    return column
