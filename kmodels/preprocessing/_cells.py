"""Reads columns: numbers, labels, lists of labels, dates. Errors name row and value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import DataError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_DIGIT = re.compile("[^eE]*[1-9]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def pick(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Takes a column by its name, with a fresh index; an error has the nearest name."""
    if name not in frame.columns:
        names = frame.columns.tolist()
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0)
        hint = f"; the nearest name is {nearest[0]!r}" if nearest else ""
        raise DataError(f"the column is missing{hint}", column=name, received=", ".join(names))
    return frame[name].reset_index(drop=True)


def column_of(values: Iterable[Any] | npt.ArrayLike, name: str = "values") -> pd.Series[Any]:
    """Takes values as one column of their own types, with a fresh index."""
    # A Series keeps integers and text apart; np.asarray would turn [1, "a"] into text without a word.
    if getattr(values, "ndim", 1) != 1:
        raise DataError("values are not a column", expected="shape (rows,)")
    column = pd.Series(values if hasattr(values, "dtype") else list(values)).reset_index(drop=True)  # type: ignore[arg-type]
    return _uncategorised(column).rename(name)


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with text as column names; refuses what is no table, and names that stand twice."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError("not a table", expected="a pandas DataFrame", received=type(frame).__name__)
    frame = frame.set_axis(frame.columns.map(str), axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError("two columns have this name", column=str(twice[0]))
    return frame


def numbers_of(column: pd.Series[Any], *, least: float | None = None) -> FloatArray:
    """Numbers of a column, NaN where missing; text that reads as a number is taken as that number."""
    column = _uncategorised(column)
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise DataError("not a column of numbers", column=str(column.name), received=str(column.dtype))
    read = column
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        try:
            read = pd.to_numeric(column, errors="coerce")
        except OverflowError as error:
            raise DataError("an integer is too large", column=str(column.name)) from error
        checks.refuse_rows(_lost(read, column), "not a number", column.name, values=column)
        vanished = [cell == 0 and _DIGIT.match(str(text)) is not None for cell, text in zip(read, column, strict=True)]
        checks.refuse_rows(vanished, "too small a number, it reads as 0", column.name, values=column)
    values: FloatArray = read.to_numpy(dtype=np.float64, na_value=np.nan)
    outside = np.isinf(values) if least is None else np.isinf(values) | (values < least)
    expected = "a finite number" if least is None else f"a finite number, {least:g} or more"
    checks.refuse_rows(outside, "out of range", column.name, expected=expected, values=values)
    return values


def labels_of(column: pd.Series[Any]) -> tuple[IntArray, list[int | str]]:
    """Codes of the rows, -1 where missing, and the label of each code: int, or text for everything else."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        try:
            codes, values = pd.factorize(column)
        except TypeError as error:
            raise DataError(f"not a column of categories ({error})", column=str(column.name)) from error
    labels = [_label(value) for value in values.tolist()]
    _check_text(map(str, labels), column)
    missing = labels.index("") if "" in labels else -1
    return np.where(codes == missing, np.int64(-1), codes).astype(np.int64), labels


def tags_of(column: pd.Series[Any], separator: str) -> tuple[IntArray, list[tuple[str, ...]]]:
    """Codes of the rows, and the labels of each code; a missing cell has none."""
    known: dict[Any, int] = {}
    codes = np.empty(len(column), np.int64)
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, str):
            key: Any = cell
        elif isinstance(cell, list | tuple | set | frozenset | np.ndarray):
            if not all(isinstance(label, str) for label in cell):
                raise DataError("not a list of text", row=row + 1, column=str(column.name), received=cell)
            key = tuple(sorted(cell) if isinstance(cell, set | frozenset) else cell)
        elif cell is None or cell is pd.NA or cell != cell:
            key = ()
        else:
            raise DataError("neither text nor a list of text", row=row + 1, column=str(column.name), received=cell)
        codes[row] = known.setdefault(key, len(known))
    lists = [_split(key, separator) for key in known]
    _check_text(chain.from_iterable(lists), column)
    return codes, lists


def days_of(column: pd.Series[Any]) -> FloatArray:
    """Days since 1970-01-01 in UTC, NaN where missing."""
    if pd.api.types.is_numeric_dtype(column):
        expected, received = "dates or text", str(column.dtype)
        raise DataError("not a column of dates", column=str(column.name), expected=expected, received=received)
    form = None if pd.api.types.is_datetime64_any_dtype(column) else "ISO8601"
    dates = pd.to_datetime(column, errors="coerce", utc=True, format=form)
    expected = "a date such as 2024-05-31"
    checks.refuse_rows(_lost(dates, column), "not a date", column.name, expected=expected, values=column)
    # In seconds: there is no year 3000 in nanoseconds.
    first, day = pd.Timestamp(0, tz="UTC").as_unit("s"), pd.Timedelta(days=1).as_unit("s")
    return np.asarray((dates - first) / day, np.float64)


def _lost(read: pd.Series[Any], column: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Rows whose value reads as missing, but is neither missing nor an empty text."""
    lost = np.array(read.isna() & column.notna(), bool)
    lost[lost] = [not isinstance(cell, str) or cell != "" for cell in column[lost]]
    return lost


def _uncategorised(column: pd.Series[Any]) -> pd.Series[Any]:
    """A categorical column as one of its values."""
    # astype would refuse gaps among integers.
    return pd.Series(np.asarray(column), name=column.name) if isinstance(column.dtype, pd.CategoricalDtype) else column


def _check_text(labels: Iterable[str], column: pd.Series[Any]) -> None:
    """Refuses halves of surrogate pairs, which no file can hold."""
    for label in labels:
        if _SURROGATE.search(label):
            raise DataError("not a text of Unicode characters", column=str(column.name), received=label)


def _label(value: Any) -> int | str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value)


def _split(key: str | tuple[str, ...], separator: str) -> tuple[str, ...]:
    parts: Iterable[str] = key.split(separator) if isinstance(key, str) else key
    return tuple(label for part in parts if (label := part.strip()))
