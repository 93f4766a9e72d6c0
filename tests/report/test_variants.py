import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import canvas, variants


def variant(accuracy, parameters, fit_s=10.0, **cost):
    return {
        "model": {"name": "cnn", "parameters": parameters},
        "test": {"accuracy": accuracy},
        "validation": {"accuracy": accuracy - 0.01},
        "timing": {"fit_s": fit_s, "epochs": 5},
        "cost": cost,
    }


FOUR = {
    "base": variant(0.90, 200_000, 60.0),
    "tiny": variant(0.80, 5_000, 20.0),
    "best": variant(0.95, 100_000, 50.0),
    "huge": variant(0.94, 900_000, 300.0),
}


def history(scale=1.0):
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": np.array([3.0, 2.0, 1.0]) * scale,
            "val_loss": np.array([3.0, 1.5, 2.0]) * scale,
            "accuracy": np.array([0.5, 0.6, 0.7]) / scale,
        }
    )


def inside(figure):
    figure.canvas.draw()
    texts = [
        text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts)
    ]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return all(box.x0 >= -1 and box.x1 <= figure.bbox.width + 1 and box.y0 >= -1 for box in boxes)


def test_curves_draw_every_variant_in_both_panels_on_one_scale_and_list_the_best_first():
    histories = {"slow": history(2.0), "fast": history(1.0)}
    figure = variants.curves(histories, "loss", "cross-entropy")
    upper, lower = figure.axes
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), histories["slow"]["loss"])
    lines = [line for line in lower.lines if line.get_label() in histories]
    np.testing.assert_array_equal(lines[1].get_ydata(), histories["fast"]["val_loss"])
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in lower.lines if line.get_marker() == "o"]
    assert dots == [(2, 3.0), (2, 1.5)]
    assert upper.get_ylim() == lower.get_ylim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fast  1.500", "slow  3.000"]
    assert inside(figure)


def test_curves_of_an_accuracy_take_the_highest_and_stand_without_validation():
    figure = variants.curves({"slow": history(2.0), "fast": history(1.0)}, "accuracy", "Accuracy")
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fast  0.700", "slow  0.350"]


def test_many_variants_have_looks_of_their_own():
    names = [f"variant_number_{at}" for at in range(12)]
    figure = variants.curves({name: history(1 + at / 10) for at, name in enumerate(names)}, "loss", "loss")
    looks = {(to_hex(line.get_color()), str(line.get_linestyle())) for line in figure.axes[0].lines}
    assert len(looks) == 12
    assert inside(figure)


def test_a_loss_that_explodes_is_drawn_on_a_logarithmic_axis_and_nan_is_left_out():
    wild = history()
    wild["loss"] = [63_127.0, np.nan, 0.7]
    figure = variants.curves({"l2": wild, "dropout": history()}, "loss", "loss")
    assert figure.axes[0].get_yscale() == "log"
    wild["val_loss"] = np.nan
    figure = variants.curves({"l2": wild, "dropout": history()}, "loss", "loss")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dropout  1.500", "l2"]


def test_curves_name_what_is_missing():
    with pytest.raises(DataError, match="history of b lacks a column"):
        variants.curves({"a": history(), "b": history().drop(columns="loss")}, "loss", "loss")
    with pytest.raises(DataError, match="no epochs"):
        variants.curves({"a": history()[:0]}, "loss", "loss")
    with pytest.raises(DataError, match="no history"):
        variants.curves({}, "loss", "loss")


def test_time_and_size_show_every_variant_smallest_first():
    figure = variants.time_and_size(FOUR)
    upper, lower = figure.axes
    assert [bar.get_width() for bar in lower.patches] == [5_000, 100_000, 200_000, 900_000]
    assert [bar.get_width() for bar in upper.patches] == [20, 50, 60, 300]
    texts = [text.get_text() for text in upper.texts]
    assert texts[:2] == ["20 s, 4 an epoch", "tiny"]
    assert inside(figure)
    with pytest.raises(DataError, match=r"tiny\.fit_s"):
        variants.time_and_size({"tiny": variant(0.8, 5, None)})


def test_the_front_holds_those_whom_none_beats_in_both():
    (axes,) = variants.pareto(FOUR, "accuracy", chosen="best").axes
    front = axes.lines[0]
    assert list(front.get_xdata()) == [5_000, 100_000]
    assert list(front.get_ydata()) == [0.80, 0.95]
    assert axes.get_xscale() == "log"
    star = next(line for line in axes.lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (100_000, 0.95)
    assert to_hex(star.get_color()) == canvas.ORANGE.lower()
    assert set(FOUR) <= {text.get_text() for text in axes.texts}


def test_names_of_the_front_cover_neither_each_other_nor_leave_the_panel():
    crowd = {f"network_{at}": variant(0.9 + 0.002 * (at % 3), 100_000 + 9_000 * at) for at in range(7)}
    figure = variants.pareto(crowd, "accuracy")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().startswith("network")]
    assert len(boxes) == 7
    assert not any(one.overlaps(two) for at, one in enumerate(boxes) for two in boxes[:at])
    assert inside(figure)


def test_the_front_of_an_error_points_down_and_another_split_or_cost_can_be_drawn():
    records = {
        "a": {**variant(0, 10, latency_ms=3.0), "validation": {"rmse": 5.0}},
        "b": {**variant(0, 20, latency_ms=2.0), "validation": {"rmse": 4.0}},
        "c": {**variant(0, 30, latency_ms=1.0), "validation": {"rmse": 4.5}},
    }
    (axes,) = variants.pareto(records, "rmse", split="validation", cost="latency_ms", unit="INR").axes
    assert list(axes.lines[0].get_xdata()) == [1.0, 2.0]
    assert axes.get_ylabel() == "validation RMSE (INR)"
    assert axes.get_xlabel() == "time of one prediction (ms), less is better"


def test_a_front_needs_a_direction_and_every_figure():
    with pytest.raises(ConfigurationError, match="'novelty' has no front"):
        variants.pareto(FOUR, "novelty")
    with pytest.raises(DataError, match=r"base\.roc_auc"):
        variants.pareto(FOUR, "roc_auc")
    with pytest.raises(DataError, match=r"base\.latency_ms"):
        variants.pareto(FOUR, "accuracy", cost="latency_ms")


def test_the_standard_pictures_are_drawn(tmp_path):
    (tmp_path / "plots").mkdir()
    record = {"variants": FOUR, "best": "best", "baselines": {"majority": {"accuracy": 0.1}}, "data": {}}
    pictures = variants.draw(tmp_path, record, {name: history() for name in FOUR}, "accuracy", floors={"Bayes": 0.97})
    assert [picture.path.stem for picture in pictures] == [
        "variants",
        "pareto",
        "time_and_size",
        "accuracy_curves",
        "loss_curves",
    ]
    for picture in pictures:
        assert picture.title
        assert picture.caption
        assert np.asarray(Image.open(picture.path).convert("L")).std() > 5
