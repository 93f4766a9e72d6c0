import keras
import numpy as np
import pytest

from kmodels import models
from kmodels.features import Bag, Categorical, MultiHot, Numeric
from kmodels.models import blocks
from tests.reference import adam
from tests.reference.histories import as_inputs

RNG = np.random.default_rng(0)
ENHANCED = {
    "user_features": [Numeric("gender"), Numeric("age"), Numeric("occupation")],
    "item_features": [MultiHot("genres", 4)],
}


def table_after_five_adam_steps(table: np.ndarray, ids: np.ndarray, targets: np.ndarray) -> np.ndarray:
    weights, state = {"table": table.astype(np.float64)}, None
    for target in targets:
        gradient = np.zeros_like(weights["table"])
        np.add.at(gradient, ids, 2 * (weights["table"][ids] - target) / target.size)
        weights, state = adam.step(weights, {"table": gradient}, state, learning_rate=1e-2)
    return weights["table"]


@pytest.mark.parametrize("kind", ["ours", "bare"])
def test_adam_with_repeated_ids(kind, backend_name):
    """The trap: Keras on TensorFlow squares the parts of a bare table's sparse gradient before it sums them."""
    x = keras.Input((), dtype="int32", name="id")
    output = blocks.embedding(x, 6, 3, name="table") if kind == "ours" else keras.layers.Embedding(6, 3)(x)
    model = keras.Model({"id": x}, output)
    ids = np.array([1, 1, 1, 4, 4, 2, 5, 1], "int32")
    targets = RNG.normal(size=(5, 8, 3)).astype("float32")
    expected = table_after_five_adam_steps(model.get_weights()[0], ids, targets)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    for target in targets:
        model.train_on_batch({"id": ids}, target)
    error = np.abs(model.get_weights()[0] - expected).max()
    if kind == "bare" and backend_name == "tensorflow":
        assert error > 1e-3  # if this fails, Keras has mended it, and the regulariser at 0 can go
    else:
        assert error < 1e-5


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_a_table_always_has_its_regulariser(l2):
    x = keras.Input((), dtype="int32")
    model = keras.Model(x, blocks.embedding(x, 4, 2, name="table", l2=l2))
    (layer,) = [layer for layer in model.layers if layer.name == "table"]
    layer.set_weights([np.full((4, 2), 3.0)])
    assert isinstance(layer.embeddings_regularizer, keras.regularizers.L2)
    assert float(keras.ops.convert_to_numpy(sum(model.losses))) == pytest.approx(l2 * 8 * 9)


def test_a_kernel_has_a_penalty_only_where_asked():
    x = keras.Input((2,))
    free, bound = keras.Model(x, blocks.dense(x, 3, name="a")), keras.Model(x, blocks.dense(x, 3, name="b", l2=0.5))
    assert free.losses == []
    bound.get_layer("b").set_weights([np.full((2, 3), 2.0), np.full(3, 9.0)])  # the bias bears none
    assert float(keras.ops.convert_to_numpy(bound.losses[0])) == pytest.approx(0.5 * 6 * 4)


FEATURES = [
    Numeric("age"),
    MultiHot("genres", 4),
    Numeric("height", 2),
    Categorical("job", 5),
    Bag("seen", 6, length=3),
]


def test_project_is_one_kernel_for_numbers_one_per_multi_hot_and_one_bias():
    tensors = blocks.inputs(FEATURES)
    model = keras.Model(tensors, blocks.project(FEATURES, tensors, 2, name="side"))
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape))
    shapes = {f"{w.path.split('/')[-2]}/{w.name}": tuple(w.shape) for w in model.weights}
    assert shapes == {
        "side_numeric/kernel": (3, 2),
        "side_numeric/bias": (2,),
        "side_genres/kernel": (4, 2),
        "side_job/embeddings": (5, 2),
        "side_seen/embeddings": (6, 2),
    }
    inputs = {
        "age": RNG.normal(size=(2, 1)),
        "height": RNG.normal(size=(2, 2)),
        "genres": RNG.normal(size=(2, 4)),
        "job": np.array([4, 0]),
        "seen": np.array([[1, 5, 0], [2, 0, 0]]),
        "seen_weights": np.array([[0.5, 2.0, 0.0], [-1.0, 0.0, 0.0]]),
    }
    inputs = {name: x.astype("int32" if x.dtype.kind == "i" else "float32") for name, x in inputs.items()}
    w = {name: model.get_layer(name).get_weights() for name in ("side_numeric", "side_genres", "side_job", "side_seen")}
    expected = np.hstack([inputs["age"], inputs["height"]]) @ w["side_numeric"][0] + w["side_numeric"][1]
    expected = expected + inputs["genres"] @ w["side_genres"][0] + w["side_job"][0][inputs["job"]]
    expected += (inputs["seen_weights"][:, :, None] * w["side_seen"][0][inputs["seen"]]).sum(axis=1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(inputs)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "biases"),
    [
        ([MultiHot("a", 2), MultiHot("b", 3)], ["side_a"]),
        ([MultiHot("a", 2), Numeric("n")], ["side_numeric"]),
        ([Categorical("c", 2)], []),
    ],
)
def test_project_has_one_bias_in_its_first_kernel(features, biases):
    tensors = blocks.inputs(features)
    model = keras.Model(tensors, blocks.project(features, tensors, 4, name="side"))
    assert [w.path.split("/")[-2] for w in model.weights if w.name == "bias"] == biases


@pytest.mark.parametrize(
    ("activation", "expected"), [("relu", [0.0, 3.0]), ("linear", [-1.0, 3.0])], ids=["relu", "linear"]
)
def test_mlp_is_dense_then_activation(activation, expected):
    x = keras.Input((1,))
    model = keras.Model(x, blocks.mlp(x, (2,), activation=activation))
    model.set_weights([np.array([[-1.0, 2.0]]), np.array([0.0, 1.0])])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(np.ones((1, 1), "float32")))[0], expected)


def test_mlp_without_layers_is_its_input():
    x = keras.Input((3,))
    assert blocks.mlp(x, ()) is x


@pytest.mark.parametrize("name", ["enhanced", "history", "session"])
def test_every_parameter_of_a_preset_receives_a_gradient(name):
    if name == "enhanced":
        # Batch normalisation takes a constant away again, so these biases of the published network have no effect.
        model = models.neumf(5, 6, **ENHANCED, **models.presets.NEUMF["enhanced"] | {"l2": 0.0})
        dead = {"mlp_1/bias", "mlp_2/bias", "user_side_numeric/bias", "item_side_genres/bias"}
    else:
        features = {"user_features": [Categorical("job", 3)], "item_features": [MultiHot("genres", 4)]}
        if name == "session":
            features["context_features"] = [Numeric("session", 2), Categorical("hour", 3)]
        model, dead = models.neumf(5, 6, **features, **models.presets.NEUMF[name] | {"l2": 0.0}), set()
    inputs = {}
    for tensor in model.inputs:
        size = {"user_id": 5, "item_id": 6, "job": 3, "hour": 3}.get(tensor.name)
        if "history" not in tensor.name:
            draws = RNG.integers(0, size, 64) if size else RNG.normal(size=(64, tensor.shape[1]))
            inputs[tensor.name] = draws.astype(tensor.dtype)
    if name != "enhanced":
        for side, owners, members in (("user", 5, 6), ("item", 6, 5)):
            dense = np.concatenate([RNG.normal(size=(owners, members)), np.ones((owners, members))], axis=1)
            made = as_inputs({f"{side}_history": dense})
            made[f"{side}_history"] = RNG.integers(0, members, made[f"{side}_history"].shape).astype("int32")
            rows = RNG.integers(0, owners, 64)
            inputs |= made | {each: made[each][rows] for each in made if each.endswith(("_of", "_without", "_weights"))}
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = [keras.ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    model.train_on_batch(inputs, RNG.normal(size=64).astype("float32"))
    for old, weight in zip(before, model.trainable_weights, strict=True):
        path = "/".join(weight.path.split("/")[-2:])
        if path in dead:
            continue
        moved = np.abs(keras.ops.convert_to_numpy(weight) - old)
        assert moved.max() > 1e-6, path
        if path.endswith("embeddings"):
            assert (moved.max(axis=1) > 1e-7).all(), path  # every row, as every id is in the batch
