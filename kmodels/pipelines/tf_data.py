"""The same batches through tf.data, which makes the next ones while a step runs."""

from __future__ import annotations

from typing import Any

from kmodels import backend
from kmodels.pipelines.batches import Batches


def tf_data(batches: Batches) -> Any:
    """Serves batches through tf.data, which makes the next ones while a step runs.

    The batches are those of the argument, in its order. It pays where making a batch takes long beside the step.

    Args:
        batches: What to serve; `set_epoch` on it also works on the result.

    Returns:
        A tf.data.Dataset that each backend's `model.fit` takes.

    Raises:
        ConfigurationError: If TensorFlow is not installed.
    """
    tf = backend.tensorflow()
    structure = batches[0]
    flat = tf.nest.flatten(structure)
    dtypes = [array.dtype for array in flat]

    def cut(index: Any) -> Any:
        arrays = tf.numpy_function(lambda i: tf.nest.flatten(batches[i]), [index], dtypes)
        for array, example in zip(arrays, flat, strict=True):
            array.set_shape((None, *example.shape[1:]))
        return tf.nest.pack_sequence_as(structure, arrays)

    dataset = tf.data.Dataset.range(len(batches)).map(cut, num_parallel_calls=2, deterministic=True).prefetch(4)
    dataset.set_epoch = batches.set_epoch
    return dataset
