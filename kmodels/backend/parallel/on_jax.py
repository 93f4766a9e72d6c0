"""Several devices and processes on JAX, by `keras.distribution`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import numpy as np

from kmodels.backend.parallel.shared import Distribution, Mapped, are_possible, count, integers, launched
from kmodels.backend.running import without_tensorflow
from kmodels.errors import ConfigurationError


@contextmanager
def open_devices(devices: int | None, shard_tables: bool) -> Iterator[Distribution]:
    """Has models made inside trained on that many devices of each process, all there are for None."""
    import jax

    _join()
    n = count(devices, jax.local_device_count(), jax.default_backend())
    chosen = [each for i in range(jax.process_count()) for each in jax.local_devices(i)[:n]]
    if len(chosen) == 1 or not are_possible(jax.process_count()):
        yield Distribution(1)
        return
    names = [f"{device.platform}:{device.id}" for device in chosen]
    mesh = keras.distribution.DeviceMesh((len(chosen),), ["batch"], names)
    layouts = (
        _Tables(mesh) if shard_tables else keras.distribution.DataParallel(device_mesh=mesh, auto_shard_dataset=False)
    )
    if shard_tables and jax.process_count() > 1:
        _read_whole_variables()
    with layouts.scope(), _batches_on_devices():
        yield Distribution(len(chosen), jax.process_index(), jax.process_count())


def _join() -> None:
    """Joins JAX's other processes, where the environment names them."""
    import jax

    prefix = "KERAS_DISTRIBUTION_"
    names = [prefix + each for each in ("NUM_PROCESSES", "PROCESS_ID", "JOB_ADDRESSES")]
    found = launched(*names)
    if found is None or jax.distributed.is_initialized():
        return
    processes, process = integers(**dict(zip(names[:2], found[:2], strict=True)))
    if process >= processes:
        raise ConfigurationError(f"{names[1]} must be below {names[0]}={processes}. Received: {process}")
    with without_tensorflow():  # it sets the seed of every backend
        keras.distribution.initialize()


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


@cache
def _read_whole_variables() -> None:
    """Gives NumPy the whole of a variable of which each process has a part; all of them must ask for it."""
    # For good: a model is read when it is no longer trained, too.
    import jax
    from jax.experimental import multihost_utils

    stock = keras.Variable.__array__

    def array(self: keras.Variable, dtype: Any = None, copy: bool | None = None) -> Any:
        value = self.value
        if isinstance(value, jax.Array) and not (value.is_fully_addressable or value.is_fully_replicated):
            return np.asarray(multihost_utils.process_allgather(value, tiled=True), dtype)
        return stock(self, dtype)

    keras.Variable.__array__ = array


def distribute_batches(batches: Any) -> Any:
    """Batches of which each device has its rows."""
    return Mapped(batches, _on_devices)


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
