"""Films divided into folds, by time and not at all: each where it belongs, and inputs fitted where they may be."""

import numpy as np
import pandas as pd
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines.films import Films

INPUTS = ["budget", "runtime", "genres", "director"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = 300
    dates = pd.Series(pd.date_range("1980-01-01", periods=rows, freq="30D")).astype("datetime64[s]")
    return pd.DataFrame(
        {
            "budget": 10 ** rng.uniform(5, 8, rows),
            "runtime": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(110, 20, rows)),
            "genres": pd.Series([("Drama",), ("Drama", "War"), ()] * (rows // 3), dtype=object),
            "director": rng.choice(["", "Ada", "Bo", "Cy"], rows),
            # In an order of its own, and now and then missing.
            "release_date": dates.iloc[rng.permutation(rows)].reset_index(drop=True).where(rng.random(rows) > 0.1),
        }
    )


@pytest.fixture(scope="module")
def target():
    return (np.random.default_rng(1).random(300) < 0.7).astype(np.int32)


@pytest.fixture(scope="module")
def films(table, target):
    return Films.of(table, target, INPUTS, folds=3, seed=4)


def test_every_film_is_tested_once(films):
    tests = np.concatenate([each.split.test for each in films.folds.values()])
    assert np.sort(tests).tolist() == list(range(300))
    assert films.summary()["split"] == {"train": 170, "validation": 30, "test": 100}
    assert sum(films.summary()["class_counts"].values()) == 300
    assert [len(part) for part in films.final.split] == [270, 30, 0]
    assert list(films.final.judged()) == ["validation"]


def test_by_time_the_test_films_are_the_newest(films, table):
    split, dates = films.timed["by_time"].split, table["release_date"]
    dated = int(dates.notna().sum())
    assert len(split.test) == dated - dated * 8 // 10
    assert dates[split.train].max() <= dates[split.validation].min() <= dates[split.validation].max()
    assert dates[split.validation].max() <= dates[split.test].min()
    assert films.period["without_date"] == 300 - dated
    assert films.period["test_from"] == str(dates[split.test].min().date())


def test_inputs_are_fitted_on_each_training_part(films, table):
    for division in (*films.folds.values(), *films.timed.values(), films.final):
        budget = table["budget"].to_numpy()[division.split.train]
        assert division.encoded.encoders["numbers"].mean[0] == pytest.approx(budget.mean(), rel=1e-5)
        numbers = division.encoded.arrays["numbers"][division.split.train]
        np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-4)


def test_unscaled_is_the_first_fold_in_units_of_currency(films, table):
    assert np.array_equal(films.unscaled.split.test, films.folds["fold_1"].split.test)
    assert films.unscaled.encoded.arrays["numbers"][:, 0] == pytest.approx(table["budget"], rel=1e-5)


def test_batches_hold_their_part(films, target):
    division = films.folds["fold_2"]
    (inputs, truth), *others = (division.batches("test", batch_size=100)[i] for i in range(1))
    assert not others
    assert truth.tolist() == target[division.split.test].tolist() == division.truth("test").tolist()
    assert set(inputs) == {feature.name for feature in division.encoded.features}
    train = division.training(batch_size=32, seed=0)
    assert len(train) == 170 // 32
    assert not np.array_equal(train[0][1], division.truth("train")[:32])


def test_what_is_said_of_all_judged_films_is_taken_apart(films, target):
    division = films.folds["fold_1"]
    _, truth = division.all_judged()[0]
    parts = division.by_part(truth)
    assert {part: values.tolist() for part, values in parts.items()} == {
        part: target[rows].tolist() for part, rows in division.judged().items()
    }
    assert list(films.final.by_part(films.final.all_judged()[0][1])) == ["validation"]


def test_baselines_know_no_more_than_the_training_films(films, target):
    found = films.baselines(seed=0)
    assert list(found) == ["majority", "logistic_regression", "gradient_boosting"]
    share = found["majority"]["fold_1"]["test"][0, 1]
    assert share == pytest.approx(target[films.folds["fold_1"].split.train].mean())
    pooled = films.out_of_fold(found["logistic_regression"])
    fold = films.folds["fold_3"].split.test
    assert np.array_equal(pooled[fold], found["logistic_regression"]["fold_3"]["test"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table.drop(columns="release_date"), "there are no release dates"),
        (lambda table: table.assign(release_date=pd.NaT), "there are no release dates"),
        (
            lambda table: table.assign(release_date=table["release_date"].where(table.index < 2)),
            "no film is left for the",
        ),
    ],
)
def test_without_dates_there_is_no_split_by_time(table, target, change, reason):
    films = Films.of(change(table), target, INPUTS, folds=2)
    assert films.timed == {}
    assert films.scaled() == films.folds
    assert reason in films.period["left_out"]


def test_one_class_in_the_newest_films_is_no_test(table, target):
    newest = (table["release_date"].rank(ascending=False) < 80).to_numpy()
    films = Films.of(table, np.where(newest, 0, target).astype(np.int32), INPUTS, folds=2)
    assert films.timed == {}
    assert "class 'profit' has no row in the" in films.period["left_out"]


def test_what_cannot_be_divided(table, target):
    with pytest.raises(ConfigurationError, match="folds must be 2 or more"):
        Films.of(table, target, INPUTS, folds=1)
    with pytest.raises(DataError, match="too few rows for the folds"):
        Films.of(table[:3], target[:3], INPUTS, folds=5)
