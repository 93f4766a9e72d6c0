import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kmodels import training
from kmodels.errors import ConfigurationError
from kmodels.features import Bag, Categorical, MultiHot, Numeric
from kmodels.models import fusion, image, presets
from kmodels.pipelines import Batches

COLUMNS = [Numeric("numbers", 2), MultiHot("categories", 12), MultiHot("tier", 4), MultiHot("cluster", 4)]  # 22
RNG = np.random.default_rng(0)


def small_eye(*, augmentation=(), shape=(16, 16, 3)):
    """A picture model that costs nothing; any will do."""
    x = image.image_input(shape, augmentation=augmentation)
    y = keras.layers.Conv2D(4, 3, activation="relu", name="look")(x)
    return keras.Model(keras.utils.get_source_inputs(x)[0], keras.layers.GlobalAveragePooling2D()(y), name="eye")


def fuse(features=COLUMNS, *, eye=None, **arguments):
    eye = eye or small_eye()
    return fusion.fusion_classifier(eye.inputs[0], features, backbone=lambda _: eye, **arguments)


def look(eye, **arguments):
    return fusion.fusion_classifier(eye.inputs[0], (), backbone=lambda _: eye, **arguments)


def rows(model, n=16):
    inputs = {}
    for tensor in model.inputs:
        shape = (n, *tensor.shape[1:])
        whole = "int" in tensor.dtype
        inputs[tensor.name] = RNG.integers(0, 4, shape) if whole else RNG.normal(size=shape)
        if tensor.name == "image":
            inputs["image"] = RNG.integers(0, 256, shape)
        inputs[tensor.name] = inputs[tensor.name].astype(tensor.dtype)
    return inputs, (np.arange(n) % 3).astype("int32")


def count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def stack(inputs, widths):
    """Parameters of Dense with bias and batch normalisation, and the last width."""
    n = 0
    for width in widths:
        n, inputs = n + (inputs + 1) * width + 2 * width, width
    return n, inputs


@pytest.mark.first_backend
@pytest.mark.parametrize(
    ("name", "eye", "features", "metadata", "head"),
    [
        ("base", 11_176_512, 512, (64, 32), (128, 64)),
        ("deep", 23_508_032, 2048, (128, 64, 32), (128, 64, 32)),
        ("mix", 23_508_032, 2048, (32,), (64, 32)),
        ("final", 11_176_512, 512, (64, 32, 16), (64,)),
    ],
)
def test_a_variant_has_the_published_layers(name, eye, features, metadata, head):
    """`eye`: torchvision's parameters of ResNet-18 and 50 without their last layer."""
    model = fusion.fusion_classifier(image.image_input((32, 32, 3)), [Numeric("metadata", 22)], **presets.FUSION[name])
    n_metadata, width = stack(22, metadata)
    n_head, last = stack(features + width, head)
    assert count(model) == eye + n_metadata + n_head + (last + 1) * 3
    if name == "final":
        assert count(model) == 11_214_995
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert sorted(rates) == [0.3] * len(head) + [0.4 if name == "final" else 0.3] * len(metadata)


def test_the_small_variant_adds_up_what_the_two_sources_say():
    model = fusion.fusion_classifier(
        image.image_input((64, 64, 3)), [Numeric("metadata", 22)], **presets.FUSION["compact"]
    )
    assert count(model) == 62_675
    pictures, metadata = RNG.integers(0, 256, (2, 64, 64, 3)).astype("uint8"), RNG.normal(size=(2, 22))
    rows = {"image": pictures[[0, 0, 1, 1]], "metadata": metadata[[0, 1, 0, 1]].astype("float32")}
    (here, there), (here_too, there_too) = np.asarray(model.predict(rows, verbose=0)).reshape(2, 2, 3)
    np.testing.assert_allclose(here - there, here_too - there_too, atol=1e-4)
    assert np.abs(here - there).max() > 0.01


@pytest.mark.parametrize("name", ["compact", "final"])
def test_the_image_branch_alone_has_the_layers_of_a_presets_backbone(name):
    preset, pictures = presets.FUSION[name], image.image_input((32, 32, 3))
    alone = fusion.fusion_classifier(pictures, (), backbone=preset["backbone"], head_hidden=())
    whole = fusion.fusion_classifier(image.image_input((32, 32, 3)), [Numeric("metadata", 22)], **preset)
    of_both = {layer.name for layer in whole.layers}
    assert {layer.name for layer in alone.layers} <= of_both


def test_however_the_columns_are_split_the_network_is_the_same():
    one, many = (
        fusion.fusion_classifier(None, features, metadata_hidden=(64, 32, 16), head_hidden=(64,))
        for features in ([Numeric("metadata", 22)], COLUMNS)
    )
    assert count(one) == count(many)
    inputs, _ = rows(many)
    kernels = [
        many.get_layer(f"metadata_{name}").get_weights() for name in ("numeric", "categories", "tier", "cluster")
    ]

    one.get_layer("metadata_numeric").set_weights([np.vstack([kernel[0] for kernel in kernels]), kernels[0][1]])
    for layer in one.layers:
        if layer.weights and layer.name != "metadata_numeric":
            layer.set_weights(many.get_layer(layer.name).get_weights())
    joined = np.hstack([inputs[feature.name] for feature in COLUMNS])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(one({"metadata": joined})), keras.ops.convert_to_numpy(many(inputs)), atol=1e-5
    )


def test_each_hidden_layer_is_dense_then_normalisation_then_relu_then_dropout():
    model = fuse([Numeric("metadata", 22)], metadata_hidden=(8, 6), head_hidden=(5,))
    kinds = {"Dense": "D", "BatchNormalization": "N", "Activation": "A", "Dropout": "R"}
    branch = [layer for layer in model.layers if layer.name.startswith(("metadata_", "head_", "logits"))]
    assert "".join(kinds[type(layer).__name__] for layer in branch) == "DNARDNARDNARD"
    assert {layer.activation.__name__ for layer in branch if isinstance(layer, keras.layers.Activation)} == {"relu"}
    assert model.get_layer("joined").output.shape == (None, 4 + 6)


def test_kernels_start_he_normal_by_fan_out_and_logits_small():
    model = fuse([Numeric("metadata", 400)], metadata_hidden=(200, 100), head_hidden=(300,))
    training.initialize(model, seed=0)
    for name, width in (("metadata_numeric", 200), ("metadata_mlp_1", 100), ("head_1", 300)):
        kernel = model.get_layer(name).get_weights()[0]
        assert kernel.std() == pytest.approx((2 / width) ** 0.5, rel=0.03)
    inputs, _ = rows(model)
    logits = keras.ops.convert_to_numpy(model(inputs))
    assert np.abs(logits).max() < 3
    assert logits.min() < 0  # no softmax


def test_the_image_model_s_layers_become_the_classifier_s_own():
    eye = small_eye()
    model = fuse(COLUMNS, eye=eye)
    assert model.get_layer("look") is eye.get_layer("look")
    assert {tensor.name for tensor in model.inputs} == {"image", "numbers", "categories", "tier", "cluster"}
    assert {tensor.name for tensor in look(eye).inputs} == {"image"}


def test_an_image_model_of_any_kind_will_do():
    x = keras.Input((8, 8, 3), name="photo")
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5)])
    eye = keras.Model(x, inner(keras.layers.Rescaling(1 / 255)(x)))
    assert fuse(COLUMNS, eye=eye, classes=2).output_shape == (None, 2)


def test_models_are_functional_and_made_of_kerass_own_layers():
    eye = small_eye(augmentation=image.image_augmentation())
    for model in (
        fuse(COLUMNS, eye=eye),
        look(eye),
        fusion.fusion_classifier(None, COLUMNS),
    ):
        assert type(model) is keras.src.models.functional.Functional
        assert not model.compiled
        for layer in model.layers:
            assert type(layer).__module__.startswith("keras.src.layers"), layer
            assert not isinstance(layer, keras.layers.Lambda)


def test_every_parameter_receives_a_gradient_whatever_the_features(backend_name):
    features = [Numeric("numbers", 2), MultiHot("tags", 5), Categorical("tier", 4), Bag("words", 4, length=3)]
    model = fuse(features, metadata_hidden=(8, 6), head_hidden=(5,), dropout=0.0)
    # Batch normalisation takes a constant away again: these biases, which the published count has, have no effect.
    dead = {"metadata_numeric/bias", "metadata_mlp_1/bias", "head_1/bias"}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=backend_name != "jax")
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    model.train_on_batch(*rows(model, 64))
    for old, weight in zip(before, model.trainable_weights, strict=True):
        moved = np.abs(keras.ops.convert_to_numpy(weight) - old).max()
        assert (moved > 1e-6) != ("/".join(weight.path.split("/")[-2:]) in dead), weight.path


def losses(folder, augmentation, seed):
    """The history of four epochs of one step on the same rows, with weights that stay."""
    model = look(small_eye(augmentation=augmentation), head_hidden=())
    training.initialize(model, seed=seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.SGD(0.0), loss=loss, metrics=["accuracy"])
    pictures = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype("uint8")
    batches = Batches({"image": pictures}, (np.arange(8) % 3).astype("int32"), batch_size=8)
    folder.mkdir()
    return training.fit(model, batches, batches, epochs=4, folder=folder, seed=seed)


def test_in_fit_each_step_sees_other_pictures_and_validation_the_pictures_themselves(tmp_path):
    still = losses(tmp_path / "still", (), seed=0)
    moving = losses(tmp_path / "moving", image.image_augmentation(), seed=0)
    again = losses(tmp_path / "again", image.image_augmentation(), seed=0)
    assert np.ptp(still["loss"]) < 1e-6
    assert np.diff(np.sort(moving["loss"])).min() > 1e-6  # no two alike
    np.testing.assert_allclose(again["loss"], moving["loss"], rtol=1e-5)  # and all alike for a seed
    np.testing.assert_allclose(moving["val_loss"], still["loss"], rtol=1e-5)


LOAD = """
import json, sys
sys.modules["kmodels"] = None  # importing it raises ImportError
import keras, numpy as np
model = keras.saving.load_model(f"{sys.argv[1]}/model.keras")
inputs = dict(np.load(f"{sys.argv[1]}/inputs.npz"))
first, second = (keras.ops.convert_to_numpy(model(inputs)) for _ in range(2))
trained = keras.ops.convert_to_numpy(model(inputs, training=True))
facts = {"backend": keras.backend.backend(), "same": (first == second).all(), "moved": np.abs(trained - first).max()}
print(json.dumps(facts | {"predicted": first.tolist()}, default=float))
"""


@pytest.mark.one_backend("tensorflow")
def test_a_saved_model_takes_raw_pictures_on_another_backend(tmp_path, backend_name):
    eye = small_eye(augmentation=image.image_augmentation())
    model = fuse(COLUMNS, eye=eye, metadata_hidden=(8,), head_hidden=(6,))
    inputs, _ = rows(model)
    training.save(model, tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    other = "jax" if importlib.util.find_spec("jax") else backend_name
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": other},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert answer["backend"] == other
    np.testing.assert_allclose(answer["predicted"], keras.ops.convert_to_numpy(model(inputs)), atol=1e-5)
    assert answer["same"]
    assert 0.01 < answer["moved"] < 100


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fuse(classes=0), "classes must be at least 1. Received: classes=0"),
        (lambda: fuse(dropout=1.0), "dropout must be at least 0 and below 1. Received: dropout=1.0"),
        (lambda: fuse(metadata_dropout=-0.1), "Received: metadata_dropout=-0.1"),
        (lambda: fuse(metadata_hidden=()), "the metadata branch needs a layer"),
        (lambda: fusion.fusion_classifier(None, []), "needs pictures or metadata features"),
        (lambda: fuse([Numeric("image")]), "Received twice: 'image'"),
        (
            lambda: fusion.fusion_classifier(image.image_input(), (), backbone="resnet19"),
            "one of compact, resnet18, resnet34, resnet50. Received: 'resnet19'",
        ),
        (
            lambda: look(keras.Model(x := keras.Input((8, 8, 3)), keras.layers.ReLU()(x))),
            r"must end in one row of features, \(batch, n\). Received: \[\(None, 8, 8, 3\)\]",
        ),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()
