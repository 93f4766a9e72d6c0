from itertools import pairwise

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.features import Bag, Categorical, MultiHot, Numeric
from kmodels.models.neumf import towers
from kmodels.models.presets import NEUMF


def enhanced(n_users, n_items, labels=18):
    numbers = [Numeric("gender"), Numeric("age"), Numeric("occupation")]
    features = {"user_features": numbers, "item_features": [MultiHot("genres", labels)]}
    return models.neumf(n_users, n_items, **features, **NEUMF["enhanced"])


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_enhanced_has_the_published_number_of_parameters():
    assert trainable(enhanced(6040, 3416)) == 326_193


def test_enhanced_is_the_published_network_layer_by_layer():
    model = enhanced(10, 20)
    widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert sorted(widths) == [1, 16, 32, 64, 128]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    assert model.get_layer("joined").output.shape == (None, 112)
    order = [layer.name for layer in model.layers if layer.name.startswith("mlp_1")]
    assert order == ["mlp_1", "mlp_1_bn", "mlp_1_relu", "mlp_1_dropout"]


def test_the_published_network_joins_a_product_and_an_mlp_of_other_vectors():
    model = training.initialize(models.neumf(6041, 3707, **NEUMF["published"]))
    widths = [2 * 16, 32, 16, 8]
    dense = sum(a * b + b for a, b in pairwise(widths)) + (8 + 8) + 1
    assert trainable(model) == (6041 + 3707) * (16 + 8) + dense == 235_689
    user, item = np.array([1, 6040], "int32"), np.array([3706, 2], "int32")
    table = {name: model.get_layer(name).get_weights()[0] for name in ("user_gmf", "item_gmf")}
    x = np.hstack(
        [model.get_layer(f"{side}_embedding").get_weights()[0][ids] for side, ids in (("user", user), ("item", item))]
    )
    for i in (1, 2, 3):
        kernel, bias = model.get_layer(f"mlp_{i}").get_weights()
        x = np.maximum(x @ kernel + bias, 0)
    kernel, bias = model.get_layer("output").get_weights()
    expected = np.hstack([table["user_gmf"][user] * table["item_gmf"][item], x]) @ kernel + bias
    found = keras.ops.convert_to_numpy(model({"user_id": user, "item_id": item}))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_models_are_functional_and_made_of_kerass_own_layers():
    for model in (enhanced(4, 5), models.neumf(4, 5, **NEUMF["history"])):
        assert type(model) is keras.src.models.functional.Functional
        assert not model.compiled
        for layer in model.layers:
            assert type(layer).__module__.startswith("keras.src.layers"), layer
            assert not isinstance(layer, keras.layers.Lambda)


def test_output_starts_at_the_mean_and_terms_add_up():
    context = [Numeric("session", 2), Categorical("weekday", 8)]
    model = models.neumf(4, 5, dim=2, context_features=context, product=True, biases=True, hidden=(), mean=0.7)
    table = np.array([[0, 0], [1, 2], [0, 0], [0, 0]], "float32")
    model.get_layer("user_embedding").set_weights([table])
    model.get_layer("item_embedding").set_weights([np.vstack([table, [[3.0, 4.0]]])])
    model.get_layer("user_bias").set_weights([np.array([[0], [0.25], [0], [0]], "float32")])
    model.get_layer("output").set_weights([np.zeros((6, 1), "float32"), np.array([0.7], "float32")])
    inputs = {"user_id": np.array([1, 0], "int32"), "item_id": np.array([4, 0], "int32")}
    inputs |= {"session": np.array([[0.5, -1.0], [2.0, 0.0]], "float32"), "weekday": np.array([7, 0], "int32")}
    expected = np.array([0.7 + 0.25 + 1 * 3 + 2 * 4, 0.7])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(inputs))[:, 0], expected, rtol=1e-6)
    # A new model ignores the context; what it learns of it is added to the rest.
    model.get_layer("user_context_numeric").set_weights([np.array([[2.0], [3.0]]), np.array([0.125])])
    model.get_layer("user_context_weekday").set_weights([np.arange(8.0)[:, None]])
    of_context = np.array([0.5 * 2 - 1 * 3 + 7, 2 * 2]) + 0.125
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(inputs))[:, 0], expected + of_context, rtol=1e-6)


def test_a_bag_and_a_row_of_weights_give_the_same_vector():
    """Summing the embeddings of ids by their weights is multiplying the row of weights with the table."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 3)).astype("float32")
    ids, weights = np.array([[1, 5, 0], [2, 0, 0]], "int32"), np.array([[0.5, -1.0, 0], [2.0, 0, 0]], "float32")
    row = np.zeros((2, 6), "float32")
    np.put_along_axis(row, ids, weights, axis=1)
    results = []
    for feature, inputs in (
        (Bag("history", 6, length=3), {"history": ids, "history_weights": weights}),
        (MultiHot("history", 6), {"history": row}),
    ):
        model = models.neumf(3, 4, dim=3, user_features=[feature], hidden=())
        layer = model.get_layer("user_side_history")
        layer.set_weights([table, *([np.zeros(3, "float32")] if isinstance(layer, keras.layers.Dense) else [])])
        for other, width in (("user_embedding", 3), ("item_embedding", 4)):
            model.get_layer(other).set_weights([np.full((width, 3), 0.1, "float32")])
        model.get_layer("output").set_weights([np.ones((6, 1), "float32"), np.zeros(1, "float32")])
        some = np.array([1, 2], "int32")
        results.append(keras.ops.convert_to_numpy(model({"user_id": some, "item_id": some, **inputs})))
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_towers_and_head_together_are_the_model():
    for model in (
        models.neumf(
            5, 6, user_features=[Categorical("job", 3)], item_features=[MultiHot("genres", 4)], **NEUMF["history"]
        ),
        models.neumf(5, 6, context_features=[Numeric("session", 2), Categorical("weekday", 3)], **NEUMF["session"]),
        models.neumf(5, 6, context_features=[Numeric("session", 2)]),
        models.neumf(5, 6, **NEUMF["published"] | {"stddev": 0.5}),
        enhanced(5, 6, labels=4),
    ):
        training.initialize(model, 1)
        for layer in model.layers:
            if layer.name.startswith("user_context_"):  # they start at zeros
                layer.set_weights([np.full(weight.shape, 0.3, "float32") for weight in layer.weights])
        rng = np.random.default_rng(1)
        inputs = {}
        for tensor in model.inputs:
            whole = "int" in tensor.dtype
            shape = (8, *tensor.shape[1:])
            inputs[tensor.name] = rng.integers(0, 3, shape) if whole else rng.normal(size=shape).astype("f4")
        user, item, head = towers(model)
        assert {t.name for t in user.inputs} | {t.name for t in item.inputs} == set(inputs)
        assert not {t.name for t in user.inputs} & {t.name for t in item.inputs}
        assert not {"user_id", "session", "weekday"} & {t.name for t in item.inputs}
        parts = []
        for tower in (user, item):
            parts += keras.tree.flatten(tower([inputs[tensor.name] for tensor in tower.inputs]))
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(head(parts)), keras.ops.convert_to_numpy(model(inputs)), atol=1e-6
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim must be at least 1. Received: dim=0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1. Received: dropout=1.0"),
        ({"vector_dropout": -0.1}, "vector_dropout must be at least 0 and below 1"),
        ({"gmf_dim": 0}, "gmf_dim must be at least 1"),
        ({"user_side_dim": 8}, "number of user_features must be at least 1"),
        ({"user_features": [Numeric("user_id")]}, "Received twice: 'user_id'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message.replace(".", r"\.")):
        models.neumf(4, 5, **arguments)
