"""The same batches through tf.data, which makes the next ones while a step runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmodels import backend
from kmodels.pipelines.batches import EpochBatches

_TOGETHER = 16
_LARGE = 2**20  # bytes


def tf_data(batches: EpochBatches) -> Any:
    """A tf.data.Dataset of the batches, in their order, that each backend's `fit` takes; `set_epoch` works on it too.

    Small batches that no part makes in the background are fetched from Python 16 at a time. Where all batches are of
    one size, it is part of the dataset's type, which lets TensorFlow simplify a model's graph.
    """
    tf = backend.tensorflow()
    structure = batches[0]
    flat = tf.nest.flatten(structure)
    dtypes = [array.dtype for array in flat]
    names = {name: name in batches.shared for name in structure[0]}
    of_its_own = tf.nest.flatten((names, *(False for _ in structure[1:])))
    equal = batches.drop_remainder or batches.rows % batches.batch_size == 0
    full = len(batches) if equal else len(batches) - 1

    def fetch(index: Any, get: Any, *leading: int | None) -> Any:
        arrays = tf.numpy_function(get, [index], dtypes)
        for array, example, shared in zip(arrays, flat, of_its_own, strict=True):
            array.set_shape((*leading[:-1], None if shared else leading[-1], *example.shape[1:]))
        return tf.nest.pack_sequence_as(structure, arrays)

    # TensorFlow would look for Python's control flow in them, which takes a third of a second.
    @tf.autograph.experimental.do_not_convert
    def one(index: Any) -> Any:
        return fetch(index, lambda i: tf.nest.flatten(batches[i]), batches.batch_size if equal else None)

    @tf.autograph.experimental.do_not_convert
    def several(first: Any) -> Any:
        def get(first: int) -> list[np.ndarray]:
            got = [tf.nest.flatten(batches[i]) for i in range(first, min(first + _TOGETHER, full))]
            return [np.stack(column) for column in zip(*got, strict=True)]

        return fetch(first, get, None, batches.batch_size)

    if batches.in_background or sum(array.nbytes for array in flat) > _LARGE:
        dataset = tf.data.Dataset.range(len(batches)).map(one, num_parallel_calls=2, deterministic=True).prefetch(4)
    else:
        dataset = tf.data.Dataset.range(0, full, _TOGETHER).map(several).unbatch()
        dataset = dataset.concatenate(tf.data.Dataset.range(full, len(batches)).map(one)) if not equal else dataset
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(4)
    dataset.set_epoch = batches.set_epoch
    return dataset
