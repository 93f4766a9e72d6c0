"""Tables of any source read whole, as text: whatever is wrong in a file raises `DataError` with its line and column."""

from __future__ import annotations

import ast
import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.columns import NumberColumn, clear_errors, decode, field_count_error, parse_columns
from kmodels.errors import DataError

__all__ = ["parse_columns"]

_LONGEST_QUOTE = 80
_SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of text that know where in the file each field is.

    Attributes:
        file: The file.
        frame: Columns of str; the index has each row's line in the file, for JSON its record, from 1.
        written: Name of a column -> how the file names it, where that is another name.
        is_json: Whether rows are records of a JSON file.
    """

    file: Path
    frame: pd.DataFrame
    written: Mapping[str, str] = field(default_factory=dict)
    is_json: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(str(name) for name in self.frame)

    def error(
        self, message: str, row: int, column: str, expected: str = "text", received: str | None = None
    ) -> DataError:
        """The error of one field, given the row's position from 0."""
        line = int(self.frame.index[row])
        text = self.frame[column].iloc[row] if received is None else received
        return DataError(
            f"record {line}: {message}" if self.is_json else message,
            file=self.file,
            row=None if self.is_json else line,
            column=self.written.get(column, column),
            expected=expected,
            received=str(text)[:_LONGEST_QUOTE],
        )

    def select(self, columns: Mapping[str, str]) -> Table:
        """The columns of a map from new names to the file's, in its order."""
        frame = self.frame[list(columns.values())].set_axis(list(columns), axis=1)
        return replace(self, frame=frame, written=columns)

    def numbers(self, column: NumberColumn) -> npt.NDArray[Any]:
        """One column as numbers (rows,) of its dtype; refuses the first field that is none or out of range."""
        texts = self.frame[column.name].tolist()
        for row, text in enumerate(texts):
            problem = column.problem(text)
            if problem is not None:
                raise self.error(problem, row, column.name, column.expected)
        return np.array(texts, dtype=object).astype(column.dtype)

    def parse(self, name: str, read: Callable[[str], Any], expected: str) -> list[Any]:
        """Each field of a column as `read` makes it; a ValueError becomes the error of the field."""
        values = []
        for row, text in enumerate(self.frame[name]):
            try:
                values.append(read(text))
            except ValueError as error:
                raise self.error(str(error), row, name, expected) from error
        return values

    def text(self, name: str) -> pd.Series[Any]:
        """One column whose fields must not be empty."""
        empty = self.frame[name].str.strip().eq("").to_numpy()
        if empty.any():
            raise self.error("the field is empty", int(np.argmax(empty)), name)
        return self.frame[name]

    def require_unique(self, name: str, values: npt.ArrayLike | None = None) -> None:
        """Refuses a column of ids in which one occurs twice; `values` are the ids where they were parsed."""
        keys = pd.Series(self.frame[name] if values is None else values, dtype=object).reset_index(drop=True)
        repeated = keys.duplicated().to_numpy()
        if repeated.any():
            second = int(np.argmax(repeated))
            first = self.frame.index[int(np.argmax((keys == keys[second]).to_numpy()))]
            raise self.error(f"{name} {keys[second]} is already on line {first}", second, name, "each once")


def read_table(
    file: Path,
    *,
    names: Sequence[str] | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
    quoted: bool = True,
) -> Table:
    """Reads a whole table of text fields: JSON where the name ends in ``.json``, else lines.

    JSON may be a list of records, one record per line, or an object of columns (lists); numbers there are written out,
    null is empty. Without `names` the first line has them. Without a separator it is whichever of comma, semicolon and
    tab the first line has most of, and empty lines are left out instead of refused. In ``"latin-1"``, bytes that are
    valid UTF-8 are still read as that.
    """
    text = decode(_read_bytes(file), file, encoding)
    if file.suffix == ".json":
        return _from_json(text, file)
    blank_lines = separator is None
    separator = separator or max(_SEPARATORS, key=text.partition("\n")[0].count)
    records = _quoted(text, file, separator) if quoted else _plain(text, separator)
    header = names is None
    if names is None:
        names = [name.strip() for name in records.pop(0)[1]]
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, fields in records:
        if blank_lines and (not fields or fields == [""]):
            continue
        if len(fields) != len(names):
            raise field_count_error(file, line, len(fields), names, separator, separator.join(fields))
        rows.append(fields)
        lines.append(line)
    if not rows:
        raise DataError("there is no row below the header" if header else "the table has no row", file=file)
    return Table(file, pd.DataFrame(rows, columns=list(names), index=lines, dtype=object))


def _read_bytes(path: Path) -> bytes:
    """The file with every line ending turned into one newline and none at the end."""
    with clear_errors(path):
        data = path.read_bytes()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.rstrip(b"\n")
    if not data.strip():
        raise DataError("the file is empty", file=path)
    return data


def _plain(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Lines and their fields."""
    return [(line, row.split(separator)) for line, row in enumerate(text.split("\n"), start=1)]


def _quoted(text: str, file: Path, separator: str) -> list[tuple[int, list[str]]]:
    """First lines of records and their fields, which may be in double quotes and hold newlines."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    records, line = [], 1
    limit = csv.field_size_limit(sys.maxsize)  # some tables' fields are longer than the module's own limit
    try:
        for fields in reader:
            records.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"bad quotes ({error})", file=file, row=reader.line_num) from error
    finally:
        csv.field_size_limit(limit)
    return records


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
    return content


def _from_json(text: str, file: Path) -> Table:
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as error:
        try:
            content = [json.loads(line) for line in text.split("\n") if line.strip()]
        except json.JSONDecodeError:
            raise DataError(f"not JSON ({error.msg})", file=file, row=error.lineno) from error
    if isinstance(content, dict) and all(isinstance(column, list) for column in content.values()):
        lengths = {len(column) for column in content.values()}
        if len(lengths) > 1:
            raise DataError("the columns differ in length", file=file)
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise DataError("not a table", file=file, expected="a list of records, or an object of columns")
    if not content:
        raise DataError("the table has no row", file=file)
    names = dict.fromkeys(name for record in content for name in record)
    columns = {name: [_as_text(record.get(name)) for record in content] for name in names}
    return Table(file, pd.DataFrame(columns, index=range(1, len(content) + 1), dtype=object), is_json=True)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
