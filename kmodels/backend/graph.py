"""Parts of a Functional graph that Keras has no public way to: all layers, origins of tensors, initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


def flat_layers(model: keras.Model) -> list[Any]:
    """The layers of a model, those of models inside it included."""
    return list(model._flatten_layers(include_self=False))


def node_of(tensor: Any) -> Any:
    """The call of a layer or operation that a symbolic tensor comes from."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def table_lookups(model: keras.Model) -> list[tuple[int, Any]]:
    """Number of rows of a table, and the symbolic ids that are looked up in it, for each lookup of a model."""
    seen, left = {}, list(model.outputs)
    while left:
        node = node_of(left.pop())
        if id(node) not in seen:
            seen[id(node)] = node
            left += node.input_tensors
    tables = [node for node in seen.values() if isinstance(node.operation, keras.layers.Embedding)]
    lookups = [(node.operation.input_dim, node.input_tensors[0]) for node in tables]
    return [(rows, ids) for rows, ids in lookups if "int" in ids.dtype]  # a table may also be multiplied with vectors


def own_trainable_weights(layer: Any) -> list[Any]:
    """The trainable weights that a layer has itself, whether or not it is frozen."""
    return [weight for weight in layer._trainable_variables if weight is not None]


@contextmanager
def skip_initializers() -> Iterator[None]:
    """Models built inside have zeros where Keras would draw initial weights at random, for `initialize` to set.

    Saves the draws, for which JAX compiles a program for each shape. Constant initialisers give what they always do,
    made by NumPy.

    Example:
        >>> with skip_initializers():
        ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> bool((model.get_weights()[0] == 0).all())
        True
    """
    init = keras.initializers
    values = {init.RandomNormal: 0, init.RandomUniform: 0, init.VarianceScaling: 0, init.Zeros: 0, init.Ones: 1}
    stock = {kind: kind.__call__ for kind in values}

    def constant(value: int) -> Any:
        def call(self: Any, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return keras.ops.convert_to_tensor(np.full(shape, value, "float32"), dtype)

        return call

    for kind, value in values.items():
        kind.__call__ = constant(value)
    try:
        yield
    finally:
        for kind, call in stock.items():
            kind.__call__ = call
