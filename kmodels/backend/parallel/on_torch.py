"""Several processes on torch, by `torch.distributed`."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from kmodels.backend.graph import flat_layers
from kmodels.backend.parallel.shared import Distribution, Mapped, are_possible, count, integers, launched
from kmodels.errors import ConfigurationError


@contextmanager
def open_devices(devices: int | None) -> Iterator[Distribution]:
    """Has models made inside trained by all processes that torchrun has started."""
    import torch

    found = launched("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
    if found is None or devices not in (1, None):
        if devices != 1:
            raise ConfigurationError(
                "on torch a process has one device: start one for each by torchrun --nproc-per-node=N. "
                f"Received: devices={'all' if devices is None else devices}"
            )
        yield Distribution(1)
        return
    processes, process, _ = integers(WORLD_SIZE=found[0], RANK=found[1], MASTER_PORT=found[3])
    if process >= processes:
        raise ConfigurationError(f"RANK must be below WORLD_SIZE={processes}. Received: RANK={process}")
    if not _keras_averages():
        are_possible(processes)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        local = int(os.environ.get("LOCAL_RANK", 0))
        count(local + 1, torch.cuda.device_count(), "GPU")
        torch.cuda.set_device(local)
    if not torch.distributed.is_initialized():
        if _keras_averages():
            keras.distribution.initialize()
        else:
            torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
        # Not before: a second group finds the first one's keys.
        atexit.register(torch.distributed.destroy_process_group)
    yield Distribution(processes, process, processes)


def _keras_averages() -> bool:
    """Whether Keras by itself trains on torch by DistributedDataParallel, and sums metrics, as from 3.16 on."""
    return hasattr(keras.Model, "_initialize_ddp")


def prepare(model: keras.Model, chosen: Distribution) -> None:
    """Has a compiled model train by the gradients of all processes."""
    _average_gradients(model, chosen.processes)
    if _keras_averages():
        vars(model).pop("train_step", None)  # the recorded step, which is not DistributedDataParallel's
    else:
        _sum_metrics(model)


def _average_gradients(model: keras.Model, processes: int) -> None:
    """On torch, gives the optimiser the mean of the processes' gradients, and batch normalisation that of its means."""
    # The processes have as many rows each, so that it is the gradient of the whole batch. A penalty's gradient is the
    # same in each, and so is its mean.
    from torch import distributed

    optimizer = model.optimizer
    if "apply" in vars(optimizer):  # trained before
        return
    stock = optimizer.apply
    normalizations = [each for each in flat_layers(model) if isinstance(each, keras.layers.BatchNormalization)]
    state = [v.value for each in normalizations if each.trainable for v in (each.moving_mean, each.moving_variance)]

    def apply(gradients: Any, variables: Any = None) -> Any:
        tensors = state if _keras_averages() else [each for each in gradients if each is not None] + state
        for sent in [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
            sent.wait()
        for tensor in tensors:
            tensor /= processes
        return stock(gradients, variables)

    optimizer.apply = apply


def _sum_metrics(model: keras.Model) -> None:
    """On torch, has the metrics of an epoch and of a validation count the rows of all processes."""
    from torch import distributed

    stock = type(model)._get_metrics_result_or_logs

    def result(logs: Any) -> Any:
        for variable in model.metrics_variables:
            distributed.all_reduce(variable.value.data)
        return stock(model, logs)

    model._get_metrics_result_or_logs = result


def distribute_batches(batches: Any, chosen: Distribution) -> Any:
    """Batches of which this process has its rows."""
    return Mapped(batches, partial(_share, batches.shared, chosen.process, chosen.processes))


def _share(shared: frozenset[str], process: int, processes: int, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """A process's rows of a batch."""
    inputs, *rest = batch
    rows = len(next(array for each, array in inputs.items() if each not in shared))
    own = slice(rows * process // processes, rows * (process + 1) // processes)
    mine = {each: array if each in shared else array[own] for each, array in inputs.items()}
    return mine, *(array[own] for array in rest)
