import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.errors import ConfigurationError
from kmodels.pipelines import Batches


def test_predict_gives_one_number_a_row_in_the_datas_order():
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
    model.set_weights([np.array([[2.0]]), np.array([1.0])])
    values = np.arange(7, dtype="float32")[:, None]
    predicted = training.predict(model, Batches({"x": values}, np.zeros(7), batch_size=3))
    assert predicted.shape == (7,)
    np.testing.assert_allclose(predicted, 2 * values[:, 0] + 1)


@pytest.mark.parametrize(("rows", "size"), [(7, 3), (6, 3), (2, 2)])
def test_predict_shows_the_model_batches_of_one_size(rows, size, monkeypatch):
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(x))
    seen = []
    monkeypatch.setattr(model, "predict_on_batch", lambda inputs: seen.append(len(inputs["x"])) or inputs["x"])
    values = np.arange(rows, dtype="float32")[:, None]
    np.testing.assert_array_equal(training.predict(model, Batches({"x": values}, batch_size=3)), values[:, 0])
    assert set(seen) == {size}


def test_predict_keeps_several_numbers_a_row():
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(2)(x))
    assert training.predict(model, Batches({"x": np.zeros((3, 1), "float32")})).shape == (3, 2)


def test_predict_refuses_shuffled_batches():
    model = models.neumf(3, 4)
    batches = Batches({"user_id": np.zeros(3, "int32"), "item_id": np.zeros(3, "int32")}, shuffle=True)
    with pytest.raises(ConfigurationError, match="shuffle=True"):
        training.predict(model, batches)


def test_a_saved_model_has_no_optimiser_and_replaces_an_earlier_file(tmp_path):
    model = models.neumf(3, 4)
    training.compile_model(model, keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / "model.keras"
    path.write_text("an earlier one")
    training.save(model, path)
    loaded = keras.saving.load_model(path)
    assert not loaded.compiled
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
