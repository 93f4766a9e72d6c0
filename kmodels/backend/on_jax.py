"""What makes training quick on JAX; each function does nothing on other backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any

import keras
import numpy as np

from kmodels.backend.graph import flat_layers
from kmodels.backend.internals import is_stock, is_usable
from kmodels.backend.running import device, name

STEPS = 16  #: Training steps in one call, see `scan_train_steps`.
_FEW_BATCHES = 4 * STEPS
_LARGE_CALL = 2**24  # bytes
# XLA's thread pool splits a small matrix product, YNN's kernels for them take one thread; its reductions are quicker.
# (The optimiser's level is not for here to lower: steps with long loops become half as quick.)
_SMALL_NETWORKS = (
    ("xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_REDUCE"),
    ("xla_cpu_prefer_vector_width", 512),
)
_FEW_CALLS = (("xla_cpu_use_fusion_emitters", False),)  # for what is called a few dozen times an epoch


def allow_compilation(model: keras.Model) -> None:
    """Lets JAX compile random rotation and translation, which Keras leaves out as TensorFlow's XLA cannot."""
    # One such layer would have each step of the whole model run uncompiled. Before `compile` and `predict`.
    if name() == "jax" and not is_stock():
        for layer in flat_layers(model):
            layer.supports_jit = True


def scan_train_steps(model: keras.Model, batches: int) -> None:
    """On JAX and a CPU, trains a compiled model by calls of 16 steps, where steps are small and many."""
    # Entering a compiled step takes time; a call with a loop inside takes it once. The steps are Keras's, on the same
    # batches in the same order; batches that differ in shape or are large are taken one by one.
    if name() != "jax" or batches < _FEW_BATCHES or not _is_plain(model):
        return
    if not is_usable("several steps in a call"):
        return
    import jax

    def make_train_function(force: bool = False) -> None:
        if model.train_function is not None and not force:
            return
        single = jax.jit(model.train_step, donate_argnums=0)

        def loop(state: Any, data: Any, count: int) -> Any:
            # State before logs: the order reaches XLA, whose program for a small network is quicker with this one.
            def step(i: int, before: Any) -> Any:
                return model.train_step(before[0], jax.tree.map(lambda array: array[i], data))[::-1]

            with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, state[3], strict=True))):
                logs = model.get_metrics_result()  # of the right kind; those of the last step replace them
            return jax.lax.fori_loop(0, count, step, (state, logs))[::-1]

        several = jax.jit(loop, donate_argnums=0, compiler_options=_known(_SMALL_NETWORKS))

        def train_function(state: Any, iterator: Iterator[Any]) -> Any:
            first, rest = next(iterator), islice(iterator, STEPS - 1)
            if _is_large(first):
                logs, state = single(state, first)
                for batch in rest:  # made while the step before is taken, and no earlier: several take memory
                    jax.block_until_ready(logs)
                    logs, state = single(state, batch)
                return logs, state
            data = [first, *rest]
            if _are_alike(data):
                # Filled up at an epoch's end, so that the loop is compiled once; what fills it is not trained on.
                filled = data + data[-1:] * (STEPS - len(data))
                return several(state, jax.tree.map(lambda *arrays: np.stack(arrays), *filled), len(data))
            for batch in data:
                logs, state = single(state, batch)
            return logs, state

        model.train_function = train_function

    model.steps_per_execution = STEPS
    model.make_train_function = make_train_function
    model.train_function = model.test_function = model.predict_function = None  # made for one step a call, if at all


def compile_evaluation(model: keras.Model) -> None:
    """On JAX and a CPU, has validation and prediction compiled in 40 % less time, by XLA's older code generator."""
    # An epoch calls them a few dozen times, for which what the other generator gains does not make up.
    if name() != "jax" or not _is_plain(model) or not is_usable("quicker compilation"):
        return
    import jax

    compiled = partial(jax.jit, donate_argnums=0, compiler_options=_known(_FEW_CALLS))

    def predict_step(state: Any, data: Any) -> Any:
        outputs, others = model.predict_step(state, data)
        return outputs, (state[0], others)

    def make_test_function(force: bool = False) -> None:
        if model.test_function is None or force:
            model.test_function = model._make_function(compiled(model.test_step))

    def make_predict_function(force: bool = False) -> Callable[..., Any]:
        if model.predict_function is None or force:
            model.predict_function = model._make_function(compiled(predict_step), concatenate_outputs=True)
        return model.predict_function

    model.make_test_function, model.make_predict_function = make_test_function, make_predict_function
    model.test_function = model.predict_function = None


def _is_plain(model: keras.Model) -> bool:
    convolutions = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    return (
        device() == "cpu"
        and keras.distribution.distribution() is None
        and model.jit_compile
        and not model.run_eagerly
        and not any(isinstance(layer, convolutions) for layer in flat_layers(model))
    )


@cache
def _known(options: tuple[tuple[str, Any], ...]) -> dict[str, Any] | None:
    """These settings of the compiler, if the installed XLA has them: their names are of one release."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options=dict(options))()
    except jax.errors.JaxRuntimeError:
        return None
    return dict(options)


def _is_large(batch: Any) -> bool:
    return STEPS * sum(array.nbytes for array in keras.tree.flatten(batch) if array is not None) > _LARGE_CALL


def _are_alike(data: list[Any]) -> bool:
    shapes = {tuple(array.shape for array in keras.tree.flatten(batch) if array is not None) for batch in data}
    return len(shapes) == 1
