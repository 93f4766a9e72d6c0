"""Figures: what is drawn is what the arrays hold."""

import sys
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import font_manager
from matplotlib.colors import to_hex
from matplotlib.mathtext import MathTextParser
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from kmodels.errors import DataError
from kmodels.evaluation import classification, selection
from kmodels.report import figures, fonts, style
from kmodels.report.figures import amounts, comparison, curves, pictures
from kmodels.report.figures.sets import comparison_figures, explanation_figures
from kmodels.report.figures.trials import search_figures
from kmodels.report.record import RunRecord, Timing, VariantRecord

RNG = np.random.default_rng(7)
LABELS = ["low", "medium", "high"]
TRUE = RNG.integers(0, 3, 400)
SHARE = classification.softmax(RNG.normal(size=(400, 3)) + 2 * np.eye(3)[TRUE])
LEVELS = RNG.choice([1.0, 2, 3, 4, 5], 4000, p=[0.06, 0.11, 0.26, 0.35, 0.22])
RATED = LEVELS, 3.6 + 0.45 * (LEVELS - 3.6) + RNG.normal(0, 0.5, 4000)
POINTS = {"base": (200_000, 0.90), "tiny": (5_000, 0.80), "best": (100_000, 0.95), "huge": (900_000, 0.94)}
VECTORS = RNG.normal(size=(60, 5)) * [3, 2, 1, 1, 1]
TRIALS = pd.DataFrame(
    {
        "trial": np.arange(1, 31),
        "status": ["completed"] * 3 + ["failed"] + ["completed"] * 26,
        "rate": (rate := 10 ** RNG.uniform(-4, -1, 30)),
        "val_rmse": np.where(np.arange(30) == 3, np.nan, 0.9 + 0.05 * (np.log10(rate) + 2.5) ** 2),
        "units": RNG.integers(8, 64, 30),
        "kind": RNG.choice(["relu", "tanh"], 30),
    }
)
PARAMETERS = ["rate", "units", "kind"]


def history(scale=1.0):
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": np.array([3.0, 2.0, 1.0]) * scale,
            "val_loss": np.array([3.0, 1.5, 2.0]) * scale,
            "accuracy": np.array([0.5, 0.6, 0.7]) / scale,
            "learning_rate": [1e-3, 1e-3, 5e-4],
            "seconds": 1.0,
        }
    )


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def widths(axes):
    return [bar.get_width() for bar in axes.patches]


def dots(axes):
    return [(x, y) for line in axes.lines if line.get_marker() == "o" for x, y in zip(*line.get_data(), strict=True)]


# Curves


def test_one_history_has_a_panel_for_each_quantity_and_marks_the_best_validation_epoch():
    figure = figures.learning_curves(history(), "loss", "squared error", also=("accuracy", "novelty"))
    assert [axes.get_ylabel() for axes in figure.axes] == ["squared error", "Accuracy", "learning rate"]
    upper = figure.axes[0]
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), history()["loss"])
    np.testing.assert_array_equal(upper.lines[1].get_ydata(), history()["val_loss"])
    assert list(upper.lines[2].get_xdata()) == [2, 2]
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["train", "validation"]
    assert "best, 3" in figures.learning_curves(history(), "accuracy").axes[-1].get_xlabel()
    assert figures.learning_curves(history().assign(val_loss=np.nan)).axes[-1].get_xlabel() == "epoch"


def test_several_histories_share_one_scale_and_are_listed_best_first():
    histories = {"slow": history(2.0), "fast": history(1.0)}
    figure = figures.learning_curves(histories, "loss", "cross-entropy")
    upper, lower = figure.axes
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), histories["slow"]["loss"])
    np.testing.assert_array_equal(
        next(line for line in lower.lines if line.get_label() == "fast").get_ydata(), histories["fast"]["val_loss"]
    )
    assert dots(lower) == [(2, 3.0), (2, 1.5)]
    assert upper.get_ylim() == lower.get_ylim()
    assert legend(figure) == ["fast  1.500", "slow  3.000"]
    figure = figures.learning_curves(histories, "accuracy")
    assert len(figure.axes) == 1
    assert legend(figure) == ["fast  0.700", "slow  0.350"]
    many = figures.learning_curves({f"variant_number_{at}": history(1 + at / 10) for at in range(12)})
    assert len({(line.get_color(), str(line.get_linestyle())) for line in many.axes[0].lines}) == 12


def test_a_loss_that_explodes_has_a_logarithmic_axis_and_nan_is_left_out():
    wild = history().assign(loss=[63_127.0, np.nan, 0.7])
    assert figures.learning_curves({"l2": wild, "dropout": history()}).axes[0].get_yscale() == "log"
    figure = figures.learning_curves({"l2": wild.assign(val_loss=np.nan), "dropout": history()})
    assert legend(figure) == ["dropout  1.500", "l2"]


@pytest.mark.parametrize(
    ("histories", "complaint"),
    [
        ({"a": history(), "b": history().drop(columns="loss")}, "a history lacks a column.*received .b"),
        (history().drop(columns="epoch"), "a history lacks"),
        (history()[:0], "or rows"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_named(histories, complaint):
    with pytest.raises(DataError, match=complaint):
        figures.learning_curves(histories)


def test_roc_and_precision_are_scikit_learns_for_each_class_against_the_rest():
    for kind, area in (("roc", metrics.roc_auc_score), ("precision_recall", metrics.average_precision_score)):
        areas = {label: area(at == TRUE, SHARE[:, at]) for at, label in enumerate(LABELS)}
        order = sorted(areas, key=areas.get, reverse=True)
        figure = curves.class_curves(TRUE, SHARE, LABELS, kind)
        assert legend(figure) == [f"{label}  {areas[label]:.3f}" for label in order]
        assert [line.get_color() for line in figure.axes[0].lines[:3]] == list(style.PALETTE[:3])
        assert figure.axes[0].get_legend() is None
    (axes,) = curves.class_curves(TRUE, SHARE, LABELS).axes
    wrong, found, _ = metrics.roc_curve(TRUE == 1, SHARE[:, 1])
    np.testing.assert_allclose(axes.lines[1].get_xydata(), np.c_[wrong, found])


def test_two_classes_have_one_curve_and_a_line_that_guessing_reaches():
    share = np.array([0.1, 0.6, 0.4, 0.8, 0.9])
    figure = curves.class_curves([0, 0, 1, 1, 1], np.c_[1 - share, share], ["no", "yes"], "precision_recall")
    assert "dashed: guessing, 0.600" in texts(figure.axes[0])
    assert len(legend(figure)) == 1


def test_a_class_without_rows_has_no_curve_and_many_share_a_legend():
    figure = curves.class_curves(RNG.integers(0, 3, 50), RNG.dirichlet(np.ones(4), 50), list("abcd"))
    assert sorted(text.split()[0] for text in legend(figure)) == ["a", "b", "c"]
    classes = [f"c{at}" for at in range(30)]
    figure = curves.class_curves(RNG.integers(0, 30, 900), RNG.dirichlet(np.ones(30), 900), classes)
    (entry,) = legend(figure)
    assert entry.startswith("30 classes, best 0.")
    with pytest.raises(DataError, match="wrong shape"):
        curves.class_curves([0, 1], [[0.5, 0.5]], ["a", "b"])


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"]])
def test_rows_of_one_class_have_every_figure_of_a_classifier(labels):
    share = np.full((3, len(labels)), 1 / len(labels))
    for figure in figures.classifier_figures([1, 1, 1], share, labels, pictures=np.zeros((3, 4, 4))).values():
        assert style.png(figure)


def test_the_calibration_curve_has_the_error_of_the_metrics_and_wilsons_interval():
    figure = curves.calibration_curve(classification.calibration(TRUE, SHARE))
    assert f"calibration error {classification.evaluate(TRUE, SHARE)['ece']:.3f}" in texts(figure.axes[0])
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == pytest.approx(100)
    bands = pd.DataFrame({"confidence": [0.9], "accuracy": [0.5], "count": [10]})
    (lines,) = curves.calibration_curve(bands).axes[0].collections
    np.testing.assert_allclose(lines.get_segments()[0][:, 1], [0.2366, 0.7634], atol=1e-4)  # 5 of 10, a known case


# Comparisons


def test_bars_stand_in_order_from_zero_with_limits_and_a_close_up_of_several_marked():
    values = {"majority": 0.3, "net": 0.9, "logistic": 0.6, "boosting": None}
    (axes,) = figures.bars(values, "accuracy", floors={"Bayes": 0.95}, marked=["net"]).axes
    assert widths(axes) == [0.9, 0.6, 0.3]
    assert [to_hex(bar.get_facecolor()).upper() for bar in axes.patches[:2]] == [style.BLUE, style.PALE]
    assert axes.get_xlim()[0] == 0
    assert [line.get_xdata()[0] for line in axes.lines] == [0.95]
    assert texts(axes)[-1] == "dashed: Bayes 0.950"
    assert "0.600  (−0.300)" in texts(axes)
    values = {"small": 0.93, "wide": 0.94, "majority": 0.1}
    upper, lower = figures.bars(values, "accuracy", spread={"small": 0.02}, marked=["small", "wide"]).axes
    assert widths(upper) == [0.94, 0.93, 0.1]
    assert texts(lower) == ["0.940", "0.930 ± 0.020", "wide", "small"]
    np.testing.assert_allclose(lower.containers[0].lines[2][0].get_segments()[0][:, 0], [0.91, 0.95])


def test_values_that_lie_close_are_dots_on_an_axis_of_their_own():
    values = {"a": 0.9527, "b": 0.9530, "c": 0.9502}
    (axes,) = figures.bars(values, "rmse", floors={"noise": 0.95}, unit="USD").axes
    assert len(axes.patches) == 0
    assert [x for x, _ in dots(axes)] == [0.9502, 0.9527, 0.9530]
    assert axes.get_xlim()[0] > 0.94
    assert axes.get_xlabel() == "RMSE (USD), lower is better\nthe axis starts at 0.950"
    for bad, marked in (({"net": None, "b": float("nan")}, ()), ({"net": None, "b": 1.0}, ["net"])):
        with pytest.raises(DataError, match="no value to draw"):
            figures.bars(bad, "accuracy", marked=marked)


def test_bars_of_parts_are_stacked_and_what_is_below_zero_is_grey():
    values = {"image": 0.3, "tier": 0.01, "tags": -0.02}
    (axes,) = figures.bars(values, "accuracy lost", spread={"image": 0.02}).axes
    assert widths(axes) == [0.3, 0.01, -0.02]
    assert [to_hex(bar.get_facecolor()).upper() for bar in axes.patches] == [style.BLUE, style.BLUE, style.PALE]
    np.testing.assert_allclose(axes.containers[1].lines[2][0].get_segments()[0][:, 0], [0.28, 0.32])
    assert axes.get_xlabel() == "accuracy lost"  # of which nobody knows whether high is good
    (axes,) = figures.bars(pd.DataFrame({"low": [2.0, 5.0], "high": [2.0, 0.0]}, ["tier", "tags"]), "size").axes
    drawn = [(round(bar.get_y() + 0.21), bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert drawn == [(0, 0, 5), (0, 5, 0), (1, 0, 2), (1, 2, 2)]
    assert texts(axes) == ["5.000", "4.000", "tags", "tier", "■ low", "■ high"]


def record_of(points, unit=""):
    timings = {name: Timing(0, 0, size and size / 1000, 5, 1.0, 0) for name, (size, _) in points.items()}
    variants = {
        name: VariantRecord(name, size, {"accuracy": value, "rmse": value}, {}, timings[name])
        for name, (size, value) in points.items()
    }
    data = {"source": "sample", "rows": 9, "sha256": "50d2", "unit": unit}
    baselines = {"majority": {"accuracy": 0.1}, "other": {}}
    return RunRecord("demo", "jax", 0, data, baselines, {}, variants=variants, best="best")


def compared(points, **more):
    record = record_of(points)
    return comparison_figures(record, dict.fromkeys(points, history()), "accuracy", **more)


def test_the_figures_of_a_comparison_go_by_the_files_they_become():
    drawn = compared(POINTS, floors={"Bayes": 0.97})
    assert list(drawn) == ["variants", "pareto", "time_and_size", "accuracy_curves", "loss_curves"]
    assert widths(drawn["variants"].axes[0]) == [0.95, 0.94, 0.9, 0.8, 0.1]
    upper, lower = drawn["time_and_size"].axes
    assert widths(lower) == [5_000, 100_000, 200_000, 900_000]
    assert widths(upper) == [5, 100, 200, 900]
    assert texts(upper)[0] == "5 s, 1 an epoch"


def test_the_front_holds_those_that_none_beats_in_both():
    figure = compared(POINTS)["pareto"]
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[5_000, 0.80], [100_000, 0.95]])
    assert axes.get_xscale() == "log"
    star = next(line for line in axes.lines if line.get_marker() == "*")
    np.testing.assert_array_equal(star.get_xydata(), [[100_000, 0.95]])
    assert legend(figure) == ["best  0.950", "huge  0.940", "base  0.900", "tiny  0.800"]
    errors = {"a": (3.0, 5.0), "b": (2.0, 4.0), "c": (1.0, 4.5)}
    (axes,) = comparison.pareto(errors, "rmse", unit="USD").axes
    assert list(axes.lines[0].get_xdata()) == [1.0, 2.0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == (
        "RMSE (USD)",
        "parameters, fewer is better\nline: none is better at both",
    )
    with pytest.raises(DataError, match="no such figure"):
        compared(POINTS | {"base": (7, None)})


def test_differences_are_coloured_by_their_significance():
    base = RNG.normal(0.7, 0.05, 8)
    table = pd.DataFrame({"net": base + 0.1, "base": base, "same": base + 1e-4 * RNG.normal(size=8)})
    (axes,) = comparison.differences(selection.paired(table, "base"), "roc_auc").axes
    assert [text.split("  ")[0] for text in texts(axes)] == ["net", "same"]
    assert [bar.lines[0].get_color() for bar in axes.containers] == [style.ORANGE, style.GREY]
    assert axes.get_xlabel() == "ROC AUC less that of base"


# Amounts


def test_predictions_have_the_median_and_share_of_each_level():
    true, predicted = RATED
    (axes,) = amounts.predictions(true, predicted, "USD").axes
    assert dict(dots(axes)) == {level: pytest.approx(np.median(predicted[true == level])) for level in (1, 2, 3, 4, 5)}
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"{level}\n{100 * np.mean(true == level):.0f}%" for level in (1, 2, 3, 4, 5)]
    (axes,) = amounts.predictions([1, 5, 5], [2.0, 4.0, 4.5]).axes
    assert sorted(y for _, y in dots(axes)) == [2.0, 4.0, 4.5]
    assert axes.get_ylabel() == "predicted"
    values = np.linspace(0, 100, 500)
    assert amounts.predictions(values, values).axes[0].collections[0].get_array().sum() == 500


def test_errors_are_counted_once_and_residuals_averaged_where_predictions_are_alike():
    true, predicted = RATED
    (axes,) = figures.histogram(predicted - true, errors=True).axes
    bars = [patch for patch in axes.patches if to_hex(patch.get_facecolor()).upper() == style.BLUE]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    assert f"RMSE {np.sqrt(np.mean((predicted - true) ** 2)):.3f}" in texts(axes)[0]
    assert "+0.750" in texts(figures.histogram([0.5, 1.0], errors=True).axes[0])[1]
    predicted = np.repeat([2.0, 4.0], 400)
    (axes,) = amounts.residuals(predicted + np.repeat([0.5, -0.25], 400), predicted).axes
    np.testing.assert_allclose(axes.lines[-1].get_xydata(), [[2.0, 0.5], [4.0, -0.25]])
    assert axes.collections[0].get_array().sum() == 800
    np.testing.assert_allclose(amounts.residuals([1.0, 5.0], [3.0, 3.0]).axes[0].lines[-1].get_ydata(), [0.0])


def test_a_long_tail_is_drawn_on_a_logarithmic_scale_and_no_tail_on_a_linear_one():
    true = np.r_[0.0, np.exp(RNG.normal(16, 1.8, 3000))]
    predicted = true * np.exp(RNG.normal(0, 0.5, 3001)) - 1e5
    (axes,) = amounts.predictions(true, predicted, "USD").axes
    assert axes.collections[0].get_array().sum() == 3001
    axes.figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert "0" in labels
    assert any(label.endswith("M") for label in labels)
    assert "and beyond" in figures.histogram(predicted - true, errors=True).axes[0].get_xlabel()
    assert "and beyond" in amounts.residuals(true, predicted).axes[0].get_ylabel()
    true = RNG.uniform(12, 23_961, 2000)
    figure = amounts.residuals(true, true + RNG.normal(0, 2500, 2000))
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))


@pytest.mark.parametrize("draw", [amounts.predictions, amounts.residuals])
@pytest.mark.parametrize(
    ("true", "predicted", "complaint"),
    [
        ([], [], "n ≥ 1"),
        ([1.0, 2.0], [1.0], "as many of each"),
        ([1.0, 2.0], [1.0, np.nan], "not finite"),
    ],
)
def test_arrays_that_cannot_be_drawn_are_refused(draw, true, predicted, complaint):
    with pytest.raises(DataError, match=complaint):
        draw(true, predicted)


# Columns, vectors, pictures and trials

PREDICTED = SHARE.argmax(axis=1)
AGES = pd.Categorical(["18-25", "55+", "18-25", None], ["0-17", "18-25", "55+"], ordered=True)
TABLE = pd.DataFrame({"age": AGES, "city": pd.Categorical(["B", "A", "B", "B"])})


def ticks(axes):
    return [text.get_text() for text in axes.get_xticklabels()]


def points(figure):
    return np.concatenate([drawn.get_offsets() for drawn in figure.axes[0].collections])


def test_shares_keep_the_order_and_have_what_is_missing():
    age, city = figures.by_category(TABLE).axes
    assert ticks(age) == ["0-17", "18-25", "55+", "none"]
    assert [bar.get_height() for bar in age.patches] == [0, 50, 25, 25]
    assert [bar.get_height() for bar in city.patches] == [25, 75]
    column = pd.Series([*range(40), *range(23)], dtype="category")
    (axes,) = figures.by_category(column.to_frame("code")).axes
    assert len(ticks(axes)) == 25
    assert ticks(axes)[-1] == "others"
    assert axes.patches[-1].get_height() == pytest.approx(100 * 16 / 63)
    with pytest.raises(DataError, match="nothing to draw"):
        figures.by_category(TABLE[[]])


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (["none", None, "b"], ["b", "none", "(none)"]),
        (
            [*(f"c{at:02}" for at in range(23)), "others"] * 2 + ["x"],
            [f"c{at:02}" for at in range(23)] + ["others", "(others)"],
        ),
        (["1", 1, 1.5, None], ["1", "1.5", "none"]),
        (
            pd.Categorical(["b", "b"], [f"c{at}" for at in range(30)] + ["b"]),
            [f"c{at}" for at in range(23)] + ["b", "others"],
        ),
    ],
)
def test_values_named_like_what_is_missing_or_rare_keep_their_bars(column, names):
    (axes,) = figures.by_category(pd.DataFrame({"a": column})).axes
    assert sorted(each.get_text() for each in axes.get_xticklabels()) == sorted(names)
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)


def test_means_are_those_of_pandas():
    age, city = figures.by_category(TABLE, [1.0, 5.0, 3.0, 10.0], "paid").axes
    assert city.lines[-1].get_ydata().tolist() == [5.0, 14 / 3]
    drawn = dict(zip(ticks(age), age.lines[-1].get_ydata(), strict=True))
    assert np.isnan(drawn.pop("0-17"))
    assert drawn == {"18-25": 2.0, "55+": 5.0, "none": 10.0}
    assert age.get_ylim() == city.get_ylim()
    assert age.get_ylabel() == "paid"
    with pytest.raises(DataError, match="as many of each"):
        figures.by_category(TABLE, [1.0, 2.0])


def test_numbers_are_drawn_in_fifths_and_dates_in_decades():
    table = pd.DataFrame({"number": RNG.permutation(1000) + 1_000_000.0, "built": pd.Timestamp("1995-03-01")})
    table.loc[0, "built"] = pd.NaT
    number, built = figures.by_category(table).axes
    assert [bar.get_height() for bar in number.patches] == [20] * 5
    assert len(set(ticks(number))) == 5
    assert ticks(built) == ["1990s", "none"]


def test_infinite_numbers_have_bars_of_their_own():
    table = pd.DataFrame({"number": [-np.inf, *range(5, 100), np.nan, np.inf, np.inf, np.inf]}, index=[0] * 100)
    (axes,) = figures.by_category(table).axes
    assert ticks(axes) == ["−∞", "5–24", "24–43", "43–61", "61–80", "80–99", "∞", "none"]
    assert [bar.get_height() for bar in axes.patches] == [1, 19, 19, 19, 19, 19, 3, 1]


def test_the_histogram_holds_every_row_and_marks_the_edges():
    values = np.r_[np.linspace(0, 20_000, 999), 1e9]
    (axes,) = figures.histogram(values, "amount", edges=[5000, 10_000]).axes
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)
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
    figure = figures.scatter(table, ["yes", "no", "yes"], log=True, diagonal=True)
    drawn = {each.get_label(): each.get_offsets().tolist() for each in figure.axes[0].collections}
    assert drawn == {"no": [[10.0, 5.0]], "yes": [[1.0, 2.0], [100.0, 300.0]]}
    assert figure.axes[0].get_xscale() == "log"
    figure = figures.scatter(table.assign(gain=60.0), degrees=True)
    assert figure.axes[0].get_aspect() == pytest.approx(2.0)
    with pytest.raises(DataError, match="not points"):
        figures.scatter(table, ["yes"])


def test_a_group_named_other_is_not_joined_with_the_rare_ones():
    groups = ["other"] * 9 + list("abcdefgh") * 2
    figure = figures.scatter(pd.DataFrame({"x": np.arange(25.0), "y": np.arange(25.0)}), groups)
    assert len(legend(figure)) == 8
    assert {"other", "(other)"} <= set(legend(figure))


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


def test_a_confusion_matrix_is_scikit_learns_shaded_by_the_share_of_the_true_class():
    figure = pictures.confusion_matrix(confusion_matrix(TRUE, PREDICTED), LABELS)
    (axes,) = figure.axes
    display = ConfusionMatrixDisplay.from_predictions(TRUE, PREDICTED, normalize="true", ax=style.panels(3.0)[1][0])
    np.testing.assert_allclose(axes.images[0].get_array(), display.confusion_matrix)
    counts = [int(text.split("\n")[0]) for text in texts(axes)]
    np.testing.assert_array_equal(np.reshape(counts, (3, 3)), confusion_matrix(TRUE, PREDICTED))
    assert axes.get_title(loc="left") == f"Confusion: {100 * np.mean(TRUE == PREDICTED):.1f} % right"
    assert [label.get_text() for label in axes.get_yticklabels()] == LABELS
    figure = pictures.confusion_matrix(np.eye(60, dtype=int), [f"class {at}" for at in range(60)])
    assert len(figure.axes[0].texts) == 0
    assert len(figure.axes[0].get_xticklabels()) == 30
    for matrix in ([[1, 2]], np.zeros((3, 3)), np.ones((2, 2)), 5):
        with pytest.raises(DataError, match="not a confusion matrix"):
            pictures.confusion_matrix(matrix, LABELS)


def test_the_hardest_pictures_come_first_and_mistakes_in_colour():
    images = np.arange(4, dtype="uint8")[:, None, None] * np.ones((1, 5, 5), "uint8")
    share = np.array([[0.6, 0.4, 0.0], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4], [0.2, 0.7, 0.1]])
    drawn = pictures.examples(images, [0, 1, 2, 0], share, LABELS).axes[:3]
    titles = ["medium\nlow 90 %", "low\nmedium 70 %", "high\nhigh 40 %"]
    assert [axes.get_title(loc="left") for axes in drawn] == titles
    assert [int(np.asarray(axes.images[0].get_array())[0, 0]) for axes in drawn] == [1, 3, 2]
    assert [axes._left_title.get_color() for axes in drawn] == [style.ORANGE, style.ORANGE, style.INK]


def test_heat_maps_are_of_the_first_right_and_wrong_ones_over_a_grey_picture():
    images = RNG.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    true = np.arange(9) % 3
    share = 0.2 + 0.4 * np.eye(3)[np.where(np.arange(9) < 5, true, (np.arange(9) + 1) % 3)]
    figure = pictures.examples(images, true, share, LABELS, maps=RNG.random((9, 4, 4)))
    titles = [axes.get_title(loc="left") for axes in figure.axes[0::2]]
    assert titles[::4] == ["predicted low, 60 %\nis low", "predicted low, 60 %\nis high"]
    for axes, row in zip(figure.axes[0::2], [0, 1, 2, 3, 5, 6, 7, 8], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), images[row])
    heat = np.zeros((1, 16, 16))
    heat[0, :, 8:] = 1
    covered = figures.picture_grid(np.full((1, 16, 16, 3), [200, 50, 50], np.uint8), ["a"], maps=heat).axes[1]
    grey, hot = covered.images[0].get_array()[0, [2, 13]].astype(int)
    assert len(set(grey.tolist())) == 1
    assert hot[0] > hot[2] + 50


@pytest.mark.parametrize(
    ("images", "titles", "maps"),
    [
        (np.zeros((4, 4)), ["a"] * 4, None),
        (np.zeros((0, 4, 4)), [], None),
        (np.zeros((2, 4, 4)), ["a"], None),
        (np.zeros((1, 4, 4), "uint8"), ["a"], np.ones((2, 2, 2))),
    ],
)
def test_what_is_no_picture_is_refused(images, titles, maps):
    with pytest.raises(DataError, match="not as many pictures"):
        figures.picture_grid(images, titles, maps=maps)


def test_the_progress_of_a_search_steps_down_to_the_best_and_marks_failures():
    (axes,) = search_figures(TRIALS, PARAMETERS, "val_rmse")["search_trials"].axes
    steps = axes.lines[0].get_ydata()
    assert steps[-1] == TRIALS["val_rmse"].min()
    assert (np.diff(steps) <= 0).all()
    assert len(steps) == 29
    assert axes.collections[1].get_offsets()[:, 0].tolist() == [4]
    upwards = search_figures(TRIALS, PARAMETERS, "val_rmse", direction="max")["search_trials"].axes[0]
    assert upwards.lines[0].get_ydata()[-1] == TRIALS["val_rmse"].max()


def test_each_hyper_parameter_has_its_panel_and_the_best_tenth_stands_out():
    drawn = search_figures(TRIALS, PARAMETERS, "val_rmse")
    panels = drawn["search_parameters"].axes
    assert [axes.get_xscale() for axes in panels] == ["log", "linear", "linear"]
    assert [len(axes.collections[0].get_offsets()) for axes in panels] == [29, 29, 29]
    lines = drawn["search_coordinates"].axes[0].lines
    blue = [line for line in lines if line.get_color() == style.BLUE]
    assert len(blue) == 2
    assert min(line.get_ydata()[-1] for line in blue) == 0  # the objective, scaled from smallest to largest
    assert "search_importance" in drawn
    assert "search_importance" not in search_figures(TRIALS.head(4), PARAMETERS, "val_rmse")


def test_a_hyper_parameter_without_a_value_has_no_place_among_the_coordinates():
    drawn = search_figures(TRIALS.assign(units=np.nan), PARAMETERS, "val_rmse")
    names = [each.get_text() for each in drawn["search_coordinates"].axes[0].get_xticklabels()]
    assert names == ["rate", "kind", "val_rmse"]


@pytest.mark.parametrize("vectors", [[[1.0, 2.0]], [[1.0], [2.0]], np.ones((3, 2)), np.zeros((3, 2))])
def test_few_or_equal_vectors_have_a_map(vectors):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (axes,) = figures.vectors_map(vectors, ["a"] * len(vectors), "column").axes
    assert "0 %" in axes.get_ylabel()


def test_a_ranking_user_by_user_leaves_out_users_without_both_values():
    figure = figures.user_ranking([0.9, 0.5, np.nan, 0.8], [0.7, 0.6, 0.5, 0.8], [3, 9, 4, 30], name="biases")
    upper, paired, _ = figure.axes
    assert texts(upper) == ["biases, mean 0.7000", "model, mean 0.7333"]
    np.testing.assert_allclose(upper.lines[1].get_ydata(), [0.5, 0.8, 0.9])
    assert texts(paired) == ["worse off\n33 % of users", "better off\n33 % of users"]
    items = np.repeat([2, 5, 10, 20, 40], 10)
    axes = figures.user_ranking(items / 100, items / 100 - 0.01, items).axes[2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "5", "10", "20", "40"]
    np.testing.assert_allclose([y for _, y in dots(axes)], [0.02, 0.05, 0.1, 0.2, 0.4])
    with pytest.raises(DataError, match="not finite"):
        figures.user_ranking([np.nan], [0.5], [3])


# Every figure together


def every_figure():
    names = {f"a_variant_with_a_long_name_{at}": 0.9 + at / 100 for at in range(4)}
    table = pd.DataFrame({"age": ["18-25", "55+", None], "city": ["A", "B", "B"]})
    numbers = pd.DataFrame({"width": [1.0, 2.0, 4.0], "height": [3.0, 1.0, 9.0]})
    spread = dict.fromkeys(names, 0.01)
    return [
        figures.learning_curves(history(), label="mean squared error (normalised)"),
        figures.learning_curves({f"variant_number_{at}": history(1 + at / 10) for at in range(12)}),
        *figures.classifier_figures(TRUE, SHARE, LABELS, history=history(), pictures=np.zeros((400, 8, 8))).values(),
        *figures.regression_figures(record_of(POINTS), *RATED, history=history().assign(rmse=1.0)).values(),
        *search_figures(TRIALS, PARAMETERS, "val_rmse").values(),
        figures.bars(
            {**names, "majority": 0.2}, "balanced_accuracy", floors={"Bayes": 0.97}, spread=spread, marked=list(names)
        ),
        *compared(POINTS).values(),
        figures.user_ranking(np.linspace(0.3, 1, 60), np.linspace(1, 0.3, 60), np.arange(60) + 2),
        figures.by_category(table),
        figures.by_category(table, [1.0, 2.0, 3.0]),
        figures.correlations(numbers),
        figures.scatter(numbers, ["a", "b", "a"], diagonal=True, title="Sizes"),
        figures.vectors_map(VECTORS, np.arange(60.0), "age"),
        figures.histogram(numbers),
        figures.histogram([1.0, 2.0, 9.0], "price", edges=[5.0]),
        pictures.examples(
            np.zeros((3, 8, 8, 3), "uint8"), [0, 1, 2], np.eye(3)[[0, 1, 1]], LABELS, maps=np.ones((3, 4, 4))
        ),
        figures.bars(pd.DataFrame(np.abs(RNG.normal(size=(3, 3))), ["categories", "tier", "tags"], LABELS), "size"),
    ]


def test_text_stays_inside_every_figure_and_no_global_figure_is_left():
    for figure in every_figure():
        figure.canvas.draw()
        drawn = [
            text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts)
        ]
        drawn += [text for each in figure.legends for text in each.get_texts()]
        for text in (text for text in drawn if text.get_text() and text.get_visible()):
            box = text.get_window_extent()
            assert -1 <= box.x0 <= box.x1 <= figure.bbox.width + 1, text.get_text()
            assert box.y1 <= figure.bbox.height + 1, text.get_text()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize("words", ["$$", "\x00_$5_$10\n", "long" * 90])
def test_no_text_of_the_data_is_markup(words, monkeypatch):
    labels = [words, r"$\frac$", ""]
    table = pd.DataFrame({words: [words, "b", "$"], "n": ["a", "b", "c"]})
    numbers = pd.DataFrame({words: [1.0, 2.0, 400.0], "$height$": [3.0, 1.0, 900.0]})
    drawn = [
        *figures.classifier_figures(TRUE, SHARE, labels, pictures=np.zeros((400, 8, 8))).values(),
        *figures.regression_figures(record_of(POINTS, words), *RATED, history=history().assign(rmse=1.0)).values(),
        figures.learning_curves({words: history(), "b": history()}, label=words),
        figures.bars({words: 1.0, "b": 2.0}, words, marked=[words], floors={words: 1.5}, unit=words),
        figures.bars(pd.DataFrame(np.ones((3, 3)), labels, labels), words),
        figures.by_category(table),
        figures.by_category(table, [1.0, 2.0, 3.0], words),
        figures.correlations(numbers),
        figures.scatter(numbers, labels, label=words, log=True, diagonal=True, title=words),
        figures.scatter(pd.DataFrame(VECTORS[:, :2], columns=list(numbers)), np.arange(60.0), label=words),
        figures.vectors_map(VECTORS, np.resize(labels, 60), words),
        figures.histogram(numbers),
        figures.histogram([1.0, 2.0, 9.0], words),
        figures.user_ranking([0.1, 0.5], [0.2, 0.3], [3, 4], name=words),
        *search_figures(TRIALS.assign(kind=np.resize(labels, 30)), PARAMETERS, "val_rmse").values(),
    ]
    parsed, parse = [], MathTextParser.parse

    def recorded(self, text, *rest, **more):
        parsed.append(text)
        return parse(self, text, *rest, **more)

    monkeypatch.setattr(MathTextParser, "parse", recorded)
    for figure in drawn:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert style.png(figure)
        shown = [text.get_text() for axes in figure.axes for text in (*axes.get_xticklabels(), *axes.texts)]
        assert "\0" not in "".join(shown)
    assert all(text.startswith(r"$\mathdefault{") for text in parsed)  # the powers at the ticks of logarithmic axes
    assert parsed


def test_a_name_that_begins_with_an_underscore_is_in_the_legend():
    points = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]})
    assert legend(figures.scatter(points, ["_a", "b"])) == ["_a", "b"]
    assert legend(figures.learning_curves({"_a": history(), "b": history(2)})) == ["_a  1.500", "b  3.000"]


def drawn_without_a_warning(letter):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            style.png(
                figure := figures.bars({f"a {letter}": 1.0, f"b {letter}": 2.0}, "accuracy", marked=[f"b {letter}"])
            )
    (text,) = [text for text in figure.axes[0].texts if text.get_text() == f"a {letter}"]
    return text


def test_letters_are_drawn_from_an_installed_font_that_has_them(capsys):
    letter, own = "\N{TELEPHONE RECORDER}", "DejaVu Sans"  # of DejaVu Sans Mono, for one, which Matplotlib brings along
    assert ord(letter) not in font_manager.get_font(font_manager.findfont(own)).get_charmap()
    *_, family = drawn_without_a_warning(letter).get_fontfamily()
    assert ord(letter) in font_manager.get_font(font_manager.findfont(family)).get_charmap()
    assert capsys.readouterr().err == ""


def test_letters_of_no_installed_font_are_said_once(capsys, monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", font_manager.fontManager.ttflist[:0])
    monkeypatch.setattr(fonts, "_families", fonts._families.__wrapped__)
    monkeypatch.setattr(fonts, "_unknown", set())
    for letter in "\N{HIRAGANA LETTER A}", "\N{SLICE OF PIZZA}":
        drawn_without_a_warning(letter)
    (line,) = capsys.readouterr().err.splitlines()
    assert "HIRAGANA" in line


def test_the_same_figure_is_the_same_png():
    one, two = (style.png(amounts.predictions(*RATED)) for _ in range(2))
    assert one == two
    assert one[1:4] == b"PNG"


def test_what_a_survey_found_is_drawn_of_its_first_rows():
    rng = np.random.default_rng(0)
    share = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    found = {
        "pictures": rng.integers(0, 256, (2, 8, 8, 3), dtype="uint8"),
        "heat": np.zeros((2, 4, 4)),
        "importance": pd.DataFrame({"group": ["picture"], "mean": [0.2], "std": [0.1]}),
        "groups": ["tier"],
    }
    drawn = explanation_figures([0, 0, 1], share, ["no", "yes"], shap=np.ones((1, 1, 2)), **found)
    assert list(drawn) == ["heat", "importance", "shap"]
    titles = [axes.get_title(loc="left") for axes in drawn["heat"].axes]
    assert [title for title in titles if title] == ["predicted no, 90 %\nis no", "predicted yes, 70 %\nis no"]
    assert list(explanation_figures([0, 0, 1], share, ["no", "yes"], shap=None, **found)) == list(drawn)[:2]
