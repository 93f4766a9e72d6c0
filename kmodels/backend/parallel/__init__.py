"""Training on several devices and in several processes, by the running backend's own means."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kmodels.backend.parallel import on_jax, on_tensorflow, on_torch
from kmodels.backend.parallel.shared import Distribution
from kmodels.backend.running import name
from kmodels.errors import ConfigurationError, TrainingError

__all__ = [
    "Distribution",
    "distribute_batches",
    "distributed",
    "distribution",
    "is_first_process",
    "lost_processes",
    "prepare",
]

_current: Distribution | None = None


def distribution() -> Distribution | None:
    """The devices that train together; None where one trains alone."""
    return _current


def is_first_process() -> bool:
    """Whether this process writes what all of them come to."""
    return _current is None or _current.process == 0


@contextmanager
def distributed(devices: int | None, shard_tables: bool) -> Iterator[Distribution | None]:
    """Models made inside are trained on that many devices of each process, None being all there are."""
    global _current
    if _current is not None:
        raise ConfigurationError("the devices are chosen already, and cannot be chosen anew inside")
    if shard_tables and name() != "jax":
        raise ConfigurationError(f"tables are sharded on JAX alone. Received: KERAS_BACKEND={name()}")
    if devices is not None and devices < 1:
        raise ConfigurationError(f"devices must be at least 1. Received: devices={devices}")
    if name() == "jax":
        opened = on_jax.open_devices(devices, shard_tables)
    else:
        opened = (on_tensorflow if name() == "tensorflow" else on_torch).open_devices(devices)
    with opened as found:
        _current = found if found.devices > 1 else None
        try:
            yield _current
        finally:
            _current = None


@contextmanager
def lost_processes() -> Iterator[None]:
    """Says in one line that another process has ended, where the engine's messages fail for that reason."""
    try:
        yield
    except Exception as error:
        if _current is None or _current.processes == 1 or not any(each in str(error) for each in _SIGNS[name()]):
            raise
        if name() == "jax":
            atexit.register(_leave)
        raise TrainingError(
            f"process {_current.process} of {_current.processes} ends, as another one has ended or cannot be reached; "
            "start all of them again to go on from the last checkpoint"
        ) from error


def _leave() -> None:
    """Ends this process at once: JAX would first wait for the lost one, for a minute or two, and then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)


# What engines say of a process that is gone: the transport beneath them (gloo, NCCL), or who counts their heartbeats.
_SIGNS = {
    "jax": ("Gloo", "NCCL", "heartbeat", "coordination service"),
    "tensorflow": ("Collective ops is aborted", "heartbeat", "UNAVAILABLE"),
    "torch": ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer"),
}


def prepare(model: keras.Model, batches: Any) -> None:
    """Has a compiled model train on such batches, and predict, on the devices that train together."""
    if _current is not None and name() == "tensorflow":
        on_tensorflow.prepare(model, batches, _current)
    if _current is not None and name() == "torch":
        on_torch.prepare(model, _current)


def distribute_batches(batches: Any, tf_data: Callable[[Any], Any]) -> Any:
    """What Keras's `fit` takes so that each device gets its rows of each batch, and no row comes twice."""
    assert _current is not None
    if name() == "tensorflow":
        return on_tensorflow.distribute_batches(batches, tf_data(batches), _current)
    return on_torch.distribute_batches(batches, _current) if name() == "torch" else on_jax.distribute_batches(batches)
