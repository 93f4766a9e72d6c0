"""Fitting: callbacks, progress, a checkpoint after each epoch, and going on from it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import callbacks as kc
from tqdm import tqdm

from kmodels import backend, files
from kmodels.errors import ConfigurationError, TrainingError
from kmodels.pipelines.batches import EpochBatches, raise_original_errors
from kmodels.pipelines.checks import check_inputs
from kmodels.pipelines.tf_data import tf_data
from kmodels.training import checkpoint as checkpoints
from kmodels.training.devices import check_shares
from kmodels.training.interruption import interrupt_between_steps

_ENGINES = ("pydataset", "tf.data")
_CHECKPOINT, _HISTORY = "checkpoint.npz", "history.csv"


def plateau_callbacks(monitor: str = "val_rmse", *, patience: int = 2, stop: int = 5) -> list:
    """Callbacks of the classic recipe: half the learning rate on a plateau, early stopping, the best weights kept.

    Args:
        monitor: Name of the logged value; lower is better. Default "val_rmse".
        patience: Epochs without improvement before the rate is halved. Default 2.
        stop: Epochs without improvement before training ends. Default 5.

    Returns:
        Two Keras callbacks for `fit`.

    Example:
        >>> [type(callback).__name__ for callback in plateau_callbacks()]
        ['ReduceLROnPlateau', 'EarlyStopping']
    """
    return [
        kc.ReduceLROnPlateau(monitor, factor=0.5, patience=patience, mode="min"),
        best_weights(monitor, stop=stop),
    ]


def best_weights(monitor: str = "val_rmse", *, stop: int = 10_000) -> kc.EarlyStopping:
    """Keeps the weights of the best epoch on validation, and stops when it stays the best for long.

    Args:
        monitor: Name of the logged value; lower is better. Default "val_rmse".
        stop: Epochs without improvement before training ends. Default 10000, which is never.

    Returns:
        A Keras callback for `fit`.

    Example:
        >>> best_weights(stop=5).patience
        5
    """
    return kc.EarlyStopping(monitor, patience=stop, mode="min", restore_best_weights=True)


def fit(
    model: keras.Model,
    train: EpochBatches,
    validation: EpochBatches | None,
    *,
    epochs: int,
    folder: str | Path,
    callbacks: Sequence[kc.Callback] = (),
    resume: bool = False,
    seed: int = 0,
    engine: str | None = None,
    progress: bool = True,
    fingerprint: str = "",
    save_every: int | None = None,
) -> pd.DataFrame:
    """Fits a compiled model, with a progress bar, `history.csv` and a checkpoint after each epoch.

    A run killed at any time goes on from its last finished epoch, or from a checkpoint inside an epoch, with
    `resume=True` and, on the same backend, ends as an unbroken run does.

    Args:
        model: A built and compiled model.
        train: Training batches; `set_epoch` is called on them.
        validation: Validation batches, or None to train without any.
        epochs: Number of epochs, those before a resumed run's last checkpoint included.
        folder: Where `checkpoint.npz` and `history.csv` go; made if need be.
        callbacks: Keras callbacks; see `plateau_callbacks` and `best_weights`. Default ().
        resume: Whether to go on from the folder's checkpoint, if it has one. Default False.
        seed: Seed of dropout. Default 0.
        engine: "pydataset", "tf.data", or None for what is quicker. Default None.
        progress: Whether to show a progress bar, or where there is no terminal a line for each epoch. Default True.
        fingerprint: What tells this training from others, such as its settings and the data's checksum. Default "".
        save_every: Batches between two checkpoints inside an epoch, for long ones. Where a call takes 16 steps, as on
            TensorFlow and for small networks on JAX, they come after a multiple of 16. On one device alone. Default
            None: there are none.

    Returns:
        One row per epoch: epoch (from 1), the logged values, learning_rate and seconds.

    Raises:
        DataError: If the data does not fit the model, or the checkpoint is damaged.
        ConfigurationError: If the engine is unknown or the checkpoint is of another model, of other callbacks or has
            another fingerprint; if `save_every` is below 1, for several devices or with the training batches for
            validation; or as `distribute`.
        TrainingError: If the loss is not a finite number.
    """
    if engine is None:
        engine = "tf.data" if backend.name() == "tensorflow" and not train.in_background else "pydataset"
    if engine not in _ENGINES:
        raise ConfigurationError(f"engine must be one of {', '.join(_ENGINES)}. Received: engine={engine!r}")
    if save_every is not None and (save_every < 1 or backend.distribution() is not None):
        raise ConfigurationError(f"save_every is at least 1, and for one device. Received: save_every={save_every}")
    if save_every is not None and validation is train:  # which a resumed run begins inside an epoch
        raise ConfigurationError("save_every needs other validation batches than those of training. Received: the same")
    given = [train] if validation is None else [train, validation]
    for batches in given:
        check_inputs(model, batches)
    check_shares(model, train)
    with backend.skip_initializers():
        model.optimizer.build(model.trainable_variables)
    backend.scan_train_steps(model, len(train))
    backend.compile_evaluation(model)
    backend.prepare(model, train)
    checkpoint = _Checkpoint(Path(folder), callbacks, train, seed, epochs, progress, fingerprint, save_every)
    path = Path(folder) / _CHECKPOINT
    if resume and path.exists():
        checkpoint.restore(model, path)
    elif checkpoint.writes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    if not checkpoint.done:
        serve: Callable[[EpochBatches], Any] = tf_data if engine == "tf.data" else lambda batches: batches
        if backend.distribution() is not None:
            serve = partial(backend.distribute_batches, tf_data=tf_data)
        every = [*callbacks, checkpoint]
        quiet = all(_is_per_epoch(callback) for callback in every)
        listed = _EpochCallbacks if quiet else _StepCallbacks
        # Keras takes all epochs of a call to be as long as the first one, and that may lack some batches.
        ends = (len(checkpoint.history) + 1, epochs) if checkpoint.start else (epochs,)
        try:
            with backend.lost_processes(), raise_original_errors(*given), interrupt_between_steps() as check:
                called = listed(check, checkpoint, every, add_history=True, model=model, epochs=epochs)
                for end in ends:
                    if len(ends) > 1:
                        train.set_epoch(len(checkpoint.history), checkpoint.start)
                    if not checkpoint.done:
                        model.fit(
                            serve(train),
                            validation_data=None if validation is None else serve(validation),
                            epochs=end,
                            initial_epoch=len(checkpoint.history),
                            shuffle=False,
                            verbose=0,
                            callbacks=called,
                        )
        finally:
            checkpoint.close()
    return pd.DataFrame(checkpoint.history)


def _is_per_epoch(callback: kc.Callback) -> bool:
    hooks = ("batch_begin", "batch_end", "train_batch_begin", "train_batch_end", "test_batch_begin", "test_batch_end")
    # Of the object, not of its class: `keras.callbacks.LambdaCallback` sets the object's own.
    found = [getattr(getattr(callback, f"on_{hook}"), "__func__", None) for hook in hooks]
    return found == [getattr(kc.Callback, f"on_{hook}") for hook in hooks]


class _StepCallbacks(kc.CallbackList):
    """Callbacks that Ctrl-C interrupts between two steps, and for which several calls of Keras's `fit` are one."""

    def __init__(self, check: Callable[[], None], checkpoint: _Checkpoint, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check, self.checkpoint, self.begun = check, checkpoint, False

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not self.begun:
            super().on_train_begin(logs)
        self.begun = True

    def on_train_end(self, logs: dict | None = None) -> None:
        if self.checkpoint.done:
            super().on_train_end(logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        self.checkpoint.before_batch(batch)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        self.checkpoint.after_batch(batch)
        self.check()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_test_batch_end(batch, logs)
        self.check()


class _EpochCallbacks(_StepCallbacks):
    """Callbacks of which none acts on a batch: Keras need not turn each batch's logs into Python numbers."""

    # That waits for the step to end, which takes a sixth of a small network's training time on JAX.

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.checkpoint.before_batch(batch)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.checkpoint.after_batch(batch)
        self.check()


class _Checkpoint(kc.Callback):
    """Last of the callbacks: sees what the others made of the epoch, shows it and writes it down."""

    def __init__(
        self,
        folder: Path,
        callbacks: Sequence[kc.Callback],
        train: EpochBatches,
        seed: int,
        epochs: int,
        progress: bool,
        fingerprint: str,
        save_every: int | None,
    ) -> None:
        super().__init__()
        self.save_every = save_every
        self.folder, self.callbacks, self.train = folder, callbacks, train
        self.seed, self.epochs, self.fingerprint = seed, epochs, fingerprint
        self.writes = backend.is_first_process()
        self.progress = progress and self.writes
        self.history: list[dict[str, float]] = []
        self.done = False
        self.start = self._step = 0  # batches of the epoch that are left out, and of the last checkpoint
        self._seconds = 0.0  # what those that are left out took
        self._saved: checkpoints.Checkpoint | None = None
        self._bar = tqdm(disable=True)

    def on_train_begin(self, logs: dict | None = None) -> None:
        # The other callbacks have just forgotten everything in their own on_train_begin.
        if self._saved is not None:
            self._saved.restore_callbacks(self.callbacks)
        steps = self.train.per_epoch
        self._bar = tqdm(
            total=self.epochs * steps,
            initial=len(self.history) * steps + self.start,
            unit="batch",
            dynamic_ncols=True,
            mininterval=0.5,
            disable=None if self.progress else True,  # a log file gets a line for each epoch instead
        )
        # Told by the data, not by a callback on each batch: see _EpochCallbacks.
        self.train.on_batch = self._bar.update

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter() - self._seconds
        self.train.set_epoch(epoch, self.start)
        self._step = self.start
        self._bar.set_description(f"epoch {epoch + 1}/{self.epochs}")
        backend.seed_dropout(self.seed * 100_003 + epoch)

    def before_batch(self, batch: int) -> None:
        """Goes on with the metrics and random numbers of an epoch that begins within."""
        # Not when it begins: Keras's iterator over batches draws from torch's generator after that.
        if self.start and not batch and self._saved is not None:
            self._saved.restore_epoch(self.model, self.train)

    def after_batch(self, batch: int) -> None:
        """Writes a checkpoint inside an epoch, when it is time."""
        step = min(self.start + batch + 1, self.train.per_epoch)  # of several steps a call, the last may be fewer
        if not self.save_every or step - self._step < self.save_every or step == self.train.per_epoch:
            return
        model = self.model  # which on JAX takes the state of the training
        self._check(len(self.history), {name: float(value) for name, value in model.get_metrics_result().items()})
        self._step = step
        self._write(step=step, seconds=time.perf_counter() - self._started)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._check(epoch, values)
        values["seconds"] = time.perf_counter() - self._started
        self.history.append({"epoch": epoch + 1, **values})
        self.start, self._seconds = 0, 0.0
        self.done = self.model.stop_training or epoch + 1 == self.epochs
        self._write()
        self._write_history()
        displayed = {name: f"{value:.4g}" for name, value in values.items() if name not in ("learning_rate", "seconds")}
        if self._bar.disable and self.progress:
            line = ", ".join(f"{name} {value}" for name, value in displayed.items())
            print(f"epoch {epoch + 1}/{self.epochs}: {line}", file=sys.stderr, flush=True)
        self._bar.set_postfix(displayed)

    def _check(self, epoch: int, values: dict[str, float]) -> None:
        if not all(np.isfinite(value) for value in values.values()):
            raise TrainingError(
                f"epoch {epoch + 1}: the loss is not a finite number, a lower learning rate may help. "
                f"Received: {values}"
            )

    def _write(self, **unfinished: Any) -> None:
        path = self.folder / _CHECKPOINT
        checkpoints.write(path, self.model, self.callbacks, self.history, self.fingerprint, **unfinished)

    def _write_history(self) -> None:
        if self.writes:
            files.write_atomically(self.folder / _HISTORY, pd.DataFrame(self.history).to_csv(index=False))

    def close(self) -> None:
        self.train.on_batch = None
        self._bar.close()

    def restore(self, model: keras.Model, path: Path) -> None:
        self._saved = saved = checkpoints.read(path, model, self.callbacks, self.fingerprint)
        saved.restore_model(model)
        self.history, self.start, self._seconds = saved.history, saved.step, saved.seconds
        if self.start >= self.train.per_epoch:
            raise ConfigurationError(f"{path}: the checkpoint is of a training with more batches")
        if self.start and backend.distribution() is not None:
            raise ConfigurationError(f"{path}: the checkpoint is inside an epoch, which goes on on one device")
        self._write_history()  # a kill may have come between the checkpoint and the history
        self.done = saved.stopped or len(self.history) >= self.epochs
        if self.done and (best := saved.best_weights()):
            model.set_weights(best)
