"""Streamed batches: every row once, the same order on every backend, the quality of the shuffle, memory and errors."""

import pickle
import threading
import tracemalloc

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import models, training
from kmodels.datasets.parquet import ParquetTable
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Batches, StreamedBatches
from kmodels.pipelines.tf_data import tf_data
from kmodels.preprocessing import Category, Number, TableEncoder, splits

pytest.importorskip("pyarrow")
ROWS, GROUP = 1000, 60
FRAME = pd.DataFrame({"row": np.arange(ROWS), "user": np.arange(ROWS) // 8, "item": np.arange(ROWS) * 7 % 40})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    FRAME[:490].to_parquet(folder / "0.parquet", row_group_size=GROUP)
    FRAME[490:].to_parquet(folder / "1.parquet", row_group_size=GROUP)
    return ParquetTable(folder)


def encode(frame):
    row = frame["row"].to_numpy()
    return {"row": row.astype("int32"), "pair": np.stack([row, -row], 1).astype("float32")}, row.astype("float32")


def row_alone(frame):
    return ({"row": frame["row"].to_numpy()},)


def rows_of(batches):
    return [batches[i][0]["row"].tolist() for i in range(len(batches))]


def flat(batches):
    return [row for batch in rows_of(batches) for row in batch]


@pytest.mark.parametrize("window", [1, 130, 500, 10**6])
def test_every_row_comes_once_in_batches_that_cross_windows(table, window):
    batches = StreamedBatches(table, encode, batch_size=33, shuffle=True, seed=2, window=window)
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        found = rows_of(batches)
        assert [len(batch) for batch in found] == [33] * 30 + [10]
        assert sorted(row for batch in found for row in batch) == list(range(ROWS))


def test_inputs_and_target_of_a_row_stay_together(table):
    batches = StreamedBatches(table, encode, batch_size=33, shuffle=True, window=150)
    for i in range(len(batches)):
        inputs, target = batches[i]
        assert (inputs["row"].dtype, inputs["pair"].dtype, target.dtype) == (np.int32, np.float32, np.float32)
        np.testing.assert_array_equal(inputs["pair"], np.stack([target, -target], 1))
        np.testing.assert_array_equal(inputs["row"], target)


def expected_order(counts, seed, epoch, window):
    """The documented order, row by row: groups in random order, windows of equal parts, rows shuffled in each."""
    starts, total = np.cumsum([0, *counts]), sum(counts)
    rng, windows, before = np.random.default_rng((seed, epoch)), {}, 0
    for group in rng.permutation(len(counts)):
        number = before * -(-total // window) // total
        windows.setdefault(number, []).extend(range(starts[group], starts[group + 1]))
        before += counts[group]
    order = []
    for number, rows in enumerate(windows.values()):
        bits = np.random.default_rng((seed, epoch, number)).integers(0, 2**16, len(rows), np.uint16).tolist()
        places = sorted(range(len(rows)), key=lambda row: bits[row])
        order += [row for _, row in sorted(zip(places, rows, strict=True))]
    return order


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (0, 3), (7, 1)])
def test_the_order_depends_on_seed_and_epoch_alone(table, seed, epoch):
    batches = StreamedBatches(table, encode, batch_size=16, shuffle=True, seed=seed, window=200)
    batches.set_epoch(epoch + 1)
    batches[3]
    batches.set_epoch(epoch)
    counts = [group.rows for group in table.groups]
    assert flat(batches) == flat(batches) == expected_order(counts, seed, epoch, 200)


def test_an_order_written_down(table):
    batches = StreamedBatches(table, encode, batch_size=8, shuffle=True, window=200)
    assert rows_of(batches)[0] == [181, 697, 716, 206, 693, 182, 239, 552]


def test_batches_may_be_asked_for_in_any_order(table):
    batches = StreamedBatches(table, encode, batch_size=33, shuffle=True, window=150)
    whole = rows_of(batches)
    for i in (30, 0, 17, 16, 1, 29, -1):
        assert batches[i][0]["row"].tolist() == whole[i]
    with pytest.raises(IndexError):
        batches[31]


def test_without_shuffling_the_order_is_that_of_the_table(table):
    batches = StreamedBatches(table, encode, batch_size=64, window=200)
    for epoch in (0, 2):
        batches.set_epoch(epoch)
        assert flat(batches) == list(range(ROWS))
    last = batches.filled(15)
    assert last["row"].tolist() == [*range(960, 1000), *[999] * 24]
    assert last["pair"].shape == (64, 2)


def test_drop_remainder_leaves_out_other_rows_in_each_epoch(table):
    batches = StreamedBatches(table, encode, batch_size=300, shuffle=True, window=1, drop_remainder=True)
    left = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        assert [len(rows) for rows in rows_of(batches)] == [300] * 3
        left.append(set(range(ROWS)) - set(flat(batches)))
    assert left[0] != left[1]


def test_the_parts_of_a_hash_split_are_those_in_memory(table):
    whole = splits.by_hash(FRAME["user"], FRAME["item"], seed=1)
    counts = None
    for part, rows in whole._asdict().items():

        def keep(frame, part=part):
            return np.isin(np.arange(len(frame)), getattr(splits.by_hash(frame["user"], frame["item"], seed=1), part))

        batches = StreamedBatches(table, encode, keep=keep, counts=counts, batch_size=50)
        assert batches.rows == len(rows)
        assert flat(batches) == rows.tolist()
        again = StreamedBatches(table, encode, keep=keep, counts=batches.counts, batch_size=50, shuffle=True, window=1)
        assert sorted(flat(again)) == rows.tolist()


def test_any_table_through_a_table_encoder(tmp_path):
    rng, n = np.random.default_rng(0), 3000
    frame = pd.DataFrame({"x": rng.normal(size=n), "kind": rng.choice(["a", "b", "c"], n), "y": rng.normal(size=n)})
    frame.loc[::7, "x"] = np.nan
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=256)
    table = ParquetTable(tmp_path)
    encoder = TableEncoder.fit(table.sample(500), columns={"x": Number(), "kind": Category()}, drop=["y"])

    def made(frame):
        return encoder.transform(frame.drop(columns="y")), frame["y"].to_numpy("float32")

    inputs, target = encoder.transform(frame.drop(columns="y")), frame["y"].to_numpy("float32")
    streamed, whole = StreamedBatches(table, made, batch_size=100), Batches(inputs, target, batch_size=100)
    for i in range(len(whole)):
        for name, array in whole[i][0].items():
            np.testing.assert_array_equal(streamed[i][0][name], array)
        np.testing.assert_array_equal(streamed[i][1], whole[i][1])
    model = training.initialize(models.embedding_regressor(encoder.features))
    np.testing.assert_array_equal(training.predict(model, streamed), training.predict(model, whole))


# --- the quality of the shuffle


@pytest.mark.first_backend
@pytest.mark.parametrize("window", [4096, 16384])
def test_the_spread_of_batches_of_a_sorted_table_is_the_stated_one(tmp_path, window):
    n, group, size = 2**16, 512, 256
    pd.DataFrame({"row": np.arange(n)}).to_parquet(tmp_path / "t.parquet", row_group_size=group)
    table = ParquetTable(tmp_path)
    batches = StreamedBatches(table, row_alone, batch_size=size, shuffle=True, window=window)
    means, held = [], []
    for epoch in range(24):
        batches.set_epoch(epoch)
        found = rows_of(batches)
        means += [np.mean(rows) for rows in found]
        held += [
            len(set(np.array(found[i : i + window // size]).ravel() // group))
            for i in range(0, n // size, window // size)
        ]
    w, groups = window / group, n // group
    assert np.mean(held) == pytest.approx(w)  # row groups of a window
    stated = np.sqrt(1 / size + (1 / w) * (1 - w / groups)) * np.sqrt((n**2 - 1) / 12)
    # Batches of a window share its groups, so that the windows count: 24 epochs of 4 or 16 of them.
    windows = 24 * n // window
    assert np.std(means) == pytest.approx(stated, rel=5 / np.sqrt(2 * windows))
    assert stated > 1.5 * np.sqrt(1 / size) * np.sqrt((n**2 - 1) / 12)


# --- memory and the thread


def test_two_windows_and_a_row_group_are_in_memory(tmp_path):
    n, window = 400_000, 20_000
    pd.DataFrame({"row": np.arange(n), "x": np.zeros(n)}).to_parquet(tmp_path / "t.parquet", row_group_size=2000)
    batches = StreamedBatches(
        ParquetTable(tmp_path),
        lambda f: ({"row": f["row"].to_numpy()}, f["x"].to_numpy()),
        batch_size=500,
        shuffle=True,
        window=window,
    )
    batches[0]
    tracemalloc.start()
    for i in range(len(batches)):
        batches[i]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 16 bytes a row; the order of a window is another 8.
    assert peak < 3 * window * 24 < n * 16 / 4


def test_the_next_window_is_made_in_a_thread_before_it_is_asked_for(table):
    made, done = [], threading.Event()

    def noted(frame):
        made.append((int(frame["row"].iloc[0]), threading.current_thread() is threading.main_thread()))
        if len(made) == 4:
            done.set()
        return encode(frame)

    batches = StreamedBatches(table, noted, batch_size=20, window=120)
    batches[0]
    assert done.wait(20)
    assert [first for first, _ in made[:4]] == [0, 60, 120, 180]
    assert not any(is_main for _, is_main in made)
    batches[2], batches[3]
    assert sorted(first for first, _ in made)[:4] == [0, 60, 120, 180]  # each once


def test_a_pickled_copy_has_the_same_batches(table):
    batches = StreamedBatches(table, encode, batch_size=33, shuffle=True, window=150)
    batches.set_epoch(2)
    batches.on_batch = print
    assert batches[1][0]["row"] is not None
    copy = pickle.loads(pickle.dumps(batches))
    assert copy.on_batch is None
    batches.on_batch = None
    assert rows_of(copy) == rows_of(batches)


def test_the_same_batches_through_tf_data(table):
    pytest.importorskip("tensorflow")
    batches = StreamedBatches(table, encode, batch_size=33, shuffle=True, window=150)
    found = [inputs["row"].numpy().tolist() for inputs, _ in tf_data(batches)]
    assert found == rows_of(batches)


# --- errors


def test_errors_of_the_thread_arrive_as_themselves(table, tmp_path):
    def broken(frame):
        if frame["row"].iloc[0] >= 480:
            raise DataError("a value is wrong", row=3, column="row")
        return encode(frame)

    batches = StreamedBatches(table, broken, batch_size=20, window=80)
    batches[0]
    with pytest.raises(DataError, match=r"0\.parquet: row group 8: row 3, column 'row': a value is wrong") as error:
        rows_of(batches)
    assert batches.failure is error.value

    def worse(frame):
        raise ZeroDivisionError("so")

    model = keras.Sequential([keras.Input((2,), name="pair"), keras.layers.Dense(1)])
    with pytest.raises(ZeroDivisionError, match="so"):
        training.fit(model, StreamedBatches(table, worse), None, epochs=1, folder=tmp_path)


def test_values_that_a_model_cannot_take_are_refused_where_they_are_read(table, tmp_path):
    model = models.neumf(125, 41, hidden=(4,))
    training.compile_model(model, keras.optimizers.Adam())

    def pairs(frame, high=0):
        target = frame["row"].to_numpy("float32")
        ids = {"user_id": frame["user"].to_numpy("int32"), "item_id": frame["item"].to_numpy("int32")}
        ids["user_id"][frame["row"] == 777] += high
        target[frame["row"] == 777] += np.float32("nan") * (not high)
        return ids, target

    late = {"batch_size": 50, "window": 100}
    with pytest.raises(DataError, match=r"1\.parquet: row group 4: row 48, column 'user_id': id out of range"):
        training.fit(model, StreamedBatches(table, lambda f: pairs(f, 99), **late), None, epochs=1, folder=tmp_path)
    with pytest.raises(DataError, match=r"1\.parquet: row group 4: row 48, column 'target': not a finite number"):
        training.fit(model, StreamedBatches(table, pairs, **late), None, epochs=1, folder=tmp_path)


def test_what_cannot_be_streamed_is_refused(table):
    with pytest.raises(DataError, match="no row is taken"):
        StreamedBatches(table, encode, keep=lambda frame: np.zeros(len(frame), bool))
    for setting in ("window", "batch_size"):
        with pytest.raises(ConfigurationError, match=f"{setting} must be at least 1. Received: {setting}=0"):
            StreamedBatches(table, encode, **{setting: 0})
    draws = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"0\.parquet: another number of rows is taken"):
        rows_of(StreamedBatches(table, encode, keep=lambda frame: draws.random(len(frame)) < 0.5))
    with pytest.raises(DataError, match="rows are encoded to other arrays"):
        rows_of(StreamedBatches(table, lambda f: ({"x": np.zeros((len(f), f["row"].max()))},), window=10**6))


# --- training


def test_training_is_that_of_the_same_batches_in_memory(table, tmp_path):
    """In memory by an order that is the stream's."""

    def pairs(frame):
        ids = {"user_id": frame["user"].to_numpy("int32"), "item_id": frame["item"].to_numpy("int32")}
        return ids, (frame["row"] % 5).to_numpy("float32")

    def fit(name, train, validation):
        model = models.neumf(125, 41, dim=4, hidden=(8,), product=True, dropout=0.2)
        training.initialize(model, 0)
        training.compile_model(model, keras.optimizers.Adam(0.01))
        training.fit(model, train, validation, epochs=3, folder=tmp_path / name, engine="pydataset")
        return model.get_weights(), training.predict(model, validation)

    counts = [group.rows for group in table.groups]
    orders = {tuple(np.random.default_rng((4, epoch)).random(2)): epoch for epoch in range(3)}

    def order(rng):
        return np.array(expected_order(counts, 4, orders[tuple(rng.random(2))], 200))

    options = {"batch_size": 16, "shuffle": True, "seed": 4, "drop_remainder": True}
    inputs, target = pairs(FRAME)
    streamed = fit(
        "s", StreamedBatches(table, pairs, window=200, **options), StreamedBatches(table, pairs, batch_size=64)
    )
    memory = fit("m", Batches(inputs, target, order=order, **options), Batches(inputs, target, batch_size=64))
    for one, other in zip(streamed[0], memory[0], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(streamed[1], memory[1])
