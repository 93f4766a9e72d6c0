import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kmodels.datasets.pictures import read_picture
from kmodels.pipelines import pictures as pictures_module

ROWS = 23


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    result = [tmp_path / f"{i:02}.{'png' if i % 2 else 'jpg'}" for i in range(ROWS)]
    for path in result:
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return result


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the files that are decoded, in no fixed order."""
    calls = []

    def read(path, size):
        calls.append(os.path.basename(path))
        return read_picture(path, size)

    monkeypatch.setattr(pictures_module, "read_picture", read)
    return calls


# The processes below need neither a backend nor the rest of the room, and start in a moment without.
PROCESS = """
import sys, time, types
from pathlib import Path
import kmodels
keras, room = types.ModuleType("keras"), types.ModuleType("kmodels.pipelines")
keras.utils = types.SimpleNamespace(PyDataset=object)
room.__path__ = [str(Path(kmodels.__file__).parent / "pipelines")]
sys.modules |= {{"keras": keras, "kmodels.pipelines": room}}
import numpy as np
from kmodels.pipelines import pictures as module
from kmodels.pipelines.batches import Batches
folder = Path(sys.argv[1])
read = module.read_picture

def slow(path, size):
    time.sleep({pause})
    return read(path, size)

module.read_picture = slow
paths = sorted([*folder.glob("*.png"), *folder.glob("*.jpg")])
pictures = module.Pictures(paths, (4, 6), cache=folder / "c", workers=2)
batches = Batches({{}}, np.arange(len(pictures)), parts=[pictures], batch_size=4)
"""


@pytest.fixture
def start():
    """Starts a process that decodes the pictures of a folder, slowly, and then runs some code."""
    return _start


def _start(code, folder, pause):
    command = [sys.executable, "-c", PROCESS.format(pause=pause) + code, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
