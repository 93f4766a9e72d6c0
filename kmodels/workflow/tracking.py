"""Tracking: a run's settings, metrics by epoch, files and model, for MLflow or TensorBoard."""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from kmodels import backend, cli
from kmodels.errors import ConfigurationError, printable
from kmodels.files import read_json, write_json
from kmodels.report.record import RunRecord, VariantRecord
from kmodels.workflow import run_folder

Row = Mapping[Any, Any]
# Unless the user sets them: a server that is not there is given up after seconds instead of minutes, the folder
# `mlruns` may be written, and nobody else hears of the run.
_MLFLOW = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_WIDEST = 1000  # metrics in a request
_LONGEST = 500  # characters of a parameter, in the oldest stores


class Tracking:
    """Sends what a run does to MLflow or TensorBoard. Where that fails, one line says so and the run goes on.

    Args:
        kind: "mlflow" or "tensorboard".

    Raises:
        ConfigurationError: If the package is not installed.
    """

    def __init__(self, kind: str) -> None:
        if importlib.util.find_spec(kind) is None:
            raise ConfigurationError(f"--track {kind} needs {kind}: pip install 'kmodels[{kind}]'")
        self.kind = kind
        self._waiting: list[tuple[str, Row]] = []
        self._sent: dict[str, int] = {}  # training -> its last epoch that was sent
        self._to: _MLflow | _TensorBoard | None = None
        self._has_failed = False

    def open(self, recipe: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begins, or goes on with what `tracking.json` in the run folder names."""
        self._start = recipe, folder, config
        self._send()

    def log(self, training: str, history: pd.DataFrame) -> None:
        """Sends the epochs of a training that are not yet sent; `training` is its folder in that of the run, or ""."""
        known = [self._sent.get(training, 0), *(row["epoch"] for name, row in self._waiting if name == training)]
        rows = history[history["epoch"] > max(known)].to_dict("records")
        self._waiting += [(training, row) for row in rows]
        if not self._has_failed:  # to ask again may take as long as the server's timeout, each epoch
            self._send()

    def callback(self, training: str, folder: Path) -> keras.callbacks.Callback:
        """Logs each epoch once its checkpoint is written: a run that is killed sends none twice."""

        def log(epoch: int, logs: dict | None = None) -> None:
            if epoch:
                self.log(training, pd.read_csv(folder / "history.csv"))

        return keras.callbacks.LambdaCallback(on_epoch_begin=log)

    def close(self, record: RunRecord, model: keras.Model) -> None:
        """Sends what is left, the final metrics, the files and the model."""
        self._send(record, model)

    def _send(self, *final: Any) -> None:
        try:
            _, folder, _ = self._start
            path = folder / run_folder.TRACKING
            if self._to is None:
                found = read_json(path) if path.is_file() else {}
                destination = _MLflow() if self.kind == "mlflow" else _TensorBoard()
                if destination.open(*self._start, found.get(self.kind, {})):
                    self._sent = found["sent"]
                self._to = destination
            while self._waiting:
                training, row = self._waiting[0]
                if row["epoch"] > self._sent.get(training, 0):  # unless it was sent before the destination was known
                    self._to.log(training, row)
                    self._sent[training] = int(row["epoch"])
                del self._waiting[0]
            write_json(path, {self.kind: self._to.about, "sent": self._sent})
            if final:
                self._to.close(*final)
        except Exception as error:  # whatever a client or its server raises, the training is worth more
            self._has_failed = True
            again = f"; once it works, --resume --track {self.kind} sends what is missing" if final else ""
            why = printable(str(error), 240)
            tqdm.write(printable(f"warning: --track {self.kind} failed and the run goes on without it{again}: {why}"))


class _TensorBoard:
    """Event files in `tensorboard/TRAINING/train` and `validation`, which share the names of metrics."""

    # Records of events, not `tensorboard.summary.Writer`, which imports TensorFlow where that is installed.

    def __init__(self) -> None:
        self.about = {"folder": run_folder.TENSORBOARD}
        self._files: dict[Path, Any] = {}

    def open(self, recipe: str, folder: Path, config: Mapping[str, Any], about: Mapping[str, str]) -> bool:
        """Whether this goes on with what was written before."""
        self.folder = folder / run_folder.TENSORBOARD
        return about == self.about and self.folder.is_dir()

    def log(self, training: str, row: Row) -> None:
        parts: dict[str, dict[str, float]] = {"train": {}, "validation": {}}
        for name, value in _numbers(row):
            parts["validation" if name.startswith("val_") else "train"][name.removeprefix("val_")] = value
        for part, metrics in parts.items():
            if metrics:
                self._write(self.folder / training / part, metrics, int(row["epoch"]))

    def close(self, record: RunRecord, model: keras.Model) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write(self, folder: Path, metrics: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        now = time.time()
        if folder not in self._files:
            folder.mkdir(parents=True, exist_ok=True)
            # Later files of a folder come later in the order of their names.
            path = folder / f"events.out.tfevents.{int(now)}.{os.getpid()}"
            self._files[folder] = RecordWriter(path.open("ab"))
            self._files[folder].write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._files[folder].write(Event(wall_time=now, step=step, summary=Summary(value=values)).SerializeToString())
        self._files[folder].flush()


class _MLflow:
    """A run of an MLflow store: a server, a database or the folder `mlruns`, as `MLFLOW_TRACKING_URI` says."""

    def __init__(self) -> None:
        self.about: dict[str, str] = {}
        self._is_open = False

    def open(self, recipe: str, folder: Path, config: Mapping[str, Any], about: Mapping[str, str]) -> bool:
        """Begins a run, or goes on with the one of the run folder, if the store has it: whether it does."""
        for name, value in _MLFLOW.items():
            os.environ.setdefault(name, value)
        import mlflow

        if not mlflow.is_tracking_uri_set():
            mlflow.set_tracking_uri(Path("mlruns").resolve().as_uri())
        self.folder, self.client, uri = folder, mlflow.MlflowClient(), mlflow.get_tracking_uri()
        goes_on = about.get("uri") == uri and self._has(about["run_id"])
        if goes_on:
            self.about = dict(about)
            self.client.update_run(self.about["run_id"], status="RUNNING")
        else:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", recipe)
            found = self.client.get_experiment_by_name(name)
            experiment = self.client.create_experiment(name) if found is None else found.experiment_id
            tags = {"mlflow.source.name": recipe, "mlflow.note.content": cli.command()}
            run = self.client.create_run(experiment, run_name=folder.resolve().name, tags=tags)
            self.about = {"uri": uri, "run_id": run.info.run_id}
            settings = [mlflow.entities.Param(key, str(value)[:_LONGEST]) for key, value in config.items()]
            self.client.log_batch(run.info.run_id, params=settings)
        self._is_open = True
        atexit.register(self._abandon)
        return goes_on

    def log(self, training: str, row: Row) -> None:
        metrics = {f"{training}/{name}" if training else name: value for name, value in _numbers(row)}
        self._log(metrics, int(row["epoch"]))

    def close(self, record: RunRecord, model: keras.Model) -> None:
        run_id, step = self.about["run_id"], record.chosen.timing.epochs
        for name, variant in record.variants.items():
            self._log(_tested(variant, f"{name}/"), step)
        self._log(_tested(record.chosen), step, model_id=self._log_model(model, record.versions))
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.name not in run_folder.OF_TRAINING:
                self.client.log_artifact(run_id, str(path))
            elif path.name == "plots":
                self.client.log_artifacts(run_id, str(path), "plots")
            elif (path / "saved_model.pb").is_file():  # its name may be that of the model in MLflow's own format
                self.client.log_artifacts(run_id, str(path), f"exports/{path.name}")
        self.client.set_terminated(run_id)
        self._is_open = False

    def _log(self, metrics: Mapping[str, float], step: int, **of: Any) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        known = {re.sub(r"[^/\w.\- :]", "_", name): value for name, value in metrics.items()}
        values = [Metric(name, value, now, step, **of) for name, value in known.items()]
        for start in range(0, len(values), _WIDEST):
            self.client.log_batch(self.about["run_id"], metrics=values[start : start + _WIDEST])

    def _log_model(self, model: keras.Model, versions: Mapping[str, str]) -> str:
        """Its id."""
        import mlflow.keras
        from mlflow.models import Model, ModelSignature

        run_id = self.about["run_id"]
        # Made here, or it would belong to the process's experiment instead of the run's.
        experiment = self.client.get_run(run_id).info.experiment_id
        made = self.client.create_logged_model(experiment, name="model", source_run_id=run_id)
        with backend.without_tensorflow():
            Model.log(
                None,
                mlflow.keras,
                run_id=run_id,
                model_id=made.model_id,
                # Without its optimiser, as `training.save` does it.
                model=keras.Model(model.input, model.output, name=model.name),
                signature=ModelSignature(_schema(model.inputs), _schema(model.outputs)),
                # Given, or a process of its own would load the model to find out.
                pip_requirements=[f"{name}=={versions[name].partition('+')[0]}" for name in ("keras", backend.name())],
            )
        return str(made.model_id)

    def _has(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _abandon(self) -> None:
        """At the end of a process that was interrupted or failed."""
        if self._is_open:
            with suppress(Exception):
                self.client.set_terminated(self.about["run_id"], "KILLED")


def _numbers(values: Row) -> Iterator[tuple[str, float]]:
    """What can be drawn: all finite numbers but the epoch's."""
    for name, value in values.items():
        if value is not None and name != "epoch" and np.isfinite(value):
            yield name, float(value)


def _tested(variant: VariantRecord, prefix: str = "") -> dict[str, float]:
    """The final metrics of a model, such as "test/rmse"."""
    parts = {"test": variant.test, "validation": variant.validation}
    return {f"{prefix}{part}/{name}": value for part, each in parts.items() for name, value in _numbers(each)}


def _schema(tensors: Sequence[Any]) -> Any:
    from mlflow.types import Schema, TensorSpec

    sizes = [[size or -1 for size in tensor.shape] for tensor in tensors]
    return Schema(
        [TensorSpec(np.dtype(each.dtype), size, each.name) for each, size in zip(tensors, sizes, strict=True)]
    )
