"""Training on several devices is training on one: the same weights, logged values and predictions."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import backend, models, training
from kmodels.errors import ConfigurationError
from kmodels.pipelines import Batches
from tests.training.on_devices import train

ROOT = Path(__file__).parents[2]
BACKEND = keras.backend.backend()
KINDS = ("dense", "histories")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one device leaves."""
    folder = tmp_path_factory.mktemp("alone")
    return {kind: train(kind, folder / kind)[0] for kind in KINDS}


def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]


def launchers(processes):
    """What the launcher of this backend sets in each process's environment."""
    ports = [str(free_port()) for _ in range(processes)]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    for i in range(processes):
        if BACKEND == "torch":
            yield {"WORLD_SIZE": str(processes), "RANK": str(i), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0]}
        elif BACKEND == "jax":
            names = ("NUM_PROCESSES", "PROCESS_ID", "JOB_ADDRESSES")
            values = (str(processes), str(i), addresses[0])
            yield {f"KERAS_DISTRIBUTION_{name}": value for name, value in zip(names, values, strict=True)}
        else:
            task = {"type": "worker", "index": i}
            yield {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}


def start(folder, *flags, devices, kinds, process=0, **environment):
    command = [sys.executable, "-m", "tests.training.on_devices", "--out", folder, "--kinds", ",".join(kinds), *flags]
    command += ["--devices", devices, "--process", process]
    settings = os.environ | {"PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(each) for each in command], cwd=ROOT, env=settings, text=True, **pipes)


def start_two(folder, *flags, kinds):
    return [start(folder, *flags, devices=1, kinds=kinds, process=i, **each) for i, each in enumerate(launchers(2))]


def finish(process):
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def found(folder, kind, process=0):
    return dict(np.load(folder / f"{kind}{process}.npz"))


def difference(one, other):
    assert set(one) == set(other)
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


@pytest.mark.skipif(BACKEND == "torch", reason="on torch a process has one device")
def test_two_devices_of_a_process_train_as_one(alone, tmp_path):
    sharded = ["histories_sharded"] if BACKEND == "jax" else []
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"}
    code, errors = finish(start(tmp_path, devices=2, kinds=[*KINDS, *sharded], **flags))
    assert code == 0, errors[-3000:]
    for kind in KINDS:
        assert difference(found(tmp_path, kind), alone[kind]) < 1e-5
    for kind in sharded:
        left = found(tmp_path, kind)
        assert (left.pop("shares") == 0.5).all()  # 10 rows are split, and of 13 rows the 4 columns
        assert difference(left, alone["histories"]) < 1e-5


def test_two_processes_train_as_one_device_even_if_one_is_killed(alone, tmp_path):
    # The first training is whole; of the second one, process 1 is killed at the end of the first epoch.
    histories = "histories_sharded" if BACKEND == "jax" else "histories"
    first, second = start_two(tmp_path, "--killed", "dense", kinds=(histories, "dense"))
    (code, errors), (killed, more) = finish(first), finish(second)
    assert killed == -signal.SIGKILL, more[-3000:]
    assert code != 0
    assert "error: process 0 of 2 ends, as another one has ended or cannot be reached" in errors, errors[-3000:]
    assert "Traceback" not in errors
    assert len(pd.read_csv(tmp_path / "dense" / "history.csv")) == 1
    # Both go on with the second epoch.
    for code, errors in [finish(each) for each in start_two(tmp_path, "--resume", kinds=("dense",))]:
        assert code == 0, errors[-3000:]
    for process in range(2):
        assert difference(found(tmp_path, "dense", process), alone["dense"]) < 1e-5
        left = found(tmp_path, histories, process)
        assert np.all(left.pop("shares", 0.5) == 0.5)
        assert difference(left, alone["histories"]) < 1e-5


# --- what is refused


def refused(start, *parts):
    def check(function):
        with pytest.raises(ConfigurationError) as caught:
            function()
        message = str(caught.value)
        assert message.startswith(start), message
        assert all(part in message for part in parts), message
        assert "\n" not in message

    return check


def enter(*args, **kwargs):
    with training.distribute(*args, **kwargs):
        pass


def test_more_devices_than_there_are():
    if BACKEND == "torch":
        refused("on torch a process has one device", "torchrun", "devices=64")(lambda: enter(64))
    else:
        refused("more devices than there are: this process finds", "devices=64")(lambda: enter(64))
    with pytest.raises(ConfigurationError, match="devices=0"):
        enter(0)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX can")
def test_tables_are_sharded_on_jax_alone():
    refused("tables are sharded on JAX alone", BACKEND)(lambda: enter(1, shard_tables=True))


def fit(model, batches, folder, monkeypatch, devices):
    monkeypatch.setattr(backend, "distribution", lambda: backend.Distribution(devices))
    training.compile_model(model, keras.optimizers.Adam(0.01))
    training.fit(model, batches, None, epochs=1, folder=folder)


@pytest.mark.parametrize(
    ("rows", "batch_size", "drop", "devices", "size"),
    [(12, 4, True, 3, 4), (14, 4, False, 4, 2), (5, 8, True, 2, 5)],
)
def test_a_batch_that_the_devices_cannot_share(rows, batch_size, drop, devices, size, monkeypatch, tmp_path):
    x = keras.Input((2,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
    batches = Batches(
        {"x": np.ones((rows, 2), "float32")}, np.ones(rows, "float32"), batch_size=batch_size, drop_remainder=drop
    )
    refused(f"{devices} devices cannot share a training batch of {size} rows", "batch_size")(
        lambda: fit(model, batches, tmp_path, monkeypatch, devices)
    )


@pytest.mark.skipif(BACKEND == "jax", reason="on JAX a model sees the whole batch")
def test_a_model_that_compares_the_rows_of_a_batch(monkeypatch, tmp_path):
    inputs = {name: np.array([1, 2, 1, 2], "int32") for name in ("user_id", "item_id")}
    inputs["item_log_frequency"] = np.zeros((4, 1), "float32")
    batches = Batches(inputs, lambda rows: np.arange(len(rows)), batch_size=4)
    refused("two_tower scores the rows of a batch with each other", "JAX")(
        lambda: fit(models.two_tower(3, 3, dim=2), batches, tmp_path, monkeypatch, 2)
    )


HALF_SET = {
    "jax": (
        {"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"},
        "KERAS_DISTRIBUTION_PROCESS_ID, KERAS_DISTRIBUTION_JOB_ADDRESSES",
    ),
    "torch": ({"RANK": "0", "MASTER_ADDR": "localhost"}, "WORLD_SIZE, MASTER_PORT"),
}


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow's is one variable")
def test_an_environment_that_is_half_set(monkeypatch):
    variables, missing = HALF_SET[BACKEND]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    refused("several processes need", f"Missing: {missing}")(lambda: enter(1))


ADDRESS = {"jax": {"JOB_ADDRESSES": "localhost:1"}, "torch": {"MASTER_ADDR": "localhost", "MASTER_PORT": "1"}}
WRONG = {
    "jax": [{"NUM_PROCESSES": n, "PROCESS_ID": i} for n, i in (("two", "0"), ("2", "2"))],
    "torch": [{"WORLD_SIZE": n, "RANK": i} for n, i in (("2", "-1"), ("2", "2"))],
    "tensorflow": [
        {"TF_CONFIG": text}
        for text in ("{", "[]", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}')
    ],
}


@pytest.mark.parametrize("variables", WRONG[BACKEND], ids=str)
def test_an_environment_that_makes_no_sense(variables, monkeypatch):
    for name, value in (variables | ADDRESS.get(BACKEND, {})).items():
        monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}" if BACKEND == "jax" else name, value)
    refused("", "must be")(lambda: enter(1))
