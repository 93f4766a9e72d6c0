"""CSV, TSV and JSON tables of any columns, as columns of text that know where in the file each field stands."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kmodels.datasets.tables import read_bytes
from kmodels.errors import DataError

_LONGEST_QUOTE = 80
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, eq=False)
class TextTable:
    """Columns of text.

    Attributes:
        file: The file.
        columns: Name -> one text per row.
        lines: Line of each row in the file, from 1; empty for JSON, whose records have none.
        written: Name of a column -> how the file names it, where that is another name.
    """

    file: Path
    columns: Mapping[str, list[str]]
    lines: Sequence[int]
    written: Mapping[str, str] = field(default_factory=dict)

    def error(self, message: str, row: int, column: str, expected: str, received: str) -> DataError:
        """Makes the error that tells of one field.

        Args:
            message: What is wrong.
            row: Row of the table, from 0.
            column: Name of the column.
            expected: What would have been right.
            received: The field.

        Returns:
            The error, naming the line of a CSV file or the number of a JSON record, from 1.
        """
        if not self.lines:
            message = f"record {row + 1}: {message}"
        return DataError(
            message,
            file=self.file,
            row=self.lines[row] if self.lines else None,
            column=self.written.get(column, column),
            expected=expected,
            received=received[:_LONGEST_QUOTE],
        )


def read_table(file: Path) -> TextTable:
    r"""Reads a table: JSON where the name ends in ``.json``, else text with a header.

    Fields of text files are separated by whichever of comma, semicolon and tab the header has most of. JSON may be a
    list of records, one record per line, or an object of columns (lists); numbers there are written out, null is empty.

    Args:
        file: The file, in UTF-8 or latin-1.

    Returns:
        The table.

    Raises:
        DataError: If the file is missing, empty or damaged, has no row or repeats a column, or a row has too few or too
            many fields.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "films.csv"
        ...     _ = path.write_text("a;b\n1;x\n")
        ...     dict(read_table(path).columns)
        {'a': ['1'], 'b': ['x']}
    """
    data = read_bytes(file)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    table = _from_json(text, file) if file.suffix == ".json" else _from_csv(text, file)
    if not any(table.columns.values()):
        raise DataError("the table has no row", file=file)
    return table


def _from_csv(text: str, file: Path) -> TextTable:
    header_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    # TMDB's crews are longer than the module's limit on a field.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        names = [name.strip() for name in next(reader)]
        start = reader.line_num + 1
        for row in reader:
            if len(row) != len(names) and row:
                raise DataError(
                    f"the line has {len(row)} fields", file=file, row=start, expected=f"{len(names)} fields"
                )
            if row:
                rows.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"bad quotes ({error})", file=file, row=reader.line_num) from error
    finally:
        csv.field_size_limit(limit)
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError("the header names a column twice", file=file, row=1, column=repeated[0])
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return TextTable(file, dict(zip(names, columns, strict=True)), lines)


def _from_json(text: str, file: Path) -> TextTable:
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
    names = dict.fromkeys(name for record in content for name in record)
    columns = {name: [_as_text(record.get(name)) for record in content] for name in names}
    return TextTable(file, columns, ())


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
