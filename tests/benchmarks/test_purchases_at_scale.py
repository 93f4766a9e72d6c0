import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "purchases_at_scale.py"))


def test_what_is_left_is_a_share_of_variance(script):
    assert script["left"](2.0, 1.0, 3.0) == pytest.approx(3 / 8)
    assert script["left"](1.0, 1.0, 3.0) == 0
    assert script["left"](3.0, 1.0, 3.0) == 1


def test_model_and_baselines_stand_above_both_floors(script):
    baselines = {"mean": {"rmse": 3.0, "accuracy": 0.4}, "majority": {"accuracy": 0.4}, "ridge": {"rmse": 2.5}}
    metrics = {"variants": {"regressor": {"test": {"rmse": 2.0}}}, "baselines": baselines}
    _, model, mean, ridge, *floors = script["table"](metrics, {"blup": 1.8, "learnable": 1.5, "oracle_on_test": 1.0})
    assert model.split() == ["regressor", "2.0", "37.50%", f"{(4 - 2.25) / (9 - 2.25):.2%}"]
    assert mean.split() == ["mean", "3.0", "100.00%", "100.00%"]
    assert ridge.split()[:2] == ["ridge", "2.5"]
    assert [line.split()[-3] for line in floors] == ["1.8", "1.5", "1.0"]
