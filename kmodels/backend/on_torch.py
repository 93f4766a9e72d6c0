"""What makes training quick on torch; each function does nothing on other backends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kmodels.backend.graph import flat_layers
from kmodels.backend.internals import is_stock, is_usable
from kmodels.backend.running import name


def keep_channels_last() -> None:
    """On torch, leaves pictures in memory as Keras has them, channels last, on their way into a layer."""
    # Before each convolution and pooling Keras copies them to channels first; torch takes either.
    if name() != "torch" or not is_usable("channels-last pictures"):
        return
    from keras.src.backend.torch import nn

    stock = nn._transpose_spatial_inputs
    if stock.__module__ == nn.__name__:

        def transpose(inputs: Any) -> Any:
            return inputs.permute(0, 3, 1, 2) if inputs.ndim == 4 else stock(inputs)

        nn._transpose_spatial_inputs = transpose


def reorder_kernels(model: keras.Model) -> None:
    """On torch, stores convolution kernels in the order in which torch's convolutions read them."""
    # Under the same shape, the numbers lie in memory as (out, height, width, in), those of the optimiser likewise, so
    # that neither kernel nor gradient is copied at each step.
    if name() != "torch" or is_stock():
        return
    layers = [layer for layer in flat_layers(model) if type(layer) is keras.layers.Conv2D]
    shapes = {tuple(layer.kernel.shape) for layer in layers}
    model.optimizer.build(model.trainable_variables)
    for variable in [*(layer.kernel for layer in layers), *model.optimizer.variables]:
        if tuple(variable.shape) in shapes:
            variable.value.data = variable.value.data.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)


def trace_train_step(model: keras.Model) -> None:
    """On torch, trains a compiled model by the graph of tensor operations that its layers make."""
    # Keras on torch runs the Python of every layer and metric at each step. Here the forward pass, the loss and the
    # means among the metrics are recorded once for each shape of a batch (`make_fx`) and replayed; gradients and
    # optimiser stay Keras's. Sample weights take Keras's step, as do layers that are not Keras's or draw from a seed in
    # Python.
    if name() != "torch" or not is_usable("recorded steps", model=model):
        return
    if not all(_can_be_replayed(layer) for layer in flat_layers(model)):
        return
    import torch

    stock = type(model).train_step
    graphs: dict[Any, Any] = {}

    def train_step(data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            return stock(model, data)
        # `train_on_batch` hands over NumPy arrays, which a recording would keep as constants.
        tensors = [
            array if isinstance(array, torch.Tensor) else keras.ops.convert_to_tensor(array)
            for array in keras.tree.flatten((x, y))
        ]
        # Compiled anew, a model has another train function, and may train other weights.
        key = model.train_function, *((tensor.shape, tensor.dtype) for tensor in tensors)
        if key not in graphs:
            try:
                # Recording runs the pass once: its dropout must not use up random numbers of the training.
                with torch.random.fork_rng():
                    graphs[key] = _record(model, *keras.tree.pack_sequence_as((x, y), tensors))
            except Exception as error:
                logs = stock(model, data)  # which raises the error where model or data are to blame
                warnings.warn(f"kmodels runs Keras's own code instead of recorded steps: {error!r:.200}", stacklevel=2)
                graphs[key] = None
                return logs
        return stock(model, data) if graphs[key] is None else graphs[key](tensors)

    model.train_step = train_step


def _can_be_replayed(layer: keras.layers.Layer) -> bool:
    # An unseeded Dropout draws from torch's own generator, anew at each replay; a seed would be recorded as a number.
    if isinstance(layer, keras.layers.Dropout):
        return layer.seed is None and layer.noise_shape is None  # with a shape, Keras draws from a seed after all
    return type(layer).__module__.startswith("keras.src.") and not layer._seed_generators


def _record(model: keras.Model, x: Any, y: Any) -> Callable[[list], dict[str, Any]]:
    """A training step on tensors of these shapes."""
    import torch

    weights = model.trainable_variables
    state = [*model.non_trainable_variables, *model.metrics_variables]
    values = [variable.value for variable in (*weights, *state)]
    # An L2 penalty's gradient, 2 · factor · weight, is added in one pass over memory, where autograd takes five, and
    # the penalties of all weights take one operation.
    penalised: dict[float, list] = {}
    for variable in weights:
        if type(variable.regularizer) is keras.regularizers.L2 and variable.regularizer.l2:
            penalised.setdefault(float(variable.regularizer.l2), []).append(variable)
    rows = keras.tree.flatten(x)[0].shape[0]
    means = all(_is_plain_mean(metric) for metric in model.metrics)
    metric_logs: dict[str, Any] = {}
    changed: list[int] = []

    def forward(*flat: Any) -> list:
        values_, (x_, y_) = flat[: len(values)], keras.tree.pack_sequence_as((x, y), list(flat[len(values) :]))
        with keras.StatelessScope(state_mapping=list(zip([*weights, *state], values_, strict=True))) as scope:
            y_pred = model(x_, training=True)
            loss = model._compute_loss(x=x_, y=y_, y_pred=y_pred, sample_weight=None, training=True)
            for factor, group in penalised.items():
                norms = torch._foreach_norm([scope.get_current_value(variable).detach() for variable in group])
                loss = loss + factor * torch.stack(norms).square().sum()
            model._loss_tracker.update_state(keras.ops.stop_gradient(loss), sample_weight=rows)
            logs = {"y_pred": y_pred}
            if means:
                logs = model.compute_metrics(x_, y_, keras.tree.map_structure(keras.ops.stop_gradient, y_pred), None)
        old, new = values_[len(weights) :], [scope.get_current_value(variable) for variable in state]
        changed[:] = [i for i in range(len(state)) if new[i] is not old[i]]
        metric_logs.update(logs)
        return [loss, *(new[i] for i in changed), *keras.tree.flatten(logs)]

    tensors = keras.tree.flatten((x, y))
    with _without_penalties([variable for group in penalised.values() for variable in group]):
        replay = _replay(forward, [*values, *tensors])
    updated, structure = [values[len(weights) + i] for i in changed], dict(metric_logs)

    def step(tensors: list) -> dict[str, Any]:
        for value in values[: len(weights)]:
            value.grad = None
        loss, *results = replay(*values, *tensors)
        loss.backward()
        with torch.no_grad():
            for factor, group in penalised.items():
                decayed = [variable.value for variable in group]
                for value in decayed:
                    value.grad = torch.zeros_like(value) if value.grad is None else value.grad
                torch._foreach_add_([value.grad for value in decayed], decayed, alpha=2 * factor)
            torch._foreach_copy_(updated, results[: len(updated)])
            model.optimizer.apply([value.grad for value in values[: len(weights)]], weights)
            logs = keras.tree.pack_sequence_as(structure, results[len(updated) :])
            if means:
                return logs
            x_, y_ = keras.tree.pack_sequence_as((x, y), tensors)
            return model.compute_metrics(x_, y_, logs["y_pred"], None)

    return step


@contextmanager
def _without_penalties(weights: list) -> Iterator[None]:
    """Inside, Keras's loss has no penalties of some weights."""
    penalties = [variable.regularizer for variable in weights]
    for variable in weights:
        variable.regularizer = None
    try:
        yield
    finally:
        for variable, penalty in zip(weights, penalties, strict=True):
            variable.regularizer = penalty


def _is_plain_mean(metric: Any) -> bool:
    """Whether all that a metric does at a step is to add up numbers, so that it can be recorded."""
    if hasattr(metric, "metrics"):
        return all(_is_plain_mean(each) for each in metric.metrics)
    return isinstance(metric, keras.metrics.Mean) and type(metric).__module__.startswith("keras.src.")


def _replay(forward: Callable[..., list], tensors: list) -> Callable[..., list]:
    """The operations of a function of tensors, recorded on these."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(forward, pre_dispatch=True)(*tensors)
    for node in graph.graph.nodes:
        # Half of the operations are casts to the dtype and device that a tensor has already.
        if str(node.target).startswith("aten.to."):
            before, after = node.args[0].meta["val"], node.meta["val"]
            if (before.dtype, before.device, before.layout) == (after.dtype, after.device, after.layout):
                node.replace_all_uses_with(node.args[0])
                graph.graph.erase_node(node)
    _share_equal_nodes(graph.graph)
    graph.graph.eliminate_dead_code()
    graph.graph.set_codegen(torch.fx.graph.CodeGen())  # arguments and results are lists: nothing to take apart
    graph.recompile()
    return graph.forward


def _share_equal_nodes(graph: Any) -> None:
    """Makes equal operations on equal arguments one, such as the casts of ids that several tables look up."""
    import torch

    known: dict[Any, Any] = {}
    for node in graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        if torch.Tag.nondeterministic_seeded in node.target.tags or node.target._schema.is_mutable:
            continue
        key = node.target, repr(node.args), repr(node.kwargs)
        if key in known:
            node.replace_all_uses_with(known[key])
        known.setdefault(key, node)
