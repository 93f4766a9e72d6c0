"""Which backend runs, and what Keras leaves to it: gradients, seeds, memory, files."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kmodels.backend.internals import is_usable
from kmodels.errors import ConfigurationError, DataError


def name() -> str:
    """Names the running backend."""
    return keras.backend.backend()


def device() -> str:
    """The kind of device that a process computes on where none is chosen: "cpu", "gpu", or another one's name."""
    if name() == "jax":
        import jax

        return jax.default_backend()
    if name() == "torch":
        kind = keras.ops.convert_to_tensor(0.0).device.type  # which KERAS_TORCH_DEVICE may set
        return "gpu" if kind == "cuda" else kind
    return "gpu" if tensorflow().config.list_physical_devices("GPU") else "cpu"


def steps_per_execution() -> int:
    """Says how many training steps one call into the backend should run."""
    # TensorFlow spends about as long on entering a compiled step as on a small network's arithmetic. Torch must take
    # one, and JAX has `scan_train_steps`.
    return 16 if name() == "tensorflow" else 1


def seed_dropout(seed: int) -> None:
    """Seeds what dropout draws from outside the model's own variables."""
    # On JAX and TensorFlow the state is a variable of the model; on torch an unseeded layer draws from the global
    # generator. (`keras.utils.set_random_seed` would import TensorFlow on every backend.)
    if name() == "torch":
        import torch

        # Each process has rows of its own, which drop out in their own way.
        process = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        torch.manual_seed(seed + (process << 40))


def random_state() -> list[np.ndarray]:
    """What dropout's numbers outside the model's own variables depend on from now on."""
    if name() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]
    return [state.numpy() for state in states]


def set_random_state(states: Sequence[np.ndarray]) -> None:
    """Goes on from what `random_state` gave."""
    if name() == "torch":
        import torch

        own, *of_devices = (torch.from_numpy(state) for state in states)
        torch.set_rng_state(own)
        torch.cuda.set_rng_state_all(of_devices)


def clear_session() -> None:
    """Frees what Keras and the backend keep of models that are no longer used, between the trials of a search."""
    keras.utils.clear_session(free_memory=True)
    if name() == "jax":
        import jax

        jax.clear_caches()
    if name() == "tensorflow" and is_usable("graphs freed between trials"):
        from tensorflow.python.framework import ops

        # Each trace of a `tf.custom_gradient` registers a closure there, which keeps the whole graph for good.
        registered = ops.gradient_registry._registry
        for gradient in [each for each in registered if each.startswith("CustomGradient-")]:
            del registered[gradient]


def tensorflow() -> Any:
    """Imports TensorFlow for the engines that need it, whichever backend runs."""
    if importlib.util.find_spec("tensorflow") is None:
        raise ConfigurationError(
            "the tf.data engine needs TensorFlow: install it (pip install 'kmodels[tensorflow]') or use the default "
            "engine, which runs without"
        )
    import tensorflow

    return tensorflow


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras from importing TensorFlow, for seconds and hundreds of MB, while it saves or copies a model."""
    # On every backend it asks of each setting whether it is one of TensorFlow's types.
    if name() == "tensorflow" or "tensorflow" in sys.modules or not is_usable("saving without TensorFlow"):
        yield
        return
    from keras.src.utils import module_utils

    known = module_utils.tensorflow._available
    module_utils.tensorflow._available = False
    try:
        yield
    finally:
        module_utils.tensorflow._available = known


@contextmanager
def full_precision() -> Iterator[None]:
    """What is computed inside has all bits of float32, which GPUs by default shorten in products and convolutions."""
    if name() == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
    elif name() == "torch":
        import torch

        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    else:
        switch = tensorflow().config.experimental
        before = switch.tensor_float_32_execution_enabled()
        switch.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            switch.enable_tensor_float_32_execution(before)


def gradients(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Computes a function of a tensor and the gradient of its value, by the running backend's differentiation."""
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
    """Reads the tensors of a file that torch saved, on any backend; nothing pickled in it is executed."""
    if importlib.util.find_spec("torch") is None:
        raise ConfigurationError(
            f"reading {path} needs torch: install it (pip install 'kmodels[torch]') or use a .safetensors file"
        )
    import torch

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():  # torch itself does not compare the checksums
                    raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises whatever a damaged file makes it trip over. Its own words go on for many lines, and advise to
        # execute the file.
        raise DataError("torch cannot read the file as plain tensors", file=path) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):  # a checkpoint of a training
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(torch.is_tensor(value) for value in content.values()):
        raise DataError("the file holds something else than tensors", file=path, expected="a state_dict")
    return {
        name: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        for name, value in content.items()
    }
