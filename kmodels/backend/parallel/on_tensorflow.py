"""Several devices and processes on TensorFlow, by `tf.distribute`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import numpy as np

from kmodels.backend.parallel.shared import Distribution, are_possible, count
from kmodels.errors import ConfigurationError, TrainingError


@contextmanager
def open_devices(devices: int | None) -> Iterator[Distribution]:
    """Has models made inside trained on that many devices of each process, all there are for None."""
    import tensorflow as tf

    if "TF_CONFIG" in os.environ:
        strategy, process, processes = _strategy_of_processes(os.environ["TF_CONFIG"])
        are_possible(processes)
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
    n = count(devices, len(there), there[0].device_type)
    if n == 1 or not are_possible(processes=1):
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


def prepare(model: keras.Model, batches: Any, chosen: Distribution) -> None:
    """Readies a compiled model for TensorFlow's strategy."""
    _fit_parts(model, batches[0])
    if chosen.processes > 1:
        _run_in_processes(model)


def _fit_parts(model: keras.Model, batch: Any) -> None:
    """Has a model take the parts of a batch."""
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


def distribute_batches(batches: Any, dataset: Any, chosen: Distribution) -> Any:
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
