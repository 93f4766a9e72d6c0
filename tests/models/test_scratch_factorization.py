import numpy as np
import pytest

from kmodels.datasets import simulated
from kmodels.errors import ConfigurationError, TrainingError
from kmodels.models import scratch_factorization as mf
from kmodels.models.scratch_network import Layer

RNG = np.random.default_rng(0)
USER, ITEM = np.array([0, 2, 2, 1, 0, 2]), np.array([3, 1, 1, 0, 2, 3])  # ids and a pair repeat
RATING = RNG.uniform(1, 5, 6)
PENALTIES = {"l2": 0.03, "bias_l2": 0.02, "kernel_l2": 0.01}


def random_factors(hidden, activation="tanh"):
    factors = mf.initialize(4, 4, dim=3, hidden=hidden, activation=activation, stddev=1.0, mean=3.0, seed=1)
    return factors._replace(
        user_bias=RNG.normal(size=(4, 1)),
        item_bias=RNG.normal(size=(4, 1)),
        mlp=[layer._replace(bias=RNG.normal(size=layer.bias.shape)) for layer in factors.mlp],
    )


def leaves(factors):
    """Path -> array, for all that is learnt."""
    found = {name: getattr(factors, name) for name in ("user_vectors", "item_vectors", "user_bias", "item_bias")}
    for i, layer in enumerate([*factors.mlp, factors.output]):
        found |= {f"{i}/weights": layer.weights, f"{i}/bias": layer.bias}
    return found


def rebuilt(factors, arrays):
    layers = [
        Layer(arrays[f"{i}/weights"], arrays[f"{i}/bias"], layer.activation)
        for i, layer in enumerate([*factors.mlp, factors.output])
    ]
    tables = {name: value for name, value in arrays.items() if "/" not in name}
    return mf.Factors(**tables, mlp=layers[:-1], output=layers[-1])


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_gradients_agree_with_central_differences(hidden, activation):
    factors = random_factors(hidden, activation)
    arrays = leaves(factors)
    _, gradient = mf.loss_and_gradient(factors, USER, ITEM, RATING, **PENALTIES)
    for name, found in leaves(gradient).items():
        expected = np.empty_like(found)
        for place in np.ndindex(found.shape):
            losses = []
            for step in (1e-5, -1e-5):
                moved = arrays[name].copy()
                moved[place] += step
                changed = rebuilt(factors, arrays | {name: moved})
                losses.append(mf.loss_and_gradient(changed, USER, ITEM, RATING, **PENALTIES)[0])
            expected[place] = (losses[0] - losses[1]) / 2e-5
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max(), err_msg=name)


def test_the_rating_is_the_sum_of_its_terms():
    factors = random_factors(())
    h, c = factors.output.weights[:, 0], factors.output.bias[0]
    for user, item, found in zip(USER, ITEM, mf.predict(factors, USER, ITEM), strict=True):
        product = factors.user_vectors[user] * factors.item_vectors[item]
        expected = c + factors.user_bias[user, 0] + factors.item_bias[item, 0] + h @ product
        assert found == pytest.approx(expected)


def test_the_loss_is_the_mean_squared_error_plus_the_penalties():
    factors = random_factors((5,))
    error = np.mean((mf.predict(factors, USER, ITEM) - RATING) ** 2)
    penalty = 0.03 * (np.sum(factors.user_vectors**2) + np.sum(factors.item_vectors**2))
    penalty += 0.02 * (np.sum(factors.user_bias**2) + np.sum(factors.item_bias**2))
    penalty += 0.01 * np.sum(factors.mlp[0].weights ** 2)
    assert mf.loss_and_gradient(factors, USER, ITEM, RATING, **PENALTIES)[0] == pytest.approx(error + penalty)


def test_rows_without_a_rating_get_no_gradient_but_the_penaltys():
    _, gradient = mf.loss_and_gradient(random_factors((5,)), USER, ITEM, RATING)
    assert (gradient.user_vectors[3] == 0).all()
    assert (gradient.user_vectors[:3] != 0).any(axis=1).all()


def test_it_learns_planted_factors():
    data = simulated.low_rank_ratings(200, 100, 6000, seed=1)
    user, item = (data.ratings[name].to_numpy() for name in ("user_id", "item_id"))
    rating = data.ratings["rating"].to_numpy(float)
    order = np.random.default_rng(0).permutation(6000)
    train, test = order[:5000], order[5000:]
    start = mf.initialize(201, 101, stddev=0.3, mean=rating[train].mean())
    held_out = user[test], item[test], rating[test]
    penalties = {"l2": 1e-3, "bias_l2": 5e-4, "kernel_l2": 3e-3}
    fitted, history = mf.fit(
        start, user[train], item[train], rating[train], epochs=15, validation=held_out, **penalties
    )
    error = np.sqrt(np.mean((mf.predict(fitted, user[test], item[test]) - rating[test]) ** 2))
    # Biases alone leave √(.4² + .5²) = .64; the generating model .4.
    assert error < 0.58
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["val_rmse"] == pytest.approx(error)
    assert [row["epoch"] for row in history] == list(range(1, 16))


def test_a_wrong_size_is_named():
    with pytest.raises(ConfigurationError, match="n_items=0"):
        mf.initialize(3, 0)


@pytest.mark.filterwarnings("error")
def test_a_rate_that_is_far_too_large_is_named():
    with pytest.raises(TrainingError, match="table_rate=1000"):
        mf.fit(random_factors(()), USER, ITEM, RATING, epochs=300, table_rate=1000)


def test_the_parameters_are_those_of_the_keras_network():
    # 63,443 is a_small's count at 5,001 users and 2,001 items.
    assert mf.count_params(mf.initialize(5001, 2001, dim=8, hidden=(16,))) == 63_443
