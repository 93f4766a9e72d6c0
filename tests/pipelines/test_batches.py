"""Batches: their rows, order and parts; those of a split; and the same ones through tf.data."""

import importlib.util

import keras
import numpy as np
import pytest
from scipy import sparse

from kmodels import backend, models, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Batches, Lookup, split_batches
from kmodels.pipelines.tf_data import tf_data
from kmodels.preprocessing.splits import Split

ROWS = 11
X = {"a": np.arange(ROWS, dtype="int32"), "b": np.random.default_rng(0).normal(size=(ROWS, 3)).astype("float32")}
Y = np.arange(ROWS, dtype="float32") * 10


def order(batches: Batches) -> list[int]:
    return [int(value) for i in range(len(batches)) for value in batches[i][0]["a"]]


def test_a_batch_is_its_rows_taken_one_by_one():
    weight = np.linspace(0, 1, ROWS).astype("float32")
    batches = Batches(X, Y, sample_weight=weight, batch_size=4, shuffle=True, seed=3)
    rows = np.arange(ROWS)
    np.random.default_rng((3, 0)).shuffle(rows)
    for i in range(len(batches)):
        inputs, target, weights = batches[i]
        expected = [int(row) for row in rows[4 * i : 4 * i + 4]]
        for j, row in enumerate(expected):
            assert inputs["a"][j] == X["a"][row]
            np.testing.assert_array_equal(inputs["b"][j], X["b"][row])
            assert target[j] == Y[row]
            assert weights[j] == weight[row]
        assert len(target) == len(expected)


def test_dtypes_are_kept():
    inputs, target = Batches(X, Y, batch_size=4)[0]
    assert (inputs["a"].dtype, inputs["b"].dtype, target.dtype) == (np.int32, np.float32, np.float32)


def test_without_shuffling_the_order_is_the_datas_own_in_every_epoch():
    batches = Batches(X, batch_size=4)
    for epoch in (0, 5):
        batches.set_epoch(epoch)
        assert order(batches) == list(range(ROWS))
    assert len(batches[0]) == 1
    assert [len(batches[i][0]["a"]) for i in range(len(batches))] == [4, 4, 3]


@pytest.mark.parametrize(
    ("seed", "epoch", "expected"),
    [
        (0, 0, np.random.default_rng((0, 0)).permutation(ROWS)),
        (0, 1, np.random.default_rng((0, 1)).permutation(ROWS)),
        (7, 2, np.random.default_rng((7, 2)).permutation(ROWS)),
    ],
)
def test_the_order_depends_on_seed_and_epoch_alone(seed, epoch, expected):
    batches = Batches(X, Y, batch_size=4, shuffle=True, seed=seed)
    batches.set_epoch(9)
    batches.set_epoch(epoch)
    assert order(batches) == expected.tolist()
    assert order(batches) == expected.tolist()  # reading does not advance it


def test_an_order_written_down():
    assert order(Batches(X, Y, batch_size=4, shuffle=True)) == [4, 6, 7, 2, 0, 3, 5, 10, 9, 8, 1]


def test_every_row_exactly_once_in_each_epoch_and_another_order():
    batches = Batches(X, Y, batch_size=4, shuffle=True)
    orders = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        orders.append(order(batches))
        assert sorted(orders[-1]) == list(range(ROWS))
    assert orders[0] != orders[1] != orders[2]


def test_drop_remainder_leaves_out_other_rows_in_each_epoch():
    batches = Batches(X, Y, batch_size=4, shuffle=True, drop_remainder=True)
    assert len(batches) == 2
    left = set()
    for epoch in range(20):
        batches.set_epoch(epoch)
        seen = order(batches)
        assert len(seen) == len(set(seen)) == 8
        left |= set(range(ROWS)) - set(seen)
    assert left == set(range(ROWS))


@pytest.mark.parametrize(("size", "lengths"), [(ROWS, [11]), (20, [11]), (1, [1] * 11)])
def test_drop_remainder_of_few_rows_leaves_nothing_out(size, lengths):
    batches = Batches(X, Y, batch_size=size, drop_remainder=True)
    assert [len(batches[i][1]) for i in range(len(batches))] == lengths


def test_parts_get_the_rows_of_the_batch_and_add_their_inputs():
    asked = []

    def square(rows):
        asked.append(rows)
        return {"square": rows**2}

    batches = Batches({"a": X["a"]}, Y, parts=[square], batch_size=4, shuffle=True, seed=1)
    inputs, _ = batches[1]
    assert set(inputs) == {"a", "square"}
    np.testing.assert_array_equal(inputs["square"], inputs["a"].astype(np.int64) ** 2)
    assert asked[0].dtype == np.int64


def test_on_batch_is_told_of_each_batch():
    batches, calls = Batches(X, batch_size=4), []
    batches.on_batch = lambda: calls.append(1)
    for i in range(len(batches)):
        batches[i]
    assert len(calls) == 3


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r"differ in length; received \{'a': 11, 'b': 11, 'target': 4\}"):
        Batches(X, Y[:4])
    with pytest.raises(DataError, match="'sample_weight': 3"):
        Batches(X, Y, sample_weight=Y[:3])


def test_no_row_and_no_batch_size_are_refused():
    with pytest.raises(DataError, match="no row"):
        Batches({"a": np.array([])})
    with pytest.raises(ConfigurationError, match="Received: batch_size=0"):
        Batches(X, batch_size=0)


def test_lookup_gives_each_row_what_belongs_to_its_entity():
    index = np.array([2, 0, 0, 1])
    tables = {"genres": np.array([[1.0, 0], [0, 1], [1, 1]]), "decade": np.array([5, 6, 7], "int32")}
    part = Lookup(index, tables)
    rows = np.array([3, 0, 0, 2])
    for name, table in tables.items():
        np.testing.assert_array_equal(part(rows)[name], [table[index[row]] for row in rows])
        assert part(rows)[name].dtype == table.dtype


@pytest.mark.parametrize(("index", "message"), [([0, 3], "row 2.*0 to 2; received 3"), ([-1, 0], "row 1.*received -1")])
def test_lookup_refuses_rows_outside_its_tables(index, message):
    with pytest.raises(DataError, match=message):
        Lookup(np.array(index), {"genres": np.zeros((3, 2))})


# --- the parts of a split

SPLIT = Split(np.arange(0, 20), np.array([20, 22, 21]), np.array([23]))
EACH = np.arange(24.0)
PARTS = ("train", "validation", "test")


def rows_of(batches):
    return [batch for number in range(len(batches)) for batch in batches[number][0]["x"].tolist()]


def test_train_is_shuffled_in_equal_batches_and_the_others_keep_their_order():
    made = split_batches({"x": EACH}, -EACH, SPLIT, batch_size=6, seed=3)
    train = rows_of(made.train)
    assert len(made.train) == 3
    assert len(set(train)) == 18
    assert set(train) <= set(range(20))
    assert train != sorted(train)
    assert rows_of(made.validation) == [20, 22, 21]
    assert rows_of(made.test) == [23]
    for part in made:
        np.testing.assert_array_equal(part[0][1], -part[0][0]["x"])
    assert rows_of(split_batches({"x": EACH}, -EACH, SPLIT, batch_size=6, seed=3).train) == train
    assert rows_of(split_batches({"x": EACH}, -EACH, SPLIT, batch_size=6, seed=4).train) != train


def test_parts_see_positions_of_all_rows_and_only_training_is_weighed_and_dropped():
    ids = np.arange(1, 25, dtype=np.int32)
    made = split_batches(
        {"x": EACH, "id": ids},
        EACH,
        SPLIT,
        batch_size=8,
        sample_weight=EACH / 2,
        parts=lambda rows: [Lookup(rows, {"double": 2 * EACH})],
        ids=["id"],
        id_dropout=0.9,
    )
    for name in PARTS:
        inputs, target, *weight = getattr(made, name)[0]
        np.testing.assert_array_equal(inputs["double"], 2 * inputs["x"])
        np.testing.assert_array_equal(target, inputs["x"])
        if name == "train":
            np.testing.assert_array_equal(weight[0], target / 2)
            assert (inputs["id"] == 0).any()
        else:
            assert not weight
            np.testing.assert_array_equal(inputs["id"], inputs["x"] + 1)


@pytest.mark.parametrize("part", PARTS)
def test_an_empty_part_is_named(part):
    with pytest.raises(DataError, match=part):
        split_batches({"x": EACH}, EACH, SPLIT._replace(**{part: np.array([], np.int64)}))


def test_balanced_training_rows_weigh_each_class_the_same():
    target = np.array([0, 0, 0, 1, 1, 0, 1, 1], "int32")
    split = Split(np.arange(5), np.array([5, 6]), np.array([7]))
    batches = split_batches({"x": np.arange(8.0)}, target, split, batch_size=5, balanced=True)
    _, classes, weight = batches.train[0]
    assert [weight[classes == each].sum() for each in (0, 1)] == pytest.approx([2.5, 2.5])
    assert len(batches.validation[0]) == 2


# --- tf.data

needs_tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow not installed")
RNG = np.random.default_rng(0)
INPUTS = {"user_id": RNG.integers(0, 4, 23).astype("int32"), "item_id": RNG.integers(0, 5, 23).astype("int32")}
TARGET = RNG.uniform(size=23).astype("float32")


@needs_tensorflow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("batch_size", "drop_remainder"), [(5, False), (5, True), (1, False), (23, False), (40, False), (1, True)]
)
def test_the_same_batches_in_the_same_order_over_two_epochs(weighted, large, batch_size, drop_remainder):
    width = 300_000 if large else 1  # more than a megabyte: not several at a time
    settings = {
        "sample_weight": TARGET if weighted else None,
        "parts": [lambda rows: {"double": np.tile((2.0 * rows[:, None]).astype("float32"), width)}],
        "batch_size": batch_size,
        "drop_remainder": drop_remainder,
    }
    one, other = (Batches(INPUTS, TARGET, **settings, shuffle=True, seed=4) for _ in range(2))
    dataset = tf_data(other)
    assert dataset.cardinality() == len(one)
    equal = {len(one[i][1]) for i in range(len(one))} == {batch_size}
    assert dataset.element_spec[1].shape == [batch_size if equal else None]
    for epoch in range(2):
        one.set_epoch(epoch)
        dataset.set_epoch(epoch)
        served = list(dataset.as_numpy_iterator())
        assert len(served) == len(one)
        for i, batch in enumerate(served):
            assert len(batch) == len(one[i])
            assert set(batch[0]) == set(one[i][0])
            for name, values in one[i][0].items():
                np.testing.assert_array_equal(batch[0][name], values)
                assert batch[0][name].dtype == values.dtype
            for got, values in zip(batch[1:], one[i][1:], strict=True):
                np.testing.assert_array_equal(got, values)


@needs_tensorflow
def test_both_engines_train_the_same_model(tmp_path):
    results = []
    for engine in ("pydataset", "tf.data"):
        model = models.neumf(4, 5, dim=2, hidden=(4,), dropout=0.2)
        training.initialize(model, 1)
        training.compile_model(model, keras.optimizers.Adam(1e-2))
        train = Batches(INPUTS, TARGET, batch_size=5, shuffle=True)
        validation = Batches(INPUTS, TARGET)
        history = training.fit(model, train, validation, epochs=2, folder=tmp_path, engine=engine)
        results.append((history.drop(columns="seconds").to_numpy(), training.predict(model, validation)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("background", [False, True])
def test_tensorflow_gets_tf_data_unless_a_part_works_in_the_background(background, backend_name, monkeypatch, tmp_path):
    class Part:
        def __call__(self, rows):
            return {}

        def begin(self, rows):
            return dict

    served = []
    monkeypatch.setattr(training.fitting, "tf_data", lambda batches: served.append(batches) or batches)
    model = models.neumf(4, 5, dim=2, hidden=(4,))
    training.compile_model(model, keras.optimizers.Adam(1e-2))
    train = Batches(INPUTS, TARGET, batch_size=5, parts=[Part()] if background else [])
    validation = Batches(INPUTS, TARGET)
    training.fit(model, train, validation, epochs=1, folder=tmp_path)
    assert served == ([train, validation] if backend_name == "tensorflow" and not background else [])


def test_without_tensorflow_the_error_says_what_to_do(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        backend.running.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "tensorflow" else find(name, *rest),
    )
    with pytest.raises(ConfigurationError, match=r"install it \(pip install 'kmodels\[tensorflow\]'\)"):
        tf_data(Batches(INPUTS, TARGET))


# --- sparse arrays, and targets made per batch

SPARSE = sparse.csr_array(np.where(X["b"] > 0, X["b"], 0))


def test_a_batch_holds_its_rows_of_a_sparse_array_densely():
    batches = Batches({**X, "sparse": SPARSE}, SPARSE * 2, batch_size=4, shuffle=True, seed=3)
    for i in range(len(batches)):
        inputs, target = batches[i]
        assert (type(target), target.dtype) == (np.ndarray, np.float32)
        np.testing.assert_array_equal(inputs["sparse"], SPARSE.toarray()[inputs["a"]])
        np.testing.assert_array_equal(target, 2 * inputs["sparse"])
    assert Batches({"sparse": SPARSE}).rows == ROWS


def test_a_target_may_be_a_function_of_the_batchs_rows():
    batches = Batches(X, lambda rows: rows * 3, sample_weight=Y, batch_size=4, shuffle=True)
    inputs, target, weight = batches[1]
    np.testing.assert_array_equal(target, inputs["a"] * 3)
    np.testing.assert_array_equal(weight, inputs["a"] * 10)
    with pytest.raises(DataError, match="there are no rows"):
        Batches({}, lambda rows: rows)


def test_a_split_of_sparse_arrays():
    split = Split(np.array([5, 2, 9]), np.array([0]), np.array([10, 1]))
    test = split_batches({"sparse": SPARSE}, SPARSE, split).test
    np.testing.assert_array_equal(test[0][1], SPARSE.toarray()[[10, 1]])
