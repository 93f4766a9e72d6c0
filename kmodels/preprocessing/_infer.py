"""Which kind a column is where nobody says so, from its dtype and its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import _cells
from kmodels.preprocessing.columns import Category, Date, Kind, Number, Tags, sources_of

_DISTINCT, _ROWS = 0.9, 20
_MANY, _FEW = 10_000, 10  # values of a column, and rows of a value, that are too many and too few to learn all
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "integer-na")
_DATES = ("datetime64", "datetime", "date")


def resolve_kinds(
    frame: pd.DataFrame, named: dict[str, Kind], drop: list[str]
) -> tuple[dict[str, Kind], list[str], list[str]]:
    """The kind of each column; the columns not encoded; and notices of those left out."""
    for name, kind in named.items():
        if not isinstance(kind, Kind):
            known = ", ".join(each.__name__ for each in Kind.__args__)
            raise ConfigurationError(f"the kind of column {name!r} must be one of {known}. Received: {kind!r}")
        for source in sources_of(name, kind):
            _cells.pick(frame, source)
            if source in drop:
                raise ConfigurationError(f"column {source!r} is both in `columns` and in `drop`")
    for name in drop:
        _cells.pick(frame, name)
    used = {source for name, kind in named.items() for source in sources_of(name, kind)}
    kinds, ignored, notices = dict(named), list(drop), []
    for name in frame.columns:
        if name in used or name in drop or name in named:
            continue
        inferred = infer_kind(_cells.pick(frame, name), name)
        if isinstance(inferred, str):
            ignored.append(name)
            notices.append(f"column {name!r} is left out: {inferred}")
        else:
            kinds[name] = inferred
    return kinds, ignored, notices


def infer_kind(column: pd.Series[Any], name: str) -> Kind | str:
    """The kind of a column, or why it is left out."""
    if column.isna().all():
        return "no value"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "boolean" or isinstance(column.dtype, pd.CategoricalDtype):
        return _category(column)
    if kind in _NUMBERS:
        return Number()
    if kind in _DATES:
        return Date()
    if kind == "string":
        return _infer_text(column, name)
    present = column[column.notna()]
    is_list = present.map(lambda cell: isinstance(cell, list | tuple | set | frozenset | np.ndarray))
    if is_list.all():
        return Tags()
    is_text = present.map(lambda cell: isinstance(cell, str))
    if kind in ("mixed", "mixed-integer") and is_text.any() and not is_text.all():
        _refuse_text(column, name, is_text.reindex(column.index, fill_value=False))
    raise DataError(
        "no kind fits the column; name it in `columns` or `drop`",
        column=name,
        expected="numbers, text, truth values, dates or lists of text",
        received=kind,
    )


def _infer_text(column: pd.Series[Any], name: str) -> Kind | str:
    present = column[column.notna() & (column != "")]
    reads = pd.to_numeric(present, errors="coerce").notna()
    if reads.mean() >= _DISTINCT and not reads.all() and present.nunique() > _ROWS:
        _refuse_text(column, name, ~reads.reindex(column.index, fill_value=True))
    if len(present) >= _ROWS and present.nunique() > _DISTINCT * len(present):
        return "nearly every value differs"
    return _category(present)


def _category(column: pd.Series[Any]) -> Category:
    return Category(min_count=_FEW) if column.nunique() > _MANY else Category()


def _refuse_text(column: pd.Series[Any], name: str, is_text: pd.Series[bool]) -> None:
    expected = "numbers alone, or Number() or Category() in `columns`"
    message = "text in a column of numbers; mend it, or name its kind"
    checks.refuse_rows(is_text, message, name, expected=expected, values=column)
