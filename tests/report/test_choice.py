import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import choice


def variants(**figures):
    return {
        name: {
            "validation": {"accuracy": value, "rmse": 1 - value, "novelty": 1},
            "model": {"parameters": size},
            "timing": {"fit_s": 100.0 - size / 1000},
            "cost": {"latency_ms": size / 1000},
        }
        for name, (value, size) in figures.items()
    }


THREE = variants(tiny=(0.90, 5_000), small=(0.93, 60_000), wide=(0.932, 270_000))


def test_the_cheapest_within_one_standard_error_is_chosen():
    error = np.sqrt(0.932 * 0.068 / 6000)
    assert 0.002 < error < 0.032
    name, why = choice.choose(THREE, "accuracy", rows=6000)
    assert name == "small"
    assert why == (
        "small was chosen: its validation accuracy of 0.9300 lies within 0.0033 (one standard error over 6,000 rows) "
        "of the best, 0.9320 of wide, at 22 % of its parameters (60,000 against 270,000)."
    )


def test_the_best_is_chosen_when_no_cheaper_one_is_near():
    name, why = choice.choose(THREE, "accuracy", tolerance=0.001)
    assert name == "wide"
    assert "is the best of 3, and none that costs less (parameters, here 270,000) comes within 0.001" in why
    assert "the nearest is small with 0.9300" in why


def test_a_wide_tolerance_takes_the_cheapest_and_another_cost_another_one():
    assert choice.choose(THREE, "accuracy", tolerance=0.05)[0] == "tiny"
    name, why = choice.choose(THREE, "accuracy", tolerance=0.05, cost="fit_s")
    assert name == "wide"
    assert why.endswith("is the best of 3, and none costs less (training time: -170 s).")
    assert choice.choose(THREE, "accuracy", tolerance=0.05, cost="latency_ms")[0] == "tiny"


def test_lower_is_better_for_an_error():
    name, why = choice.choose(THREE, "rmse", tolerance=0.0025)
    assert name == "small"
    assert "RMSE of 0.0700" in why


def test_a_difference_of_exactly_the_tolerance_counts_as_equal():
    two = variants(small=(0.9, 10), wide=(1.0, 20))
    assert choice.choose(two, "accuracy", tolerance=0.1)[0] == "small"


def test_among_equals_of_one_cost_the_better_is_chosen():
    two = variants(one=(0.90, 10), two=(0.91, 10))
    assert choice.choose(two, "accuracy", tolerance=0.1)[0] == "two"


def test_repeats_are_compared_by_their_means_and_standard_error():
    repeats = pd.DataFrame({"tiny": [0.5, 0.6, 0.7], "small": [0.80, 0.81, 0.82], "wide": [0.79, 0.85, 0.82]})
    error = repeats["wide"].std() / np.sqrt(3)
    assert 0.01 < error < 0.22
    name, why = choice.choose(THREE, "accuracy", repeats=repeats)
    assert name == "small"
    assert f"within {error:.2g} (one standard error over 3 repeats) of the best, 0.8200 of wide" in why


@pytest.mark.parametrize(
    ("settings", "kind", "complaint"),
    [
        ({}, ConfigurationError, "exactly one of"),
        ({"rows": 5, "tolerance": 0.1}, ConfigurationError, "exactly one of"),
        ({"tolerance": -1.0}, ConfigurationError, "must not be negative"),
        ({"rows": 0}, ConfigurationError, "share from 0 to 1"),
        ({"tolerance": 0.1, "cost": "energy"}, DataError, r"'tiny\.energy': a variant has no such cost"),
        ({"repeats": pd.DataFrame({"tiny": [1.0, 2.0]})}, DataError, "'small': the repeats lack a variant"),
        ({"repeats": pd.DataFrame({"tiny": [1.0], "small": [1.0], "wide": [2.0]})}, DataError, "no standard error"),
    ],
)
def test_what_cannot_choose_is_refused(settings, kind, complaint):
    with pytest.raises(kind, match=complaint):
        choice.choose(THREE, "accuracy", **settings)


def test_a_metric_must_be_known_and_there():
    with pytest.raises(ConfigurationError, match="'novelty' cannot choose"):
        choice.choose(THREE, "novelty", tolerance=0.1)
    with pytest.raises(DataError, match=r"tiny\.validation\.roc_auc"):
        choice.choose(THREE, "roc_auc", tolerance=0.1)
    with pytest.raises(DataError, match="no variant"):
        choice.choose({}, "accuracy", tolerance=0.1)


def test_paired_differences_equal_scipys_t_test():
    rng = np.random.default_rng(3)
    base = rng.normal(0.7, 0.05, 8)
    table = pd.DataFrame(
        {"majority": base, "net": base + rng.normal(0.02, 0.01, 8), "same": base + 1e-4 * rng.normal(size=8)}
    )
    found = choice.paired(table, "majority")
    test = stats.ttest_rel(table["net"], table["majority"])
    interval = test.confidence_interval(0.95)
    assert found.loc["net", "low"] == pytest.approx(interval.low)
    assert found.loc["net", "high"] == pytest.approx(interval.high)
    assert found.loc["net", "difference"] == pytest.approx((table["net"] - table["majority"]).mean())
    assert found.loc["net", "std"] == pytest.approx(table["net"].std())
    assert bool(found.loc["net", "beyond_luck"]) is bool(test.pvalue < 0.05) is True
    assert not found.loc["same", "beyond_luck"]
    assert not found.loc["majority", "beyond_luck"]
    assert np.isnan(found.loc["majority", "difference"])
    assert found.loc["net", "better_in"] == (table["net"] > base).sum()
    lower = choice.paired(table, "majority", better="lower")
    assert lower.loc["net", "better_in"] == (table["net"] < base).sum()


def test_folds_of_the_same_rows_widen_the_interval_as_nadeau_and_bengio_say():
    table = pd.DataFrame({"base": [0.5, 0.52, 0.54, 0.5, 0.51], "net": [0.56, 0.6, 0.57, 0.58, 0.6]})
    gap = table["net"] - table["base"]
    half = stats.t.ppf(0.975, 4) * gap.std() * np.sqrt(1 / 5 + 1 / 4)
    found = choice.paired(table, "base", test_to_train=0.25).loc["net"]
    assert found["high"] - found["difference"] == pytest.approx(half)


def test_one_repeat_has_no_interval():
    found = choice.paired(pd.DataFrame({"base": [0.5], "net": [0.9]}), "base").loc["net"]
    assert found["difference"] == pytest.approx(0.4)
    assert np.isnan(found["low"])
    assert not found["beyond_luck"]


def test_paired_refuses_gaps_and_strangers():
    with pytest.raises(DataError, match="'other': no such variant"):
        choice.paired(pd.DataFrame({"a": [1.0]}), "other")
    with pytest.raises(DataError, match="finite value"):
        choice.paired(pd.DataFrame({"a": [1.0, np.nan]}), "a")
    with pytest.raises(DataError, match="finite value"):
        choice.paired(pd.DataFrame({"a": []}), "a")
