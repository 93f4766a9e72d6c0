"""Tables of millions of rows in chunks of bounded memory: chosen columns of a text or Parquet file.

A chunk holds a column either as codes of its distinct texts, so that a million rows of a few words cost a million small
integers, or as numbers.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from kmodels.datasets.columns import NumberColumn, clear_errors, decode, field_count_error
from kmodels.errors import ConfigurationError, DataError

#: Bytes of a text file that are parsed at once. The peak of memory beyond the result is about eight times that.
BLOCK_BYTES = 2**22
#: Rows of a Parquet file that are decoded at once.
BATCH_ROWS = 2**18

_NEWLINE, _QUOTE = b"\n", b'"'
# pandas' C engine takes separators of one byte only. This one is a control character made for the purpose.
_UNIT_SEPARATOR = b"\x1f"


class Chunk(NamedTuple):
    """Some consecutive rows of a table."""

    #: Column -> its distinct texts, and of each row the position there, -1 where a Parquet file has a null.
    labels: Mapping[str, tuple[list[str], npt.NDArray[np.integer[Any]]]]
    #: Column -> (rows,) of its dtype.
    numbers: dict[str, npt.NDArray[Any]]
    #: Line of each row in the file, from 1; in a Parquet file the row of the table.
    lines: Sequence[int] | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Columns:
    """Chosen columns of a whole table, as of a `Chunk`, but labels without space around them and -1 where empty."""

    file: Path
    labels: Mapping[str, tuple[list[str], npt.NDArray[np.integer[Any]]]]
    numbers: dict[str, npt.NDArray[Any]]
    lines: list[Sequence[int] | npt.NDArray[np.int64]]

    def line(self, row: int) -> int:
        """Line of a row in the file."""
        for lines in self.lines:
            if row < len(lines):
                return int(lines[row])
            row -= len(lines)
        raise IndexError(row)

    def error(self, message: str, row: int, column: str, expected: str, received: object) -> DataError:
        """The error of one field."""
        return DataError(
            message, file=self.file, row=self.line(row), column=column, expected=expected, received=received
        )


@dataclass(frozen=True, eq=False)
class TableFile:
    """An opened table: the names of its columns are known, its rows are not read yet."""

    path: Path
    names: tuple[str, ...]
    #: From the names of text columns and the columns of numbers to the rows, a chunk at a time.
    chunks: Callable[[Sequence[str], Sequence[NumberColumn]], Iterator[Chunk]]

    def read(self, labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Columns:
        """All rows of some columns; a column of labels costs one to four bytes a row."""
        known: dict[str, dict[str, int]] = {name: {} for name in labels}
        codes: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in labels}
        values: dict[str, list[npt.NDArray[Any]]] = {column.name: [] for column in numbers}
        lines = []
        for chunk in self.chunks(labels, numbers):
            for name, (texts, own) in chunk.labels.items():
                place = known[name]
                joined = [place.setdefault(text, len(place)) if (text := raw.strip()) else -1 for raw in texts]
                codes[name].append(np.array([*joined, -1], np.min_scalar_type(-len(place) - 1))[own])
            for name, column in chunk.numbers.items():
                values[name].append(column)
            lines.append(chunk.lines)
        found = {name: (list(place), np.concatenate(codes[name])) for name, place in known.items()}
        return Columns(self.path, found, {name: np.concatenate(parts) for name, parts in values.items()}, lines)


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_table(
    path: Path,
    *,
    names: Sequence[str] | None = None,
    header: bool = True,
    separator: str = ",",
    quoted: bool = True,
) -> TableFile:
    """Opens a Parquet file (``.parquet``, ``.pq``) or UTF-8 text; `names` are those of the header unless given."""
    with clear_errors(path), path.open("rb") as file:
        empty = not file.read(1)
    if empty:
        raise DataError("the file is empty", file=path)
    if path.suffix.lower() in (".parquet", ".pq"):
        return _open_parquet(path)
    return _open_text(path, names, header, separator, quoted)


def _progress(path: Path, total: int, unit: str) -> tqdm:
    return tqdm(total=total, desc=path.name, unit=unit, unit_scale=True, delay=2, leave=False, disable=None)


def _check_range(values: npt.NDArray[Any], column: NumberColumn, path: Path, lines: Any) -> None:
    good = (values >= column.low) & (values <= column.high)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            "not a number" if np.isnan(values[row]) else "out of range",
            file=path,
            row=int(lines[row]),
            column=column.name,
            expected=column.expected,
            received=values[row].item(),
        )


# --- Text ---


@dataclass(frozen=True)
class _Format:
    """How a text file is written."""

    path: Path
    names: tuple[str, ...]
    separator: str
    quoted: bool


def _open_text(path: Path, names: Sequence[str] | None, has_header: bool, separator: str, quoted: bool) -> TableFile:
    block, _ = next(_blocks(path, quoted, None), (b"", 1))
    if not block.strip():
        raise DataError("the file is empty", file=path)
    if names is None:
        header = decode(block[: int(_ends(block, quoted)[0][0])], path)
        if not header.strip():
            raise DataError("the line is empty", file=path, row=1, expected="the names of the columns")
        reader = csv.reader([header], delimiter=separator)
        names = [name.strip() for name in (next(reader) if quoted else header.split(separator))]
    layout = _Format(path, tuple(names), separator, quoted)

    def chunks(labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[Chunk]:
        found = False
        with _progress(path, path.stat().st_size, "B") as bar:
            for number, (block, line) in enumerate(_blocks(path, quoted, bar)):
                if number == 0 and has_header:
                    start = int(_ends(block, quoted)[0][0]) + 1
                    line += block.count(_NEWLINE, 0, start)
                    block = block[start:]
                if block:
                    found = True
                    yield _parse(block, line, layout, labels, numbers)
        if not found:
            raise DataError("there is no row below the header", file=path)

    return TableFile(path, layout.names, chunks)


def _blocks(path: Path, quoted: bool, bar: tqdm | None) -> Iterator[tuple[bytes, int]]:
    """Cuts a file between records; gives each block, which ends in a newline, and the number of its first line."""
    line, rest = 1, b""
    with path.open("rb") as file:
        while True:
            read = file.read(BLOCK_BYTES)
            if bar is not None:
                bar.update(len(read))
            data = rest + read
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if not read:
                data = data.rstrip(b"\r\n") + _NEWLINE
            ends, closed = _ends(data, quoted)
            if not (closed if not read else len(ends) or len(data) < 4 * BLOCK_BYTES):
                start = int(ends[-1]) + 1 if len(ends) else 0
                line += data.count(_NEWLINE, 0, start)
                raise DataError("a double quote is opened and not closed", file=path, row=line)
            cut = int(ends[-1]) + 1 if len(ends) else 0
            # Empty lines stay with what follows: at the end of the file they are dropped, elsewhere they are wrong.
            block = data[:cut].rstrip(b"\r\n")
            rest = data[len(block) :]
            if block:
                rest = rest.removeprefix(b"\r").removeprefix(_NEWLINE)
                block = block.replace(b"\r\n", _NEWLINE) + _NEWLINE
                yield block, line
                line += block.count(_NEWLINE)
            if not read:
                return


def _ends(data: bytes, quoted: bool) -> tuple[npt.NDArray[np.int64], bool]:
    """Where records end, which is at each newline outside quotes; and whether all quotes are closed."""
    values = np.frombuffer(data, np.uint8)
    newline = values == _NEWLINE[0]
    if not quoted or _QUOTE not in data:
        return np.flatnonzero(newline), True
    inside = _inside_quotes(values)
    return np.flatnonzero(newline & ~inside), not bool(inside[-1])


def _inside_quotes(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    # A doubled quote closes and opens again, so the parity is right for it too.
    return np.bitwise_and(np.cumsum(values == _QUOTE[0], dtype=np.uint8), 1).astype(bool)


def _parse(
    block: bytes, first_line: int, layout: _Format, labels: Sequence[str], numbers: Sequence[NumberColumn]
) -> Chunk:
    """Parses whole records; each must have a field for every name."""
    path, mark = layout.path, layout.separator.encode()
    if b"\0" in block:
        decode(block, path)
    if len(mark) > 1:
        # A unit separator that is in the file must not be taken for one.
        block, mark = block.replace(_UNIT_SEPARATOR, b"?").replace(mark, _UNIT_SEPARATOR), _UNIT_SEPARATOR
    ends, _ = _ends(block, layout.quoted)
    lines: Sequence[int] | npt.NDArray[np.int64] = range(first_line, first_line + len(ends))
    if block.count(_NEWLINE) > len(ends):
        newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE[0])
        lines = first_line + np.r_[0, np.searchsorted(newlines, ends[:-1]) + 1]
    wrong = _wrong_count(block, ends, mark[0], layout)
    if wrong is not None:
        row, count = wrong
        record = block[int(ends[row - 1]) + 1 if row else 0 : int(ends[row])].replace(mark, layout.separator.encode())
        text = record.decode("utf-8", errors="replace")
        raise field_count_error(path, int(lines[row]), count, layout.names, layout.separator, text)
    place = {name: layout.names.index(name) for name in (*labels, *(column.name for column in numbers))}
    dtypes = {place[name]: "category" for name in labels} | {place[each.name]: each.dtype for each in numbers}
    try:
        table = _read(block, mark, layout, dtypes)
    except (ValueError, OverflowError) as error:
        decode(block, path, first_line=first_line)
        texts = _read(block, mark, layout, dict.fromkeys(dtypes, str))
        _raise_at_first_bad_number(texts, {place[column.name]: column for column in numbers}, path, lines)
        raise DataError(f"not a table ({error})", file=path, row=first_line) from error
    if len(table) != len(ends):
        raise DataError(
            "misplaced double quotes or bare carriage returns below this line",
            file=path,
            row=first_line,
            expected=f"{len(ends)} records",
            received=len(table),
        )
    found = {column.name: table[place[column.name]].to_numpy() for column in numbers}
    for column in numbers:
        _check_range(found[column.name], column, path, lines)
    coded = {name: table[place[name]].cat.remove_unused_categories().cat for name in labels}
    texts_and_codes = {name: (column.categories.tolist(), column.codes.to_numpy()) for name, column in coded.items()}
    return Chunk(texts_and_codes, found, lines)


def _raise_at_first_bad_number(texts: pd.DataFrame, columns: dict[int, NumberColumn], path: Path, lines: Any) -> None:
    """Walks the rows one by one, which is slow, and raises for the first that is wrong."""
    for row, fields in enumerate(texts[list(columns)].itertuples(index=False)):
        for text, column in zip(fields, columns.values(), strict=True):
            if problem := column.problem(text):
                line, expected = int(lines[row]), column.expected
                raise DataError(problem, file=path, row=line, column=column.name, expected=expected, received=text)


def _read(block: bytes, mark: bytes, layout: _Format, dtypes: dict[int, Any]) -> pd.DataFrame:
    # pandas 3 makes numbers of categories that are all numeric, 01 and 1 the same one. A last row of words prevents it.
    words = (b"word" if dtypes.get(place) in ("category", str) else b"0" for place in range(len(layout.names)))
    table = pd.read_csv(
        io.BytesIO(block + mark.join(words) + _NEWLINE),
        sep=mark.decode(),
        header=None,
        names=list(range(len(layout.names))),
        usecols=list(dtypes),
        dtype=dtypes,
        engine="c",
        encoding="utf-8",
        quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
        na_filter=False,
        skip_blank_lines=False,
        index_col=False,
        low_memory=False,
    )
    return table.iloc[:-1]


def _wrong_count(block: bytes, ends: npt.NDArray[np.int64], mark: int, layout: _Format) -> tuple[int, int] | None:
    """The first record with another number of fields, of which pandas would drop or add some without a word."""
    values = np.frombuffer(block, np.uint8)
    separator = values == mark
    if layout.quoted and _QUOTE in block:
        separator &= ~_inside_quotes(values)
    places, wanted = np.flatnonzero(separator), len(layout.names) - 1
    if len(places) == wanted * len(ends):
        if not wanted:
            return None
        # As many as there should be: right if each record's first and last lie between its own ends.
        table = places.reshape(len(ends), wanted)
        if (table[:, -1] < ends).all() and (table[1:, 0] > ends[:-1]).all():
            return None
    counts = np.diff(np.searchsorted(places, ends), prepend=0)
    row = int(np.argmax(counts != wanted))
    return row, int(counts[row]) + 1


# --- Parquet ---


def _open_parquet(path: Path) -> TableFile:
    try:
        arrow, parquet = (importlib.import_module(f"pyarrow{part}") for part in ("", ".parquet"))
        compute = importlib.import_module("pyarrow.compute")
    except ImportError as error:
        raise ConfigurationError(
            f"reading Parquet needs pyarrow: pip install 'kmodels[parquet]'. Received: {path}"
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except arrow.ArrowException as error:
        raise DataError(f"not a Parquet file ({error})", file=path) from error

    def chunks(labels: Sequence[str], numbers: Sequence[NumberColumn]) -> Iterator[Chunk]:
        rows, row = file.metadata.num_rows, 1
        if not rows:
            raise DataError("the table has no rows", file=path)
        with _progress(path, rows, "row") as bar:
            for batch in file.iter_batches(BATCH_ROWS, columns=[*labels, *(column.name for column in numbers)]):
                lines = range(row, row + len(batch))
                coded = {name: _coded(batch.column(name), arrow, compute) for name in labels}
                found = {each.name: _numbers(batch.column(each.name), arrow, path, each, lines) for each in numbers}
                yield Chunk(coded, found, lines)
                row += len(batch)
                bar.update(len(batch))

    return TableFile(path, tuple(file.schema_arrow.names), chunks)


def _coded(column: Any, arrow: Any, compute: Any) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Distinct texts and codes of an Arrow array of any type that can be written as text."""
    coded = column if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = compute.cast(coded.dictionary, arrow.string()).to_pylist()
    return texts, coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)


def _numbers(column: Any, arrow: Any, path: Path, wanted: NumberColumn, lines: range) -> npt.NDArray[Any]:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DataError("the value is missing", file=path, row=lines[row], column=wanted.name, expected=wanted.expected)
    try:
        arrow_type = arrow.from_numpy_dtype(wanted.dtype)
        values: npt.NDArray[Any] = column.cast(arrow_type).to_numpy(zero_copy_only=False)
    except arrow.ArrowException as error:
        raise DataError(
            "not numbers", file=path, column=wanted.name, expected="a column of numbers", received=str(column.type)
        ) from error
    _check_range(values, wanted, path, lines)
    return values
