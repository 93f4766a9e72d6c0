"""Files of a data set: found, opened and decoded, with errors that say what is wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kmodels.errors import DataError
from kmodels.files import refuse_bomb

#: Endings of the files that are taken for tables in a folder; ``.gz`` may follow those of text.
SUFFIXES = (".csv", ".tsv", ".json", ".parquet", ".pq")

_UTF_8_LETTER = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")


def split_name(path: Path) -> tuple[str, str]:
    """A file's name without its ending, and the ending in small letters, without ``.gz`` after it."""
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.stem, inner.suffix.lower()


def table_files(folder: Path) -> list[Path]:
    """The tables in a folder, by name."""
    return sorted(file for file in folder.iterdir() if split_name(file)[1] in SUFFIXES and file.is_file())


def find_table(path: Path, *stems: str, leave_out: Sequence[str] = ()) -> Path:
    """The table that a path means: a file, or a folder's only one of these names, else its only one of other names."""
    if not path.is_dir():
        return path
    tables = [file for file in table_files(path) if not any(word in file.name for word in leave_out)]
    found = [file for file in tables if split_name(file)[0].lower() in stems] or tables
    if len(found) != 1:
        expected = f"one table{' called ' if stems else ''}{' or '.join(stems)}, or the path of a file"
        received = ", ".join(file.name for file in found) or "none"
        raise DataError("not one table here", file=path, expected=expected, received=received)
    return found[0]


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Says of a file that it is missing, is none, or why it cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise DataError("not a file", file=path)
        yield
    except FileNotFoundError:
        raise DataError("the file is missing", file=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise DataError(f"the file is damaged or cut short ({error})", file=path, expected="a gzip file") from error
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", file=path) from error


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where its name ends in ``.gz``."""
    with clear_errors(path):
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as unpacked, io.BufferedReader(_Bounded(unpacked, path), 2**18) as file:
                yield file
        else:
            with path.open("rb") as file:
                yield file


class _Bounded(io.RawIOBase):
    """An unpacked file that is refused where it is a bomb."""

    def __init__(self, file: gzip.GzipFile, path: Path) -> None:
        self.file, self.path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        refuse_bomb(self.path, self.file.tell())
        return self.file.readinto(buffer)


def decode(data: bytes, path: Path, first_line: int = 1) -> str:
    """UTF-8 bytes as text."""
    return data.decode(encoding_of(data, path, first_line=first_line))


def encoding_of(data: bytes, path: Path, *, latin_1: bool = False, first_line: int = 1) -> str:
    """UTF-8, or latin-1 where that is allowed and the bytes are no UTF-8."""
    if b"\0" in data:
        raise DataError(
            "wrong encoding", file=path, expected="UTF-8 or latin-1 text", received="zero bytes, as in UTF-16"
        )
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        # Latin-1 has next to no letters that together are one in UTF-8: what has some is UTF-8 with a damaged byte.
        if latin_1 and not _UTF_8_LETTER.search(data.decode("utf-8", "surrogateescape")):
            return "latin-1"
        raise DataError(
            "wrong encoding",
            file=path,
            row=first_line + data.count(b"\n", 0, error.start),
            expected="UTF-8 text",
            received=data[error.start : error.start + 4],
        ) from error


def sha256(*paths: Path) -> str:
    """Hexadecimal digest of the bytes of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
