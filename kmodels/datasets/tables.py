"""Strict reading of text tables: fast while the file is right, exact about the place once it is not."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kmodels.errors import DataError

# pandas' C engine takes separators of one byte only. This one is a control character made for the purpose.
_UNIT_SEPARATOR = b"\x1f"
_WHOLE = re.compile(r"[+-]?[0-9]+")
_LONGEST_QUOTE = 80


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers and the values it may hold.

    Args:
        name: Name of the column.
        dtype: ``"int64"`` for whole numbers, ``"float32"`` for any.
        low: Smallest value allowed.
        high: Largest value allowed.
        expected: The same in words, for the error message.
    """

    name: str
    dtype: str
    low: float
    high: float
    expected: str

    def problem(self, text: str) -> str | None:
        """Says what is wrong with one field, or None.

        Example:
            >>> stars = NumberColumn("rating", "float32", 0.5, 5, "stars from 0.5 to 5")
            >>> [stars.problem(text) for text in ("4.5", "", "good", "6")]
            [None, 'the field is empty', 'not a number', 'out of range']
        """
        text = text.strip(" ")
        if not text:
            return "the field is empty"
        if self.dtype == "int64":
            if not _WHOLE.fullmatch(text):
                return "not a whole number"
            value: float = int(text)
        else:
            try:
                value = float(text)
            except ValueError:
                return "not a number"
        if math.isnan(value):
            return "not a number"
        return None if self.low <= value <= self.high else "out of range"


def read_bytes(path: Path) -> bytes:
    """Reads a text file's bytes, with every line ending turned into one newline and none at the end.

    Args:
        path: The file.

    Returns:
        The bytes, at least one.

    Raises:
        DataError: If the file is missing, empty, or not text in a one-byte or UTF-8 encoding.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError("the file is missing", file=path) from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", file=path) from error
    if b"\0" in data:
        raise DataError(
            "wrong encoding", file=path, expected="UTF-8 or latin-1 text", received="zero bytes, as in UTF-16"
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.rstrip(b"\n")
    if not data.strip():
        raise DataError("the file is empty", file=path)
    return data


def split_header(data: bytes, path: Path) -> tuple[str, bytes]:
    """Splits a table with a header into its header line and the rest.

    Raises:
        DataError: If there is nothing below the header.
    """
    header, _, body = data.partition(b"\n")
    if not body:
        raise DataError("there is no row below the header", file=path)
    return header.decode("utf-8", errors="replace"), body


def read_numbers(
    data: bytes, path: Path, columns: Sequence[NumberColumn], separator: str, *, first_line: int = 1
) -> pd.DataFrame:
    r"""Parses a table that holds nothing but numbers.

    Args:
        data: The rows, without a header, as `read_bytes` returns them.
        path: The file they came from, for messages.
        columns: The columns, in the order of the file.
        separator: What stands between two fields, one or more characters.
        first_line: Line number of the first row in the file.

    Returns:
        A DataFrame with one column per entry of `columns`, of the dtype named there, rows in the file's
        order.

    Raises:
        DataError: At the first line with a missing, surplus, non-numeric or out-of-range field.

    Example:
        >>> user = NumberColumn("user", "int64", 0, 9, "a digit")
        >>> item = NumberColumn("item", "int64", 0, 9, "a digit")
        >>> read_numbers(b"1::2\n3::4", Path("x.dat"), [user, item], "::").to_numpy().tolist()
        [[1, 2], [3, 4]]
    """
    mark = separator.encode()
    body = data
    if len(mark) > 1 and _UNIT_SEPARATOR not in data:
        mark, body = _UNIT_SEPARATOR, data.replace(mark, _UNIT_SEPARATOR)
    rows = data.count(b"\n") + 1
    try:
        # pandas drops surplus fields without a word, so they are counted; a short line that would make up
        # for a long one fails below, as an empty field is no number.
        if len(mark) > 1 or body.count(mark) != rows * (len(columns) - 1):
            raise ValueError("wrong number of fields")
        table = pd.read_csv(
            io.BytesIO(body),
            sep=mark.decode(),
            header=None,
            names=[column.name for column in columns],
            dtype={column.name: column.dtype for column in columns},
            engine="c",
            encoding="latin-1",
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            skip_blank_lines=False,
            index_col=False,
        )
    except (ValueError, OverflowError) as error:
        _raise_at_first_bad_line(data, path, columns, separator, first_line)
        raise DataError(f"not a table of numbers ({error})", file=path) from error
    _check_ranges(table, path, columns, first_line)
    return table


def _check_ranges(table: pd.DataFrame, path: Path, columns: Sequence[NumberColumn], first_line: int) -> None:
    """Refuses a table with a value that its column may not hold."""
    for column in columns:
        values = table[column.name].to_numpy()
        good = (values >= column.low) & (values <= column.high)
        if not good.all():
            bad = int(np.argmin(good))
            raise DataError(
                "out of range" if np.isfinite(values[bad]) else "not a number",
                file=path,
                row=first_line + bad,
                column=column.name,
                expected=column.expected,
                received=values[bad].item(),
            )


def _raise_at_first_bad_line(
    data: bytes, path: Path, columns: Sequence[NumberColumn], separator: str, first_line: int
) -> None:
    """Walks the rows one by one, which is slow, and raises for the first that is wrong."""
    for line, raw in enumerate(io.BytesIO(data), start=first_line):
        fields = _fields(raw.rstrip(b"\n").decode("latin-1"), path, line, [c.name for c in columns], separator)
        for column, text in zip(columns, fields, strict=True):
            problem = column.problem(text)
            if problem is not None:
                raise DataError(
                    problem, file=path, row=line, column=column.name, expected=column.expected, received=text
                )


def _fields(text: str, path: Path, line: int, names: Sequence[str], separator: str) -> list[str]:
    """Splits one line, which must have a field for every name."""
    fields = text.split(separator)
    if len(fields) != len(names):
        raise DataError(
            f"the line has {len(fields)} field{'s' if len(fields) != 1 else ''}",
            file=path,
            row=line,
            expected=f"{len(names)} fields ({', '.join(names)}) separated by {separator!r}",
            received=text[:_LONGEST_QUOTE],
        )
    return fields


def read_text(
    data: bytes,
    path: Path,
    names: Sequence[str],
    separator: str,
    *,
    encoding: str = "utf-8",
    quoted: bool = False,
    first_line: int = 1,
) -> pd.DataFrame:
    r"""Splits a table into text fields.

    Args:
        data: The rows, without a header, as `read_bytes` returns them.
        path: The file they came from, for messages.
        names: Names of the columns, in the order of the file.
        separator: What stands between two fields.
        encoding: ``"utf-8"``, or ``"latin-1"``, where bytes that are valid UTF-8 are still read as that,
            since copies of old files have often been converted.
        quoted: Whether fields may stand in double quotes, as in CSV files; the separator is then one
            character.
        first_line: Line number of the first row in the file.

    Returns:
        A DataFrame of str, one column per name; its index is each row's line number in the file.

    Raises:
        DataError: At the first line with missing or surplus fields, or with bytes of another encoding.

    Example:
        >>> read_text(b"1|Heat (1995)\n2|Alien", Path("x"), ["id", "title"], "|")
          id        title
        1  1  Heat (1995)
        2  2        Alien
    """
    text = _decode(data, path, encoding, first_line)
    rows: list[list[str]] = []
    lines: list[int] = []
    if quoted:
        reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
        try:
            for fields in reader:
                line = first_line + reader.line_num - 1
                if len(fields) != len(names):
                    _fields(separator.join(fields), path, line, names, separator)
                    raise DataError("a field holds the separator", file=path, row=line, expected="quotes")
                rows.append(fields)
                lines.append(line)
        except csv.Error as error:
            raise DataError(f"bad quotes ({error})", file=path, row=first_line + reader.line_num - 1) from error
    else:
        for line, row in enumerate(text.split("\n"), start=first_line):
            rows.append(_fields(row, path, line, names, separator))
            lines.append(line)
    return pd.DataFrame(rows, columns=list(names), index=lines)


def _decode(data: bytes, path: Path, encoding: str, first_line: int) -> str:
    """Decodes a table's bytes as `read_text` documents it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            return data.decode(encoding)
        raise DataError(
            "wrong encoding",
            file=path,
            row=first_line + data.count(b"\n", 0, error.start),
            expected="UTF-8 text",
            received=data[error.start : error.start + 4],
        ) from error


def to_numbers(table: pd.DataFrame, column: NumberColumn, path: Path) -> np.ndarray:
    """Turns one text column of a `read_text` table into numbers.

    Args:
        table: What `read_text` returned.
        column: The column and what it may hold.
        path: The file it came from, for messages.

    Returns:
        Array of shape (rows,) and the column's dtype.

    Raises:
        DataError: At the first field that is empty, no number or out of range.
    """
    texts = table[column.name].tolist()
    for line, text in zip(table.index, texts, strict=True):
        problem = column.problem(text)
        if problem is not None:
            raise DataError(
                problem, file=path, row=int(line), column=column.name, expected=column.expected, received=text
            )
    return np.array(texts, dtype=object).astype(column.dtype)


def require_unique(table: pd.DataFrame, name: str, path: Path) -> None:
    """Refuses a `read_text` table in which a key occurs twice.

    Raises:
        DataError: Naming the key and both lines.
    """
    repeated = table[name].duplicated().to_numpy()
    if repeated.any():
        second = int(np.argmax(repeated))
        key = table[name].iloc[second]
        first = int(np.argmax((table[name] == key).to_numpy()))
        raise DataError(
            f"{name} {key} is already on line {table.index[first]}",
            file=path,
            row=int(table.index[second]),
            column=name,
            expected="each once",
        )
