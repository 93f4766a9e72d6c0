"""Reads columns: numbers, labels, lists of labels, dates; and lists kept as JSON. Errors name row and value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import DataError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def pick(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Takes a column by its name, with a fresh index; an error has the nearest name."""
    if name not in frame.columns:
        names = frame.columns.tolist()
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0)
        hint = f"; the nearest name is {nearest[0]!r}" if nearest else ""
        raise DataError(f"the column is missing{hint}", column=name, received=", ".join(names))
    return frame[name].reset_index(drop=True)


def column_of(values: Iterable[Any] | npt.ArrayLike) -> pd.Series[Any]:
    """Takes values as one column of their own types, with a fresh index."""
    # A Series keeps integers and text apart; np.asarray would turn [1, "a"] into text without a word.
    if getattr(values, "ndim", 1) != 1:
        raise DataError("values are not a column", expected="shape (rows,)")
    column = pd.Series(values if hasattr(values, "dtype") else list(values)).reset_index(drop=True)  # type: ignore[arg-type]
    return column.astype(column.cat.categories.dtype) if isinstance(column.dtype, pd.CategoricalDtype) else column


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with text as column names; refuses what is no table, and names that stand twice."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError("not a table", expected="a pandas DataFrame", received=type(frame).__name__)
    frame = frame.set_axis(frame.columns.map(str), axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError("two columns have this name", column=str(twice[0]))
    return frame


def numbers_of(column: pd.Series[Any], name: str, *, least: float | None = None) -> FloatArray:
    """Numbers of a column, NaN where missing; text that reads as a number is taken as that number."""
    values: FloatArray
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise DataError("not a column of numbers", column=name, received=str(column.dtype))
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        read = pd.to_numeric(column, errors="coerce")
        wrong = (read.isna() & column.notna() & (column.astype(object) != "")).to_numpy(bool)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError("not a number", row=row + 1, column=name, received=column.iloc[row])
        values = read.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isinf(values) if least is None else np.isinf(values) | (values < least)
    if wrong.any():
        row = int(np.argmax(wrong))
        expected = "a finite number" if least is None else f"a finite number, {least:g} or more"
        raise DataError("out of range", row=row + 1, column=name, expected=expected, received=float(values[row]))
    return values


def labels_of(column: pd.Series[Any], name: str) -> tuple[IntArray, list[int | str]]:
    """Codes of the rows, -1 where missing, and the label of each code: int, or text for everything else."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy().astype(np.int64), column.cat.categories.tolist()
    else:
        try:
            codes, uniques = pd.factorize(column)
        except TypeError as error:
            raise DataError(f"not a column of categories ({error})", column=name) from error
        codes, values = codes.astype(np.int64), list(uniques.tolist() if hasattr(uniques, "tolist") else uniques)
    labels = [_label(value) for value in values]
    if "" in labels:
        codes = np.where(codes == labels.index(""), -1, codes)
    return codes, labels


def _label(value: Any) -> int | str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value)


def tags_of(column: pd.Series[Any], name: str, separator: str) -> tuple[IntArray, list[tuple[str, ...]]]:
    """Codes of the rows, and the labels of each code; a missing cell has none."""
    known: dict[Any, int] = {}
    codes = np.empty(len(column), np.int64)
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, str):
            key: Any = cell
        elif isinstance(cell, list | tuple | set | frozenset | np.ndarray):
            key = tuple(sorted(cell) if isinstance(cell, set | frozenset) else cell)
            if not all(isinstance(label, str) for label in key):
                raise DataError("not a list of text", row=row + 1, column=name, received=cell)
        elif cell is None or cell is pd.NA or cell != cell:
            key = ()
        else:
            raise DataError("neither text nor a list of text", row=row + 1, column=name, received=cell)
        codes[row] = known.setdefault(key, len(known))
    return codes, [_split(key, separator) for key in known]


def _split(key: str | tuple[str, ...], separator: str) -> tuple[str, ...]:
    parts: Iterable[str] = key.split(separator) if isinstance(key, str) else key
    return tuple(label for part in parts if (label := part.strip()))


def days_of(column: pd.Series[Any], name: str) -> FloatArray:
    """Days since 1970-01-01 in UTC, NaN where missing."""
    if pd.api.types.is_numeric_dtype(column):
        raise DataError("not a column of dates", column=name, expected="dates or text", received=str(column.dtype))
    form = None if pd.api.types.is_datetime64_any_dtype(column) else "ISO8601"
    dates = pd.to_datetime(column, errors="coerce", utc=True, format=form)
    lost = dates.isna() & column.notna()
    wrong = (lost & (column.astype(object) != "")).to_numpy(bool) if lost.any() else lost.to_numpy(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            "not a date", row=row + 1, column=name, expected="a date such as 2024-05-31", received=column.iloc[row]
        )
    return np.asarray((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1), np.float64)


def learnt_list(content: Mapping[str, Any], name: str, types: tuple[type, ...]) -> list[Any]:
    """Takes a list of these types, numbers finite, out of a JSON object; `DataError` if it holds none."""
    values: Any = content.get(name)
    right = isinstance(values, list) and all(type(value) in types for value in values)
    if not right or not np.isfinite([value for value in values if isinstance(value, float)]).all():
        kinds = " or ".join(kind.__name__ for kind in types)
        raise DataError("missing or not a list of the right type", column=name, expected=kinds)
    return values


def ascending(content: Mapping[str, Any], name: str, types: tuple[type, ...]) -> list[Any]:
    """Takes distinct values of one type in ascending order, at least one, out of a JSON object."""
    values = learnt_list(content, name, types)
    if not values or len({type(value) for value in values}) > 1 or sorted(set(values)) != values:
        raise DataError("values are not distinct, ascending and of one type", column=name)
    return values
