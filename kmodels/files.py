"""Files that are written whole or not at all; JSON and arrays that are read and written with clear errors."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kmodels.errors import DataError

#: What readers of the standard library and of NumPy raise where a file's bytes are not what its format says.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
#: A compressed file must not unpack to more bytes than this and more than so many times its own.
MOST_BYTES, MOST_TIMES = 2**26, 100


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path of the same suffix; what the block writes there, a file or a folder, replaces `path`."""
    path = Path(path)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():  # a folder takes the place of an empty one alone
            shutil.rmtree(path)
        if temporary.is_file():
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        error.filename = str(path)  # not the temporary one; a full disk names none
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes to a file; of a file's name what is no UTF-8 is escaped, as in JSON."""
    with atomic(path) as temporary:
        temporary.write_bytes(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def write_json(path: str | Path, content: Any) -> None:
    """Writes a value as indented JSON (UTF-8); NaN and infinities are refused."""
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"cannot be written as JSON ({error})", file=path) from error
    write_atomically(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON ({error})", file=path) from error


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name to a NumPy archive (.npz)."""
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a NumPy archive of `write_arrays`, with its checksums; allocates no more than the file's size."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > os.path.getsize(path):
                raise ValueError("its arrays are larger than the file")
            return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except DAMAGE as error:
        raise DataError(f"not a NumPy archive ({error})", file=path) from error


def _array(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array of another version of the format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{len(content) - file.tell()} bytes for an array of shape {shape} of {dtype}")
    return np.ndarray(shape, dtype, content, file.tell(), order="F" if fortran else "C").copy()


def refuse_bomb(path: str | Path, unpacked: int) -> None:
    """Refuses a compressed file that unpacks to bytes out of proportion to its own."""
    most = max(MOST_BYTES, MOST_TIMES * os.path.getsize(path))
    if unpacked > most:
        raise DataError("the archive unpacks to too much", file=path, expected=f"at most {most} bytes")
