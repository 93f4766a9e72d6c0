"""Purchases as two problems: parts that share no row, targets that fit, ids that are left out in training alone."""

import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.pipelines.spending import Spending


@pytest.fixture(scope="module")
def table():
    user, product = np.divmod(np.arange(3000), 50)
    ids = pd.DataFrame({"user_id": user, "product_id": product, "city": user % 3}, dtype="category")
    return ids.assign(amount=400.0 * product + user)


@pytest.fixture(scope="module")
def problem(table):
    return Spending.of(table, seed=0)


def test_every_row_is_in_one_part(problem, table):
    rows = np.concatenate(list(problem.parts.values()))
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(table)))


def test_only_the_unseen_part_has_unknown_ids(problem):
    for part, rows in problem.parts.items():
        unknown = problem.table.unseen[rows]
        assert unknown.all() if part == "unseen" else not unknown.any(), part


def test_batches_of_a_part_are_in_its_order(problem, table):
    batches = problem.batches("validation", problem.groups, ids=False)
    inputs, target = batches[0]
    assert set(inputs) == {"city"}
    amount = table["amount"].to_numpy()[problem.parts["validation"]]
    np.testing.assert_array_equal(target, np.digitize(amount, [5000, 10_000, 15_000.01]))


def test_training_leaves_some_ids_out_and_nothing_else(problem):
    batches = problem.training(problem.table.amount, batch_size=256, unknown=0.1)
    made = [batches[i][0] for i in range(len(batches))]
    assert {len(inputs["city"]) for inputs in made} == {256}
    for name in ("user_id", "product_id"):
        assert 0.07 < np.mean([inputs[name] == 0 for inputs in made]) < 0.13
    assert not any((inputs["city"] == 0).any() for inputs in made)


def test_a_summary_counts_rows(problem, table):
    summary = problem.summary()
    assert sum(summary["split"].values()) == sum(summary["spend_group_counts"].values()) == len(table)
    assert list(problem.judged()) == ["validation", "test", "unseen"]


def test_one_spend_group_is_refused(table):
    with pytest.raises(DataError, match=r"all training rows are in one spend group; received '< 5,000'"):
        Spending.of(table.assign(amount=1.0), seed=0)


def test_a_table_too_small_for_its_parts_is_refused():
    user, product = np.divmod(np.arange(9), 3)
    table = pd.DataFrame({"user_id": user, "product_id": product}, dtype="category")
    with pytest.raises(DataError, match="no row is left for the validation part"):
        Spending.of(table.assign(amount=6000.0 * product), seed=0)
