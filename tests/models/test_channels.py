"""Pictures are (height, width, channels), whatever a user's `keras.json` says of other networks."""

import json
import os
import subprocess
import sys

import pytest

NETWORKS = """
import keras, numpy as np, sys
from kmodels import models
from kmodels.features import Numeric
from kmodels.models import presets

assert keras.config.image_data_format() == "channels_first"
pictures = models.image_input((32, 32, 3), augmentation=models.image_augmentation())
images = {"image": np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")}
rows = images | {"numbers": np.ones((2, 4), "float32")}
grey = {"image": images["image"][:, :28, :28, :1]}
cnn = models.cnn(**presets.CNN["narrow"], augmentation=models.augment())
for network, inputs in (
    (cnn, grey),
    (models.mirrored(cnn), grey),
    (models.fusion_classifier(pictures, [Numeric("numbers", 4)], **presets.FUSION["compact"]), rows),
    (models.resnet(depths=(1, 1), bottleneck=False, input_tensor=models.image_input((32, 32, 3)), classes=3), images),
):
    outputs = [network(inputs, training=training) for training in (False, True)]
    assert all(np.isfinite(keras.ops.convert_to_numpy(output)).all() for output in outputs)
assert keras.config.image_data_format() == "channels_first"
cnn.save(sys.argv[1])
np.save(sys.argv[2], keras.ops.convert_to_numpy(cnn(grey, training=False)))
"""


@pytest.mark.one_backend("tensorflow")
def test_a_keras_json_of_channels_first_changes_no_network(tmp_path):
    import keras
    import numpy as np

    (tmp_path / "keras.json").write_text(json.dumps({"image_data_format": "channels_first"}))
    model, output = tmp_path / "model.keras", tmp_path / "output.npy"
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": keras.backend.backend()}
    command = [sys.executable, "-c", NETWORKS, str(model), str(output)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")[:, :28, :28, :1]
    found = keras.saving.load_model(model)({"image": images}, training=False)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), np.load(output), rtol=1e-4, atol=1e-5)
