"""Readers of text, JSON and Parquet tables, in chunks of bounded memory.

Whatever is wrong in a file raises `DataError` with its line and column.
"""

from __future__ import annotations

import csv
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.columns import NumberColumn
from kmodels.datasets.parquet import import_pyarrow, parquet_errors
from kmodels.datasets.sources import decode, encoding_of, open_file, split_name
from kmodels.datasets.tables import TableFile, as_frame, check_width
from kmodels.errors import DataError
from kmodels.files import refuse_bomb

#: Bytes of a text file that are parsed at once. The peak of memory beyond the result is about eight times that.
BLOCK_BYTES = 2**22
#: Rows that are parsed at once where each is read on its own.
BATCH_ROWS = 2**14
#: Characters of the longest record; one that never ends has an open quote, or is no table.
LONGEST_RECORD = 2**24

_SEPARATORS = (",", ";", "\t")
# Characters of JSON that values are parsed from, and that are tried for one.
_PART_LENGTHS = (2**20, LONGEST_RECORD)
_SPACE = re.compile(r"[ \t\n\r]*")
# pandas' C engine takes separators of one byte only. This one is a control character made for the purpose.
_UNIT_SEPARATOR = b"\x1f"
# What a number that is rounded to 0 has: a large exponent, or hundreds of digits.
_TINY = re.compile(rb"[eE]-[0-9]{3}|[0-9.]{300}")
# What a number that is rounded to a whole one has.
_LONG_DIGITS = 17
_LONG = re.compile(rb"[0-9.]{%d}" % _LONG_DIGITS)


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
    match split_name(path)[1]:
        case ".parquet" | ".pq":
            return _open_parquet(path)
        case ".json":
            return _open_json(path)
    with _opened(path) as file:
        head = _first_record(file, path, quoted)
        # Only a whole file shows whether it is latin-1; those that may be are small.
        encoding = encoding_of(head + file.read() if latin_1 else head, path, latin_1=latin_1)
    if not head.strip():
        raise DataError("the file is empty", file=path)
    text = head.decode(encoding)
    if separator is None:
        separator = max(_SEPARATORS, key=text.count)
    layout = _Layout(path, tuple(names), separator, quoted, encoding, header_bytes=0 if names else len(head))
    if not names:
        _, fields = next(_records([text], 1, layout))
        layout = replace(layout, names=tuple(name.strip() for name in fields))
    return TableFile(path, layout.names, lambda labels, numbers: _text_chunks(layout, labels, numbers))


# --- Text ---


@dataclass(frozen=True)
class _Layout:
    """How a text file is written."""

    path: Path
    names: tuple[str, ...]
    separator: str
    quoted: bool
    encoding: str
    header_bytes: int


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A text file after its byte order mark; where lines end in carriage returns alone, they end in newlines here."""
    with open_file(path) as file:
        head = file.readline(LONGEST_RECORD)
        if b"\r" in head.rstrip(b"\r\n"):
            content = (head + file.read()).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            yield io.BytesIO(content.removeprefix(BOM_UTF8))
        else:
            file.seek(len(BOM_UTF8) if head.startswith(BOM_UTF8) else 0)
            yield file


def _line(file: BinaryIO, path: Path) -> bytes:
    """The next line, or the rest of one."""
    line = file.readline(LONGEST_RECORD + 1)
    if len(line) > LONGEST_RECORD:
        raise _too_long(path)
    return line


def _too_long(path: Path, line: int | None = None) -> DataError:
    return DataError("the record does not end", file=path, row=line, expected=f"at most {LONGEST_RECORD} characters")


def _first_record(file: BinaryIO, path: Path, quoted: bool) -> bytes:
    """The first lines up to one that is not empty, and all of its quotes."""
    lines, size, quotes, is_empty = [], 0, 0, True
    while line := _line(file, path):
        lines.append(line)
        size, quotes, is_empty = size + len(line), quotes + line.count(b'"'), is_empty and not line.strip()
        if size > LONGEST_RECORD:
            raise _too_long(path)
        if not is_empty and not (quoted and quotes % 2):
            break
    return b"".join(lines)


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
    while block := file.read(BLOCK_BYTES):
        block += _line(file, layout.path)
        latin_1 = layout.encoding == "latin-1"
        yield line, block.decode("latin-1") if latin_1 else decode(block, layout.path, line)
        line += block.count(b"\n")


def _parse_exactly(
    texts: Iterable[str], line: int, layout: _Layout, labels: Sequence[str], numbers: Sequence[NumberColumn]
) -> Iterator[pd.DataFrame]:
    """Parses lines field by field, as Python's `csv` does where there may be quotes."""
    place = {name: layout.names.index(name) for name in (*labels, *(column.name for column in numbers))}
    records = _records(texts, line, layout)
    while some := list(islice(records, BATCH_ROWS)):
        columns = {name: [fields[place[name]] for _, fields in some] for name in place}
        yield as_frame(layout.path, columns, [number for number, _ in some], numbers)


def _records(texts: Iterable[str], line: int, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """First line of each record that is not empty, and its fields."""
    first, size = line, 0

    def read_lines() -> Iterator[str]:
        nonlocal size
        for text in texts:
            for each in io.StringIO(text, newline="" if layout.quoted else None):
                size += len(each)
                if size > LONGEST_RECORD:
                    raise _too_long(layout.path, first)
                yield each

    lines = read_lines()
    rows: Iterator[tuple[list[str], int]]
    if layout.quoted:
        reader = csv.reader(lines, delimiter=layout.separator, strict=True)
        rows = _read_quoted(reader)
    else:
        stripped = ((text.removesuffix("\n"), read) for read, text in enumerate(lines, start=1))
        rows = ((text.split(layout.separator) if text else [], read) for text, read in stripped)
    try:
        for fields, read in rows:
            size = 0
            if layout.names and fields and len(fields) != len(layout.names):
                listed = ", ".join(layout.names[:6]) + (" …" if len(layout.names) > 6 else "")
                raise DataError(
                    f"the line has {len(fields)} field{'s' if len(fields) != 1 else ''}",
                    file=layout.path,
                    row=first,
                    expected=f"{len(layout.names)} fields ({listed}) separated by {layout.separator!r}",
                    received=layout.separator.join(fields),
                )
            if fields:
                yield first, fields
            first = line + read
    except csv.Error as error:
        raise DataError(f"bad quotes ({error})", file=layout.path, row=first) from error


def _read_quoted(reader: Any) -> Iterator[tuple[list[str], int]]:
    """Records, and the lines read so far; the limit of a field, which the process shares, is raised for each read."""
    while True:
        limit = csv.field_size_limit(LONGEST_RECORD)
        try:
            fields = next(reader, None)
        finally:
            csv.field_size_limit(limit)
        if fields is None:
            return
        yield fields, reader.line_num


def _parse_quickly(
    text: str, line: int, layout: _Layout, labels: Sequence[str], numbers: Sequence[NumberColumn]
) -> pd.DataFrame | None:
    """Parses lines without quotes by pandas; None where it could not, or might read anything otherwise than exactly."""
    text = text.replace("\r\n", "\n").removesuffix("\n") + "\n"
    block, mark = text.encode(), layout.separator.encode()
    # pandas takes space of any kind for a part of a number.
    if any(each in block for each in (b"\r", b"\v", b"\f", b"\t", _UNIT_SEPARATOR) if each != mark):
        return None
    if len(mark) > 1:
        block, mark = block.replace(mark, _UNIT_SEPARATOR), _UNIT_SEPARATOR
    values = np.frombuffer(block, np.uint8)
    is_separator = values == ord(mark)
    ends = np.flatnonzero(values == ord("\n"))
    separators = np.add.reduceat(is_separator, np.r_[0, ends[:-1] + 1], dtype=np.int32)
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
    is_separator[ends] = True
    longest = np.diff(np.flatnonzero(is_separator), prepend=-1).max() - 1
    if any(each.dtype == "int64" for each in numbers) and longest >= _LONG_DIGITS and _LONG.search(block):
        return None
    columns |= {name: columns[name].cat.remove_unused_categories() for name in labels}
    return pd.DataFrame(columns).set_axis(pd.RangeIndex(line, line + len(table)))


# --- JSON ---


def _open_json(path: Path) -> TableFile:
    with _opened(path) as file:
        text = decode(file.read(), path)
    if not text.strip():
        raise DataError("the file is empty", file=path)

    def records() -> Iterator[dict[str, Any]]:
        try:
            for record in _json_rows(text):
                if not isinstance(record, dict):
                    raise DataError("not a table", file=path, expected="a list of records, or an object of columns")
                yield record
        except DataError:
            raise
        except ValueError as error:
            message, line = getattr(error, "msg", error), getattr(error, "lineno", None)
            raise DataError(f"not JSON ({message})", file=path, row=line) from error

    def chunks(labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[pd.DataFrame]:
        wanted, found, row = (*labels, *(column.name for column in numbers)), records(), 1
        while some := list(islice(found, BATCH_ROWS)):
            texts = {name: [_as_text(record.get(name)) for record in some] for name in wanted}
            yield as_frame(path, texts, range(row, row + len(some)), numbers)
            row += len(some)

    names: dict[str, None] = {}
    for record in records():
        names |= dict.fromkeys(record)
        check_width(names, path)
    return TableFile(path, tuple(names), chunks)


class _Number(str):
    """A number of JSON as it is written."""


def _json_rows(text: str) -> Iterator[Any]:
    """The elements of a list, the values of lines or the rows of an object of columns, parsed one after the other."""
    document, at = _Document(text), _after_space(text, 0)
    if text[at] == "[":
        yield from _elements(document, at)
        return
    value, end = document.parse(at)
    is_alone = _after_space(text, end) == len(text)
    if is_alone and isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            raise ValueError("the columns differ in length")
        yield from (dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True))
        return
    yield value
    while (start := _after_space(text, end)) < len(text):
        if "\n" in text[at:end] or "\n" not in text[end:start]:
            raise json.JSONDecodeError("Extra data", text, start)
        at = start
        value, end = document.parse(at)
        yield value


def _elements(document: _Document, at: int) -> Iterator[Any]:
    """The elements of the list that begins at a place of a document and ends with it."""
    text, at = document.text, _after_space(document.text, at + 1)
    more = text[at : at + 1] != "]"
    while more:
        value, end = document.parse(at)
        yield value
        at = _after_space(text, end)
        more = text[at : at + 1] == ","
        if not more and text[at : at + 1] != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _after_space(text, at + 1) if more else at
    if (end := _after_space(text, at + 1)) < len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # which also matches nothing


class _Document:
    """Values of a JSON text, parsed from copies of parts of it: one without end is given up before memory is full."""

    def __init__(self, text: str) -> None:
        self.text, self.part, self.start, self.has_escapes = text, "", 0, False

    def parse(self, at: int) -> tuple[Any, int]:
        """The value at a place, its numbers as they are written, and its end; a ValueError says what is wrong."""
        for length in (0, *_PART_LENGTHS):
            if length:
                self.part, self.start = self.text[at : at + length], at
                self.has_escapes = "\\u" in self.part
            try:
                value, end = _DECODER.raw_decode(self.part, at - self.start)
                if self.has_escapes:
                    json.dumps(value, ensure_ascii=False).encode()
            except RecursionError:
                raise ValueError("too many brackets in one another") from None
            except UnicodeEncodeError:
                raise ValueError("half of a surrogate pair") from None
            except json.JSONDecodeError as error:
                is_cut = error.pos > len(self.part) - 16 or error.msg.startswith("Unterminated string")
                if not is_cut or (length and at + length >= len(self.text)):
                    raise json.JSONDecodeError(error.msg, self.text, self.start + error.pos) from None
            else:
                return value, self.start + end
        raise ValueError(f"a value of more than {length} characters; expected one record a line, or a list of them")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless a key stands twice in it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number, object_pairs_hook=_distinct)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else json.dumps(_with_numbers(value))


def _with_numbers(value: Any) -> Any:
    """A list or an object with its numbers as numbers again."""
    match value:
        case dict():
            return {key: _with_numbers(each) for key, each in value.items()}
        case list():
            return [_with_numbers(each) for each in value]
        case _Number():
            return json.loads(value) if len(value) < 400 else str(value)
    return value


# --- Parquet ---


def _open_parquet(path: Path) -> TableFile:
    arrow, parquet = (import_pyarrow(part, path) for part in ("", ".parquet"))
    with parquet_errors(path):
        schema = parquet.read_schema(path)
        names = tuple(schema.names)
        # As codes of distinct texts, of which a few bytes of the file may be millions.
        of_text = [field.name for field in schema if arrow.types.is_string(field.type)]
        file = parquet.ParquetFile(path, page_checksum_verification=True, read_dictionary=of_text)
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        refuse_bomb(path, max(sum(group.total_byte_size for group in groups), 8 * file.metadata.num_rows * len(names)))

    def numeric(array: Any, column: NumberColumn) -> npt.NDArray[Any] | None:
        if isinstance(array, arrow.DictionaryArray):
            return None
        try:
            values = array.cast(arrow.from_numpy_dtype(column.dtype)).to_numpy(zero_copy_only=False)
        except arrow.ArrowException:
            return None
        return values if ((values >= column.low) & (values <= column.high)).all() else None

    def textual(array: Any) -> list[str]:
        if not isinstance(array, arrow.DictionaryArray):
            return array.cast(arrow.string()).fill_null("").to_pylist()
        codes, places = np.unique(array.indices.cast(arrow.int64()).fill_null(-1), return_inverse=True)
        words = textual(array.dictionary.take(arrow.array(codes, mask=codes < 0)))
        return [words[place] for place in places]

    def chunks(labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[pd.DataFrame]:
        row, size = 1, 0
        with parquet_errors(path):
            for batch in file.iter_batches(BATCH_ROWS, columns=[*labels, *(column.name for column in numbers)]):
                quick = {column.name: numeric(batch.column(column.name), column) for column in numbers}
                # What is no number is found, and named, as text.
                others = [column for column in numbers if quick[column.name] is None]
                wanted = (*labels, *(column.name for column in others))
                texts = {name: textual(batch.column(name)) for name in wanted}
                size += sum(sum(map(len, column)) for column in texts.values())
                refuse_bomb(path, size)  # written out, as columns of text are later
                frame = as_frame(path, texts, range(row, row + len(batch)), others)
                yield frame.assign(**{name: values for name, values in quick.items() if values is not None})
                row += len(batch)

    return TableFile(path, names, chunks)
