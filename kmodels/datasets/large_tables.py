"""Tables of millions of rows in chunks of bounded memory: chosen columns of a CSV or Parquet file.

A chunk holds a column either as codes of its distinct texts, so that a million rows of a few words cost a million small
integers, or as float64 numbers. What is wrong in the file is told with its line.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from kmodels.errors import ConfigurationError, DataError

#: Bytes of a CSV file that are parsed at once. The peak of memory beyond the result is about eight times that.
BLOCK_BYTES = 2**22
#: Rows of a Parquet file that are decoded at once.
BATCH_ROWS = 2**18

_SEPARATOR, _NEWLINE, _QUOTE = b",", b"\n", b'"'


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some consecutive rows of a table.

    Attributes:
        labels: Name of a column -> its distinct texts, and for each row the position there, integers (rows,), -1 where
            a Parquet file has a null.
        numbers: Name of a column -> float64 (rows,), nan where a Parquet file has a null.
        line: Row of the chunk, from 0 -> its line in the file, from 1; in a Parquet file the row of the table, from 1.
    """

    labels: dict[str, tuple[list[str], npt.NDArray[np.integer[Any]]]]
    numbers: dict[str, npt.NDArray[np.float64]]
    line: Callable[[int], int]


@dataclass(frozen=True, eq=False)
class TableFile:
    """An opened table: its columns are known, its rows are not read yet.

    Attributes:
        names: Names of the columns, in the file's order.
        chunks: (labels, numbers, digest) -> the rows as chunks: of the columns named in `labels` and in `numbers`;
            `digest` takes the file's bytes.
    """

    names: tuple[str, ...]
    chunks: Callable[[Sequence[str], Sequence[str], hashlib._Hash], Iterator[Chunk]]


def open_table(path: Path) -> TableFile:
    r"""Reads the names of the columns of a CSV or Parquet file.

    Args:
        path: The file. One that ends in ``.parquet`` or ``.pq`` is Parquet, every other is CSV: UTF-8, commas, fields
            with commas in double quotes, a header line.

    Returns:
        The names and the way to the rows.

    Raises:
        DataError: If the file is missing, empty, no such table, or names a column twice.
        ConfigurationError: If it is Parquet and pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.csv").write_text("id,paid\nx,2\ny,3\nx,4\n")
        ...     table = open_table(Path(folder) / "a.csv")
        ...     (chunk,) = table.chunks(["id"], ["paid"], hashlib.sha256())
        >>> table.names, chunk.labels["id"][0], chunk.labels["id"][1].tolist(), chunk.numbers["paid"].tolist()
        (('id', 'paid'), ['x', 'y'], [0, 1, 0], [2.0, 3.0, 4.0])
    """
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", file=path) from error
    if empty:
        raise DataError("the file is empty", file=path)
    table = _open_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _open_csv(path)
    for name in table.names:
        if table.names.count(name) > 1:
            raise DataError("the header names this column twice", file=path, column=name)
    return table


def _progress(path: Path, total: int, unit: str) -> tqdm:
    return tqdm(total=total, desc=path.name, unit=unit, unit_scale=True, delay=2, leave=False, disable=None)


# --- CSV ---


def _open_csv(path: Path) -> TableFile:
    block, _ = next(_blocks(path, hashlib.sha256(), None), (b"", 1))
    if not block:
        raise DataError("the file is empty", file=path)
    header = _text(block[: int(_ends(block)[0][0])], path, 1)
    if not header.strip():
        raise DataError("the line is empty", file=path, row=1, expected="the names of the columns")
    names = tuple(name.strip() for name in next(csv.reader(io.StringIO(header, newline=""))))

    def chunks(labels: Sequence[str], numbers: Sequence[str], digest: hashlib._Hash) -> Iterator[Chunk]:
        found = False
        with _progress(path, path.stat().st_size, "B") as bar:
            for number, (block, line) in enumerate(_blocks(path, digest, bar)):
                if number == 0:
                    start = int(_ends(block)[0][0]) + 1
                    line += block.count(_NEWLINE, 0, start)
                    block = block[start:]
                if block:
                    found = True
                    yield _parse(block, line, path, names, labels, numbers)
        if not found:
            raise DataError("there is no row below the header", file=path)

    return TableFile(names, chunks)


def _blocks(path: Path, digest: hashlib._Hash, bar: tqdm | None) -> Iterator[tuple[bytes, int]]:
    """Cuts a file between records; gives each block, which ends in a newline, and the number of its first line."""
    line, rest = 1, b""
    with path.open("rb") as file:
        while True:
            read = file.read(BLOCK_BYTES)
            digest.update(read)
            if bar is not None:
                bar.update(len(read))
            data = rest + read
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if not read:
                data = data.rstrip(b"\r\n") + _NEWLINE
            ends, closed = _ends(data)
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


def _ends(data: bytes) -> tuple[npt.NDArray[np.int64], bool]:
    """Where records end, which is at each newline outside quotes; and whether all quotes are closed."""
    values = np.frombuffer(data, np.uint8)
    newline = values == _NEWLINE[0]
    if _QUOTE not in data:
        return np.flatnonzero(newline), True
    inside = _inside_quotes(values)
    return np.flatnonzero(newline & ~inside), not bool(inside[-1])


def _inside_quotes(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    # A doubled quote closes and opens again, so the parity is right for it too.
    return np.bitwise_and(np.cumsum(values == _QUOTE[0], dtype=np.uint8), 1).astype(bool)


def _parse(
    block: bytes, first_line: int, path: Path, names: Sequence[str], labels: Sequence[str], numbers: Sequence[str]
) -> Chunk:
    """Parses whole records; each must have a field for every name."""
    ends, _ = _ends(block)

    def line(row: int) -> int:
        return first_line + block.count(_NEWLINE, 0, int(ends[row - 1]) + 1 if row else 0)

    def record(row: int) -> str:
        start = int(ends[row - 1]) + 1 if row else 0
        return _text(block[start : int(ends[row])], path, line(row))

    _check_fields(block, ends, path, names, line, record)
    place = {name: names.index(name) for name in (*labels, *numbers)}
    if b"\0" in block:
        raise DataError("wrong encoding", file=path, expected="UTF-8 text", received="zero bytes, as in UTF-16")
    try:
        dtypes = {place[name]: "category" for name in labels} | {place[name]: "float64" for name in numbers}
        table = _read(block, len(names), dtypes)
    except UnicodeDecodeError:
        _text(block, path, first_line)
        raise
    except ValueError as error:
        for name in numbers:
            _raise_at_first_bad_number(_read(block, len(names), {place[name]: str})[place[name]], path, name, line)
        raise DataError(f"not a table ({error})", file=path, row=first_line) from error
    if len(table) != len(ends):
        raise DataError(
            "misplaced double quotes or bare carriage returns below this line",
            file=path,
            row=first_line,
            expected=f"{len(ends)} records",
            received=len(table),
        )
    coded = {name: table[place[name]].cat.remove_unused_categories().cat for name in labels}
    return Chunk(
        labels={name: (column.categories.tolist(), column.codes.to_numpy()) for name, column in coded.items()},
        numbers={name: table[place[name]].to_numpy() for name in numbers},
        line=line,
    )


def _read(block: bytes, n_columns: int, dtypes: dict[int, Any]) -> pd.DataFrame:
    # pandas 3 makes numbers of categories that are all numeric, 01 and 1 the same one. A last row of words prevents it.
    words = _SEPARATOR.join(b"0" if dtypes.get(place) == "float64" else b"word" for place in range(n_columns))
    table = pd.read_csv(
        io.BytesIO(block + words + _NEWLINE),
        header=None,
        names=list(range(n_columns)),
        usecols=list(dtypes),
        dtype=dtypes,
        engine="c",
        encoding="utf-8",
        na_filter=False,
        skip_blank_lines=False,
        index_col=False,
        low_memory=False,
    )
    return table.iloc[:-1]


def _check_fields(
    block: bytes,
    ends: npt.NDArray[np.int64],
    path: Path,
    names: Sequence[str],
    line: Callable[[int], int],
    record: Callable[[int], str],
) -> None:
    """Counts the separators of each record, of which pandas would drop or add some without a word."""
    values = np.frombuffer(block, np.uint8)
    separator = values == _SEPARATOR[0]
    if _QUOTE in block:
        separator &= ~_inside_quotes(values)
    places, wanted = np.flatnonzero(separator), len(names) - 1
    if len(places) == wanted * len(ends):
        if not wanted:
            return
        # As many as there should be: right if each record's first and last lie between its own ends.
        table = places.reshape(len(ends), wanted)
        if (table[:, -1] < ends).all() and (table[1:, 0] > ends[:-1]).all():
            return
    counts = np.diff(np.searchsorted(places, ends), prepend=0)
    row = int(np.argmax(counts != wanted))
    fields = int(counts[row]) + 1
    raise DataError(
        f"the line has {fields} field{'s' if fields > 1 else ''}",
        file=path,
        row=line(row),
        expected=f"{len(names)}, as in the header, separated by commas",
        received=record(row)[:80],
    )


def _raise_at_first_bad_number(texts: pd.Series, path: Path, name: str, line: Callable[[int], int]) -> None:
    for row, text in enumerate(texts):
        try:
            good = not math.isnan(float(text))
        except ValueError:
            good = False
        # float() takes digits grouped by underscores, which is no number in a table.
        if not good or "_" in text:
            raise DataError(
                "not a number" if text.strip() else "the field is empty",
                file=path,
                row=line(row),
                column=name,
                expected="a number",
                received=text,
            )


def _text(data: bytes, path: Path, first_line: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "wrong encoding",
            file=path,
            row=first_line + data.count(_NEWLINE, 0, error.start),
            expected="UTF-8 text",
            received=data[error.start : error.start + 4],
        ) from error


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

    def chunks(labels: Sequence[str], numbers: Sequence[str], digest: hashlib._Hash) -> Iterator[Chunk]:
        with path.open("rb") as bytes_of_file:
            while block := bytes_of_file.read(BLOCK_BYTES):
                digest.update(block)
        if not file.metadata.num_rows:
            raise DataError("the table has no rows", file=path)
        row = 1
        batches = file.iter_batches(BATCH_ROWS, columns=[*labels, *numbers])
        with _progress(path, file.metadata.num_rows, "row") as bar:
            for batch in batches:
                yield Chunk(
                    labels={name: _coded(batch.column(name), arrow, compute) for name in labels},
                    numbers={name: _numbers(batch.column(name), arrow, path, name) for name in numbers},
                    line=partial(operator.add, row),
                )
                row += len(batch)
                bar.update(len(batch))

    return TableFile(tuple(file.schema_arrow.names), chunks)


def _coded(column: Any, arrow: Any, compute: Any) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Distinct texts and codes of an Arrow array of any type that can be written as text."""
    coded = column if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = compute.cast(coded.dictionary, arrow.string()).to_pylist()
    return texts, coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)


def _numbers(column: Any, arrow: Any, path: Path, name: str) -> npt.NDArray[np.float64]:
    try:
        return column.cast(arrow.float64()).to_numpy(zero_copy_only=False)
    except arrow.ArrowException as error:
        raise DataError(
            "not numbers", file=path, column=name, expected="a column of numbers", received=str(column.type)
        ) from error
