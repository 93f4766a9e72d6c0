"""What makes training quick on JAX; each function does nothing on other backends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import keras
import numpy as np

from kmodels.backend.running import name

STEPS = 16  #: Training steps in one call, see `take_several_steps`.
_FEW_BATCHES = 4 * STEPS
_LARGE_CALL = 2**24  # bytes
# XLA's thread pool splits a small matrix product, YNN's kernels for them take one thread; its reductions are quicker.
# (The optimiser's level is not for here to lower: steps with long loops become half as quick.)
_SMALL_NETWORKS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    "xla_cpu_prefer_vector_width": 512,
}


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


def unroll_masks(model: keras.Model) -> None:
    """On JAX and a CPU, draws dropout's random numbers in one pass over memory; the numbers are the same.

    For a CPU, JAX leaves the rounds of its generator in a loop, which is compiled sooner and takes longer. An odd
    number of rows, a `noise_shape`, and settings of JAX under which other numbers are drawn keep Keras's way. Does
    nothing on other backends.

    Args:
        model: A built model, whose layers' `call` is replaced.

    Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011 (Threefry-2x32, 20 rounds).

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        >>> unroll_masks(model)
        >>> sorted({float(x) for x in keras.ops.ravel(model(keras.ops.ones((40, 4)), training=True))})
        [0.0, 2.0]
    """
    if name() != "jax":
        return
    import jax

    if jax.default_backend() == "cpu":
        for layer in model._flatten_layers(include_self=False):
            if type(layer) is keras.layers.Dropout and layer.noise_shape is None and 0 < layer.rate < 1:
                layer.call = _unrolled(layer)


def _unrolled(layer: Any) -> Callable[..., Any]:
    import jax

    def call(inputs: Any, training: bool = False) -> Any:
        usual = not jax.config.jax_threefry_partitionable and jax.config.jax_default_prng_impl == "threefry2x32"
        if not training or not usual or len(inputs) % 2:
            return type(layer).call(layer, inputs, training=training)
        half = (len(inputs) // 2, *inputs.shape[1:])
        count = jax.lax.iota(np.uint32, math.prod(half)).reshape(half)
        words = _threefry(layer.seed_generator.next(), count, count + np.uint32(count.size))
        # As `jax.random.bernoulli` decides: by the 23 highest bits, as a number from 0 to 1 in single precision.
        kept = (jax.lax.concatenate(words, 0) >> 9) < np.uint32(math.ceil(np.float32(1 - layer.rate) * 2**23))
        return jax.lax.select(kept, inputs / (1 - layer.rate), jax.numpy.zeros_like(inputs))

    return call


def _threefry(key: Any, x: Any, y: Any) -> tuple[Any, Any]:
    keys = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    x, y = x + keys[0], y + keys[1]
    for i in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x = x + y
            y = (y << rotation | y >> (32 - rotation)) ^ x
        x, y = x + keys[(i + 1) % 3], y + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x, y


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


def take_several_steps(model: keras.Model, batches: int) -> None:
    """On JAX and a CPU, trains a compiled model by calls of 16 steps, where steps are small and many.

    Entering a compiled step takes time; a call with a loop of 16 inside takes it once, as does a call with the fewer
    steps at an epoch's end. The steps are Keras's, on the same batches in the same order. Batches that differ in shape
    or are large are taken one by one all the same. Does nothing on other backends, for fewer than 64 batches an epoch,
    or for a model with convolutions.

    Args:
        model: A compiled model, whose `steps_per_execution` and training function are replaced.
        batches: Batches of an epoch.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> take_several_steps(model, batches=1000)
    """
    if name() != "jax" or batches < _FEW_BATCHES or not _is_plain(model):
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
                logs = model.get_metrics_result()  # of the right kind; those of the last step take their place
            return jax.lax.fori_loop(0, count, step, (state, logs))[::-1]

        several = jax.jit(loop, donate_argnums=0, compiler_options=_known_options())

        def train_function(state: Any, iterator: Iterator[Any]) -> Any:
            data = [next(iterator), *islice(iterator, STEPS - 1)]
            if _may_be_stacked(data):
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


def _is_plain(model: keras.Model) -> bool:
    import jax

    convolutions = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    return (
        jax.default_backend() == "cpu"
        and keras.distribution.distribution() is None
        and model.jit_compile
        and not model.run_eagerly
        and not any(isinstance(layer, convolutions) for layer in model._flatten_layers())
    )


@cache
def _known_options() -> dict[str, Any] | None:
    """Which of the compiler's settings the installed XLA has: their names are of one release."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options=_SMALL_NETWORKS)()
    except jax.errors.JaxRuntimeError:
        return None
    return _SMALL_NETWORKS


def _may_be_stacked(data: list[Any]) -> bool:
    shapes = {tuple(array.shape for array in keras.tree.flatten(batch) if array is not None) for batch in data}
    size = sum(array.nbytes for array in keras.tree.flatten(data[0]) if array is not None)
    return len(shapes) == 1 and STEPS * size <= _LARGE_CALL
