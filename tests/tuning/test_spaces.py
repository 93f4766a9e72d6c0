"""The search spaces: names, ranges and defaults, as KerasTuner sees them."""

import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from kmodels.tuning import spaces  # noqa: E402

# Name of a space -> what it gives where nothing is searched.
DEFAULTS = {
    "embedding_space": {"learning_rate": 8e-3, "dim": 16, "l2_root": 0.2, "dropout": 0.0, "hidden": (64, 32)},
    "neumf_space": {
        "learning_rate": 2e-3,
        "dim": 32,
        "hidden": (32,),
        "dropout": 0.3,
        "vector_dropout": 0.2,
        "l2": 1e-4,
    },
    "mf_space": {
        "learning_rate": 1e-2,
        "dim": 32,
        "hidden": (64, 32),
        "activation": "tanh",
        "l2_rows": 30.0,
        "kernel_l2": 6e-3,
    },
    "dense_space": {"learning_rate": 2e-2, "hidden": (64,), "dropout": 0.5, "l2": 2e-3, "linear": True},
    "fusion_space": {"learning_rate": 2e-3, "weight_decay": 1e-4, "dropout": 0.1},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_and_the_ranges_are_the_documented_ones(name):
    space, hp = getattr(spaces, name), keras_tuner.HyperParameters()
    assert space(hp) == DEFAULTS[name]
    assert [parameter.name for parameter in hp.space] == list(hp.values)
    for parameter in hp.space:
        value, is_range = hp.get(parameter.name), hasattr(parameter, "min_value")
        assert parameter.min_value <= value <= parameter.max_value if is_range else value in parameter.values
        assert f"`{parameter.name}`" in space.__doc__


@pytest.mark.parametrize("name", ["embedding_space", "neumf_space"])
def test_chosen_values_come_back(name):
    space, hp = getattr(spaces, name), keras_tuner.HyperParameters()
    space(hp)
    hp.values.update({"hidden": "32", "dim": 16})
    assert space(hp)["hidden"] == (32,)
    assert space(hp)["dim"] == 16


def test_tensors_are_frozen_only_where_weights_are_pretrained():
    hp = keras_tuner.HyperParameters()
    assert spaces.fusion_space(hp, frozen=True) == DEFAULTS["fusion_space"] | {"freeze": 7}
    (parameter,) = [parameter for parameter in hp.space if parameter.name == "freeze"]
    assert (parameter.min_value, parameter.max_value) == (5, 9)


def test_the_defaults_are_those_of_the_builder():
    """What a search is compared with is the model as it is without one."""
    from kmodels import models

    found = spaces.neumf_space(keras_tuner.HyperParameters())
    del found["learning_rate"]
    assert models.presets.NEUMF["history"] | found == models.presets.NEUMF["history"]
    wide = spaces.mf_space(keras_tuner.HyperParameters())
    size = {name: wide[name] for name in ("dim", "hidden", "activation")}
    assert models.presets.MATRIX_FACTORIZATION["c_wide"] == size | {"name": "mf_c_wide"}


def test_the_dense_defaults_make_the_wide_and_deep_net():
    from kmodels import models

    found = spaces.dense_space(keras_tuner.HyperParameters())
    del found["learning_rate"]
    assert models.presets.DENSE["wide_and_deep"] | found == models.presets.DENSE["wide_and_deep"]
