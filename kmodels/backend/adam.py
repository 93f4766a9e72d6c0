"""Adam's update by the running backend's own kernel."""

from __future__ import annotations

from typing import Any

import keras

from kmodels.backend.internals import is_usable
from kmodels.backend.running import name


def fuse_adam(optimizer: keras.optimizers.Optimizer) -> None:
    """On TensorFlow, and on torch with a CPU, updates a weight by Adam and AdamW in one pass."""
    # Keras takes ten passes over memory; JAX's compiler joins them. The formula is the same (Kingma and Ba, ICLR 2015,
    # section 2). AMSGrad, sparse gradients, `tf.distribute` and strides that differ keep Keras's steps.
    fuse = {"torch": _fuse_on_torch, "tensorflow": _fuse_on_tensorflow}.get(name())
    if fuse is None or not isinstance(optimizer, keras.optimizers.Adam) or optimizer.amsgrad:
        return
    if is_usable("one-pass Adam", optimizer=optimizer):
        fuse(optimizer)


def _fuse_on_torch(optimizer: keras.optimizers.Adam) -> None:
    import torch

    stock = optimizer._parallel_update_step
    known: dict[tuple[int, ...], list[list]] = {}

    def tensors(variables: list) -> list[list]:
        which = [optimizer._get_variable_index(variable) for variable in variables]
        moments = [[of[i].value for i in which] for of in (optimizer._momentums, optimizer._velocities)]
        return [[variable.value for variable in variables], *moments]

    def update(grads: list, variables: list, learning_rate: Any) -> None:
        key = tuple(map(id, variables))
        if key not in known:
            known[key] = tensors(variables) if is_usable("moments of Adam", optimizer=optimizer) else []
        if not known[key]:
            stock(grads, variables, learning_rate)
            return
        values, *moments = known[key]
        # The kernel goes through memory without regard to strides.
        alike = all(
            value.stride() == grad.stride() == m.stride() == v.stride()
            for value, grad, m, v in zip(values, grads, *moments, strict=True)
        )
        if not alike or any(value.device.type != "cpu" for value in values):
            stock(grads, variables, learning_rate)
            return
        step = int(optimizer.iterations) + 1
        torch._fused_adam_(
            values,
            grads,
            *moments,
            [],
            [torch.tensor(float(step))] * len(values),
            lr=float(learning_rate),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            weight_decay=0.0,
            # Keras adds epsilon to the root of the uncorrected second moment, torch to that of the corrected one.
            eps=optimizer.epsilon / (1 - optimizer.beta_2**step) ** 0.5,
            amsgrad=False,
            maximize=False,
        )

    optimizer._parallel_update_step = update


def _fuse_on_tensorflow(optimizer: keras.optimizers.Adam) -> None:
    import tensorflow as tf

    stock = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        sparse = isinstance(gradient, tf.IndexedSlices)
        if sparse or tf.distribute.has_strategy() or not is_usable("moments of Adam", optimizer=optimizer):
            stock(gradient, variable, learning_rate)
            return
        i = optimizer._get_variable_index(variable)
        moments = optimizer._momentums[i], optimizer._velocities[i]
        step, rate, beta_1, beta_2, epsilon = (
            tf.cast(number, variable.dtype)
            for number in (
                optimizer.iterations + 1,
                learning_rate,
                optimizer.beta_1,
                optimizer.beta_2,
                optimizer.epsilon,
            )
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=moments[0].value.handle,
            v=moments[1].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    optimizer.update_step = update_step
