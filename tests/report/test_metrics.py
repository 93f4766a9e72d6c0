"""The metric registry, and the facts that sentences hold."""

import numpy as np
import pandas as pd
import pytest

from kmodels.evaluation import selection
from kmodels.report import metrics, sentences


def test_a_metric_has_the_unit_of_the_data_and_a_catalogue_twin(monkeypatch):
    assert metrics.describe("rmse", "USD").unit == "USD"
    assert metrics.describe("r2", "USD").unit == ""
    assert metrics.describe("catalogue_mrr_at_10").group == metrics.CATALOGUE
    monkeypatch.setitem(metrics.METRICS, "lift", metrics.Metric("Lift", "higher", "Sales", "Gain over chance."))
    assert metrics.describe("catalogue_lift").label == "Catalogue Lift"
    assert metrics.by_group(["lift", "mae", "novelty", "rmse", "mae"]) == {
        "Prediction error": ["rmse", "mae"],
        "Other figures": ["novelty"],
        "Sales": ["lift"],
    }


@pytest.mark.parametrize("name", list(metrics.METRICS))
def test_every_metric_is_described(name):
    found = metrics.describe(name)
    assert found.label
    assert found.group in metrics.GROUPS
    assert found.meaning.endswith(".")


def test_the_best_leaves_out_what_is_unknown():
    values = {"a": 0.2, "b": None, "c": float("nan"), "d": 0.1}
    assert metrics.best(values, "lower") == "d"
    assert metrics.best(values, "higher") == "a"
    assert metrics.best(values, None) is None
    assert metrics.best({"b": None}, "lower") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.88432, "0.8843"),
        (np.float32(0.5), "0.5000"),
        (1e-5, "1e-05"),
        (1e-14, "0.0000"),
        (99.123, "99.12"),
        (2503.127, "2,503.1"),
        (999_611, "999,611"),
        (True, "yes"),
        (None, "–"),
        (float("nan"), "–"),
        ([64, 32], "64, 32"),
        (np.array([1, 2]), "1, 2"),
    ],
)
def test_numbers_are_written_in_few_digits(value, text):
    assert metrics.number(value) == text


def test_a_choice_names_figures_costs_and_the_tolerance():
    values, costs = {"small": 0.93, "wide": 0.932}, {"small": 60_000, "wide": 270_000}
    text = sentences.choice(selection.choose(values, costs, rows=6000), "accuracy")
    for fact in ("small", "0.9300", "0.9320 of wide", "0.0033", "6,000 rows", "22 %", "60,000", "270,000"):
        assert fact in text
    text = sentences.choice(selection.choose(values, costs, tolerance=0.001), "accuracy", "fit_s")
    for fact in ("wide", "0.9320", "training time", "270,000 s", "small with 0.9300"):
        assert fact in text


def test_a_payoff_is_said_with_both_means():
    table = pd.DataFrame({"settings": ["default", "tuned"] * 2, "seed": [0, 0, 1, 1], "rmse": [0.92, 0.9, 0.94, 0.919]})
    text = sentences.payoff(selection.payoff_summary(table, {"rmse": "lower"}), 2)
    assert "0.9095" in text
    assert "0.9300" in text
    same = table.assign(rmse=[0.92, 0.92, 0.94, 0.94])
    assert "0.9300" in sentences.payoff(selection.payoff_summary(same, {"rmse": "lower"}), 2)
