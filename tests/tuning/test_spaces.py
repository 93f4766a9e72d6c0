"""The search spaces: names, ranges and defaults, as KerasTuner sees them."""

import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from kmodels.tuning.spaces import embedding_space  # noqa: E402


def test_the_defaults_and_the_ranges_are_the_documented_ones():
    hp = keras_tuner.HyperParameters()
    assert embedding_space(hp) == {
        "learning_rate": 8e-3,
        "dim": 16,
        "l2_root": 0.2,
        "dropout": 0.0,
        "hidden": (64, 32),
    }
    assert [parameter.name for parameter in hp.space] == list(hp.values)
    for parameter in hp.space:
        value, is_range = hp.get(parameter.name), hasattr(parameter, "min_value")
        assert parameter.min_value <= value <= parameter.max_value if is_range else value in parameter.values
        assert f"`{parameter.name}`" in embedding_space.__doc__


def test_chosen_values_come_back():
    hp = keras_tuner.HyperParameters()
    embedding_space(hp)
    hp.values.update({"hidden": "32", "dim": 4})
    assert embedding_space(hp)["hidden"] == (32,)
    assert embedding_space(hp)["dim"] == 4
