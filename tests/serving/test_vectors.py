import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import DataError
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.pipelines import Batches
from kmodels.serving import load_vectors, save_vectors, vectors_of

USERS, ITEMS = 5, 7
ENHANCED = {
    "user_features": [Numeric("gender"), Numeric("age"), Numeric("occupation")],
    "item_features": [MultiHot("genres", 4)],
}


def inputs_of(model, seed=0):
    """All users and all items, as this model takes them."""
    rng, users, items = np.random.default_rng(seed), {}, {}
    for tensor in model.inputs:
        side, rows = (items, ITEMS) if tensor.name in ("item_id", "item_history", "genres") else (users, USERS)
        if tensor.name in ("user_id", "item_id"):
            side[tensor.name] = np.arange(rows, dtype="int32")
        elif tensor.dtype == "int32":
            side[tensor.name] = rng.integers(0, 3, rows).astype("int32")
        else:
            side[tensor.name] = rng.normal(size=(rows, tensor.shape[1])).astype("float32")
    return users, items


def test_vectors_hold_histories_and_features():
    features = {"user_features": [Categorical("job", 3)], "item_features": [MultiHot("genres", 4)]}
    features["context_features"] = [Numeric("session", 3)]
    model = models.neumf(USERS, ITEMS, **features, **models.presets.NEUMF["session"])
    training.initialize(model, 1)
    users, items = inputs_of(model)
    found = vectors_of(model, Batches(users, batch_size=2), Batches(items, batch_size=3))
    weights = {f"{layer.name}/{w.name}": keras.ops.convert_to_numpy(w) for layer in model.layers for w in layer.weights}
    p = weights["user_embedding/embeddings"] + weights["user_side_job/embeddings"][users["job"]]
    p = p + users["user_history"] @ weights["user_side_user_history/kernel"] + weights["user_side_user_history/bias"]
    q = weights["item_embedding/embeddings"] + items["genres"] @ weights["item_side_genres/kernel"]
    q = q + items["item_history"] @ weights["item_side_item_history/kernel"] + weights["item_side_item_history/bias"]
    assert set(found) == {"user_id", "item_id"}
    np.testing.assert_allclose(found["user_id"], p, atol=1e-5)
    np.testing.assert_allclose(found["item_id"], q, atol=1e-5)


@pytest.mark.parametrize("name", ["enhanced", "plain"])
def test_vectors_without_such_inputs_are_the_tables_rows(name):
    if name == "enhanced":
        model = models.neumf(USERS, ITEMS, **ENHANCED, **models.presets.NEUMF["enhanced"])
    else:
        model = models.neumf(USERS, ITEMS, dim=3, hidden=(), product=True, biases=True)
    training.initialize(model, 1)
    users, items = inputs_of(model)
    found = vectors_of(model, Batches(users), Batches(items))
    for side in ("user", "item"):
        table = model.get_layer(f"{side}_embedding").get_weights()[0]
        np.testing.assert_allclose(found[f"{side}_id"], table, atol=1e-6)


def test_what_was_saved_is_what_is_loaded(tmp_path):
    tables = {name: np.random.default_rng(0).normal(size=(4, 3)).astype("float32") for name in ("user_id", "item_id")}
    save_vectors({"user_id": np.zeros((9, 9))}, tmp_path / "vectors.npz")
    save_vectors(tables, tmp_path / "vectors.npz")  # replaces the earlier one
    found = load_vectors(tmp_path / "vectors.npz")
    assert set(found) == set(tables)
    for name, table in tables.items():
        np.testing.assert_array_equal(found[name], table)
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.npz"]


@pytest.mark.parametrize("damage", ["missing", "other", "cut", "flipped", "empty"])
def test_a_file_that_holds_no_vectors_is_named(damage, tmp_path):
    path = tmp_path / "vectors.npz"
    save_vectors({"user_id": np.ones((50, 8), "float32")}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    left = {"other": b"not an archive", "cut": path.read_bytes()[:300], "flipped": bytes(content), "empty": b""}
    path.unlink()
    if damage in left:
        path.write_bytes(left[damage])
    with pytest.raises(DataError, match=r"vectors\.npz: the vectors (cannot be read|are no NumPy archive)"):
        load_vectors(path)
