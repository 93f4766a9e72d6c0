"""A model saved on one backend loads on the others, in a process where kmodels cannot be imported."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np

from kmodels import training

LOAD = """
import json, sys
sys.modules["kmodels"] = None  # importing it raises ImportError
import keras, numpy as np
folder = sys.argv[1]
model = keras.saving.load_model(f"{folder}/model.keras")
inputs = dict(np.load(f"{folder}/inputs.npz"))
predicted = keras.ops.convert_to_numpy(model(inputs))
model.compile("adam", "mse")
loss = model.fit(inputs, np.zeros(len(predicted), "float32"), verbose=0).history["loss"][0]
print(json.dumps({"backend": keras.backend.backend(), "predicted": predicted[:, 0].tolist(), "loss": loss}))
"""


def test_saved_model_loads_elsewhere_with_the_same_predictions(network, batch, tmp_path, backend_name):
    model, _ = network
    inputs, target = batch(model)
    # Trained and compiled, so that there is an optimiser that must not get into the file.
    training.compile_model(model, keras.optimizers.Adam())
    model.fit(inputs, target, verbose=0)
    training.save(model, tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    expected = keras.ops.convert_to_numpy(model(inputs))[:, 0]
    others = [b for b in ("jax", "torch", "tensorflow") if b != backend_name and importlib.util.find_spec(b)]
    for other in others or [backend_name]:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(tmp_path)],
            env=os.environ | {"KERAS_BACKEND": other},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        assert answer["backend"] == other
        np.testing.assert_allclose(answer["predicted"], expected, rtol=0, atol=1e-6)
        assert np.isfinite(answer["loss"])
