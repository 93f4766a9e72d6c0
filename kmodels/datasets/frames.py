"""Any table: a file to a DataFrame whose columns have the types that their texts say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.columns import DECIMAL, WHOLE
from kmodels.datasets.parquet import SUFFIXES, ParquetTable
from kmodels.datasets.readers import open_table
from kmodels.datasets.sources import find_table, sha256, split_name
from kmodels.errors import DataError

__all__ = ["load"]

#: Texts of a missing value.
MISSING = frozenset({"", "?", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None"})
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)  # a number to say that there is none
_PADDED = re.compile(r"-?0[0-9]+")  # 00123 is a code, such as a postal one
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")


@dataclass(frozen=True, eq=False)
class Frame:
    """A table of any columns.

    Attributes:
        name: The file's name without its ending.
        path: The file.
        sha256: Hexadecimal digest of the file's bytes.
        table: The rows in the file's order, numbered from 0, as `typed` gives them.
    """

    name: str
    path: Path
    sha256: str
    table: pd.DataFrame

    def column(self, name: str) -> pd.Series[Any]:
        """Gives a column; `DataError` with the nearest name if there is none of this name."""
        if name not in self.table:
            names = self.table.columns.tolist()
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0)
            hint = f"; the nearest name is {nearest[0]!r}" if nearest else ""
            message = f"the column is missing{hint}"
            raise DataError(message, file=self.path, column=name, received=", ".join(names))
        return self.table[name]


def load(source: str | Path) -> Frame:
    r"""Loads a table: CSV or TSV, also packed by gzip, JSON or Parquet.

    Args:
        source: The file, or a folder with one table alone. Parquet (.parquet, .pq) needs pyarrow.

    Returns:
        The rows, their columns typed as `typed` says.

    Raises:
        DataError: If the file is missing, damaged, empty or no table; the message names the line where there is one.
        ConfigurationError: If pyarrow is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "houses.csv"
        ...     _ = file.write_text("rooms,code,sold\n3,0123,2024-05-31\n,4567,2024-06-01\n")
        ...     houses = load(file)
        >>> houses.table["rooms"].tolist(), houses.table["code"].tolist(), houses.table["sold"].dt.month.tolist()
        ([3.0, nan], ['0123', '4567'], [5, 6])
    """
    file = find_table(Path(source))
    table = typed(read(file))
    return Frame(split_name(file)[0], file, sha256(file), table)


def read(file: Path) -> pd.DataFrame:
    """Reads a file's columns as they are in it: texts as categoricals, of Parquet with the types that it has.

    A column without a name is called by its number, such as "column 1". The rows are numbered from 0.
    """
    if split_name(file)[1] in SUFFIXES:
        parts = ParquetTable(file)
        frame = pd.concat([parts.read(group) for group in range(len(parts.groups))])
    else:
        frame = open_table(file).read().frame
    names = [str(name) or f"column {number}" for number, name in enumerate(frame.columns, start=1)]
    return frame.set_axis(names, axis=1).reset_index(drop=True)


def typed(frame: pd.DataFrame, *, text: Collection[str] = ()) -> pd.DataFrame:
    """Gives each column of texts the type that all of its texts have.

    Columns are numbers, dates such as 2024-05-31, or text. Digits after a leading zero are text, such as a postal code.
    Missing values are empty fields and the texts ?, NA, N/A, NaN, NULL and None. Space around a text does not count.

    Args:
        frame: What `read` gave; columns that are not categorical stay as they are.
        text: Columns to keep as text, whatever they hold. Default ().
    """
    return pd.DataFrame(
        {
            name: _typed(column.cat.codes.to_numpy(), column.cat.categories.tolist(), name in text)
            if isinstance(column.dtype, pd.CategoricalDtype)
            else column
            for name, column in frame.items()
        },
        index=frame.index,
    )


def _typed(codes: npt.NDArray[Any], texts: list[str], keep: bool) -> npt.NDArray[Any] | pd.Index[Any]:
    """A column by the codes of its distinct texts."""
    values = [None if (short := str(text).strip()) in MISSING else short for text in texts]
    known = [value for value in values if value is not None]
    rows = codes.astype(np.int64)  # -1, a gap, reads the last entry
    has_gaps = len(known) < len(values) or bool((rows < 0).any())
    numeric = all(DECIMAL.fullmatch(text) or _INFINITE.fullmatch(text) for text in known)
    if not keep and known and numeric and not any(map(_PADDED.fullmatch, known)):
        if not has_gaps and all(map(WHOLE.fullmatch, known)):
            return np.array([*map(int, known), 0], np.int64)[rows]
        return np.array([*(np.nan if value is None else float(value) for value in values), np.nan])[rows]
    if not keep and known and all(map(_DATE.fullmatch, known)):
        dates = pd.to_datetime(pd.Series([*values, None]), format="ISO8601", errors="coerce", utc=True)
        if dates.notna().sum() == len(known):
            return pd.Index(dates.dt.tz_localize(None))[rows]
    return np.array([*values, None], object)[rows]
