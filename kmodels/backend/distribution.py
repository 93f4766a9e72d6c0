"""Training on several devices and in several processes, by the running backend's own means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from kmodels.backend.running import name
from kmodels.errors import ConfigurationError, TrainingError


@dataclass(frozen=True)
class Distribution:
    """The devices that train a model together: `devices` of them in all, in `processes`, of which this is `process`."""

    devices: int
    process: int = 0
    processes: int = 1
    engine: Any = None  # TensorFlow's strategy

    @property
    def whole_batches(self) -> bool:
        """Whether a model sees all rows of a batch, wherever they are."""
        return name() == "jax"


_current: Distribution | None = None


def distribution() -> Distribution | None:
    """The devices that train together; None where one trains alone."""
    return _current


@contextmanager
def distributed(devices: int | None, shard_tables: bool) -> Iterator[Distribution | None]:
    """Models made inside are trained on that many devices of each process, None being all there are."""
    global _current
    if _current is not None:
        raise ConfigurationError("the devices are chosen already, and cannot be chosen anew inside")
    if devices is not None and devices < 1:
        raise ConfigurationError(f"devices must be at least 1. Received: devices={devices}")
    open_ = {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}[name()]
    if shard_tables and name() != "jax":
        raise ConfigurationError(f"tables are sharded on JAX alone. Received: KERAS_BACKEND={name()}")
    with open_(devices, shard_tables) as found:
        _current = found if found.devices > 1 else None
        try:
            yield _current
        finally:
            _current = None


def _count(wanted: int | None, there: Sequence[Any], kind: str) -> int:
    """The number of devices to take of those there are."""
    if wanted is not None and wanted > len(there):
        raise ConfigurationError(
            f"more devices than there are: this process finds {len(there)} ({kind}). Received: devices={wanted}"
        )
    return wanted or len(there)


@contextmanager
def _on_jax(devices: int | None, shard_tables: bool) -> Iterator[Distribution]:
    import jax

    there = keras.distribution.list_devices()
    n = _count(devices, there, jax.default_backend())
    if n == 1:
        yield Distribution(1)
        return
    mesh = keras.distribution.DeviceMesh((n,), ["batch"], there[:n])
    chosen = _Tables(mesh) if shard_tables else keras.distribution.DataParallel(device_mesh=mesh)
    with chosen.scope(), _batches_on_devices():
        yield Distribution(n)


class _Tables(keras.distribution.ModelParallel):
    """Splits the rows of embedding tables, or where these do not divide the columns; the other weights are whole."""

    def __init__(self, mesh: Any) -> None:
        layouts = keras.distribution.LayoutMap(mesh)
        layouts[".*/embeddings"] = ("batch", None)
        super().__init__(layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False)

    def get_variable_layout(self, variable: Any) -> Any:
        layout = super().get_variable_layout(variable)
        n = self.device_mesh.shape[0]
        if layout.axes[:1] == ("batch",) and variable.shape[0] % n:
            columns = "batch" if variable.shape[1] % n == 0 else None
            return keras.distribution.TensorLayout((None, columns), self.device_mesh)
        return layout


@contextmanager
def _batches_on_devices() -> Iterator[None]:
    """Has Keras take batches that are on their devices already."""
    # Keras takes the layout of the first batch for all; the last batch of a validation is smaller, and may not divide.
    from keras.src.backend.jax.trainer import JAXEpochIterator

    stock = JAXEpochIterator._get_distributed_iterator
    JAXEpochIterator._get_distributed_iterator = lambda self, _: self.data_adapter.get_jax_iterator()
    try:
        yield
    finally:
        JAXEpochIterator._get_distributed_iterator = stock


@contextmanager
def _on_tensorflow(devices: int | None, shard_tables: bool) -> Iterator[Distribution]:
    import tensorflow as tf

    there = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    n = _count(devices, there, there[0].device_type)
    if n == 1:
        yield Distribution(1)
        return
    strategy = _strategy(*(device.name for device in there[:n]))
    with strategy.scope():
        yield Distribution(n, engine=strategy)


@cache
def _strategy(*devices: str) -> Any:
    """TensorFlow's strategy for these devices, the same for all trainings of a process."""
    import tensorflow as tf

    # A second one would number its messages from the start again, and those of both be taken for each other.
    # Processors add up quicker without messages between them.
    reduction = tf.distribute.ReductionToOneDevice() if "CPU" in devices[0] else None
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)


@contextmanager
def _on_torch(devices: int | None, shard_tables: bool) -> Iterator[Distribution]:
    if devices != 1:
        raise ConfigurationError(
            "on torch a process has one device: start one for each by torchrun --nproc-per-node=N. "
            f"Received: devices={'all' if devices is None else devices}"
        )
    yield Distribution(1)


def prepare(model: keras.Model) -> None:
    """Has a compiled model train and predict on the devices that train together."""
    if _current is not None and name() == "tensorflow":
        model.steps_per_execution = 1  # TensorFlow fails on a loop over a strategy's steps
        _predict_once(model)


def _predict_once(model: keras.Model) -> None:
    """Predicts a batch on one of TensorFlow's replicas, where Keras would predict the whole of it on each."""
    import tensorflow as tf

    def make_predict_function(force: bool = False) -> None:
        if model.predict_function is None or force:
            step = tf.function(model.predict_step, reduce_retracing=True)
            model.predict_function = lambda data: step(data[0])

    model.make_predict_function = make_predict_function
    model.train_function = model.test_function = model.predict_function = None


def distribute_batches(batches: Any, tf_data: Callable[[Any], Any]) -> Any:
    """What Keras's `fit` takes so that each device gets its rows of each batch, and no row comes twice."""
    assert _current is not None
    if name() == "tensorflow":
        return _on_replicas(batches, tf_data(batches), _current)
    return _Mapped(batches, _on_devices)


class _Mapped(keras.utils.PyDataset):
    """Batches, each changed by a function."""

    def __init__(self, batches: Any, function: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
        super().__init__()
        self.batches, self.function = batches, function

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.function(self.batches[index])


def _on_devices(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """A batch on JAX's devices: its rows are split where they divide, and are on each device where they do not."""
    import jax

    chosen = keras.distribution.distribution()
    n = chosen.device_mesh.shape[0]

    def put(array: Any) -> Any:
        layout = chosen.get_data_layout(array.shape)
        if len(array) % n:
            layout = keras.distribution.TensorLayout([None] * array.ndim, chosen.device_mesh)
        return jax.make_array_from_callback(array.shape, layout.backend_layout, lambda index: array[index])

    return keras.tree.map_structure(put, batch)


def _on_replicas(batches: Any, dataset: Any, chosen: Distribution) -> Any:
    """The rows of each batch in as many equal parts as there are replicas, and those left over in one more."""
    import tensorflow as tf

    n = chosen.devices
    inputs, *rest = dataset.element_spec
    whole = ({each: each in batches.shared for each in inputs}, *(keras.tree.map_structure(lambda _: False, rest)))
    rows_of = next(each for each in inputs if each not in batches.shared)

    def cut(*batch: Any) -> Any:
        rows = tf.shape(batch[0][rows_of])[0]
        size = rows // n

        def part(i: Any) -> Any:
            start, end = i * size, tf.where(i < n, (i + 1) * size, rows)
            return tf.nest.map_structure(lambda array, all_: array if all_ else array[start:end], batch, whole)

        # With no rows for each replica, all are left over.
        first, last = tf.where(size > 0, 0, n), tf.where(rows % n > 0, n, n - 1)
        return tf.data.Dataset.from_tensor_slices(tf.range(first, last + 1)).map(part)

    parts = dataset.flat_map(tf.autograph.experimental.do_not_convert(cut))
    options = tf.distribute.InputOptions(experimental_fetch_to_device=False)
    spread = chosen.engine.distribute_datasets_from_function(lambda _: parts.prefetch(2 * n), options)
    counts = [n * (size >= n) + (size % n > 0) for size in _sizes(batches)]
    steps = -(-sum(counts) // n)
    spread._cardinality = steps  # TensorFlow counts the parts; of more steps Keras would train on what is not there
    if spread.cardinality != steps:
        raise TrainingError("this version of TensorFlow counts the steps of several devices in another way")
    return spread


def _sizes(batches: Any) -> list[int]:
    """The rows of each batch."""
    starts = range(0, len(batches) * batches.batch_size, batches.batch_size)
    return [min(batches.batch_size, batches.rows - start) for start in starts]
