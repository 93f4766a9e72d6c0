"""Choice, paired differences, payoff and folds: compared with SciPy and with cases computed by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import selection

VALUES = {"tiny": 0.90, "small": 0.93, "wide": 0.932}
COSTS = {"tiny": 5_000, "small": 60_000, "wide": 270_000}
GAINS = (0.020, 0.025, 0.015, 0.030, 0.022)
DEFAULT = np.array([0.921, 0.930, 0.925, 0.934])
STEADY, LOOSE = np.array([0.010, 0.012, 0.009, 0.011]), np.array([0.03, -0.02, 0.01, -0.008])


def test_the_cheapest_within_one_standard_error_is_chosen():
    found = selection.choose(VALUES, COSTS, rows=6000)
    assert (found.name, found.best, found.nearest, found.rows) == ("small", "wide", "tiny", 6000)
    assert found.tolerance == pytest.approx(np.sqrt(0.932 * 0.068 / 6000))
    assert selection.choose(VALUES, COSTS, tolerance=0.001).name == "wide"
    assert selection.choose(VALUES, COSTS, tolerance=0.05).name == "tiny"
    assert selection.choose(VALUES, {"tiny": 3, "small": 2, "wide": 1}, tolerance=0.05).name == "wide"
    errors = {name: 1 - value for name, value in VALUES.items()}
    assert selection.choose(errors, COSTS, better="lower", tolerance=0.0025).name == "small"


def test_a_difference_of_exactly_the_tolerance_counts_as_equal_and_among_equals_the_better_is_chosen():
    assert selection.choose({"small": 0.9, "wide": 1.0}, {"small": 10, "wide": 20}, tolerance=0.1).name == "small"
    assert selection.choose({"one": 0.90, "two": 0.91}, {"one": 10, "two": 10}, tolerance=0.1).name == "two"


def test_repeats_are_compared_by_their_means_and_standard_error():
    repeats = pd.DataFrame({"tiny": [0.5, 0.6, 0.7], "small": [0.80, 0.81, 0.82], "wide": [0.79, 0.85, 0.82]})
    found = selection.choose(VALUES, COSTS, repeats=repeats)
    assert found.name == "small"
    assert found.values["wide"] == pytest.approx(0.82)
    assert found.tolerance == pytest.approx(stats.sem(repeats["wide"]))


@pytest.mark.parametrize(
    ("settings", "kind", "complaint"),
    [
        ({}, ConfigurationError, "exactly one of"),
        ({"rows": 5, "tolerance": 0.1}, ConfigurationError, "exactly one of"),
        ({"tolerance": -1.0}, ConfigurationError, "must not be negative"),
        ({"rows": 0}, ConfigurationError, "share from 0 to 1"),
        ({"tolerance": 0.1, "costs": {"tiny": 1}}, DataError, "'small': a model has no cost"),
        ({"tolerance": 0.1, "values": {}}, DataError, "no model"),
        ({"tolerance": 0.1, "values": VALUES | {"tiny": np.nan}}, DataError, "'tiny': a model has no finite value"),
        ({"repeats": pd.DataFrame({"tiny": [1.0, 2.0]})}, DataError, "'small': the repeats lack a model"),
        ({"repeats": pd.DataFrame({"tiny": [1.0], "small": [1.0], "wide": [2.0]})}, DataError, "no standard error"),
    ],
)
def test_what_cannot_choose_is_refused(settings, kind, complaint):
    with pytest.raises(kind, match=complaint):
        selection.choose(**{"values": VALUES, "costs": COSTS} | settings)


def test_paired_differences_equal_scipys_t_test():
    rng = np.random.default_rng(3)
    base = rng.normal(0.7, 0.05, 8)
    table = pd.DataFrame(
        {"majority": base, "net": base + rng.normal(0.02, 0.01, 8), "same": base + 1e-4 * rng.normal(size=8)}
    )
    found = selection.paired(table, "majority")
    test = stats.ttest_rel(table["net"], table["majority"])
    assert tuple(found.loc["net", ["low", "high"]]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.loc["net", "difference"] == pytest.approx((table["net"] - base).mean())
    assert found.loc["net", "std"] == pytest.approx(table["net"].std())
    assert found["significant"].to_dict() == {"majority": False, "net": True, "same": False}
    assert test.pvalue < 0.05
    assert np.isnan(found.loc["majority", "difference"])
    assert found.loc["net", "better_in"] == (table["net"] > base).sum()
    assert selection.paired(table, "majority", better="lower").loc["net", "better_in"] == (table["net"] < base).sum()
    one = selection.paired(table.head(1), "majority").loc["net"]
    assert np.isnan(one["low"])
    assert not one["significant"]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"b": [1.0]}, "'a': no such model"),
        ({"a": [1.0, np.inf]}, "missing or infinite"),
    ],
)
def test_paired_refuses_gaps_and_strangers(table, complaint):
    with pytest.raises(DataError, match=complaint):
        selection.paired(pd.DataFrame(table), "a")


def test_folds_without_a_metric_are_left_out_of_differences_choices_and_means():
    """ROC AUC does not exist where all test rows of a fold are of one class."""
    table = pd.DataFrame({"net": [0.8, np.nan, 0.9, 0.7], "base": [0.7, np.nan, 0.85, 0.6]})
    pd.testing.assert_frame_equal(selection.paired(table, "base"), selection.paired(table.dropna(), "base"))
    costs = {"net": 2, "base": 1}
    chosen, without = (selection.choose(costs, costs, repeats=each) for each in (table, table.dropna()))
    assert chosen == without
    assert selection.mean_and_std(table.to_dict("records"))[0] == {
        "net": pytest.approx(0.8),
        "base": pytest.approx(2.15 / 3),
    }
    never = table.assign(net=np.nan)
    found = selection.paired(never, "base").loc["net"]
    assert np.isnan(found["difference"])
    assert not found["significant"]


def test_folds_widen_the_interval_as_nadeau_and_bengio_say():
    base = np.array([0.70, 0.80, 0.75, 0.72, 0.78])
    auc = {"net": base + GAINS, "boosting": base, "one": base + np.array([0.11, 0, 0, 0, 0])}
    folds = {name: [{"test": {"roc_auc": value}} for value in values] for name, values in auc.items()}
    found = selection.paired_folds(folds, "boosting", "roc_auc", test_to_train=200 / 700)
    reach = stats.t.ppf(0.975, 4) * np.std(GAINS, ddof=1) * np.sqrt(1 / 5 + 200 / 700)
    assert found.loc["net", "high"] - found.loc["net", "difference"] == pytest.approx(reach)
    assert found["significant"].to_dict() == {"net": True, "boosting": False, "one": False}


def test_means_over_folds_are_numpys():
    folds = [{"test": {"auc": 0.7, "loss": 1.0}}, {"test": {"auc": 0.9, "loss": 3.0}}]
    mean, std = selection.mean_and_std([fold["test"] for fold in folds])
    assert mean == {"auc": pytest.approx(0.8), "loss": 2.0}
    assert std == {"auc": pytest.approx(np.std([0.7, 0.9], ddof=1)), "loss": pytest.approx(np.sqrt(2))}
    assert np.isnan(selection.mean_and_std([{"auc": 0.7}])[1]["auc"])
    assert selection.fold_means({"net": folds}) == {"net": {"test": mean}}
    for bad in ([], [{"auc": 0.7}, {"loss": 1.0}]):
        with pytest.raises(DataError, match="no metrics in common"):
            selection.mean_and_std(bad)
    each = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0]})
    longer = pd.DataFrame({"epoch": [1, 2, 3], "loss": [4.0, 2.0, 7.0]})
    assert selection.mean_history([each, longer]).to_dict("list") == {"epoch": [1, 2, 3], "loss": [3.0, 1.5, 7.0]}


def runs(tuned, metric="rmse", **more):
    """Four seeds of both settings."""
    table = pd.DataFrame({"settings": ["default"] * 4 + ["tuned"] * 4, "seed": [0, 1, 2, 3] * 2})
    return table.assign(**{metric: np.concatenate([DEFAULT, np.asarray(tuned, float)]), **more})


@pytest.mark.parametrize(
    ("gap", "better", "outcome"),
    [
        (-STEADY, "lower", "better"),
        (STEADY, "lower", "worse"),
        (LOOSE, "lower", "not significant"),
        (0 * STEADY, "lower", "same settings"),
        (STEADY, "higher", "better"),
        (-STEADY, "higher", "worse"),
    ],
)
def test_the_outcome_of_a_search_goes_by_the_paired_interval_and_the_better_direction(gap, better, outcome):
    found = selection.payoff_summary(runs(DEFAULT + gap), {"rmse": better}).loc["rmse"]
    assert found["outcome"] == outcome
    assert found["default_mean"] == pytest.approx(DEFAULT.mean())
    assert found["tuned_std"] == pytest.approx((DEFAULT + gap).std(ddof=1))
    if gap.any():
        interval = stats.ttest_1samp(gap, 0).confidence_interval(0.95)
        assert (found["low"], found["high"]) == pytest.approx(tuple(interval))


def test_one_seed_is_no_test_and_metrics_without_direction_are_left_out():
    table = runs(DEFAULT - STEADY, novelty=1.0, mae=[np.nan] + [0.7] * 7, r2=[0.1] * 4 + [0.2] * 4)
    better = {"rmse": "lower", "mae": "lower", "r2": "higher"}
    assert list(selection.payoff_summary(table, better).index) == ["rmse", "r2"]
    found = selection.payoff_summary(table.query("seed == 0"), {"rmse": "lower"}).loc["rmse"]
    assert found["outcome"] == "one seed"
    assert np.isnan(found["tuned_std"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (runs(DEFAULT).drop(columns="seed"), "not the payoff of a search"),
        (runs(DEFAULT).query("settings == 'tuned'"), "not the payoff of a search"),
        (pd.concat([runs(DEFAULT)] * 2), "not the payoff of a search"),
        (runs(DEFAULT).iloc[:-1], "not the payoff of a search"),
        (runs(DEFAULT, "novelty"), "known better direction"),
    ],
)
def test_another_payoff_table_is_refused(table, message):
    with pytest.raises(DataError, match=message):
        selection.payoff_summary(table, {"rmse": "lower"})


def test_importance_finds_what_the_objective_was_made_of():
    rng = np.random.default_rng(0)
    rate = 10 ** rng.uniform(-4, -1, 30)
    trials = pd.DataFrame({"status": "completed", "rate": rate, "units": rng.integers(1, 64, 30)})
    trials = trials.assign(kind=rng.choice(["relu", "tanh"], 30), val_rmse=0.05 * (np.log10(rate) + 2.5) ** 2)
    trials.loc[3, "status"] = "failed"
    found = selection.parameter_importance(trials, ["units", "rate", "kind"], "val_rmse")
    assert found["parameter"].iloc[0] == "rate"
    assert found["importance"].iloc[0] > 10 * found["importance"].iloc[1]
    assert selection.parameter_importance(trials.head(5), ["rate"], "val_rmse").empty
