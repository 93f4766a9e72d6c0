"""A model saved on one backend loads on another, in a process where kmodels cannot be imported."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np

from kmodels import models, training
from kmodels.features import Categorical, MultiHot, Numeric

TABLE = [Numeric("numbers", 2), Categorical("city", 5), MultiHot("tags", 2)]
EDGES = ([0.0, 1.0, 2.5, 5.0], [1.0, 4.0])
# Models that rank five items, row 0 included, models of tables, and one of pictures.
OTHERS = {
    "ease": lambda: models.ease(5),
    "item_autoencoder": lambda: models.item_autoencoder(5, hidden=(3,)),
    "sasrec": lambda: models.sasrec(5, 4, dim=6),
    "two_tower": lambda: models.two_tower(5, 5, user_features=[MultiHot("u", 3)], dim=2, hidden=(3,), dropout=0.1),
    "tabular_classifier": lambda: models.tabular_classifier(TABLE, 3, edges=EDGES, frequencies=2, dim=2, hidden=(4, 4)),
    "tabular_regressor": lambda: models.tabular_regressor(TABLE, members=1, linear=False, dim=2, hidden=(4,)),
    "fusion_classifier": lambda: models.fusion_classifier(
        models.image_input((32, 32, 3), augmentation=models.image_augmentation()),
        TABLE[:1],
        **models.presets.FUSION["compact"],
    ),
}
BACKENDS = ("jax", "torch", "tensorflow")
# To compile a training takes longest here: the networks with most kinds of layers are trained.
TRAINED = ("enhanced", "sasrec", "tabular_classifier")
LOAD = """
import json, sys
from pathlib import Path
sys.modules["kmodels"] = None  # importing it raises ImportError
import keras, numpy as np
for folder in sys.argv[2:]:
    model = keras.saving.load_model(f"{folder}/model.keras")
    inputs = dict(np.load(f"{folder}/inputs.npz"))
    predicted = keras.ops.convert_to_numpy(model(inputs))
    answer = {"backend": keras.backend.backend(), "predicted": predicted.tolist()}
    if Path(folder).name in sys.argv[1].split(","):
        model.compile("adam", "mse")
        answer["loss"] = float(model.train_on_batch(inputs, np.zeros_like(predicted)))
    print(json.dumps(answer))
"""


def test_saved_models_load_elsewhere_with_the_same_predictions(networks, batch, tmp_path, backend_name):
    def keep(name, model, inputs):
        (tmp_path / name).mkdir()
        training.save(model, tmp_path / name / "model.keras")
        np.savez(tmp_path / name / "inputs.npz", **inputs)
        return keras.ops.convert_to_numpy(model(inputs))

    expected = []
    for name, build in networks.items():
        model, _ = build()
        inputs, target = batch(model)
        # Compiled and trained, so that there is an optimiser that must not get into the file.
        training.compile_model(model, keras.optimizers.Adam())
        if name in TRAINED:
            model.fit(inputs, target, verbose=0)
        expected.append(keep(name, model, inputs))
    for name, build in OTHERS.items():
        model = training.initialize(build())
        rng = np.random.default_rng(0)
        for weight in model.trainable_weights:  # some start at zeros
            weight.assign(rng.normal(0, 0.3, weight.shape))
        inputs = {tensor.name: (rng.random((6, *tensor.shape[1:])) * 5).astype(tensor.dtype) for tensor in model.inputs}
        expected.append(keep(name, model, inputs))
    # Each loads what one other saved: together they load all.
    ring = [each for each in BACKENDS if importlib.util.find_spec(each)]
    other = ring[(ring.index(backend_name) + 1) % len(ring)]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, ",".join(TRAINED), *(str(tmp_path / name) for name in (*networks, *OTHERS))],
        env=os.environ | {"KERAS_BACKEND": other},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for answer, predicted in zip(answers, expected, strict=True):
        assert answer["backend"] == other
        np.testing.assert_allclose(answer["predicted"], predicted, rtol=1e-5, atol=1e-6)
    assert [np.isfinite(answer["loss"]) for answer in answers if "loss" in answer] == [True] * len(TRAINED)
