import subprocess
import sys

import keras
import numpy as np
import pytest

from kmodels import backend
from kmodels.errors import ConfigurationError


def test_name_is_the_worker_s(backend_name):
    assert backend.name() == backend_name == keras.backend.backend()


def test_only_tensorflow_takes_several_steps_at_once(backend_name):
    assert (backend.steps_per_execution() > 1) == (backend_name == "tensorflow")


def test_seeded_masks_are_the_same_again(backend_name):
    layer = keras.layers.Dropout(0.5)
    masks = []
    for seed in (3, 3, 4):
        backend.seed_masks(seed)
        masks.append(keras.ops.convert_to_numpy(layer(np.ones((4, 50), "float32"), training=True)))
    if backend_name == "torch":
        np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[1] != masks[2]).any()


def test_without_tensorflow_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigurationError, match="install it"):
        backend.tensorflow()


def test_kmodels_does_not_import_tensorflow_on_other_backends(backend_name):
    """It takes seconds and hundreds of MB, and need not be installed."""
    if backend_name == "tensorflow":
        pytest.skip("it is the backend")
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import keras, numpy as np\n"
        "from kmodels import models, pipelines, serving, training\n"
        "from kmodels.evaluation import recommender\n"
        "ids = {'user_id': np.zeros(4, 'int32'), 'item_id': np.zeros(4, 'int32')}\n"
        "model = models.neumf(3, 4, dropout=0.1)\n"
        "training.initialize(model, 0)\n"
        "training.compile_model(model, keras.optimizers.Adam())\n"
        "batches = pipelines.Batches(ids, np.zeros(4), batch_size=2)\n"
        "import tempfile; from pathlib import Path; folder = Path(tempfile.mkdtemp())\n"
        "training.fit(model, batches, batches, epochs=2, folder=folder, callbacks=training.plateau_callbacks())\n"
        "training.save(model, folder / 'm.keras'); keras.saving.load_model(folder / 'm.keras')\n"
        "training.predict(model, batches)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
