"""Tables whose columns know where in the file each field is, and what is in a field.

A table holds a column as numbers, or as codes of its distinct texts, so that a million rows of a few words cost a
million small integers. `readers.open_table` reads them.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from kmodels.datasets.columns import NumberColumn, parse_columns
from kmodels.datasets.sources import split_name
from kmodels.errors import DataError

__all__ = ["parse_columns"]

#: The most columns of a table.
MOST_COLUMNS = 2**14
#: From the names of text columns and the columns of numbers to the rows, a frame as `Table` has it at a time.
Chunks = Callable[[Sequence[str], Sequence[NumberColumn]], Iterator[pd.DataFrame]]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns that know where in the file each field is.

    Attributes:
        file: The file.
        frame: Columns of numbers and of text, which are categorical; the index has each row's line in the file, for
            JSON its record and for Parquet its row, from 1.
        written: Name of a column -> how the file names it, where that is another name.
    """

    file: Path
    frame: pd.DataFrame
    written: Mapping[str, str] = field(default_factory=dict)

    def line(self, row: int) -> int:
        """Line of a row in the file, given its position from 0."""
        return int(self.frame.index[row])

    def error(
        self, message: str, row: int, column: str, expected: str = "text", received: object | None = None
    ) -> DataError:
        """The error of one field, given the row's position from 0."""
        is_json = split_name(self.file)[1] == ".json"
        return DataError(
            f"record {self.line(row)}: {message}" if is_json else message,
            file=self.file,
            row=None if is_json else self.line(row),
            column=self.written.get(column, column),
            expected=expected,
            received=self.frame[column].iloc[row] if received is None else received,
        )

    def select(self, columns: Mapping[str, str]) -> Table:
        """The columns of a map from new names to the file's, in its order."""
        frame = self.frame[list(columns.values())].set_axis(list(columns), axis=1)
        return replace(self, frame=frame, written=columns)

    def distinct(self, name: str, read: Callable[[str], Any], expected: str) -> tuple[list[Any], npt.NDArray[Any]]:
        """Distinct texts of a column as `read` makes them, and each row's position there.

        A ValueError of `read` becomes the error of the first row with that text.
        """
        column, values, problems = self.frame[name].cat, [], {}
        codes = column.codes.to_numpy()
        for code, text in enumerate(column.categories):
            try:
                values.append(read(text))
            except ValueError as error:
                problems[code] = error
        if problems:
            row = int(np.argmax(np.isin(codes, list(problems))))
            problem = problems[codes[row]]
            raise self.error(str(problem), row, name, expected) from problem
        return values, codes

    def parse(self, name: str, read: Callable[[str], Any], expected: str = "text") -> list[Any]:
        """Each field of a column, as `distinct` reads it."""
        values, codes = self.distinct(name, read, expected)
        return [values[code] for code in codes]

    def numbers(self, column: NumberColumn) -> npt.NDArray[Any]:
        """One column of text as numbers (rows,) of its dtype."""
        values, codes = self.distinct(column.name, column.parse, column.expected)
        return np.array(values, dtype=object).astype(column.dtype)[codes]

    def require_unique(self, name: str, values: npt.ArrayLike) -> None:
        """Refuses a column of ids, whose parsed values are given, in which one occurs twice."""
        keys = pd.Series(values, dtype=object)
        repeated = keys.duplicated().to_numpy()
        if repeated.any():
            second = int(np.argmax(repeated))
            first = self.line(int(np.argmax((keys == keys[second]).to_numpy())))
            raise self.error(f"{name} {keys[second]} is already on line {first}", second, name, "each once")


def filled(text: str) -> str:
    """A text that must not be empty."""
    if not text.strip():
        raise ValueError("the field is empty")
    return text


@dataclass(frozen=True, eq=False)
class TableFile:
    """An opened table: the names of its columns are known, its rows are not read yet."""

    path: Path
    names: tuple[str, ...]
    chunks: Chunks

    def __post_init__(self) -> None:
        check_width(self.names, self.path)

    def read(self, labels: Sequence[str] | None = None, numbers: Sequence[NumberColumn] = ()) -> Table:
        """All rows of some columns, of None all as text; a column of text costs one to four bytes a row."""
        if labels is None:
            labels = self.names
            if twice := sorted({name for name in labels if labels.count(name) > 1}):
                raise DataError("the header names this column twice", file=self.path, row=1, column=twice[0])
        known: dict[str, dict[str, int]] = {name: {} for name in labels}
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in (*labels, *(each.name for each in numbers))}
        lines: list[pd.Index[Any]] = []
        # On a terminal only, and only where it takes a while.
        for chunk in tqdm(self.chunks(labels, numbers), self.path.name, delay=2, leave=False, disable=None):
            for name, found in chunk.items():
                place = known.get(name)
                if place is None:
                    parts[name].append(found.to_numpy())
                else:
                    codes = [place.setdefault(text, len(place)) for text in found.cat.categories.tolist()]
                    parts[name].append(np.array(codes, np.min_scalar_type(len(place)))[found.cat.codes])
            lines.append(chunk.index)
        if not lines:
            raise DataError("the table has no row", file=self.path)
        columns: dict[str, Any] = {name: np.concatenate(pieces) for name, pieces in parts.items()}
        for name, place in known.items():
            columns[name] = pd.Categorical.from_codes(columns[name], pd.Index(list(place), dtype=object))
        return Table(self.path, pd.DataFrame(columns, index=lines[0].append(lines[1:])))


def check_width(names: Collection[str], path: Path) -> None:
    """Refuses a table of so many columns that it is none."""
    if len(names) > MOST_COLUMNS:
        raise DataError("the table has too many columns", file=path, expected=f"at most {MOST_COLUMNS}")


def as_frame(
    path: Path, texts: Mapping[str, Sequence[str]], lines: Sequence[int], numbers: Sequence[NumberColumn]
) -> pd.DataFrame:
    """Rows of a `Table` from the texts of its columns."""
    is_range = lines[-1] - lines[0] == len(lines) - 1
    index = pd.RangeIndex(lines[0], lines[-1] + 1) if is_range else pd.Index(lines)
    columns = {}
    for name, column in texts.items():
        codes, categories = pd.factorize(np.array(column, dtype=object))
        columns[name] = pd.Categorical.from_codes(codes, pd.Index(categories, dtype=object))
    table = Table(path, pd.DataFrame(columns, index=index))
    return table.frame.assign(**{column.name: table.numbers(column) for column in numbers})


def parse_records(text: str) -> list[Any]:
    """Reads a list written as JSON or as Python writes it; nothing is executed."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        try:
            content = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise ValueError("not a list") from None
    if not isinstance(content, list):
        raise ValueError("not a list")
    try:
        json.dumps(content, ensure_ascii=False, default=str).encode()
    except (UnicodeEncodeError, RecursionError):
        raise ValueError("half of a surrogate pair") from None
    return content
