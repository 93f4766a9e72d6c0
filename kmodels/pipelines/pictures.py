"""Picture files to batches: decoded in background threads, each one once where memory or a cache folder allow."""

from __future__ import annotations

import copy
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels import checks
from kmodels.datasets.pictures import read_picture
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines._processes import PerProcess
from kmodels.pipelines.batches import Arrays, Batches
from kmodels.pipelines.picture_store import DiskStore, MemoryStore


class Pictures:
    """A part of `Batches`: picture files as an input of shape (batch, height, width, 3), uint8.

    Files are decoded and resized by `datasets.pictures.read_picture` in a few threads, those of the next batches while
    the model trains on this one, and each file only once where the decoded pictures can be kept. Batches of kept
    pictures are cut by indexing one array. What a batch holds depends on its row numbers alone, never on the threads.

    Decoded pictures are kept in memory, first come first kept, or with `cache` in a file there, which later runs find
    again and of which the system holds in memory what has room. That file is rebuilt when a picture's size or time of
    change is another; a run that was killed cannot spoil it. Beside what is kept, up to `READ_AHEAD` + 1 batches wait
    in memory for each `Batches` in use.

    Args:
        paths: The picture files, one for each row.
        size: Height and width to resize to, in pixels. Default (128, 128).
        name: Name of the model's input. Default "image".
        memory: Bytes of memory that decoded pictures are kept in; 0 keeps none. Not used with `cache`.
            Default 536870912, half a GiB: 10,922 pictures of 128 x 128.
        cache: Folder in which to keep decoded pictures, height · width · 3 bytes each, claimed at once. Default None.
        workers: Threads that decode; None takes one for each core, at most 8. Default None.

    Raises:
        ConfigurationError: If a setting is out of range, or the cache folder cannot be used or has no room.
        DataError: If there is no picture, or with `cache` if one is missing. The function that `begin` gives, and
            so the making of a batch, raises what `read_picture` raises, with the name of the file.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i in range(3):
        ...     Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / f"{i}.png")
        >>> pictures = Pictures(sorted(folder.glob("*.png")), (4, 4))
        >>> batches = Batches({}, np.array([0, 1]), parts=[pictures.at([2, 0])], batch_size=2)
        >>> inputs, target = batches[0]
        >>> inputs["image"].shape, inputs["image"][:, 0, 0, 0].tolist()
        ((2, 4, 4, 3), [2, 0])
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        size: tuple[int, int] = (128, 128),
        *,
        name: str = "image",
        memory: int = 2**29,
        cache: str | Path | None = None,
        workers: int | None = None,
    ) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ConfigurationError(f"size must be a height and a width of at least 1. Received: size={size}")
        if memory < 0 or (workers is not None and workers < 1):
            raise ConfigurationError(
                f"memory must be at least 0 and workers at least 1. Received: memory={memory}, workers={workers}"
            )
        if len(paths) == 0:
            raise DataError("there is no picture")
        self.paths, self.size, self.name = [str(path) for path in paths], (int(size[0]), int(size[1])), name
        self._rows = np.arange(len(paths))
        self._store: MemoryStore | DiskStore
        if cache is None:
            self._store = MemoryStore(len(paths), self.size, memory)
        else:
            self._store = DiskStore(self.paths, self.size, cache)
        self._workers = workers or min(8, os.cpu_count() or 1)
        self._threads = _Threads(self._workers)

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, rows: npt.ArrayLike) -> Pictures:
        """The pictures of some rows, such as one part of a split; what is kept and the threads are shared.

        Args:
            rows: (n,) integers, 0 to len(self) - 1, in any order; a row may come more than once.

        Raises:
            DataError: If a row is out of range or not an integer.
        """
        if np.asarray(rows).dtype == bool:
            raise DataError("rows of pictures are given by their positions, not by a mask")
        result = copy.copy(self)
        result._rows = self._rows[checks.ids(rows, "rows", len(self), "a row of the pictures")]
        return result

    def __call__(self, rows: npt.NDArray[np.int64]) -> Arrays:
        """Gives `name` -> uint8 (batch, height, width, 3), the pictures of some row numbers."""
        return self.begin(rows)()

    def begin(self, rows: npt.NDArray[np.int64]) -> Callable[[], Arrays]:
        """Starts to decode those that are not kept; the result waits for them and raises the error of a bad one."""
        rows = self._rows[rows]
        slot = self._store.slot[rows]
        missing = np.flatnonzero(slot < 0)
        if len(missing) == 0:
            return lambda: {self.name: np.take(self._store.pixels, slot, axis=0)}
        result = np.empty((len(rows), *self.size, 3), np.uint8)
        # In pieces small enough that all threads work on a batch to its end; each stops at its first bad picture.
        pieces = np.array_split(missing, min(len(missing), 4 * self._workers))
        jobs = [self._threads.submit(self._fill, result, piece, rows[piece]) for piece in pieces]

        def made() -> Arrays:
            kept = slot >= 0
            result[kept] = self._store.pixels[slot[kept]]
            wait(jobs)  # which wakes this thread once; each job's result would wake it for each
            for job in jobs:
                job.result()
            return {self.name: result}

        return made

    def _fill(self, result: np.ndarray, positions: np.ndarray, rows: np.ndarray) -> None:
        decoded = []
        for i, row in enumerate(rows.tolist()):
            if self._threads.stopped.is_set():
                return
            picture = self._store.find(row)
            if picture is None:
                picture = read_picture(self.paths[row], self.size)
                decoded.append(i)
            result[positions[i]] = picture
        if decoded:
            # Together: Python changes threads at each copy of a picture, and a quarter of the time went there.
            self._store.put(rows[decoded], result, positions[decoded])


class _Threads(PerProcess):
    """A few threads that do what they are given, in order, and end with this object or with the program.

    A ThreadPoolExecutor would do all that it was ever given before it lets the program end, which after Ctrl-C takes
    seconds; these end with the picture that they are at.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._renew()

    def _renew(self) -> None:
        self._jobs: SimpleQueue = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        weakref.finalize(self, _stop, self.stopped, self._jobs, self._threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Threads, (self._count,)

    def submit(self, function: Callable[..., None], *arguments: Any) -> Future:
        job: Future = Future()
        self._jobs.put((job, function, arguments))
        with self._lock:
            if len(self._threads) < self._count:
                name = f"kmodels-pictures-{len(self._threads)}"
                # As daemons: the program's end waits for other threads before it calls _stop.
                self._threads.append(threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True))
                self._threads[-1].start()
        return job


def _work(jobs: SimpleQueue) -> None:
    while (item := jobs.get()) is not None:
        job, function, arguments = item
        try:
            job.set_result(function(*arguments))
        except BaseException as error:
            job.set_exception(error)
        # What a waiting thread still held would never be forgotten.
        del item, job, function, arguments


def _stop(stopped: threading.Event, jobs: SimpleQueue, threads: list[threading.Thread]) -> None:
    stopped.set()
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join()


def picture_statistics(pictures: Pictures, rows: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    """Mean and standard deviation of each colour over some pictures, which is what a model's input is scaled with.

    Computed from exact sums, a few pictures at a time, so the result depends neither on their order nor on memory.

    Args:
        pictures: The pictures.
        rows: (n,) integers: which of them, the training rows.

    Returns:
        Mean and standard deviation (of all pixels, not of a sample), float64 (3,) each, on the scale 0 to 1.

    Raises:
        DataError: If there is no row, a row is out of range or a picture is bad.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[[0, 51, 255]], [[255, 51, 255]]], np.uint8)).save(file)
        >>> mean, std = picture_statistics(Pictures([file], (2, 1)), rows=[0])
        >>> mean.tolist(), std.tolist()
        ([0.5, 0.2, 1.0], [0.5, 0.0, 0.0])
    """
    chosen = pictures.at(rows)
    batches = Batches({"row": np.arange(len(chosen))}, parts=[chosen], batch_size=64)
    count, total, squares = 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
    for i in range(len(batches)):
        pixels = batches[i][0][chosen.name].reshape(-1, 3)
        count += len(pixels)
        total += pixels.sum(0, dtype=np.int64)
        squares += np.square(pixels, dtype=np.uint16).sum(0, dtype=np.int64)
    variance = squares / count - (total / count) ** 2
    return total / count / 255, np.sqrt(np.maximum(variance, 0)) / 255
