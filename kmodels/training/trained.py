"""What is done with a trained model: predicting and saving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from kmodels import backend, files
from kmodels.errors import ConfigurationError
from kmodels.pipelines.batches import EpochBatches
from kmodels.pipelines.checks import check_inputs
from kmodels.training.interruption import interrupt_between_steps


def save(model: keras.Model, path: str | Path) -> None:
    """Saves a Functional model so that it loads on any backend, with Keras alone.

    Without its optimiser: a model compiled on torch holds torch's own class of it, which other backends cannot load.
    To train on, compile what `keras.saving.load_model` gives.

    Args:
        model: The model.
        path: A file ending in `.keras`; an earlier one is replaced.

    Example:
        >>> import tempfile
        >>> x = keras.Input((3,), name="x")
        >>> path = Path(tempfile.mkdtemp()) / "model.keras"
        >>> save(keras.Model(x, keras.layers.Dense(1)(x)), path)
        >>> keras.saving.load_model(path).count_params()
        4
    """
    with backend.without_tensorflow(), files.atomic(path) as temporary:
        keras.Model(model.input, model.output, name=model.name).save(temporary)


def predict(model: keras.Model, batches: EpochBatches) -> np.ndarray:
    """Predicts all rows, after the checks of `pipelines.checks.check_inputs`.

    Args:
        model: A Functional model with one output.
        batches: The rows, unshuffled; a target is ignored.

    Returns:
        float32 (rows,) for a model with one number a row, else (rows, ...), in the order of the data.

    Raises:
        DataError: If the data does not fit the model.
        ConfigurationError: If the batches are shuffled.
    """
    parts = list(predict_batches(model, batches))
    result = np.concatenate(parts)
    result[batches.positions] = result.copy()
    return result[:, 0] if result.shape[1:] == (1,) else result


def predict_batches(model: keras.Model, batches: EpochBatches) -> Iterator[np.ndarray]:
    """What `predict` joins: the predictions of each batch, float32 (batch, ...)."""
    if batches.shuffle:
        raise ConfigurationError("predictions need batches of every row in one order. Received: shuffle=True")
    check_inputs(model, batches)
    backend.allow_compilation(model)
    # Not model.predict, for which TensorFlow first draws one graph of as many steps as training takes in a call. The
    # last batch is filled up with its last row, as JAX and TensorFlow would compile the model anew for its size.
    with interrupt_between_steps() as check:
        for i in range(len(batches)):
            check()
            yield model.predict_on_batch(batches.filled(i))[: batches.rows - i * batches.batch_size]
