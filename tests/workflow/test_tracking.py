"""Runs that are tracked: what MLflow's own client and TensorBoard's own reader find, and runs whose server is gone."""

import itertools
import json
import os
import runpy
import struct
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import backend, workflow
from kmodels.errors import ConfigurationError
from kmodels.workflow import tracking
from kmodels.workflow.run_folder import foreign
from tests.workflow.test_run import X, batches, build, flags, run_all

OTHERS = ("predict", "recommend")
RECIPES = sorted(path for path in Path(__file__).parents[2].glob("recipes/*.py") if path.stem not in OTHERS)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A folder of MLflow's, and what asks it."""
    mlflow = pytest.importorskip("mlflow")
    for name, value in tracking._MLFLOW.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    return mlflow.MlflowClient()


class Interrupt(keras.callbacks.Callback):
    """Interrupts a training before its third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def only_run(client):
    (experiment,) = client.search_experiments(filter_string="name = 'line'")
    (found,) = client.search_runs([experiment.experiment_id])
    return found


def steps(client, run, name):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


@pytest.mark.first_backend
def test_mlflow_has_a_run_s_settings_epochs_files_and_model(recipe, tmp_path, store, monkeypatch):
    def export(run, record):
        (run.folder / "model").mkdir()
        for name in ("model.onnx", "model/saved_model.pb"):
            (run.folder / name).touch()

    monkeypatch.setattr(workflow.Run, "_export", export)
    monkeypatch.setattr(backend, "check_exporter", lambda form: None)
    run, fitted = run_all(flags(tmp_path, "--track", "mlflow", "--seed", "3", "--export", "onnx"), recipe)
    found = only_run(store)
    config = json.loads((run.folder / "config.json").read_text())
    assert found.data.params == {name: str(value) for name, value in config.items()}
    assert "track" not in config
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    for name in ("loss", "val_rmse", "learning_rate", "seconds"):
        assert steps(store, found, name) == list(zip([1, 2], fitted.history[name], strict=True))
    record = json.loads((run.folder / "metrics.json").read_text())
    assert steps(store, found, "test/rmse") == [(2, record["test"]["rmse"])]
    assert steps(store, found, "validation/rmse") == [(2, record["validation"]["rmse"])]
    files = {each.path for each in store.list_artifacts(found.info.run_id)}
    assert files >= {
        "config.json",
        "metrics.json",
        "history.csv",
        "report.html",
        "MODEL_CARD.md",
        "plots",
        "model.onnx",
    }
    assert {each.path for each in store.list_artifacts(found.info.run_id, "exports")} == {"exports/model"}
    assert not files & {"checkpoint.npz", "tracking.json", ".kmodels"}
    import mlflow.keras

    model = mlflow.keras.load_model(f"runs:/{found.info.run_id}/model")
    np.testing.assert_array_equal(model.predict_on_batch({"x": X}), fitted.model.predict_on_batch({"x": X}))
    (logged,) = store.search_logged_models([found.info.experiment_id])
    assert logged.source_run_id == found.info.run_id
    assert logged.status == "READY"
    assert {metric.key: metric.value for metric in logged.metrics}["test/rmse"] == record["test"]["rmse"]


def run_interrupted(args, recipe):
    with pytest.raises(KeyboardInterrupt):
        run_all(args, recipe, callbacks=[Interrupt()])


@pytest.mark.first_backend
def test_a_resumed_run_goes_on_in_the_same_run_of_mlflow_with_each_epoch_once(recipe, tmp_path, store):
    args = ["--track", "mlflow", "--epochs", "4"]
    run_interrupted(flags(tmp_path, *args), recipe)
    first = only_run(store)
    assert [step for step, _ in steps(store, first, "loss")] == [1]
    run_all(flags(tmp_path, *args, "--resume"), recipe)
    found = only_run(store)
    assert (found.info.run_id, found.info.status) == (first.info.run_id, "FINISHED")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert steps(store, found, "loss") == list(zip([1, 2, 3, 4], history["loss"], strict=True))


@pytest.mark.first_backend
def test_where_the_run_is_gone_from_the_store_resume_sends_all_to_a_new_one(recipe, tmp_path, store):
    run_all(flags(tmp_path, "--track", "mlflow"), recipe)
    first = only_run(store)
    store.delete_run(first.info.run_id)
    run_all(flags(tmp_path, "--track", "mlflow", "--resume"), recipe)
    found = only_run(store)
    assert found.info.run_id != first.info.run_id
    assert [step for step, _ in steps(store, found, "loss")] == [1, 2]


@pytest.mark.first_backend
def test_a_server_that_comes_back_within_a_resumed_run_gets_no_epoch_twice(recipe, tmp_path, store, monkeypatch):
    run_all(flags(tmp_path, "--track", "mlflow"), recipe)
    begin, attempts = tracking._MLflow.open, []

    def begin_later(self, *args):
        attempts.append(args)
        if len(attempts) == 1:
            raise ConnectionError("gone")
        return begin(self, *args)

    monkeypatch.setattr(tracking._MLflow, "open", begin_later)
    run_all(flags(tmp_path, "--track", "mlflow", "--resume"), recipe)
    assert len(attempts) == 2
    assert [step for step, _ in steps(store, only_run(store), "loss")] == [1, 2]


@pytest.mark.first_backend
def test_without_its_server_a_run_ends_as_ever_and_resume_sends_it_later(recipe, tmp_path, store, monkeypatch, capsys):
    uri = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run, _ = run_all(flags(tmp_path, "--track", "mlflow"), recipe)
    lines = capsys.readouterr().out.splitlines()
    first, last = (line for line in lines if line.startswith("warning: --track mlflow failed"))
    assert "127.0.0.1" in first
    assert "--resume --track mlflow sends what is missing" in last
    assert (run.folder / "report.html").is_file()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_all(flags(tmp_path, "--track", "mlflow", "--resume"), recipe)
    assert [step for step, _ in steps(store, only_run(store), "loss")] == [1, 2]


def scalars(folder, name):
    """Steps and values in event files, whose records are a length, its checksum, the event and its checksum."""
    from tensorboard.compat.proto.event_pb2 import Event  # TensorBoard's reader would import TensorFlow

    for file in sorted(folder.iterdir()):
        content, at = file.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + size])
            at += size + 16
            yield from ((event.step, each.simple_value) for each in event.summary.value if each.tag == name)


@pytest.mark.first_backend
def test_tensorboard_reads_each_epoch_of_a_resumed_run_once(recipe, tmp_path):
    pytest.importorskip("tensorboard")
    args = ["--track", "tensorboard", "--epochs", "4"]
    run_interrupted(flags(tmp_path, *args), recipe)
    run, _ = run_all(flags(tmp_path, *args, "--resume"), recipe)
    history = pd.read_csv(run.folder / "history.csv")
    for part, name in (("train", "loss"), ("train", "learning_rate"), ("validation", "loss"), ("validation", "rmse")):
        steps, values = zip(*scalars(run.folder / "tensorboard" / part, name), strict=True)
        assert steps == (1, 2, 3, 4)
        column = f"val_{name}" if part == "validation" else name
        np.testing.assert_allclose(values, history[column], rtol=1e-6)
    assert foreign(run.folder) == []


@pytest.mark.first_backend
@pytest.mark.parametrize("kind", ["mlflow", "tensorboard"])
def test_a_missing_package_ends_a_run_before_it_begins(recipe, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    args = flags(tmp_path, "--track", kind)
    with pytest.raises(ConfigurationError, match=rf"pip install 'kmodels\[{kind}\]'"):
        workflow.Run(args, recipe)
    assert not args.out.exists()


@pytest.mark.first_backend
def test_nothing_is_imported_unless_asked_for(recipe, tmp_path, monkeypatch):
    for name in ("mlflow", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)  # an import raises
    run, _ = run_all(flags(tmp_path), recipe)
    assert not {"tracking.json", "tensorboard"} & {path.name for path in run.folder.iterdir()}


def test_callbacks_of_a_run_see_every_training_and_its_batches(recipe, tmp_path):
    seen = []
    each = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append("batch"),
        on_epoch_end=lambda epoch, logs: seen.append("epoch"),
    )
    run = workflow.Run(flags(tmp_path, "--epochs", "1"), recipe, [each])
    run.open("50d2")
    for name in ("a", "b"):
        run.fit(name, build({"learning_rate": 0.1}), *batches()[:2])
    assert [event for event, _ in itertools.groupby(seen)] == ["batch", "epoch", "batch", "epoch"]


@pytest.mark.first_backend
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_hands_on_callbacks(path, monkeypatch):
    def run(args, recipe, callbacks):
        assert Path(recipe) == path
        raise InterruptedError(*callbacks)

    monkeypatch.setattr(workflow, "Run", run)
    recipe, mine = runpy.run_path(str(path)), keras.callbacks.Callback()
    with pytest.raises(InterruptedError) as ended:
        recipe["main"](recipe["flags"]().parse_args([]), callbacks=[mine])
    assert ended.value.args == (mine,)
