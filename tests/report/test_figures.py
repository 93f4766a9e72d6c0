"""Figures: what is drawn is what the arrays hold."""

import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sklearn import metrics

from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import classification, selection
from kmodels.report import figures, style
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
    assert texts(upper) == ["train", "validation"]
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
        ({"a": history(), "b": history().drop(columns="loss")}, "history of b lacks a column"),
        (history().drop(columns="epoch"), "'epoch'"),
        (history()[:0], "no epochs"),
        ({}, "no history"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_named(histories, complaint):
    with pytest.raises(DataError, match=complaint):
        figures.learning_curves(histories)


def test_roc_and_precision_are_scikit_learns_for_each_class_against_the_rest():
    scores = figures.by_class(TRUE, SHARE, LABELS)
    for draw, area in (
        (figures.roc_curves, metrics.roc_auc_score),
        (figures.precision_recall, metrics.average_precision_score),
    ):
        areas = {label: area(at == TRUE, SHARE[:, at]) for at, label in enumerate(LABELS)}
        order = sorted(areas, key=areas.get, reverse=True)
        assert legend(draw(scores)) == [f"{label}  {areas[label]:.3f}" for label in order]
    (axes,) = figures.roc_curves(scores).axes
    wrong, found, _ = metrics.roc_curve(TRUE == 1, SHARE[:, 1])
    np.testing.assert_allclose(axes.lines[1].get_xydata(), np.c_[wrong, found])
    assert [line.get_color() for line in axes.lines[:3]] == list(style.PALETTE[:3])
    assert axes.get_legend() is None


def test_two_classes_have_one_curve_and_a_line_that_guessing_reaches():
    share = np.array([0.1, 0.6, 0.4, 0.8, 0.9])
    figure = figures.precision_recall(figures.by_class([0, 0, 1, 1, 1], np.c_[1 - share, share], ["no", "yes"]))
    assert "dashed: guessing, 0.600" in texts(figure.axes[0])
    assert len(legend(figure)) == 1
    true, share = RNG.integers(0, 2, 30_000), RNG.random(30_000)
    x = figures.roc_curves({"net": (true == 1, share)}).axes[0].lines[0].get_xdata()
    assert len(x) <= 2000
    assert (x[0], x[-1]) == (0, 1)


def test_a_class_without_rows_has_no_curve_and_many_share_a_legend():
    share = RNG.dirichlet(np.ones(4), 50)
    assert list(figures.by_class(RNG.integers(0, 3, 50), share, list("abcd"))) == ["a", "b", "c"]
    scores = figures.by_class(RNG.integers(0, 30, 900), RNG.dirichlet(np.ones(30), 900), [f"c{at}" for at in range(30)])
    assert legend(figures.roc_curves(scores))[0].startswith("30 classes, best 0.")
    for true, probability, complaint in (
        ([0, 1], [[0.5, 0.5]], "wrong shape"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "row 2, column 'probability': not finite"),
        ([1, 1], [[0.5, 0.5], [0.4, 0.6]], "rows of the class and of another"),
    ):
        with pytest.raises(DataError, match=complaint):
            figures.by_class(true, probability, ["a", "b"])


def test_the_calibration_curve_has_the_error_of_the_metrics_and_wilsons_interval():
    figure = figures.calibration_curve(classification.calibration(TRUE, SHARE))
    assert f"calibration error {classification.evaluate(TRUE, SHARE)['ece']:.3f}" in texts(figure.axes[0])
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == pytest.approx(100)
    bands = pd.DataFrame({"confidence": [0.9], "accuracy": [0.5], "count": [10]})
    (lines,) = figures.calibration_curve(bands).axes[0].collections
    np.testing.assert_allclose(lines.get_segments()[0][:, 1], [0.2366, 0.7634], atol=1e-4)  # 5 of 10, a known case
    with pytest.raises(DataError, match="'count'"):
        figures.calibration_curve(bands[["confidence", "accuracy"]])


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
    assert texts(lower) == ["0.940", "wide", "0.930 ± 0.020", "small"]
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


def test_costs_are_drawn_smallest_first():
    values = {name: {"parameters": size, "fit_s": size / 1000, "epochs": 5} for name, (size, _) in POINTS.items()}
    upper, lower = figures.costs(values).axes
    assert widths(lower) == [5_000, 100_000, 200_000, 900_000]
    assert widths(upper) == [5, 100, 200, 900]
    assert texts(upper)[:2] == ["5 s, 1 an epoch", "tiny"]
    with pytest.raises(DataError, match=r"tiny\.fit_s"):
        figures.costs({"tiny": {"parameters": 5, "fit_s": None}})


def test_the_front_holds_those_that_none_beats_in_both():
    (axes,) = figures.pareto(POINTS, "accuracy", chosen="best").axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[5_000, 0.80], [100_000, 0.95]])
    assert axes.get_xscale() == "log"
    star = next(line for line in axes.lines if line.get_marker() == "*")
    np.testing.assert_array_equal(star.get_xydata(), [[100_000, 0.95]])
    assert set(POINTS) <= set(texts(axes))
    errors = {"a": (3.0, 5.0), "b": (2.0, 4.0), "c": (1.0, 4.5)}
    (axes,) = figures.pareto(errors, "rmse", cost="latency_ms", unit="USD").axes
    assert list(axes.lines[0].get_xdata()) == [1.0, 2.0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("RMSE (USD)", "time of one prediction (ms), less is better")
    with pytest.raises(ConfigurationError, match="'novelty' has no front"):
        figures.pareto(POINTS, "novelty")
    with pytest.raises(DataError, match="'base'"):
        figures.pareto(POINTS | {"base": (None, 0.9)}, "accuracy")


def test_differences_are_coloured_by_their_significance():
    base = RNG.normal(0.7, 0.05, 8)
    table = pd.DataFrame({"net": base + 0.1, "base": base, "same": base + 1e-4 * RNG.normal(size=8)})
    (axes,) = figures.differences(selection.paired(table, "base"), "roc_auc").axes
    assert [text.split("  ")[0] for text in texts(axes)] == ["net", "same"]
    assert [bar.lines[0].get_color() for bar in axes.containers] == [style.ORANGE, style.GREY]
    assert axes.get_xlabel() == "ROC AUC less that of base"


def test_importance_bars_are_the_means_and_shap_bars_are_stacked_by_class():
    table = pd.DataFrame({"group": ["image", "tier", "tags"], "mean": [0.3, 0.01, -0.02], "std": [0.02, 0.001, 0.01]})
    (axes,) = figures.importance_bars(table, measure="logits").axes
    assert widths(axes) == [0.3, 0.01, -0.02]
    assert [to_hex(bar.get_facecolor()).upper() for bar in axes.patches] == [style.BLUE, style.BLUE, style.GREY]
    np.testing.assert_allclose(axes.collections[0].get_segments()[0][:, 0], [0.28, 0.32])
    with pytest.raises(DataError, match="column 'std'"):
        figures.importance_bars(table.drop(columns="std"))
    values = np.array([[[1.0, -2.0], [4.0, 0.0]], [[-3.0, 2.0], [6.0, 0.0]]])
    (axes,) = figures.shap_bars(values, ["tier", "tags"], ["low", "high"]).axes
    drawn = [(round(bar.get_y()), bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert drawn == [(0, 0, 5), (1, 0, 2), (0, 5, 0), (1, 2, 2)]
    values = RNG.normal(size=(5, 2, 10))
    (axes,) = figures.shap_bars(values, ["a", "b"], list("0123456789")).axes
    assert sorted(widths(axes)) == pytest.approx(sorted(np.abs(values).mean(0).sum(1)))
    with pytest.raises(DataError, match="do not fit"):
        figures.shap_bars(values[0], ["a", "b"], list("0123456789"))


# Amounts


def test_predictions_have_the_median_and_share_of_each_level():
    true, predicted = RATED
    (axes,) = figures.predictions(true, predicted, "USD").axes
    assert dict(dots(axes)) == {level: pytest.approx(np.median(predicted[true == level])) for level in (1, 2, 3, 4, 5)}
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"{level}\n{100 * np.mean(true == level):.0f}%" for level in (1, 2, 3, 4, 5)]
    (axes,) = figures.predictions([1, 5, 5], [2.0, 4.0, 4.5]).axes
    assert sorted(y for _, y in dots(axes)) == [2.0, 4.0, 4.5]
    assert axes.get_ylabel() == "predicted"
    values = np.linspace(0, 100, 500)
    assert figures.predictions(values, values).axes[0].collections[0].get_array().sum() == 500


def test_errors_are_counted_once_and_residuals_averaged_where_predictions_are_alike():
    true, predicted = RATED
    (axes,) = figures.error_histogram(true, predicted).axes
    bars = [patch for patch in axes.patches if to_hex(patch.get_facecolor()).upper() == style.BLUE]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    assert f"RMSE {np.sqrt(np.mean((predicted - true) ** 2)):.3f}" in texts(axes)[0]
    assert "+0.750" in texts(figures.error_histogram([3.0, 3.0], [3.5, 4.0]).axes[0])[1]
    predicted = np.repeat([2.0, 4.0], 400)
    (axes,) = figures.residuals(predicted + np.repeat([0.5, -0.25], 400), predicted).axes
    np.testing.assert_allclose(axes.lines[-1].get_xydata(), [[2.0, 0.5], [4.0, -0.25]])
    assert axes.collections[0].get_array().sum() == 800
    np.testing.assert_allclose(figures.residuals([1.0, 5.0], [3.0, 3.0]).axes[0].lines[-1].get_ydata(), [0.0])


def test_a_long_tail_is_drawn_on_a_logarithmic_scale_and_no_tail_on_a_linear_one():
    true = np.r_[0.0, np.exp(RNG.normal(16, 1.8, 3000))]
    predicted = true * np.exp(RNG.normal(0, 0.5, 3001)) - 1e5
    (axes,) = figures.predictions(true, predicted, "USD").axes
    assert axes.collections[0].get_array().sum() == 3001
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == "0"
    assert any(label.endswith("M") for label in labels)
    assert "and beyond" in figures.error_histogram(true, predicted).axes[0].get_xlabel()
    assert "and beyond" in figures.residuals(true, predicted).axes[0].get_ylabel()
    true = RNG.uniform(12, 23_961, 2000)
    figure = figures.residuals(true, true + RNG.normal(0, 2500, 2000))
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))


@pytest.mark.parametrize("draw", [figures.predictions, figures.error_histogram, figures.residuals])
@pytest.mark.parametrize(
    ("true", "predicted", "complaint"),
    [
        ([], [], "wrong shape"),
        ([1.0, 2.0], [1.0], "column 'predicted': wrong shape"),
        ([1.0, 2.0], [1.0, np.nan], "row 2, column 'predicted': not finite"),
    ],
)
def test_arrays_that_cannot_be_drawn_are_refused(draw, true, predicted, complaint):
    with pytest.raises(DataError, match=complaint):
        draw(true, predicted)


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
        *figures.regression_figures(
            *RATED, {"net": 0.5, "mean": 1.1}, model="net", history=history(), column="loss"
        ).values(),
        *figures.search_figures(TRIALS, PARAMETERS, "val_rmse").values(),
        figures.bars(
            {**names, "majority": 0.2}, "balanced_accuracy", floors={"Bayes": 0.97}, spread=spread, marked=list(names)
        ),
        figures.costs({"net": {"parameters": 900, "fit_s": 20.0}}),
        figures.pareto(POINTS, "accuracy", chosen="best"),
        figures.per_user_ranking(np.linspace(0.3, 1, 60), np.linspace(1, 0.3, 60), np.arange(60) + 2),
        figures.category_shares(table),
        figures.mean_by_category(table, [1.0, 2.0, 3.0]),
        figures.correlations(numbers),
        figures.scatter_map(numbers, ["a", "b", "a"], diagonal=True, title="Sizes"),
        figures.vectors_map(VECTORS, np.arange(60.0), "age"),
        figures.histogram(numbers),
        figures.histogram([1.0, 2.0, 9.0], "price", edges=[5.0]),
        figures.heat_maps(np.zeros((3, 8, 8, 3), "uint8"), np.ones((3, 4, 4)), [0, 1, 2], [0, 1, 1], np.eye(3), LABELS),
        figures.shap_bars(RNG.normal(size=(5, 3, 3)), ["categories", "tier", "tags"], LABELS),
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


def test_the_figures_of_a_comparison_go_by_the_files_they_become():
    timing = Timing(0, 0, 9.0, 5, 1.0, 0)
    variants = {
        name: VariantRecord(name, size, {"accuracy": value}, {}, timing) for name, (size, value) in POINTS.items()
    }
    data = {"source": "sample", "rows": 9, "sha256": "50d2"}
    record = RunRecord("demo", "jax", 0, data, {"majority": {"accuracy": 0.1}}, {}, variants=variants, best="best")
    drawn = figures.comparison_figures(record, dict.fromkeys(POINTS, history()), "accuracy", floors={"Bayes": 0.97})
    assert list(drawn) == ["variants", "pareto", "time_and_size", "accuracy_curves", "loss_curves"]
    assert widths(drawn["variants"].axes[0]) == [0.95, 0.94, 0.9, 0.8, 0.1]
    with pytest.raises(DataError, match="'base'"):
        figures.comparison_figures(record, {}, "accuracy", cost="latency_ms")


def test_a_threshold_decides_the_classes_of_the_confusion_matrix():
    share = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    (axes,) = figures.classifier_figures([0, 1, 1, 0], share, ["no", "yes"], threshold=0.35)["confusion"].axes
    assert [text.split()[0] for text in texts(axes)] == ["2", "0", "0", "2"]


def test_the_same_figure_is_the_same_png():
    one, two = (style.png(figures.error_histogram(*RATED)) for _ in range(2))
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
    drawn = figures.explanation_figures([0, 0, 1], share, ["no", "yes"], shap=np.ones((1, 1, 2)), **found)
    assert list(drawn) == ["heat", "importance", "shap"]
    titles = [axes.get_title(loc="left") for axes in drawn["heat"].axes]
    assert [title for title in titles if title] == ["predicted no, 90 %\nis no", "predicted yes, 70 %\nis no"]
    assert list(figures.explanation_figures([0, 0, 1], share, ["no", "yes"], shap=None, **found)) == list(drawn)[:2]
