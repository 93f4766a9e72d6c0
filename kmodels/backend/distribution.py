"""Training on several devices and in several processes, by the running backend's own means."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import keras
import numpy as np

from kmodels.backend.graph import flat_layers
from kmodels.backend.running import name, without_tensorflow
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


def is_first_process() -> bool:
    """Whether this process writes what all of them come to."""
    return _current is None or _current.process == 0


@contextmanager
def distributed(devices: int | None, shard_tables: bool) -> Iterator[Distribution | None]:
    """Models made inside are trained on that many devices of each process, None being all there are."""
    global _current
    if _current is not None:
        raise ConfigurationError("the devices are chosen already, and cannot be chosen anew inside")
    if shard_tables and name() != "jax":
        raise ConfigurationError(f"tables are sharded on JAX alone. Received: KERAS_BACKEND={name()}")
    if devices is not None and devices < 1:
        raise ConfigurationError(f"devices must be at least 1. Received: devices={devices}")
    if name() == "jax":
        opened = _on_jax(devices, shard_tables)
    else:
        opened = _on_tensorflow(devices) if name() == "tensorflow" else _on_torch(devices)
    with opened as found:
        _current = found if found.devices > 1 else None
        try:
            yield _current
        finally:
            _current = None


@contextmanager
def lost_processes() -> Iterator[None]:
    """Says in one line that another process has ended, where the engine's messages fail for that reason."""
    try:
        yield
    except Exception as error:
        if _current is None or _current.processes == 1 or not any(each in str(error) for each in _SIGNS[name()]):
            raise
        if name() == "jax":
            atexit.register(_leave)
        raise TrainingError(
            f"process {_current.process} of {_current.processes} ends, as another one has ended or cannot be reached; "
            "start all of them again to go on from the last checkpoint"
        ) from error


def _leave() -> None:
    """Ends this process at once: JAX would first wait for the lost one, for a minute or two, and then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)


# What engines say of a process that is gone: the transport beneath them (gloo, NCCL), or who counts their heartbeats.
_SIGNS = {
    "jax": ("Gloo", "NCCL", "heartbeat", "coordination service"),
    "tensorflow": ("Collective ops is aborted", "heartbeat", "UNAVAILABLE"),
    "torch": ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer"),
}


def _count(wanted: int | None, there: int, kind: str) -> int:
    """The number of devices to take of those there are."""
    if wanted is not None and wanted > there:
        raise ConfigurationError(
            f"more devices than there are: this process finds {there} ({kind}). Received: devices={wanted}"
        )
    return wanted or there


def _launched(*names: str) -> list[str] | None:
    """What a launcher has set in the environment for each of its processes; None where there is no launcher."""
    values = [os.environ.get(each) for each in names]
    if missing := [each for each, value in zip(names, values, strict=True) if not value]:
        if len(missing) == len(names):
            return None
        raise ConfigurationError(
            f"several processes need {', '.join(names)} in the environment. Missing: {', '.join(missing)}"
        )
    return [str(value) for value in values]


def _integers(**values: str) -> list[int]:
    for each, value in values.items():
        if not value.isdigit():
            raise ConfigurationError(f"{each} must be a whole number. Received: {each}={value!r}")
    return [int(value) for value in values.values()]


@contextmanager
def _on_jax(devices: int | None, shard_tables: bool) -> Iterator[Distribution]:
    import jax

    _join_on_jax()
    n = _count(devices, jax.local_device_count(), jax.default_backend())
    chosen = [each for i in range(jax.process_count()) for each in jax.local_devices(i)[:n]]
    if len(chosen) == 1:
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


def _join_on_jax() -> None:
    """Joins JAX's other processes, where the environment names them."""
    import jax

    prefix = "KERAS_DISTRIBUTION_"
    names = [prefix + each for each in ("NUM_PROCESSES", "PROCESS_ID", "JOB_ADDRESSES")]
    launched = _launched(*names)
    if launched is None or jax.distributed.is_initialized():
        return
    processes, process = _integers(**dict(zip(names[:2], launched[:2], strict=True)))
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


@contextmanager
def _on_tensorflow(devices: int | None) -> Iterator[Distribution]:
    import tensorflow as tf

    if "TF_CONFIG" in os.environ:
        strategy, process, processes = _strategy_of_processes(os.environ["TF_CONFIG"])
        local = strategy.num_replicas_in_sync // processes
        if devices not in (None, local):
            raise ConfigurationError(
                f"of several processes of TensorFlow each takes all its devices, here {local}. "
                f"Received: devices={devices}"
            )
        with strategy.scope(), _alone_on_tensorflow():
            yield Distribution(strategy.num_replicas_in_sync, process, processes, strategy)
        return
    there = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    n = _count(devices, len(there), there[0].device_type)
    if n == 1:
        yield Distribution(1)
        return
    strategy = _strategy(*(device.name for device in there[:n]))
    with strategy.scope(), _alone_on_tensorflow():
        yield Distribution(n, engine=strategy)


@cache
def _strategy(*devices: str) -> Any:
    """TensorFlow's strategy for these devices, the same for all trainings of a process."""
    import tensorflow as tf

    # A second one would number its messages from the start again, and those of both be taken for each other.
    # Processors add up quicker without messages between them.
    reduction = tf.distribute.ReductionToOneDevice() if "CPU" in devices[0] else None
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)


@cache
def _strategy_of_processes(config: str) -> tuple[Any, int, int]:
    """TensorFlow's strategy for the processes that TF_CONFIG names, which of them this is, and how many they are."""
    import tensorflow as tf

    try:
        found = json.loads(config)
        processes, kind, process = len(found["cluster"]["worker"]), found["task"]["type"], int(found["task"]["index"])
        right = set(found["cluster"]) == {"worker"} and kind == "worker" and 0 <= process < processes
    except (ValueError, TypeError, KeyError):
        right = False
    if not right:
        raise ConfigurationError(
            'TF_CONFIG must be {"cluster": {"worker": [addresses]}, "task": {"type": "worker", "index": number}}. '
            f"Received: {config}"
        )
    return tf.distribute.MultiWorkerMirroredStrategy(), process, processes


@contextmanager
def _on_torch(devices: int | None) -> Iterator[Distribution]:
    import torch

    launched = _launched("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
    if launched is None or devices not in (1, None):
        if devices != 1:
            raise ConfigurationError(
                "on torch a process has one device: start one for each by torchrun --nproc-per-node=N. "
                f"Received: devices={'all' if devices is None else devices}"
            )
        yield Distribution(1)
        return
    processes, process, _ = _integers(WORLD_SIZE=launched[0], RANK=launched[1], MASTER_PORT=launched[3])
    if process >= processes:
        raise ConfigurationError(f"RANK must be below WORLD_SIZE={processes}. Received: RANK={process}")
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        local = int(os.environ.get("LOCAL_RANK", 0))
        _count(local + 1, torch.cuda.device_count(), "GPU")
        torch.cuda.set_device(local)
    if not torch.distributed.is_initialized():
        if _keras_averages():
            keras.distribution.initialize()
        else:
            torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(
            torch.distributed.destroy_process_group
        )  # not before: a second group finds the first one's keys
    yield Distribution(processes, process, processes)


def _keras_averages() -> bool:
    """Whether Keras by itself trains on torch by DistributedDataParallel, and sums metrics, as from 3.16 on."""
    return hasattr(keras.Model, "_initialize_ddp")


def prepare(model: keras.Model, batches: Any) -> None:
    """Has a compiled model train on such batches, and predict, on the devices that train together."""
    if _current is not None and name() == "tensorflow":
        _fit_parts(model, batches[0])
        if _current.processes > 1:
            _run_in_processes(model)
    if _current is not None and name() == "torch":
        _average_gradients(model, _current.processes)
        if _keras_averages():
            vars(model).pop("train_step", None)  # the recorded step, which is not DistributedDataParallel's
        else:
            _sum_metrics(model)


def _fit_parts(model: keras.Model, batch: Any) -> None:
    """Readies a model for TensorFlow's strategy."""
    # Keras finds the shapes of a batch from the mean of its parts, which must then be of one size, and in several
    # processes no dictionaries.
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=batch)
    model._maybe_symbolic_build = lambda **_: None
    model.steps_per_execution = 1  # TensorFlow fails on a loop over a strategy's steps
    model.train_function = model.test_function = None


def _run_in_processes(model: keras.Model) -> None:
    """Runs the steps of several processes of TensorFlow, each of which Keras would end with an error."""
    # After each step it takes the mean of every metric over an axis that a number has not. Metrics add up the rows of
    # all processes by themselves, and are read at an epoch's end; a step of its own has no figures.
    import tensorflow as tf

    figures = dict.fromkeys(model.get_metrics_result(), np.nan)

    def runner(step: Callable[[Any], Any]) -> Callable[[Any], dict[str, float]]:
        @tf.function(reduce_retracing=True)
        def run(iterator: Any) -> None:
            model.distribute_strategy.run(step, args=(iterator.get_next(),))

        def call(iterator: Any) -> dict[str, float]:
            run(iterator)
            return figures

        return call

    def make_train_function(force: bool = False) -> None:
        if model.train_function is None or force:
            model.train_function = runner(model.train_step)

    def make_test_function(force: bool = False) -> None:
        if model.test_function is None or force:
            model.test_function = runner(model.test_step)

    model.make_train_function, model.make_test_function = make_train_function, make_test_function


@contextmanager
def _alone_on_tensorflow() -> Iterator[None]:
    """Has models predict a batch once, where Keras would predict the whole of it on each replica, one after another."""
    import tensorflow as tf

    stock = keras.Model.predict_on_batch

    def predict_on_batch(self: keras.Model, x: Any) -> Any:
        if "_predict_alone" not in vars(self):
            vars(self)["_predict_alone"] = tf.function(self.predict_step, reduce_retracing=True)
        return keras.tree.map_structure(np.asarray, vars(self)["_predict_alone"]((x,)))

    keras.Model.predict_on_batch = predict_on_batch
    try:
        yield
    finally:
        keras.Model.predict_on_batch = stock


def _average_gradients(model: keras.Model, processes: int) -> None:
    """On torch, gives the optimiser the mean of the processes' gradients, and batch normalisation that of its means."""
    # The processes have as many rows each, so that it is the gradient of the whole batch. A penalty's gradient is the
    # same in each, and so is its mean.
    from torch import distributed

    optimizer = model.optimizer
    if "apply" in vars(optimizer):  # trained before
        return
    stock = optimizer.apply
    normalizations = [each for each in flat_layers(model) if isinstance(each, keras.layers.BatchNormalization)]
    state = [v.value for each in normalizations if each.trainable for v in (each.moving_mean, each.moving_variance)]

    def apply(gradients: Any, variables: Any = None) -> Any:
        tensors = state if _keras_averages() else [each for each in gradients if each is not None] + state
        for sent in [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
            sent.wait()
        for tensor in tensors:
            tensor /= processes
        return stock(gradients, variables)

    optimizer.apply = apply


def _sum_metrics(model: keras.Model) -> None:
    """On torch, has the metrics of an epoch and of a validation count the rows of all processes."""
    from torch import distributed

    stock = type(model)._get_metrics_result_or_logs

    def result(logs: Any) -> Any:
        for variable in model.metrics_variables:
            distributed.all_reduce(variable.value.data)
        return stock(model, logs)

    model._get_metrics_result_or_logs = result


def distribute_batches(batches: Any, tf_data: Callable[[Any], Any]) -> Any:
    """What Keras's `fit` takes so that each device gets its rows of each batch, and no row comes twice."""
    assert _current is not None
    if name() == "tensorflow":
        return _on_replicas(batches, tf_data(batches), _current)
    if name() == "torch":
        return _Mapped(batches, partial(_share, batches.shared, _current.process, _current.processes))
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


def _share(shared: frozenset[str], process: int, processes: int, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """A process's rows of a batch."""
    inputs, *rest = batch
    rows = len(next(array for each, array in inputs.items() if each not in shared))
    own = slice(rows * process // processes, rows * (process + 1) // processes)
    mine = {each: array if each in shared else array[own] for each, array in inputs.items()}
    return mine, *(array[own] for array in rest)


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
    """Batches for TensorFlow's strategy: of each an equal part for every replica, then one of the rows left over."""
    import tensorflow as tf

    n, local = chosen.devices, chosen.devices // chosen.processes
    own = range(chosen.process * local, (chosen.process + 1) * local)
    inputs, *rest = dataset.element_spec
    whole = ({each: each in batches.shared for each in inputs}, *(False for _ in rest))
    name_of_rows = next(each for each in inputs if each not in batches.shared)

    @tf.autograph.experimental.do_not_convert
    def cut(*batch: Any) -> Any:
        rows = tf.shape(batch[0][name_of_rows])[0]
        size, left = rows // n, rows % n
        starts = tf.stack([i * size for i in (*own, n)])
        # The first process has those left over; for the others the part is empty, so that all have as many parts.
        sizes = tf.stack([*[size] * local, left if chosen.process == 0 else 0])
        there = tf.stack([*[size > 0] * local, left > 0])

        def part(start: Any, size: Any) -> Any:
            return tf.nest.map_structure(lambda x, all_: x if all_ else x[start : start + size], batch, whole)

        bounds = [tf.boolean_mask(each, there) for each in (starts, sizes)]
        return tf.data.Dataset.from_tensor_slices(tuple(bounds)).map(part)

    parts = dataset.flat_map(cut).prefetch(2 * local)
    options = tf.distribute.InputOptions(experimental_fetch_to_device=False)
    spread = chosen.engine.distribute_datasets_from_function(lambda _: parts, options)
    steps = -(-sum(local * (rows >= n) + (rows % n > 0) for rows in _sizes(batches)) // local)
    spread._cardinality = steps  # TensorFlow counts the parts; of more steps Keras would train on what is not there
    if spread.cardinality != steps:
        raise TrainingError("this version of TensorFlow counts the steps of several devices in another way")
    return spread


def _sizes(batches: Any) -> list[int]:
    """The rows of each batch."""
    starts = range(0, len(batches) * batches.batch_size, batches.batch_size)
    return [min(batches.batch_size, batches.rows - start) for start in starts]
