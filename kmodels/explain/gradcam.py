"""Grad-CAM: where in a picture a model saw what speaks for a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from kmodels import backend, checks
from kmodels.errors import ConfigurationError
from kmodels.explain.splitting import CUT, split_at_layer

FloatArray = npt.NDArray[np.float32]


def grad_cam(
    model: keras.Model,
    inputs: Any,
    *,
    layer: str | None = None,
    class_index: int | npt.ArrayLike | None = None,
    batch_size: int = 32,
) -> FloatArray:
    """Draws for each row a map of how much each position of a layer speaks for a class.

    A channel's weight is the mean gradient of the class's output with respect to it; a position's heat is the weighted
    sum of its channels, zero where negative (Selvaraju et al. 2017, "Grad-CAM", https://arxiv.org/abs/1610.02391). Each
    map is divided by its highest value, so maps of two pictures do not compare in height.

    Args:
        model: A Functional or Sequential model from pictures, and any other inputs, to (batch, classes), best logits.
            It is run as in inference, channels last.
        inputs: What the model takes: a dict of arrays by input name, a list in the order of its inputs, or the one
            array; n rows each.
        layer: Name of the layer, which may stand inside a model that is a layer. None, the default, takes the one
            that `split_at_layer` does.
        class_index: The class, or one for each row, shape (n,). None, the default, takes what is predicted.
        batch_size: Rows at a time, which bounds the memory. Default 32.

    Returns:
        float32 (n, height, width) of the layer, 0 to 1; all zero where nothing speaks for the class.

    Raises:
        ConfigurationError: If the model or the layer does not fit (see `explain.split_at_layer`), the layer's output is
            no map, an input is missing, a class is out of range, or the batch size is below 1.
        DataError: If there are no rows or the inputs differ in length.

    Example:
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2)])
        >>> grad_cam(model, np.ones((5, 8, 8, 3), "float32")).shape
        (5, 6, 6)
    """
    before, after = split_at_layer(model, layer)
    if len(before.output.shape) != 4:
        raise ConfigurationError(
            "Grad-CAM needs a layer whose output is (batch, height, width, channels). "
            f"Received: {layer!r} with {before.output.shape}"
        )
    if batch_size < 1:
        raise ConfigurationError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
    arrays = _by_name(model, inputs)
    n_rows, n_classes = len(next(iter(arrays.values()))), model.outputs[0].shape[-1]
    classes = None if class_index is None else _classes(class_index, n_rows, n_classes)
    maps = []
    size = min(batch_size, n_rows)
    for start in range(0, n_rows, size):
        # The last batch is filled up with its last row: backends compile once for each shape.
        rows = np.minimum(np.arange(start, start + size), n_rows - 1)
        batch = {name: array[rows] for name, array in arrays.items()}
        chosen = None if classes is None else classes[rows]
        maps.append(_maps(before, after, batch, chosen)[: n_rows - start])
    return np.concatenate(maps)


def _maps(
    before: keras.Model, after: keras.Model, batch: dict[str, npt.NDArray[Any]], classes: npt.NDArray[Any] | None
) -> FloatArray:
    activation = np.asarray(before.predict_on_batch(batch), dtype=np.float32)
    others = {name: keras.ops.convert_to_tensor(batch[name]) for name in after.input if name != CUT}

    def score(values: Any) -> Any:
        logits = after({CUT: values, **others}, training=False)
        wanted = keras.ops.argmax(logits, axis=-1) if classes is None else keras.ops.convert_to_tensor(classes)
        return keras.ops.sum(logits * keras.ops.one_hot(wanted, logits.shape[-1], dtype=logits.dtype))

    _, gradient = backend.gradients(score, activation)
    weights = keras.ops.convert_to_numpy(gradient).astype(np.float32).mean(axis=(1, 2), keepdims=True)
    heat = np.maximum((activation * weights).sum(axis=-1), 0)
    highest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(highest > 0, highest, 1)


def _by_name(model: keras.Model, inputs: Any) -> dict[str, npt.NDArray[Any]]:
    names = [tensor.name for tensor in model.inputs]
    if isinstance(inputs, Mapping):
        if missing := [name for name in names if name not in inputs]:
            raise ConfigurationError(f"the model needs the inputs {names}. Missing: {missing}")
        given = [inputs[name] for name in names]
    else:
        given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if len(given) != len(names):
        raise ConfigurationError(f"the model needs the inputs {names}. Received: {len(given)} arrays")
    arrays = {name: np.asarray(array) for name, array in zip(names, given, strict=True)}
    checks.same_length(**arrays)
    return arrays


def _classes(class_index: int | npt.ArrayLike, n_rows: int, n_classes: int) -> npt.NDArray[np.int32]:
    given = np.asarray(class_index)
    if given.dtype.kind not in "iu" or given.shape not in ((), (n_rows,)):
        raise ConfigurationError(
            f"class_index is an integer, or one for each of the {n_rows} rows. Received: {given.dtype} {given.shape}"
        )
    if given.size and (given.min() < 0 or given.max() >= n_classes):
        raise ConfigurationError(f"class_index is from 0 to {n_classes - 1}. Received: {given.tolist()}")
    return np.broadcast_to(given, (n_rows,)).astype(np.int32)
