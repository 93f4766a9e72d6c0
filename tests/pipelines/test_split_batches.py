"""The batches of a split's three parts."""

import numpy as np
import pytest

from kmodels.errors import DataError
from kmodels.pipelines import IdDropout, Lookup, split_batches
from kmodels.preprocessing.splits import Split

SPLIT = Split(np.arange(0, 20), np.array([20, 22, 21]), np.array([23]))
X = np.arange(24.0)
PARTS = ("train", "validation", "test")


def rows_of(batches):
    return [batch for number in range(len(batches)) for batch in batches[number][0]["x"].tolist()]


def test_train_is_shuffled_in_equal_batches_and_the_others_keep_their_order():
    made = split_batches({"x": X}, -X, SPLIT, batch_size=6, seed=3)
    train = rows_of(made.train)
    assert len(made.train) == 3
    assert len(set(train)) == 18
    assert set(train) <= set(range(20))
    assert train != sorted(train)
    assert rows_of(made.validation) == [20, 22, 21]
    assert rows_of(made.test) == [23]
    for part in made:
        np.testing.assert_array_equal(part[0][1], -part[0][0]["x"])
    assert rows_of(split_batches({"x": X}, -X, SPLIT, batch_size=6, seed=3).train) == train
    assert rows_of(split_batches({"x": X}, -X, SPLIT, batch_size=6, seed=4).train) != train


def test_parts_see_positions_of_all_rows_and_only_training_is_weighed_and_dropped():
    ids = np.arange(1, 25, dtype=np.int32)
    made = split_batches(
        {"x": X, "id": ids},
        X,
        SPLIT,
        batch_size=8,
        sample_weight=X / 2,
        parts=lambda rows: [Lookup(rows, {"double": 2 * X})],
        train_parts=lambda rows: [IdDropout({"id": ids[rows]}, 0.9)],
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
        split_batches({"x": X}, X, SPLIT._replace(**{part: np.array([], np.int64)}))


def test_balanced_training_rows_weigh_each_class_the_same():
    target = np.array([0, 0, 0, 1, 1, 0, 1, 1], "int32")
    split = Split(np.arange(5), np.array([5, 6]), np.array([7]))
    batches = split_batches({"x": np.arange(8.0)}, target, split, batch_size=5, balanced=True)
    _, classes, weight = batches.train[0]
    assert [weight[classes == each].sum() for each in (0, 1)] == pytest.approx([2.5, 2.5])
    assert len(batches.validation[0]) == 2
