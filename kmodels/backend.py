"""The one place that knows which Keras backend is running."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kmodels.errors import ConfigurationError, DataError


def name() -> str:
    """Names the running backend.

    Returns:
        "jax", "torch" or "tensorflow".

    Example:
        >>> name() in {"jax", "torch", "tensorflow"}
        True
    """
    return keras.backend.backend()


def steps_per_execution() -> int:
    """Says how many training steps one call into the backend should run.

    TensorFlow spends about as long on entering a compiled step as on a small network's arithmetic, so it takes
    several at once; torch must take one, and JAX gains nothing from more.

    Returns:
        Value for `model.compile(steps_per_execution=...)`.

    Example:
        >>> steps_per_execution() >= 1
        True
    """
    return 16 if name() == "tensorflow" else 1


def use_fast_randoms() -> None:
    """Lets JAX draw dropout masks by its older, faster way where the model runs on one device.

    JAX's default makes the same numbers however an array is spread over devices, which takes twice the work. A
    step of a small network on a CPU is a quarter shorter without.

    Example:
        >>> use_fast_randoms()
    """
    if name() == "jax" and keras.distribution.distribution() is None:
        import jax

        jax.config.update("jax_threefry_partitionable", False)


def allow_compilation(model: keras.Model) -> None:
    """Lets JAX compile layers that Keras never compiles, as TensorFlow's XLA cannot: random rotation and translation.

    One such layer would have each training step of the whole model run uncompiled, several times slower. Call it
    before `compile` and `predict`.

    Args:
        model: The model; marks on its layers are changed, their arithmetic is not.

    Example:
        >>> allow_compilation(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.RandomRotation(0.1)]))
    """
    if name() == "jax":
        for layer in model._flatten_layers():
            layer.supports_jit = True


def seed_masks(seed: int) -> None:
    """Seeds what dropout draws from outside the model's own variables.

    On JAX and TensorFlow a layer's masks come from a state that is a variable of the model; on torch an unseeded
    layer draws from torch's global generator. (`keras.utils.set_random_seed` would import TensorFlow on every
    backend, for seconds and hundreds of MB.)

    Args:
        seed: 0 to 2**63 - 1.

    Example:
        >>> seed_masks(3)
    """
    if name() == "torch":
        import torch

        torch.manual_seed(seed)


def forget_models() -> None:
    """Frees what Keras and the backend keep of models that are no longer used, between the trials of a search.

    Example:
        >>> forget_models()
    """
    keras.utils.clear_session(free_memory=True)
    if name() == "jax":
        import jax

        jax.clear_caches()
    if name() == "tensorflow":
        from tensorflow.python.framework import ops

        # Each trace of a `tf.custom_gradient` registers a closure there, which keeps the whole graph for good.
        registered = ops.gradient_registry._registry
        for gradient in [each for each in registered if each.startswith("CustomGradient-")]:
            del registered[gradient]


def tensorflow() -> Any:
    """Imports TensorFlow for the engines that need it, whichever backend runs.

    Returns:
        The module.

    Raises:
        ConfigurationError: If TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ConfigurationError(
            "the tf.data engine needs TensorFlow: install it (pip install -e '.[tensorflow]') or use the default "
            "engine, which runs without"
        )
    import tensorflow

    return tensorflow


def gradients(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Computes a function of a tensor and the gradient of its value, by the running backend's differentiation.

    Args:
        function: From a tensor to a tensor with one value, made of Keras's operations, layers and models.
        x: Where to take the gradient: an array or tensor of real numbers.

    Returns:
        The value and the gradient, two tensors of the backend; the gradient has the shape of `x`.

    Example:
        >>> value, gradient = gradients(lambda x: keras.ops.sum(x**2), [1.0, 2.0])
        >>> float(value), keras.ops.convert_to_numpy(gradient).tolist()
        (5.0, [2.0, 4.0])
    """
    x = keras.ops.convert_to_tensor(x)
    if name() == "jax":
        import jax

        return jax.value_and_grad(function)(x)
    if name() == "torch":
        import torch

        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            value = function(x)
        return value.detach(), torch.autograd.grad(value, x)[0]
    with tensorflow().GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value, tape.gradient(value, x)


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file that torch saved, on any backend; nothing pickled in it is executed.

    Args:
        path: A file with a dictionary of tensors, such as a `state_dict`.

    Returns:
        Name -> array; brain floats (bfloat16) as float32.

    Raises:
        ConfigurationError: If torch is not installed.
        DataError: If the file is damaged or holds anything else.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigurationError(
            f"reading {path} needs torch: install it (pip install -e '.[torch]') or use a .safetensors file"
        )
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        # torch's own words go on for many lines, and advise to execute the file.
        raise DataError("torch cannot read the file as plain tensors", file=path) from error
    if not isinstance(content, dict) or not all(torch.is_tensor(value) for value in content.values()):
        raise DataError("the file holds something else than tensors", file=path, expected="a state_dict")
    return {
        name: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        for name, value in content.items()
    }


def fuse_normalization(model: keras.Model) -> None:
    """On torch, normalises batches by torch's own kernel, in fewer passes over the data than Keras's steps.

    The same arithmetic: batch statistics in training, moving ones otherwise, updated as Keras does it, by the biased
    variance. A layer that normalises another axis than the last or renormalises, and a call with a mask, keep Keras's
    steps. Does nothing on other backends.

    Args:
        model: A built model, whose layers' `call` is replaced.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
        >>> fuse_normalization(model)
        >>> tuple(model(np.ones((2, 3), "float32"), training=True).shape)
        (2, 3)
    """
    if name() != "torch":
        return
    for layer in model._flatten_layers(include_self=False):
        if type(layer) is keras.layers.BatchNormalization and layer.axis == -1 and not layer.renorm:
            layer.call = _fused(layer)


def _fused(layer: Any) -> Callable[..., Any]:
    import torch

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None:
            return type(layer).call(layer, inputs, training=training, mask=mask)
        moving = layer.moving_mean, layer.moving_variance
        mean, variance = (keras.ops.cast(variable, "float32") for variable in moving)
        scale, offset = (None if weight is None else keras.ops.cast(weight, "float32") for weight in _affine(layer))
        x = inputs.movedim(-1, 1)
        if not (training and layer.trainable):
            x = torch.nn.functional.batch_norm(x, mean, variance, scale, offset, False, 0.0, layer.epsilon)
        else:
            x, batch_mean, inverse = torch.native_batch_norm(x, scale, offset, None, None, True, 0.0, layer.epsilon)
            found = batch_mean.detach(), inverse.detach().pow(-2) - layer.epsilon
            for variable, old, new in zip(moving, (mean, variance), found, strict=True):
                variable.assign(old * layer.momentum + new * (1.0 - layer.momentum))
        return keras.ops.cast(x.movedim(1, -1), layer.compute_dtype)

    return call


def _affine(layer: Any) -> tuple[Any, Any]:
    return layer.gamma if layer.scale else None, layer.beta if layer.center else None


def keep_channels_last() -> None:
    """On torch, leaves pictures in memory as Keras has them, channels last, on their way into a layer.

    Before each convolution and pooling Keras copies them to channels first, and for a convolution back again; torch
    takes either. Values do not change. Does nothing on other backends, nor where Keras has another way of doing it.

    Example:
        >>> keep_channels_last()
    """
    if name() != "torch":
        return
    from keras.src.backend.torch import nn

    stock = getattr(nn, "_transpose_spatial_inputs", None)
    if stock is not None and stock.__module__ == nn.__name__:
        nn._transpose_spatial_inputs = lambda x: x.permute(0, 3, 1, 2) if x.ndim == 4 else stock(x)


def arrange_kernels(model: keras.Model) -> None:
    """On torch, stores convolution kernels in the order in which torch's convolutions read them.

    Keras keeps a kernel as (height, width, in, out) and turns it for torch, which then copies it at each step, as it
    does the gradient on its way back. Here the numbers lie in memory as (out, height, width, in) under the same shape,
    those of the optimiser likewise: nothing is left to copy. Values do not change. Does nothing on other backends.

    Args:
        model: A compiled model, whose optimiser is built here.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        >>> model.compile("adam", "mse")
        >>> arrange_kernels(model)
        >>> tuple(model.layers[0].kernel.shape)
        (3, 3, 3, 4)
    """
    if name() != "torch":
        return
    layers = [layer for layer in model._flatten_layers(include_self=False) if type(layer) is keras.layers.Conv2D]
    shapes = {tuple(layer.kernel.shape) for layer in layers}
    model.optimizer.build(model.trainable_variables)
    for variable in [*(layer.kernel for layer in layers), *model.optimizer.variables]:
        if tuple(variable.shape) in shapes:
            variable.value.data = variable.value.data.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)


def quicken_training(model: keras.Model) -> None:
    """On torch, trains a compiled model by the graph of tensor operations that its layers make.

    Keras on torch runs the Python of every layer at each step, which for a small network takes longer than its
    arithmetic. Here the forward pass and the loss are recorded once for each shape of a batch (`make_fx`) and
    replayed; gradients, optimiser and metrics stay Keras's. A batch with sample weights takes Keras's own step. Does
    nothing on other backends, nor for a model whose step cannot be replayed: with layers that are not Keras's own, or
    that draw random numbers from a seed in Python.

    Args:
        model: A compiled model, whose `train_step` is replaced.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> quicken_training(model)
    """
    if name() != "torch" or not all(_can_be_replayed(layer) for layer in model._flatten_layers(include_self=False)):
        return
    import torch

    stock = type(model).train_step
    graphs: dict[Any, Any] = {}

    def train_step(data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # `train_on_batch` hands over NumPy arrays, which a recording would keep as constants.
        x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
        shapes = tuple((tuple(tensor.shape), tensor.dtype) for tensor in keras.tree.flatten((x, y)))
        if sample_weight is not None:
            return stock(model, data)
        weights, state = model.trainable_variables, model.non_trainable_variables
        values = [variable.value for variable in weights], [variable.value for variable in state], x, y
        if shapes not in graphs:
            # Recording runs the pass once: its dropout must not use up random numbers of the training.
            with torch.random.fork_rng():
                graphs[shapes] = _record(model, weights, state, values)
        loss, y_pred, new_state = graphs[shapes](*values)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for variable, value in zip(state, new_state, strict=True):
                variable.value.copy_(value)
            model._loss_tracker.update_state(loss, sample_weight=shapes[0][0][0])
            model.optimizer.apply([value.grad for value in values[0]], weights)
            return model.compute_metrics(x, y, y_pred, None)

    model.train_step = train_step


def _can_be_replayed(layer: keras.layers.Layer) -> bool:
    # An unseeded Dropout draws from torch's own generator, anew at each replay; a seed would be recorded as a number.
    if isinstance(layer, keras.layers.Dropout):
        return layer.seed is None and layer.noise_shape is None  # with a shape, Keras draws from a seed after all
    return type(layer).__module__.startswith("keras.src.") and not layer._seed_generators


def _record(model: keras.Model, weights: list, state: list, values: tuple) -> Any:
    """The graph of (weights, state, x, y) -> (loss, predictions, new state)."""
    from torch.fx.experimental.proxy_tensor import make_fx

    def forward(weight_values: list, state_values: list, x: Any, y: Any) -> tuple:
        pairs = zip([*weights, *state], [*weight_values, *state_values], strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)) as scope:
            y_pred = model(x, training=True)
            loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=None, training=True)
        new = [scope.get_current_value(variable) for variable in state]
        return loss, y_pred, [old if value is None else value for old, value in zip(state_values, new, strict=True)]

    graph = make_fx(forward, pre_dispatch=True)(*values)
    for node in graph.graph.nodes:
        # Half of the operations are casts to the dtype and device that a tensor has already.
        if str(node.target).startswith("aten.to."):
            before, after = node.args[0].meta["val"], node.meta["val"]
            if (before.dtype, before.device, before.layout) == (after.dtype, after.device, after.layout):
                node.replace_all_uses_with(node.args[0])
                graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph
