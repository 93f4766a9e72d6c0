"""Independent readers of the same files, and what a value must be, given the text of its field.

Nothing here comes from kmodels: text is split by Python's `csv` (strict) or at its separator, JSON by `json` with its
numbers as written, Parquet by pyarrow.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

#: From the text of a field and the value that was read to whether that is right.
Right = Callable[[str, Any], bool]
Row = dict[str, str]

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
csv.field_size_limit(2**30)


class UnreadableError(Exception):
    """The independent reader cannot read the file either."""


def texts(data: bytes, *, latin_1: bool = False) -> list[str]:
    """What the bytes may mean."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return [data.decode("utf-8")]
    except UnicodeDecodeError:
        if latin_1:
            return [data.decode("latin-1")]
        raise UnreadableError("not UTF-8") from None


def quoted_rows(text: str, separator: str) -> list[list[str]]:
    """The rows of a text with quotes, without empty lines."""
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row]
    except csv.Error as error:
        raise UnreadableError(str(error)) from error


def plain_rows(text: str, separator: str) -> list[list[str]]:
    """The rows of a text without quotes, without empty lines."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.split(separator) for line in lines if line]


def records(rows: list[list[str]], names: Sequence[str] = ()) -> list[Row]:
    """Rows by the names of their columns, which stand in the first row unless they are given."""
    if not names:
        if not rows:
            raise UnreadableError("no header")
        names, rows = [name.strip() for name in rows[0]], rows[1:]
    if any(len(row) != len(names) for row in rows):
        raise UnreadableError("rows of another length")
    # Of a name that stands twice, the first column counts.
    return [dict(reversed([*zip(names, row, strict=True)])) for row in rows]


def table(path: Path, needed: Sequence[str] = (), *, latin_1: bool = False) -> list[Row]:
    """The rows of a CSV file; its separator is the one that gives the columns that are needed."""
    problem = UnreadableError("no such columns")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableError(str(error)) from error
    for text in texts(data, latin_1=latin_1):
        for separator in ",;\t":
            try:
                found = records(quoted_rows(text, separator))
            except UnreadableError as error:
                problem = error
                continue
            if not found or set(needed) <= set(found[0]):
                return found
    raise problem


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise UnreadableError("a key stands twice")
    return dict(pairs)


def _constant(text: str) -> str:
    return text


def json_rows(path: Path) -> list[Row]:
    """The records of a JSON table: a list, one record a line, or an object of columns; numbers as they are written."""
    options: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": _constant}
    (text,) = texts(path.read_bytes())
    try:
        try:
            content = json.loads(text, object_pairs_hook=_object, **options)
        except json.JSONDecodeError:
            lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
            content = [json.loads(line, object_pairs_hook=_object, **options) for line in lines]
    except (ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error
    if isinstance(content, dict) and all(isinstance(column, list) for column in content.values()):
        if len({len(column) for column in content.values()}) > 1:
            raise UnreadableError("columns of different lengths")
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    content = [content] if isinstance(content, dict) else content
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise UnreadableError("not a table")
    names = dict.fromkeys(name for record in content for name in record)
    return [{name: _written(record.get(name)) for name in names} for record in content]


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def parquet_rows(path: Path) -> list[Row]:
    """The rows of a Parquet file, each value as a text that says it exactly."""
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        whole = parquet.read_table(path)
        columns = {name: whole.column(name).to_pylist() for name in whole.column_names}
    except (arrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise UnreadableError(str(error)) from error
    write = {name: ["" if value is None else str(value) for value in values] for name, values in columns.items()}
    return [dict(zip(write, row, strict=True)) for row in zip(*write.values(), strict=True)]


# --- Whether a value is that of its field


def is_number(text: str) -> bool:
    """Whether a text is a decimal number in ASCII digits that float64 can hold, spaces around it aside."""
    text = text.strip(" ")
    if not _DECIMAL.fullmatch(text):
        return False
    return np.isfinite(float(text)) and (float(text) != 0 or not re.match(r"[^eE]*[1-9]", text))


def number(text: str, value: Any) -> bool:
    """Whether a float64 is the nearest one to a text."""
    return is_number(text) and float(text) == float(value)


def single(text: str, value: Any) -> bool:
    """Whether a float32 is that of a text, which may have been rounded to float64 first."""
    return is_number(text) and np.float32(float(text)) == np.float32(value)


def whole(text: str, value: Any) -> bool:
    """Whether an integer is just what is written."""
    return is_number(text) and len(text) < 1000 and Decimal(text.strip(" ")) == int(value)


def label(text: str, value: Any) -> bool:
    """Whether a text, or a whole number in its usual form, is what is written, space around it aside."""
    return bool(text.strip()) and str(value) == text.strip()


def exact(text: str, value: Any) -> bool:
    return value == text


def stripped(text: str, value: Any) -> bool:
    """Whether a text is what is written, space around it and the kind of its line ends aside."""
    return value == text.strip() or value == text.strip().replace("\r\n", "\n").replace("\r", "\n")


def gap(text: str, value: Any) -> bool:
    """A value for anything that may be missing: a number, a text, or nothing."""
    if value is None or value != value:
        return text.strip().lower() in ("", "nan")
    return value == text.strip() if isinstance(value, str) else number(text.strip(), value)


def differences(rows: Sequence[Row], values: Sequence[dict[str, Any]], right: dict[str, Right]) -> Iterator[str]:
    """Says where the values of a table are not those of its rows."""
    if len(rows) != len(values):
        yield f"{len(rows)} rows in the file, {len(values)} in the table"
        return
    for at, (row, value) in enumerate(zip(rows, values, strict=True)):
        for name, is_right in right.items():
            if name in row and not is_right(row[name], value[name]):
                yield f"row {at + 1}, {name}: {row[name][:80]!r} became {str(value[name])[:80]!r}"
