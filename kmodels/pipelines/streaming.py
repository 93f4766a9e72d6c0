"""Batches of a Parquet table that is larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.parquet import ParquetTable
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines.batches import Arrays, EpochBatches, Rows

IntArray = npt.NDArray[np.int64]
#: Batches that a window holds at least.
FEWEST_BATCHES = 4


class StreamedBatches(EpochBatches):
    """Batches of a table in Parquet files, in constant memory: `Batches` for tables that memory does not hold.

    An epoch takes the row groups in a random order and fills windows of about `window` rows with them; the rows of a
    window are shuffled, and cut into batches. Batches go across the borders of windows, every row comes once an epoch,
    and the order depends on (seed, epoch) and the files alone, through NumPy: it is the same on every backend and
    engine. While a window is used, a thread reads and encodes the next one; two windows and a row group are in memory.

    The quality of the shuffle: a batch is a random sample of the rows of w row groups, w = `window` / rows of a group,
    which are themselves a random sample of the table's. Where the rows are in random order, that is as good as a full
    shuffle. Where they are sorted by a column, means of a batch of b rows vary in that column by a standard deviation
    of about sqrt(1/b + (1/w) · (1 - w / groups)) of its own instead of sqrt(1/b): write small row groups, of 2**16 rows
    or so, and take a large window.

    Args:
        table: The table.
        encode: From the rows of a row group, a frame with the table's columns, to `(inputs, target)`, `(inputs, target,
            weight)` or `(inputs,)`: inputs are name -> array of shape (rows, ...), such as
            `lambda frame: (encoder.transform(frame), frame["y"].to_numpy("float32"))` of a fitted `TableEncoder`. It
            runs in a thread.
        keep: From such a frame to bool (rows,), the rows to take, such as those of one part of `splits.by_hash`. It
            must depend on the rows alone. None, the default, takes all.
        counts: Number of rows that `keep` takes of each row group, int (groups,). None, the default, reads the table
            once to count them.
        batch_size: Rows of a batch; the last one may be smaller. Default 512.
        shuffle: Whether each epoch has an order of its own; else it is that of the table. Default False.
        seed: Seed of that order. Default 0.
        window: Rows of a window; four batches at least, and a row group. Default 1048576.
        drop_remainder: Whether an epoch leaves out the rows that do not fill a last batch, as `Batches` does. Default
            False.

    Attributes:
        rows: Number of rows that are taken.
        on_batch: As `Batches` has it, like `failure`; so are `in_background`, True, and `shared`, empty.

    Raises:
        DataError: If no row is taken. When batches are made, whatever reading, `keep` and `encode` raise.
        ConfigurationError: If batch_size or window is below 1.

    Example:
        >>> import tempfile
        >>> file = f"{tempfile.mkdtemp()}/table.parquet"
        >>> pd.DataFrame({"x": np.arange(10.0), "y": np.arange(10.0)}).to_parquet(file, row_group_size=3)
        >>> def encode(frame):
        ...     return {"x": frame["x"].to_numpy()}, frame["y"].to_numpy()
        >>> batches = StreamedBatches(ParquetTable(file), encode, batch_size=4, shuffle=True, seed=1)
        >>> len(batches), sorted(float(x) for i in range(3) for x in batches[i][0]["x"])
        (3, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    """

    in_background = True
    shared = frozenset()

    def __init__(
        self,
        table: ParquetTable,
        encode: Callable[[pd.DataFrame], tuple[Any, ...]],
        *,
        keep: Callable[[pd.DataFrame], npt.NDArray[np.bool_]] | None = None,
        counts: npt.ArrayLike | None = None,
        batch_size: int = 512,
        shuffle: bool = False,
        seed: int = 0,
        window: int = 2**20,
        drop_remainder: bool = False,
    ) -> None:
        self.table, self.encode, self.keep = table, encode, keep
        self.counts = self._count() if counts is None else np.asarray(counts, np.int64)
        super().__init__(int(self.counts.sum()), batch_size, shuffle, seed, drop_remainder)
        if not self.rows:
            raise DataError("no row is taken", file=table.path)
        if window < 1:
            raise ConfigurationError(f"window must be at least 1. Received: window={window}")
        self.window = max(window, FEWEST_BATCHES * batch_size)
        self._check: Callable[[Mapping[str, Rows]], None] | None = None
        self._renew()
        self.set_epoch(0)

    def _renew(self) -> None:
        self._lock = Lock()
        self._reader: ThreadPoolExecutor | None = None
        self._windows: dict[tuple[int, int], Future[Any]] = {}  # by epoch and number

    def __getstate__(self) -> dict[str, Any]:
        left = ("_lock", "_reader", "_windows")
        return {name: value for name, value in super().__getstate__().items() if name not in left}

    @property
    def positions(self) -> IntArray:  # type: ignore[override]
        """The rows in the order of the table, that of batches that are not shuffled."""
        return np.arange(self.rows)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Takes the order of an epoch, counted from 0, without its first batches.

        Args:
            epoch: Its number; without shuffling all have one order.
            start: How many of its batches to leave out: their windows are not read. Default 0.
        """
        self.start = start
        with self._lock:
            self._plan = self._planned(epoch if self.shuffle else 0)

    def filled(self, index: int) -> Arrays:
        """The inputs of a batch, in the last of which the last row is repeated up to the size of the others."""
        inputs = self[index][0]
        rows = min(self.batch_size, self.rows - index * self.batch_size)
        lacking = self.batch_size - rows if self.per_epoch > 1 else 0
        return keras.tree.map_structure(lambda array: np.concatenate([array, *[array[-1:]] * lacking]), inputs)

    def check_columns(self, check: Callable[[Mapping[str, Rows]], None]) -> None:
        """Has a function look at the inputs and the target ("target") of each row group after it is encoded."""
        with self._lock:
            self._check = check
            self._windows = {}  # to be read anew, and checked

    def _count(self) -> IntArray:
        groups = range(len(self.table.groups))
        if self.keep is None:
            return np.array([group.rows for group in self.table.groups], np.int64)
        return np.array([np.count_nonzero(self.keep(self.table.read(group))) for group in groups], np.int64)

    def _planned(self, epoch: int) -> _Plan:
        groups = np.flatnonzero(self.counts)
        if self.shuffle:
            groups = np.random.default_rng((self.seed, epoch)).permutation(groups)
        ends = self.counts[groups].cumsum()
        number = (ends - self.counts[groups]) * -(-self.rows // self.window) // self.rows
        firsts = np.flatnonzero(np.diff(number)) + 1
        return _Plan(epoch, np.split(groups, firsts), np.array([0, *ends[firsts - 1], ends[-1]]))

    def _make(self, index: int) -> tuple[Any, ...]:
        start = range(self.per_epoch)[index] * self.batch_size
        end = min(start + self.batch_size, self.rows)
        with self._lock:
            plan = self._plan
            # tf.data asks for two batches at once, and Keras looks at the first ones before it begins.
            oldest, first, last = (
                int(np.searchsorted(plan.borders, row, side="right")) - 1
                for row in (max(0, start - self.batch_size), start, end - 1)
            )
            wanted = {(plan.epoch, number): plan for number in range(oldest, last + 1)}
            if oldest == last:
                is_last = last + 1 == len(plan.windows)
                following = self._planned(plan.epoch + self.shuffle) if is_last else plan
                wanted[following.epoch, 0 if is_last else last + 1] = following
            for key in self._windows.keys() - wanted.keys():
                del self._windows[key]  # not cancelled: another thread may wait for it
            self._reader = self._reader or ThreadPoolExecutor(1, thread_name_prefix="stream")
            for key, each in wanted.items():
                if key not in self._windows:
                    self._windows[key] = self._reader.submit(self._window, each, key[1])
            windows = {number: self._windows[plan.epoch, number] for number in range(first, last + 1)}
        pieces = []
        for number, window in windows.items():
            begin = int(plan.borders[number])
            rows = slice(max(start - begin, 0), end - begin)
            pieces.append(keras.tree.map_structure(lambda array, rows=rows: array[rows], window.result()))
        if len(pieces) == 1:
            return pieces[0]
        return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *pieces)

    def _window(self, plan: _Plan, number: int) -> tuple[Any, ...]:
        """The arrays of a window, in the order in which batches take them."""
        length = int(plan.borders[number + 1] - plan.borders[number])
        order = np.arange(length)
        if self.shuffle:
            # Sorted by 16 random bits each, in less time than a shuffle takes. Rows of equal bits, some dozens of a few
            # million, are neighbours.
            bits = np.random.default_rng((self.seed, plan.epoch, number)).integers(0, 2**16, length, np.uint16)
            order = np.argsort(bits, kind="stable")
        structure, whole, at = None, [], 0
        for group in plan.windows[number]:
            piece = self._encoded(int(group))
            arrays = keras.tree.flatten(piece)
            if structure is None:
                structure, whole = piece, [np.empty((length, *array.shape[1:]), array.dtype) for array in arrays]
            kinds, first = ([(array.dtype, array.shape[1:]) for array in each] for each in (arrays, whole))
            if kinds != first:
                where, expected = self.table.groups[group].file, f"as before, {first}"
                raise DataError("rows are encoded to other arrays", file=where, expected=expected, received=kinds)
            rows = order[at : at + self.counts[group]]
            for everything, array in zip(whole, arrays, strict=True):
                everything[rows] = array
            at += len(rows)
        return keras.tree.pack_sequence_as(structure, whole)

    def _encoded(self, group: int) -> tuple[Any, ...]:
        """The arrays of the rows of a row group that are taken."""
        frame, (file, number, *_) = self.table.read(group), self.table.groups[group]
        if self.keep is not None:
            frame = frame[self.keep(frame)]
        if len(frame) != self.counts[group]:
            expected = f"{self.counts[group]} rows of row group {number}, as counted"
            raise DataError("another number of rows is taken", file=file, expected=expected, received=len(frame))
        try:
            made = keras.tree.map_structure(np.asarray, self.encode(frame))
            if self._check is not None:
                self._check(made[0] if len(made) == 1 else {**made[0], "target": made[1]})
        except DataError as error:
            if error.file is not None:
                raise
            raise DataError(f"row group {number}: {error}", file=file) from error
        return made


class _Plan(NamedTuple):
    """The order of an epoch: the row groups of each window, and the rows that begin and end them."""

    epoch: int
    windows: Sequence[IntArray]
    borders: IntArray
