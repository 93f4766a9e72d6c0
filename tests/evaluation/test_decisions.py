"""Models judged on several splits: the threshold comes from the validation rows alone, means and spreads are right."""

import numpy as np
import pytest
from sklearn import metrics

from kmodels.errors import DataError
from kmodels.evaluation import decisions


@pytest.fixture
def case():
    """400 rows of which 70 % are of class 1, and a score that says something of it."""
    rng = np.random.default_rng(0)
    true = (rng.random(400) < 0.7).astype(int)
    share = 1 / (1 + np.exp(-(rng.normal(size=400) + 1.5 * true)))
    rows = {"train": np.arange(0, 100), "validation": np.arange(100, 250), "test": np.arange(250, 400)}
    both = np.column_stack([1 - share, share])
    return true, {part: both[rows[part]] for part in ("validation", "test")}, rows


def test_figures_are_those_of_scikit_learn(case):
    true, probability, rows = case
    found = decisions.judge(true, probability, rows)
    for part in ("validation", "test"):
        score = probability[part][:, 1]
        assert found[part]["roc_auc"] == pytest.approx(metrics.roc_auc_score(true[rows[part]], score))
        assert found[part]["accuracy"] == metrics.accuracy_score(true[rows[part]], score > 0.5)


def test_the_threshold_is_the_best_of_the_validation_rows(case):
    true, probability, rows = case
    found = decisions.judge(true, probability, rows)["at_threshold"]
    score, truth = probability["validation"][:, 1], true[rows["validation"]]
    every = [metrics.balanced_accuracy_score(truth, score >= cut) for cut in np.unique(score)]
    assert metrics.balanced_accuracy_score(truth, score >= found["threshold"]) == pytest.approx(max(every))
    said = probability["test"][:, 1] >= found["threshold"]
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true[rows["test"]], said))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true[rows["test"]], said))


def test_test_rows_do_not_move_the_threshold(case):
    true, probability, rows = case
    before = decisions.judge(true, probability, rows)["at_threshold"]["threshold"]
    turned = {**probability, "test": probability["test"][:, ::-1]}
    assert decisions.judge(true, turned, rows)["at_threshold"]["threshold"] == before


def test_mean_and_spread_over_folds():
    folds = [{"accuracy": value, "log_loss": 1.0} for value in (0.7, 0.8, 0.75)]
    mean, std = decisions.mean_and_std(folds)
    assert mean == pytest.approx({"accuracy": 0.75, "log_loss": 1.0})
    assert std == pytest.approx({"accuracy": 0.05, "log_loss": 0.0})
    assert np.isnan(decisions.mean_and_std(folds[:1])[1]["accuracy"])


@pytest.mark.parametrize("folds", [[], [{"accuracy": 0.5}, {"roc_auc": 0.5}]])
def test_folds_without_common_metrics_are_refused(folds):
    with pytest.raises(DataError, match="no metrics in common"):
        decisions.mean_and_std(folds)


def test_every_model_is_judged_on_every_split(case):
    true, probability, rows = case
    worse = {part: np.full_like(share, 0.5) for part, share in probability.items()}
    found = decisions.judge_all(
        true, {"net": {"a": probability}, "coin": {"a": worse, "b": worse}}, {"a": rows, "b": rows}
    )
    assert {who: list(every) for who, every in found.items()} == {"net": ["a"], "coin": ["a", "b"]}
    assert found["coin"]["b"]["test"]["roc_auc"] == 0.5
    assert found["net"]["a"] == decisions.judge(true, probability, rows)
    means = decisions.averages({who: list(every.values()) for who, every in found.items()})
    assert means["coin"]["test"]["roc_auc"] == 0.5
    assert set(means["net"]) == {"validation", "test", "at_threshold"}
