"""Files that are written whole or not at all; JSON and arrays that are read and written with clear errors."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kmodels.errors import DataError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path of the same suffix; what the block writes there replaces `path`, unless it raises."""
    path = Path(path)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes to a file."""
    with atomic(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


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
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", file=path) from error


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name to a NumPy archive (.npz)."""
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a NumPy archive that holds no pickles."""
    try:
        with zipfile.ZipFile(path):  # of other files NumPy says that they might be pickles
            pass
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"not a NumPy archive ({error})", file=path) from error
