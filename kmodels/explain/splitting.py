"""A model cut in two at one of its layers, so that what comes before runs once and what comes after can be studied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kmodels import backend
from kmodels.errors import ConfigurationError

CUT = "cut"  # name of the second half's input that is the layer's output
# The layers from the model down to the one that is meant, through the models that stand in it as layers.
Path = tuple[keras.layers.Layer, ...]
# A Keras tensor, and a node: one call of a layer in a graph. Keras keeps no public types for them.
Tensor = Any
Node = Any


def split_at_layer(model: keras.Model, layer: str | None = None) -> tuple[keras.Model, keras.Model]:
    """Cuts a Functional model behind one of its layers; the weights are shared, the model stays as it is.

    Without a name the layer is the last one whose output is a map, (batch, height, width, channels) with more than one
    position, past which nothing leads, as a shortcut within a block would; it may stand inside a model that is a layer.
    The first half goes from a dict of the model's inputs to the layer's output; the second from a dict, in which "cut"
    is that output and the others are the inputs that are still needed, to the model's output.
    """
    if not _is_graph(model):
        raise ConfigurationError(f"only a Functional model can be cut in two. Received: {type(model).__name__}")
    if len(model.outputs) != 1:
        raise ConfigurationError(f"only a model with one output can be cut in two. Received: {len(model.outputs)}")
    if CUT in {below.name for path in _paths(model) for below in path}:
        raise ConfigurationError(f"no layer or input of the model may be named {CUT!r}: the second half has that input")
    candidates = _find(model, layer)
    for path in reversed(candidates):
        before, after = _cut(model, path)
        if not set(_sources(before.outputs)) & set(after.input):
            return before, after
    return _cut(model, candidates[-1])


def _is_graph(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and bool(getattr(layer, "outputs", None))


def _paths(model: keras.Model, above: Path = ()) -> Iterator[Path]:
    """Every layer from first to last; a model after the layers in it."""
    for layer in model.layers:
        if _is_graph(layer):
            yield from _paths(layer, (*above, layer))
        yield (*above, layer)


def _find(model: keras.Model, name: str | None) -> list[Path]:
    """The layer of that name, or all with maps from the first to the last."""
    if name is not None:
        found = [path for path in _paths(model) if path[-1].name == name]
        if len(found) == 1:
            return found
        if found:
            raise ConfigurationError(f"{len(found)} layers of the model are named {name!r}: rename all but one")
    with_map = [path for path in _paths(model) if _has_map(path[-1])]
    if name is not None:
        known = ", ".join(path[-1].name for path in with_map) or "none"
        raise ConfigurationError(f"the model has no layer of this name; those with maps: {known}. Received: {name!r}")
    if not with_map:
        raise ConfigurationError("the model has no layer whose output is (batch, height, width, channels)")
    return with_map


def _has_map(layer: keras.layers.Layer) -> bool:
    shape = getattr(getattr(layer, "output", None), "shape", ())
    return not isinstance(layer, keras.layers.InputLayer) and len(shape) == 4 and tuple(shape[1:3]) != (1, 1)


def _cut(model: keras.Model, path: Path) -> tuple[keras.Model, keras.Model]:
    """The split_at_layer; a layer of an inner model is reached by cutting that one first."""
    node = _only_node(model, path[0])
    output = node.output_tensors[0]
    everything = {tensor.name: tensor for tensor in model.inputs}
    needed = {*_sources(model.outputs, stop=output)}
    if len(path) == 1:
        cut, still = output, {}
        before = keras.Model(everything, output, name=f"{model.name}_before")
    else:
        inner_before, inner_after = _cut(path[0], path[1:])
        # A model's inputs are in the order of the tensors it is called with.
        given = dict(zip([tensor.name for tensor in path[0].inputs], node.input_tensors, strict=True))
        before = keras.Model(everything, inner_before(given), name=f"{model.name}_before")
        cut = inner_after.input[CUT]
        still = {name: given[name] for name in inner_after.input if name != CUT}
        needed |= {*_sources([*still.values()])}

    fresh = {CUT: _like(cut, CUT)} | {
        name: _like(tensor, name) for name, tensor in everything.items() if name in needed
    }
    made = {id(everything[name]): tensor for name, tensor in fresh.items() if name != CUT}
    inside = fresh[CUT]
    if len(path) > 1:
        inside = inner_after({CUT: inside} | {name: _remade(tensor, made) for name, tensor in still.items()})
    made[id(output)] = inside
    return before, keras.Model(fresh, _remade(model.outputs[0], made), name=f"{model.name}_after")


def _remade(tensor: Tensor, made: dict[int, Tensor]) -> Tensor:
    """Calls the layers behind a tensor again, from the tensors in `made` on, where what was called is kept."""
    # `keras.Model` can start from tensors within a graph too, but then leaves the model's own inputs unusable.
    waiting = [tensor]
    while waiting:
        node = backend.node_of(waiting[-1])
        missing = [parent for parent in node.input_tensors if id(parent) not in made]
        if id(waiting[-1]) in made:
            waiting.pop()
        elif missing:
            waiting.extend(missing)
        else:
            args, kwargs = node.arguments.fill_in(made)
            results = keras.tree.flatten(node.operation(*args, **kwargs))
            made.update({id(old): new for old, new in zip(node.output_tensors, results, strict=True)})
    return made[id(tensor)]


def _like(tensor: Tensor, name: str) -> Tensor:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def _nodes(tensors: Sequence[Tensor], stop: Tensor = None) -> list[Node]:
    """The calls that tensors come from, back to the inputs; not further back than `stop`."""
    found: dict[int, Node] = {}
    waiting = list(tensors)
    while waiting:
        tensor = waiting.pop()
        node = backend.node_of(tensor)
        if tensor is stop or id(node) in found:
            continue
        found[id(node)] = node
        waiting.extend(node.input_tensors)
    return list(found.values())


def _sources(tensors: Sequence[Tensor], stop: Tensor = None) -> list[str]:
    """Names of the inputs that tensors depend on, other than through `stop`; sorted."""
    return sorted(node.output_tensors[0].name for node in _nodes(tensors, stop) if node.is_input)


def _only_node(model: keras.Model, layer: keras.layers.Layer) -> Node:
    calls = [node for node in _nodes(model.outputs) if node.operation is layer]
    if len(calls) != 1 or len(calls[0].output_tensors) != 1:
        raise ConfigurationError(
            f"a model is cut behind a layer that is used once and has one output. Received: {layer.name!r}, used "
            f"{len(calls)} times"
        )
    return calls[0]
