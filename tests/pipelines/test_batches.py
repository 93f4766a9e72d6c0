import numpy as np
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Batches, Lookup

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
    with pytest.raises(DataError, match=r"same number of rows; received \{'a': 11, 'b': 11, 'target': 4\}"):
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


@pytest.mark.parametrize(("index", "message"), [([0, 3], "0 to 2; received .0, 3."), ([-1, 0], "received .-1")])
def test_lookup_refuses_rows_outside_its_tables(index, message):
    with pytest.raises(DataError, match=message):
        Lookup(np.array(index), {"genres": np.zeros((3, 2))})
