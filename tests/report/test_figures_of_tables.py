"""Figures of columns, vectors, pictures and trials: what is drawn is what the table holds."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from kmodels.errors import DataError
from kmodels.report import figures, style

from .test_figures import LABELS, PARAMETERS, RNG, SHARE, TRIALS, TRUE, VECTORS, dots, legend, texts

PREDICTED = SHARE.argmax(axis=1)
AGES = pd.Categorical(["18-25", "55+", "18-25", None], ["0-17", "18-25", "55+"], ordered=True)
TABLE = pd.DataFrame({"age": AGES, "city": pd.Categorical(["B", "A", "B", "B"])})


def ticks(axes):
    return [text.get_text() for text in axes.get_xticklabels()]


def points(figure):
    return np.concatenate([drawn.get_offsets() for drawn in figure.axes[0].collections])


def test_shares_keep_the_order_and_have_what_is_missing():
    age, city = figures.category_shares(TABLE).axes
    assert ticks(age) == ["0-17", "18-25", "55+", "none"]
    assert [bar.get_height() for bar in age.patches] == [0, 50, 25, 25]
    assert [bar.get_height() for bar in city.patches] == [25, 75]
    column = pd.Series([*range(40), *range(23)], dtype="category")
    (axes,) = figures.category_shares(column.to_frame("code")).axes
    assert len(ticks(axes)) == 25
    assert ticks(axes)[-1] == "others"
    assert axes.patches[-1].get_height() == pytest.approx(100 * 16 / 63)
    with pytest.raises(DataError, match="nothing to draw"):
        figures.category_shares(TABLE[[]])


def test_means_are_those_of_pandas():
    age, city = figures.mean_by_category(TABLE, [1.0, 5.0, 3.0, 10.0], "paid").axes
    assert city.lines[-1].get_ydata().tolist() == [5.0, 14 / 3]
    drawn = dict(zip(ticks(age), age.lines[-1].get_ydata(), strict=True))
    assert np.isnan(drawn.pop("0-17"))
    assert drawn == {"18-25": 2.0, "55+": 5.0, "none": 10.0}
    assert age.get_ylim() == city.get_ylim()
    assert age.get_ylabel() == "paid"
    with pytest.raises(DataError, match="differ in length"):
        figures.mean_by_category(TABLE, [1.0, 2.0])


def test_bands_hold_as_many_rows_each_and_bear_names_of_their_own():
    values = pd.Series(RNG.permutation(1000) + 1_000_000.0)
    cut = figures.bands(values)
    assert cut.value_counts().tolist() == [200] * 5
    assert cut.cat.categories.is_unique
    assert figures.bands(pd.Series([1.0, np.nan, 2.0, 3.0]), 2).isna().tolist() == [False, True, False, False]


def test_the_histogram_holds_every_row_and_marks_the_edges():
    values = np.r_[np.linspace(0, 20_000, 999), 1e9]
    (axes,) = figures.histogram(values, "amount", edges=[5000, 10_000]).axes
    assert sum(bar.get_height() for bar in axes.patches) == 1000
    assert [line.get_xdata()[0] for line in axes.lines] == [5000, 10_000]
    stack = figures.histogram(pd.DataFrame({"a": [1.0, 2.0, 2.0], "b": [0.0, np.nan, 1.0]})).axes
    assert [sum(bar.get_height() for bar in axes.patches) for axes in stack] == [3, 2]
    with pytest.raises(DataError, match="not finite"):
        figures.histogram([np.nan])


def test_correlations_are_pandas_rank_correlations():
    table = pd.DataFrame({"x": RNG.random(50), "name": "a", "constant": 1.0}).assign(y=lambda rows: rows["x"] ** 3)
    (axes,) = figures.correlations(table).axes
    np.testing.assert_allclose(
        axes.images[0].get_array().filled(np.nan), table.select_dtypes("number").rank().corr(), atol=1e-12
    )
    assert len(texts(axes)) == 4  # those of the constant column are left empty


def test_a_map_of_points_has_each_group_in_its_colour():
    table = pd.DataFrame({"cost": [1.0, 10.0, 100.0], "gain": [2.0, 5.0, 300.0]})
    figure = figures.scatter_map(table, ["yes", "no", "yes"], log=True, diagonal=True)
    drawn = {each.get_label(): each.get_offsets().tolist() for each in figure.axes[0].collections}
    assert drawn == {"no": [[10.0, 5.0]], "yes": [[1.0, 2.0], [100.0, 300.0]]}
    assert figure.axes[0].get_xscale() == "log"
    figure = figures.scatter_map(table.assign(gain=60.0), degrees=True)
    assert figure.axes[0].get_aspect() == pytest.approx(2.0)
    with pytest.raises(DataError, match="not points"):
        figures.scatter_map(table, ["yes"])


def test_the_plane_of_vectors_is_that_of_scikit_learns_pca_of_the_directions():
    figure = figures.vectors_map(VECTORS, np.arange(60.0), "age")
    units = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    pca = PCA(2).fit(units)
    np.testing.assert_allclose(np.abs(points(figure)), np.abs(pca.transform(units)), atol=1e-9)
    share = 100 * pca.explained_variance_ratio_
    assert figure.axes[0].get_xlabel() == f"first direction ({share[0]:.0f} % of the variance)"
    labels = np.array(["F", "M", "M"] * 20)
    drawn = {each.get_label(): each for each in figures.vectors_map(VECTORS, labels, "gender").axes[0].collections}
    assert {name: len(each.get_offsets()) for name, each in drawn.items()} == {"F": 20, "M": 40}
    assert [to_hex(each.get_facecolor()[0]).upper() for each in drawn.values()] == list(style.PALETTE[:2])
    labels = np.repeat([f"job {i}" for i in range(10)], [20, 10, 8, 6, 5, 4, 3, 2, 1, 1])
    assert legend(figures.vectors_map(VECTORS, labels, "job")) == [*(f"job {i}" for i in range(7)), "other"]
    figure = figures.vectors_map(RNG.normal(size=(50_000, 2)), np.zeros(50_000), "none")
    assert len(points(figure)) == 20_000
    for vectors, message in ((VECTORS[:, :1], "wrong shape"), (np.where(np.eye(60, 5) > 0, np.nan, VECTORS), "row 1")):
        with pytest.raises(DataError, match=message):
            figures.vectors_map(vectors, np.zeros(60), "x")


def test_a_confusion_matrix_is_scikit_learns_shaded_by_the_share_of_the_true_class():
    figure = figures.confusion_matrix(confusion_matrix(TRUE, PREDICTED), LABELS)
    (axes,) = figure.axes
    display = ConfusionMatrixDisplay.from_predictions(TRUE, PREDICTED, normalize="true", ax=style.panels(3.0)[1][0])
    np.testing.assert_allclose(axes.images[0].get_array(), display.confusion_matrix)
    counts = [int(text.split("\n")[0]) for text in texts(axes)]
    np.testing.assert_array_equal(np.reshape(counts, (3, 3)), confusion_matrix(TRUE, PREDICTED))
    assert axes.get_title(loc="left") == f"Confusion: {100 * np.mean(TRUE == PREDICTED):.1f} % right"
    assert [label.get_text() for label in axes.get_yticklabels()] == LABELS
    figure = figures.confusion_matrix(np.eye(60, dtype=int), [f"class {at}" for at in range(60)])
    assert len(figure.axes[0].texts) == 0
    assert len(figure.axes[0].get_xticklabels()) == 30
    for matrix in ([[1, 2]], np.zeros((3, 3)), np.ones((2, 2)), 5):
        with pytest.raises(DataError, match="not a confusion matrix"):
            figures.confusion_matrix(matrix, LABELS)


def test_the_hardest_pictures_come_first_and_mistakes_in_colour():
    pictures = np.arange(4, dtype="uint8")[:, None, None] * np.ones((1, 5, 5), "uint8")
    share = np.array([[0.6, 0.4, 0.0], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4], [0.2, 0.7, 0.1]])
    drawn = figures.pictures.hardest(pictures, [0, 1, 2, 0], share.argmax(axis=1), share, LABELS, n=3).axes[:3]
    titles = ["medium\nlow 90 %", "low\nmedium 70 %", "high\nhigh 40 %"]
    assert [axes.get_title(loc="left") for axes in drawn] == titles
    assert [int(np.asarray(axes.images[0].get_array())[0, 0]) for axes in drawn] == [1, 3, 2]
    assert [axes._left_title.get_color() for axes in drawn] == [style.ORANGE, style.ORANGE, style.INK]
    with pytest.raises(DataError, match=r"differ in length.*\(2, 1, 1, 1\)"):
        figures.pictures.hardest(np.zeros((2, 4, 4)), [0], [0], [[1, 0, 0]], LABELS)


def test_heat_maps_are_of_the_first_right_and_wrong_ones_over_a_grey_picture():
    pictures = RNG.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    true, share = np.arange(9) % 3, np.tile([0.2, 0.3, 0.5], (9, 1))
    predicted = np.where(np.arange(9) < 5, true, (np.arange(9) + 1) % 3)
    figure = figures.heat_maps(pictures, RNG.random((9, 4, 4)), true, predicted, share, LABELS, each=3)
    titles = [axes.get_title(loc="left") for axes in figure.axes[0::2]]
    assert titles[::3] == ["predicted low, 20 %\nis low", "predicted low, 20 %\nis high"]
    for axes, row in zip(figure.axes[0::2], [0, 1, 2, 5, 6, 7], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), pictures[row])
    heat = np.zeros((1, 16, 16))
    heat[0, :, 8:] = 1
    covered = figures.picture_grid(np.full((1, 16, 16, 3), [200, 50, 50], np.uint8), ["a"], maps=heat).axes[1]
    grey, hot = covered.images[0].get_array()[0, [2, 13]].astype(int)
    assert len(set(grey.tolist())) == 1
    assert hot[0] > hot[2] + 50


@pytest.mark.parametrize(
    ("pictures", "titles", "maps", "complaint"),
    [
        (np.zeros((2, 4, 4, 2)), ["a", "b"], None, "not pictures"),
        (np.zeros((0, 4, 4)), [], None, "not pictures"),
        (np.zeros((2, 4, 4)), ["a"], None, "differ in length"),
        (np.zeros((1, 4, 4)), ["a"], np.ones((1, 2, 2)), "expected uint8"),
        (np.zeros((1, 4, 4), "uint8"), ["a"], np.full((1, 2, 2), 2.0), "0 to 1"),
        (np.zeros((1, 4, 4), "uint8"), ["a"], np.ones((2, 2, 2)), "heat map for each"),
    ],
)
def test_what_is_no_picture_is_refused(pictures, titles, maps, complaint):
    with pytest.raises(DataError, match=complaint):
        figures.picture_grid(pictures, titles, maps=maps)


def test_the_progress_of_a_search_steps_down_to_the_best_and_marks_failures():
    axes = figures.trials.search_progress(TRIALS, "val_rmse").axes[0]
    steps = axes.lines[0].get_ydata()
    assert steps[-1] == TRIALS["val_rmse"].min()
    assert (np.diff(steps) <= 0).all()
    assert len(steps) == 29
    assert axes.collections[1].get_offsets()[:, 0].tolist() == [4]
    upwards = figures.trials.search_progress(TRIALS, "val_rmse", direction="max").axes[0].lines[0].get_ydata()
    assert upwards[-1] == TRIALS["val_rmse"].max()
    with pytest.raises(DataError, match="no trial was completed"):
        figures.trials.search_progress(TRIALS.assign(status="failed"), "val_rmse")


def test_each_hyper_parameter_has_its_panel_and_the_best_tenth_stands_out():
    panels = figures.trials.search_parameters(TRIALS, PARAMETERS, "val_rmse").axes
    assert [axes.get_xscale() for axes in panels] == ["log", "linear", "linear"]
    assert [len(axes.collections[0].get_offsets()) for axes in panels] == [29, 29, 29]
    lines = figures.trials.search_coordinates(TRIALS, PARAMETERS, "val_rmse").axes[0].lines
    blue = [line for line in lines if line.get_color() == style.BLUE]
    assert len(blue) == 2
    assert min(line.get_ydata()[-1] for line in blue) == 0  # the objective, scaled from smallest to largest
    assert list(figures.search_figures(TRIALS, PARAMETERS, "val_rmse")) == [
        "search_trials",
        "search_parameters",
        "search_coordinates",
        "search_importance",
    ]
    assert "search_importance" not in figures.search_figures(TRIALS.head(4), PARAMETERS, "val_rmse")


def test_a_ranking_user_by_user_leaves_out_users_without_both_values():
    figure = figures.per_user_ranking([0.9, 0.5, np.nan, 0.8], [0.7, 0.6, 0.5, 0.8], [3, 9, 4, 30], name="biases")
    upper, paired, _ = figure.axes
    assert texts(upper) == ["model, mean 0.7333", "biases, mean 0.7000"]
    np.testing.assert_allclose(upper.lines[1].get_ydata(), [0.5, 0.8, 0.9])
    assert texts(paired) == ["worse off\n33 % of users", "better off\n33 % of users"]
    items = np.repeat([2, 5, 10, 20, 40], 10)
    axes = figures.per_user_ranking(items / 100, items / 100 - 0.01, items).axes[2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "5", "10", "20", "40"]
    np.testing.assert_allclose([y for _, y in dots(axes)], [0.02, 0.05, 0.1, 0.2, 0.4])
    for model, other, lengths in (([0.5, 0.6], [0.5, 0.6], [3]), ([0.5, 0.6], [0.5], [3, 4]), ([np.nan], [0.5], [3])):
        with pytest.raises(DataError, match="wrong shape"):
            figures.per_user_ranking(model, other, lengths)
