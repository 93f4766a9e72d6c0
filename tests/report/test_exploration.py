"""The pictures of a table: what is drawn is what the table holds."""

import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.report import exploration


@pytest.fixture
def table():
    ages = pd.Categorical(["18-25", "55+", "18-25", None], ["0-17", "18-25", "55+"], ordered=True)
    return pd.DataFrame({"age": ages, "city": pd.Categorical(["B", "A", "B", "B"])})


def ticks(axes):
    return [text.get_text() for text in axes.get_xticklabels()]


def test_shares_keep_the_order_and_show_what_is_missing(table):
    age, city = exploration.shares(table).axes
    assert ticks(age) == ["0-17", "18-25", "55+", "none"]
    assert [bar.get_height() for bar in age.patches] == [0, 50, 25, 25]
    assert ticks(city) == ["A", "B"]
    assert [bar.get_height() for bar in city.patches] == [25, 75]


def test_means_are_those_of_pandas(table):
    amount = np.array([1.0, 5.0, 3.0, 10.0])
    age, city = exploration.mean_by(table, amount).axes
    assert city.lines[-1].get_ydata().tolist() == [5.0, 14 / 3]
    drawn = dict(zip(ticks(age), age.lines[-1].get_ydata(), strict=True))
    assert np.isnan(drawn.pop("0-17"))
    assert drawn == {"18-25": 2.0, "55+": 5.0, "none": 10.0}
    assert age.get_ylim() == city.get_ylim()


def test_rare_values_of_a_long_column_stand_together():
    column = pd.Series([*range(40), *range(23)], dtype="category")
    (axes,) = exploration.shares(column.to_frame("code")).axes
    names = ticks(axes)
    assert len(names) == 25
    assert names[-1] == "others"
    assert axes.patches[-1].get_height() == pytest.approx(100 * 16 / 63)


def test_the_histogram_holds_every_row_and_marks_the_edges():
    amount = np.r_[np.linspace(0, 20_000, 999), 1e9]
    (axes,) = exploration.amount_histogram(amount, "amount", edges=[5000, 10_000]).axes
    assert sum(bar.get_height() for bar in axes.patches) == 1000
    assert [line.get_xdata()[0] for line in axes.lines] == [5000, 10_000]


def test_all_pictures_are_written(table, tmp_path):
    (tmp_path / "plots").mkdir()
    pictures = exploration.draw(tmp_path, table, [1.0, 2.0, 3.0, 4.0], label="amount (EUR)")
    assert [picture.path.stem for picture in pictures] == ["amounts", "columns", "amount_by_column"]
    assert all(picture.path.stat().st_size > 0 for picture in pictures)
    assert len(exploration.draw(tmp_path, table[[]], [1.0, 2.0, 3.0, 4.0])) == 1


def test_what_cannot_be_drawn_is_refused(table):
    with pytest.raises(DataError, match="nothing to draw"):
        exploration.shares(table[[]])
    with pytest.raises(DataError, match="differ in length"):
        exploration.mean_by(table, [1.0, 2.0])
    with pytest.raises(DataError, match="not finite"):
        exploration.amount_histogram([np.nan], "amount")
