"""The checkpoint: all that a training consists of, in one NumPy archive that is checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import callbacks as kc

from kmodels import backend, files
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines.batches import EpochBatches

# The state of a Keras callback apart from its settings; all of it comes back when a run is resumed.
_CALLBACK_STATE = {
    kc.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    kc.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}
_IN_EACH_EPOCH = ("epoch", "learning_rate", "seconds")


@dataclass(frozen=True)
class Checkpoint:
    """A training after its last finished epoch, and `step` batches of the next one."""

    history: list[dict[str, float]]
    stopped: bool
    callbacks: dict[int, dict[str, Any]]  # attributes by the position of the callback
    arrays: dict[str, np.ndarray]
    step: int
    seconds: float  # that those batches took
    running: dict[str, list[np.ndarray]]  # "metrics" and "random": what the epoch has so far

    def restore_model(self, model: keras.Model) -> None:
        """Sets the variables of a model and its optimiser."""
        for name, variable in _variables(model).items():
            variable.assign(self.arrays[name])

    def restore_epoch(self, model: keras.Model, train: EpochBatches) -> None:
        """Sets the metrics and random numbers of the unfinished epoch."""
        metrics = self.running["metrics"]
        if len(model.metrics_variables) < len(metrics):
            model.test_on_batch(*train[0])  # TensorFlow makes them when it first traces a step
        if [tuple(each.shape) for each in model.metrics_variables] != [array.shape for array in metrics]:
            raise ConfigurationError("the checkpoint is of a model with other metrics")
        for variable, array in zip(model.metrics_variables, metrics, strict=True):
            variable.assign(array)
        backend.set_random_state(self.running["random"])

    def restore_callbacks(self, callbacks: Sequence[kc.Callback]) -> None:
        """Sets what callbacks have seen of the training."""
        for i, attributes in self.callbacks.items():
            for name, value in attributes.items():
                setattr(callbacks[i], name, value)

    def best_weights(self) -> list[np.ndarray] | None:
        """The weights that a callback restores at the end of the training."""
        kept = [attributes["best_weights"] for attributes in self.callbacks.values() if "best_weights" in attributes]
        return kept[-1] if kept else None


def write(
    path: Path,
    model: keras.Model,
    callbacks: Sequence[kc.Callback],
    history: Sequence[dict[str, float]],
    fingerprint: str = "",
    *,
    step: int = 0,
    seconds: float = 0.0,
) -> None:
    """Writes a checkpoint, whole or not at all, with the fingerprint of settings and data.

    After `step` batches of an epoch, and so many seconds, it also has what the epoch's metrics and dropout go on from.
    """
    # Of several processes the first one writes, but all must read the variables, of which each may have a part.
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}
    for i, callback in enumerate(callbacks):
        for j, weight in enumerate(getattr(callback, "best_weights", None) or ()):
            arrays[f"best_{i}/{j}"] = weight
    if step:
        metrics = [keras.ops.convert_to_numpy(variable) for variable in model.metrics_variables]
        for name, states in {"metrics": metrics, "random": backend.random_state()}.items():
            arrays |= {f"{name}/{i}": state for i, state in enumerate(states)}
    attributes = {
        str(i): {name: getattr(callbacks[i], name) for name in names} for i, names in _attributes(callbacks).items()
    }
    state = {"history": list(history), "stopped": bool(model.stop_training), "callbacks": attributes}
    state |= {"fingerprint": fingerprint, "step": step, "seconds": seconds}
    if backend.is_first_process():
        files.write_arrays(path, arrays | {"state": np.array(json.dumps(state, default=float))})


def read(path: Path, model: keras.Model, callbacks: Sequence[kc.Callback], fingerprint: str = "") -> Checkpoint:
    """Reads a checkpoint of this model with these callbacks and this fingerprint; changes neither."""
    arrays = files.read_arrays(path)
    try:
        state = {"step": 0, "seconds": 0.0} | json.loads(arrays.pop("state").item())  # not in those of version 0.1
        _check(state)
    except files.DAMAGE as error:
        raise DataError(f"not a checkpoint ({error!r})", file=path) from error
    if state.get("fingerprint") != fingerprint:
        raise ConfigurationError(f"{path}: the checkpoint is of a run with other settings or other data")
    running: dict[str, list[np.ndarray]] = {"metrics": [], "random": []}
    for name, states in running.items() if state["step"] else ():
        while (key := f"{name}/{len(states)}") in arrays:
            states.append(arrays.pop(key))
    restored = {int(i): attributes for i, attributes in state["callbacks"].items()}
    shapes = {name: tuple(variable.shape) for name, variable in _variables(model).items()}
    for i, callback in enumerate(callbacks):
        if f"best_{i}/0" in arrays and isinstance(callback, kc.EarlyStopping):
            names = [f"best_{i}/{j}" for j in range(len(model.weights))]
            shapes |= {name: tuple(weight.shape) for name, weight in zip(names, model.weights, strict=True)}
            restored[i] = restored.get(i, {}) | {"best_weights": [arrays.get(name) for name in names]}
    found = {name: array.shape for name, array in arrays.items() if np.issubdtype(array.dtype, np.number)}
    attributes = {i: tuple(name for name in names if name != "best_weights") for i, names in restored.items()}
    if len(arrays) > len(found) or found != shapes or attributes != _attributes(callbacks):
        raise ConfigurationError(f"{path}: the checkpoint is of another model or optimiser, or of other callbacks")
    return Checkpoint(state["history"], state["stopped"], restored, arrays, state["step"], state["seconds"], running)


def _variables(model: keras.Model) -> dict[str, Any]:
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{group}/{i}": each for group, variables in groups.items() for i, each in enumerate(variables)}


def _attributes(callbacks: Sequence[kc.Callback]) -> dict[int, tuple[str, ...]]:
    """The names of the state of each callback that has one."""
    kinds = {i: [kind for kind in _CALLBACK_STATE if isinstance(each, kind)] for i, each in enumerate(callbacks)}
    return {i: _CALLBACK_STATE[found[0]] for i, found in kinds.items() if found}


def _check(state: dict[str, Any]) -> None:
    """Raises one of `files.DAMAGE` where no training could have written a state."""
    for number, epoch in enumerate(state["history"], start=1):
        if epoch["epoch"] != number or not all(name in epoch for name in _IN_EACH_EPOCH):
            raise ValueError(f"epoch {number} of the history is {epoch}")
        if not all(type(value) in (int, float) and np.isfinite(value) for value in epoch.values()):
            raise ValueError(f"epoch {number} of the history is {epoch}")
    if type(state["step"]) is not int or state["step"] < 0 or type(state["seconds"]) not in (int, float):
        raise ValueError(f"step {state['step']!r} after {state['seconds']!r} seconds")
    if type(state["stopped"]) is not bool:
        raise ValueError(f"stopped is {state['stopped']!r}")
    for attributes in state["callbacks"].values():
        if not all(value is None or type(value) in (int, float) for value in attributes.values()):
            raise ValueError(f"a callback's state is {attributes}")
