"""Whether a search paid: told from luck as a paired t-test does, and said whichever way it went."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kmodels.errors import DataError
from kmodels.report import payoff, search

DEFAULT = np.array([0.921, 0.930, 0.925, 0.934])


def runs(tuned, metric="rmse", **more):
    """Four seeds of both settings."""
    table = pd.DataFrame({"settings": ["default"] * 4 + ["tuned"] * 4, "seed": [0, 1, 2, 3] * 2})
    return table.assign(**{metric: np.concatenate([DEFAULT, np.asarray(tuned, float)]), **more})


def verdict_of(gap, metric="rmse"):
    return payoff.verdict(runs(DEFAULT + gap, metric)).split(":")[0]


STEADY, LOOSE = np.array([0.010, 0.012, 0.009, 0.011]), np.array([0.03, -0.02, 0.01, -0.008])


@pytest.mark.parametrize(
    ("gap", "metric", "expected"),
    [
        (-STEADY, "rmse", "The search paid"),
        (STEADY, "rmse", "The search did harm"),
        (LOOSE, "rmse", "The search brought nothing beyond luck"),
        (0 * STEADY, "rmse", "The search found nothing better than the default settings, its first trial"),
        (STEADY, "accuracy", "The search paid"),
        (-STEADY, "accuracy", "The search did harm"),
    ],
)
def test_the_verdict_goes_by_the_paired_interval_and_the_better_direction(gap, metric, expected):
    assert verdict_of(gap, metric) == expected
    if gap.any():
        assert (stats.ttest_1samp(gap, 0).pvalue < 0.05) == ("luck" not in expected)


def test_the_sentence_holds_both_means():
    assert (
        "over the same 4 seeds, the RMSE on test rows is 0.9170 with the tuned settings and 0.9275"
        in payoff.verdict(runs(DEFAULT - STEADY))
    )


def test_one_seed_says_nothing_about_luck():
    one = runs(DEFAULT - STEADY).query("seed == 0")
    assert "cannot be said from one seed" in payoff.verdict(one)
    assert "±" not in payoff.comparison(one).split("<table")[1]


def test_the_table_has_a_row_for_each_metric_that_compares(parse):
    table = runs(DEFAULT - STEADY, validation_rmse=[0.9] * 4 + [0.8] * 4, novelty=1.0, mae=[np.nan] + [0.7] * 7)
    heading, first, second = parse(f"<main>{payoff.comparison(table)}</main>").tables[0]["rows"]
    low, high = stats.ttest_1samp(-STEADY, 0).confidence_interval(0.95)
    assert heading[1:] == ["default settings", "tuned settings", "difference", "95 % interval", "tuned is better in"]
    std = DEFAULT.std(ddof=1)
    assert first[:2] == ["RMSE", f"{DEFAULT.mean():.4f} ± {std:.4f}"]
    assert first[3:] == ["-0.0105", f"{low:.4f} to {high:.4f}", "4 of 4"]
    assert second[0] == "RMSE, validation"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (runs(DEFAULT).drop(columns="seed"), "not the payoff of a search"),
        (runs(DEFAULT).query("settings == 'tuned'"), "not the payoff of a search"),
        (pd.concat([runs(DEFAULT)] * 2), "not the payoff of a search"),
        (runs(DEFAULT).iloc[:-1], "finite value in every repeat"),
        (runs(DEFAULT, "novelty"), "known better direction"),
    ],
)
def test_another_table_is_refused(table, message):
    with pytest.raises(DataError, match=message):
        payoff.verdict(table)


def test_the_section_opens_with_the_verdict_and_the_record_holds_the_runs(tmp_path):
    (tmp_path / "plots").mkdir()
    trials = pd.DataFrame({"trial": [1, 2, 3], "status": ["completed", "failed", "completed"], "reason": ""})
    trials = trials.assign(
        val_rmse=[0.9, np.nan, 0.8], epoch=1.0, epochs=2.0, seconds=[1.5, np.nan, 2.5], dim=[4, 8, 16]
    )
    paid = runs(DEFAULT - STEADY)
    section = search.draw(tmp_path, trials, ["dim"], "val_rmse", payoff=paid)
    assert section.body.index("The search paid") < section.body.index("The best trials")
    found = search.summary(trials, ["dim"], "val_rmse", algorithm="random", payoff=paid)
    assert found["best"] == {"trial": 3, "val_rmse": 0.8, "dim": 16}
    assert (found["algorithm"], found["trials"], found["completed"], found["seconds"]) == ("random", 3, 2, 4.0)
    assert found["payoff"] == paid.to_dict("records")
    assert found["verdict"] == payoff.verdict(paid)
    largest = search.summary(trials, ["dim"], "val_rmse", algorithm="random", direction="max")
    assert largest["best"]["trial"] == 1
    assert "payoff" not in largest
