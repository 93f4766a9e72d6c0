"""What kmodels uses of Keras, JAX, torch, TensorFlow and KerasTuner that is not public: a check of each, and a switch.

docs/architecture.md has a table of the uses: what for, and what happens without.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from importlib import import_module
from typing import Any

import keras

from kmodels.errors import ConfigurationError

SWITCH = "KMODELS_STOCK"

# What a use needs on a backend, or on each of them (""). A name starts from a package, or from an object that the
# caller passes; parameters are compared where a function is replaced, or called with them.
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "graphs": {"": ("tensor._keras_history", "operation._inbound_nodes")},
    "one-pass Adam": {
        "torch": (
            "optimizer._parallel_update_step(grads, variables, learning_rate)",
            "optimizer._get_variable_index(variable)",
            "torch._fused_adam_",
        ),
        "tensorflow": (
            "optimizer.update_step(gradient, variable, learning_rate)",
            "optimizer._get_variable_index(variable)",
        ),
    },
    "moments of Adam": {"": ("optimizer._momentums", "optimizer._velocities")},
    "cheaper dropout": {"": ("keras.layers.Dropout.call(inputs, training)",)},
    "one-pass normalization": {
        "": ("keras.layers.BatchNormalization.call(inputs, training, mask)",),
        "torch": ("torch.native_batch_norm",),
    },
    "one-pass penalties": {"": ("keras.Variable.regularizer",)},
    "recorded steps": {
        "torch": (
            "keras.Model.train_step(data)",
            "keras.Variable.regularizer",
            "model._compute_loss(x, y, y_pred, sample_weight, training)",
            "model._loss_tracker",
            "model._seed_generators",
            "torch.fx.experimental.proxy_tensor.make_fx",
            "torch._foreach_norm",
            "torch._foreach_add_",
            "torch._foreach_copy_",
        )
    },
    "channels-last pictures": {"torch": ("keras.src.backend.torch.nn._transpose_spatial_inputs(inputs)",)},
    "several steps in a call": {
        "jax": (
            "keras.Model.make_train_function(force)",
            "keras.Model.train_step(state, data)",
            # Not called; where it is another one, Keras gives a train function other data.
            "keras.Model._make_function(step_function, concatenate_outputs)",
        )
    },
    "quicker compilation": {
        "jax": (
            "keras.Model.make_test_function(force)",
            "keras.Model.make_predict_function(force)",
            "keras.Model._make_function(step_function, concatenate_outputs)",
        )
    },
    "saving without TensorFlow": {"": ("keras.src.utils.module_utils.tensorflow._available",)},
    "graphs freed between trials": {"tensorflow": ("tensorflow.python.framework.ops.gradient_registry._registry",)},
    "several devices": {
        "jax": ("keras.src.backend.jax.trainer.JAXEpochIterator._get_distributed_iterator(distribution)",),
        "tensorflow": (
            "keras.Model._symbolic_build(iterator, data_batch)",
            "keras.Model._maybe_symbolic_build(iterator, data_batch)",
            "keras.Model.make_train_function(force)",
            "keras.Model.make_test_function(force)",
            "tensorflow.python.distribute.input_lib.DistributedDataset.cardinality",
        ),
        "torch": ("keras.Model._get_metrics_result_or_logs(logs)",),
    },
    "searches": {
        "": (
            "keras_tuner.Oracle._random_values()",
            "keras_tuner.Oracle._save_trial(trial)",
            "oracle._retry_queue",
            "oracle.ongoing_trials",
            "oracle.start_order",
            "oracle.end_order",
        )
    },
}
_OBJECTS = ("model", "operation", "optimizer", "oracle", "tensor")


def is_stock() -> bool:
    """Whether the environment turns off all uses that Keras's own code can stand in for."""
    value = os.environ.get(SWITCH, "")
    if value not in ("", "0", "1"):
        raise ConfigurationError(f"{SWITCH} must be 0 or 1. Received: {SWITCH}={value}")
    return value == "1"


def is_usable(use: str, **objects: Any) -> bool:
    """Whether what a use needs is there as expected, and not turned off; warns where it is not there."""
    if is_stock():
        return False
    missing = find_missing(use, **objects)
    if missing:
        warnings.warn(f"kmodels runs Keras's own code instead of {use}: {missing}", stacklevel=3)
    return not missing


def require(use: str, **objects: Any) -> None:
    """Raises an error where something is missing that a use needs, and that nothing can stand in for."""
    missing = find_missing(use, **objects)
    if missing:
        raise ConfigurationError(f"{use} need a version of the library that kmodels knows: {missing}")


def find_missing(use: str, **objects: Any) -> str | None:
    """Says which of a use's needs the installed libraries do not have; of objects, only those given are looked at."""
    needs = NEEDS[use]
    for need in (*needs.get("", ()), *needs.get(keras.backend.backend(), ())):
        dotted, _, parameters = need.rstrip(")").partition("(")
        root, *names = dotted.split(".")
        if root in _OBJECTS and root not in objects:
            continue
        try:
            found = _resolve(objects[root], names) if root in objects else _import(root, names)
        except (AttributeError, ImportError):
            return f"{_library(objects.get(root, root))} has no {dotted}"
        received = _parameters(found) if "(" in need else parameters
        if received != parameters:
            return f"{_library(objects.get(root, root))} has {dotted}({received}), not ({parameters})"
    return None


def _import(root: str, names: list[str]) -> Any:
    found = import_module(root)
    for i, name in enumerate(names):
        if inspect.ismodule(found) and not hasattr(found, name):
            found = import_module(".".join((root, *names[: i + 1])))
        else:
            found = _resolve(found, [name])
    return found


def _resolve(found: Any, names: list[str]) -> Any:
    for name in names:
        # Without `__getattr__`, by which Keras's `module_utils` import a library.
        found = inspect.getattr_static(found, name) if not inspect.ismodule(found) else getattr(found, name)
    return found


def _parameters(function: Any) -> str:
    """The names of a function's parameters but `self`."""
    try:
        names = list(inspect.signature(getattr(function, "__func__", function)).parameters)
    except (TypeError, ValueError):  # no function, or none of Python's
        return "…"
    return ", ".join(names[1:] if names[:1] == ["self"] else names)


def _library(where: Any) -> str:
    package = (where if isinstance(where, str) else type(where).__module__).partition(".")[0]
    if package not in ("jax", "keras_tuner", "tensorflow", "torch"):
        package = "keras"  # of which a model's class, or that of a user, is made
    return f"{package} {getattr(sys.modules.get(package), '__version__', '')}".strip()
