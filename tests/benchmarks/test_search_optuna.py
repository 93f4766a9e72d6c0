import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from kmodels import tuning  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "search_optuna.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_both_sides_minimise_the_same_function(script, tmp_path):
    user, product = np.divmod(np.arange(600), 20)
    table = pd.DataFrame({"user_id": user, "product_id": product}, dtype="category")
    task = script["amounts"](table.assign(amount=500.0 * product), batch_size=64, epochs=2)
    data, build = task.batches(seed=2)[:2], script["builder"](task)
    how = {"trials": 1, "epochs": 2, "seed": 2, "objective": "val_rmse"}
    search = tuning.search(build, *data, directory=tmp_path / "search", **how)
    alone = script["score"](search.best, build, *data, epochs=2, seed=2)
    assert alone == pytest.approx(search.trials["val_rmse"][0], rel=1e-6)


def test_optuna_is_asked_for_the_same_space(script):
    asked = {}

    class Trial:
        def suggest_float(self, name, low, high, log):
            asked[name] = (low, high, log)
            return low

        def suggest_categorical(self, name, values):
            asked[name] = values
            return values[0]

    tuning.embedding_space(script["OptunaSpace"](Trial()))
    hp = keras_tuner.HyperParameters()
    tuning.embedding_space(hp)
    for parameter in hp.space:
        is_range = hasattr(parameter, "min_value")
        range_ = (
            (parameter.min_value, parameter.max_value, parameter.sampling == "log") if is_range else parameter.values
        )
        assert asked.pop(parameter.name) == range_
    assert asked == {}


def test_the_picture_is_drawn(script, tmp_path):
    best = {name: np.array([[0.9, 0.8, 0.7], [1.0, 0.6, 0.6]]) for name in "abcd"}
    script["draw"](best, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
