"""Searches by plain runs of the same settings; the spaces; whether a search paid."""

import io
import re
import shutil
import sys
from pathlib import Path

import keras
import keras_tuner
import pandas as pd
import pytest

from kmodels import training, tuning
from kmodels.errors import ConfigurationError, DataError, TrainingError
from kmodels.tuning import payoff, spaces
from tests.mutation import mutations


def search(build, data, folder, **settings):
    settings = {"trials": 3, "objective": "val_rmse", "epochs": 2, **settings}
    return tuning.search(build, data, data, directory=folder / "search", **settings)


@pytest.mark.first_backend
def test_random_trials_are_the_defaults_then_keras_tuners_and_their_scores_those_of_plain_runs(
    build, compiled, data, tmp_path
):
    found = search(build, data, tmp_path, seed=3)
    plain = keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("val_rmse", "min"), max_trials=3, seed=4)
    build(plain.hyperparameters)
    values = [plain.hyperparameters.values, *(plain._random_values() for _ in range(2))]
    assert found.trials[["units", "rate"]].to_dict("records") == values
    for trial in found.trials.itertuples():
        model = compiled(trial.units, trial.rate)
        training.initialize(model, 3)
        folder = tmp_path / f"plain-{trial.trial}"
        folder.mkdir()
        history = training.fit(model, data, data, epochs=2, folder=folder, seed=3)
        assert trial.val_rmse == pytest.approx(history["val_rmse"].min(), rel=1e-6)
        assert trial.epoch == history["val_rmse"].argmin() + 1
    best = found.trials.loc[found.trials["val_rmse"].idxmin()]
    assert (found.best.get("units"), found.best.get("rate")) == (best["units"], best["rate"])


def test_hyperband_goes_on_from_a_trials_weights_as_one_long_run(build, compiled, data, tmp_path):
    found = search(build, data, tmp_path, algorithm="hyperband", epochs=3, trials=6)
    longest = found.trials[found.trials["epochs"] == 3].iloc[0]
    start = found.trials[(found.trials["rate"] == longest["rate"]) & (found.trials["epochs"] < 3)]
    assert len(start) == 1
    model = compiled(int(longest["units"]), float(longest["rate"]))
    training.initialize(model, 0)
    history = training.fit(model, data, data, epochs=3, folder=tmp_path)
    assert longest["val_rmse"] == pytest.approx(history["val_rmse"].min(), rel=1e-6)
    assert not list((tmp_path / "search").rglob("checkpoint.npz"))


@pytest.mark.first_backend
@pytest.mark.parametrize("algorithm", ["random", "hyperband", "bayesian"])
def test_a_stopped_search_goes_on_without_repeating_a_trial(build, data, tmp_path, algorithm):
    whole = search(build, data, tmp_path / "whole", algorithm=algorithm)
    built = []

    def interrupted(hp):
        if hp.values.get("rate") == whole.trials["rate"][2]:
            raise KeyboardInterrupt
        built.append(hp.values.get("rate"))
        return build(hp)

    with pytest.raises(KeyboardInterrupt):
        search(interrupted, data, tmp_path / "broken", algorithm=algorithm)
    seen = built.copy()
    counted = lambda hp: (built.append(hp.values.get("rate")), build(hp))[1]  # noqa: E731
    again = search(counted, data, tmp_path / "broken", algorithm=algorithm)
    pd.testing.assert_frame_equal(again.trials.drop(columns="seconds"), whole.trials.drop(columns="seconds"), rtol=1e-6)
    finished = [rate for rate in whole.trials["rate"][:2] if rate in seen]
    assert len(finished) == 2
    # One more build finds the search space.
    assert not set(finished) & set(built[len(seen) + 1 :])
    # A finished search gives its answer without a trial.
    built.clear()
    search(counted, data, tmp_path / "broken", algorithm=algorithm)
    assert len(built) == 1


@pytest.mark.first_backend
def test_a_kill_while_hyperband_copies_weights_loses_nothing(build, data, tmp_path, monkeypatch):
    whole = search(build, data, tmp_path / "whole", algorithm="hyperband", epochs=3, trials=4)

    def killed(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy", killed)
        with pytest.raises(KeyboardInterrupt):
            search(build, data, tmp_path / "broken", algorithm="hyperband", epochs=3, trials=4)
    again = search(build, data, tmp_path / "broken", algorithm="hyperband", epochs=3, trials=4)
    pd.testing.assert_frame_equal(again.trials.drop(columns="seconds"), whole.trials.drop(columns="seconds"), rtol=1e-6)


@pytest.mark.first_backend
def test_progress_is_told_line_by_line_where_there_is_no_terminal(build, data, tmp_path, capsys):
    found = search(build, data, tmp_path, trials=2, epochs=1)
    lines = capsys.readouterr().err.splitlines()
    best = [f"{loss:.4g}" for loss in found.trials["val_rmse"].cummin()]
    assert [line.rpartition(", ")[0] for line in lines] == [
        f"trial {i}/2, best val_rmse {best[i - 1]} so far" for i in (1, 2)
    ]
    assert all(line.endswith(" left") for line in lines)
    assert lines[-1].endswith(", 00:00 left")
    search(build, data, tmp_path, trials=2, epochs=1)
    assert capsys.readouterr().err == f"going on after trial 2/2, best val_rmse {best[1]} so far\n"


@pytest.mark.first_backend
def test_progress_is_a_bar_on_a_terminal(build, data, tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    found = search(build, data, tmp_path, trials=2, epochs=1)
    last = terminal.getvalue().strip().rpartition("\r")[2]
    assert "| 2/2 [" in last
    assert f"best val_rmse {found.trials['val_rmse'].min():.4g}" in last
    assert "<00:00" in last


@pytest.mark.first_backend
def test_a_failed_trial_is_recorded_with_its_reason(build, data, tmp_path):
    plain = keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("val_rmse", "min"), max_trials=5, seed=1)
    build(plain.hyperparameters)
    rates = [plain._random_values()["rate"] for _ in range(5)]

    def failing(hp):
        model = build(hp)
        match rates.index(hp.get("rate")) if hp.get("rate") in rates else None:
            case 0:
                raise ConfigurationError("units must be even")
            case 1:
                raise MemoryError("80 GiB")
            case 2:
                model.optimizer.learning_rate = 1e38
            case 3:
                wide = keras.layers.Dense(2**42)(model.inputs[0])  # 32 TiB
                return keras.Model(model.input, keras.layers.Dense(1)(wide))
        return model

    found = search(failing, data, tmp_path, trials=6)
    assert found.trials["status"].tolist() == ["completed", *["failed"] * 4, "completed"]
    assert found.trials["reason"][1] == "ConfigurationError: units must be even"
    assert found.trials["reason"][2] == "MemoryError: 80 GiB"
    assert "the loss is not a finite number" in found.trials["reason"][3]
    # In the backend's own words.
    assert re.search("alloc|memory|RESOURCE_EXHAUSTED", found.trials["reason"][4])
    assert found.trials["rate"][5] == rates[4]
    assert found.best.get("rate") == found.trials["rate"][found.trials["val_rmse"].idxmin()]


@pytest.mark.first_backend
def test_when_all_fail_there_is_one_error(build, data, tmp_path):
    defaults = []

    def failing(hp):
        build(hp)
        if defaults:
            raise ValueError("no such combination")
        defaults.append(1)  # the build that finds the space

    with pytest.raises(TrainingError, match="all 3 trials failed, the first one: ValueError: no such combination"):
        search(failing, data, tmp_path)


@pytest.mark.first_backend
def test_a_default_that_cannot_be_built_is_a_failed_trial_and_the_search_goes_on(build, compiled, data, tmp_path):
    def failing(hp):
        units = hp.Int("units", 1, 16)
        if units == 1:
            raise ConfigurationError("one unit is too few")
        return compiled(units, hp.Float("rate", 1e-3, 1e-1, sampling="log"))  # asked for after the failure

    found = search(failing, data, tmp_path)
    assert found.trials["status"].tolist() == ["failed", "completed", "completed"]
    assert found.trials["reason"][0] == "ConfigurationError: one unit is too few"
    assert found.trials["rate"].nunique() == 3
    assert found.parameters == ("units", "rate")


def test_what_is_asked_for_under_a_condition_belongs_to_the_space(compiled, data, tmp_path):
    def build(hp):
        kind = hp.Choice("kind", ["small", "large"])
        with hp.conditional_scope("kind", ["large"]):
            units = hp.Int("units", 8, 16)
        return compiled(units if kind == "large" else 2, 0.01)

    assert search(build, data, tmp_path, trials=1, epochs=1).parameters == ("kind", "units")


@pytest.mark.first_backend
@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_a_finished_search_that_is_asked_for_more_trials_goes_on(build, data, tmp_path, algorithm):
    whole = search(build, data, tmp_path / "whole", algorithm=algorithm, trials=4, epochs=1)
    search(build, data, tmp_path / "grown", algorithm=algorithm, trials=2, epochs=1)
    before = (tmp_path / "grown" / "search" / "journal.jsonl").read_bytes()
    grown = search(build, data, tmp_path / "grown", algorithm=algorithm, trials=4, epochs=1)
    assert (tmp_path / "grown" / "search" / "journal.jsonl").read_bytes().startswith(before)
    pd.testing.assert_frame_equal(grown.trials.drop(columns="seconds"), whole.trials.drop(columns="seconds"), rtol=1e-6)
    with pytest.raises(ConfigurationError, match="trials is 4 there, here 3"):
        search(build, data, tmp_path / "grown", algorithm=algorithm, trials=3, epochs=1)


@pytest.mark.first_backend
def test_damaged_settings_are_refused_or_read_as_they_were(build, data, tmp_path):
    found = search(build, data, tmp_path, trials=1, epochs=1)
    path = tmp_path / "search" / "search.json"
    content, refused = path.read_bytes(), 0
    for damaged in mutations(content, 100):
        path.write_bytes(damaged)
        try:
            again = search(build, data, tmp_path, trials=1, epochs=1)
        except (DataError, ConfigurationError):
            refused += 1
            continue
        pd.testing.assert_frame_equal(again.trials, found.trials)
    assert refused > 80


@pytest.mark.first_backend
def test_a_wrong_objective_is_a_failure_that_lists_the_right_ones(build, data, tmp_path):
    with pytest.raises(TrainingError, match=r"nothing named val_accuracy is logged; there are .*val_rmse"):
        search(build, data, tmp_path, objective="val_accuracy", trials=1)


@pytest.mark.first_backend
def test_the_folder_of_another_search_is_refused(build, compiled, data, tmp_path):
    search(build, data, tmp_path, trials=1)
    before = (tmp_path / "search" / "journal.jsonl").read_bytes()
    with pytest.raises(
        ConfigurationError, match="holds another search: trials is 1 there, here 2; seed is 0 there, here 9"
    ):
        search(build, data, tmp_path, trials=2, seed=9)
    with pytest.raises(ConfigurationError, match="holds another search: space is"):
        search(lambda hp: compiled(hp.Int("units", 1, 3), 0.1), data, tmp_path, trials=1)
    assert (tmp_path / "search" / "journal.jsonl").read_bytes() == before


@pytest.mark.first_backend
def test_a_kill_while_the_settings_are_written_leaves_no_strange_file(build, data, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search.7.tmp.json").write_text('{"algorithm": "ran')
    assert len(search(build, data, tmp_path, trials=1).trials) == 1


@pytest.mark.first_backend
def test_a_folder_with_other_files_is_refused(build, data, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="files that are no search"):
        search(build, data, tmp_path)
    assert [path.name for path in (tmp_path / "search").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "grid"}, "algorithm must be one of random, hyperband, bayesian. Received: algorithm='grid'"),
        ({"direction": "up"}, "direction must be one of min, max. Received: direction='up'"),
        ({"trials": 0}, "trials must be at least 1. Received: trials=0"),
        ({"epochs": 0}, "epochs must be at least 1. Received: epochs=0"),
    ],
)
@pytest.mark.first_backend
def test_wrong_settings(build, data, tmp_path, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        search(build, data, tmp_path, **settings)


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


def test_a_networks_space_for_tables_has_the_defaults_that_it_is_given():
    searched = {"learning_rate": 5e-3, "weight_decay": 0.01, "hidden": (96, 96), "dim": 10, "bins": 48, "dropout": 0.2}
    defaults, hp = {"members": 4, **searched}, keras_tuner.HyperParameters()
    assert spaces.tabular_space(hp, defaults) == defaults
    assert set(hp.values) == set(searched)
    for parameter in hp.space:
        value, is_range = hp.get(parameter.name), hasattr(parameter, "min_value")
        assert parameter.min_value <= value <= parameter.max_value if is_range else value in parameter.values
        assert f"`{parameter.name}`" in spaces.tabular_space.__doc__
    hp.values.update({"hidden": "256-256", "dim": 24})
    assert spaces.tabular_space(hp, defaults) == defaults | {"hidden": (256, 256), "dim": 24}


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


@pytest.fixture
def asked():
    return []


@pytest.fixture
def score(asked):
    def score(settings, seed):
        asked.append((settings["rate"], seed))
        return {"rmse": settings["rate"] + seed / 8, "validation_rmse": settings["rate"]}

    return score


SETTINGS = {"default": {"rate": 1.0}, "tuned": {"rate": 0.5}}


def test_each_settings_is_judged_once_a_seed(score, asked):
    found = payoff(score, SETTINGS, [3, 5, 4])
    assert sorted(asked) == [(rate, seed) for rate in (0.5, 1.0) for seed in (3, 4, 5)]
    assert list(found.columns) == ["settings", "seed", "rmse", "validation_rmse"]
    by_run = found.set_index(["settings", "seed"])["rmse"]
    assert by_run["default", 5] == 1.0 + 5 / 8
    assert by_run["tuned", 3] == 0.5 + 3 / 8
    assert by_run.index.is_unique


def test_equal_settings_are_trained_once_for_both(score, asked):
    found = payoff(score, {"default": {"rate": 1.0}, "tuned": {"rate": 1.0}}, [3, 4])
    assert asked == [(1.0, 3), (1.0, 4)]
    assert found["rmse"].tolist() == [1.375, 1.375, 1.5, 1.5]


def test_without_a_terminal_there_is_a_line_for_each_run(score, capsys):
    payoff(score, SETTINGS, [7])
    assert capsys.readouterr().err.splitlines() == [
        "payoff 1/2: default, seed 7, rmse 1.875",
        "payoff 2/2: tuned, seed 7, rmse 1.375",
    ]


@pytest.mark.parametrize(("settings", "seeds"), [({}, [0]), (SETTINGS, []), (SETTINGS, [0, 1, 0])])
def test_nothing_to_compare_is_refused_before_anything_is_trained(settings, seeds, score, asked):
    with pytest.raises(ConfigurationError, match="payoff needs settings and different seeds"):
        payoff(score, settings, seeds)
    assert asked == []
