"""Planted targets in disguise are found, and honest columns are not."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from kmodels.evaluation.leakage import leaking_columns

ROWS = 600
TRAIN = np.arange(0, ROWS, 2)


@pytest.fixture(scope="module")
def honest():
    """A number, an id of 30 values and a column of few values."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(size=ROWS), rng.integers(1, 31, ROWS), rng.integers(0, 3, ROWS)])


def find(honest, disguise, target, n_classes=None):
    matrix = np.column_stack([honest, disguise])
    groups = {"number": [0], "id": [1], "few": [2], "disguise": list(range(3, matrix.shape[1]))}
    return leaking_columns(matrix, target, TRAIN, groups, n_classes=n_classes)


def test_an_amount_that_is_another_unit_of_the_target_is_named(honest):
    amount = 3 * honest[:, 0] + np.random.default_rng(1).normal(size=ROWS)
    for disguise in (1.19 * amount + 7, np.exp(-amount)):
        found = find(honest, disguise, amount)
        assert list(found) == ["disguise"]
        assert found["disguise"] == pytest.approx(abs(spearmanr(disguise, amount).statistic))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_by_the_cells_of_a_column_are_named(honest, n_classes):
    rng = np.random.default_rng(2)
    code = rng.integers(0, 12, ROWS)  # each code is of one class, in no order
    target = rng.permutation(np.arange(12) % n_classes)[code]
    assert list(find(honest, code, target, n_classes)) == ["disguise"]
    hot = np.eye(12)[code]
    assert list(find(honest, hot, target, n_classes)) == ["disguise"]


def test_two_classes_by_a_threshold_of_a_number_have_an_area_of_one(honest):
    value = np.random.default_rng(3).normal(size=ROWS)
    assert find(honest, value, (value > 0.3).astype(int), 2) == {"disguise": 1.0}
    assert find(honest, -value, (value > 0.3).astype(int), 2) == {"disguise": 1.0}


def test_a_strong_column_is_no_disguise(honest):
    rng = np.random.default_rng(4)
    value = rng.normal(size=ROWS)
    assert find(honest, value, value + rng.normal(0, 0.2, ROWS)) == {}
    assert find(honest, value, (value + rng.normal(0, 0.2, ROWS) > 0).astype(int), 2) == {}


def test_an_id_of_each_training_row_is_no_disguise(honest):
    """It knows the training rows by heart, and nothing of the others."""
    target = np.random.default_rng(5).integers(0, 2, ROWS)
    unique = np.random.default_rng(6).permutation(ROWS)
    assert find(honest, unique, target, 2) == {}


def test_where_the_other_rows_are_of_one_class_nothing_is_said(honest):
    target = np.zeros(ROWS, int)
    target[TRAIN[:10]] = 1
    assert find(honest, target, target, 2) == {}
