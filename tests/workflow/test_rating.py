"""Settings of a model of ratings for more rows than they were found with."""

import numpy as np
import pytest

from kmodels.workflow import rating


@pytest.mark.parametrize("copies", [1, 2, 10])
def test_more_users_of_the_same_kind_have_the_same_optimum_in_as_many_steps(copies):
    # Users' means with a penalty: the minimum of mean((r - w_u)^2) + l2 * sum(w_u^2), in closed form by the gradient.
    rng = np.random.default_rng(0)
    users = rng.integers(0, 50, 70_000)
    ratings = users / 50 + rng.normal(size=len(users))

    def optimum(l2, n):
        counts, sums = (np.bincount(users, weights) for weights in (None, ratings))
        return sums / n / (counts / n + l2)

    settings, size = rating.for_rows({"l2": 1e-3, "dim": 3}, 70_000 * copies)
    np.testing.assert_allclose(optimum(settings["l2"], 70_000 * copies), optimum(1e-3, 70_000))
    assert 70_000 * copies // size == 70_000 // 512
    assert settings["dim"] == 3


def test_fewer_rows_have_the_settings_themselves():
    assert rating.for_rows({"l2": 1e-4}, 700) == ({"l2": 1e-4}, 512)
