import numpy as np
import pytest
from sklearn import metrics

from kmodels.errors import DataError
from kmodels.report import rates


@pytest.fixture
def three():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 400)
    score = rng.random((400, 3)) + np.eye(3)[true] * np.array([0.2, 0.5, 0.9])
    return true, score / score.sum(axis=1, keepdims=True), ["low", "medium", "high"]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_class_against_the_rest_with_scikit_learns_areas(three):
    true, share, labels = three
    areas = {label: metrics.roc_auc_score(true == at, share[:, at]) for at, label in enumerate(labels)}
    order = sorted(areas, key=areas.get, reverse=True)
    assert legend(rates.roc_curves(*three)) == [f"{label}  {areas[label]:.3f}" for label in order]
    areas = {label: metrics.average_precision_score(true == at, share[:, at]) for at, label in enumerate(labels)}
    order = sorted(areas, key=areas.get, reverse=True)
    assert legend(rates.precision_recall(*three)) == [f"{label}  {areas[label]:.3f}" for label in order]


def test_of_two_classes_one_curve_is_drawn_and_what_guessing_reaches():
    true, share = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.4, 0.8, 0.9])
    both = np.c_[1 - share, share]
    (axes,) = rates.roc_curves(true, both, ["loss", "profit"]).axes
    wrong, found, _ = metrics.roc_curve(true, share)
    curve = axes.lines[-1]
    np.testing.assert_allclose(curve.get_xdata(), wrong)
    np.testing.assert_allclose(curve.get_ydata(), found)
    figure = rates.precision_recall(true, both, ["loss", "profit"])
    assert "dashed: guessing, 0.600" in [text.get_text() for text in figure.axes[0].texts]
    assert len(legend(figure)) == 1


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(1)
    true, share = rng.integers(0, 2, 30_000), rng.random(30_000)
    (axes,) = rates.roc_curves(true, np.c_[1 - share, share], ["a", "b"]).axes
    x = axes.lines[-1].get_xdata()
    assert len(x) <= 2000
    assert (x[0], x[-1]) == (0, 1)


def test_a_class_without_rows_has_no_curve_and_many_classes_share_a_legend():
    rng = np.random.default_rng(2)
    share = rng.dirichlet(np.ones(4), 50)
    assert len(legend(rates.roc_curves(rng.integers(0, 3, 50), share, list("abcd")))) == 3
    share = rng.dirichlet(np.ones(30), 900)
    (words,) = legend(rates.roc_curves(rng.integers(0, 30, 900), share, [f"c{at}" for at in range(30)]))
    assert words.startswith("30 classes, best 0.")


@pytest.mark.parametrize(
    ("true", "share", "complaint"),
    [
        ([0, 1], [[0.5, 0.5]], "wrong shape"),
        ([0, 1], [0.5, 0.5], "wrong shape"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "row 2, column 'probability': not finite"),
        ([1, 1], [[0.5, 0.5], [0.4, 0.6]], "rows of the class and of another"),
    ],
)
def test_what_has_no_curve_is_refused(true, share, complaint):
    for draw in (rates.roc_curves, rates.precision_recall):
        with pytest.raises(DataError, match=complaint):
            draw(true, share, ["a", "b"])
