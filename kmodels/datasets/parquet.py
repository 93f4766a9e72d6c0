"""Tables of Parquet files that are read row group by row group, whatever their size."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kmodels.datasets.sources import clear_errors, split_name
from kmodels.errors import ConfigurationError, DataError

__all__ = ["ParquetTable"]

SUFFIXES = (".parquet", ".pq")
#: Rows of the largest row group: of three columns of 8 bytes it takes 800 MB.
MOST_ROWS = 2**25
#: Row groups that a sample is drawn from.
SAMPLED_GROUPS = 32


class Group(NamedTuple):
    """A row group."""

    file: Path
    number: int  # in the file, from 0
    rows: int
    before: int  # rows of the file before it


class ParquetTable:
    """A table of any size in Parquet: one file, or a folder of files, of which a row group is in memory at a time.

    The footers of all files are read at once, so that a damaged file, or one whose columns or types differ, is refused
    before any row is read.

    Args:
        path: A file, or a folder whose files `*.parquet` and `*.pq` are taken in the order of their names.
        columns: Columns that are needed; others are not read. None, the default, takes all columns of the first file.

    Attributes:
        path: The file or folder.
        files: The files.
        columns: Names of the columns.
        groups: The row groups, each with `file`, `number` in the file (from 0) and `rows`.
        rows: Number of rows.

    Raises:
        DataError: A file is missing, cut short or no Parquet, lacks a column or has another type of it than the first
            one, there are no rows, or a row group has more than 2**25 rows.
        ConfigurationError: If pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> table = pd.DataFrame({"x": range(10), "y": 0.5})
        >>> table[:6].to_parquet(folder / "0.parquet", row_group_size=4)
        >>> table[6:].to_parquet(folder / "1.parquet")
        >>> parts = ParquetTable(folder, ["x"])
        >>> parts.rows, [group.rows for group in parts.groups]
        (10, [4, 2, 4])
        >>> parts.read(1)["x"].tolist()
        [4, 5]
    """

    def __init__(self, path: str | Path, columns: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self.files = _files(self.path)
        parquet = import_pyarrow(".parquet", self.path)
        self._footers, first = {}, None
        for file in self.files:
            with parquet_errors(file):
                footer = parquet.read_metadata(file)
                schema = footer.schema.to_arrow_schema()
            if first is None:
                first, columns = schema, list(schema.names if columns is None else columns)
            for name in columns or ():
                _check_column(name, schema, first, file)
            self._footers[file] = footer
        self.columns = list(columns or ())
        self.groups = [group for file, footer in self._footers.items() for group in _groups(file, footer)]
        self.rows = sum(group.rows for group in self.groups)
        if not self.rows:
            raise DataError("the table has no rows", file=self.path)
        if (largest := max(self.groups, key=lambda group: group.rows)).rows > MOST_ROWS:
            expected = f"at most {MOST_ROWS} rows"
            raise DataError("a row group is too large", file=largest.file, expected=expected, received=largest.rows)

    def read(self, group: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Reads a row group.

        Args:
            group: Its position in `groups`.
            columns: Some of the columns. None, the default, reads all of `columns`.

        Returns:
            Its rows, whose index has each row's number in the file, from 1. Integers with missing values are floats.

        Raises:
            DataError: If the file has been damaged or changed.
        """
        file, number, rows, before = self.groups[group]
        parquet = import_pyarrow(".parquet", self.path)
        with (
            parquet_errors(file),
            parquet.ParquetFile(file, metadata=self._footers[file], page_checksum_verification=True) as opened,
        ):
            # In this thread: Arrow's own ones crashed in its allocator, beside threads that come and go (arrow#50471).
            wanted = self.columns if columns is None else list(columns)
            table = opened.read_row_group(number, columns=wanted, use_threads=False)
            frame = table.to_pandas(ignore_metadata=True, use_threads=False)
        if len(frame) != rows:
            raise DataError("the file has changed", file=file, expected=f"{rows} rows", received=len(frame))
        frame.index = pd.RangeIndex(before + 1, before + rows + 1)
        return frame

    def sample(self, rows: int, *, seed: int = 0) -> pd.DataFrame:
        """Draws rows at random from 32 row groups, or as many more as it takes, drawn at random themselves.

        What is fitted to it, such as a `TableEncoder`, knows the table as far as those groups resemble the others.

        Args:
            rows: Number of rows; all rows where the table has fewer.
            seed: Any integer from 0. Default 0.

        Returns:
            The rows, in the order of the table, numbered from 0.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.groups))
        total = np.cumsum([self.groups[group].rows for group in order])
        taken = max(min(SAMPLED_GROUPS, len(order)), int(np.searchsorted(total, min(rows, self.rows))) + 1)
        groups = np.sort(order[:taken])
        ends = np.cumsum([self.groups[group].rows for group in groups])
        chosen = np.sort(rng.choice(ends[-1], min(rows, int(ends[-1])), replace=False))
        parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
        starts = [0, *ends[:-1].tolist()]
        pieces = [self.read(int(at)).iloc[part - start] for at, part, start in zip(groups, parts, starts, strict=True)]
        return pd.concat(pieces, ignore_index=True)


def import_pyarrow(part: str, path: Path) -> Any:
    """A module of pyarrow, which is an extra, to read a file: "" or such as ".parquet"."""
    try:
        return importlib.import_module(f"pyarrow{part}")
    except ImportError as error:
        raise ConfigurationError(
            f"reading Parquet needs pyarrow: pip install 'kmodels[parquet]'. Received: {path}"
        ) from error


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Says of a Parquet file that it is missing, damaged, or why it cannot be read."""
    with clear_errors(path):
        try:
            yield
        except Exception as error:
            if isinstance(error, DataError) or (isinstance(error, OSError) and error.strerror):
                raise
            # pyarrow raises whatever a damaged file makes it trip over: ArrowInvalid, UnicodeDecodeError, MemoryError …
            raise DataError(f"not a Parquet file, or a damaged one ({error})", file=path) from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if split_name(file)[1] in SUFFIXES)
    if not files:
        raise DataError("no Parquet file is in the folder", file=path, expected="files ending in .parquet or .pq")
    return files


def _groups(file: Path, footer: Any) -> Iterator[Group]:
    before = 0
    for number in range(footer.num_row_groups):
        rows = footer.row_group(number).num_rows
        yield Group(file, number, rows, before)
        before += rows


def _check_column(name: str, schema: Any, first: Any, file: Path) -> None:
    """Refuses a file that lacks a column, has it twice, or has another type of it than the first file."""
    if schema.names.count(name) != 1:
        what = "lacks" if name not in schema.names else "has two of"
        raise DataError(f"the file {what} a column", file=file, column=name, received=schema.names)
    if (found := schema.field(name).type) != (expected := first.field(name).type):
        raise DataError(
            "another type than in the first file", file=file, column=name, expected=str(expected), received=str(found)
        )
