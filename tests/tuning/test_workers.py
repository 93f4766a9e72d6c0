"""The chief and its workers, on loopback, as processes of their own."""

import os
import subprocess
import sys
import time

import keras
import keras_tuner
import pandas as pd
import pytest
from keras_tuner.src.distribute import oracle_client

from kmodels import tuning
from kmodels.errors import ConfigurationError, TrainingError
from kmodels.tuning import workers
from kmodels.tuning.journal import journaled_oracle

SCRIPT = """
import os, sys
from pathlib import Path
import keras, numpy as np
from kmodels import training, tuning
from kmodels.pipelines import Batches

def build(hp):
    x = keras.Input((2,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(keras.layers.Dense(hp.Int("units", 1, 16), "relu")(x)))
    training.compile_model(model, keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")))
    marker = Path(sys.argv[1]) / "dies-once"
    if tuning.workers.role() == "worker" and hp.get("units") > 4 and marker.exists():
        marker.unlink()
        os._exit(9)
    return model

rng = np.random.default_rng(0)
x = rng.normal(size=(96, 2)).astype("float32")
data = Batches({"x": x}, x[:, 0] * x[:, 1], batch_size=32)
found = tuning.search(build, data, data, directory=Path(sys.argv[1]) / sys.argv[2], trials=6, objective="val_rmse",
                      epochs=2, workers=int(sys.argv[3]))
if found is not None:
    found.trials.to_csv(Path(sys.argv[1]) / f"{sys.argv[2]}.csv", index=False)
"""


def start(folder, *arguments, **environment):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)


def finish(process):
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    return error


def table(folder, name):
    return pd.read_csv(folder / f"{name}.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    finish(start(folder, "alone", "1"))
    return table(folder, "alone")


def test_a_worker_that_dies_loses_one_trial_which_is_run_again(alone, tmp_path):
    (tmp_path / "dies-once").touch()
    assert "died with code 9; starting it again" in finish(start(tmp_path, "together", "2"))
    together = table(tmp_path, "together")
    assert (together["status"] == "completed").all()
    pd.testing.assert_frame_equal(together, alone, rtol=1e-5)


def test_a_chief_and_two_workers_that_are_started_by_hand(alone, tmp_path):
    if keras.backend.backend() != "jax":
        pytest.skip("KerasTuner's chief knows no backend: once is enough")
    (tmp_path / "dies-once").touch()
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(workers._free_port())}
    names = ("worker0", "worker1", "chief")  # the chief last
    running = {name: start(tmp_path, "hand", "1", KERASTUNER_TUNER_ID=name, **place) for name in names}
    while (died := next((name for name in names[:2] if running[name].poll() == 9), None)) is None:
        assert running["chief"].poll() is None
        time.sleep(0.1)
    running[died].communicate()
    running[died] = start(tmp_path, "hand", "1", KERASTUNER_TUNER_ID=died, **place)
    for process in running.values():
        finish(process)
    pd.testing.assert_frame_equal(table(tmp_path, "hand"), alone, rtol=1e-5)


def test_workers_that_keep_dying_end_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", "import os; os._exit(9)"])
    oracle = journaled_oracle(
        keras_tuner.oracles.RandomSearchOracle,
        tmp_path,
        objective=keras_tuner.Objective("loss", "min"),
        max_trials=3,
    )
    with pytest.raises(
        TrainingError, match=r"died 4 times without a trial ended in between, the last time with code 9"
    ):
        workers.run_chief(oracle, workers=2)


def test_a_worker_without_its_chief_gives_up(build, data, tmp_path, monkeypatch):
    for name, value in (
        ("TUNER_ID", "worker0"),
        ("ORACLE_IP", "127.0.0.1"),
        ("ORACLE_PORT", str(workers._free_port())),
    ):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    monkeypatch.setattr(oracle_client, "TIMEOUT", 5.0)
    with pytest.raises(TrainingError, match=r"no chief answered at 127.0.0.1:\d+ within 0.5 s .*this worker gives up"):
        tuning.search(build, data, data, directory=tmp_path / "search", chief_timeout=0.5)
    assert oracle_client.TIMEOUT == 0.5


def test_half_of_keras_tuners_variables_are_refused(monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    with pytest.raises(ConfigurationError, match=r"go together\. Received: only KERASTUNER_TUNER_ID"):
        tuning.workers.role()
