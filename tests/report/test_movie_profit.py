"""The parts of the page about films: what is measured, the warnings, and the sections that need not be there."""

import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.report import movie_profit
from kmodels.report.folds import METRICS


def judgement(value):
    figures = dict.fromkeys((*METRICS, "macro_f1"), value)
    decided = {"threshold": 0.7, "accuracy": value - 0.05, "balanced_accuracy": value + 0.1, "macro_f1": value}
    return {"validation": figures, "test": figures, "at_threshold": decided}


@pytest.fixture
def history():
    epochs = {"epoch": [1, 2], "seconds": [3.0, 1.0]}
    curves = {name: [0.6, 0.5] for name in ("loss", "accuracy", "log_loss", "val_loss", "val_accuracy", "val_log_loss")}
    return pd.DataFrame({**epochs, **curves})


@pytest.fixture
def measured(history):
    judged = {
        who: {"fold_1": judgement(value), "fold_2": judgement(value + 0.02), "by_time": judgement(value - 0.1)}
        for who, value in {"net": 0.8, "flat": 0.72, "majority": 0.5}.items()
    }
    unsure = np.tile([[0.3, 0.7], [0.7, 0.3]], (50, 1))
    pooled = {"net": unsure, "flat": np.tile([0.3, 0.7], (100, 1))}
    histories = {net: {"fold_1": history, "fold_2": history, "by_time": 10 * history} for net in pooled}
    return movie_profit.measured(judged, pooled, histories, {"net": 100, "flat": 9000}, {"load_s": 0.1}, rows=70)


@pytest.fixture
def record(measured, history):
    histories = {"net": {"fold_1": history}, "unscaled": {"fold_1": history.assign(log_loss=[900.0, 5.0])}}
    pair = {"net": {"fold_1": judgement(0.8)}, "unscaled": {"fold_1": judgement(0.5)}}
    return {
        **measured,
        "unscaled": movie_profit.flaw("net", pair, histories, np.tile([0.2, 0.8], (20, 1))),
        "by_time": {**measured["by_time"], "train_until": "2004-05-06", "test_from": "2009-01-02", "without_date": 3},
        "data": {"split": {"train": 70, "validation": 10, "test": 20}},
    }


def test_measured_takes_means_over_the_folds_alone(measured):
    assert measured["variants"]["net"]["test"]["roc_auc"] == pytest.approx(0.81)
    assert measured["baselines"]["majority"]["accuracy"] == pytest.approx(0.51)
    assert measured["by_time"]["test"]["net"]["roc_auc"] == pytest.approx(0.7)
    assert measured["best"] == "net"
    assert measured["choice"].startswith("net was chosen")
    assert [len(each) for each in measured["folds"].values()] == [2, 2, 2]
    timing = measured["variants"]["net"]["timing"]
    assert (timing["fit_s"], timing["epochs"], timing["samples_per_s"]) == (4.0, 2, 35.0)


def test_a_net_that_says_the_same_of_every_film_is_told_of(measured, record):
    sentence = "flat predicts 'profit' for 100.0 % of the rows: it has learned nothing."
    assert measured["variants"]["flat"]["warnings"] == [sentence]
    assert measured["variants"]["net"]["warnings"] == []
    assert f"warning: {sentence}" in movie_profit.text(record)


def test_late_columns_are_warned_of():
    assert movie_profit.late_columns(["budget", "runtime"]) is None
    assert movie_profit.late_columns(["budget", "rating", "votes"]).startswith("rating and votes are known only after")


def test_what_scaling_is_worth(record, tmp_path, parse):
    words = movie_profit.flaw_words(record)
    assert "Accuracy 0.5000 instead of 0.8000" in words
    assert words.endswith("net on unscaled inputs predicts 'profit' for 100.0 % of the rows: it has learned nothing.")
    (tmp_path / "plots").mkdir()
    both = {how: pd.DataFrame({"epoch": [1], "accuracy": [0.5], "log_loss": [0.5]}) for how in ("scaled", "unscaled")}
    page = parse(movie_profit.unscaled(tmp_path, record, both).body)
    rows = {row[0]: row for row in page.table("Test films of the first fold")}
    assert rows["net, unscaled"][-1] == "900.00"
    assert rows["majority"][-1] == "–"
    assert page.words().count("it has learned nothing") == 1


def test_the_threshold_stands_beside_one_half(record, parse):
    (table,) = parse(movie_profit.thresholds(record).body).tables
    head, net = table["rows"][0], table["rows"][1]
    shown = dict(zip(head[1:], net[1:], strict=True))
    assert shown["threshold"] == "0.7000 ± 0.0000"
    assert (shown["Balanced accuracy at 0.5"], shown["Balanced accuracy at the threshold"]) == ("0.8100", "0.9100")


def test_the_split_by_time_stands_beside_the_random_one(record, parse):
    page = parse(movie_profit.by_time(record).body)
    assert "until 2004-05-06, tested on those from 2009-01-02 on (3 films without a date left out)" in page.words()
    assert page.tables[0]["rows"][1][:3] == ["net", "0.8100 ± 0.0141", "0.7000"]
    assert "ROC AUC by time" in movie_profit.text(record)


def test_without_dates_the_reason_is_given(record, parse):
    record["by_time"] = {"test": {}, "left_out": "there are no release dates"}
    assert "no split by time: there are no release dates" in parse(movie_profit.by_time(record).body).words()
    said = movie_profit.text(record)
    assert "There is no split by time: there are no release dates" in said
    assert "ROC AUC by time" not in said


def test_each_net_has_its_own_curves(history, tmp_path):
    (tmp_path / "plots").mkdir()
    body = movie_profit.nets(tmp_path, {"net": history, "flat": history}).body
    assert body.count("data:image/png;base64,") == 4
    with pytest.raises(DataError, match="log_loss"):
        movie_profit.nets(tmp_path, {"net": history.drop(columns="log_loss")})
