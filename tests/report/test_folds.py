"""Models compared fold by fold: the figures, what is luck, and who is chosen."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kmodels.report import folds

GAINS = (0.020, 0.025, 0.015, 0.030, 0.022)


def fold(roc_auc):
    figures = {**dict.fromkeys(folds.METRICS, 0.5), "roc_auc": roc_auc}
    decided = {"threshold": 0.6, "accuracy": 0.7, "balanced_accuracy": 0.65, "macro_f1": 0.6}
    return {"test": figures, "validation": figures, "at_threshold": decided}


@pytest.fixture
def record():
    """A net ahead of boosting in each of five folds, whose own AUC differs by far more from fold to fold."""
    base = np.array([0.70, 0.80, 0.75, 0.72, 0.78])
    auc = {"net": base + GAINS, "wide": base + 0.0221, "boosting": base, "majority": np.full(5, 0.5)}
    timing = {"fit_s": 2.0, "epochs": 4}
    return {
        "variants": {
            name: {"model": {"name": name, "parameters": size}, "timing": timing, "test": {"roc_auc": auc[name].mean()}}
            for name, size in (("net", 100), ("wide", 9000))
        },
        "baselines": {name: {"roc_auc": auc[name].mean()} for name in ("boosting", "majority")},
        "folds": {name: [fold(value) for value in values] for name, values in auc.items()},
        "best": "net",
        "data": {"split": {"train": 700, "validation": 100, "test": 200}},
    }


def test_figures_are_means_with_their_spread(record):
    table = folds.figures(record)
    assert list(table.index) == ["net", "wide", "boosting", "majority"]
    own = [each["test"]["roc_auc"] for each in record["folds"]["boosting"]]
    assert table.loc["boosting", "ROC AUC"] == f"{np.mean(own):.4f} ± {np.std(own, ddof=1):.4f}"
    assert folds.figures(record, ["majority"]).shape == (1, len(folds.METRICS))


def test_a_small_gain_in_every_fold_is_more_than_luck(record):
    row = folds.beside(record).loc["boosting"]
    error = np.std(GAINS, ddof=1) * np.sqrt(1 / 5 + 200 / 700)  # Nadeau and Bengio's
    reach = stats.t.ppf(0.975, 4) * error
    assert row["difference"] == pytest.approx(-np.mean(GAINS))
    assert (row["low"], row["high"]) == pytest.approx((-np.mean(GAINS) - reach, -np.mean(GAINS) + reach))
    assert row["beyond_luck"]
    sentence = folds.verdict(record)
    assert "net is ahead of the best baseline, boosting, by +0.022" in sentence
    assert sentence.endswith("more than luck.")


def test_the_same_gain_in_one_fold_alone_may_be_luck(record):
    for place, each in enumerate(record["folds"]["net"]):
        each["test"]["roc_auc"] = record["folds"]["boosting"][place]["test"]["roc_auc"] + (0.11 if place == 0 else 0.0)
    assert not folds.beside(record).loc["boosting", "beyond_luck"]
    assert folds.verdict(record).endswith("may be luck.")


def test_who_is_behind_is_said_to_be_behind(record):
    for each in record["folds"]["net"]:
        each["test"]["roc_auc"] -= 0.1
    assert "net is behind the best baseline, boosting, by −0.078" in folds.verdict(record)


def test_the_smaller_of_equals_is_chosen(record):
    assert folds.chosen(record)[0] == "net"
    for place, each in enumerate(record["folds"]["wide"]):
        each["validation"]["roc_auc"] = 0.9 + 0.001 * place
    name, why = folds.chosen(record)
    assert name == "wide"
    assert "ROC AUC of 0.9020" in why


def test_the_section_draws_its_pictures(record, tmp_path, parse):
    (tmp_path / "plots").mkdir()
    section = folds.section(tmp_path, record, floors={"Bayes": 0.8})
    drawn = {path.stem for path in (tmp_path / "plots").glob("*.png")}
    assert drawn == {"variants", "differences", "pareto", "time_and_size"}
    page = parse(section.body)
    assert "more than luck" in page.words()
    assert len(page.table("ROC AUC beside that of net")) == 5


def test_intervals_are_drawn_with_their_colours(record):
    figure = folds.differences(folds.beside(record), "ROC AUC")
    names = [text.get_text().split("  ")[0] for text in figure.axes[0].texts]
    assert names == ["wide", "boosting", "majority"]
    colours = [bar.lines[0].get_color() for bar in figure.axes[0].containers]
    assert colours[0] != colours[1] == colours[2]


def test_histories_are_averaged_and_written(tmp_path):
    each = [pd.DataFrame({"epoch": [1, 2], "loss": [loss, loss / 2]}) for loss in (2.0, 4.0)]
    splits = {"fold_1": each[0], "fold_2": each[1], "by_time": 9 * each[0]}
    assert folds.mean_history(splits).to_dict("list") == {"epoch": [1, 2], "loss": [3.0, 1.5]}
    folds.write_history(tmp_path, {"net": {"fold_1": each[0], "fold_2": each[1]}})
    written = pd.read_csv(tmp_path / "history.csv")
    assert written.columns.tolist() == ["variant", "split", "epoch", "loss"]
    assert written["split"].tolist() == ["fold_1"] * 2 + ["fold_2"] * 2
