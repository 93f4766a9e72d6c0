"""Training on several devices is training on one: the same weights, logged values and predictions."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
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


def environment(**more):
    two = "--xla_force_host_platform_device_count=2"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {two}" if BACKEND == "jax" else os.environ.get("XLA_FLAGS", "")
    return os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, **more}


def run(folder, *, devices, kinds):
    command = [sys.executable, "-m", "tests.training.on_devices", "--out", folder, "--kinds", ",".join(kinds)]
    command = [str(each) for each in (*command, "--devices", devices)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {kind: dict(np.load(folder / f"{kind}.npz")) for kind in kinds}


def difference(one, other):
    assert set(one) == set(other)
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


@pytest.mark.skipif(BACKEND == "torch", reason="on torch a process has one device")
def test_two_devices_of_a_process_train_as_one(alone, tmp_path):
    sharded = ["histories_sharded"] if BACKEND == "jax" else []
    found = run(tmp_path, devices=2, kinds=[*KINDS, *sharded])
    for kind in KINDS:
        assert difference(found[kind], alone[kind]) < 1e-5
    for kind in sharded:
        # 10 rows are split, and of 13 rows the 4 columns.
        assert (found[kind].pop("shares") == 0.5).all()
        assert difference(found[kind], alone["histories"]) < 1e-5


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
