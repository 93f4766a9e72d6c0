"""Where decoded pictures are kept: an array in memory, or a memory-mapped file that later runs find again."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from math import prod
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

import kmodels
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines._processes import PerProcess

Pixels = npt.NDArray[np.uint8]

_ABSENT, _COMING = -1, -2


class MemoryStore(PerProcess):
    """Decoded pictures in one array of bounded size; the first ones to come stay.

    Each epoch asks for every picture once, in another order: any rule that replaces pictures would find no more of
    them again than this one, and copy more. `slot` says where in `pixels` a picture is; it is negative for others.
    An unpickled copy is empty.
    """

    def __init__(self, rows: int, size: tuple[int, int], memory: int) -> None:
        height, width = size
        shape = (min(rows, memory // (height * width * 3)), height, width, 3)
        # The system gives memory for a page of it when the page is first written. Not np.empty, which asks for huge
        # pages: virtual machines took up to 0.1 ms a picture to give those, and .03 ms in small ones.
        bytes_ = mmap(-1, max(1, prod(shape)), access=ACCESS_COPY)
        self.pixels = np.frombuffer(bytes_, np.uint8, prod(shape)).reshape(shape)
        self.slot = np.full(rows, _ABSENT)
        self._used = 0
        self._renew()

    def _renew(self) -> None:
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryStore, (len(self.slot), self.pixels.shape[1:3], self.pixels.nbytes)

    def find(self, row: int) -> Pixels | None:
        """Gives a picture of which `slot` knows nothing: never one in memory."""
        return None

    def put(self, rows: npt.NDArray[np.int64], batch: Pixels, at: npt.NDArray[np.int64]) -> None:
        """Keeps the pictures at some positions of a batch, those of `rows`, as far as there is room."""
        new = []
        with self._lock:
            first = self._used
            for i, row in enumerate(rows.tolist()):
                if self._used < len(self.pixels) and self.slot[row] == _ABSENT:
                    self.slot[row] = _COMING
                    self._used += 1
                    new.append(i)
        # Outside the lock: memory that is written for the first time is slow, and the other threads would wait.
        # "clip" because take would otherwise fill an array of its own first; no index is out of range.
        np.take(batch, at[new], axis=0, out=self.pixels[first : first + len(new)], mode="clip")
        self.slot[rows[new]] = np.arange(first, first + len(new))


class DiskStore:
    """Decoded pictures in a memory-mapped file, found again by later epochs and later runs.

    The file is `pictures-IDENTITY-CONTENT.raw`: uint32 (rows,), the checksum of each picture or 0 for one that is not
    there, and uint8 (rows, height, width, 3). IDENTITY stands for the paths and the size, CONTENT for the files' sizes
    and times of change and the versions of what decoded them; a file of the same identity and another content is stale
    and is removed.

    A picture counts as there when its checksum is right, and is checked when a process first uses it; `slot` then
    holds its row, and -1 before. So no run that was killed, no crash of the machine and no two processes writing at
    once can make it give wrong pixels.
    """

    def __init__(self, paths: Sequence[str | Path], size: tuple[int, int], folder: str | Path) -> None:
        self._paths = [os.path.abspath(path) for path in paths]
        self._marks = [_mark(path) for path in self._paths]
        about = [PIL.__version__, kmodels.__version__, *(f"{a} {b}" for a, b in self._marks)]
        identity, content = _hash([str(size), *self._paths]), _hash(about)
        shape = (len(self._paths), *size, 3)
        bytes_ = 4 * shape[0] + prod(shape)
        self.file = Path(os.path.expanduser(folder)) / f"pictures-{identity}-{content}.raw"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            for old in self.file.parent.glob(f"pictures-{identity}-*"):
                if old != self.file:
                    old.unlink(missing_ok=True)
            self._file = self._open(bytes_)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ConfigurationError(
                    f"{self.file.parent}: no room on the disk for the {bytes_ / 1e6:.0f} MB of decoded pictures. "
                    "Choose another folder, or none: the pictures are then kept in memory as far as they fit and "
                    "decoded anew where they do not"
                ) from error
            raise ConfigurationError(f"{self.file.parent}: cannot be used as a cache of pictures ({error})") from error
        # Not as np.memmap, whose slices carry much baggage.
        self._sums = np.asarray(np.memmap(self._file, np.uint32, "r", 0, shape[:1]))
        self.pixels: Pixels = np.asarray(np.memmap(self._file, np.uint8, "r", self._sums.nbytes, shape))
        self.slot = np.full(shape[0], -1)

    def __reduce__(self) -> tuple[Any, ...]:
        return DiskStore, (self._paths, self.pixels.shape[1:3], self.file.parent)

    def _open(self, size: int) -> FileIO:
        """Opens the file, or makes an empty one instead of none or of one whose making was cut short."""
        while True:
            with suppress(FileNotFoundError):
                file = self.file.open("r+b", buffering=0)
                if os.fstat(file.fileno()).st_size == size:
                    return file
                file.close()
                # If another process is just making it, that one goes on with a file of its own, without a name.
                self.file.unlink()
            with suppress(FileExistsError):
                file = self.file.open("x+b", buffering=0)
                break
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError:
            file.close()
            self.file.unlink(missing_ok=True)
            raise
        return file

    def find(self, row: int) -> Pixels | None:
        """Gives a picture, read-only, if the file holds it whole."""
        picture = self.pixels[row]
        if self._sums[row] == 0 or self._sums[row] != _checksum(picture):
            return None
        self.slot[row] = row
        return picture

    def put(self, rows: npt.NDArray[np.int64], batch: Pixels, at: npt.NDArray[np.int64]) -> None:
        """Keeps the pictures at some positions of a batch, but none whose file has changed since the store was made."""
        for row, i in zip(rows.tolist(), at.tolist(), strict=True):
            picture = batch[i]
            if _mark(self._paths[row]) != self._marks[row]:
                continue
            try:
                # Not through the mapping, where a full disk is not an error but the end of the process.
                written = os.pwrite(self._file.fileno(), picture, self._sums.nbytes + row * picture.nbytes)
                if written < picture.nbytes:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                sum_ = np.array([_checksum(picture)], np.uint32)
                os.pwrite(self._file.fileno(), sum_, 4 * row)
            except OSError as error:
                raise DataError(f"the cache of pictures cannot be written ({error})", file=self.file) from error
            self.slot[row] = row


def _mark(path: str) -> tuple[int, int]:
    """What tells that a file has changed: its size in bytes and its time of change in nanoseconds."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"the picture cannot be reached ({error.strerror})", file=path) from error
    return status.st_size, status.st_mtime_ns


def _hash(words: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()


def _checksum(picture: Pixels) -> int:
    return zlib.crc32(picture) or 1  # 0 stands for a picture that is not there
