import numpy as np
import pytest
from matplotlib.colors import to_hex

from kmodels.errors import DataError
from kmodels.report import bar_charts, canvas


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_bars_stand_in_order_from_zero_with_the_limit_beside_them():
    values = {"majority": 0.3, "net": 0.9, "logistic": 0.6, "boosting": None}
    (axes,) = bar_charts.metric_bars(values, "Accuracy", floors={"Bayes accuracy": 0.95}, marked=["net"]).axes
    assert [bar.get_width() for bar in axes.patches] == [0.9, 0.6, 0.3]
    assert to_hex(axes.patches[0].get_facecolor()) == canvas.BLUE.lower()
    assert to_hex(axes.patches[1].get_facecolor()) != canvas.BLUE.lower()
    assert axes.get_xlim()[0] == 0
    assert [line.get_xdata()[0] for line in axes.lines] == [0.95]
    assert texts(axes)[-1] == "dashed: Bayes accuracy 0.950"
    assert axes.get_xlabel() == "Accuracy, higher is better"


def test_values_that_lie_close_are_dots_on_an_axis_of_their_own_and_it_is_said():
    values = {"a": 0.9527, "b": 0.9530, "c": 0.9502}
    (axes,) = bar_charts.metric_bars(values, "RMSE", floors={"noise floor": 0.95}, better="lower", unit="stars").axes
    assert len(axes.patches) == 0
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [0.9502, 0.9527, 0.9530]
    assert axes.get_xlim()[0] > 0.94
    assert axes.get_xlabel() == "RMSE (stars), lower is better\nthe axis starts at 0.950"


def test_variants_whose_bars_look_alike_are_drawn_again_close_up():
    values = {"small": 0.93, "wide": 0.94, "majority": 0.1}
    figure = bar_charts.metric_bars(values, "Accuracy", spread={"small": 0.02}, marked=["small", "wide"])
    upper, lower = figure.axes
    assert [bar.get_width() for bar in upper.patches] == [0.94, 0.93, 0.1]
    assert lower.get_title(loc="left") == "Close up"
    assert "0.930 ± 0.020" in texts(lower)
    assert "majority" not in texts(lower)
    whisker = lower.containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(whisker[:, 0], [0.91, 0.95])


def test_there_must_be_a_value():
    with pytest.raises(DataError, match="no name has a value"):
        bar_charts.metric_bars({"net": None, "b": float("nan")}, "Accuracy")


def test_text_stays_inside_the_picture():
    values = {f"a_variant_with_a_long_name_{at}": 0.9 + at / 100 for at in range(4)}
    figure = bar_charts.metric_bars(
        {**values, "majority": 0.2},
        "Balanced accuracy",
        floors={"Bayes": 0.97},
        spread=dict.fromkeys(values, 0.01),
        marked=list(values),
    )
    figure.canvas.draw()
    for axes in figure.axes:
        for text in [axes.xaxis.label, axes._left_title, *axes.texts]:
            box = text.get_window_extent()
            assert box.x0 >= -1, text.get_text()
            assert box.x1 <= figure.bbox.width + 1, text.get_text()
