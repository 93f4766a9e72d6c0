"""Whether a search paid: every settings sees every seed, and the table says which run was whose."""

import pytest

pytest.importorskip("keras_tuner")

from kmodels.errors import ConfigurationError
from kmodels.tuning import payoff


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
