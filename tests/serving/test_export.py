"""Exports give what the model gives, or there is none."""

import importlib.util

import keras
import numpy as np
import pytest

from kmodels import backend, models, serving, training
from kmodels.backend import conversion, exporting
from kmodels.errors import ConfigurationError
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.serving.export import random_inputs

TABLE = [Numeric("numbers", 2), Categorical("city", 5), Categorical("zip", 9), MultiHot("tags", 2)]
EDGES = ([0.0, 1.0, 2.5, 5.0], [1.0, 4.0])
PICTURES = {"augmentation": models.image_augmentation()}
FAMILIES = {
    "tabular": lambda: models.tabular_classifier(TABLE, 3, edges=EDGES, frequencies=2, members=2, dim=2, hidden=(4, 4)),
    "history": lambda: models.neumf(9, 7, **models.presets.NEUMF["history"]),
    "fusion": lambda: models.fusion_classifier(
        models.image_input((32, 32, 3), **PICTURES), TABLE[:2], **models.presets.FUSION["compact"]
    ),
}


def made(name):
    """A model whose every weight has a say."""
    model = training.initialize(FAMILIES[name]())
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if not np.any(np.asarray(weight)):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def skip_without(form):
    try:
        backend.check_exporter(form)
    except ConfigurationError as error:
        pytest.skip(str(error))


# Each takes two processes; `tests/test_serving_page.py` has ONNX, and what a backend does itself is below.
@pytest.mark.first_backend
@pytest.mark.parametrize("form", ["saved_model", "litert"])
def test_an_export_serves_any_number_of_rows_as_the_model_does(form, tmp_path):
    skip_without(form)
    parts = [made("tabular"), made("history")]
    inputs = [
        {each.name: keras.Input(each.shape[1:], dtype=each.dtype, name=each.name) for each in part.inputs}
        for part in parts
    ]
    outputs = [part(each) for part, each in zip(parts, inputs, strict=True)]
    model = keras.Model(inputs[0] | inputs[1], keras.layers.Concatenate()(outputs))
    path = tmp_path / "served" / "model"
    path.parent.mkdir()
    assert serving.export(model, path, form) <= 1e-5
    assert [each.name for each in path.parent.iterdir()] == ["model"]
    batch = random_inputs(model, 3, seed=5)
    for name in ("user_history", "user_history_values", "user_history_owner"):  # of lines, not of rows
        batch[name] = batch[name][:4]
    np.savez(tmp_path / "batch.npz", **{f"0/{name}": array for name, array in batch.items()})
    found = backend.serve_exported(form, path, tmp_path / "batch.npz")["0"]
    np.testing.assert_allclose(found, model.predict_on_batch(batch), rtol=0, atol=1e-5)


@pytest.mark.first_backend
def test_layers_that_act_in_training_alone_are_left_out():
    model = made("fusion")
    bare = keras.models.clone_model(model, clone_function=conversion.for_inference)
    bare.set_weights(model.get_weights())
    left = {type(layer).__name__ for layer in model.layers} - {type(layer).__name__ for layer in bare.layers}
    assert left >= {"RandomFlip", "RandomSaturation", "RandomRotation", "Dropout"}
    batch = random_inputs(model, 3)
    np.testing.assert_allclose(bare.predict_on_batch(batch), model.predict_on_batch(batch), rtol=1e-6, atol=1e-6)


def stand_in(monkeypatch, change):
    """Instead of the processes: a file, and the model's own outputs, changed."""
    monkeypatch.setattr(backend, "check_exporter", lambda form: None)
    monkeypatch.setattr(backend, "convert", lambda form, model, inputs, path: path.write_bytes(model.read_bytes()))

    def serve(form, path, inputs):
        model, batches = keras.saving.load_model(path.rename(path.with_suffix(".keras"))), {}
        path.with_suffix(".keras").rename(path)
        with np.load(inputs) as archive:
            for key in archive.files:
                number, name = key.split("/")
                batches.setdefault(number, {})[name] = archive[key]
        return {number: change(model.predict_on_batch(batch)) for number, batch in batches.items()}

    monkeypatch.setattr(backend, "serve_exported", serve)


@pytest.mark.first_backend
def test_it_is_compared_before_it_replaces_anything(monkeypatch, tmp_path):
    model, path = made("tabular"), tmp_path / "model.onnx"
    stand_in(monkeypatch, lambda output: output + 4e-6)
    assert serving.export(model, path, "onnx") == pytest.approx(4e-6, rel=0.1)
    first = path.read_bytes()
    for wrong in (lambda output: output + 1e-4, lambda output: output * np.nan, lambda output: output[:1]):
        stand_in(monkeypatch, wrong)
        with pytest.raises(ConfigurationError, match=r"^onnx (differs|gives outputs of shape)"):
            serving.export(model, path, "onnx")
        assert [each.read_bytes() for each in tmp_path.iterdir()] == [first]


@pytest.mark.first_backend
def test_rows_of_ones_own_are_compared(monkeypatch, tmp_path):
    model, seen = made("tabular"), []
    stand_in(monkeypatch, lambda output: seen.append(output) or output)
    rows = random_inputs(model, 5, seed=9)
    serving.export(model, tmp_path / "model.onnx", "onnx", inputs={name: x.tolist() for name, x in rows.items()})
    np.testing.assert_allclose(seen, [model.predict_on_batch(rows)], rtol=1e-6)


def test_random_inputs_have_ids_of_all_rows_of_their_tables_and_no_others():
    # `city` counts from row 0 and `zip` from row 5 of one table of 14.
    batch = random_inputs(made("tabular"), 500)
    assert (batch["city"].min(), batch["city"].max(), batch["zip"].min(), batch["zip"].max()) == (0, 13, 0, 8)
    batch = random_inputs(made("history"), 500)
    assert batch["user_id"].max() == 8
    assert batch["item_id"].max() == batch["user_history"].max() == 6
    assert len(batch["user_history"]) == len(batch["user_history_owner"]) != len(batch["user_history_of"]) == 500
    assert random_inputs(models.sasrec(5, 4, dim=6), 500)["sequence"].max() == 4
    picture = random_inputs(made("fusion"), 2)["image"]
    assert (picture.dtype, picture.min(), picture.max()) == ("uint8", 0, 255)


def test_what_is_computed_in_full_precision_is_what_is_computed_otherwise_on_a_processor():
    x = np.random.default_rng(0).normal(size=(50, 50)).astype("float32")
    expected = keras.ops.convert_to_numpy(keras.ops.matmul(x, x))
    with backend.full_precision():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.matmul(x, x)), expected)


@pytest.mark.first_backend
def test_a_missing_package_is_an_error_that_names_the_extras(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for form, names, extras in (
        ("onnx", "torch, onnx, onnxscript, onnxruntime", "export,torch"),
        ("litert", "tensorflow, ai-edge-litert", "export,tensorflow"),
        ("saved_model", "tensorflow", "tensorflow"),
    ):
        with pytest.raises(ConfigurationError) as error:
            serving.export(None, "model", form)
        assert str(error.value) == f"exporting to {form} needs {names}: pip install 'kmodels[{extras}]'"


@pytest.mark.first_backend
def test_somebody_elses_folder_and_two_outputs_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "check_exporter", lambda form: None)
    (tmp_path / "own.txt").write_text("")
    for path, form in ((tmp_path, "saved_model"), (tmp_path, "onnx"), (tmp_path / "own.txt", "saved_model")):
        with pytest.raises(ConfigurationError, match="is there and no"):
            serving.export(made("tabular"), path, form)
    x = keras.Input((2,), name="x")
    with pytest.raises(ConfigurationError, match="one output"):
        serving.export(keras.Model(x, [x + 1, x + 2]), tmp_path / "two.onnx", "onnx")


@pytest.mark.first_backend
def test_where_it_is_served_there_is_neither_keras_nor_kmodels(monkeypatch, tmp_path):
    np.savez(tmp_path / "batch.npz", x=1)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("keras", "kmodels"):
        (tmp_path / "onnxruntime.py").write_text(f"import {name}")
        with pytest.raises(
            ConfigurationError, match=rf"onnx cannot be .* ModuleNotFoundError: import of {name} halted"
        ):
            exporting.serve_exported("onnx", tmp_path / "model", tmp_path / "batch.npz")
