import json
import math
import os
import signal
import subprocess
import sys
import time
import zlib

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError, TrainingError
from kmodels.models.cnn import Stage, augment, cnn
from kmodels.pipelines import Batches

# One run, also executed by a process that is killed: dropout, a plateau and the best weights all take part.
RUN = """
import keras
import numpy as np
from kmodels import models, training
from kmodels.pipelines import Batches

rng = np.random.default_rng(0)
inputs = {"user_id": rng.integers(0, 6, 90).astype("int32"), "item_id": rng.integers(0, 7, 90).astype("int32")}
target = (inputs["user_id"] * 0.1 + inputs["item_id"] * 0.05 + rng.normal(0, 0.3, 90)).astype("float32")

def run(folder, epochs, resume=False, extra=(), dim=3, on_row=None):
    model = models.neumf(6, 7, dim=dim, hidden=(8,), product=True, batch_norm=True, dropout=0.3, vector_dropout=0.2)
    training.initialize(model, 5)
    training.compile_model(model, keras.optimizers.Adam(0.05))
    parts = [] if on_row is None else [on_row]
    train = Batches(inputs, target, batch_size=16, shuffle=True, seed=5, parts=parts)
    validation = Batches(inputs, target[::-1], batch_size=64)
    callbacks = [*training.plateau_callbacks(patience=1, stop=4), *extra]
    history = training.fit(
        model, train, validation, epochs=epochs, folder=folder, callbacks=callbacks, resume=resume, seed=5
    )
    return model, history, training.predict(model, validation)
"""
SPACE: dict = {}
exec(RUN, SPACE)
run = SPACE["run"]
EPOCHS = 8


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return (folder, *run(folder, EPOCHS))


def assert_same(one, other):
    (model_a, history_a, predicted_a), (model_b, history_b, predicted_b) = one, other
    pd.testing.assert_frame_equal(
        history_a.drop(columns="seconds"), history_b.drop(columns="seconds"), check_exact=True
    )
    for a, b in zip(model_a.get_weights(), model_b.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(predicted_a, predicted_b)


# --- initialize


def generator(path: str, seed: int = 7) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(path.encode())))


def truncated(path: str, shape: tuple, fan: int, scale: float) -> np.ndarray:
    rng = generator(path)
    draws = rng.normal(size=shape)
    while (np.abs(draws) > 2).any():
        outside = np.abs(draws) > 2
        draws[outside] = rng.normal(size=outside.sum())
    return draws * math.sqrt(scale / fan) / 0.87962566103423978


KINDS = {
    "glorot_uniform": lambda: generator("top/kernel").uniform(-math.sqrt(6 / 24), math.sqrt(6 / 24), (20, 4)),
    "glorot_normal": lambda: truncated("top/kernel", (20, 4), 12, 1),
    "he_normal": lambda: truncated("top/kernel", (20, 4), 20, 2),
    "he_uniform": lambda: generator("top/kernel").uniform(-math.sqrt(6 / 20), math.sqrt(6 / 20), (20, 4)),
    "lecun_normal": lambda: truncated("top/kernel", (20, 4), 20, 1),
    "random_normal": lambda: generator("top/kernel").normal(0, 0.05, (20, 4)),
    "random_uniform": lambda: generator("top/kernel").uniform(-0.05, 0.05, (20, 4)),
    "zeros": lambda: np.zeros((20, 4)),
    "ones": lambda: np.ones((20, 4)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_are_numpys_draws_to_the_bit(kind):
    bias = keras.initializers.Constant(0.7)
    layer = keras.layers.Dense(4, kernel_initializer=kind, bias_initializer=bias, name="top")
    model = keras.Sequential([keras.Input((20,)), layer])
    training.initialize(model, 7)
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, KINDS[kind]().astype("float32"))
    np.testing.assert_array_equal(bias, np.full(4, 0.7, "float32"))


def test_a_number_written_down():
    """The same on every backend, machine and version: runs of different years can be compared."""
    model = models.neumf(3, 4, dim=2)
    training.initialize(model, 0)
    assert model.get_layer("user_embedding").get_weights()[0][0].tolist() == [
        -0.047178883105516434,
        -0.042568646371364594,
    ]


def test_a_convolutions_fan_counts_its_window():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, name="conv")])
    training.initialize(model, 7)
    limit = math.sqrt(6 / (9 * 3 + 9 * 5))
    expected = generator("conv/kernel").uniform(-limit, limit, (3, 3, 3, 5)).astype("float32")
    np.testing.assert_array_equal(model.get_weights()[0], expected)


def test_truncated_draws_have_the_deviation_asked_for():
    model = keras.Sequential([keras.Input((400,)), keras.layers.Dense(300, kernel_initializer="he_normal")])
    training.initialize(model, 0)
    kernel = model.get_weights()[0]
    assert kernel.std() == pytest.approx(math.sqrt(2 / 400), rel=0.01)
    assert np.abs(kernel).max() <= 2 * math.sqrt(2 / 400) / 0.8796


def test_tables_of_equal_shape_differ_and_the_seed_matters():
    model = models.neumf(5, 5, dim=3)
    training.initialize(model, 0)
    user, item = (model.get_layer(f"{name}_embedding").get_weights()[0] for name in ("user", "item"))
    assert (user != item).all()
    training.initialize(model, 1)
    assert (model.get_layer("user_embedding").get_weights()[0] != user).all()


def test_another_layer_leaves_the_weights_of_the_first_as_they_were():
    small, large = models.neumf(5, 6, hidden=(8,)), models.neumf(5, 6, hidden=(8, 4), product=True, biases=True)
    for model in (small, large):
        training.initialize(model, 2)
    np.testing.assert_array_equal(*(m.get_layer("user_embedding").get_weights()[0] for m in (small, large)))


def test_the_random_state_of_dropout_is_set():
    states = []
    for _ in range(2):
        model = models.neumf(5, 6, hidden=(8,), dropout=0.5)
        training.initialize(model, 2)
        found = [v for v in model.variables if v.name == "seed_generator_state"]
        states.append([keras.ops.convert_to_numpy(v).tolist() for v in found])
    assert states[0] == states[1]


def test_an_initialiser_it_cannot_draw_is_refused():
    layer = keras.layers.Dense(2, kernel_initializer="orthogonal")
    with pytest.raises(ConfigurationError, match=r"Received: <.*Orthogonal"):
        training.initialize(keras.Sequential([keras.Input((2,)), layer]), 0)


# --- compile and callbacks


def test_compile_model_sets_loss_metric_and_steps(backend_name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(1e-3)
    training.compile_model(model, optimizer, metrics=("rmse", "mae"))
    assert model.optimizer is optimizer
    assert model.loss == "mse"
    assert model.steps_per_execution == (16 if backend_name == "tensorflow" else 1)
    logs = model.evaluate(np.zeros((4, 3)), np.full(4, 3.0), verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": 9.0, "rmse": 3.0, "mae": 3.0})


def test_rmse_leaves_the_penalty_out():
    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1.0))(x))
    model.set_weights([np.array([[2.0]]), np.zeros(1)])
    training.compile_model(model, keras.optimizers.SGD(0.0))
    logs = model.evaluate(np.zeros((4, 1)), np.full(4, 3.0), verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": 9.0 + 4.0, "rmse": 3.0})


def small_cnn():
    stages = Stage(8, depth=2, shortcut=True), Stage(8)
    return cnn((12, 12, 1), 3, stages=stages, augmentation=augment(12), dropout=0.1)


def test_a_model_in_bfloat16_computes_the_same_but_for_rounding():
    model = small_cnn()
    training.initialize(model, 1)
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), dtype="uint8")
    exact = model.predict({"image": images}, verbose=0)
    mixed = training.in_precision(model, "mixed_bfloat16")
    assert [weight.dtype for weight in mixed.weights] == ["float32"] * len(model.weights)
    assert mixed.get_layer("stage_1_1_conv").compute_dtype == "bfloat16"
    rounded = mixed.predict({"image": images}, verbose=0)
    assert rounded.dtype == np.float32
    scale = np.abs(exact).max()
    assert 1e-5 * scale < np.abs(rounded - exact).max() < 0.05 * scale  # bfloat16 has 8 bits, each layer rounds
    back = training.in_precision(mixed, "float32").predict({"image": images}, verbose=0)
    np.testing.assert_allclose(back, exact, rtol=0, atol=1e-6 * scale)


def test_a_model_in_bfloat16_learns_and_is_kept_in_float32(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    images = rng.integers(0, 100, (240, 12, 12, 1)).astype("uint8")
    for place in range(3):  # a bright bar, whose height says the class
        images[labels == place, 4 * place : 4 * place + 3] = 250
    model = training.in_precision(cnn((12, 12, 1), 3, stages=[Stage(8)], flatten=True), "mixed_bfloat16")
    training.initialize(model, 0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(0.01), loss=loss, metrics=())
    train = Batches({"image": images}, labels, batch_size=24, shuffle=True)
    training.fit(model, train, Batches({"image": images}, labels), epochs=4, folder=tmp_path)
    exact = training.in_precision(model, "float32")
    assert model.compiled
    assert not exact.compiled
    training.save(exact, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("stage_1_1_conv").compute_dtype == "float32"
    said = loaded.predict({"image": images}, verbose=0).argmax(axis=1)
    assert (said == labels).mean() > 0.97


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigurationError, match=r"float32, mixed_bfloat16.*Received: 'float8'"):
        training.in_precision(small_cnn(), "float8")


def test_plateau_callbacks_do_what_their_arguments_say():
    plateau, stop = training.plateau_callbacks("val_mae", factor=0.1, patience=3, stop=7)
    assert (plateau.monitor, plateau.factor, plateau.patience, plateau.mode) == ("val_mae", 0.1, 3, "min")
    assert (stop.monitor, stop.patience, stop.mode, stop.restore_best_weights) == ("val_mae", 7, "min", True)


# --- fit


def test_the_history_is_one_row_per_epoch_and_is_written_down(unbroken):
    folder, _, history, _ = unbroken
    columns = {"epoch", "loss", "rmse", "val_loss", "val_rmse", "learning_rate", "seconds"}
    assert set(history) == columns
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history, check_exact=False, rtol=1e-12)
    assert history["learning_rate"].iloc[-1] < history["learning_rate"].iloc[0]  # the plateau was met


def test_the_best_weights_are_restored(tmp_path):
    x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    model = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Dense(1)])
    model = keras.Model({"x": model.inputs[0]}, model.outputs[0])
    training.initialize(model, 0)
    training.compile_model(model, keras.optimizers.SGD(0.1))
    train, validation = Batches({"x": x}, x[:, 0], batch_size=16), Batches({"x": x}, -x[:, 0], batch_size=64)
    history = training.fit(
        model, train, validation, epochs=4, folder=tmp_path, callbacks=[training.best_weights("val_rmse")]
    )
    assert history["val_rmse"].is_monotonic_increasing  # it learns the opposite of what it is judged by
    rmse = np.sqrt(np.mean((training.predict(model, validation) + x[:, 0]) ** 2))
    assert rmse == pytest.approx(history["val_rmse"].iloc[0], rel=1e-5)


def test_the_fit_is_the_same_every_time(unbroken, tmp_path):
    assert_same(unbroken[1:], run(tmp_path, EPOCHS))


def test_shuffled_order_reaches_training(tmp_path):
    seen = []

    def record(rows):
        seen.append(rows.tolist())
        return {}

    run(tmp_path, 2, on_row=record)
    expected = [np.random.default_rng((5, epoch)).permutation(90).tolist() for epoch in range(2)]
    batches = [[order[i : i + 16] for i in range(0, 90, 16)] for order in expected]
    for epoch in batches:
        assert [rows for rows in seen if rows in epoch] != []
        assert all(rows in seen for rows in epoch)


def test_a_loss_that_is_no_number_stops_with_the_last_good_epoch_kept(tmp_path):
    wild = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 1e-3 if epoch < 2 else 1e38)
    with pytest.raises(TrainingError, match=r"epoch [34]: the loss is not a finite number, a lower learning rate"):
        run(tmp_path, EPOCHS, extra=[wild])
    with np.load(tmp_path / "checkpoint.npz") as file:
        state = json.loads(str(file["state"]))
        assert all(np.isfinite(file[name]).all() for name in file.files if name.startswith("model/"))
    assert len(state["history"]) in (2, 3)
    assert not state["stopped"]
    assert len(pd.read_csv(tmp_path / "history.csv")) == len(state["history"])
    assert not list(tmp_path.glob("*.tmp"))


def test_an_unknown_engine_is_refused(tmp_path):
    model = models.neumf(3, 4)
    training.compile_model(model, keras.optimizers.Adam())
    batches = Batches({"user_id": np.zeros(3, "int32"), "item_id": np.zeros(3, "int32")}, np.zeros(3))
    with pytest.raises(ConfigurationError, match=r"one of pydataset, tf\.data\. Received: engine='grain'"):
        training.fit(model, batches, batches, epochs=1, folder=tmp_path, engine="grain")


def test_dropout_draws_another_mask_at_every_step(tmp_path):
    def losses(steps):
        x = keras.Input((64,), name="x")
        dropped = keras.layers.Dropout(0.5)(x)
        model = keras.Model({"x": x}, keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)(dropped))
        training.compile_model(model, keras.optimizers.SGD(0.0))
        (folder := tmp_path / str(steps)).mkdir()
        row = np.sqrt(np.arange(64, dtype="float32"))  # which no two masks sum to the same by chance
        same = Batches({"x": np.tile(row, (4 * steps, 1))}, np.zeros(4 * steps), batch_size=4)
        return training.fit(model, same, same, epochs=5, folder=folder)["loss"].tolist()

    single, double = losses(1), losses(2)
    assert len({*single}) == 5
    assert not {*single} & {*double}  # each the mean of two masks


# --- resume


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.now == self.epoch:
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen == 3 or self.model.steps_per_execution > 1:
                raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [0, 1, 4])
def test_a_run_interrupted_and_resumed_ends_as_the_unbroken_one(unbroken, tmp_path, epoch):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, EPOCHS, extra=[Interrupt(epoch)])
    assert (tmp_path / "checkpoint.npz").exists() == (epoch > 0)
    assert_same(unbroken[1:], run(tmp_path, EPOCHS, resume=True))
    assert len(pd.read_csv(tmp_path / "history.csv")) == len(unbroken[2])


def test_interrupted_again_and_again(unbroken, tmp_path):
    for epoch in (1, 2, 5):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, EPOCHS, resume=True, extra=[Interrupt(epoch)])
    assert_same(unbroken[1:], run(tmp_path, EPOCHS, resume=True))


def test_a_run_killed_at_any_moment_and_resumed_ends_as_the_unbroken_one(unbroken, tmp_path):
    # The killed process sleeps a little in each batch, so that the kill falls into its training.
    script = RUN + (
        "import sys, time\nfrom pathlib import Path\n"
        f"run(Path(sys.argv[1]), {EPOCHS}, on_row=lambda rows: time.sleep(0.02) or {{}})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(np.random.default_rng(os.getpid()).uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert 1 <= len(pd.read_csv(tmp_path / "history.csv")) <= EPOCHS
    assert_same(unbroken[1:], run(tmp_path, EPOCHS, resume=True))


def test_a_finished_run_does_not_train_again(unbroken, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes((unbroken[0] / "checkpoint.npz").read_bytes())

    def fail(rows):
        calls.append(rows)
        return {}

    calls = []
    again = run(tmp_path, EPOCHS, resume=True, on_row=fail)
    assert_same(unbroken[1:], again)
    assert len(calls) <= 1  # the checks of the inputs look at one batch


def test_the_checkpoint_of_another_model_is_refused(unbroken, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes((unbroken[0] / "checkpoint.npz").read_bytes())
    with pytest.raises(ConfigurationError, match=r"checkpoint\.npz: the checkpoint is of another model or optimiser"):
        run(tmp_path, EPOCHS, resume=True, dim=4)


def test_without_resume_an_old_checkpoint_has_no_say(unbroken, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes((unbroken[0] / "checkpoint.npz").read_bytes())
    _, history, _ = run(tmp_path, 1)
    assert len(history) == 1


# --- predict and save


def test_predict_gives_one_number_a_row_in_the_datas_order():
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
    model.set_weights([np.array([[2.0]]), np.array([1.0])])
    values = np.arange(7, dtype="float32")[:, None]
    predicted = training.predict(model, Batches({"x": values}, np.zeros(7), batch_size=3))
    assert predicted.shape == (7,)
    np.testing.assert_allclose(predicted, 2 * values[:, 0] + 1)


def test_predict_keeps_several_numbers_a_row():
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(2)(x))
    assert training.predict(model, Batches({"x": np.zeros((3, 1), "float32")})).shape == (3, 2)


def test_predict_refuses_shuffled_batches():
    model = models.neumf(3, 4)
    batches = Batches({"user_id": np.zeros(3, "int32"), "item_id": np.zeros(3, "int32")}, shuffle=True)
    with pytest.raises(ConfigurationError, match="shuffle=True"):
        training.predict(model, batches)


def test_a_saved_model_has_no_optimiser_and_replaces_an_earlier_file(unbroken, tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("an earlier one")
    training.save(unbroken[1], path)
    loaded = keras.saving.load_model(path)
    assert not loaded.compiled
    for a, b in zip(loaded.get_weights(), unbroken[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
