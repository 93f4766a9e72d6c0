import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from kmodels.errors import DataError
from kmodels.report import canvas, plots


def texts(axes):
    return " | ".join(text.get_text() for text in axes.texts)


@pytest.fixture(scope="module")
def ratings():
    rng = np.random.default_rng(7)
    true = rng.choice([1.0, 2, 3, 4, 5], 4000, p=[0.06, 0.11, 0.26, 0.35, 0.22])
    return true, 3.6 + 0.45 * (true - 3.6) + rng.normal(0, 0.5, len(true))


@pytest.fixture
def history():
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "loss": [1.0, 0.8, 0.7, 0.6],
            "val_loss": [1.1, 0.9, 0.85, 0.95],
            "rmse": [1.0, 0.9, 0.84, 0.77],
            "val_rmse": [1.05, 0.95, 0.92, 0.97],
            "learning_rate": [1e-3, 1e-3, 5e-4, 5e-4],
        }
    )


def test_loss_curves_draw_each_pair_and_mark_the_best_validation_epoch(history):
    figure = plots.loss_curves(history, loss_label="squared error (stars²)")
    assert [axes.get_ylabel() for axes in figure.axes] == ["squared error (stars²)", "RMSE", "learning rate"]
    assert "best, 3" in figure.axes[-1].get_xlabel()
    lines = [line.get_ydata() for line in figure.axes[0].lines]
    np.testing.assert_array_equal(lines[0], history["loss"])
    np.testing.assert_array_equal(lines[1], history["val_loss"])
    assert list(lines[2]) == [0, 1]
    assert list(figure.axes[0].lines[2].get_xdata()) == [3, 3]
    assert texts(figure.axes[0]) == "train | validation"
    assert texts(figure.axes[2]) == ""


def test_loss_curves_without_validation_or_with_gaps(history):
    figure = plots.loss_curves(history[["epoch", "loss"]])
    assert "best, 4" in figure.axes[0].get_xlabel()
    history["val_loss"] = [np.nan, 0.9, np.nan, 0.8]
    assert "best, 4" in plots.loss_curves(history).axes[-1].get_xlabel()
    history["val_loss"] = np.nan
    assert plots.loss_curves(history).axes[-1].get_xlabel() == "epoch"


@pytest.mark.parametrize("missing", ["epoch", "loss"])
def test_loss_curves_name_the_column_they_lack(history, missing):
    with pytest.raises(DataError, match=f"column '{missing}'"):
        plots.loss_curves(history.drop(columns=missing))


def test_loss_curves_need_an_epoch(history):
    with pytest.raises(DataError, match="no epochs"):
        plots.loss_curves(history[:0])


def test_true_vs_predicted_shows_median_and_share_of_each_rating(ratings):
    true, predicted = ratings
    (axes,) = plots.true_vs_predicted(true, predicted).axes
    dots = {line.get_xdata()[0]: line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"}
    assert dots == {level: pytest.approx(np.median(predicted[true == level])) for level in (1, 2, 3, 4, 5)}
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"{level}\n{100 * np.mean(true == level):.0f}%" for level in (1, 2, 3, 4, 5)]
    assert axes.get_ylabel() == "predicted (stars)"
    assert "4,000" in axes.get_xlabel()
    assert axes.get_ylim()[0] < predicted.min()
    assert axes.get_ylim()[1] > predicted.max()


def test_true_vs_predicted_draws_few_values_one_by_one_and_many_kinds_as_density():
    (axes,) = plots.true_vs_predicted([1, 5, 5], [2.0, 4.0, 4.5]).axes
    drawn = sorted(value for line in axes.lines if line.get_marker() == "o" for value in line.get_ydata())
    assert drawn == [2.0, 4.0, 4.5]
    values = np.linspace(0, 100, 500)
    (axes,) = plots.true_vs_predicted(values, values, unit="USD").axes
    assert axes.collections[0].get_array().sum() == 500
    assert axes.get_xlabel() == "true (USD)"


def test_error_histogram_counts_every_error_and_states_rmse(ratings):
    true, predicted = ratings
    (axes,) = plots.error_histogram(true, predicted).axes
    bars = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == canvas.BLUE.lower()]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    error = predicted - true
    assert f"RMSE {np.sqrt(np.mean(error**2)):.3f}" in texts(axes)
    assert axes.get_xlabel() == "error: predicted − true (stars)"


def test_error_histogram_says_which_way_the_errors_lean():
    (axes,) = plots.error_histogram([3.0, 3.0], [3.5, 4.0]).axes
    assert "+0.750" in texts(axes)
    (axes,) = plots.error_histogram([3.0, 3.0], [2.5, 2.0]).axes
    assert "−0.750" in texts(axes)


def test_residual_line_is_the_mean_of_equally_many_points():
    predicted = np.repeat([2.0, 4.0], 400)
    true = predicted + np.repeat([0.5, -0.25], 400)
    (axes,) = plots.residuals(true, predicted).axes
    line = axes.lines[-1]
    assert to_hex(line.get_color()) == canvas.ORANGE.lower()
    np.testing.assert_allclose(line.get_xdata(), [2.0, 4.0])
    np.testing.assert_allclose(line.get_ydata(), [0.5, -0.25])
    assert axes.collections[0].get_array().sum() == 800


def test_residuals_accept_a_constant_prediction():
    (axes,) = plots.residuals([1.0, 5.0], [3.0, 3.0]).axes
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), [0.0])


def test_baseline_bars_are_ordered_and_the_model_stands_out():
    values = {"NeuMF": 0.89, "mean": 1.13, "biases": 0.94, "popularity": None}
    (axes,) = plots.baseline_bars(values, "RMSE", model="NeuMF", unit="stars").axes
    assert [bar.get_width() for bar in axes.patches] == [0.89, 0.94, 1.13]
    assert to_hex(axes.patches[0].get_facecolor()) == canvas.BLUE.lower()
    assert texts(axes) == "0.890 | NeuMF | 0.940  (+0.050) | biases | 1.130  (+0.240) | mean"
    assert axes.get_xlabel() == "RMSE (stars), lower is better"
    assert axes.get_xlim()[0] == 0
    (axes,) = plots.baseline_bars({"m": 0.5, "b": 0.7}, "NDCG@10", model="m", better="higher").axes
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.5]
    assert to_hex(axes.patches[1].get_facecolor()) == canvas.BLUE.lower()


def test_baseline_bars_need_the_model():
    with pytest.raises(DataError, match="no value to draw"):
        plots.baseline_bars({"NeuMF": float("nan"), "mean": 1.1}, "RMSE", model="NeuMF")


@pytest.mark.parametrize("draw", [plots.true_vs_predicted, plots.error_histogram, plots.residuals])
@pytest.mark.parametrize(
    ("true", "predicted", "complaint"),
    [
        ([], [], "wrong shape"),
        ([1.0, 2.0], [1.0], "column 'y_pred': wrong shape"),
        ([[1.0]], [[1.0]], "wrong shape"),
        ([1.0, 2.0], [1.0, np.nan], "row 2, column 'y_pred': not finite"),
        ([np.inf], [1.0], "column 'y_true': not finite"),
    ],
)
def test_arrays_that_cannot_be_drawn_are_refused(draw, true, predicted, complaint):
    with pytest.raises(DataError, match=complaint):
        draw(true, predicted)


def test_amounts_with_a_long_tail_are_drawn_on_a_logarithmic_scale_labelled_in_the_unit():
    rng = np.random.default_rng(0)
    true = np.r_[0.0, np.exp(rng.normal(16, 1.8, 3000))]
    predicted = true * np.exp(rng.normal(0, 0.5, 3001)) - 1e5
    (axes,) = plots.true_vs_predicted(true, predicted, unit="USD").axes
    assert axes.collections[0].get_array().sum() == 3001
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == "0"
    assert any(label.endswith("M") for label in labels)
    places = axes.get_xticks()
    spread = axes.collections[0].get_offsets()[:, 0]
    assert np.mean((spread > places[1]) & (spread < places[-1])) > 0.5  # most of them are not in a corner
    (axes,) = plots.error_histogram(true, predicted, unit="USD").axes
    assert "outer bars: and beyond" in axes.get_xlabel()
    bars = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == canvas.BLUE.lower()]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    (axes,) = plots.residuals(true, predicted, unit="USD").axes
    assert axes.collections[0].get_array().sum() == 3001
    assert "edges: and beyond" in axes.get_ylabel()


def test_amounts_without_a_tail_keep_a_linear_scale_and_short_labels():
    rng = np.random.default_rng(0)
    true = rng.uniform(12, 23_961, 2000)
    figure = plots.residuals(true, true + rng.normal(0, 2500, 2000), unit="INR")
    (axes,) = figure.axes
    figure.canvas.draw()
    assert "20,000" in [label.get_text() for label in axes.get_xticklabels()]
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))
    assert "beyond" not in axes.get_ylabel()


def test_a_saved_picture_is_a_png_of_the_stated_size_with_something_on_it(ratings, tmp_path):
    path = plots.save(plots.error_histogram(*ratings), tmp_path / "errors.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width == round(canvas.WIDTH * canvas.DPI)
        pixels = np.asarray(image.convert("RGB"))
    blue = np.array([int(canvas.BLUE[at : at + 2], 16) for at in (1, 3, 5)])
    assert 0.05 < np.mean((pixels == blue).all(axis=2)) < 0.6
    assert np.mean((pixels == 255).all(axis=2)) > 0.3
    again = plots.save(plots.error_histogram(*ratings), tmp_path / "again.png")
    assert path.read_bytes() == again.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.png", "errors.png"]


def test_text_stays_inside_the_picture(ratings, history):
    figures = [
        plots.loss_curves(history, loss_label="mean squared error (rating / 5)"),
        plots.true_vs_predicted(*ratings),
        plots.error_histogram(*ratings),
        plots.residuals(*ratings),
        plots.baseline_bars({"NeuMF": 0.883, "global mean": 1.129}, "RMSE", model="NeuMF", unit="stars"),
    ]
    for figure in figures:
        figure.canvas.draw()
        for axes in figure.axes:
            labels = [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
            for text in labels:
                box = text.get_window_extent()
                assert box.x0 >= -1, text.get_text()
                assert box.x1 <= figure.bbox.width + 1, text.get_text()
                assert box.y1 <= figure.bbox.height + 1, text.get_text()


def test_no_global_figure_is_left(ratings):
    plots.error_histogram(*ratings)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
