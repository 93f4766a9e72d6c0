"""Parts of a Functional graph that Keras has no function for: all layers, origins of tensors, initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kmodels.backend.internals import is_stock, require


def flat_layers(model: keras.Model) -> list[Any]:
    """The layers of a model or a layer, those inside these included, each once."""
    found: dict[int, Any] = {}
    waiting = _parts(model)
    while waiting:
        layer = waiting.pop(0)
        if id(layer) not in found:
            found[id(layer)] = layer
            waiting = _parts(layer) + waiting
    return list(found.values())


def _parts(layer: Any) -> list[Any]:
    """What a model or a layer is made of."""
    return list(layer.layers) if isinstance(layer, keras.Model) else _layers_in(list(vars(layer).values()))


def _layers_in(value: Any) -> list[Any]:
    if isinstance(value, keras.layers.Layer):
        return [value]
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [layer for member in members for layer in _layers_in(member)]


def node_of(tensor: Any) -> Any:
    """The call of a layer or operation that a symbolic tensor comes from."""
    require("graphs", tensor=tensor)
    history = tensor._keras_history
    require("graphs", operation=history.operation)
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
    if is_stock():
        yield
        return
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
