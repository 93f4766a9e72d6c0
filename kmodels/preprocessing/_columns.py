"""Checks of columns and tables that the encoders share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import DataError

FloatArray = npt.NDArray[np.float32]


def column_of(values: Iterable[Any]) -> pd.Series[Any]:
    """Takes values as one column of their own types; `DataError` if they are no column."""
    # A Series keeps integers and text apart; np.asarray would turn [1, "a"] into text without a word.
    if getattr(values, "ndim", 1) != 1:
        raise DataError("values are not a column", expected="shape (rows,)")
    column = pd.Series(values if hasattr(values, "dtype") else list(values))
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.dtype.categories.dtype)
    return column


def kind_of(column: pd.Series[Any]) -> str:
    """Names the kind of a column's values as pandas infers it, missing ones left out."""
    return pd.api.types.infer_dtype(column, skipna=True)


def label_rows(lists: Iterable[Iterable[str]]) -> list[list[str]]:
    """Takes lists of text; `DataError` names the first row that is none."""
    rows: list[list[str]] = []
    for number, labels in enumerate(lists, start=1):
        # A bare string would be read letter by letter.
        row = None if isinstance(labels, str) or not isinstance(labels, Iterable) else list(labels)
        if row is None or not all(isinstance(label, str) for label in row):
            raise DataError("labels are not a list of text", row=number, received=labels)
        rows.append(row)
    return rows


def numbers(x: npt.ArrayLike | pd.DataFrame) -> npt.NDArray[np.float64]:
    """Takes a table of finite numbers; `DataError` names the first cell that is none."""
    try:
        table = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"not a table of numbers ({error})") from error
    if table.ndim != 2:
        raise DataError("not a table", expected="shape (rows, columns)", received=f"shape {table.shape}")
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        name = str(x.columns[column] if isinstance(x, pd.DataFrame) else column)
        value = float(table[row, column])
        raise DataError("a value is missing or infinite", row=int(row) + 1, column=name, received=value)
    return table


def list_of(content: Mapping[str, Any], name: str, types: tuple[type, ...]) -> Sequence[Any]:
    """Takes a list of these types out of a JSON object; `DataError` if it holds none."""
    values = content.get(name)
    if not isinstance(values, list) or not all(type(value) in types for value in values):
        kinds = " or ".join(kind.__name__ for kind in types)
        raise DataError("missing or not a list of the right type", column=name, expected=kinds)
    return values
