"""Training on several devices: what is made inside `distribute` is trained on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from kmodels import backend
from kmodels.errors import ConfigurationError
from kmodels.pipelines.batches import EpochBatches


@contextmanager
def distribute(devices: int | None = None, *, shard_tables: bool = False) -> Iterator[None]:
    """Trains the models that are built and compiled inside on several devices, each with a part of every batch.

    `fit` and `predict` are called inside as well. Batches, initial weights and logged values are those of one device,
    and so are the trained weights, but for rounding: every batch is made whole, in the same order, and a device takes
    an equal share of its rows. On JAX this is `keras.distribution`, on TensorFlow a strategy of `tf.distribute`, on
    torch `torch.distributed` with a process for each device.

    Several processes, on one host or on several, are started by the backend's own launcher, and found by what it sets
    in the environment: `torchrun` on torch; on JAX `KERAS_DISTRIBUTION_NUM_PROCESSES`, `KERAS_DISTRIBUTION_PROCESS_ID`
    and `KERAS_DISTRIBUTION_JOB_ADDRESSES`; on TensorFlow `TF_CONFIG`. The first one writes checkpoint and history, and
    all of them read the checkpoint of a run that is resumed. docs/scaling.md has the commands.

    Args:
        devices: Number of devices of each process; None takes all it has. 1 in a process alone changes nothing. On
            torch a process has one. Default None.
        shard_tables: On JAX, whether embedding tables and their optimiser's moments are split among the devices: by
            rows, by columns where the number of devices does not divide the rows, and not at all where it divides
            neither. Default False.

    Raises:
        ConfigurationError: If there are fewer devices, the launcher's environment is half set, or tables are to be
            sharded on another backend than JAX; by `fit`, if the number of devices does not divide a training batch,
            or, on another backend than JAX, if the model scores the rows of a batch with each other, as
            `models.two_tower` does.
        TrainingError: By `fit`, if another process ends.

    Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020; Xu et al.,
    "GSPMD: General and Scalable Parallelization for ML Computation Graphs", 2021.

    Example:
        >>> with distribute(devices=1):
        ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    """
    with backend.distributed(devices, shard_tables):
        yield


def check_shares(model: keras.Model, train: EpochBatches) -> None:
    """Refuses training batches that the devices cannot share."""
    chosen = backend.distribution()
    if chosen is None:
        return
    last = train.rows % train.batch_size
    sizes = [min(train.rows, train.batch_size)] + ([last] if last and not train.drop_remainder else [])
    for size in sizes:
        if size % chosen.devices:
            raise ConfigurationError(
                f"{chosen.devices} devices cannot share a training batch of {size} rows equally: choose another "
                "batch_size, or drop_remainder=True for the last one"
            )
    if not chosen.whole_batches and any(size is None for size in model.output_shape[1:]):
        raise ConfigurationError(
            f"{model.name} scores the rows of a batch with each other, which each device needs whole: use JAX"
        )
