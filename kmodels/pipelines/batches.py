"""Arrays to batches: whole-batch indexing in a seeded order that is the same on every backend and engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, TypeAlias

import keras
import numpy as np
from scipy import sparse

from kmodels import checks
from kmodels.errors import ConfigurationError, KModelsError
from kmodels.pipelines._processes import PerProcess

Arrays = dict[str, np.ndarray]
Rows: TypeAlias = np.ndarray | sparse.csr_array  # all rows of the data

#: Batches after the one asked for that parts with a `begin` method start to make.
READ_AHEAD = 4


class EpochBatches(PerProcess, keras.utils.PyDataset):
    """Batches in an order of each epoch: what `Batches` and `StreamedBatches` have in common."""

    positions: np.ndarray
    in_background: bool
    shared: frozenset[str]

    def __init__(self, rows: int, batch_size: int, shuffle: bool, seed: int, drop_remainder: bool) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigurationError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
        self.rows, self.batch_size, self.shuffle, self.seed = rows, batch_size, shuffle, seed
        self.drop_remainder = drop_remainder and rows > batch_size
        self.per_epoch = rows // batch_size if self.drop_remainder else -(-rows // batch_size)
        self.start = 0
        self.on_batch: Callable[[], Any] | None = None
        self.failure: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"on_batch": None, "failure": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()

    def __len__(self) -> int:
        return self.per_epoch - self.start

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if self.on_batch is not None:
            self.on_batch()
        try:
            return self._make(self.start + index)
        except Exception as error:
            self.failure = error
            raise

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Takes the order of an epoch, counted from 0, from its batch `start` on."""
        raise NotImplementedError

    def filled(self, index: int) -> Arrays:
        """The inputs of a batch, in the last of which the last row is repeated up to the size of the others."""
        raise NotImplementedError

    def check_columns(self, check: Callable[[Mapping[str, Rows]], None]) -> None:
        """Has a function look at the inputs and the target ("target") of all rows: now, or when they are read."""
        raise NotImplementedError

    def _make(self, index: int) -> tuple[Any, ...]:
        raise NotImplementedError


class Batches(EpochBatches):
    """Batches of a table, for `model.fit`, `evaluate` and `predict` on any backend; needs no TensorFlow.

    A batch is cut by indexing whole arrays with the batch's row numbers. The order of the rows depends on
    (seed, epoch) alone, through NumPy, so it is the same on every backend. Pass `shuffle=False` to `model.fit`, or
    use `training.fit`, which also counts the epochs; after plain Keras loops call `set_epoch` as with torch's
    DistributedSampler. Forked processes and pickled copies can use it; in a copy `on_batch` is None.

    Args:
        inputs: Name of a model input -> array of shape (rows, ...), or a sparse one of SciPy (`csr_array`) of shape
            (rows, columns), of which a batch holds its rows densely.
        target: (rows,) or (rows, ...), sparse or not; or a function that makes a batch's target of its row numbers,
            int64 (batch,); None for prediction alone. Default None.
        sample_weight: (rows,) float; None weighs all rows alike. Default None.
        parts: Functions that add inputs which are cheaper made per batch than held per row, such as `Lookup`: each
            takes the batch's row numbers, int64 (batch,), and returns name -> array of shape (batch, ...). A part
            that also has a method `begin`, such as `Pictures`, makes its inputs in the background: `begin` takes
            the rows of a batch up to `READ_AHEAD` = 4 batches early and returns a function that waits for the arrays.
            One with a method `prepare`, such as `Histories`, is given each epoch's order of rows and the batch_size,
            and one with `shared` names the inputs whose first axis is not the batch's.
        batch_size: Rows of a batch; the last one may be smaller. Default 512.
        shuffle: Whether each epoch has an order of its own. Default False.
        seed: Seed of that order. Default 0.
        order: Draws the order from a NumPy generator, such as what `block_order` gives: for each epoch with `shuffle`,
            else once. Rows that fill no batch are its last ones. None, the default, takes any order alike with
            `shuffle`, else that of the data.
        drop_remainder: Whether an epoch leaves out the rows that do not fill a last batch, with `shuffle` others in
            each epoch; all batches then have one shape, and JAX compiles the step once. Fewer rows than batch_size
            make one smaller batch all the same. Default False.

    Attributes:
        on_batch: Called whenever a batch is made, such as a progress bar's `update`; None by default.
        in_background: Whether a part makes its inputs in the background.
        positions: int64 (rows,), the rows in the order of this epoch.
        shared: Names of the inputs whose first axis is not the batch's.
        failure: What the making of a batch last raised, for `raise_original_errors`; None while nothing has.

    Raises:
        DataError: If the arrays differ in length or there is no row.
        ConfigurationError: If batch_size is below 1.

    Example:
        >>> batches = Batches({"x": np.arange(5.0)}, np.arange(5.0), batch_size=2, shuffle=True, seed=1)
        >>> len(batches)
        3
        >>> inputs, target = batches[0]
        >>> bool((inputs["x"] == target).all())
        True
    """

    def __init__(
        self,
        inputs: Mapping[str, Rows],
        target: Rows | Callable[[np.ndarray], np.ndarray] | None = None,
        *,
        sample_weight: np.ndarray | None = None,
        parts: Sequence[Callable[[np.ndarray], Arrays]] = (),
        batch_size: int = 512,
        shuffle: bool = False,
        seed: int = 0,
        order: Callable[[np.random.Generator], np.ndarray] | None = None,
        drop_remainder: bool = False,
    ) -> None:
        given = {**inputs, "target": target, "sample_weight": sample_weight}
        columns = {name: values for name, values in given.items() if values is not None and not callable(values)}
        checks.same_length(**columns)
        super().__init__(next(iter(columns.values())).shape[0], batch_size, shuffle, seed, drop_remainder)
        self.inputs, self.target, self.sample_weight = dict(inputs), target, sample_weight
        self.parts, self.order = tuple(parts), order
        # A part without `begin` does nothing until its arrays are waited for.
        self._begins = [getattr(part, "begin", partial(partial, part)) for part in self.parts]
        self.in_background = any(hasattr(part, "begin") for part in self.parts)
        self.shared = frozenset[str]().union(*(getattr(part, "shared", ()) for part in self.parts))
        self._ahead = READ_AHEAD if self.in_background else 0
        self._renew()
        self.set_epoch(0)

    def _renew(self) -> None:
        self._lock = Lock()  # tf.data asks for two batches at once
        self._begun: dict[int, list[Callable[[], Arrays]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in ("_lock", "_begun")}

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Takes the order of an epoch, counted from 0, without its first batches.

        Args:
            epoch: Its number; without shuffling all have one order.
            start: How many of its batches to leave out, as when they were trained on before. Default 0.
        """
        self.start = start
        rng, order = np.random.default_rng((self.seed, epoch if self.shuffle else 0)), np.arange(self.rows)
        if self.order is not None:
            order = self.order(rng)
        elif self.shuffle:
            rng.shuffle(order)
        for part in self.parts:
            if hasattr(part, "prepare"):
                part.prepare(order[: self.per_epoch * self.batch_size], self.batch_size)
        with self._lock:
            self.positions = order
            self._begun = {}

    def check_columns(self, check: Callable[[Mapping[str, Rows]], None]) -> None:
        """Has a function look at the inputs and the target ("target") of all rows, of a target function the first."""
        target = self[0][1] if callable(self.target) else self.target
        check(self.inputs if target is None else {**self.inputs, "target": target})

    def filled(self, index: int) -> Arrays:
        """The inputs of a batch, in the last of which the last row is repeated up to the size of the others."""
        rows = self._rows(index)
        if len(rows) == self.batch_size or self.per_epoch == 1:
            return self[index][0]
        rows = np.pad(rows, (0, self.batch_size - len(rows)), mode="edge")
        return self._inputs(rows, [partial(part, rows) for part in self.parts])

    def _inputs(self, rows: np.ndarray, making: Sequence[Callable[[], Arrays]]) -> Arrays:
        batch = {name: _taken(values, rows) for name, values in self.inputs.items()}
        for made in making:
            batch.update(made())
        return batch

    def _make(self, index: int) -> tuple[Any, ...]:
        rows, making = self._begin(index)
        batch = self._inputs(rows, making)
        if self.target is None:
            return (batch,)
        target = self.target(rows) if callable(self.target) else _taken(self.target, rows)
        return (batch, target) if self.sample_weight is None else (batch, target, self.sample_weight[rows])

    def _begin(self, index: int) -> tuple[np.ndarray, list[Callable[[], Arrays]]]:
        """The rows of a batch and what will give its parts; the parts of the next batches are begun too."""
        with self._lock:
            for i in range(index, max(index + 1, min(index + 1 + self._ahead, self.per_epoch))):
                if i not in self._begun:
                    rows = self._rows(i)
                    self._begun[i] = [begin(rows) for begin in self._begins]
            making = self._begun.pop(index)
            # An epoch may be left half-way, and batches may be asked for in any order: what is far off is let go.
            self._begun = {i: made for i, made in self._begun.items() if abs(i - index) <= self._ahead}
            return self._rows(index), making

    def _rows(self, index: int) -> np.ndarray:
        return self.positions[index * self.batch_size : (index + 1) * self.batch_size]


def _taken(values: Rows, rows: np.ndarray) -> np.ndarray:
    """Some rows of an array, dense."""
    taken = values[rows]
    return taken.toarray() if sparse.issparse(taken) else taken


@contextmanager
def raise_original_errors(*batches: EpochBatches) -> Iterator[None]:
    """Raises what the making of a batch raised, where TensorFlow or tf.data has wrapped it in an error of its own."""
    for each in batches:
        each.failure = None
    try:
        yield
    except Exception as error:
        for each in batches:
            if each.failure is not None and not isinstance(error, KModelsError):
                raise each.failure from each.failure.__cause__
        raise


@dataclass(frozen=True)
class Lookup:
    """A part of `Batches`: inputs that belong to an entity, found by its row in small tables.

    Args:
        index: (rows,) integers: for each row of the data, the row in the tables.
        tables: Name of a model input -> array of shape (entities, ...).

    Example:
        >>> part = Lookup(np.array([1, 1, 0]), {"tags": np.array([[0.0, 1.0], [1.0, 0.0]])})
        >>> part(np.array([2, 0]))["tags"].tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    index: np.ndarray
    tables: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        for name, table in self.tables.items():
            checks.ids(self.index, "index", len(table), f"a row of the table '{name}'")

    def __call__(self, rows: np.ndarray) -> Arrays:
        """Gives the inputs of some rows of the data."""
        entities = self.index[rows]
        return {name: table[entities] for name, table in self.tables.items()}
