"""Splits of single rows: their counts, that every row is in one part, and what they refuse."""

import numpy as np
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing.row_splits import random_rows, require_classes, stratified, stratified_folds
from kmodels.preprocessing.splits import Split


def check_parts(split, rows):
    for part in split:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert np.sort(np.concatenate(split)).tolist() == list(range(rows))


@pytest.mark.parametrize("rows", [2, 7, 90, 600])
def test_random_rows(rows):
    split = random_rows(rows, seed=0, validation=0.15, test=0.15)
    check_parts(split, rows)
    # The sizes by whole numbers: floor(.7 n) and n - floor(.85 n).
    assert (len(split.train), len(split.test)) == (rows * 70 // 100, rows - rows * 85 // 100)


def test_too_few_rows():
    with pytest.raises(DataError, match="too few rows to leave one for training; expected at least 2; received 1"):
        random_rows(1, seed=0)


def test_published_sizes():
    assert [len(part) for part in random_rows(1569, seed=4, validation=0.1275, test=0.15)] == [1133, 200, 236]
    labels = np.arange(1569) % 3
    assert [len(part) for part in stratified(labels, seed=4, validation=0.1275, test=0.15)] == [1133, 200, 236]


@pytest.mark.parametrize(
    "split", [lambda seed: random_rows(300, seed=seed), lambda seed: stratified([0, 1] * 150, seed=seed)]
)
def test_the_seed_decides(split):
    first, again, other = split(1), split(1), split(2)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize("labels", [np.repeat([0, 1, 2], [300, 60, 40]), np.repeat(["no", "yes"], [350, 50])])
def test_stratified_shares(labels):
    labels = np.random.default_rng(0).permutation(labels)
    split = stratified(labels, seed=5, validation=0.2, test=0.1)
    check_parts(split, 400)
    for kind in np.unique(labels):
        for part in split:
            assert abs((labels[part] == kind).sum() - (labels == kind).mean() * len(part)) < 1


def test_parts_may_be_left_out():
    split = stratified([0, 1] * 20, seed=0, validation=0, test=0.25)
    assert [len(part) for part in split] == [30, 0, 10]
    check_parts(split, 40)
    assert [len(part) for part in random_rows(40, seed=0, validation=0.25, test=0)] == [30, 10, 0]


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.5, 0.5), (float("nan"), 0.1)])
@pytest.mark.parametrize("split", [lambda **k: random_rows(100, **k), lambda **k: stratified([0, 1] * 50, **k)])
def test_shares_are_checked(split, validation, test):
    with pytest.raises(ConfigurationError, match="leave something for training"):
        split(seed=0, validation=validation, test=test)


def test_stratified_refuses():
    with pytest.raises(DataError, match="class 2 with 1"):
        stratified([0, 1] * 20 + [2], seed=0)
    with pytest.raises(DataError, match="every class in every part"):
        stratified(np.arange(20) % 5, seed=0)
    with pytest.raises(DataError, match="not a column"):
        stratified([[0, 1]], seed=0)


def test_require_classes():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0])
    whole = Split(np.array([0, 1, 2]), np.array([3, 4, 5]), np.array([6, 7, 8]))
    with pytest.raises(DataError, match=r"class 'high' has no row in the test part; .*received \[2, 1, 0\]"):
        require_classes(labels, whole, ("low", "medium", "high"))
    require_classes(labels, whole._replace(test=np.array([6, 7, 5])), ("low", "medium", "high"))
    require_classes(labels, whole._replace(test=np.array([], np.int64)), ("low", "medium", "high"))


# --- folds


@pytest.mark.parametrize(("rows", "folds"), [(400, 5), (97, 3), (20, 2)])
def test_every_row_is_tested_once(rows, folds):
    labels = np.random.default_rng(0).permutation(np.arange(rows) % 4 == 0).astype(int)
    splits = stratified_folds(labels, folds=folds, seed=3, validation=0.1)
    assert len(splits) == folds
    for split in splits:
        check_parts(split, rows)
        assert len(split.validation) == rows // 10
        for part in split:
            # A class has its share of each part, but for one row of it where shares are no whole numbers.
            assert abs(labels[part].sum() - labels.mean() * len(part)) <= 1
    assert np.sort(np.concatenate([split.test for split in splits])).tolist() == list(range(rows))


def test_the_seed_decides_the_folds():
    labels = np.arange(100) % 2
    first, again, other = (stratified_folds(labels, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(*parts) for pair in zip(first, again, strict=True) for parts in zip(*pair, strict=True))
    assert not np.array_equal(first[0].test, other[0].test)
    assert not np.array_equal(first[0].validation, first[1].validation)


@pytest.mark.parametrize(
    ("labels", "folds", "error", "message"),
    [
        ([0, 1] * 10, 1, ConfigurationError, "folds must be 2 or more. Received: folds=1"),
        ([0] * 20 + [1] * 2, 3, DataError, "expected 3 rows of each class or more; received 'class 1 with 2 rows'"),
        ([], 3, DataError, "too few rows for the folds"),
        ([[0, 1]], 2, DataError, "labels are not a column"),
    ],
)
def test_folds_that_cannot_be_made(labels, folds, error, message):
    with pytest.raises(error, match=message):
        stratified_folds(np.array(labels, int), folds=folds, seed=0)
