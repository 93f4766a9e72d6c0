"""Ids left out at random: as many as asked for, the same wherever and whenever the same batch is made."""

import numpy as np
import pytest

from kmodels.errors import ConfigurationError
from kmodels.pipelines import Batches
from kmodels.pipelines.id_dropout import IdDropout

IDS = np.arange(1, 40_001, dtype=np.int32)


def test_the_share_asked_for_is_left_out_and_the_rest_stays():
    users = IdDropout({"user_id": IDS}, 0.05)(np.arange(len(IDS)))["user_id"]
    assert users.dtype == np.int32
    kept = users != 0
    assert 0.045 < 1 - kept.mean() < 0.055
    np.testing.assert_array_equal(users[kept], IDS[kept])


def test_users_and_products_are_left_out_independently():
    made = IdDropout({"user_id": IDS, "product_id": IDS}, 0.5)(np.arange(len(IDS)))
    both = ((made["user_id"] == 0) & (made["product_id"] == 0)).mean()
    assert 0.24 < both < 0.26


def test_a_batch_is_always_the_same_and_another_is_not():
    rows, part = np.array([5, 3, 9] * 50), IdDropout({"user_id": IDS}, 0.5, seed=1)
    first = part(rows)["user_id"]
    part(rows[::-1])  # nothing is remembered: a resumed run comes to the same
    np.testing.assert_array_equal(part(rows)["user_id"], first)
    assert (part(rows + 1)["user_id"] - 1 != first).any()
    assert (IdDropout({"user_id": IDS}, 0.5, seed=2)(rows)["user_id"] != first).any()


def test_each_epoch_leaves_out_others():
    batches = Batches(
        {"user_id": IDS}, IDS, parts=[IdDropout({"user_id": IDS}, 0.05)], batch_size=len(IDS), shuffle=True
    )
    gone = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        inputs, target = batches[0]
        gone.append(set(target[inputs["user_id"] == 0]))
    assert len(gone[0] & gone[1]) < 0.1 * len(gone[0])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ConfigurationError, match="rate must be from 0 to below 1"):
        IdDropout({"user_id": IDS}, rate)
