import runpy
from pathlib import Path

import numpy as np
import pytest

from kmodels import backend
from kmodels.datasets import fashion_mnist

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fashion_training.py"


def test_both_sides_learn_the_sample_with_networks_of_one_size():
    torch = pytest.importorskip("torch")
    script, data, sizes = runpy.run_path(str(SCRIPT)), fashion_mnist.load("sample"), []
    ours = script["kmodels_epochs"](data, "narrow", 2, 0, backend.device())
    stock = torch.optim.Adam

    def adam(weights, **settings):
        weights = list(weights)
        sizes.append(sum(weight.numel() for weight in weights))
        return stock(weights, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", adam)
        theirs = script["torch_epochs"](data, "narrow", 2, 0, backend.device())
    assert sizes == [11_378]
    for side in (ours, theirs):
        seconds, accuracy = np.transpose(side)
        assert (seconds > 0).all()
        assert accuracy[1] > 0.5
    assert abs(ours[1][1] - theirs[1][1]) < 0.15
