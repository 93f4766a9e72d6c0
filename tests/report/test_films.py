"""The pictures of a table of films: bands, missing values, and which films make a profit."""

import numpy as np
import pandas as pd
import pytest

from kmodels.report import films


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    budget = 10 ** rng.uniform(5.5, 8.3, 200)
    dates = pd.to_datetime(pd.Series(rng.integers(1970, 2010, 200)).astype(str) + "-06-01").astype("datetime64[s]")
    return pd.DataFrame(
        {
            "budget": budget,
            "revenue": budget * rng.lognormal(0.4, 1.0, 200),
            "runtime": np.where(rng.random(200) < 0.1, np.nan, rng.normal(110, 20, 200)),
            "genres": pd.Series([("Drama", "War"), ("Horror",), (), ("Drama",)] * 50, dtype=object),
            "release_date": dates.where(rng.random(200) > 0.1),
        }
    )


def test_bands_hold_a_fifth_each_and_gaps_stay_gaps(table):
    labels = films.columns(table)
    assert list(labels) == ["budget", "runtime (minutes)", "decade"]
    assert labels["budget"].value_counts().tolist() == [40] * 5
    assert labels["runtime (minutes)"].isna().sum() == table["runtime"].isna().sum()
    assert labels["decade"].dropna().astype(str).str.fullmatch(r"(19[789]|200)0s").all()


def test_bands_of_close_values_keep_different_names():
    table = pd.DataFrame({"budget": 1e6 + np.arange(100.0)})
    assert films.columns(table)["budget"].nunique() == 5


def test_a_constant_column_is_not_cut():
    assert films.columns(pd.DataFrame({"budget": [5.0] * 10})).empty


def test_shares_are_percentages_of_profitable_films(table):
    made = (table["revenue"] > table["budget"]).to_numpy().astype(int)
    figure = films.profit_shares(films.columns(table)[["budget"]], made)
    first = made[films.columns(table)["budget"].cat.codes == 0].mean()
    assert figure.axes[0].lines[-1].get_ydata()[0] == pytest.approx(100 * first)
    assert figure.axes[0].get_ylabel() == "profit (%)"


def test_the_section_has_what_the_table_has(table, tmp_path):
    (tmp_path / "plots").mkdir()
    made = (table["revenue"] > table["budget"]).to_numpy().astype(int)
    films.section(tmp_path, table.iloc[::2], made[::2])
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {"budgets", "profit_by_column", "profit_by_genre"}
    for path in (tmp_path / "plots").iterdir():
        path.unlink()
    films.section(tmp_path, table[["budget", "revenue"]].assign(budget=5.0), made)
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {"budgets"}
