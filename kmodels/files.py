"""Files that are written whole or not at all, and JSON that is read and written with clear errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kmodels.errors import DataError

__all__ = ["atomic", "read_json", "write_atomically", "write_json"]


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path of the same suffix; what the block writes there replaces `path` when it ends.

    If the block raises, the temporary file is deleted and `path` stays as it was.

    Args:
        path: The file; its folder must exist.

    Yields:
        The temporary path, in the same folder.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "vectors.npz"
        >>> with atomic(path) as temporary:
        ...     _ = temporary.write_bytes(b"...")
        >>> path.read_bytes()
        b'...'
    """
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
    """Writes text (as UTF-8) or bytes to a file; an earlier file is replaced whole or not at all.

    Args:
        path: The file; its folder must exist.
        content: The text or the bytes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> write_atomically(path, "kept")
        >>> path.read_text()
        'kept'
    """
    with atomic(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_json(path: str | Path, content: Any) -> None:
    """Writes a value as indented JSON (UTF-8); an earlier file is replaced whole or not at all.

    Args:
        path: The file; its folder must exist.
        content: What JSON can hold.

    Raises:
        DataError: If JSON cannot hold it, as NaN, infinities and other objects.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "settings.json"
        >>> write_json(path, {"seed": 1})
        >>> read_json(path)
        {'seed': 1}
    """
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"cannot be written as JSON ({error})", file=path) from error
    write_atomically(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        DataError: If there is no such file, it cannot be read, or it is not JSON in UTF-8.

    Example:
        >>> read_json("missing.json")
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: missing.json: cannot be read (No such file or directory)
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", file=path) from error
