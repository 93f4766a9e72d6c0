"""Tables of any source: text, JSON and Parquet files, read in chunks of bounded memory.

A table holds a column as numbers, or as codes of its distinct texts, so that a million rows of a few words cost a
million small integers. Whatever is wrong in a file raises `DataError` with its line and column.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from kmodels.datasets.columns import NumberColumn, clear_errors, decode, field_count_error, parse_columns
from kmodels.errors import ConfigurationError, DataError

__all__ = ["parse_columns"]

#: Bytes of a text file that are parsed at once. The peak of memory beyond the result is about eight times that.
BLOCK_BYTES = 2**22
#: Rows that are parsed at once where each is read on its own.
BATCH_ROWS = 2**14
#: Characters of the longest field; one that never ends is an open quote.
LONGEST_FIELD = 2**24

_SEPARATORS = (",", ";", "\t")
_LONGEST_QUOTE = 80
# pandas' C engine takes separators of one byte only. This one is a control character made for the purpose.
_UNIT_SEPARATOR = b"\x1f"
# What a number that is rounded to 0 has: a large exponent, or hundreds of digits.
_TINY = re.compile(rb"[eE]-[0-9]{3}|[0-9.]{300}")

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
        value = self.frame[column].iloc[row] if received is None else received
        is_json = self.file.suffix.lower() == ".json"
        return DataError(
            f"record {self.line(row)}: {message}" if is_json else message,
            file=self.file,
            row=None if is_json else self.line(row),
            column=self.written.get(column, column),
            expected=expected,
            received=value[:_LONGEST_QUOTE] if isinstance(value, str) else value,
        )

    def select(self, columns: Mapping[str, str]) -> Table:
        """The columns of a map from new names to the file's, in its order."""
        frame = self.frame[list(columns.values())].set_axis(list(columns), axis=1)
        return replace(self, frame=frame, written=columns)

    def parse(self, name: str, read: Callable[[str], Any], expected: str) -> list[Any]:
        """Each field of a column of text as `read` makes it; a ValueError becomes the error of the field."""
        column = self.frame[name].cat
        codes, values, problems = column.codes.to_numpy(), [], {}
        for code, text in enumerate(column.categories):
            try:
                values.append(read(text))
            except ValueError as error:
                values.append(None)
                problems[code] = error
        if problems:
            row = int(np.argmax(np.isin(codes, list(problems))))
            problem = problems[codes[row]]
            raise self.error(str(problem), row, name, expected) from problem
        return [values[code] for code in codes]

    def numbers(self, column: NumberColumn) -> npt.NDArray[Any]:
        """One column of text as numbers (rows,) of its dtype."""
        return np.array(self.parse(column.name, column.parse, column.expected), dtype=object).astype(column.dtype)

    def labels(self, name: str) -> tuple[list[str], npt.NDArray[np.integer[Any]]]:
        """Distinct texts of a column, without space around them, and each row's position there, -1 where empty."""
        column, place = self.frame[name].cat, dict[str, int]()
        codes = [place.setdefault(text, len(place)) if (text := raw.strip()) else -1 for raw in column.categories]
        return list(place), np.array(codes, np.min_scalar_type(-len(place) - 1))[column.codes]

    def text(self, name: str) -> list[str]:
        """One column of text that must not be empty."""

        def read(text: str) -> str:
            if not text.strip():
                raise ValueError("the field is empty")
            return text

        return self.parse(name, read, "text")

    def require_unique(self, name: str, values: npt.ArrayLike) -> None:
        """Refuses a column of ids, whose parsed values are given, in which one occurs twice."""
        keys = pd.Series(values, dtype=object)
        repeated = keys.duplicated().to_numpy()
        if repeated.any():
            second = int(np.argmax(repeated))
            first = self.line(int(np.argmax((keys == keys[second]).to_numpy())))
            raise self.error(f"{name} {keys[second]} is already on line {first}", second, name, "each once")


@dataclass(frozen=True, eq=False)
class TableFile:
    """An opened table: the names of its columns are known, its rows are not read yet."""

    path: Path
    names: tuple[str, ...]
    chunks: Chunks

    def read(self, labels: Sequence[str] | None = None, numbers: Sequence[NumberColumn] = ()) -> Table:
        """All rows of some columns, of None all as text; a column of text costs one to four bytes a row."""
        labels = tuple(dict.fromkeys(self.names)) if labels is None else labels
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


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_table(
    path: Path,
    *,
    names: Sequence[str] = (),
    separator: str | None = None,
    quoted: bool = True,
    latin_1: bool = False,
) -> TableFile:
    """Opens a Parquet file (``.parquet``, ``.pq``), JSON (``.json``) or text, without a header where `names` are given.

    JSON may be a list of records, one record per line, or an object of columns (lists); numbers there are written out,
    null is empty. Text is UTF-8, or latin-1 where that is allowed; empty lines are left out. Without a separator it is
    whichever of comma, semicolon and tab the header has most of.
    """
    match path.suffix.lower():
        case ".parquet" | ".pq":
            return _open_parquet(path)
        case ".json":
            return _open_json(path)
    with _opened(path) as file:
        head = _first_record(file, quoted)
    if not head.strip():
        raise DataError("the file is empty", file=path)
    text = decode(head, path, latin_1)
    if separator is None:
        separator = max(_SEPARATORS, key=text.count)
    layout = _Layout(path, tuple(names), separator, quoted, latin_1, header_bytes=0 if names else len(head))
    if not names:
        _, fields = next(_records([text], 1, layout))
        layout = replace(layout, names=tuple(name.strip() for name in fields))
    return TableFile(path, layout.names, lambda labels, numbers: _text_chunks(layout, labels, numbers))


def _as_frame(
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


# --- Text ---


@dataclass(frozen=True)
class _Layout:
    """How a text file is written."""

    path: Path
    names: tuple[str, ...]
    separator: str
    quoted: bool
    latin_1: bool
    header_bytes: int


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A text file after its byte order mark; where lines end in carriage returns alone, they end in newlines here."""
    with clear_errors(path), path.open("rb") as file:
        head = file.readline()
        if b"\r" in head.rstrip(b"\r\n"):
            content = (head + file.read()).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            yield io.BytesIO(content.removeprefix(BOM_UTF8))
        else:
            file.seek(len(BOM_UTF8) if head.startswith(BOM_UTF8) else 0)
            yield file


def _first_record(file: BinaryIO, quoted: bool) -> bytes:
    """The first lines up to one that is not empty, and all of its quotes."""
    head = b""
    for line in file:
        head += line
        if head.strip() and not (quoted and head.count(b'"') % 2):
            break
    return head


def _text_chunks(layout: _Layout, labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[pd.DataFrame]:
    with _opened(layout.path) as file:
        blocks = _blocks(file, layout)
        for line, text in blocks:
            if layout.quoted and '"' in text:
                # A field may go on in the next block.
                yield from _parse_exactly(chain([text], (more for _, more in blocks)), line, layout, labels, numbers)
                return
            frame = _parse_quickly(text, line, layout, labels, numbers)
            if frame is not None:
                yield frame
            else:
                yield from _parse_exactly([text], line, layout, labels, numbers)


def _blocks(file: BinaryIO, layout: _Layout) -> Iterator[tuple[int, str]]:
    """Whole lines, and the number of the first."""
    line = 1 + file.read(layout.header_bytes).count(b"\n")
    # Only a whole file shows whether it is latin-1; those that may be are small.
    while block := file.read(-1 if layout.latin_1 else BLOCK_BYTES):
        block += file.readline()
        yield line, decode(block, layout.path, layout.latin_1, line)
        line += block.count(b"\n")


def _parse_exactly(
    texts: Iterable[str], line: int, layout: _Layout, labels: Sequence[str], numbers: Sequence[NumberColumn]
) -> Iterator[pd.DataFrame]:
    """Parses lines field by field, as Python's `csv` does where there may be quotes."""
    place = {name: layout.names.index(name) for name in (*labels, *(column.name for column in numbers))}
    records = _records(texts, line, layout)
    while some := list(islice(records, BATCH_ROWS)):
        columns = {name: [fields[place[name]] for _, fields in some] for name in place}
        yield _as_frame(layout.path, columns, [number for number, _ in some], numbers)


def _records(texts: Iterable[str], line: int, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """First line of each record that is not empty, and its fields."""
    lines = chain.from_iterable(io.StringIO(text, newline="" if layout.quoted else None) for text in texts)
    rows: Iterator[tuple[list[str], int]]
    if layout.quoted:
        reader = csv.reader(lines, delimiter=layout.separator, strict=True)
        rows = ((fields, reader.line_num) for fields in reader)
    else:
        stripped = ((text.removesuffix("\n"), read) for read, text in enumerate(lines, start=1))
        rows = ((text.split(layout.separator) if text else [], read) for text, read in stripped)
    first, limit = line, csv.field_size_limit(LONGEST_FIELD)
    try:
        for fields, read in rows:
            if layout.names and fields and len(fields) != len(layout.names):
                received = layout.separator.join(fields)
                raise field_count_error(layout.path, first, len(fields), layout.names, layout.separator, received)
            if fields:
                yield first, fields
            first = line + read
    except csv.Error as error:
        raise DataError(f"bad quotes ({error})", file=layout.path, row=first) from error
    finally:
        csv.field_size_limit(limit)


def _parse_quickly(
    text: str, line: int, layout: _Layout, labels: Sequence[str], numbers: Sequence[NumberColumn]
) -> pd.DataFrame | None:
    """Parses lines without quotes by pandas; None where it could not, or might read anything otherwise than exactly."""
    text = text.replace("\r\n", "\n").removesuffix("\n") + "\n"
    block, mark = text.encode(), layout.separator.encode()
    if b"\r" in block or _UNIT_SEPARATOR in block:
        return None
    if len(mark) > 1:
        block, mark = block.replace(mark, _UNIT_SEPARATOR), _UNIT_SEPARATOR
    values = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(values == ord("\n"))
    separators = np.add.reduceat(values == ord(mark), np.r_[0, ends[:-1] + 1], dtype=np.int32)
    # Of lines with another number of fields pandas would drop or add some without a word.
    if (separators != len(layout.names) - 1).any() or (len(layout.names) == 1 and b"\n\n" in block):
        return None
    place = {name: layout.names.index(name) for name in (*labels, *(column.name for column in numbers))}
    dtypes = {place[name]: "category" for name in labels} | {place[each.name]: each.dtype for each in numbers}
    # pandas 3 makes numbers of categories that are all numeric, 01 and 1 the same one. A last row of words prevents it.
    words = (b"word" if dtypes.get(number) == "category" else b"0" for number in range(len(layout.names)))
    try:
        table = pd.read_csv(
            io.BytesIO(block + mark.join(words) + b"\n"),
            sep=mark.decode(),
            header=None,
            names=list(range(len(layout.names))),
            usecols=list(dtypes),
            dtype=dtypes,
            engine="c",
            encoding="utf-8",
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            skip_blank_lines=False,
            index_col=False,
            low_memory=False,
        ).iloc[:-1]
    except (ValueError, OverflowError):
        return None
    columns = {name: table[number] for name, number in place.items()}
    if len(table) != len(ends) or not all(columns[each.name].between(each.low, each.high).all() for each in numbers):
        return None
    if any((columns[each.name] == 0).any() for each in numbers) and _TINY.search(block):
        return None
    columns |= {name: columns[name].cat.remove_unused_categories() for name in labels}
    return pd.DataFrame(columns).set_axis(pd.RangeIndex(line, line + len(table)))


# --- JSON ---


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


def _open_json(path: Path) -> TableFile:
    with _opened(path) as file:
        text = decode(file.read(), path)
    if not text.strip():
        raise DataError("the file is empty", file=path)
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as error:
        try:
            content = [json.loads(line) for line in text.split("\n") if line.strip()]
        except json.JSONDecodeError:
            raise DataError(f"not JSON ({error.msg})", file=path, row=error.lineno) from error
    if isinstance(content, dict) and all(isinstance(column, list) for column in content.values()):
        lengths = {len(column) for column in content.values()}
        if len(lengths) > 1:
            raise DataError("the columns differ in length", file=path)
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise DataError("not a table", file=path, expected="a list of records, or an object of columns")

    def chunks(labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[pd.DataFrame]:
        wanted = (*labels, *(column.name for column in numbers))
        texts = {name: [_as_text(record.get(name)) for record in content] for name in wanted}
        if content:
            yield _as_frame(path, texts, range(1, len(content) + 1), numbers)

    return TableFile(path, tuple(dict.fromkeys(name for record in content for name in record)), chunks)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


# --- Parquet ---


def _open_parquet(path: Path) -> TableFile:
    try:
        arrow, parquet = (importlib.import_module(f"pyarrow{part}") for part in ("", ".parquet"))
    except ImportError as error:
        raise ConfigurationError(
            f"reading Parquet needs pyarrow: pip install 'kmodels[parquet]'. Received: {path}"
        ) from error
    try:
        with clear_errors(path):
            file = parquet.ParquetFile(path)
    except arrow.ArrowException as error:
        raise DataError(f"not a Parquet file ({error})", file=path) from error

    def numeric(array: Any, column: NumberColumn, lines: range) -> npt.NDArray[Any]:
        try:
            values: npt.NDArray[Any] = array.cast(arrow.from_numpy_dtype(column.dtype)).to_numpy(zero_copy_only=False)
        except arrow.ArrowException as error:
            message, received = "not numbers", str(array.type)
            expected = "a column of numbers"
            raise DataError(message, file=path, column=column.name, expected=expected, received=received) from error
        if not (good := (values >= column.low) & (values <= column.high)).all():
            row = int(np.argmin(good))
            message = "out of range" if array[row].is_valid else "the value is missing"
            table = Table(path, pd.DataFrame({column.name: array.to_numpy(zero_copy_only=False)}, index=lines))
            raise table.error(message, row, column.name, column.expected)
        return values

    def textual(array: Any) -> pd.Categorical[Any]:
        coded = array.cast(arrow.string()).fill_null("").dictionary_encode()
        return pd.Categorical.from_codes(coded.indices, pd.Index(coded.dictionary.to_pylist(), dtype=object))

    def chunks(labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[pd.DataFrame]:
        row = 1
        for batch in file.iter_batches(BATCH_ROWS, columns=[*labels, *(column.name for column in numbers)]):
            lines = range(row, row + len(batch))
            columns: dict[str, Any] = {name: textual(batch.column(name)) for name in labels}
            columns |= {each.name: numeric(batch.column(each.name), each, lines) for each in numbers}
            yield pd.DataFrame(columns, index=lines)
            row += len(batch)

    return TableFile(path, tuple(file.schema_arrow.names), chunks)
