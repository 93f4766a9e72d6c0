import numpy as np
import pytest

from tests.reference.neumf import Side, loss_and_gradients

RNG = np.random.default_rng(0)
INPUTS = {
    "user_id": np.array([0, 1, 1, 2, 0, 2]),
    "item_id": np.array([3, 1, 1, 0, 3, 2]),
    "age": RNG.normal(size=(6, 1)),
    "job": np.array([0, 1, 0, 1, 1, 0]),
    "genres": RNG.normal(size=(6, 2)),
}
TARGET = RNG.normal(size=6)


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: RNG.normal(size=shape) for name, shape in shapes.items()}


APART = (
    random_weights(
        {
            "user_embedding/embeddings": (3, 4),
            "item_embedding/embeddings": (4, 4),
            "user_side_numeric/kernel": (1, 3),
            "user_side_numeric/bias": (3,),
            "item_side_genres/kernel": (2, 2),
            "item_side_genres/bias": (2,),
            "mlp_1/kernel": (13, 5),
            "mlp_1/bias": (5,),
            "mlp_1_bn/gamma": (5,),
            "mlp_1_bn/beta": (5,),
            "output/kernel": (5, 1),
            "output/bias": (1,),
        }
    ),
    {"user": Side(["age"], apart=True), "item": Side(apart=True), "l2": 0.01},
)
ADDED = (
    random_weights(
        {
            "user_embedding/embeddings": (3, 4),
            "item_embedding/embeddings": (4, 4),
            "user_bias/embeddings": (3, 1),
            "item_bias/embeddings": (4, 1),
            "user_side_numeric/kernel": (1, 4),
            "user_side_numeric/bias": (4,),
            "user_side_job/embeddings": (2, 4),
            "item_side_genres/kernel": (2, 4),
            "item_side_genres/bias": (4,),
            "mlp_1/kernel": (12, 5),
            "mlp_1/bias": (5,),
            "mlp_2/kernel": (5, 3),
            "mlp_2/bias": (3,),
            "output/kernel": (3, 1),
            "output/bias": (1,),
        }
    ),
    {"user": Side(["age"]), "item": Side(), "product": True, "l2": 0.02},
)


@pytest.mark.parametrize(("weights", "structure"), [APART, ADDED], ids=["apart", "added"])
def test_gradients_agree_with_central_differences(weights, structure):
    inputs = INPUTS if "user_side_job/embeddings" in weights else {k: v for k, v in INPUTS.items() if k != "job"}
    _, _, gradients = loss_and_gradients(weights, inputs, TARGET, **structure)
    assert set(gradients) == set(weights)
    for name, weight in weights.items():
        numeric = np.empty_like(weight)
        for place in np.ndindex(weight.shape):
            shifted = []
            for step in (1e-5, -1e-5):
                moved = weight.copy()
                moved[place] += step
                shifted.append(loss_and_gradients({**weights, name: moved}, inputs, TARGET, **structure)[1])
            numeric[place] = (shifted[0] - shifted[1]) / 2e-5
        scale = max(np.abs(numeric).max(), 1e-3)
        np.testing.assert_allclose(gradients[name], numeric, rtol=0, atol=1e-6 * scale, err_msg=name)
