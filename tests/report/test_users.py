import numpy as np
import pytest

from kmodels.errors import DataError
from kmodels.report import users


def texts(axes):
    return " | ".join(text.get_text() for text in axes.texts)


def test_per_user_ranking_leaves_out_users_without_a_value_in_both():
    model, other = [0.9, 0.5, np.nan, 0.8], [0.7, 0.6, 0.5, 0.8]
    figure = users.per_user_ranking(model, other, [3, 9, 4, 30], baseline="biases")
    upper, paired, _ = figure.axes
    assert "3 users" in upper.get_title(loc="left")
    assert "model, mean 0.7333 | biases, mean 0.7000" in texts(upper)
    np.testing.assert_allclose(upper.lines[1].get_ydata(), [0.5, 0.8, 0.9])
    assert "worse off\n33 % of users | better off\n33 % of users" in texts(paired)
    assert sum(bar.get_height() for bar in paired.patches) == pytest.approx(100)


def test_per_user_ranking_groups_users_by_the_length_of_their_list():
    items = np.repeat([2, 5, 10, 20, 40], 10)
    model = items / 100
    figure = users.per_user_ranking(model, model - 0.01, items)
    axes = figure.axes[2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "5", "10", "20", "40"]
    drawn = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(drawn, [0.02, 0.05, 0.1, 0.2, 0.4])


def test_per_user_ranking_refuses_other_lengths_and_no_users():
    with pytest.raises(DataError, match="n_items_per_user"):
        users.per_user_ranking([0.5, 0.6], [0.5, 0.6], [3])
    with pytest.raises(DataError, match="baseline_per_user"):
        users.per_user_ranking([0.5, 0.6], [0.5], [3, 4])
    with pytest.raises(DataError, match="wrong shape"):
        users.per_user_ranking([np.nan], [0.5], [3])
