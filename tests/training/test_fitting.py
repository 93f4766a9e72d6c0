import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import files, models, training
from kmodels.errors import ConfigurationError, DataError, TrainingError
from kmodels.pipelines import Batches
from kmodels.training import checkpoint
from tests.mutation import mutations
from tests.training.interrupting import InterruptAt

# One run, also executed by a process that is killed: dropout, a plateau and the best weights all take part.
RUN = """
import keras
import numpy as np
from kmodels import models, training
from kmodels.pipelines import Batches

rng = np.random.default_rng(0)
inputs = {"user_id": rng.integers(0, 6, 90).astype("int32"), "item_id": rng.integers(0, 7, 90).astype("int32")}
target = (inputs["user_id"] * 0.1 + inputs["item_id"] * 0.05 + rng.normal(0, 0.3, 90)).astype("float32")

def run(folder, epochs, resume=False, extra=(), dim=3, on_row=None, fingerprint="", size=16, save_every=None):
    model = models.neumf(6, 7, dim=dim, hidden=(8,), product=True, batch_norm=True, dropout=0.3, vector_dropout=0.2)
    training.initialize(model, 5)
    training.compile_model(model, keras.optimizers.Adam(0.05))
    parts = [] if on_row is None else [on_row]
    train = Batches(inputs, target, batch_size=size, shuffle=True, seed=5, parts=parts)
    validation = Batches(inputs, target[::-1], batch_size=64)
    callbacks = [*training.plateau_callbacks(patience=1, stop=4), *extra]
    history = training.fit(
        model, train, validation, epochs=epochs, folder=folder, callbacks=callbacks, resume=resume, seed=5,
        fingerprint=fingerprint, save_every=save_every,
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


def test_plateau_callbacks_do_what_their_arguments_say():
    plateau, stop = training.plateau_callbacks("val_mae", patience=3, stop=7)
    assert (plateau.monitor, plateau.factor, plateau.patience, plateau.mode) == ("val_mae", 0.5, 3, "min")
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
    model = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Dense(1, kernel_initializer="zeros")])
    model = keras.Model({"x": model.inputs[0]}, model.outputs[0])
    training.initialize(model, 0)
    training.compile_model(model, keras.optimizers.SGD(0.1))
    train, validation = Batches({"x": x}, x[:, 0], batch_size=16), Batches({"x": x}, -x[:, 0], batch_size=64)
    history = training.fit(
        model, train, validation, epochs=4, folder=tmp_path, callbacks=[training.best_weights("val_rmse")]
    )
    assert history["val_rmse"].is_monotonic_increasing  # it learns the opposite of what it is evaluated by
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


def test_an_unknown_engine_and_one_object_for_both_parts_are_refused(tmp_path):
    model = models.neumf(3, 4)
    training.compile_model(model, keras.optimizers.Adam())
    batches = Batches({"user_id": np.zeros(3, "int32"), "item_id": np.zeros(3, "int32")}, np.zeros(3))
    with pytest.raises(ConfigurationError, match=r"one of pydataset, tf\.data\. Received: engine='grain'"):
        training.fit(model, batches, batches, epochs=1, folder=tmp_path, engine="grain")
    with pytest.raises(ConfigurationError, match="save_every needs other validation batches"):
        training.fit(model, batches, batches, epochs=1, folder=tmp_path, save_every=2)


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
    for epoch in (1, 2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, EPOCHS, resume=True, extra=[Interrupt(epoch)])
    assert_same(unbroken[1:], run(tmp_path, EPOCHS, resume=True))


# TensorFlow trains 16 batches in a call, and so does JAX where they are many.
@pytest.mark.parametrize(("size", "every", "batch"), [(16, 2, 5), (1, 20, 64)])
def test_a_run_interrupted_inside_epochs_goes_on_at_that_batch(size, every, batch, tmp_path):
    if size > 1 and keras.backend.backend() == "tensorflow":
        return  # an epoch is one call
    plain = run(tmp_path / "plain", 4, size=size)
    options = {"size": size, "save_every": every}
    assert_same(plain, run(tmp_path / "saved", 4, **options))
    folder = tmp_path / "broken"
    # The third time in an epoch that was resumed, of which Keras counts the batches from 0.
    for epoch, at in ((1, batch), (2, batch), (2, 1)):
        with pytest.raises(KeyboardInterrupt):
            run(folder, 4, resume=True, extra=[InterruptAt(epoch, at)], **options)
        state = json.loads(files.read_arrays(folder / "checkpoint.npz")["state"].item())
        assert len(state["history"]) == epoch
        assert every <= state["step"] <= 90 // size
        assert state["seconds"] > 0
    assert_same(plain, run(folder, 4, resume=True, **options))
    assert len(pd.read_csv(folder / "history.csv")) == 4


def test_no_batches_between_checkpoints_are_refused(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"save_every is at least 1, and for one device\. Received: save_every=0"
    ):
        run(tmp_path, 1, save_every=0)


def test_what_was_trained_on_is_not_read_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 2, extra=[InterruptAt(0, 64)], size=1, save_every=48)
    seen = []
    run(tmp_path, 1, resume=True, on_row=lambda rows: seen.append(rows.tolist()) or {}, size=1, save_every=48)
    order = np.random.default_rng((5, 0)).permutation(90)[:, None].tolist()
    assert all(rows in seen for rows in order[48:])
    assert sum(rows in order[:48] for rows in seen) <= 1  # the checks of the inputs look at one batch


@pytest.mark.parametrize("engine", ["pydataset", "tf.data"])
def test_a_stream_goes_on_inside_an_epoch(engine, tmp_path):
    pytest.importorskip("pyarrow")
    if engine == "tf.data":
        pytest.importorskip("tensorflow")
    from kmodels.datasets.parquet import ParquetTable
    from kmodels.pipelines import StreamedBatches

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=600).astype("float32"), "y": rng.normal(size=600).astype("float32")})
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=50)
    read = []

    def encode(rows):
        read.append(rows.index[0])
        return {"x": rows[["x"]].to_numpy()}, rows["y"].to_numpy()

    def fit(name, extra=(), **options):
        x = keras.Input((1,), name="x")
        hidden = keras.layers.Dropout(0.2, name="drop")(keras.layers.Dense(8, name="hidden")(x))
        model = keras.Model({"x": x}, keras.layers.Dense(1, name="output")(hidden))
        training.initialize(model, 0)
        training.compile_model(model, keras.optimizers.Adam(0.01))
        table, order = ParquetTable(tmp_path / "t.parquet"), {"shuffle": True, "seed": 2, "drop_remainder": True}
        train = StreamedBatches(table, encode, batch_size=8, window=60, **order)
        validation = StreamedBatches(table, encode, batch_size=200)
        history = training.fit(
            model, train, validation, epochs=3, folder=tmp_path / name, callbacks=extra, engine=engine, **options
        )
        return model, history, training.predict(model, validation)

    plain = fit("plain", save_every=20)
    with pytest.raises(KeyboardInterrupt):
        fit("broken", extra=[InterruptAt(1, 64)], save_every=20)
    assert_same(plain, fit("broken", save_every=20, resume=True))


def test_a_loss_that_is_no_number_keeps_the_checkpoint_inside_an_epoch(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch >= 32:
                self.model.optimizer.learning_rate = 1e38

    with pytest.raises(TrainingError, match="epoch 1: the loss is not a finite number"):
        run(tmp_path, 2, extra=[Break()], size=1, save_every=1)
    arrays = files.read_arrays(tmp_path / "checkpoint.npz")
    assert all(np.isfinite(array).all() for name, array in arrays.items() if name.startswith("model/"))
    assert json.loads(arrays["state"].item())["step"] in (32, 33, 48)


@pytest.mark.one_backend("jax")
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


@pytest.mark.one_backend("jax")
def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    run(tmp_path, 1, fingerprint="seed 0")
    assert len(run(tmp_path, 2, resume=True, fingerprint="seed 0")[1]) == 2
    for other in ("seed 1", ""):
        with pytest.raises(
            ConfigurationError, match=r"checkpoint\.npz: the checkpoint is of a run with other settings"
        ):
            run(tmp_path, 3, resume=True, fingerprint=other)


@pytest.mark.one_backend("jax")
@pytest.mark.parametrize("epochs", [2, 3])
def test_the_history_is_whole_after_a_kill_between_checkpoint_and_history(tmp_path, epochs):
    run(tmp_path, 2)
    rows = (tmp_path / "history.csv").read_text().splitlines(keepends=True)
    (tmp_path / "history.csv").write_text("".join(rows[:2]))
    _, history, _ = run(tmp_path, epochs, resume=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history)
    assert len(history) == epochs
    assert (tmp_path / "history.csv").read_text().splitlines(keepends=True)[:3] == rows


def test_without_resume_an_old_checkpoint_has_no_say(unbroken, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes((unbroken[0] / "checkpoint.npz").read_bytes())
    _, history, _ = run(tmp_path, 1)
    assert len(history) == 1


@pytest.fixture
def read(unbroken, tmp_path):
    """Reads the bytes of a checkpoint for the unbroken run's model."""

    def read(content):
        (tmp_path / "checkpoint.npz").write_bytes(content)
        callbacks = training.plateau_callbacks(patience=1, stop=4)
        return checkpoint.read(tmp_path / "checkpoint.npz", unbroken[1], callbacks)

    return read


def test_a_damaged_checkpoint_is_refused_or_read_as_it_was(unbroken, read):
    content = (unbroken[0] / "checkpoint.npz").read_bytes()
    whole, refused = read(content), 0
    for damaged in mutations(content, 200):
        try:
            found = read(damaged)
        except (DataError, ConfigurationError):
            refused += 1
            continue
        assert (found.history, found.stopped) == (whole.history, whole.stopped)
        np.testing.assert_equal(found.arrays, whole.arrays)
        np.testing.assert_equal(found.callbacks, whole.callbacks)
    assert refused > 150


@pytest.mark.parametrize(
    "change",
    [
        lambda state: "[" * 100_000,
        lambda state: "null",
        lambda state: json.dumps({"history": []}),
        lambda state: json.dumps(state | {"history": [{"epoch": 1}]}),
        lambda state: json.dumps(state | {"history": state["history"][::-1]}),
        lambda state: json.dumps(state | {"history": state["history"][:1] * 2}),
        lambda state: json.dumps(state | {"stopped": "no"}),
        lambda state: json.dumps(state | {"step": -1}),
        lambda state: json.dumps(state | {"step": True}),
        lambda state: json.dumps(state | {"seconds": "long"}),
        lambda state: json.dumps(state | {"callbacks": {"7": {"wait": 0}}}),
        lambda state: json.dumps(state | {"callbacks": {"0": {"wait": "0"}}}),
        lambda state: json.dumps(state | {"callbacks": {"0": {"params": 0}}}),
        lambda state: json.dumps(state).replace('"loss": ', '"loss": 1e999, "was": '),
        lambda state: json.dumps(state).replace('"loss": ', f'"loss": {"9" * 5000}, "was": '),
    ],
)
def test_a_state_that_no_training_writes_is_refused(change, unbroken, read, tmp_path):
    arrays = files.read_arrays(unbroken[0] / "checkpoint.npz")
    state = json.loads(arrays["state"].item())
    files.write_arrays(tmp_path / "changed.npz", arrays | {"state": np.array(change(state))})
    with pytest.raises((DataError, ConfigurationError), match=r"checkpoint\.npz: "):
        read((tmp_path / "changed.npz").read_bytes())


@pytest.mark.parametrize(
    "change", [{"model/99": np.zeros(2)}, {"model/0": np.zeros((9, 9))}, {"model/0": np.full((6, 3), "a")}]
)
def test_arrays_of_another_model_are_refused(change, unbroken, read, tmp_path):
    arrays = files.read_arrays(unbroken[0] / "checkpoint.npz")
    files.write_arrays(tmp_path / "changed.npz", arrays | change)
    with pytest.raises(ConfigurationError, match="another model"):
        read((tmp_path / "changed.npz").read_bytes())
